"""The settings of lxc.cgroup.* and lxc.cgroup2.*, and what they say of devices. Loaded when a config has some."""

from __future__ import annotations

from minilxc.errors import ConfigError, Refused
from minilxc.linux import cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.config.parse import Config, Entry
    from minilxc.launch.cgroups import Place
    from minilxc.linux import bpf

# Files that say what runs in the group and whether it does: the start's affair and, later, other commands'.
_NOT_SETTINGS = frozenset(
    "tasks cgroup.procs cgroup.threads cgroup.type cgroup.freeze cgroup.kill freezer.state".split()
)


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


class Settings:
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
