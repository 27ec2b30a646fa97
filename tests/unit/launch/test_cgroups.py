"""What becomes of the lines about control groups, on machines with version 1, version 2, and both."""

from __future__ import annotations

import itertools
import struct
import sys

import pytest

from minilxc.config.parse import Config
from minilxc.errors import ConfigError, MinilxcError, Refused
from minilxc.launch import cgroups
from minilxc.launch.cgroups import Place
from minilxc.launch.credentials import CAP_SYS_ADMIN
from minilxc.linux import bpf, cgroup
from minilxc.linux.bpf import BLOCK, CHAR, MKNOD, READ, WRITE, DeviceRule
from minilxc.linux.cgroup import Hierarchy


class Spaces:
    def __init__(self, *new):
        self.new = frozenset(new)
        self.joined = ()


class Person:
    def __init__(self, *dropped):
        self.dropped = dropped


class Maps:
    uid = gid = 0


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Pretends a machine: machine(CONTROLLER..., unified="CONTROLLERS" or None); returns nothing."""

    def pretend(*first, unified=None):
        places = [Place(Hierarchy(1, (name,), f"/cg/{name}"), f"/cg/{name}") for name in first]
        if unified is not None:
            (tmp_path / "cgroup.controllers").write_text(unified)
            places.append(Place(Hierarchy(2, (), str(tmp_path)), str(tmp_path)))
        monkeypatch.setattr(cgroups, "_places", lambda *_: tuple(places))

    return pretend


def make(text, *, spaces=None, person=None, maps=None):
    config = Config.from_text(text.encode(), "c")
    return cgroups.from_config(config, "c1", spaces or Spaces("cgroup"), maps, person or Person())


def refusal(text, kind=Refused, **more):
    with pytest.raises(MinilxcError) as caught:
        make(text, **more)
    assert type(caught.value) is kind
    return str(caught.value)


# --- settings


def test_settings_keep_their_order_and_devices_of_version_1_come_last(machine):
    machine("memory", "devices")
    plan = make(
        "lxc.cgroup.memory.b = 1\nlxc.cgroup.devices.deny = a\nlxc.cgroup.memory.a = 2\n"
        "lxc.cgroup.devices.allow = c 1:3 rwm\n"
    )
    assert [each.describe() for each in plan.settings] == ["memory.b = 1", "memory.a = 2"]
    assert [each.describe() for each in plan.device_rules] == [
        "devices.deny = a",
        "devices.allow = c 1:3 rwm",
    ]
    assert plan.device_program is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lxc.cgroup.bogus.x = 1", "there is no controller 'bogus' of cgroup version 1 here"),
        ("lxc.cgroup2.bogus.x = 1", "there is no controller 'bogus' of cgroup version 2 here"),
        (
            "lxc.cgroup2.memory.max = 1",
            "there is no controller 'memory' of cgroup version 2 here, but it is in version 1: lxc.cgroup",
        ),
        (
            "lxc.cgroup.io.max = 1",
            "there is no controller 'io' of cgroup version 1 here, but it is in version 2: lxc.cgroup2",
        ),
    ],
)
def test_controller_that_is_not_there_is_refused_with_the_line(machine, line, said):
    """Silent hole 5: LXC ignores lxc.cgroup2 on machines with version 1."""
    machine("memory", unified="io")
    assert refusal(f"# first\n{line}\n") == f"c:2: {line.partition(' ')[0]}: {said}"


def test_device_rules_of_version_2_without_it_are_refused(machine):
    machine("devices")
    said = "cgroup version 2 is not mounted here, or not writable"
    assert refusal("lxc.cgroup2.devices.deny = a") == f"c:1: lxc.cgroup2.devices.deny: {said}"


def test_config_for_both_versions_uses_what_is_there(machine):
    text = (
        "lxc.cgroup.memory.limit_in_bytes = 1\nlxc.cgroup2.memory.max = 2\n"
        "lxc.cgroup.devices.deny = a\nlxc.cgroup2.devices.deny = a\n"
    )
    machine("memory", "devices")
    first = make(text)
    assert [each.describe() for each in first.settings] == ["memory.limit_in_bytes = 1"]
    assert [each.describe() for each in first.device_rules] == ["devices.deny = a"]
    machine(unified="cpu memory")
    second = make(text)
    assert [each.describe() for each in second.settings] == ["memory.max = 2"]
    assert second.controllers == ("memory",)
    assert second.device_rules == ()
    assert second.device_program is not None


def test_device_rules_of_version_1_become_a_program_where_there_is_only_version_2(machine):
    machine(unified="")
    plan = make("lxc.cgroup.devices.deny = a\nlxc.cgroup.devices.allow = c 1:3 r\n")
    assert answer(plan.device_program, CHAR, 1, 3, READ)
    assert not answer(plan.device_program, CHAR, 1, 3, WRITE)


@pytest.mark.parametrize(
    "key",
    [
        "lxc.cgroup.freezer.state",
        "lxc.cgroup2.cgroup.freeze",
        "lxc.cgroup2.cgroup.procs",
        "lxc.cgroup.memory.tasks",
        "lxc.cgroup.memory.cgroup.procs",
    ],
)
def test_files_that_move_or_stop_processes_are_no_settings(machine, key):
    machine("memory", "freezer", unified="")
    assert refusal(f"{key} = 1", ConfigError) == f"c:1: {key}: is no setting: it says what runs in the group"


@pytest.mark.parametrize("key", ["lxc.cgroup.memory", "lxc.cgroup.memory./../../x", "lxc.cgroup2.cgroup.a/b"])
def test_only_files_of_the_group_itself_can_be_named(machine, key):
    machine("memory", unified="")
    said = "expected the name of a file, CONTROLLER.FILE"
    assert refusal(f"{key} = 1", ConfigError) == f"c:1: {key}: {said}"


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "x",
        "c",
        "c 1:3",
        "c 1 r",
        "c 1:3 x",
        "d 1:3 r",
        "c -1:3 r",
        "c 1:3 r w",
        "c 4294967296:1 r",
        "a 1:3",
    ],
)
def test_rule_that_is_none_is_an_error(machine, rule):
    machine(unified="")
    if not rule:
        assert make("lxc.cgroup2.devices.allow =").device_program is None
        return
    said = f"expected a, or TYPE MAJOR:MINOR ACCESS, not '{rule}' (as in: c 1:3 rwm)"
    assert refusal(f"lxc.cgroup2.devices.allow = {rule}", ConfigError) == f"c:1: devices.allow: {said}"


def test_other_device_files_are_an_error_in_version_2(machine):
    machine(unified="")
    said = "c:1: devices.list: there are devices.allow and devices.deny"
    assert refusal("lxc.cgroup2.devices.list = a", ConfigError) == said


def test_mapped_root_owns_the_groups(machine):
    machine("memory")
    text = "lxc.idmap = u 7 5 1\nlxc.idmap = u 0 100000 7\nlxc.idmap = g 0 200000 10\n"
    assert make(text, maps=Maps).owner == (100000, 200000)
    assert make("").owner is None


# --- mounts


@pytest.mark.parametrize(
    ("auto", "new", "dropped", "wanted"),
    [
        ("cgroup:mixed", True, (), None),
        ("cgroup:mixed:force", True, (), ("cgroup", "mixed")),
        ("cgroup:ro", True, (CAP_SYS_ADMIN,), ("cgroup", "ro")),
        ("cgroup", True, (CAP_SYS_ADMIN,), ("cgroup", "mixed")),
        ("cgroup", False, (), ("cgroup", "rw")),
        ("cgroup-full:ro", False, (), ("cgroup-full", "ro")),
        ("cgroup2:ro:force", True, (), ("cgroup2", "ro")),
        ("proc", False, (), None),
    ],
)
def test_when_groups_are_mounted(machine, auto, new, dropped, wanted):
    machine("memory", unified="")
    spaces = Spaces("cgroup") if new else Spaces()
    assert make(f"lxc.mount.auto = {auto}", spaces=spaces, person=Person(*dropped)).auto == wanted


def test_version_2_alone_is_mounted_without_force_too(machine):
    """As LXC: inits mount it less readily than version 1."""
    machine(unified="")
    assert make("lxc.mount.auto = cgroup:ro").auto == ("cgroup2", "ro")


def test_mounts_that_cannot_be_had_are_refused(machine):
    machine("memory", unified="")
    said = "version 2 is only mounted in a cgroup namespace of its own"
    text = "lxc.mount.auto = cgroup2"
    assert refusal(text, ConfigError, spaces=Spaces()) == f"c:1: lxc.mount.auto: 'cgroup2': {said}"
    machine()
    said = "there is no such hierarchy to mount here"
    text = "lxc.mount.auto = cgroup:ro:force"
    assert refusal(text, ConfigError) == f"c:1: lxc.mount.auto: 'cgroup': {said}"


# --- where hierarchies are


def test_hierarchies_are_found_by_what_the_mount_table_says(tmp_path, monkeypatch):
    table = tmp_path / "mountinfo"
    table.write_text(
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
        "33 31 0:30 / /mnt/a\\040b rw - cgroup cgroup rw,xattr,name=systemd\n"
        "34 31 0:31 /part /elsewhere rw - cgroup cgroup rw,memory\n"
        "35 31 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
        "36 31 0:32 / /second rw - cgroup2 cgroup2 rw\n"
    )
    groups = {"cpu,cpuacct": "/", "name=systemd": "/", "memory": "/", "": "/"}
    monkeypatch.setattr(cgroup, "groups_of", lambda _: groups)
    monkeypatch.setattr(cgroup, "open", lambda *_: table.open("rb"), raising=False)
    assert [(each.version, each.controllers, each.top) for each in cgroup.hierarchies()] == [
        (1, ("cpu", "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct"),
        (1, ("name=systemd",), "/mnt/a b"),
        (2, (), "/sys/fs/cgroup/unified"),
    ]


# --- the program for devices


def answer(program, kind, major, minor, access):
    """What the kernel's machine makes of the program: whether the access is allowed. instruction-set.rst."""
    registers = [0] * 11
    context = struct.pack("=III", access << 16 | kind, major, minor)
    at = 0
    while True:
        code, pair, offset, immediate = struct.unpack_from("=BBhi", program, 8 * at)
        target, source = (pair & 15, pair >> 4) if sys.byteorder == "little" else (pair >> 4, pair & 15)
        at += 1
        match code:
            case 0x61:
                registers[target] = struct.unpack_from("=I", context, offset)[0]
            case 0xBC:
                registers[target] = registers[source]
            case 0xB4:
                registers[target] = immediate
            case 0x54:
                registers[target] &= immediate & 0xFFFFFFFF
            case 0x74:
                registers[target] >>= immediate
            case 0x05:
                at += offset
            case 0x15:
                at += offset if registers[target] == immediate else 0
            case 0x55:
                at += offset if registers[target] != immediate else 0
            case 0x45:
                at += offset if registers[target] & immediate else 0
            case 0x95:
                return bool(registers[0])
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


def last_word(rules, otherwise, kind, major, minor, access):
    """The same, in Python: for each kind of access the last rule that speaks of it counts."""
    for bit in (MKNOD, READ, WRITE):
        if access & bit:
            fitting = [
                rule.allow
                for rule in rules
                if rule.access & bit
                and rule.kind in (None, kind)
                and rule.major in (None, major)
                and rule.minor in (None, minor)
            ]
            if not (fitting[-1] if fitting else otherwise):
                return False
    return True


ALL = MKNOD | READ | WRITE
RULES = [
    DeviceRule(False, None, None, None, ALL),
    DeviceRule(True, None, None, None, ALL),
    DeviceRule(True, CHAR, 1, None, ALL),
    DeviceRule(False, CHAR, 1, 3, WRITE),
    DeviceRule(True, CHAR, None, 3, READ | MKNOD),
    DeviceRule(False, BLOCK, None, None, READ | WRITE),
    DeviceRule(True, None, 1, 3, WRITE),
    DeviceRule(False, None, None, None, MKNOD),
]


@pytest.mark.parametrize("otherwise", [False, True])
def test_last_rule_about_a_device_and_an_access_counts(otherwise):
    asked = list(itertools.product((BLOCK, CHAR), (1, 5), (3, 4), range(1, 8)))
    for length in range(4):
        for rules in itertools.permutations(RULES, length):
            program = bpf.device_program(rules, otherwise)
            for each in asked:
                assert answer(program, *each) == last_word(rules, otherwise, *each)
