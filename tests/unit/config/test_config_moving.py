"""A config of a container that is copied or renamed, and values as a config must have them."""

from __future__ import annotations

import re

import pytest

from minilxc.config import values
from minilxc.config.moving import Move, left_behind, rewrite, rewrite_paths
from minilxc.config.parse import Config
from minilxc.config.writing import command, line
from minilxc.errors import MinilxcError

MOVE = Move(("/lxc/c1", "/link/c1"), "/lxc/c2", "c2", new_addresses=True)


def moved(text, move=MOVE):
    return rewrite(text.encode(), "c1/config", move).decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("lxc.rootfs.path = dir:/lxc/c1/rootfs", "lxc.rootfs.path = dir:/lxc/c2/rootfs"),
        ("  lxc.rootfs.path=/link/c1/rootfs  ", "  lxc.rootfs.path=/lxc/c2/rootfs  "),
        ("lxc.rootfs = /lxc/c1/rootfs", "lxc.rootfs = /lxc/c2/rootfs"),
        ("lxc.mount = '/lxc/c1/fstab'", "lxc.mount = '/lxc/c2/fstab'"),
        ("lxc.rootfs.path = overlay:/base:/lxc/c1/delta", "lxc.rootfs.path = overlay:/base:/lxc/c2/delta"),
        ("lxc.mount.entry = /lxc/c1/data srv none bind", "lxc.mount.entry = /lxc/c2/data srv none bind"),
        ("lxc.hook.start-host = /lxc/c1/hook /lxc/c1", "lxc.hook.start-host = /lxc/c2/hook /lxc/c2"),
        ("lxc.net.0.script.up = /lxc/c1/up", "lxc.net.0.script.up = /lxc/c2/up"),
        ("lxc.include = /lxc/c1/more.conf", "lxc.include = /lxc/c2/more.conf"),
        ("lxc.uts.name = c1", "lxc.uts.name = c2"),
        ("lxc.utsname = web.example", "lxc.utsname = c2"),
    ],
)
def test_line_goes_along(before, after):
    text = f"# /lxc/c1 and c1\r\n{before}\n"
    if "lxc.include" in before:  # it would be read
        assert rewrite_paths(before.encode(), MOVE).decode() == after
    else:
        assert moved(text) == f"# /lxc/c1 and c1\r\n{after}\n"


@pytest.mark.parametrize(
    "line",
    [
        "lxc.rootfs.path = dir:/lxc/c10/rootfs",
        "lxc.rootfs.path = dir:/srv/lxc/c1/rootfs",
        "lxc.init.cmd = /lxc/c1/program",
        "lxc.environment = HOME=/lxc/c1",
        "lxc.net.0.hwaddr = 00:16:3e:xx:xx:xx",
        "lxc.mount.entry = /data lxc/c1/data none bind",
        "foo = /lxc/c1",
        "",
    ],
)
def test_line_stays(line):
    assert moved(line) == line


@pytest.mark.parametrize("key", ["lxc.net.0.hwaddr", "lxc.network.0.hwaddr"])
def test_hardware_address_is_another_one_of_the_same_vendor(key):
    text = moved(f"lxc.net.0.type = veth\n{key} = 00:16:3e:01:02:03\n")
    assert re.search(r"= 00:16:3e(:[0-9a-f]{2}){3}\n\Z", text)
    assert "01:02:03" not in text


def test_kept_name_and_address_stay():
    text = "lxc.net.0.type = veth\nlxc.net.0.hwaddr = 00:16:3e:01:02:03\nlxc.uts.name = c1\n"
    assert moved(text, MOVE._replace(hostname=None, new_addresses=False)) == text


def test_folder_with_a_blank_is_found_as_an_fstab_has_it():
    move = Move(("/my lxc/c1",), "/my lxc/c\\2", None, new_addresses=False)
    assert rewrite_paths(b"/my\\040lxc/c1/data srv none bind 0 0\n", move) == (
        b"/my\\040lxc/c\\2/data srv none bind 0 0\n"
    )


def test_what_an_included_file_leaves_wrong_is_found(tmp_path):
    lines = "lxc.net.0.type = veth\nlxc.net.0.script.up = /lxc/c1/up\n"
    (tmp_path / "more").write_text(
        f"lxc.uts.name = c1\n{lines}lxc.mount.entry = /lxc/c1/data srv none bind\n"
    )
    text = f"lxc.include = {tmp_path}/more\nlxc.mount.entry = /lxc/c1/own srv none bind\n"
    assert list(left_behind(Config.from_text(text.encode(), "config"), MOVE)) == [
        (f"{tmp_path}/more:4", "lxc.mount.entry"),
        (f"{tmp_path}/more:3", "lxc.net.0.script.up"),
    ]


@pytest.mark.parametrize(
    "words",
    [("/bin/sh",), ("/bin/sh", "-c", "echo 'a b'"), ("x", 'say "it"', ""), ("a b",), ("'x",), ("x", "'y z")],
)
def test_command_is_read_as_it_was_written(words):
    text = line("lxc.init.cmd", command(words))
    assert Config.from_text(text.encode(), "config").get("lxc.init.cmd") == words
    assert values.command(command(words)) == words


@pytest.mark.parametrize("value", [" x ", "'x'", '"x" "y"', "x"])
def test_value_is_read_as_it_was_written(value):
    config = Config.from_text(line("lxc.environment", f"A={value}").encode(), "config")
    assert config.get("lxc.environment") == (("A", value),)
    assert Config.from_text(line("lxc.uts.name", value).encode(), "config").get("lxc.uts.name") == value


def test_what_a_config_cannot_hold_is_refused():
    with pytest.raises(MinilxcError, match="cannot hold the line break"):
        line("lxc.environment", "A=x\ny")
    with pytest.raises(MinilxcError, match="both kinds of quotes"):
        command(("sh", "-c", 'echo "\'"'))
