"""Text to Config: the syntax, includes, old names, and what is judged at the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minilxc.config.keys import TABLE
from minilxc.config.parse import MOST_BYTES, NOTICE, WARN, Config, Entry, Note
from minilxc.errors import ConfigError
from minilxc.linux.names import SIGNALS

KIND_IN_PATH = "the type now stands before the path (lxc.rootfs.path = TYPE:PATH)"
LXC_CONFIGS = Path("/usr/share/lxc/config")


def read(text: str | bytes, *defines: str) -> Config:
    return Config.from_text(text.encode() if isinstance(text, str) else text, "c", defines)


def error(text: str | bytes, *defines: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, *defines)
    return str(caught.value)


SYNTAX: list[tuple[str, str, Any]] = [
    ("lxc.uts.name = a", "lxc.uts.name", "a"),
    ("lxc.uts.name=a", "lxc.uts.name", "a"),
    ("\t lxc.uts.name \t=\t a \t", "lxc.uts.name", "a"),
    ("lxc.uts.name = a", "lxc.uts.name", "a"),
    ("lxc.uts.name = a\r\n", "lxc.uts.name", "a"),
    ("lxc.uts.name = a\rlxc.tty.max = 1\r", "lxc.uts.name", "a"),
    ("lxc.uts.name = a\rlxc.tty.max = 1\r", "lxc.tty.max", 1),
    ("# x\n  # lxc.uts.name = b\n\n \t \n\f\n\r\nlxc.uts.name = a", "lxc.uts.name", "a"),
    ("lxc.uts.name = a # c", "lxc.uts.name", "a # c"),
    ("lxc.uts.name = a=b=c", "lxc.uts.name", "a=b=c"),
    ("lxc.uts.name = a\nlxc.uts.name = b", "lxc.uts.name", "b"),
    ("lxc.uts.name = a\nlxc.uts.name =", "lxc.uts.name", None),
    ('lxc.uts.name = a\nlxc.uts.name = ""', "lxc.uts.name", None),
    ('lxc.uts.name = "a"', "lxc.uts.name", "a"),
    ("lxc.uts.name = 'a'", "lxc.uts.name", "a"),
    ('lxc.uts.name = " a "', "lxc.uts.name", " a "),
    ('lxc.uts.name = ""a""', "lxc.uts.name", '"a"'),
    ('lxc.uts.name = a "b" c', "lxc.uts.name", 'a "b" c'),
    ("lxc.uts.name = \"a'", "lxc.uts.name", "\"a'"),
    ('lxc.uts.name = "', "lxc.uts.name", '"'),
    ('lxc.uts.name = "a', "lxc.uts.name", '"a'),
    ("lxc.uts.name = a\\\n", "lxc.uts.name", "a\\"),
    ("lxc.uts.name = a\vb\fc\x85d", "lxc.uts.name", "a\vb\fc\x85d"),
    ("lxc.uts.name = $HOME ~ *", "lxc.uts.name", "$HOME ~ *"),
    ("foo = 1\nlxc = a\nlxc.uts.name = a", "lxc.uts.name", "a"),
    ("\vlxc.uts.name = b\nlxc.uts.name = a", "lxc.uts.name", "a"),
    ("lxc.init.cmd = /bin/sh -c \"echo a; exit 5\"", "lxc.init.cmd", ("/bin/sh", "-c", "echo a; exit 5")),
    ("lxc.autodev =", "lxc.autodev", False),
    ("lxc.monitor.signal.pdeath =", "lxc.monitor.signal.pdeath", 0),
    ("lxc.environment = A=1\nlxc.environment = B=2", "lxc.environment", (("A", "1"), ("B", "2"))),
    ("lxc.environment = A=1\nlxc.environment =\nlxc.environment = B=2", "lxc.environment", (("B", "2"),)),
    ("lxc.cap.drop = sys_time mknod\nlxc.cap.drop = net_raw mknod", "lxc.cap.drop", (25, 27, 13)),
    ("lxc.cap.keep = chown\nlxc.cap.keep = none", "lxc.cap.keep", ()),
    ("lxc.cap.keep = chown\nlxc.cap.keep = none kill", "lxc.cap.keep", (5,)),
    ("lxc.cap.drop = chown\nlxc.cap.keep =\nlxc.cap.keep = kill", "lxc.cap.keep", (5,)),
    ("lxc.cap.keep = chown\nlxc.cap.drop =\nlxc.cap.drop = kill", "lxc.cap.keep", None),
    ("lxc.namespace.keep = net\nlxc.namespace.keep = IPC net", "lxc.namespace.keep", ("net", "ipc")),
    ("lxc.mount.auto = proc sys:ro\nlxc.mount.auto = proc:rw", "lxc.mount.auto",
     (("proc", "rw", False), ("sys", "ro", False))),
    ("lxc.mount.auto = shmounts:/a\nlxc.mount.auto =\nlxc.mount.auto = sys", "lxc.mount.auto",
     (("sys", "mixed", False),)),
    ("lxc.hook.clone = /a\nlxc.hook.destroy = /b\nlxc.hook =\nlxc.hook.clone = /c", "lxc.hook.clone", ("/c",)),
    ("lxc.hook.clone = /a\nlxc.hook.destroy = /b\nlxc.hook =", "lxc.hook.destroy", ()),
]  # fmt: skip


@pytest.mark.parametrize(("text", "name", "value"), SYNTAX)
def test_a_line_means_what_it_means_to_lxc(text: str, name: str, value: Any) -> None:
    assert read(text).get(name) == value


def test_bytes_above_7f_come_back_as_they_were() -> None:
    import os

    name = b"\xff\xfe \xc3\xa4"
    assert os.fsencode(read(b"lxc.uts.name = " + name).get("lxc.uts.name")) == name


def test_defaults_stand_where_nothing_is_written() -> None:
    config = read("")
    for name, value in (
        ("lxc.init.cmd", ("/sbin/init",)),
        ("lxc.autodev", True),
        ("lxc.keyring.session", True),
        ("lxc.cap.drop", ()),
        ("lxc.cap.keep", None),
        ("lxc.signal.halt", SIGNALS["SIGPWR"]),
        ("lxc.log.level", None),
        ("lxc.autodev.tmpfs.size", 500000),
    ):
        assert config.get(name) == value
        assert config.where(name) is None
        assert config.entries(name) == ()


def test_a_value_knows_the_line_still_in_force() -> None:
    config = read("lxc.uts.name = a\nlxc.environment = A=1\nlxc.uts.name = b\nlxc.environment = B=2")
    assert config.where("lxc.uts.name") == "c:3"
    assert config.entries("lxc.environment") == (Entry(("A", "1"), "c:2"), Entry(("B", "2"), "c:4"))


ERRORS: list[tuple[str | bytes, str]] = [
    ("\nlxc.uts.name", "c:2: expected KEY = VALUE, not 'lxc.uts.name'"),
    ("LXC.UTS.NAME = a", "c:1: keys are written in lower case, not 'LXC.UTS.NAME = a'"),
    ("Lxc.uts.name = a", "c:1: keys are written in lower case, not 'Lxc.uts.name = a'"),
    (b"\xef\xbb\xbflxc.uts.name = a", "c:1: a byte order mark, which would make LXC ignore the line"),
    ("lxc.uts.name = a\nlxc.tty.max = 1\0\n", "c:2: a NUL byte, after which LXC would ignore the rest"),
    ("lxc.nonsense = 1", "c:1: lxc.nonsense: unknown key"),
    ("lxc.uts.nam = 1", "c:1: lxc.uts.nam: unknown key (did you mean 'lxc.uts.name'?)"),
    ("lxc.UTS.name = 1", "c:1: lxc.UTS.name: unknown key (did you mean 'lxc.uts.name'?)"),
    ("lxc.uts.name.more = gold", "c:1: lxc.uts.name.more: unknown key (did you mean 'lxc.uts.name'?)"),
    ("lxc. = 1", "c:1: lxc.: unknown key"),
    ("minilxc.nonsense = 1", "c:1: minilxc.nonsense: unknown key"),
    ("lxc.prlimitfoo = 1", "c:1: lxc.prlimitfoo: unknown key"),
    ("lxc.net.I.type = empty", "c:1: lxc.net.I.type: the number of the interface is missing (as in lxc.net.0.type)"),
    ("lxc.prlimit.NAME = 1", "c:1: lxc.prlimit.NAME: unknown resource limit 'NAME'"),
    ("lxc.arch =", "c:1: lxc.arch: needs a value"),
    ("lxc.mount.fstab =", "c:1: lxc.mount.fstab: needs a value"),
    ("lxc.no_new_privs = 2", "c:1: lxc.no_new_privs: expected 0 or 1, not '2'"),
    ("lxc.seccomp.allow_nesting = yes", "c:1: lxc.seccomp.allow_nesting: expected 0 or 1, not 'yes'"),
    ("lxc.hook.version = new", "c:1: lxc.hook.version: expected 0 or 1, not 'new'"),
    ("lxc.hook = /bin/true", "c:1: lxc.hook: takes only an empty value, which clears, not '/bin/true'"),
    ("lxc.hook.nonsense = /a", "c:1: lxc.hook.nonsense: unknown key (did you mean 'lxc.hook.clone'?)"),
    ("lxc.net = 1", "c:1: lxc.net: takes only an empty value, which clears, not '1'"),
    ("lxc.net.0 = 1", "c:1: lxc.net.0: takes only an empty value, which takes the interface back"),
    ("lxc.net.-1.type = veth",
     "c:1: lxc.net.-1.type: the number of the interface is missing (as in lxc.net.0.type)"),
    ("lxc.net.0.typ = veth", "c:1: lxc.net.0.typ: unknown key (did you mean 'type'?)"),
    ("lxc.net.0. = veth", "c:1: lxc.net.0.: unknown key"),
    ("lxc.net.0.type = vethh", "c:1: lxc.net.0.type: unknown type 'vethh' (did you mean 'veth'?)"),
    ("lxc.net.0.ipv4.address = 300.1.2.3/24",
     "c:1: lxc.net.0.ipv4.address: '300.1.2.3/24' has no valid IPv4 address"),
    ("lxc.net.0.flags = up", "c:1: lxc.net.0.flags: the interface has no type (set lxc.net.0.type)"),
    ("lxc.net.0.veth.pair = a\nlxc.net.0.type = empty",
     "c:1: lxc.net.0.veth.pair: is for type 'veth', but lxc.net.0.type is 'empty' (c:2)"),
    ("lxc.prlimit = 1",
     "c:1: lxc.prlimit: takes only an empty value, which clears; a name is missing (lxc.prlimit.NAME)"),
    ("lxc.sysctl. = 1", "c:1: lxc.sysctl.: names no file"),
    ("lxc.namespace.share.mount = 1",
     "c:1: lxc.namespace.share.mount: unknown namespace 'mount' (did you mean 'mnt'?)"),
    ("lxc.cap.drop = chown\nlxc.cap.keep = kill", "c:2: lxc.cap.keep: cannot stand together with lxc.cap.drop (c:1)"),
    ("lxc.namespace.keep = net\nlxc.namespace.clone = ipc",
     "c:1: lxc.namespace.keep: cannot stand together with lxc.namespace.clone (c:2)"),
    ("lxc.idmap = u 0 1 1", "c:1: lxc.idmap: there is no line for 'g'"),
    ("lxc.idmap = u 0 1 9\nlxc.idmap = g 0 1 9\nlxc.idmap = u 8 100 1", "c:3: lxc.idmap: overlaps the range at c:1"),
    ("lxc.idmap = u 0 1 9\nlxc.idmap = g 0 1 9\nlxc.idmap = g 9 9 1", "c:3: lxc.idmap: overlaps the range at c:2"),
    ("lxc.cap.keep = ' '", "c:1: lxc.cap.keep: expected a value, not ' '"),
    # A control character of the config does not reach the terminal.
    ("lxc.log.level = a\x1b[31m", "c:1: lxc.log.level: unknown level 'a\\x1b[31m'"),
    (b"x" * (MOST_BYTES + 1), "c: is larger than 1 MiB, so no config"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), ERRORS, ids=range(len(ERRORS)))
def test_an_error_is_one_line(text: str | bytes, line: str) -> None:
    assert error(text) == line


NOTES = [
    ("foo = 1", WARN, "ignored, because it does not begin with 'lxc.': 'foo = 1'"),
    ("\vlxc.uts.name = a", WARN, "ignored, because it does not begin with 'lxc.': '\vlxc.uts.name = a'"),
    ("lxc.uts.name = a # b", WARN, "lxc.uts.name: the '#' is a part of the value, it begins no comment"),
    (
        "lxc.uts.name = a\\",
        WARN,
        "lxc.uts.name: the backslash is a part of the value, the line does not go on",
    ),
    ("lxc.utsname = a", NOTICE, "lxc.utsname is an old name of lxc.uts.name"),
]


@pytest.mark.parametrize(("text", "level", "note"), NOTES)
def test_what_is_doubtful_is_noted(text: str, level: int, note: str) -> None:
    assert read(f"\n{text}\n").notes == (Note(level, "c:2", note),)


def test_a_note_is_level_place_and_text() -> None:
    [(level, where, text)] = read("x").notes
    assert (level, where, text) == (WARN, "c:1", "ignored, because it does not begin with 'lxc.': 'x'")


def test_ordinary_lines_are_not_noted() -> None:
    assert read("# a\n\n\f\nlxc.uts.name = a#b\n").notes == ()


# -s


def test_definitions_come_after_the_file() -> None:
    config = read("lxc.uts.name = a\nlxc.environment = A=1", "lxc.uts.name = 'b'", "lxc.environment=B=2")
    assert config.get("lxc.uts.name") == "b"
    assert config.where("lxc.uts.name") == "-s lxc.uts.name = 'b'"
    assert config.get("lxc.environment") == (("A", "1"), ("B", "2"))


@pytest.mark.parametrize(
    ("define", "line"),
    [
        ("lxc.uts.name", "-s lxc.uts.name: expected lxc.KEY=VALUE"),
        ("uts.name=a", "-s uts.name=a: expected lxc.KEY=VALUE"),
        ("lxc.nonsense=1", "-s lxc.nonsense=1: lxc.nonsense: unknown key"),
        ("lxc.tty.max=x", "-s lxc.tty.max=x: lxc.tty.max: expected a whole number, not 'x'"),
    ],
)
def test_a_bad_definition_is_an_error(define: str, line: str) -> None:
    assert error("", define) == line


# Groups


def test_the_last_line_of_a_member_counts() -> None:
    config = read("lxc.prlimit.nofile = 1\nlxc.prlimit.core = 0\nlxc.prlimit.nofile = 2:3")
    assert config.group("lxc.prlimit") == {"nofile": Entry((2, 3), "c:3"), "core": Entry((0, 0), "c:2")}


def test_a_limit_by_number_is_the_limit_by_name() -> None:
    assert list(read("lxc.prlimit.7 = 1\nlxc.prlimit.nofile = 2").group("lxc.prlimit")) == ["nofile"]


def test_members_are_cleared_alone_or_all_together() -> None:
    text = "lxc.sysctl.a.b = 1\nlxc.sysctl.c = 2\nlxc.sysctl.a.b =\n"
    assert read(text).group("lxc.sysctl") == {"c": Entry("2", "c:2")}
    assert read(text + "lxc.sysctl =").group("lxc.sysctl") == {}


def test_proc_lines_are_all_kept_in_order() -> None:
    config = read("lxc.proc.b = 1\nlxc.proc.a = 2\nlxc.proc.b = 3")
    assert [entry.value for entry in config.entries("lxc.proc")] == [("b", "1"), ("a", "2"), ("b", "3")]
    assert config.group("lxc.proc")["b"].value == "3"


def test_a_shared_namespace_is_found_by_its_name() -> None:
    assert read("lxc.namespace.share.net = /p/c1").group("lxc.namespace.share")["net"].value == "/p/c1"


# Interfaces


def test_interfaces_come_in_ascending_order() -> None:
    config = read(
        "lxc.net.10.type = empty\nlxc.net.2.flags = up\nlxc.net.007.type = none\nlxc.net.2.type = empty"
    )
    assert list(config.networks()) == [2, 7, 10]
    network = config.networks()[2]
    assert (network.index, network.get("type"), network.get("flags")) == (2, "empty", "up")
    assert (network.where("flags"), network.get("name"), network.get("ipv4.address")) == ("c:2", None, ())


def test_another_type_makes_another_interface() -> None:
    text = "lxc.net.0.type = veth\nlxc.net.0.link = br0\nlxc.net.0.veth.pair = a\nlxc.net.0.type = empty\n"
    assert read(text).networks()[0].names() == ("type",)


@pytest.mark.parametrize("clear", ["lxc.net.0 =", "lxc.net =", "lxc.net.0.type =\nlxc.net.0.link ="])
def test_interfaces_are_taken_back(clear: str) -> None:
    assert read(f"lxc.net.0.type = veth\nlxc.net.0.link = br0\n{clear}").networks() == {}


# Old names


@pytest.mark.parametrize(
    ("text", "new", "value"),
    [
        ("lxc.utsname = a", "lxc.uts.name", "a"),
        ("lxc.rootfs = /a", "lxc.rootfs.path", ("", "/a")),
        ("lxc.seccomp = /a", "lxc.seccomp.profile", "/a"),
        ("lxc.mount = /a", "lxc.mount.fstab", "/a"),
        ("lxc.tty = 4", "lxc.tty.max", 4),
        ("lxc.pts = 4", "lxc.pty.max", 4),
        ("lxc.devttydir = lxc", "lxc.tty.dir", "lxc"),
        ("lxc.console = none", "lxc.console.path", "none"),
        ("lxc.aa_profile = unconfined", "lxc.apparmor.profile", "unconfined"),
        ("lxc.aa_allow_incomplete = 1", "lxc.apparmor.allow_incomplete", True),
        ("lxc.se_context = unconfined_t", "lxc.selinux.context", "unconfined_t"),
        ("lxc.init_cmd = /a", "lxc.init.cmd", ("/a",)),
        ("lxc.init_uid = 1", "lxc.init.uid", 1),
        ("lxc.init_gid = 1", "lxc.init.gid", 1),
        ("lxc.haltsignal = SIGTERM", "lxc.signal.halt", 15),
        ("lxc.rebootsignal = SIGTERM", "lxc.signal.reboot", 15),
        ("lxc.stopsignal = SIGTERM", "lxc.signal.stop", 15),
        ("lxc.logfile = /a", "lxc.log.file", "/a"),
        ("lxc.loglevel = 1", "lxc.log.level", 1),
        ("lxc.pivotdir = mnt", "lxc.pivotdir", "mnt"),
        ("lxc.kmsg = 1", "lxc.kmsg", True),
        ("lxc.rootfs.backend = dir", "lxc.rootfs.backend", "dir"),
    ],
)
def test_an_old_name_is_read_as_the_new_one(text: str, new: str, value: Any) -> None:
    config = read(text)
    assert config.get(new) == value
    old = text.partition(" ")[0]
    assert [note.text for note in config.notes] == ([] if old == new else [f"{old} is an old name of {new}"])


def test_every_old_name_of_the_table_is_known() -> None:
    for key in TABLE:
        for old in key.old:
            name = old.replace("NAME", "core")
            text = f"lxc.network.type = {key.net_type or 'empty'}\n{name} = {key.example}\n{name} =\nlxc.network ="
            problems = [str(p) for p in _problems(text)]
            assert not [p for p in problems if "unknown" in p or "expected" in p], problems


def _problems(text: str) -> list[object]:
    try:
        return list(read(text).notes)
    except ConfigError as error:
        return [error]


def test_old_limits_are_read_as_the_new_ones() -> None:
    config = read("lxc.limit.nofile = 5\nlxc.limit.core = 1\nlxc.limit.core =")
    assert config.group("lxc.prlimit") == {"nofile": Entry((5, 5), "c:1")}
    assert config.notes[0].text == "lxc.limit.nofile is an old name of lxc.prlimit.nofile"


def test_an_old_interface_without_a_number_counts_up_at_its_type() -> None:
    config = read(
        "lxc.network.type = empty\nlxc.network.flags = up\nlxc.network.type = none\nlxc.network.3.type = none"
    )
    assert {index: net.get("type") for index, net in config.networks().items()} == {
        0: "empty",
        1: "none",
        3: "none",
    }
    assert config.networks()[0].get("flags") == "up"


def test_an_old_empty_type_takes_all_interfaces_back() -> None:
    config = read(
        "lxc.network.type = veth\nlxc.network.link = a\nlxc.network.type =\nlxc.network.type = empty"
    )
    assert {index: net.get("type") for index, net in config.networks().items()} == {0: "empty"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("lxc.network.link = a", "c:1: lxc.network.link: stands before any lxc.network.type"),
        ("lxc.network.type = empty\nlxc.network.lnk = a", "c:2: lxc.network.lnk: unknown key (did you mean 'link'?)"),
        ("lxc.network.0.lnk = a", "c:1: lxc.network.0.lnk: unknown key (did you mean 'link'?)"),
        ("lxc.network.ipv4 = a", "c:1: lxc.network.ipv4: stands before any lxc.network.type"),
        ("lxc.network.0.ipv4 = a", "c:1: lxc.network.0.ipv4: 'a' has no valid IPv4 address"),
        ("lxc.network.type = empty\nlxc.network.ipv6 = a", "c:2: lxc.network.ipv6: 'a' has no valid IPv6 address"),
        ("lxc.rootfs.backend = lvm", f"c:1: lxc.rootfs.backend: refused, because {KIND_IN_PATH}"),
    ],
)  # fmt: skip
def test_an_old_key_can_be_wrong_too(text: str, line: str) -> None:
    assert error(text) == line


# What is not supported


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("lxc.rootfs.path = btrfs:/a", "c:1: lxc.rootfs.path: 'btrfs' is refused: a subvolume is a folder (dir:PATH)"),
        ("lxc.mount.auto = proc\nlxc.mount.auto = shmounts:/a", "c:2: lxc.mount.auto: 'shmounts' is not supported yet"),
        (
            "lxc.cgroup.dir.monitor = a",
            "c:1: lxc.cgroup.dir.monitor: refused, because the monitor gets no group of its own",
        ),
        ("lxc.seccomp.notify.proxy = unix:/a", "c:1: lxc.seccomp.notify.proxy: not supported yet"),
        ("lxc.log.syslog = daemon", "c:1: lxc.log.syslog: refused, because minilxc does not write to syslog"),
        ("lxc.apparmor.raw = deny /x rw,",
         "c:1: lxc.apparmor.raw: refused, because minilxc generates no AppArmor profile"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_by_name(text: str, line: str) -> None:
    assert error(text) == line


@pytest.mark.parametrize(
    "text",
    [
        "lxc.cgroup.devices.deny = a\nlxc.cgroup.devices.deny =",
        "lxc.cgroup2.a.b = 1\nlxc.cgroup2 =",
        "lxc.rootfs.path = zfs:/a\nlxc.rootfs.path = /a",
        "lxc.mount.auto = shmounts:/a\nlxc.mount.auto =",
        "lxc.hook.start = /a\nlxc.hook =",
        "lxc.apparmor.profile = generated\nlxc.apparmor.profile = unconfined",
        "lxc.cgroup.relative = 0\nlxc.ephemeral = 0\nlxc.sched.core = 0\nlxc.monitor.unshare = 0",
        "lxc.apparmor.allow_incomplete = 1\nlxc.apparmor.allow_nesting = 0\nlxc.selinux.context = unconfined_t",
        "lxc.console.size = auto\nlxc.console.rotate = 1\nlxc.start.delay = 3\nlxc.start.order = -1\nlxc.group = a b",
        "lxc.rootfs.managed = 0\nlxc.hook.clone = /a\nlxc.hook.destroy = /a\nlxc.hook.version = 1",
        "lxc.environment.hooks = A=1",
    ],
)
def test_what_is_taken_back_or_harmless_is_fine(text: str) -> None:
    assert read(text).unsupported() == ()


def test_all_problems_are_told_for_a_check(tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_text("lxc.nonsense = 1\nfoo\nlxc.tty.max = x\nlxc.log.syslog = daemon\n\0\nlxc.uts.name = a")
    config, errors, notes = Config.examine(str(file), ["lxc.x=1"])
    assert config.where("lxc.log.syslog") == f"{file}:4"
    assert [str(error) for error in errors] + [note.text for note in notes] == [
        f"{file}:1: lxc.nonsense: unknown key",
        f"{file}:3: lxc.tty.max: expected a whole number, not 'x'",
        f"{file}:5: a NUL byte, after which LXC would ignore the rest",
        "-s lxc.x=1: lxc.x: unknown key",
        f"{file}:4: lxc.log.syslog: refused, because minilxc does not write to syslog",
        "ignored, because it does not begin with 'lxc.': 'foo'",
    ]
    _, errors, _ = Config.examine(str(tmp_path / "none"))
    assert [str(error) for error in errors] == [f"{tmp_path}/none: No such file or directory"]


# Files


def test_a_config_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_text("lxc.uts.name = a")
    config = Config.read(str(file), ["lxc.tty.max=2"])
    assert (config.source, config.get("lxc.uts.name"), config.get("lxc.tty.max")) == (str(file), "a", 2)


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    """LXC 5.0.2 starts with an empty config, that is, with the host's root."""
    with pytest.raises(ConfigError, match=f"^{tmp_path}: is a folder, not a config$"):
        Config.read(str(tmp_path))


def test_a_missing_config_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{tmp_path}/c: No such file or directory$"):
        Config.read(f"{tmp_path}/c")


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_bytes(b"#" * MOST_BYTES + b"\n")
    with pytest.raises(ConfigError, match=f"^{file}: is larger than 1 MiB, so no config$"):
        Config.read(str(file))
    file.write_bytes(b"#" * MOST_BYTES)
    Config.read(str(file))


def include(tmp_path: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Config:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return Config.read("c")


def test_an_include_stands_for_the_files_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "c": "lxc.uts.name = a\nlxc.environment = A=1\nlxc.include = sub/one\nlxc.environment = C=3",
        "sub/one": "\nlxc.uts.name = b\nlxc.include = sub/two\n",
        "sub/two": "lxc.environment = B=2",
    }
    config = include(tmp_path, files, monkeypatch)
    assert config.get("lxc.environment") == (("A", "1"), ("B", "2"), ("C", "3"))
    assert config.where("lxc.uts.name") == "sub/one:2"


@pytest.mark.parametrize("name", ["d", "d/"])
def test_a_folder_is_read_in_byte_order(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def members(*names: str) -> dict[str, str]:
        return {f"d/{n}": f"lxc.environment = {i}=1" for i, n in enumerate(names)}

    files = members("b.conf", "B.conf", "a.conf", ".conf", ".h.conf", "x.txt", "ä.conf", "deep.conf/x.conf")
    config = include(tmp_path, {"c": f"lxc.include = {name}", **files}, monkeypatch)
    assert [entry.where for entry in config.entries("lxc.environment")] == [
        "d/.h.conf:1", "d/B.conf:1", "d/a.conf:1", "d/b.conf:1", "d/ä.conf:1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("lxc.include = /none/x", "c:1: lxc.include: '/none/x': No such file or directory"),
        (
            "lxc.include = none",
            "c:1: lxc.include: 'none': No such file or directory (a relative path starts at '@')",
        ),
        ("lxc.include = e/", "c:1: lxc.include: 'e/': Not a directory"),
        ("lxc.include = e", "e:1: lxc.nonsense: unknown key"),
        ("lxc.include = c", "c:1: lxc.include: the files include each other: c -> c"),
        ("lxc.include = ./c", "c:1: lxc.include: the files include each other: c -> ./c"),
        ("lxc.include = one", "two:1: lxc.include: the files include each other: c -> one -> two -> c"),
        ("lxc.include = self", "self:1: lxc.include: the files include each other: self -> self"),
    ],
)
def test_a_bad_include_is_an_error(
    text: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "c": text,
        "e": "lxc.nonsense = 1",
        "one": "lxc.include = two",
        "two": "lxc.include = c",
        "self": "lxc.include = self",
    }
    with pytest.raises(ConfigError) as caught:
        include(tmp_path, files, monkeypatch)
    assert str(caught.value) == line.replace("@", str(tmp_path))


@pytest.mark.parametrize(("deep", "fine"), [(32, True), (33, False)])
def test_includes_go_32_deep(deep: int, fine: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {str(n): f"lxc.include = {n + 1}" for n in range(1, deep)}
    files |= {"c": "lxc.include = 1", str(deep): "lxc.uts.name = a"}
    if fine:
        assert include(tmp_path, files, monkeypatch).get("lxc.uts.name") == "a"
    else:
        with pytest.raises(ConfigError, match=r"^32:1: lxc\.include: files are included more than 32 deep$"):
            include(tmp_path, files, monkeypatch)


def test_includes_that_multiply_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"{n}": f"lxc.include = {n + 1}\n" * 2 for n in range(20)}
    files |= {"c": "lxc.include = 0", "20": ""}
    with pytest.raises(ConfigError, match=r": lxc\.include: more than 4096 files are included$"):
        include(tmp_path, files, monkeypatch)


def test_harmless_includes_are_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    text = "lxc.include = /dev/null\nlxc.include = missing/\nlxc.include = empty\nlxc.include =\nlxc.include = x\n"
    config = include(tmp_path, {"c": text * 2, "x": "lxc.environment = A=1"}, monkeypatch)
    assert len(config.get("lxc.environment")) == 2


def test_descriptors_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    before = os.listdir("/proc/self/fd")
    with pytest.raises(ConfigError):
        include(tmp_path, {"c": "lxc.include = d", "d/a.conf": "lxc.nonsense = 1"}, monkeypatch)
    assert os.listdir("/proc/self/fd") == before


# Real files


@pytest.mark.skipif(not LXC_CONFIGS.is_dir(), reason="LXC's own configs are not installed")
def test_the_configs_that_lxc_ships_are_understood() -> None:
    for name in ("common.conf", "userns.conf", "nesting.conf"):
        assert Config.examine(str(LXC_CONFIGS / name))[1] == ()


@pytest.mark.skipif(not LXC_CONFIGS.is_dir(), reason="LXC's own configs are not installed")
def test_userns_conf_takes_back_what_common_conf_says() -> None:
    config = read(f"lxc.include = {LXC_CONFIGS}/common.conf\nlxc.include = {LXC_CONFIGS}/userns.conf")
    assert config.entries("lxc.cgroup") == ()
    assert config.get("lxc.cap.drop") == ()
    assert config.get("lxc.mount.auto") == (
        ("cgroup", "mixed", False),
        ("proc", "mixed", False),
        ("sys", "rw", False),
    )
    assert config.notes == ()


# Anything else

_NAMES = [key.name.replace(".I", ".0").replace("NAME", "core") for key in TABLE]
_LINES = st.builds(
    lambda name, value: name.encode() + b"=" + value,
    st.sampled_from([*_NAMES, *(old for key in TABLE for old in key.old)]),
    st.one_of(st.binary(max_size=20), st.sampled_from([key.example.encode() for key in TABLE])),
)


# No deadline: the first suggestion of a process loads difflib.
@settings(deadline=None, database=None)
@given(
    st.one_of(st.binary(), st.lists(st.one_of(_LINES, st.binary(max_size=10)), max_size=8).map(b"\n".join))
)
@example(b"lxc.init.cmd = \f")
@example(b"lxc.cap.keep = '\t'")
@example(b"lxc.net.0.ipv4.address = ' '")
@example(b"lxc.net.0.ipv4.address = \xff")
@example(b"lxc.include = " + b"a" * 300)
@example(b"lxc.include = /proc/self/mem")
@example("lxc.net.².type = empty".encode())
def test_any_bytes_give_a_config_or_a_config_error(data: bytes) -> None:
    try:
        config = Config.from_text(data, "c")
    except ConfigError as error:
        line = str(error)
    else:
        assert config.conflicts() == config.unsupported() == ()
        line = ""
    assert line.isprintable()


BANNED = (
    "re argparse logging dataclasses typing pathlib enum collections collections.abc json socket _socket "
    "ipaddress signal difflib functools subprocess minilxc.config.legacy"
)


def test_the_parser_loads_nothing_slow() -> None:
    """The parser is on the way of every start: an import here costs each of them."""
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
import os
before = set(sys.modules)
from minilxc.config.parse import Config
Config.from_text(b"lxc.uts.name = a\\nlxc.net.0.type = empty\\nlxc.cap.drop = mknod\\nlxc.signal.halt = SIGTERM", "c")
print(*sorted(set(sys.modules) - before))
"""
    run = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    assert not set(BANNED.split()) & set(loaded)
    assert {name for name in loaded if not name.startswith("minilxc")} <= {"__future__"}
