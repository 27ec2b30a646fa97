"""Namespaces: which are new, which are joined."""

from __future__ import annotations

import posix

from minilxc.errors import ConfigError, StartError
from minilxc.linux import mount as kernel
from minilxc.linux import process
from minilxc.linux.files import read_text, write_text
from minilxc.linux.names import NAMESPACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.config.parse import Config


_PID_DIGITS = 10


class Join:
    """A namespace of another process to join: its kind as in /proc/PID/ns, and an open descriptor of it."""

    __slots__ = ("descriptor", "kind", "target")

    def __init__(self, kind: str, target: str, descriptor: int) -> None:
        self.kind = kind
        self.target = target
        self.descriptor = descriptor


class Namespaces:
    """What the container's namespaces are. Immutable.

    `new` are the kinds made for it; `joined` those of others; `offsets` are the nanoseconds that the
    new time namespace adds to (the monotonic clock, the boot time clock).
    """

    __slots__ = ("joined", "new", "offsets")

    def __init__(self, new: frozenset[str], joined: tuple[Join, ...], offsets: tuple[int, int]) -> None:
        self.new = new
        self.joined = joined
        self.offsets = offsets

    @property
    def clone_flags(self) -> int:
        """The CLONE_NEW* flags of the child's birth.

        The time namespace comes later, with its offsets; so does that of control groups: its top is the
        group in which its maker is (cgroup_namespaces(7)).
        """
        return sum(NAMESPACES[kind] for kind in self.new if kind not in ("time", "cgroup"))

    def describe(self) -> str:
        """The namespaces by kind, on one line."""
        joined = [f"{join.kind} of {join.target}" for join in self.joined]
        return ", ".join([*sorted(self.new), *joined]) or "none"


def join(namespaces: Namespaces) -> tuple[tuple[int, int], ...]:
    """Parent: enter what the child shares with others, for it to be born there; then `leave` with the result.

    The child could not: its user namespace may be a new one, which has no power over those of others,
    and a process never changes its own pid namespace. Raises OSError.
    """
    left: tuple[tuple[int, int], ...] = ()
    try:
        for each in namespaces.joined:
            own = posix.open(f"/proc/self/ns/{each.kind}", posix.O_RDONLY | posix.O_CLOEXEC)
            left += ((own, NAMESPACES[each.kind]),)
            process.setns(each.descriptor, NAMESPACES[each.kind], f"{each.kind} namespace of {each.target}")
    except OSError:
        leave(left)
        raise
    return left


def leave(own: tuple[tuple[int, int], ...]) -> None:
    """Parent: go back to where `join` came from; into all of them, whatever one says. Raises OSError."""
    failed = None
    for descriptor, flag in own:
        try:
            process.setns(descriptor, flag, "the caller's namespace")
        except OSError as error:
            failed = error
        posix.close(descriptor)
    if failed is not None:
        raise failed


def make_time_namespace(namespaces: Namespaces) -> None:
    """Child: make the time namespace, if it is new: it takes its offsets before its first user."""
    if "time" in namespaces.new:
        process.unshare(process.CLONE_NEWTIME)
        monotonic, boot = (divmod(offset, 10**9) for offset in namespaces.offsets)
        text = "monotonic {} {}\nboottime {} {}\n".format(*monotonic, *boot)
        write_text("/proc/self/timens_offsets", text)
        descriptor = posix.open("/proc/self/ns/time_for_children", posix.O_RDONLY)
        process.setns(descriptor, process.CLONE_NEWTIME, "time namespace")
        posix.close(descriptor)


def leave_mounts() -> None:
    """Parent: have a mount namespace of its own from now on; what is mounted in it stays off the host."""
    process.unshare(NAMESPACES["mnt"])
    isolate_mounts()


def isolate_mounts() -> None:
    """Let nothing that is mounted from here on reach the host. mount_namespaces(7)."""
    kernel.set_propagation("/", kernel.MS_SLAVE)


def from_config(config: Config) -> Namespaces:
    """The container's namespaces."""
    types = {index: network.get("type") for index, network in config.networks().items()}
    host_network = bool(types) and set(types.values()) == {"none"}
    offsets = (config.get("lxc.time.offset.monotonic"), config.get("lxc.time.offset.boot"))
    shared = config.group("lxc.namespace.share")
    clone, keep = config.get("lxc.namespace.clone"), config.get("lxc.namespace.keep")
    available = set(posix.listdir("/proc/self/ns"))
    if clone:
        new = set(clone)
    elif keep:
        # As LXC: all that are not kept, but a user namespace only where there is an id map for it.
        new = (set(NAMESPACES) - set(keep) - {"user"}) & available
    else:
        new = {"mnt", "pid", "uts", "ipc", "net", "cgroup"} & available
    if host_network:
        new.discard("net")
    if any(offsets):
        if "time" in keep:
            where = config.where("lxc.time.offset.boot") or config.where("lxc.time.offset.monotonic")
            raise ConfigError(
                "lxc.time.offset.*: needs a time namespace, which lxc.namespace.keep forbids", where
            )
        new.add("time")
    has_map = bool(config.get("lxc.idmap"))
    if "user" in new and not has_map:
        raise ConfigError(
            "a user namespace without lxc.idmap would have no ids", config.where("lxc.namespace.clone")
        )
    if has_map:
        if "user" in keep:
            what = "lxc.idmap: needs a user namespace, which lxc.namespace.keep forbids"
            raise ConfigError(what, config.where("lxc.idmap"))
        new.add("user")
    joined = []
    for kind, entry in shared.items():
        if kind == "time" and any(offsets):
            what = "lxc.namespace.share.time: a clock that is shared cannot have an offset of its own"
            raise ConfigError(what, entry.where)
        if kind == "user":
            raise ConfigError("lxc.namespace.share.user: not supported yet", entry.where)
        joined.append(_join(kind, entry.value, entry.where))
        new.discard(kind)
    for kind in sorted(new - available):
        where = config.where("lxc.namespace.clone") or config.where("lxc.idmap")
        raise StartError(f"this kernel has no {kind} namespaces", where, step="namespaces")
    return Namespaces(frozenset(new), tuple(joined), offsets)


def _join(kind: str, target: str, where: str) -> Join:
    """The namespace `kind` of `target`: a process id, or a running container's name or path."""
    if target.isascii() and target.isdecimal():
        if len(target) > _PID_DIGITS:
            raise ConfigError(f"lxc.namespace.share.{kind}: no process has such a number", where)
        pid = int(target)
    else:
        pid = _init_of(target)
        if pid == 0:
            raise ConfigError(f"lxc.namespace.share.{kind}: container '{target}' is not running", where)
    try:
        return Join(kind, target, posix.open(f"/proc/{pid}/ns/{kind}", posix.O_RDONLY | posix.O_CLOEXEC))
    except OSError as error:
        raise ConfigError(f"lxc.namespace.share.{kind}: process {pid}: {error.strerror}", where) from None


def _init_of(target: str) -> int:
    """The pid of process 1 of a running container, 0 when it is not running."""
    from minilxc.launch import lock

    lxcpath, _, name = target.rpartition("/")
    holder = lock.holder(lxcpath or lock.default_path(), name)
    try:
        children = read_text(f"/proc/{holder}/task/{holder}/children").split()
    except OSError:
        return 0
    return next((int(pid) for pid in children if _is_process_1(pid)), 0)


def _is_process_1(pid: str) -> bool:
    """Whether it is the first of a pid namespace: a hook, or another helper of the monitor's, is not. proc(5)."""
    try:
        lines = read_text(f"/proc/{pid}/status").splitlines()
    except OSError:
        return False
    return any(
        line.startswith("NSpid:") and len(line.split()) > 2 and line.split()[-1] == "1" for line in lines
    )
