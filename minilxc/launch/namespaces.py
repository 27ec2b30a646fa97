"""Namespaces and id maps: which are new, which are joined, and the ids inside."""

from __future__ import annotations

import posix

from minilxc.linux import mount as kernel
from minilxc.linux import process
from minilxc.linux.names import NAMESPACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from minilxc.launch.channel import Channel


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
        """The CLONE_NEW* flags of the child's birth; the time namespace comes later, with its offsets."""
        return sum(NAMESPACES[kind] for kind in self.new if kind != "time")

    def describe(self) -> str:
        """The namespaces by kind, on one line."""
        joined = [f"{join.kind} of {join.target}" for join in self.joined]
        return ", ".join([*sorted(self.new), *joined]) or "none"


class IdMaps:
    """The id maps of a user namespace as the kernel reads them, and who the child becomes in it. Immutable."""

    __slots__ = ("gid", "gid_map", "uid", "uid_map")

    def __init__(self, uid_map: str, gid_map: str, uid: int, gid: int) -> None:
        self.uid_map = uid_map
        self.gid_map = gid_map
        self.uid = uid
        self.gid = gid

    def describe(self) -> str:
        """The maps, on one line."""
        return "; ".join(
            f"{kind} {line}"
            for kind, text in (("u", self.uid_map), ("g", self.gid_map))
            for line in text.splitlines()
        )


def write_maps(maps: IdMaps, pid: int) -> None:
    """Parent: give the child's user namespace its maps. user_namespaces(7).

    Written by us, not by newuidmap(1): root needs no grant of /etc/subuid for ids of its own machine.
    """
    for name, text in (("uid_map", maps.uid_map), ("gid_map", maps.gid_map)):
        _write(f"/proc/{pid}/{name}", text)


def enter_idmap(maps: IdMaps | None, channel: Channel) -> None:
    """Child: wait for the parent's go; then be root of the new user namespace, without groups."""
    channel.wait_to_go_on()
    if maps is not None:
        posix.setgroups(())
        posix.setresgid(maps.gid, maps.gid, maps.gid)
        posix.setresuid(maps.uid, maps.uid, maps.uid)


def complete(namespaces: Namespaces) -> None:
    """Child: join what others have and make the time namespace, which takes its offsets before its first user."""
    for join in namespaces.joined:
        if join.kind != "pid":  # settled at birth: a process never changes its own
            process.setns(join.descriptor, NAMESPACES[join.kind])
    if "time" in namespaces.new:
        process.unshare(process.CLONE_NEWTIME)
        monotonic, boot = (divmod(offset, 10**9) for offset in namespaces.offsets)
        text = "monotonic {} {}\nboottime {} {}\n".format(*monotonic, *boot)
        _write("/proc/self/timens_offsets", text)
        descriptor = posix.open("/proc/self/ns/time_for_children", posix.O_RDONLY)
        process.setns(descriptor, process.CLONE_NEWTIME)
        posix.close(descriptor)


def isolate_mounts() -> None:
    """Child: let nothing that is mounted from here on reach the host. mount_namespaces(7)."""
    kernel.set_propagation("/", kernel.MS_SLAVE)


def set_loopback_up() -> None:
    """Child: set the interface lo up, as `lxc.net.I.flags = up` of an empty network asks."""
    from minilxc.linux.network import set_link_up

    set_link_up("lo")


def write_sysctls(sysctls: Iterable[tuple[str, str]]) -> None:
    """Child: write (file below /proc/sys, value) in the container's own namespaces. proc_sys(5)."""
    for path, value in sysctls:
        _write(f"/proc/sys/{path}", value)


def write_proc(files: Iterable[tuple[str, str]], pid: int) -> None:
    """Parent: write (file, value) below /proc/PID of the child. proc_pid(5)."""
    for path, value in files:
        _write(f"/proc/{pid}/{path}", value)


def _write(path: str, text: str) -> None:
    """Write `text` to a file of procfs, which must be there, in one write(2)."""
    try:
        descriptor = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)
        try:
            posix.write(descriptor, text.encode(errors="surrogateescape"))
        finally:
            posix.close(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
