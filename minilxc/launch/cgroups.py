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

from minilxc.launch.credentials import CAP_SYS_ADMIN
from minilxc.linux import cgroup, process
from minilxc.linux.files import read_text, write_text
from minilxc.linux.syscalls import EBUSY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from minilxc.config.parse import Config
    from minilxc.launch.cgroup_settings import Setting, Settings
    from minilxc.launch.credentials import Credentials
    from minilxc.launch.idmap import IdMaps
    from minilxc.launch.namespaces import Namespaces
    from minilxc.linux.cgroup import Hierarchy

PREFIX = "lxc.payload."
_MONITOR = "lxc.monitor."  # LXC's
_MOST_NAMES = 1000  # a name that is taken gets a number behind it, as with LXC
_PATIENCE = 10  # seconds that the end of what a payload has left is waited for
_PATIENCE_NAME = 1  # seconds that the end of a container whose monitor was killed is waited for
_MODE_FOLDER, _MODE_FILE = 0o775, 0o664  # of what belongs to a mapped root, as LXC has it


class Place:
    """Where one hierarchy gets the container's group: in `folder`, an absolute path, or below it. Immutable."""

    __slots__ = ("folder", "hierarchy")

    def __init__(self, hierarchy: Hierarchy, folder: str) -> None:
        self.hierarchy = hierarchy
        self.folder = folder


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
        if self.auto is None:
            return
        from minilxc.launch.cgroup_mounts import mounts

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
    chosen = _settings(config, places)
    namespaced = "cgroup" in spaces.new
    return Cgroups(
        f"{PREFIX}{name}",
        places,
        below,
        tuple(chosen.settings) if chosen else (),
        tuple(dict.fromkeys(chosen.controllers)) if chosen else (),
        tuple(chosen.device_rules) if chosen else (),
        chosen.device_program if chosen else None,
        _owner(config, maps),
        namespaced,
        any(join.kind == "cgroup" for join in spaces.joined),
        _auto(config, places, namespaced, CAP_SYS_ADMIN not in person.dropped),
    )


def _settings(config: Config, places: tuple[Place, ...]) -> Settings | None:
    if not (config.entries("lxc.cgroup") or config.entries("lxc.cgroup2")):
        return None
    from minilxc.launch.cgroup_settings import Settings  # a start without such lines does not load it

    return Settings(config, places)


def _auto(
    config: Config, places: tuple[Place, ...], namespaced: bool, keeps_admin: bool
) -> tuple[str, str] | None:
    if not any(word.startswith("cgroup") for word, _, _ in config.get("lxc.mount.auto")):
        return None
    from minilxc.launch import cgroup_mounts

    return cgroup_mounts.from_config(config, places, namespaced, keeps_admin)


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
        time.sleep(0.001)  # version 1 has no event for a group that gets empty
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
