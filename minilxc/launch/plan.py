"""Config to Plan: everything that can be read, resolved and refused before the first namespace exists."""

from __future__ import annotations

import posix

from minilxc.errors import ConfigError, Refused, UsageError
from minilxc.launch import (
    credentials,
    idmap,
    kernel_files,
    limits,
    mounts,
    namespaces,
    program,
    rootfs,
    system_mounts,
    terminal,
)
from minilxc.linux import process
from minilxc.linux.files import exists, is_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from minilxc.config.parse import Config
    from minilxc.launch.credentials import Credentials
    from minilxc.launch.idmap import IdMaps
    from minilxc.launch.limits import Limits
    from minilxc.launch.mounts import Mount
    from minilxc.launch.namespaces import Namespaces
    from minilxc.launch.program import Program
    from minilxc.launch.rootfs import Rootfs
    from minilxc.launch.terminal import Terminal
    from minilxc.seccomp.prepare import Prepared

_NAME_BYTES = 64
_NEWER = "minilxc.seccomp.newer"


class Plan:
    """A start, decided: what will be made, in which order, and what becomes of it. Immutable.

    `wheres` are the lines to blame when a step fails: (step, what the error is about or "", where).
    Every part has a `describe()`; `lines()` gives them all, which is what --dry-run, the log and
    `checkconfig` print.
    """

    __slots__ = (
        "autodev",
        "console_log",
        "console_path",
        "credentials",
        "death_signal",
        "filters",
        "hostname",
        "idmap",
        "keyring",
        "limits",
        "loopback",
        "lxcpath",
        "mapped",
        "mounts",
        "name",
        "namespaces",
        "own_mounts",
        "personality",
        "proc_files",
        "program",
        "rootfs",
        "sysctls",
        "system_mounts",
        "terminal",
        "umask",
        "wheres",
        "with_init",
    )

    def __init__(
        self,
        *,
        name: str,
        lxcpath: str,
        with_init: bool,
        namespaces: Namespaces,
        idmap: IdMaps | None,
        rootfs: Rootfs,
        hostname: str | None,
        keyring: bool,
        loopback: bool,
        system_mounts: tuple[Mount, ...],
        mounts: tuple[Mount, ...],
        autodev: bool,
        terminal: Terminal | None,
        console_path: str | None,
        console_log: str | None,
        sysctls: tuple[tuple[str, str], ...],
        proc_files: tuple[tuple[str, str], ...],
        personality: int | None,
        limits: Limits,
        credentials: Credentials,
        death_signal: int,
        program: Program,
        filters: Prepared | None,
        umask: int,
        wheres: tuple[tuple[str, str, str], ...],
    ) -> None:
        self.name = name
        self.lxcpath = lxcpath
        self.with_init = with_init
        self.namespaces = namespaces
        self.idmap = idmap
        self.rootfs = rootfs
        self.hostname = hostname
        self.keyring = keyring
        self.loopback = loopback
        self.system_mounts = system_mounts
        self.mounts = mounts
        self.autodev = autodev
        self.terminal = terminal
        self.console_path = console_path
        self.console_log = console_log
        self.sysctls = sysctls
        self.proc_files = proc_files
        self.personality = personality
        self.limits = limits
        self.credentials = credentials
        self.death_signal = death_signal
        self.program = program
        self.filters = filters
        self.umask = umask
        self.wheres = wheres
        self.mapped = idmap is not None
        self.own_mounts = "mnt" in namespaces.new

    def lines(self) -> Iterator[tuple[str, str]]:
        """The plan in words: (subject, what will be done), in the order of the steps."""
        yield "namespaces", self.namespaces.describe()
        if self.idmap is not None:
            yield "id maps", self.idmap.describe()
        yield "rootfs", self.rootfs.describe()
        if self.hostname is not None:
            yield "host name", self.hostname
        for mount in self.system_mounts + self.mounts:
            for line in mount.lines():
                yield "mount", line
        if self.terminal is not None:
            yield "terminal", self.terminal.describe()
        for path, value in self.sysctls:
            yield "sysctl", f"{path} = {value}"
        for limit in self.limits:
            yield "limit", limits.describe(limit)
        yield "credentials", self.credentials.describe()
        yield "seccomp", self.filters.path if self.filters is not None else "no policy"
        yield "program", self.program.describe()


def check_name(name: str) -> str:
    """`name` if it can be a container's. Raises UsageError.

    It becomes a part of paths and of one line in logs, so it is kept simpler than LXC keeps it.
    """
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not (name.isascii() and plain.isalnum()) or name[0] in ".-" or len(name) > _NAME_BYTES:
        raise UsageError(
            f"'{name}' cannot be a container's name",
            hint="letters, digits, '.', '_' and '-', not beginning with '.' or '-', up to 64",
        )
    return name


def make(
    config: Config,
    name: str,
    lxcpath: str,
    command: Sequence[str],
    *,
    with_init: bool,
    prepare: Callable[[str, tuple[str, str] | None], Prepared],
    debug: Callable[[int, str, str], None],
) -> Plan:
    """The plan for `config`.

    `command` takes the place of the config's program; `with_init` is the difference between execute
    and start. `prepare(path, newer)` gives the filters of a policy, `newer` being None or the action
    for calls newer than it and the place that says so; `debug(level, subject, text)` is the log.
    Raises ConfigError, PolicyError, StartError or Refused. Makes nothing of the container; what it keeps
    is the policy's program, in the cache of `prepare`, and descriptors of namespaces to join.
    """
    spaces, loopback = namespaces.from_config(config)
    _refuse_host_changes(config, spaces)
    maps = idmap.from_config(config, spaces)
    root = rootfs.from_config(config)
    person = credentials.from_config(config)
    autodev = config.get("lxc.autodev") and root.path is not None
    return Plan(
        name=name,
        lxcpath=lxcpath,
        with_init=with_init,
        namespaces=spaces,
        idmap=maps,
        rootfs=root,
        hostname=config.get("lxc.uts.name"),
        keyring=config.get("lxc.keyring.session"),
        loopback=loopback,
        system_mounts=system_mounts.from_config(config, spaces, person, autodev),
        mounts=mounts.from_config(config, root, debug),
        autodev=autodev,
        terminal=terminal.from_config(config, with_init, maps),
        console_path=config.get("lxc.console.path"),
        console_log=config.get("lxc.console.logfile"),
        sysctls=kernel_files.from_config(config, "lxc.sysctl", "/proc/sys"),
        proc_files=kernel_files.from_config(config, "lxc.proc", "/proc/self"),
        personality=_PERSONALITIES[config.get("lxc.arch")],
        limits=limits.from_config(config),
        credentials=person,
        death_signal=config.get("lxc.monitor.signal.pdeath"),
        program=program.from_config(config, command, with_init),
        filters=_filters(config, prepare),
        umask=_current_umask(),
        wheres=_wheres(config),
    )


_PERSONALITIES = {None: None, "linux": process.PER_LINUX, "linux32": process.PER_LINUX32}


def _current_umask() -> int:
    mask = posix.umask(0)
    posix.umask(mask)
    return mask


# Which namespace a sysctl, or a folder of them, belongs to; all of net.* to the network namespace.
_SYSCTL_NAMESPACES = {"kernel.hostname": "uts", "kernel.domainname": "uts", "fs.mqueue": "ipc"} | {
    f"kernel.{name}": "ipc"
    for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
}


def _refuse_host_changes(config: Config, spaces: Namespaces) -> None:
    """Refuse what would reach the host because a namespace is missing."""
    new = spaces.new | {join.kind for join in spaces.joined}
    if "mnt" not in spaces.new:
        raise Refused(
            "without a mount namespace of its own the container would change the host's mounts",
            config.where("lxc.namespace.clone") or config.where("lxc.namespace.keep") or config.source,
        )
    if config.get("lxc.uts.name") is not None and "uts" not in new:
        raise Refused(
            "lxc.uts.name: without a UTS namespace of its own the container would rename the host",
            config.where("lxc.uts.name"),
        )
    for written, entry in config.group("lxc.sysctl").items():
        name = written.replace("/", ".")
        needed = _SYSCTL_NAMESPACES.get(name) or _SYSCTL_NAMESPACES.get(name.rpartition(".")[0])
        needed = "net" if name.startswith("net.") else needed
        if needed and needed not in new:
            what = f"lxc.sysctl.{name}: without a {needed} namespace of its own the container would set the host's"
            raise Refused(what, entry.where)


# The keys that a step does the work of.
_STEP_KEYS = {
    "id maps": "lxc.idmap",
    "rootfs": "lxc.rootfs.path",
    "host name": "lxc.uts.name",
    "time namespace": "lxc.time.offset.boot",
    "terminal": "lxc.pty.max",
    "personality": "lxc.arch",
    "working directory": "lxc.init.cwd",
    "credentials": "lxc.init.uid",
}


def _wheres(config: Config) -> tuple[tuple[str, str, str], ...]:
    """Which line of the config to blame for what."""
    found = [(step, "", config.where(key) or "") for step, key in _STEP_KEYS.items()]
    for step, group, directory in (("sysctl", "lxc.sysctl", "/proc/sys"), ("proc", "lxc.proc", "")):
        for entry in config.entries(group):
            found.append((step, f"{directory}/{entry.value[0].replace('.', '/')}", entry.where))
    for thing in ("proc", "sys"):
        found.append(("system mounts", thing, config.where("lxc.mount.auto") or ""))
    for name, entry in config.group("lxc.prlimit").items():
        found.append(("limits", name, entry.where))
    return tuple(where for where in found if where[2])


def newer_action(config: Config) -> tuple[str, str] | None:
    """The action for calls newer than the policy, and the place that says so; None without one."""
    action = config.get(_NEWER)
    return None if action is None else (action, f"{config.where(_NEWER)}: {_NEWER}")


def _filters(config: Config, prepare: Callable[[str, tuple[str, str] | None], Prepared]) -> Prepared | None:
    path = config.get("lxc.seccomp.profile")
    newer = newer_action(config)
    if path is None:
        if newer is not None:
            raise ConfigError(
                f"{_NEWER}: there is no policy", config.where(_NEWER), "lxc.seccomp.profile names one"
            )
        return None
    where = config.where("lxc.seccomp.profile") or ""
    if not exists(path) or is_folder(path):
        what = "Is a directory" if exists(path) else "No such file or directory"
        raise ConfigError(f"lxc.seccomp.profile: '{path}': {what}", where)
    try:
        confined = credentials.filter_mode()
    except OSError:
        raise Refused("lxc.seccomp.profile: this kernel has no seccomp filters", where) from None
    if confined and not config.get("lxc.seccomp.allow_nesting"):
        raise Refused(
            "lxc.seccomp.profile: a filter confines minilxc itself already, and LXC would skip the policy",
            where,
            "lxc.seccomp.allow_nesting = 1 stacks both",
        )
    return prepare(path, newer)
