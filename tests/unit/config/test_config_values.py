"""The value types: what each makes of a text, or the words with which it says no."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from minilxc.config import values
from minilxc.config.values import UNLIMITED, Address, IdMap, Invalid, MountEntry
from minilxc.linux.names import CAPABILITIES, RLIMITS, SIGNALS, SIGRTMAX, SIGRTMIN, last_capability

if TYPE_CHECKING:
    from collections.abc import Callable

ACCEPTED: list[tuple[Callable[[str], Any], str, Any]] = [
    (values.boolean, "0", False),
    (values.boolean, "1", True),
    (values.boolean, "0x1", True),
    (values.boolean, "01", True),
    (values.uint, "10", 10),
    (values.uint, "0x1F", 31),
    (values.uint, "010", 8),
    (values.uint, "4294967295", 2**32 - 1),
    (values.uint, "+5", 5),
    (values.integer, "-10", -10),
    (values.integer, "-0x10", -16),
    (values.switch, "7", True),
    (values.switch, "0", False),
    (values.version, "1", 1),
    (values.user_or_group_id, "4294967294", 2**32 - 2),
    (values.groups, "10", (10,)),
    (values.groups, "10,20 , 30", (10, 20, 30)),
    (values.byte_count, "500000", 500000),
    (values.size, "auto", 131072),
    (values.size, "65536", 65536),
    (values.size, "64KB", 65536),
    (values.size, "1 mb", 2**20),
    (values.size, "2gB", 2**31),
    (values.time_offset, "2h", 7200 * 10**9),
    (values.time_offset, "-5s", -5 * 10**9),
    (values.time_offset, "3 m", 180 * 10**9),
    (values.time_offset, "5ms", 5_000_000),
    (values.time_offset, "5us", 5000),
    (values.time_offset, "-5ns", -5),
    (values.log_level, "DEBUG", 1),
    (values.log_level, "trace", 0),
    (values.log_level, "8", 8),
    (values.signal, "SIGTERM", SIGNALS["SIGTERM"]),
    (values.signal, "sigterm", SIGNALS["SIGTERM"]),
    (values.signal, "15", 15),
    (values.signal, "64", 64),
    (values.signal, "SIGRTMIN", SIGRTMIN),
    (values.signal, "SIGRTMIN+3", SIGRTMIN + 3),
    (values.signal, "sigrtmax-2", SIGRTMAX - 2),
    (values.signal_or_none, "0", 0),
    (values.signal_or_none, "SIGKILL", SIGNALS["SIGKILL"]),
    (values.resource_limit, "64", (64, 64)),
    (values.resource_limit, "512:1024", (512, 1024)),
    (values.resource_limit, "100 : 200", (100, 200)),
    (values.resource_limit, "100:unlimited", (100, UNLIMITED)),
    (values.resource_limit, "unlimited", (UNLIMITED, UNLIMITED)),
    (values.resource_limit, "18446744073709551614", (2**64 - 2, 2**64 - 2)),
    (values.host_name, "A b", "A b"),
    (values.host_name, "n" * 64, "n" * 64),
    (values.path, "a//b///c/..", "a/b/c/.."),
    (values.path, "/" * 4095, "/"),
    (values.path_below_dev, "lxc/ttys", "lxc/ttys"),
    (values.cgroup_path, "a/b", "a/b"),
    (values.folder_name, "ns", "ns"),
    (values.words, "web  onboot\tlate", ("web", "onboot", "late")),
    # These are what LXC 5.0.2 makes of the same text, run with a payload that prints its arguments.
    (values.command, '-c "echo a; exit 5"', ("-c", "echo a; exit 5")),
    (values.command, "'a b' c", ("a b", "c")),
    (values.command, '"a"b "c""d"', ("a", "b", "c", "d")),
    (values.command, 'x"a b"', ('x"a', 'b"')),
    (values.command, 'a\\ b "a\\"b" c', ("a\\", "b", "a\\", 'b"', "c")),
    (values.command, 'x "" z', ("x", "", "z")),
    (values.command, "'it' \"it's\"", ("it", "it's")),
    (values.command, "a\vb\fc d", ("a", "b", "c", "d")),
    (values.command, "a\xa0b c", ("a\xa0b", "c")),
    (values.environment, "A=1", ("A", "1")),
    (values.environment, "A=", ("A", "")),
    (values.environment, 'A="b=c"', ("A", '"b=c"')),
    (values.architecture, "i686", "linux32"),
    (values.architecture, "armv7l", "linux32"),
    (values.architecture, "amd64", "linux"),
    (values.architecture, "x32", "linux"),
    (values.architecture, "loongarch64", "linux"),
    (values.id_map, "u 0 100000 65536", IdMap("u", 0, 100000, 65536)),
    (values.id_map, "g\t0x10  010 1", IdMap("g", 16, 8, 1)),
    (values.id_map, "u 0 0 4294967295", IdMap("u", 0, 0, 4294967295)),
    (values.capabilities, "chown sys_admin", (0, 21)),
    (values.capabilities, "0 0x15", (0, 21)),
    (values.capabilities_or_none, "chown none", (0, values.NO_CAPABILITY)),
    (values.namespaces, "NET Ipc", ("net", "ipc")),
    (values.rootfs, "/srv/c1", ("", "/srv/c1")),
    (values.rootfs, "dir:/srv//c1", ("dir", "/srv/c1")),
    (values.rootfs, "dir:/srv/a:b", ("dir", "/srv/a:b")),
    (values.rootfs, "overlay:/low:/up", ("overlay", "/low:/up")),
    (values.rootfs, "overlayfs:/low:/up", ("overlay", "/low:/up")),
    (values.rootfs_options, "ro,nosuid", ("ro", "nosuid")),
    (values.rootfs_options, "idmap=container", ("idmap=container",)),
    (
        values.mount_entry,
        "tmpfs mnt tmpfs rw,size=64k",
        MountEntry("tmpfs", "mnt", "tmpfs", ("rw", "size=64k")),
    ),
    (values.mount_entry, "/a\t/b  none bind,ro 0 0", MountEntry("/a", "/b", "none", ("bind", "ro"))),
    (
        values.mount_entry,
        "//server/share mnt cifs ro 0",
        MountEntry("//server/share", "mnt", "cifs", ("ro",)),
    ),
    (
        values.mount_entry,
        r"/a\040b c\011d\012e\134040 none ro",
        MountEntry("/a b", "c\td\ne\\040", "none", ("ro",)),
    ),
    (values.mount_entry, r"a\\040b \\ \x\9 ,ro,", MountEntry(r"a\040b", "\\", r"\x\9", ("ro",))),
    (values.mount_auto, "proc", (("proc", "mixed", False),)),
    (values.mount_auto, "proc:rw sys:ro", (("proc", "rw", False), ("sys", "ro", False))),
    (values.mount_auto, "sys", (("sys", "mixed", False),)),
    (values.mount_auto, "cgroup", (("cgroup", "", False),)),
    (values.mount_auto, "cgroup:force", (("cgroup", "", True),)),
    (values.mount_auto, "cgroup-full:ro:force", (("cgroup-full", "ro", True),)),
    (values.mount_auto, "cgroup2 cgroup2:ro", (("cgroup2", "rw", False), ("cgroup2", "ro", False))),
    (values.mount_auto, "cgroup2:force", (("cgroup2", "rw", True),)),
    (values.mount_auto, "shmounts:/a", (("shmounts", "/a", False),)),
    (values.mount_auto, "shmounts:/a:/b", (("shmounts", "/a:/b", False),)),
    (values.net_type, "none", "none"),
    (values.interface, "eth0", "eth0"),
    (values.interface, "eth+", "eth+"),
    (values.hardware_address, "00:16:3e:xX:aB:xx", "00:16:3e:xX:aB:xx"),
    (values.ipv4_address, "10.0.3.5/24", Address("10.0.3.5", 24)),
    (values.ipv4_address, "10.0.3.5", Address("10.0.3.5", 8)),
    (values.ipv4_address, "172.16.0.1", Address("172.16.0.1", 16)),
    (values.ipv4_address, "192.0.2.1", Address("192.0.2.1", 24)),
    (values.ipv4_address, "192.0.2.1/25 192.0.2.127", Address("192.0.2.1", 25, "192.0.2.127")),
    (values.ipv6_address, "fd00::1", Address("fd00::1", 64)),
    (values.ipv6_address, "fd00::1/128", Address("fd00::1", 128)),
    (values.ipv4_gateway, "auto", "auto"),
    (values.ipv6_gateway, "fd00::1", "fd00::1"),
    (values.ipv4_route, "192.0.2.0/24", Address("192.0.2.0", 24)),
    (values.ipv6_route, "2001:db8::/64", Address("2001:db8::", 64)),
    (values.vlan_id, "4094", 4094),
    (values.vlan_id_or_none, "none", values.NO_VLAN),
    (values.notify_proxy, "unix:/run/s", "unix:/run/s"),
    (values.notify_proxy, "unix:@name", "unix:@name"),
]

NOT_A_NUMBER = "expected a whole number, not "
NOT_A_LIMIT = "expected LIMIT or SOFT:HARD, numbers or 'unlimited', not "
NOT_A_SIZE = "expected a size such as 65536, 64KB or 1MB, or 'auto', not "
NOT_AN_OFFSET = "expected a whole number and a unit (h, m, s, ms, us, ns), not "
NOT_A_MAP = "expected u or g, first id inside, first id on the host, count, not "

REFUSED: list[tuple[Callable[[str], Any], str, str, str | None]] = [
    (values.boolean, "2", "expected 0 or 1, not '2'", None),
    (values.boolean, "yes", "expected 0 or 1, not 'yes'", None),
    (values.boolean, "-1", "expected 0 or 1, not '-1'", None),
    (values.uint, "abc", NOT_A_NUMBER + "'abc'", None),
    (values.uint, "08", NOT_A_NUMBER + "'08'", None),
    (values.uint, "0x", NOT_A_NUMBER + "'0x'", None),
    (values.uint, "1_0", NOT_A_NUMBER + "'1_0'", None),
    (values.uint, "0x-1", NOT_A_NUMBER + "'0x-1'", None),
    (values.uint, "5 apples", NOT_A_NUMBER + "'5 apples'", None),
    (values.uint, "٣", NOT_A_NUMBER + "'٣'", None),
    (values.uint, "--1", NOT_A_NUMBER + "'--1'", None),
    (values.uint, "-1", "expected a whole number from 0 to 4294967295, not '-1'", None),
    (values.uint, "4294967296", "expected a whole number from 0 to 4294967295, not '4294967296'", None),
    (
        values.integer,
        "2147483648",
        "expected a whole number from -2147483648 to 2147483647, not '2147483648'",
        None,
    ),
    # Taken as 0, root, by LXC 5.0.2.
    (values.user_or_group_id, "www-data", NOT_A_NUMBER + "'www-data'", None),
    (
        values.user_or_group_id,
        "4294967295",
        "expected a whole number from 0 to 4294967294, not '4294967295'",
        None,
    ),
    (values.groups, "10,,20", NOT_A_NUMBER + "' '", None),
    (values.groups, "10 20", NOT_A_NUMBER + "'10 20'", None),
    (values.byte_count, "big", NOT_A_NUMBER + "'big'", None),
    (values.byte_count, "-1", "expected a whole number from 0 to 9223372036854775807, not '-1'", None),
    # One byte, by LXC 5.0.2.
    (values.size, "1M", NOT_A_SIZE + "'1M'", None),
    (values.size, "many", NOT_A_SIZE + "'many'", None),
    (values.size, "KB", NOT_A_SIZE + "'KB'", None),
    (values.size, "9999999999999GB", "'9999999999999GB' is too large", None),
    (values.time_offset, "5", NOT_AN_OFFSET + "'5'", None),
    (values.time_offset, "5x", NOT_AN_OFFSET + "'5x'", None),
    (values.time_offset, "h", NOT_AN_OFFSET + "'h'", None),
    (values.time_offset, "--5s", NOT_AN_OFFSET + "'--5s'", None),
    (values.time_offset, "99999999999999s", "'99999999999999s' is too large", None),
    (values.log_level, "9", "unknown level '9'", None),
    (values.log_level, "debgu", "unknown level 'debgu'", "did you mean 'debug'?"),
    (values.signal, "99", "there is no signal '99' (1 to 64)", None),
    (values.signal, "0", "there is no signal '0' (1 to 64)", None),
    (values.signal, "TERM", "unknown signal 'TERM'", "did you mean 'SIGTERM'?"),
    (values.signal, "RTMIN+1", "unknown signal 'RTMIN+1'", None),
    (values.signal, "SIGRTMIN+x", "unknown signal 'SIGRTMIN+x'", None),
    (values.signal, "SIGRTMIN+99", "there is no signal 'SIGRTMIN+99' (1 to 64)", None),
    (values.signal, "SIGRTMAX-40", "there is no signal 'SIGRTMAX-40' (1 to 64)", None),
    (values.resource_limit, "10:abc", NOT_A_LIMIT + "'10:abc'", None),
    # Unlimited, by LXC 5.0.2.
    (values.resource_limit, "-1", NOT_A_LIMIT + "'-1'", None),
    # A soft limit of 0, by LXC 5.0.2.
    (values.resource_limit, ":5", NOT_A_LIMIT + "':5'", None),
    (values.resource_limit, "5:", NOT_A_LIMIT + "'5:'", None),
    (values.resource_limit, "0x10", NOT_A_LIMIT + "'0x10'", None),
    (values.resource_limit, "1:2:3", NOT_A_LIMIT + "'1:2:3'", None),
    (values.resource_limit, "200:100", "the soft limit is above the hard limit in '200:100'", None),
    (values.resource_limit, "unlimited:1", "the soft limit is above the hard limit in 'unlimited:1'", None),
    (
        values.resource_limit,
        "18446744073709551615",
        "'18446744073709551615' is too large",
        "write 'unlimited' for no limit",
    ),
    (values.nothing, "x", "takes only an empty value, which clears, not 'x'", None),
    (values.host_name, "n" * 65, "is 65 bytes long, at most 64 are possible", None),
    (values.host_name, "ä" * 33, "is 66 bytes long, at most 64 are possible", None),
    (values.path, "a" * 4096, "is 4096 bytes long, at most 4095 are possible", None),
    (values.path_below_dev, "../etc", "expected a path without '..', not '../etc'", None),
    (values.cgroup_path, "/a", "expected a relative path, not '/a'", None),
    (values.cgroup_path, "a/../b", "expected a path without '..', not 'a/../b'", None),
    (values.folder_name, "a/b", "expected the name of one folder, not 'a/b'", None),
    (values.words, " ", "expected a value, not ' '", None),
    (values.command, "a 'b c", "the quote before 'b c' is not closed", None),
    (values.command, '"" x', "the name of the program is empty", None),
    (values.command, "\f", "the name of the program is empty", None),
    (values.environment, "=x", "expected NAME=VALUE or NAME, not '=x'", None),
    (
        values.environment,
        "MINILXC_UNSET",
        "'MINILXC_UNSET' is not in the environment, so it cannot be copied",
        None,
    ),
    (values.architecture, "AMD64", "unknown architecture 'AMD64'", "did you mean 'amd64'?"),
    (values.id_map, "u 0 100000", NOT_A_MAP + "'u 0 100000'", None),
    (values.id_map, "both 0 1 1", NOT_A_MAP + "'both 0 1 1'", None),
    (values.id_map, "u 0 1 1 x", NOT_A_MAP + "'u 0 1 1 x'", None),
    (values.id_map, "u 0 x 1", NOT_A_NUMBER + "'x'", None),
    (values.id_map, "u 0 1 0", "a range of 0 ids maps nothing", None),
    (
        values.id_map,
        "u 1 0 4294967295",
        "the range 'u 1 0 4294967295' goes beyond the last id, 4294967294",
        None,
    ),
    (values.capabilities, "CAP_SYS_TIME", "unknown capability 'CAP_SYS_TIME'", "did you mean 'sys_time'?"),
    (values.capabilities, "none", "unknown capability 'none'", None),
    (values.capabilities, "chown,kill", "unknown capability 'chown,kill'", None),
    (
        values.capabilities,
        "99",
        f"there is no capability 99, this kernel's last is {last_capability()}",
        None,
    ),
    (values.namespaces, "mount pid", "unknown namespace 'mount'", "did you mean 'mnt'?"),
    (values.namespaces, "users", "unknown namespace 'users'", "did you mean 'user'?"),
    (values.limit_name, "nofiles", "unknown resource limit 'nofiles'", "did you mean 'nofile'?"),
    (values.limit_name, "16", "unknown resource limit '16'", None),
    (values.limit_name, "", "unknown resource limit ''", None),
    (values.dotted_name, ".", "names no file", None),
    # Started as `dir`, by LXC 5.0.2.
    (values.rootfs, "bogus:/srv", "unknown type 'bogus'", None),
    (values.rootfs, "overly:/srv", "unknown type 'overly'", "did you mean 'overlay'?"),
    (values.rootfs, "/srv/a:b", "unknown type '/srv/a'", "a path with a colon needs 'dir:' before it"),
    (values.rootfs, "dir:", "no path after 'dir:'", None),
    (values.rootfs, "overlay:/low", "an overlay has at least two layers, not '/low'", "overlay:LOWER:UPPER"),
    (
        values.rootfs,
        "overlay:/low:",
        "an overlay has at least two layers, not '/low:'",
        "overlay:LOWER:UPPER",
    ),
    (values.rootfs_options, "create=dir", "'create=dir' is for lxc.mount.entry only", None),
    (values.rootfs_options, "ro,optional", "'optional' is for lxc.mount.entry only", None),
    (values.rootfs_options, "relative", "'relative' is for lxc.mount.entry only", None),
    (values.rootfs_options, "idmap=", "'idmap=' names no map", None),
    (values.mount_entry, "junk", "expected SOURCE TARGET TYPE OPTIONS, not 'junk'", None),
    (values.mount_entry, "a b", "expected SOURCE TARGET TYPE OPTIONS, not 'a b'", None),
    (
        values.mount_entry,
        "/my dir mnt none bind 0 0",
        "expected at most two numbers after SOURCE TARGET TYPE OPTIONS, not '/my dir mnt none bind 0 0'",
        "a blank in a path is written \\040",
    ),
    (
        values.mount_entry,
        "a b c d 0 0 0",
        "expected at most two numbers after SOURCE TARGET TYPE OPTIONS, not 'a b c d 0 0 0'",
        "a blank in a path is written \\040",
    ),
    (values.mount_auto, "proc:ro", "unknown variant 'proc:ro'", "there are proc, proc:mixed, proc:rw"),
    (
        values.mount_auto,
        "sys:rw:force",
        "unknown variant 'sys:rw:force'",
        "there are sys, sys:ro, sys:mixed, sys:rw",
    ),
    (values.mount_auto, "proc:", "unknown variant 'proc:'", "there are proc, proc:mixed, proc:rw"),
    (values.mount_auto, "procs", "unknown word 'procs'", "did you mean 'proc'?"),
    (values.mount_auto, "shmounts:", "expected shmounts:HOST[:CONTAINER], not 'shmounts:'", None),
    (values.net_type, "vethh", "unknown type 'vethh'", "did you mean 'veth'?"),
    # Up, by LXC 5.0.2.
    (values.net_flags, "down", "unknown flag 'down'", "known: up"),
    (values.macvlan_mode, "bridged", "unknown mode 'bridged'", "did you mean 'bridge'?"),
    # Cut, by LXC 5.0.2.
    (values.interface, "a-very-long-name", "is 16 bytes long, at most 15 are possible", None),
    (values.interface, "a/b", "'a/b' cannot be the name of an interface", None),
    (values.interface, "a b", "'a b' cannot be the name of an interface", None),
    (
        values.hardware_address,
        "00:16:3e",
        "expected an address such as 00:16:3e:xx:xx:xx, not '00:16:3e'",
        None,
    ),
    (values.mtu, "big", NOT_A_NUMBER + "'big'", None),
    (values.ipv4_address, "300.1.2.3/24", "'300.1.2.3/24' has no valid IPv4 address", None),
    (values.ipv4_address, "fd00::1", "'fd00::1' has no valid IPv4 address", None),
    (
        values.ipv4_address,
        "10.0.0.1/255.0.0.0",
        "expected a prefix from 0 to 32, not '255.0.0.0'",
        None,
    ),
    (values.ipv4_address, "10.0.0.1/33", "expected a prefix from 0 to 32, not '33'", None),
    (values.ipv4_address, "10.0.0.1 x", "'10.0.0.1 x' has no valid IPv4 address", None),
    (
        values.ipv4_address,
        "10.0.0.1/8 a b",
        "expected ADDRESS[/PREFIX] [BROADCAST], not '10.0.0.1/8 a b'",
        None,
    ),
    (
        values.ipv4_address,
        "224.0.0.1",
        "'224.0.0.1' has no /PREFIX, and no class that would give it one",
        None,
    ),
    (values.ipv6_address, "fd00::1/129", "expected a prefix from 0 to 128, not '129'", None),
    (values.ipv6_address, "10.0.0.1", "'10.0.0.1' has no valid IPv6 address", None),
    (values.ipv4_gateway, "none", "'none' has no valid IPv4 address", None),
    (values.ipv4_route, "192.0.2.0", "expected ADDRESS/PREFIX, not '192.0.2.0'", None),
    (values.vlan_id, "4095", "expected a whole number from 0 to 4094, not '4095'", None),
    (values.queues, "0", "expected a whole number from 1 to 4294967295, not '0'", None),
    (values.notify_proxy, "tcp:1", "expected unix:/PATH or unix:@NAME, not 'tcp:1'", None),
    (values.syslog_facility, "local8", "unknown facility 'local8'", "did you mean 'local7'?"),
]


@pytest.mark.parametrize(("kind", "text", "value"), ACCEPTED)
def test_text_becomes_a_value(kind: Callable[[str], Any], text: str, value: Any) -> None:
    result = kind(text)
    assert result == value
    assert type(result) is type(value)
    hash(result)  # values are immutable


@pytest.mark.parametrize(("kind", "text", "what", "hint"), REFUSED)
def test_a_bad_value_is_refused_in_words(
    kind: Callable[[str], Any], text: str, what: str, hint: str | None
) -> None:
    with pytest.raises(Invalid) as caught:
        kind(text)
    assert (caught.value.what, caught.value.hint) == (what, hint)


def test_a_long_number_is_an_error_and_no_crash() -> None:
    """Python's int() itself raises on more than 4300 digits."""
    for kind in (values.uint, values.signal, values.log_level, values.limit_name, values.capabilities):
        with pytest.raises(Invalid):
            kind("9" * 5000)
    for kind, text in ((values.size, "9" * 5000), (values.time_offset, "9" * 5000 + "s")):
        with pytest.raises(Invalid, match="too large"):
            kind(text)


def test_a_long_value_is_cut_in_messages() -> None:
    with pytest.raises(Invalid) as caught:
        values.uint("x" * 1000)
    assert caught.value.what == f"expected a whole number, not '{'x' * 77}...'"


def test_a_variable_is_copied_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINILXC_COPIED", "a b")
    assert values.environment("MINILXC_COPIED") == ("MINILXC_COPIED", "a b")


def test_a_limit_has_one_name_whether_written_as_name_or_number() -> None:
    assert values.limit_name(str(RLIMITS["nofile"])) == "nofile"


def test_names_agree_with_python_and_the_kernel() -> None:
    import resource
    import signal

    for name, number in RLIMITS.items():
        assert getattr(resource, f"RLIMIT_{name.upper()}", number) == number
    for name, number in SIGNALS.items():
        assert signal.Signals[name] == number
    assert last_capability() <= len(CAPABILITIES) - 1 or os.uname().release > "6.18"


def test_none_forgets_the_capabilities_before_it() -> None:
    assert values.kept([(1, 2), (values.NO_CAPABILITY, 3), (3, 4)]) == (3, 4)
    assert values.kept([(1, 2), (values.NO_CAPABILITY,)]) == ()


def test_a_later_automatic_mount_takes_the_place_of_an_earlier_one() -> None:
    words = values.mount_auto("proc:mixed cgroup:ro sys"), values.mount_auto("cgroup2 proc:rw")
    assert set(values.auto_in_force(words)) == {
        ("proc", "rw", False),
        ("cgroup2", "rw", False),
        ("sys", "mixed", False),
    }
