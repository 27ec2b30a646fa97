"""The container's control groups: one in each hierarchy, with the settings of lxc.cgroup.* and lxc.cgroup2.*.

Every container gets its groups, as with LXC: what a payload leaves running is found in them. It costs about a
millisecond, because nothing here waits for a grace period of RCU (10 ms and more, once for each move
of another process): the child is born into its group of version 2 and moves itself into those of
version 1, through `tasks`, which the kernel lets a single thread do without locking all processes out.

The monitor stays in the groups of its caller, who accounts for it and may limit it.
"""

from __future__ import annotations

import fcntl
import posix
import time

from minilxc.errors import ConfigError, Refused
from minilxc.launch.credentials import CAP_SYS_ADMIN
from minilxc.launch.mounts import Mount
from minilxc.linux import cgroup, process
from minilxc.linux import mount as kernel
from minilxc.linux.files import read_text, write_text
from minilxc.linux.syscalls import EBUSY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from minilxc.config.parse import Config, Entry
    from minilxc.launch.credentials import Credentials
    from minilxc.launch.idmap import IdMaps
    from minilxc.launch.namespaces import Namespaces
    from minilxc.linux import bpf
    from minilxc.linux.cgroup import Hierarchy

PREFIX = "lxc.payload."
_MONITOR = "lxc.monitor."  # LXC's
_MOST_NAMES = 1000  # a name that is taken gets a number behind it, as with LXC
_PATIENCE = 10  # seconds that the end of what a payload has left is waited for
_PATIENCE_NAME = 1  # seconds that the end of a container whose monitor was killed is waited for
_MODE_FOLDER, _MODE_FILE = 0o775, 0o664  # of what belongs to a mapped root, as LXC has it
_QUIET = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV | kernel.MOUNT_ATTR_NOEXEC

# Files that say what runs in the group and whether it does: the start's affair and, later, other commands'.
_NOT_SETTINGS = frozenset(
    "tasks cgroup.procs cgroup.threads cgroup.type cgroup.freeze cgroup.kill freezer.state".split()
)


class Place:
    """Where one hierarchy gets the container's group: in `folder`, an absolute path, or below it. Immutable."""

    __slots__ = ("folder", "hierarchy")

    def __init__(self, hierarchy: Hierarchy, folder: str) -> None:
        self.hierarchy = hierarchy
        self.folder = folder


class Setting:
    """A value for a file of the group that `place` (an index) gets. Immutable."""

    __slots__ = ("file", "place", "value")

    def __init__(self, place: int, file: str, value: str) -> None:
        self.place = place
        self.file = file
        self.value = value

    def describe(self) -> str:
        """The setting as an error names it."""
        return f"{self.file} = {self.value}"


class Cgroups:
    """What the container's groups will be. Immutable.

    `below` are the folders of lxc.cgroup.dir, made where they are missing. `settings` are written
    before the container exists, `device_rules` (version 1) and `device_program` (version 2) take effect
    just before the payload, which makes no devices of its own any more. `owner` is the mapped root.
    `controllers` of version 2 are needed for the settings. `namespaced`: the container sees its own
    groups as the top; then the child makes the namespace. `auto` is the (word, mode) of lxc.mount.auto.
    """

    __slots__ = (
        "auto",
        "below",
        "controllers",
        "device_program",
        "device_rules",
        "name",
        "namespaced",
        "owner",
        "places",
        "settings",
        "shared",
    )

    def __init__(
        self,
        name: str,
        places: tuple[Place, ...],
        below: tuple[str, ...],
        settings: tuple[Setting, ...],
        controllers: tuple[str, ...],
        device_rules: tuple[Setting, ...],
        device_program: bytes | None,
        owner: tuple[int, int] | None,
        namespaced: bool,
        shared: bool,
        auto: tuple[str, str] | None,
    ) -> None:
        self.name = name
        self.places = places
        self.below = below
        self.settings = settings
        self.controllers = controllers
        self.device_rules = device_rules
        self.device_program = device_program
        self.owner = owner
        self.namespaced = namespaced
        self.shared = shared
        self.auto = auto

    @property
    def rules_devices(self) -> bool:
        """Whether the payload may not use every device."""
        return bool(self.device_rules) or self.device_program is not None

    def lines(self) -> Iterator[tuple[str, str]]:
        """The groups, their settings and mounts: (subject, text)."""
        if self.places:
            path = "/".join((*self.below, self.name))
            kinds = [",".join(place.hierarchy.controllers) or "version 2" for place in self.places]
            yield "cgroup", f"{path} in {' '.join(kinds)}"
        for setting in self.settings + self.device_rules:
            yield "cgroup", setting.describe()
        if self.device_program is not None:
            yield "cgroup", "device rules, as a program of version 2"
        paths = ["/".join((place.folder, *self.below, self.name)) for place in self.places]
        for mount in mounts(self, paths):
            for line in mount.lines():
                yield "mount", line


class Made:
    """The groups of one start: their paths, by place, and what is open of them."""

    __slots__ = ("folders", "lock", "paths")

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.folders: list[str] = []  # those of lxc.cgroup.dir that were not there
        self.lock = -1  # held on the first group as long as it is in use


class Door:
    """What is open of the groups while the child comes into being: its way in.

    `group` is that of version 2, in which it is born; `entries` are files of version 1, with their paths.
    """

    __slots__ = ("entries", "group", "paths")

    def __init__(self, group: int | None, entries: list[tuple[str, int]], paths: list[str]) -> None:
        self.group = group
        self.entries = entries
        self.paths = paths

    def close(self) -> None:
        """Parent: the child has what it needs."""
        for descriptor in [descriptor for _, descriptor in self.entries]:
            posix.close(descriptor)
        if self.group is not None:
            posix.close(self.group)


# Config to plan


def from_config(
    config: Config, name: str, spaces: Namespaces, maps: IdMaps | None, person: Credentials
) -> Cgroups:
    """The container's groups. Raises ConfigError; Refused for what the hierarchies here cannot do."""
    below = tuple(part for part in (config.get("lxc.cgroup.dir") or "").split("/") if part not in ("", "."))
    places = _places(cgroup.hierarchies(), config.get("lxc.cgroup.relative"))
    chosen = _Settings(config, places)
    namespaced = "cgroup" in spaces.new
    return Cgroups(
        f"{PREFIX}{name}",
        places,
        below,
        tuple(chosen.settings),
        tuple(dict.fromkeys(chosen.controllers)),
        tuple(chosen.device_rules),
        chosen.device_program,
        _owner(config, maps),
        namespaced,
        any(join.kind == "cgroup" for join in spaces.joined),
        _auto(config, places, namespaced, CAP_SYS_ADMIN not in person.dropped),
    )


def _places(hierarchies: tuple[Hierarchy, ...], relative: bool) -> tuple[Place, ...]:
    """The hierarchies that we may make groups in, and below which group of them.

    As LXC: that of process 1 for root, our own with lxc.cgroup.relative and for everybody else.
    """
    as_root = posix.geteuid() == 0 and not relative
    try:
        bases = cgroup.groups_of("1" if as_root else "self")
    except OSError:  # process 1 is hidden
        bases = cgroup.groups_of("self")
    found = []
    for hierarchy in hierarchies:
        base = bases.get(",".join(hierarchy.controllers), "/")
        if as_root:
            base = base.removesuffix("/init.scope")  # where systemd is, beside what it starts
        if ".." in base:  # process 1 is outside of our cgroup namespace
            base = "/"
        folder = hierarchy.top + base.rstrip("/")
        if posix.access(folder, posix.W_OK | posix.X_OK):
            found.append(Place(hierarchy, folder))
    return tuple(found)


def _owner(config: Config, maps: IdMaps | None) -> tuple[int, int] | None:
    """The ids on the host of the root of an id map: who may make groups below the container's."""
    if maps is None or posix.geteuid() != 0:  # a user cannot give it away, and keeps it
        return None
    ids = {}
    for kind, inside in (("u", maps.uid), ("g", maps.gid)):
        for entry in config.get("lxc.idmap"):
            if entry.kind == kind and entry.inside <= inside < entry.inside + entry.count:
                ids[kind] = entry.outside + inside - entry.inside
    return ids["u"], ids["g"]


class _Settings:
    """The lines of lxc.cgroup and lxc.cgroup2, sorted by who acts on them and when.

    A line for a version that does not have its controller here is refused, unless there are lines for
    the same controller in the other version, where it is: such a config is meant for both.
    """

    def __init__(self, config: Config, places: tuple[Place, ...]) -> None:
        self.settings: list[Setting] = []
        self.controllers: list[str] = []
        self.device_rules: list[Setting] = []
        self.device_program: bytes | None = None
        self.given: tuple[str, ...] = ()
        self.indexes = {
            name: index for index, place in enumerate(places) for name in place.hierarchy.controllers
        }
        self.unified = next(
            (index for index, place in enumerate(places) if place.hierarchy.version == 2), None
        )
        lines = {group: config.entries(group) for group in ("lxc.cgroup", "lxc.cgroup2")}
        self.spoken = {
            group: {entry.value[0].partition(".")[0] for entry in entries} for group, entries in lines.items()
        }
        for group, entries in lines.items():
            for entry in entries:
                _check_file(f"{group}.{entry.value[0]}", entry)
        if self.unified is not None and any(lines.values()):
            self.given = cgroup.available(places[self.unified].folder)
        for entry in lines["lxc.cgroup"]:
            self._version_1(entry)
        for entry in lines["lxc.cgroup2"]:
            self._version_2(entry)
        self._devices(
            [entry for entry in lines["lxc.cgroup"] if entry.value[0].startswith("devices.")],
            [entry for entry in lines["lxc.cgroup2"] if entry.value[0].startswith("devices.")],
        )

    def _version_1(self, entry: Entry) -> None:
        file, value = entry.value
        controller = file.partition(".")[0]
        if controller in self.indexes:
            setting = Setting(self.indexes[controller], file, value)
            (self.device_rules if controller == "devices" else self.settings).append(setting)
        elif controller == "devices" and self.unified is not None:
            pass  # as a program, below
        elif not (controller in self.given and controller in self.spoken["lxc.cgroup2"]):
            here = ", but it is in version 2: lxc.cgroup2" if controller in self.given else ""
            what = f"lxc.cgroup.{file}: there is no controller '{controller}' of cgroup version 1 here{here}"
            raise Refused(what, entry.where)

    def _version_2(self, entry: Entry) -> None:
        file, value = entry.value
        controller = file.partition(".")[0]
        if controller == "devices":
            if self.unified is None and not (controller in self.indexes and self._both(controller)):
                what = f"lxc.cgroup2.{file}: cgroup version 2 is not mounted here, or not writable"
                raise Refused(what, entry.where)
        elif self.unified is not None and controller in ("cgroup", *self.given):
            self.settings.append(Setting(self.unified, file, value))
            if controller != "cgroup":
                self.controllers.append(controller)
        elif not (controller in self.indexes and self._both(controller)):
            here = ", but it is in version 1: lxc.cgroup" if controller in self.indexes else ""
            what = f"lxc.cgroup2.{file}: there is no controller '{controller}' of cgroup version 2 here{here}"
            raise Refused(what, entry.where)

    def _both(self, controller: str) -> bool:
        return all(controller in spoken for spoken in self.spoken.values())

    def _devices(self, first: list[Entry], second: list[Entry]) -> None:
        """Device rules of version 2, and those of version 1 where there is no controller for them."""
        if self.unified is None or not (first or second):
            return
        # Where version 1 decides, a program decides too when its lines say something else.
        if self.device_rules and (
            [entry.value for entry in second] in ([], [entry.value for entry in first])
        ):
            return
        from minilxc.linux import bpf

        rules = [_device_rule(entry) for entry in second or first]
        # As LXC: allowing something forbids the rest; version 1 begins with everything allowed.
        otherwise = not (second and rules[0].allow)
        self.device_program = bpf.device_program(rules, otherwise)


def _check_file(key: str, entry: Entry) -> None:
    file = entry.value[0]
    if "/" in file or not all(file.partition(".")):
        raise ConfigError(f"{key}: expected the name of a file, CONTROLLER.FILE", entry.where)
    if file in _NOT_SETTINGS or file.partition(".")[2] in _NOT_SETTINGS:
        raise ConfigError(f"{key}: is no setting: it says what runs in the group", entry.where)


def _device_rule(entry: Entry) -> bpf.DeviceRule:
    """A rule as `devices.allow` takes it: `a`, or TYPE MAJOR:MINOR ACCESS, with `*` for any number."""
    from minilxc.linux import bpf

    file, value = entry.value
    if file not in ("devices.allow", "devices.deny"):
        raise ConfigError(f"{file}: there are devices.allow and devices.deny", entry.where)
    words = value.split()
    if words == ["a"]:
        words = ["a", "*:*", "rwm"]
    kinds = {"a": None, "b": bpf.BLOCK, "c": bpf.CHAR}
    bits = {"r": bpf.READ, "w": bpf.WRITE, "m": bpf.MKNOD}
    numbers = words[1].split(":") if len(words) == 3 else []
    if (
        len(numbers) != 2
        or words[0] not in kinds
        or not all(number == "*" or (number.isascii() and number.isdecimal()) for number in numbers)
        or not all(int(number) < 1 << 31 for number in numbers if number != "*")
        or not set(words[2]) <= set(bits)
    ):
        raise ConfigError(
            f"{file}: expected a, or TYPE MAJOR:MINOR ACCESS, not '{value}'", entry.where, "as in: c 1:3 rwm"
        )
    major, minor = (None if number == "*" else int(number) for number in numbers)
    access = sum(bits[letter] for letter in set(words[2]))
    return bpf.DeviceRule(file == "devices.allow", kinds[words[0]], major, minor, access)


def _auto(
    config: Config, places: tuple[Place, ...], namespaced: bool, keeps_admin: bool
) -> tuple[str, str] | None:
    """What lxc.mount.auto makes of /sys/fs/cgroup: (word, mode), or None for nothing.

    As LXC: a container with a cgroup namespace of its own mounts its groups itself, where it is able
    to and its init can be expected to (not with version 2 alone), unless the config forces it.
    """
    found = [each for each in config.get("lxc.mount.auto") if each[0].startswith("cgroup")]
    if not found:
        return None
    word, mode, force = found[0]
    alone = bool(places) and all(place.hierarchy.version == 2 for place in places)
    if namespaced and not force and keeps_admin and not alone:
        return None
    where = config.where("lxc.mount.auto")
    if not any(place.hierarchy.version == 2 or word != "cgroup2" for place in places):
        if namespaced and not force:
            return None
        raise ConfigError(f"lxc.mount.auto: '{word}': there is no such hierarchy to mount here", where)
    if not namespaced and (alone or word == "cgroup2"):
        what = f"lxc.mount.auto: '{word}': version 2 is only mounted in a cgroup namespace of its own"
        raise ConfigError(what, where)
    return ("cgroup2" if alone else word), mode or ("rw" if keeps_admin else "mixed")


# Parent


def make(plan: Cgroups, ends: list[tuple[str, Callable[[], object]]]) -> Made:
    """Parent: make the groups and write their settings. Raises OSError."""
    made = Made()
    ends.append(("cgroup", lambda: _take_away(made)))
    for place in plan.places:
        folder = place.folder
        for part in plan.below:
            folder = f"{folder}/{part}"
            if _make_group(folder, place, shared=True):
                made.folders.append(folder)
    for number in range(_MOST_NAMES):
        if _make_all(plan, f"{plan.name}-{number}" if number else plan.name, made):
            break
    else:
        raise OSError(EBUSY, posix.strerror(EBUSY), plan.name)
    for place in plan.places:
        if place.hierarchy.version == 2:
            _give_controllers(plan, place)
    for setting in plan.settings:
        _write(setting, made)
    if plan.owner is not None:
        for place, path in zip(plan.places, made.paths, strict=True):
            _delegate(path, place.hierarchy.version, plan.owner)
    return made


def _make_group(path: str, place: Place, *, shared: bool = False) -> bool:
    """Make one group; whether it was not there. One that is `shared` is made fit for use all the same."""
    made = True
    try:
        posix.mkdir(path, 0o755)
    except FileExistsError:
        made = False
    if "cpuset" in place.hierarchy.controllers and (made or shared):
        cgroup.inherit_cpus(path)
    return made


def _make_all(plan: Cgroups, name: str, made: Made) -> bool:
    """Make the groups of this name in each hierarchy; whether the name was free.

    The first of them is locked (flock(2)), which ends with the monitor. So a group without a lock and
    without a process is what a killed monitor has left, and goes away.
    """
    for place in plan.places:
        path = "/".join((place.folder, *plan.below, name))
        first = not made.paths
        made.paths.append(path)
        while not _make_group(path, place):
            if not _take_away_stale(path, first):
                made.paths.pop()
                _take_away_groups(made)
                return False
        if first:
            made.lock = _open(path)
            try:
                fcntl.flock(made.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # anybody may open it; but nobody shall hold a start
                _take_away_groups(made)
                return False
            if not _is_at(made.lock, path):  # somebody took it for a stale one before it was locked
                made.paths.clear()
                _take_away_groups(made)
                return False
    return True


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return posix.stat(path).st_ino == posix.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _take_away_stale(path: str, locked: bool) -> bool:
    """Remove a group that nobody uses; whether it is gone. `locked`: who uses it holds a lock on it."""
    try:
        descriptor = _open(path)
    except FileNotFoundError:
        return True
    try:
        if locked:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if cgroup.processes(path) and (not locked or not _empties(path)):
            return False
        cgroup.remove(path)
        return True
    except OSError:  # locked, or a process has just gone in
        return False
    finally:
        posix.close(descriptor)


def _empties(path: str) -> bool:
    """Whether the group gets empty soon: the container of a monitor that was killed has its own end before it.

    A group of LXC's has no lock, but there is one for its monitor.
    """
    folder, _, name = path.rpartition("/")
    if posix.access(f"{folder}/{_MONITOR}{name.removeprefix(PREFIX)}", posix.F_OK):
        return False
    deadline = time.monotonic() + _PATIENCE_NAME
    while cgroup.processes(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def _give_controllers(plan: Cgroups, place: Place) -> None:
    """Have the groups above the container's, of version 2, hand down what there is of controllers."""
    folder = place.folder
    for part in ("", *plan.below):
        folder = f"{folder}/{part}".rstrip("/")
        try:
            cgroup.enable(folder, cgroup.available(folder))
        except OSError:
            # One that cannot be had is no reason to fail, unless a setting needs it.
            cgroup.enable(folder, plan.controllers)


def _write(setting: Setting, made: Made) -> None:
    try:
        write_text(f"{made.paths[setting.place]}/{setting.file}", setting.value)
    except OSError as error:
        raise OSError(error.errno, error.strerror, setting.describe()) from None


def _delegate(group: str, version: int, owner: tuple[int, int]) -> None:
    """Let the mapped root make groups in `group`, and move its processes among them. cgroups(7), delegation."""
    names = ["tasks", "cgroup.procs"]
    if version == 2:
        names = read_text("/sys/kernel/cgroup/delegate").split()
    for path, mode in ((group, _MODE_FOLDER), *((f"{group}/{name}", _MODE_FILE) for name in names)):
        try:
            posix.chown(path, *owner)
            posix.chmod(path, mode)
        except FileNotFoundError:
            pass  # of a controller that is not there


def rule_devices(plan: Cgroups, made: Made) -> None:
    """Parent: from now on the container has the devices of its rules only. Raises OSError."""
    for rule in plan.device_rules:
        _write(rule, made)
    if plan.device_program is not None:
        from minilxc.linux import bpf

        program = bpf.load_device_program(plan.device_program)
        try:
            for place, path in zip(plan.places, made.paths, strict=True):
                if place.hierarchy.version == 2:
                    group = _open(path)
                    try:
                        bpf.attach_device_program(program, group)
                    finally:
                        posix.close(group)
        finally:
            posix.close(program)


def open_door(plan: Cgroups, made: Made) -> Door:
    """Parent: open what the child goes into its groups through. Raises OSError."""
    door = Door(None, [], made.paths)
    for place, path in zip(plan.places, made.paths, strict=True):
        if place.hierarchy.version == 1:
            file = f"{path}/tasks"
            door.entries.append((file, posix.open(file, posix.O_WRONLY | posix.O_CLOEXEC)))
        elif not plan.shared:
            door.group = _open(path)
    return door


def bring_in(plan: Cgroups, made: Made, pid: int) -> None:
    """Parent: move a child that was born in another cgroup namespace than ours, which may forbid the move there."""
    if plan.shared:
        for place, path in zip(plan.places, made.paths, strict=True):
            if place.hierarchy.version == 2:
                write_text(f"{path}/cgroup.procs", str(pid))


def _open(group: str) -> int:
    return posix.open(group, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)


def thaw(made: Made) -> None:
    """Parent: let the container go on where it, or somebody inside, has been frozen: who is frozen cannot end."""
    for path in made.paths:
        cgroup.thaw(path)


def _take_away(made: Made) -> None:
    """End what the payload has left and remove its groups; the caller's end, whatever happened."""
    _take_away_groups(made)
    for folder in reversed(made.folders):
        try:
            posix.rmdir(folder)
        except OSError:
            pass  # another container is below it


def _take_away_groups(made: Made) -> None:
    """Remove the groups, and what runs in them. Raises OSError when something cannot be ended."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            for path in made.paths:
                cgroup.remove(path)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            cgroup.end_processes(made.paths)
    made.paths.clear()
    if made.lock >= 0:
        posix.close(made.lock)
        made.lock = -1


# Child


def enter(plan: Cgroups, door: Door) -> None:
    """Child: go into the groups of version 1, then make what it is in the top of what it sees.

    Raises OSError. cgroup_namespaces(7).
    """
    for file, descriptor in door.entries:
        try:
            posix.write(descriptor, b"0")
        except OSError as error:
            raise OSError(error.errno, error.strerror, file) from None
    if plan.namespaced:
        process.unshare(cgroup.CLONE_NEWCGROUP)


def wheres(config: Config) -> Iterator[tuple[str, str, str]]:
    """Which line to blame for what: (step, what the error is about, where)."""
    for group in ("lxc.cgroup", "lxc.cgroup2"):
        for entry in config.entries(group):
            file, value = entry.value
            yield (
                "device rules" if file.startswith("devices.") else "cgroup",
                f"{file} = {value}",
                entry.where,
            )
            if file.startswith("devices."):
                yield "device rules", "BPF", entry.where
            elif group == "lxc.cgroup2":
                yield "cgroup", "cgroup.subtree_control", entry.where
    yield "cgroup", f"/{config.get('lxc.cgroup.dir')}", config.where("lxc.cgroup.dir") or ""
    yield "cgroup mounts", "", config.where("lxc.mount.auto") or ""


def mounts(plan: Cgroups, paths: list[str]) -> tuple[Mount, ...]:
    """What lxc.mount.auto asks for on /sys/fs/cgroup, with the groups at `paths`."""
    if plan.auto is None:
        return ()
    word, mode = plan.auto
    read_only = kernel.MOUNT_ATTR_RDONLY
    if word == "cgroup2":
        flags = _QUIET | read_only if mode == "ro" else _QUIET
        return (_mount("sys/fs/cgroup", "cgroup2", flags, ()),)
    inside: list[Mount] = []
    for place, path in zip(plan.places, paths, strict=True):
        top = place.hierarchy.top
        name = top.rpartition("/")[2]
        own = path[len(top) + 1 :]
        if plan.namespaced:
            flags = _QUIET | read_only if mode == "ro" else _QUIET
            kind = "cgroup" if place.hierarchy.version == 1 else "cgroup2"
            inside.append(_mount(name, kind, flags, place.hierarchy.controllers))
        elif word == "cgroup-full":
            group = Mount(path, own, None, attr_clr=read_only, attr_set=_QUIET)
            flags = _QUIET if mode == "rw" else _QUIET | read_only
            below = (group,) if mode == "mixed" else ()
            inside.append(Mount(top, name, None, attr_set=flags, create="dir", inside=below))
        else:
            flags = _QUIET | read_only if mode == "ro" else _QUIET
            inside.append(Mount(path, f"{name}/{own}", None, attr_set=flags, create="dir"))
    if mode == "ro" or (mode == "mixed" and not plan.namespaced):
        inside.append(Mount("", "", None, remount=True, attr_set=read_only))
    return (_mount("sys/fs/cgroup", "tmpfs", _QUIET, ("size=10240k", "mode=755"), tuple(inside)),)


def _mount(
    target: str, kind: str, flags: int, options: tuple[str, ...], inside: tuple[Mount, ...] = ()
) -> Mount:
    """A file system below /sys/fs/cgroup; without a place for it there is none, as with LXC."""
    outermost = target.startswith("sys/")
    return Mount(
        kind,
        target,
        kind,
        options=(f"source={kind}", *options),
        attr_set=flags,
        create="" if outermost else "dir",
        skip_missing=outermost,
        follow=False,
        inside=inside,
    )
