"""Config to Plan: everything that can be read, resolved and refused before the first namespace exists."""

from __future__ import annotations

import posix

from minilxc.config.keys import HOOKS
from minilxc.errors import ConfigError, Refused
from minilxc.launch import (
    cgroups,
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
from minilxc.linux.files import exists, is_folder, read_text
from minilxc.linux.syscalls import ENODEV
from minilxc.log import ERROR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from minilxc.config.parse import Config
    from minilxc.launch.cgroups import Cgroups
    from minilxc.launch.credentials import Credentials
    from minilxc.launch.ephemeral import Ephemeral
    from minilxc.launch.hooks import Hooks
    from minilxc.launch.idmap import IdMaps
    from minilxc.launch.labels import Labels
    from minilxc.launch.limits import Limits
    from minilxc.launch.mounts import Mount
    from minilxc.launch.namespaces import Namespaces
    from minilxc.launch.network import Network
    from minilxc.launch.program import Program
    from minilxc.launch.rootfs import Rootfs
    from minilxc.launch.terminal import Console, Terminal
    from minilxc.launch.trees import Trees
    from minilxc.seccomp.prepare import Prepared

_NEWER = "minilxc.seccomp.newer"


class Plan:
    """A start, decided: what will be made, in which order, and what becomes of it. Immutable.

    `wheres` are the lines to blame when a step fails: (step, what the error is about or "", where).
    Every part has a `describe()`; `lines()` gives them all, which is what --dry-run, the log and
    `checkconfig` print.
    """

    __slots__ = (
        "autodev",
        "cgroups",
        "config",
        "console",
        "credentials",
        "death_signal",
        "ephemeral",
        "filters",
        "hooks",
        "hostname",
        "idmap",
        "keyring",
        "labels",
        "limits",
        "lxcpath",
        "mapped",
        "monitor_mounts",
        "mounts",
        "name",
        "namespaces",
        "network",
        "own_core",
        "own_mounts",
        "personality",
        "proc_files",
        "program",
        "rootfs",
        "sysctls",
        "system_mounts",
        "terminal",
        "trees",
        "umask",
        "wheres",
        "with_init",
    )

    def __init__(
        self,
        *,
        config: Config,
        name: str,
        lxcpath: str,
        with_init: bool,
        namespaces: Namespaces,
        idmap: IdMaps | None,
        cgroups: Cgroups,
        rootfs: Rootfs,
        hostname: str | None,
        keyring: bool,
        network: Network | None,
        labels: Labels | None,
        own_core: bool,
        monitor_mounts: bool,
        system_mounts: tuple[Mount, ...],
        mounts: tuple[Mount, ...],
        autodev: bool,
        terminal: Terminal | None,
        console: Console,
        sysctls: tuple[tuple[str, str], ...],
        proc_files: tuple[tuple[str, str], ...],
        personality: int | None,
        limits: Limits,
        credentials: Credentials,
        death_signal: int,
        program: Program,
        filters: Prepared | None,
        hooks: Hooks | None,
        trees: Trees | None,
        ephemeral: Ephemeral | None,
        umask: int,
        wheres: tuple[tuple[str, str, str], ...],
    ) -> None:
        self.config = config
        self.name = name
        self.lxcpath = lxcpath
        self.with_init = with_init
        self.namespaces = namespaces
        self.idmap = idmap
        self.cgroups = cgroups
        self.rootfs = rootfs
        self.hostname = hostname
        self.keyring = keyring
        self.network = network
        self.labels = labels
        self.own_core = own_core
        self.monitor_mounts = monitor_mounts
        self.system_mounts = system_mounts
        self.mounts = mounts
        self.autodev = autodev
        self.terminal = terminal
        self.console = console
        self.sysctls = sysctls
        self.proc_files = proc_files
        self.personality = personality
        self.limits = limits
        self.credentials = credentials
        self.death_signal = death_signal
        self.program = program
        self.filters = filters
        self.hooks = hooks
        self.trees = trees
        self.ephemeral = ephemeral
        self.umask = umask
        self.wheres = wheres
        self.mapped = idmap is not None
        self.own_mounts = "mnt" in namespaces.new

    def descriptors(self) -> tuple[int, ...]:
        """What has been opened for the start: namespaces to join, and those whose ids mounts show."""
        opened = tuple(join.descriptor for join in self.namespaces.joined)
        return opened + (self.trees.descriptors() if self.trees is not None else ())

    def lines(self) -> Iterator[tuple[str, str]]:
        """The plan in words: (subject, what will be done), in the order of the steps."""
        yield "namespaces", self.namespaces.describe()
        if self.idmap is not None:
            yield "id maps", self.idmap.describe()
        yield from self.cgroups.lines()
        yield "rootfs", self.rootfs.describe()
        if self.hostname is not None:
            yield "host name", self.hostname
        for line in self.network.lines() if self.network is not None else ():
            yield "network", line
        for mount in self.system_mounts + self.mounts:
            for line in mount.lines():
                yield "mount", line
        if self.terminal is not None:
            yield "terminal", self.terminal.describe()
        for path, value in self.sysctls:
            yield "sysctl", f"{path} = {value}"
        for path, value in self.proc_files:
            yield "proc", f"{path} = {value}"
        if self.monitor_mounts:
            yield "monitor", "in a mount namespace of its own"
        for limit in self.limits:
            yield "limit", limits.describe(limit)
        if self.own_core:
            yield "processor", "a core shared with nobody else"
        yield "credentials", self.credentials.describe()
        if self.labels is not None:
            yield "labels", self.labels.describe()
        yield "seccomp", self.filters.path if self.filters is not None else "no policy"
        for line in self.hooks.lines() if self.hooks is not None else ():
            yield "hook", line
        yield "program", self.program.describe()
        if self.ephemeral is not None:
            yield "ephemeral", self.ephemeral.describe()


def make(
    config: Config,
    name: str,
    lxcpath: str,
    command: Sequence[str],
    *,
    with_init: bool,
    background: bool = False,
    prepare: Callable[[str, tuple[str, str] | None], Prepared],
    debug: Callable[[int, str, str], None],
    log_level: int = ERROR,
) -> Plan:
    """The plan for `config`.

    `command` takes the place of the config's program; `with_init` is the difference between execute
    and start; in the `background` it has nothing of the caller's terminal. `prepare(path, newer)` gives the
    filters of a policy, `newer` being None or the action for calls newer than it and the place that says so;
    `debug(level, subject, text)` is the log, and `log_level` the level that was asked for, for hooks.
    Raises ConfigError, PolicyError, StartError or Refused. Makes nothing of the container; what it keeps
    is the policy's program, in the cache of `prepare`, and descriptors of namespaces to join.
    """
    if posix.geteuid() != 0:
        from minilxc.launch import ordinary

        ordinary.refuse(config)
    spaces = namespaces.from_config(config)
    _refuse_host_changes(config, spaces)
    maps = idmap.from_config(config, spaces)
    root = rootfs.from_config(config)
    network = _network(config, spaces, lambda: _told_to_hooks(config, name, root, log_level), debug)
    person = credentials.from_config(config)
    autodev = config.get("lxc.autodev") and root.path is not None
    entries = mounts.from_config(config, root, debug)
    return Plan(
        config=config,
        name=name,
        lxcpath=lxcpath,
        with_init=with_init,
        namespaces=spaces,
        idmap=maps,
        cgroups=cgroups.from_config(config, name, spaces, maps, person),
        rootfs=root,
        hostname=config.get("lxc.uts.name"),
        keyring=config.get("lxc.keyring.session"),
        network=network,
        labels=_labels(config, debug),
        own_core=_own_core(config),
        monitor_mounts=config.get("lxc.monitor.unshare"),
        system_mounts=system_mounts.from_config(config, spaces, person, autodev),
        mounts=entries,
        autodev=autodev,
        terminal=terminal.from_config(config, with_init, maps, background=background),
        console=terminal.console_from_config(config),
        sysctls=kernel_files.from_config(config, "lxc.sysctl", "/proc/sys"),
        proc_files=kernel_files.from_config(config, "lxc.proc", "/proc/self"),
        personality=_PERSONALITIES[config.get("lxc.arch")],
        limits=limits.from_config(config),
        credentials=person,
        death_signal=config.get("lxc.monitor.signal.pdeath"),
        program=program.from_config(config, command, with_init),
        filters=_filters(config, prepare),
        hooks=_hooks(config, name, root, log_level),
        trees=_trees(config, root, entries),
        ephemeral=_ephemeral(config, name, lxcpath, root),
        umask=_current_umask(),
        wheres=_wheres(config) + (network.wheres if network is not None else ()),
    )


def _network(
    config: Config,
    spaces: Namespaces,
    variables: Callable[[], dict[str, str]],
    debug: Callable[[int, str, str], None],
) -> Network | None:
    if not config.networks():
        return None
    from minilxc.launch import network  # a start without interfaces does not load it

    return network.from_config(config, spaces, variables, debug)


def _trees(config: Config, root: Rootfs, entries: tuple[Mount, ...]) -> Trees | None:
    if not root.by_parent and not any(entry.idmap for entry in entries):
        return None
    from minilxc.launch import trees

    return trees.from_config(config, root, entries)


def _ephemeral(config: Config, name: str, lxcpath: str, root: Rootfs) -> Ephemeral | None:
    if not config.get("lxc.ephemeral") or not lxcpath:  # nameless: only the config is looked at
        return None
    from minilxc.launch import ephemeral

    return ephemeral.from_config(config, name, lxcpath, root)


_PERSONALITIES = {None: None, "linux": process.PER_LINUX, "linux32": process.PER_LINUX32}


_LABELS = ("lxc.apparmor.profile", "lxc.selinux.context", "lxc.selinux.context.keyring")


def _labels(config: Config, debug: Callable[[int, str, str], None]) -> Labels | None:
    if not any(config.where(key) for key in _LABELS):
        return None
    from minilxc.launch import labels

    return labels.from_config(config, debug)


def _own_core(config: Config) -> bool:
    if not config.get("lxc.sched.core"):
        return False
    from minilxc.linux import core_scheduling

    try:
        core_scheduling.probe()
    except OSError as error:
        what = "the processor has one thread a core" if error.errno == ENODEV else "this kernel has none"
        raise Refused(f"lxc.sched.core: no core scheduling: {what}", config.where("lxc.sched.core")) from None
    return True


def _current_umask() -> int:
    # umask(2) could only tell by changing it, for all threads of a Python program. proc_pid_status(5)
    lines = read_text("/proc/self/status").split("\n", 2)
    return int(lines[1].removeprefix("Umask:"), 8)


# Which namespace a sysctl, or a folder of them, belongs to; all of net.* to the network namespace.
_SYSCTL_NAMESPACES = {
    "kernel.hostname": "uts",
    "kernel.domainname": "uts",
    "fs.mqueue": "ipc",
    "kernel.ns_last_pid": "pid",
    **{f"kernel.{name}": "ipc" for name in ("msgmax", "msgmnb", "msgmni", "msg_next_id", "auto_msgmni")},
    **{f"kernel.{name}": "ipc" for name in ("sem", "sem_next_id", "shmall", "shmmax", "shmmni")},
    **{f"kernel.{name}": "ipc" for name in ("shm_next_id", "shm_rmid_forced")},
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
        # In a user namespace of its own the kernel lets nobody set what is the machine's.
        if not needed and "user" not in new and exists(f"/proc/sys/{name.replace('.', '/')}"):
            what = f"lxc.sysctl.{name}: no namespace has a value of its own, so the container would set the host's"
            raise Refused(what, entry.where)


# The keys that a step does the work of.
_STEP_KEYS = {
    "monitor namespace": "lxc.monitor.unshare",
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
    for key in _LABELS:
        found.append(("labels", config.get(key) or "", config.where(key) or ""))
    for thing in ("proc", "sys"):
        found.append(("system mounts", thing, config.where("lxc.mount.auto") or ""))
    for name, entry in config.group("lxc.prlimit").items():
        found.append(("limits", name, entry.where))
    found += cgroups.wheres(config)
    return tuple(where for where in found if where[2])


def _hooks(config: Config, name: str, root: Rootfs, log_level: int) -> Hooks | None:
    if not any(config.where(key) for key in HOOKS):
        return None
    from minilxc.launch import hooks

    return hooks.from_config(config, name, root, log_level)


def _told_to_hooks(config: Config, name: str, root: Rootfs, log_level: int) -> dict[str, str]:
    from minilxc.launch import hooks

    return hooks.environment(config, name, root, log_level)


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
