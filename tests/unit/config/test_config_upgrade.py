"""Today's names for a config of before LXC 3.0: nothing but names changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilxc.config.keys import TABLE
from minilxc.config.parse import Config
from minilxc.config.upgrade import upgrade
from minilxc.errors import ConfigError


def upgraded(text: str) -> str:
    return upgrade(text.encode(), "c").text.decode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lxc.utsname = a", "lxc.uts.name = a"),
        ("  lxc.utsname\t=a  ", "  lxc.uts.name\t=a  "),
        ("lxc.utsname = lxc.utsname", "lxc.uts.name = lxc.utsname"),
        ("lxc.limit.nofile = 5", "lxc.prlimit.nofile = 5"),
        ("lxc.mount = /a\nlxc.mount.auto = proc", "lxc.mount.fstab = /a\nlxc.mount.auto = proc"),
        ("#lxc.utsname = a\n\n# lxc.rootfs\nlxc.rootfs = /a", "#lxc.utsname = a\n\n# lxc.rootfs\nlxc.rootfs.path = /a"),
        ("lxc.utsname = a\r\nlxc.tty = 1\rlxc.pts = 2\n", "lxc.uts.name = a\r\nlxc.tty.max = 1\rlxc.pty.max = 2\n"),
        ("foo\nlxc.haltsignal = SIGTERM", "foo\nlxc.signal.halt = SIGTERM"),
        (
            "lxc.network.type = veth\nlxc.network.ipv4 = 10.0.0.1/8\nlxc.network.type = empty",
            "lxc.net.0.type = veth\nlxc.net.0.ipv4.address = 10.0.0.1/8\nlxc.net.1.type = empty",
        ),
        ("lxc.network.5.type = veth\nlxc.network.5.link = a", "lxc.net.5.type = veth\nlxc.net.5.link = a"),
        ("lxc.net.3.type = empty\nlxc.network.type = veth", "lxc.net.3.type = empty\nlxc.net.4.type = veth"),
        ("lxc.network.type = veth\nlxc.network.type =", "lxc.net.0.type = veth\nlxc.net ="),
        ("lxc.network =", "lxc.net ="),
        ("", ""),
    ],
)  # fmt: skip
def test_names_change_and_nothing_else(old: str, new: str) -> None:
    assert upgraded(old) == new
    assert upgraded(new) == new


def test_bytes_that_are_no_text_stay() -> None:
    assert upgrade(b"# \xff\xfe\nlxc.utsname = \xe9\n", "c").text == b"# \xff\xfe\nlxc.uts.name = \xe9\n"


def test_what_has_changed_is_told_with_its_place() -> None:
    assert upgrade(b"\nlxc.utsname = a", "c").renamed == (("c:2", "lxc.utsname", "lxc.uts.name"),)


def test_keys_without_a_name_today_stay_and_are_told() -> None:
    result = upgrade(b"lxc.kmsg = 0\nlxc.pivotdir = mnt\nlxc.rootfs.backend = lvm", "c")
    assert result.text == b"lxc.kmsg = 0\nlxc.pivotdir = mnt\nlxc.rootfs.backend = lvm"
    assert [where for where, _ in result.doubts] == ["c:1", "c:2", "c:3"]


def test_a_wrong_line_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"^\('unknown key', 'c:2'|lxc.nonsense: unknown key"):
        upgrade(b"lxc.utsname = a\nlxc.nonsense = 1", "c")


def test_what_minilxc_cannot_do_yet_is_no_hindrance() -> None:
    assert upgraded("lxc.se_context = a_t\nlxc.rootfs = zfs:a").startswith("lxc.selinux.context")


def test_an_old_name_in_an_included_file_stays_there(tmp_path) -> None:
    included = tmp_path / "i"
    included.write_text("lxc.network.type = veth\n")
    text = f"lxc.include = {included}\nlxc.network.type = empty\n"
    assert upgraded(text) == f"lxc.include = {included}\nlxc.net.1.type = empty\n"
    assert included.read_text() == "lxc.network.type = veth\n"


_OLD = [
    (old, key)
    for key in TABLE
    for old in key.old
    if key.example and not key.group and key.name != "lxc.idmap"
]


@given(st.lists(st.sampled_from(_OLD), max_size=8), st.sampled_from(["\n", "\r\n", "\r"]))
def test_an_upgraded_config_means_the_same(lines, end) -> None:
    text = end.join(["lxc.network.type = veth", *(f"{old} = {key.example}" for old, key in lines)]).encode()
    new = upgrade(text, "c")
    before, after = (_meaning(each) for each in (text, new.text))
    assert before == after
    assert Config.old_names(new.text, "c") == ()


def _meaning(text: bytes):
    from minilxc.config.parse import _Reader

    reader = _Reader(collect=False)
    reader.text(text, "c")
    return reader.entries, reader.networks
