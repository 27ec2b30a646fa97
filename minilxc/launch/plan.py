"""Config to Plan: everything that can be read, resolved and refused before the first namespace exists."""

from __future__ import annotations

import posix

from minilxc.errors import ConfigError, Refused, StartError, UsageError
from minilxc.launch import credentials, devices, mounts
from minilxc.launch.credentials import Credentials
from minilxc.launch.mounts import Mount
from minilxc.launch.namespaces import IdMaps, Join, Namespaces
from minilxc.launch.program import Program
from minilxc.launch.rootfs import Rootfs
from minilxc.linux import mount as kernel
from minilxc.linux import process
from minilxc.linux.files import absolute, exists, is_file, is_folder, read_text, same
from minilxc.linux.names import NAMESPACES
from minilxc.log import WARN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from minilxc.config.parse import Config
    from minilxc.config.values import MountEntry
    from minilxc.launch.terminal import Terminal
    from minilxc.seccomp.prepare import Prepared

CAP_NET_ADMIN = 12
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
        limits: tuple[tuple[str, int | None, int | None], ...],
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
            yield "mount", mount.describe()
        if self.terminal is not None:
            yield "terminal", self.terminal.describe()
        for path, value in self.sysctls:
            yield "sysctl", f"{path} = {value}"
        for name, soft, hard in self.limits:
            yield "limit", f"{name} {_limit_word(soft)}:{_limit_word(hard)}"
        yield "credentials", self.credentials.describe()
        yield "seccomp", self.filters.path if self.filters is not None else "no policy"
        yield "program", self.program.describe()


def _limit_word(limit: int | None) -> str:
    return "unlimited" if limit is None else str(limit)


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
    Raises ConfigError, PolicyError, StartError or Refused; changes nothing.
    """
    namespaces, loopback = _namespaces(config)
    idmap = _idmap(config, namespaces)
    rootfs = _rootfs(config)
    _refuse_host_changes(config, namespaces)
    dropped, last = _capabilities(config)
    autodev = config.get("lxc.autodev") and rootfs.path is not None
    uid = config.get("lxc.init.uid")
    system = _system_mounts(config, namespaces, autodev, keeps_net_admin=CAP_NET_ADMIN not in dropped)
    return Plan(
        name=name,
        lxcpath=lxcpath,
        with_init=with_init,
        namespaces=namespaces,
        idmap=idmap,
        rootfs=rootfs,
        hostname=config.get("lxc.uts.name"),
        keyring=config.get("lxc.keyring.session"),
        loopback=loopback,
        system_mounts=system,
        mounts=_entries(config, rootfs, debug),
        autodev=autodev,
        terminal=_terminal(config, autodev, idmap, uid),
        console_path=config.get("lxc.console.path"),
        console_log=config.get("lxc.console.logfile"),
        sysctls=_files(config, "lxc.sysctl", "/proc/sys"),
        proc_files=_files(config, "lxc.proc", "/proc/self"),
        personality=_personality(config),
        limits=_limits(config),
        credentials=Credentials(
            uid,
            config.get("lxc.init.gid"),
            None if idmap is not None else config.get("lxc.init.groups"),
            dropped,
            last,
            config.get("lxc.no_new_privs"),
        ),
        death_signal=config.get("lxc.monitor.signal.pdeath"),
        program=_program(config, command, with_init),
        filters=_filters(config, prepare),
        umask=_current_umask(),
        wheres=_wheres(config),
    )


def _current_umask() -> int:
    mask = posix.umask(0)
    posix.umask(mask)
    return mask


def _namespaces(config: Config) -> tuple[Namespaces, bool]:
    """The container's namespaces, and whether the interface lo of an empty network is to be up."""
    types = {index: network.get("type") for index, network in config.networks().items()}
    host_network = bool(types) and set(types.values()) == {"none"}
    loopback = any(
        network.get("type") == "empty" and network.get("flags") == "up"
        for network in config.networks().values()
    )
    offsets = (config.get("lxc.time.offset.monotonic"), config.get("lxc.time.offset.boot"))
    shared = config.group("lxc.namespace.share")
    clone, keep = config.get("lxc.namespace.clone"), config.get("lxc.namespace.keep")
    if clone:
        new = set(clone)
    elif keep:
        # As LXC: all that are not kept, but a user namespace only where there is an id map for it.
        new = set(NAMESPACES) - set(keep) - {"user"}
    else:
        new = {"mnt", "pid", "uts", "ipc", "net", "cgroup"} & (
            set(posix.listdir("/proc/self/ns")) | {"mnt", "pid"}
        )
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
        if kind == "user":
            raise ConfigError("lxc.namespace.share.user: not supported yet", entry.where)
        joined.append(_join(kind, entry.value, entry.where))
        new.discard(kind)
    for kind in new - {"mnt", "pid"}:
        if not exists(f"/proc/self/ns/{kind}"):
            where = config.where("lxc.namespace.clone")
            raise StartError(f"this kernel has no {kind} namespaces", where, step="namespaces")
    return Namespaces(frozenset(new), tuple(joined), offsets), loopback and "net" in new


def _join(kind: str, target: str, where: str) -> Join:
    """The namespace `kind` of `target`: a process id, or a running container's name or path."""
    if target.isascii() and target.isdecimal():
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
    holder = lock.holder(lxcpath or DEFAULT_PATH, name)
    try:
        return int((read_text(f"/proc/{holder}/task/{holder}/children").split() or ["0"])[0])
    except OSError:
        return 0


DEFAULT_PATH = "/var/lib/lxc"


def _idmap(config: Config, namespaces: Namespaces) -> IdMaps | None:
    """The id maps, with the first user inside: root, or the one that init shall be where root is not mapped."""
    if "user" not in namespaces.new:
        return None
    ranges = config.get("lxc.idmap")
    texts, first = {}, {}
    for kind, key in (("u", "lxc.init.uid"), ("g", "lxc.init.gid")):
        own = [entry for entry in ranges if entry.kind == kind]
        texts[kind] = "".join(f"{entry.inside} {entry.outside} {entry.count}\n" for entry in own)
        wanted = config.get(key)
        mapped = [
            n for n in (0, wanted) if any(entry.inside <= n < entry.inside + entry.count for entry in own)
        ]
        if wanted not in mapped:
            where = config.where(key) or config.where("lxc.idmap")
            raise ConfigError(f"{key}: {wanted} has no place in the id map", where)
        first[kind] = mapped[0]
    return IdMaps(texts["u"], texts["g"], first["u"], first["g"])


# There from the lock on, and nothing that a mount entry would have as its source is hidden by it.
_IMAGE_MOUNTPOINT = "/run/minilxc"


def _rootfs(config: Config) -> Rootfs:
    value = config.get("lxc.rootfs.path")
    if value is None:
        return Rootfs(None, "/")
    image, path = value[0] == "loop", value[1]
    where = config.where("lxc.rootfs.path") or ""
    if not (is_file(path) if image else is_folder(path)):
        kind = "a file" if image else "a folder"
        reason = f"is not {kind}" if exists(path) else "No such file or directory"
        raise ConfigError(f"lxc.rootfs.path: '{path}': {reason}", where)
    if image and config.get("lxc.idmap"):
        raise ConfigError("lxc.rootfs.path: an image with lxc.idmap is not supported yet", where)
    if same(path, "/"):
        raise ConfigError(
            "lxc.rootfs.path: '/' is the host's own root", where, "leave the key out to share it"
        )
    mountpoint = config.get("lxc.rootfs.mount")
    if mountpoint is not None and not is_folder(mountpoint):
        raise ConfigError(
            f"lxc.rootfs.mount: '{mountpoint}': is not a folder", config.where("lxc.rootfs.mount")
        )
    words = config.get("lxc.rootfs.options")
    flags = mounts.read_options(words, config.where("lxc.rootfs.options") or "", entry=False)
    if flags.options and not image:
        raise ConfigError(
            f"lxc.rootfs.options: a folder takes no option '{flags.options[0]}'",
            config.where("lxc.rootfs.options"),
        )
    return Rootfs(
        absolute(path),
        # A folder is mounted on itself: no other place needs to exist, or to be cleaned up.
        absolute(mountpoint or (_IMAGE_MOUNTPOINT if image else path)),
        image,
        flags.options,
        flags.attr_set,
        flags.attr_clr,
        flags.propagation,
        flags.propagation_recursive,
    )


_SYSCTL_NAMESPACES = {"kernel.hostname": "uts", "kernel.domainname": "uts"} | {
    f"kernel.{name}": "ipc"
    for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
}


def _refuse_host_changes(config: Config, namespaces: Namespaces) -> None:
    """Refuse what would reach the host because a namespace is missing."""
    new = namespaces.new | {join.kind for join in namespaces.joined}
    if "mnt" not in namespaces.new:
        raise Refused(
            "without a mount namespace of its own the container would change the host's mounts",
            config.where("lxc.namespace.clone") or config.where("lxc.namespace.keep") or config.source,
        )
    if config.get("lxc.uts.name") is not None and "uts" not in new:
        raise Refused(
            "lxc.uts.name: without a UTS namespace of its own the container would rename the host",
            config.where("lxc.uts.name"),
        )
    for name, entry in config.group("lxc.sysctl").items():
        needed = "net" if name.startswith("net.") else _SYSCTL_NAMESPACES.get(name)
        if needed and needed not in new:
            what = f"lxc.sysctl.{name}: without a {needed} namespace of its own the container would set the host's"
            raise Refused(what, entry.where)


def _capabilities(config: Config) -> tuple[tuple[int, ...], int]:
    """The capabilities to drop, and the number of the kernel's last one. capabilities(7)."""
    last = int(read_text("/proc/sys/kernel/cap_last_cap"))
    if config.where("lxc.cap.keep"):
        keep = config.get("lxc.cap.keep")
        return tuple(capability for capability in range(last + 1) if capability not in keep), last
    return tuple(capability for capability in config.get("lxc.cap.drop") if capability <= last), last


def _terminal(config: Config, autodev: bool, idmap: IdMaps | None, uid: int) -> Terminal | None:
    """The pseudo terminals, if any."""
    console = config.get("lxc.console.path") != "none"
    ttys, ptys = config.get("lxc.tty.max"), config.get("lxc.pty.max")
    if config.get("lxc.rootfs.path") is None or not (console or ttys or ptys):
        return None
    from minilxc.launch.terminal import Terminal

    stdio = tuple(descriptor for descriptor in range(3) if posix.isatty(descriptor)) if console else ()
    group = idmap is None or any(
        entry.kind == "g" and entry.inside <= 5 < entry.inside + entry.count
        for entry in config.get("lxc.idmap")
    )
    directory = config.get("lxc.tty.dir")
    return Terminal(
        console=console,
        stdio=stdio,
        ttys=ttys,
        directory=f"{directory.strip('/')}/" if directory else "",
        instance=bool(ttys or ptys),
        maximum=ttys + ptys,
        autodev=autodev,
        group=group,
        owner=uid,
    )


def _system_mounts(
    config: Config, namespaces: Namespaces, autodev: bool, *, keeps_net_admin: bool
) -> tuple[Mount, ...]:
    """The mounts of lxc.autodev and lxc.mount.auto."""
    found: list[Mount] = []
    if autodev:
        found.append(devices.tmpfs(config.get("lxc.autodev.tmpfs.size")))
    for word, mode, force in config.get("lxc.mount.auto"):
        if word == "proc":
            found += _proc(mode, keeps_net_admin)
        elif word == "sys":
            found += _sys(mode)
        elif force or "cgroup" not in namespaces.new:
            raise ConfigError(
                f"lxc.mount.auto: '{word}' is not supported yet", config.where("lxc.mount.auto")
            )
        # Else as in LXC: with a cgroup namespace of its own the container mounts cgroups itself.
    return tuple(found)


_PROC_FLAGS = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV | kernel.MOUNT_ATTR_NOEXEC


def _again(path: str, *, read_only: bool) -> Mount:
    """A place of the container mounted on itself, to give it flags of its own."""
    attr_set, attr_clr = (kernel.MOUNT_ATTR_RDONLY, 0) if read_only else (0, kernel.MOUNT_ATTR_RDONLY)
    return Mount(
        path, path, None, attr_set=attr_set, attr_clr=attr_clr, relative=True, skip_missing=True, follow=False
    )


def _proc(mode: str, keeps_net_admin: bool) -> list[Mount]:
    whole = Mount(
        "proc", "proc", "proc", options=("source=proc",), attr_set=_PROC_FLAGS, create="dir", follow=False
    )
    if mode == "rw":
        return [whole]
    network = [_again("proc/sys/net", read_only=False)] if keeps_net_admin else []
    return [whole, _again("proc/sys", read_only=True), *network, _again("proc/sysrq-trigger", read_only=True)]


def _sys(mode: str) -> list[Mount]:
    attr_set = 0 if mode == "rw" else kernel.MOUNT_ATTR_RDONLY
    whole = Mount(
        "sysfs", "sys", "sysfs", options=("source=sysfs",), attr_set=attr_set, create="dir", follow=False
    )
    return [whole, _again("sys/devices/virtual/net", read_only=False)] if mode == "mixed" else [whole]


def _entries(config: Config, rootfs: Rootfs, debug: Callable[[int, str, str], None]) -> tuple[Mount, ...]:
    """The mounts of the fstab file and of the entries, in LXC's order."""
    prefixes: tuple[str, ...] = ("/",)
    if rootfs.path is not None:
        prefixes = (rootfs.path, rootfs.mountpoint, config.get("lxc.rootfs.path")[1])
    found = []
    written = [(entry.value, entry.where) for entry in config.entries("lxc.mount.entry")]
    for entry, where in (*_fstab(config), *written):
        mount = mounts.from_entry(entry, where, prefixes)
        if mount is None:
            # What LXC does too: such a target names a place of the host's tree, which is left behind.
            text = f"{where}: ignored: target {entry.target} is not in the root file system"
            debug(WARN, "mounts", text)
        else:
            found.append(mount)
    return tuple(found)


def _fstab(config: Config) -> Iterator[tuple[MountEntry, str]]:
    """The entries of the fstab file, with where they stand."""
    path = config.get("lxc.mount.fstab")
    if path is None:
        return
    from minilxc.config.values import Invalid, mount_entry

    try:
        with open(path, errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise ConfigError(
            f"lxc.mount.fstab: '{path}': {error.strerror}", config.where("lxc.mount.fstab")
        ) from None
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                yield mount_entry(line.strip()), f"{path}:{number}"
            except Invalid as error:
                raise ConfigError(error.what, f"{path}:{number}", error.hint) from None


def _files(config: Config, group: str, directory: str) -> tuple[tuple[str, str], ...]:
    """The files of a group such as lxc.sysctl, as (path below `directory`, value)."""
    found = []
    for entry in config.entries(group):
        name, value = entry.value
        path = name.replace(".", "/")
        # What is below net belongs to the network namespace, and the container's may have other files.
        if not path.startswith("net/") and not exists(f"{directory}/{path}"):
            raise ConfigError(f"{group}.{name}: there is no {directory}/{path}", entry.where)
        found.append((path, value))
    return tuple(found)


# The keys that a step does the work of.
_STEP_KEYS = {
    "id maps": "lxc.idmap",
    "rootfs": "lxc.rootfs.path",
    "host name": "lxc.uts.name",
    "namespaces": "lxc.time.offset.boot",
    "terminal": "lxc.pty.max",
    "personality": "lxc.arch",
    "working directory": "lxc.init.cwd",
    "credentials": "lxc.init.uid",
    "system mounts": "lxc.mount.auto",
}


def _wheres(config: Config) -> tuple[tuple[str, str, str], ...]:
    """Which line of the config to blame for what."""
    found = [(step, "", config.where(key) or "") for step, key in _STEP_KEYS.items()]
    for step, group, directory in (("sysctl", "lxc.sysctl", "/proc/sys"), ("proc", "lxc.proc", "")):
        for entry in config.entries(group):
            found.append((step, f"{directory}/{entry.value[0].replace('.', '/')}", entry.where))
    for name, entry in config.group("lxc.prlimit").items():
        found.append(("limits", name, entry.where))
    return tuple(where for where in found if where[2])


def _personality(config: Config) -> int | None:
    word = config.get("lxc.arch")
    return {None: None, "linux": process.PER_LINUX, "linux32": process.PER_LINUX32}[word]


def _limits(config: Config) -> tuple[tuple[str, int | None, int | None], ...]:
    group = config.group("lxc.prlimit")
    if not group:
        return ()
    from minilxc.config.values import UNLIMITED

    found = []
    for name, entry in group.items():
        soft, hard = (None if limit == UNLIMITED else limit for limit in entry.value)
        if hard is not None and (soft is None or soft > hard):
            raise ConfigError(f"lxc.prlimit.{name}: the soft limit is above the hard limit", entry.where)
        found.append((name, soft, hard))
    return tuple(found)


def _program(config: Config, command: Sequence[str], with_init: bool) -> Program:
    key = ""
    if not command:
        key = "lxc.execute.cmd" if with_init else "lxc.init.cmd"
        command = config.get(key)
        if not command:
            raise UsageError(
                "there is no command to execute", config.source, "-- COMMAND, or lxc.execute.cmd"
            )
    variables = {}
    for name, value in (*config.get("lxc.environment"), *config.get("lxc.environment.runtime")):
        variables[name] = value
    variables["container"] = "lxc"
    environment = tuple(f"{name}={value}" for name, value in variables.items())
    return Program(tuple(command), environment, config.get("lxc.init.cwd"), key)


def _filters(config: Config, prepare: Callable[[str, tuple[str, str] | None], Prepared]) -> Prepared | None:
    path = config.get("lxc.seccomp.profile")
    newer = config.get(_NEWER)
    newer_where = config.where(_NEWER) or ""
    if path is None:
        if newer is not None:
            raise ConfigError(f"{_NEWER}: there is no policy", newer_where, "lxc.seccomp.profile names one")
        return None
    where = config.where("lxc.seccomp.profile") or ""
    if not exists(path):
        raise ConfigError(f"lxc.seccomp.profile: '{path}': No such file or directory", where)
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
    return prepare(path, None if newer is None else (newer, f"{newer_where}: {_NEWER}"))
