"""What hooks are told, and how a command line for the shell is made of a config's value."""

from __future__ import annotations

import posix

import pytest

from minilxc.config.parse import Config
from minilxc.launch import hooks
from minilxc.launch.attention import Attention
from minilxc.launch.rootfs import Rootfs
from minilxc.linux import process
from minilxc.log import DEBUG, Log

ROOT = Rootfs("/srv/root", "/srv/root")


def read(text):
    return hooks.from_config(Config.from_text(text.encode(), "c"), "c1", ROOT, DEBUG)


def script(command, arguments=(), environment=None):
    return hooks.Script(
        "test hook", command, "c:1", container="c1", arguments=arguments, environment=environment or {}
    )


def test_hooks_of_other_tools_are_none():
    assert read("lxc.hook.clone = /a\nlxc.hook.destroy = /b") is None


def test_lines_are_in_the_order_in_which_hooks_run():
    found = read("lxc.hook.stop = /d e\nlxc.hook.start-host = /c\nlxc.hook.start = /b\nlxc.hook.mount = /a")
    assert list(found.lines()) == ["mount: /a", "start: /b", "start-host: /c", "stop: /d e"]


def test_autodev_hooks_belong_to_autodev():
    assert read("lxc.hook.autodev = /a\nlxc.autodev = 0") is None


def test_version_says_whether_arguments_or_variables_tell():
    (old,) = read("lxc.hook.start = /a b").of("start")
    assert old.words() == ("/bin/sh", "-c", "exec /a b c1 lxc start")
    assert "LXC_HOOK_TYPE" not in old.environment
    (new,) = read("lxc.hook.start = /a b\nlxc.hook.version = 1").of("start")
    assert new.words() == ("/bin/sh", "-c", "exec /a b")
    assert (new.environment["LXC_HOOK_TYPE"], new.environment["LXC_HOOK_SECTION"]) == ("start", "lxc")


def test_start_hook_has_the_configs_variables_and_not_the_callers(monkeypatch):
    monkeypatch.setitem(posix.environ, b"OF_CALLER", b"1")
    text = "lxc.environment = A=1\nlxc.environment.hooks = B=2\nlxc.environment = LXC_NAME=other\n"
    found = read(text + "lxc.hook.start = /a\nlxc.hook.mount = /a\nlxc.hook.stop = /a")
    inside, mount, stop = (found.of(kind)[0].environment for kind in ("start", "mount", "stop"))
    assert (inside["A"], inside["B"], inside["LXC_NAME"], "OF_CALLER" in inside) == ("1", "2", "c1", False)
    assert (mount["A"], mount["B"], mount["OF_CALLER"]) == ("1", "2", "1")
    assert ("A" in stop, stop["B"], stop["OF_CALLER"]) == (False, "2", "1")


@pytest.mark.parametrize(
    ("argument", "word"),
    [
        ("mnt:/proc/1/fd/3", "mnt:/proc/1/fd/3"),
        ("a;b", "'a;b'"),
        ("it's", "'it'\\''s'"),
        ("", "''"),
        ("é", "'é'"),
    ],
)
def test_arguments_reach_the_hook_as_they_are(argument, word):
    """An interface, for one, may have any name."""
    assert script("/a", ("c1",)).words((argument,))[2] == f"exec /a c1 {word}"


@pytest.fixture
def attention():
    descriptor = process.signalfd(set())
    yield Attention(descriptor, None)
    posix.close(descriptor)


def test_command_runs_to_its_end_with_what_was_added(attention, tmp_path):
    command = script("sh -c 'echo \"$0 $A $B\" > $B'", ("x y",), {"A": "1"})
    hooks.run(command, Log(), attention, environment={"B": str(tmp_path / "out")})
    assert (tmp_path / "out").read_text() == f"x y 1 {tmp_path}/out\n"


@pytest.mark.parametrize(
    ("command", "reason"),
    [("false", "ended with status 1"), ("sh -c 'kill -KILL $$'", "was killed by SIGKILL")],
)
def test_failure_names_the_command_its_end_and_its_line(attention, command, reason):
    with pytest.raises(OSError, match=r"\(c:1\)") as caught:
        hooks.run(script(command), Log(), attention)
    assert (caught.value.filename, caught.value.strerror) == (command, f"{reason} (c:1)")


def test_long_command_does_not_make_a_long_message(attention):
    with pytest.raises(OSError, match=r"\(c:1\)") as caught:
        hooks.run(script("false " + "x" * 100_000), Log(), attention)
    assert len(caught.value.filename) < 210


def test_output_is_logged_line_by_line_and_a_long_line_in_pieces(attention, tmp_path):
    log = tmp_path / "log"
    text = "printf 'a\\nb'; head -c 5000 /dev/zero | tr '\\0' x; printf '\\n\\377'"
    hooks.run(script(f'sh -c "{text}"'), Log.to_file("c1", str(log), DEBUG), attention)
    told = [line.partition(": ")[2] for line in log.read_text().splitlines()]
    assert [told[0], told[-1]] == ["a", r"\xff"]
    assert "".join(told[1:-1]) == "b" + "x" * 5000
