"""minilxc config and minilxc keys, as a user calls them."""

from __future__ import annotations

import json
import os
import stat
import subprocess

import pytest

from tests.helpers.container import MINILXC, Result


def minilxc(*words, cwd=None, stdin=""):
    ran = subprocess.run([MINILXC, *words], input=stdin, capture_output=True, text=True, cwd=cwd)
    return Result(ran.returncode, ran.stdout, ran.stderr)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "c").write_text(
        "lxc.include = i\nlxc.uts.name = a\nlxc.prlimit.nofile = 5\nlxc.net.3.type = empty\nlxc.init.cmd = ' /a b'\n"
    )
    (tmp_path / "i").write_text("# one\nlxc.uts.name = b\nlxc.tty.max = 2\nlxc.environment = A=1\n")
    return tmp_path


def config(folder, *words, **more):
    return minilxc("config", *words, cwd=folder, **more)


@pytest.mark.parametrize(
    ("key", "out"),
    [
        ("lxc.uts.name", "c:2: lxc.uts.name = a\n"),
        ("lxc.tty.max", "i:3: lxc.tty.max = 2\n"),
        ("lxc.autodev", "default: lxc.autodev = 1\n"),
        ("lxc.init.cmd", "c:5: lxc.init.cmd = \" /a b\"\n"),
        ("lxc.signal.halt", "default: lxc.signal.halt = SIGPWR\n"),
        ("lxc.prlimit", "c:3: lxc.prlimit.nofile = 5\n"),
        ("lxc.prlimit.nofile", "c:3: lxc.prlimit.nofile = 5\n"),
        ("lxc.net.3", "c:4: lxc.net.3.type = empty\n"),
        ("lxc.net.3.type", "c:4: lxc.net.3.type = empty\n"),
        ("lxc.environment", "i:4: lxc.environment = A=1\n"),
    ],
)  # fmt: skip
def test_get_tells_a_value_and_where_it_stands(folder, key, out):
    assert config(folder, "get", key, "-f", "c") == (0, out, "")


@pytest.mark.parametrize(
    "key", ["lxc.console.path", "lxc.prlimit.core", "lxc.net.3.mtu", "lxc.net.4", "lxc.hook"]
)
def test_get_of_a_key_without_a_value_is_told_by_the_status(folder, key):
    assert config(folder, "get", key, "-f", "c") == (1, "", "")


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("lxc.utz.name", "lxc.utz.name: unknown key (did you mean 'lxc.uts.name'?)"),
        ("lxc.net.3.nonsense", "lxc.net.3.nonsense: unknown key"),
        ("x", "x: unknown key"),
    ],
)
def test_get_of_an_unknown_key_is_an_error(folder, key, line):
    assert config(folder, "get", key, "-f", "c") == (1, "", f"minilxc: {line}\n")


def test_define_wins_and_is_told_as_the_place(folder):
    found = config(folder, "-s", "lxc.uts.name=z", "get", "lxc.uts.name", "-f", "c")
    assert found == (0, "-s lxc.uts.name=z: lxc.uts.name = z\n", "")


def test_list_tells_all_lines_in_force_and_no_other(folder):
    assert config(folder, "list", "-f", "c").out.splitlines() == [
        "i:3: lxc.tty.max = 2",
        "i:4: lxc.environment = A=1",
        "c:2: lxc.uts.name = a",
        "c:3: lxc.prlimit.nofile = 5",
        "c:5: lxc.init.cmd = \" /a b\"",
        "c:4: lxc.net.3.type = empty",
    ]  # fmt: skip


def test_list_without_the_places_is_a_config_that_means_the_same(folder):
    lines = [line.split(": ", 1)[1] for line in config(folder, "list", "-f", "c").out.splitlines()]
    (folder / "flat").write_text("\n".join(lines))
    again = config(folder, "list", "-f", "flat").out.splitlines()
    assert [line.split(": ", 1)[1] for line in again] == lines


def test_show_has_the_defaults_too(folder):
    lines = config(folder, "show", "-f", "c").out.splitlines()
    assert "c:2: lxc.uts.name = a" in lines
    assert "default: lxc.init.cwd = /" in lines
    assert not [line for line in lines if line.startswith("default: lxc.tty.max")]


def test_values_alone_are_for_scripts(folder):
    assert config(folder, "get", "lxc.init.cmd", "--values", "-f", "c").out == " /a b\n"


def test_json_has_keys_values_and_places(folder):
    found = json.loads(config(folder, "list", "--json", "-f", "c").out)
    assert found[0] == {"key": "lxc.tty.max", "value": "2", "where": "i:3"}
    assert len(found) == 6


def test_config_of_a_container_is_found_by_its_name(folder):
    (folder / "c1").mkdir()
    (folder / "c").rename(folder / "c1" / "config")
    place = f"{folder}/c1/config:2"
    assert (
        config(folder, "get", "lxc.uts.name", "-n", "c1", "-P", str(folder)).out
        == f"{place}: lxc.uts.name = a\n"
    )


def test_wrong_lines_are_told_and_the_others_shown(folder):
    with open(folder / "c", "a") as file:
        file.write("lxc.nonsense = 1\nlxc.arch = x\n")
    found = config(folder, "get", "lxc.uts.name", "-f", "c")
    assert (found.status, found.out) == (1, "c:2: lxc.uts.name = a\n")
    assert found.err.startswith("minilxc: c:6: lxc.nonsense: unknown key\nminilxc: c:7: lxc.arch: ")


def test_bytes_that_are_no_text_are_shown_as_they_are(tmp_path):
    (tmp_path / "c").write_bytes(b"lxc.uts.name = a\xff\n")
    ran = subprocess.run([MINILXC, "config", "list", "-f", tmp_path / "c"], capture_output=True)
    assert ran.stdout.endswith(b": lxc.uts.name = a\xff\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "what to do?"),
        (("lst",), "unknown action 'lst' (did you mean 'list'?)"),
        (("get",), "get takes one key"),
        (("get", "a", "b", "-f", "c"), "get takes one key"),
        (("list", "a", "-f", "c"), "unexpected word 'a'"),
        (("list",), "which config? (-f FILE, or -n NAME)"),
        (("--upgrade",), "--upgrade takes one FILE"),
        (("--upgrade", "a", "-f", "c"), "--upgrade takes one FILE"),
        (("list", "-f", "c", "--output", "x"), "unknown action 'list'"),
    ],
)
def test_wrong_command_line_is_told(folder, words, line):
    found = config(folder, *words)
    assert (found.status, found.out) == (2, "")
    assert found.err.startswith(f"minilxc: {line}")


# --- today's names


def test_upgrade_rewrites_the_file_and_says_what_has_changed(tmp_path):
    file = tmp_path / "c"
    file.write_bytes(b"# old\r\nlxc.utsname = a \r\n\r\nlxc.network.type = veth\n")
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, os.getuid(), os.getgid())
    found = config(tmp_path, "--upgrade", "c")
    assert found == (0, "c:2: lxc.utsname -> lxc.uts.name\nc:4: lxc.network.type -> lxc.net.0.type\n", "")
    assert file.read_bytes() == b"# old\r\nlxc.uts.name = a \r\n\r\nlxc.net.0.type = veth\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["c"]


def test_upgrade_of_todays_names_leaves_the_file_alone(tmp_path):
    file = tmp_path / "c"
    file.write_text("lxc.uts.name = a\n")
    before = file.stat()
    assert config(tmp_path, "--upgrade", "c") == (0, "", "")
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_upgrade_through_a_link_rewrites_what_it_leads_to(tmp_path):
    (tmp_path / "c").write_text("lxc.utsname = a\n")
    (tmp_path / "l").symlink_to("c")
    assert config(tmp_path, "--upgrade", "l").status == 0
    assert (tmp_path / "l").is_symlink()
    assert (tmp_path / "c").read_text() == "lxc.uts.name = a\n"


def test_upgrade_of_a_wrong_config_changes_nothing(tmp_path):
    (tmp_path / "c").write_text("lxc.utsname = a\nlxc.nonsense = 1\n")
    assert config(tmp_path, "--upgrade", "c") == (1, "", "minilxc: c:2: lxc.nonsense: unknown key\n")
    assert (tmp_path / "c").read_text() == "lxc.utsname = a\nlxc.nonsense = 1\n"


def test_upgrade_writes_elsewhere_where_that_is_asked_for(tmp_path):
    (tmp_path / "c").write_text("lxc.utsname = a\n")
    assert config(tmp_path, "--upgrade", "c", "--output", "-") == (0, "lxc.uts.name = a\n", "")
    assert config(tmp_path, "--upgrade", "c", "--output=new").status == 0
    assert (tmp_path / "new").read_text() == "lxc.uts.name = a\n"
    assert (tmp_path / "c").read_text() == "lxc.utsname = a\n"


def test_upgrade_is_a_filter_between_pipes(tmp_path):
    assert config(tmp_path, "--upgrade", "-", stdin="lxc.utsname = a") == (0, "lxc.uts.name = a", "")


def test_upgrade_tells_what_has_no_name_today(tmp_path):
    (tmp_path / "c").write_text("lxc.kmsg = 0\n")
    line = "minilxc: c:1: lxc.kmsg: LXC 3.0 dropped it; it has no effect, and LXC refuses the line today\n"
    assert config(tmp_path, "--upgrade", "c") == (0, "", line)


@pytest.mark.parametrize(("name", "why"), [("none", "No such file or directory"), (".", "Is a directory")])
def test_upgrade_of_no_file_is_told(tmp_path, name, why):
    assert config(tmp_path, "--upgrade", name) == (1, "", f"minilxc: {name}: {why}\n")


# --- minilxc keys


def test_keys_are_a_line_each():
    found = minilxc("keys", "lxc.signal")
    assert (found.status, found.err) == (0, "")
    assert [line.split()[0] for line in found.out.splitlines()] == [
        "lxc.signal.halt",
        "lxc.signal.reboot",
        "lxc.signal.stop",
    ]


def test_one_key_is_explained():
    out = minilxc("keys", "lxc.net.2.hwaddr").out
    assert out.startswith("lxc.net.I.hwaddr\n")
    for part in (
        "lxc.net.0.hwaddr = 00:16:3e:xx:xx:xx",
        "Default:",
        "minilxc:",
        "Since:",
        "lxc.network.hwaddr",
    ):
        assert part in out


def test_key_is_meant_by_its_whole_name_whatever_else_begins_with_it():
    assert minilxc("keys", "lxc.environment").out.startswith("lxc.environment\n  A variable")


def test_keys_are_data_for_programs():
    found = json.loads(minilxc("keys", "--json").out)
    assert len(found) > 100
    assert [key["name"] for key in found if not key["type"]] == []
    (key,) = json.loads(minilxc("keys", "--json", "lxc.autodev.tmpfs.size").out)
    assert (key["default"], key["support"], key["since"]) == ("500000", "acts", "3.2")


def test_key_that_there_is_not_is_told():
    line = "minilxc: no key matches 'lxc.utz.name' (did you mean 'lxc.uts.name'?)\n"
    assert minilxc("keys", "lxc.utz.name") == (1, "", line)


def test_word_too_many_is_told():
    found = minilxc("keys", "a", "b")
    assert (found.status, found.err) == (
        2,
        "minilxc: unexpected word 'b' (usage: minilxc keys [PATTERN] [OPTION]...)\n",
    )


def test_settings_of_the_machine_are_listed_and_an_unknown_one_is_told():
    assert minilxc("config", "-l").out.splitlines()[:2] == ["lxc.default_config", "lxc.lxcpath"]
    assert minilxc("config", "lxc.cgroup.pattern").status == 0
    result = minilxc("config", "lxc.nonsense")
    assert result == (
        1,
        "",
        "minilxc: lxc.nonsense: unknown setting (config get lxc.nonsense, for a container's key)\n",
    )
