"""minilxc autostart, and links with the names of LXC's commands."""

from __future__ import annotations

import os
import subprocess

import pytest

from minilxc import Container
from minilxc.cli.links import NAMES
from tests.helpers import machine
from tests.helpers.background import minilxc
from tests.helpers.container import MINILXC

AUTO = "lxc.start.auto = 1"


def listed(place, *words):
    result = place.run("autostart", "-L", *words)
    assert (result.status, result.err) == (0, "")
    return [line.removeprefix(f"{place.box.name}-") for line in result.out.splitlines()]


@pytest.fixture
def five(place):
    """The containers that real lxc-autostart was asked about; its answers are those below."""
    place.define("c1", AUTO, "lxc.start.order = 5", "lxc.start.delay = 2")
    place.define("c2", AUTO, "lxc.start.order = 10", "lxc.group = web", "lxc.group = onboot")
    place.define("c3", AUTO, "lxc.group = onboot")
    place.define("db", AUTO, "lxc.start.order = -3", "lxc.group = db,web")
    place.define("web", "lxc.group = web")
    return place


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ((), ["c1 2"]),
        (("-a",), ["db 0", "c3 0", "c1 2", "c2 0"]),
        (("-A",), ["c1 2"]),
        (("-A", "-a"), ["db 0", "c3 0", "web 0", "c1 2", "c2 0"]),
        (("-g", "web"), ["c2 0"]),
        (("-g", "web", "-A"), ["web 0", "c2 0"]),
        (("-g", "onboot,"), ["c3 0", "c2 0", "c1 2"]),
        (("-g", "onboot", "-g", ""), ["c3 0", "c2 0", "c1 2"]),
        (("-g", ","), ["c1 2"]),
        (("-g", "web,db"), ["c2 0"]),
        (("-g", "nobody"), []),
        (("-a", "-k"), []),
    ],
)
def test_containers_are_chosen_as_lxc_autostart_chooses_them(five, words, names):
    assert listed(five, *words) == names


def test_what_runs_is_stopped_in_the_opposite_order_and_not_started(place):
    """As recorded of LXC 5.0.2."""
    place.start("c1", AUTO, "lxc.start.order = 5", "lxc.start.delay = 2")
    place.start("c2", AUTO, "lxc.start.order = 10")
    place.define("c3", AUTO)
    assert listed(place) == ["c3 0"]
    assert listed(place, "-k") == listed(place, "-s") == ["c2", "c1"]
    assert listed(place, "-r") == ["c1 2", "c2 0"]


def end(place, *words, names=()):
    """Stop containers by autostart, and collect their monitors."""
    monitors = [Container(name, place.path).info().monitor for name in names]
    assert place.run("autostart", *words) == (0, "", "")
    machine.wait_until_gone(*monitors)


def test_many_start_and_end(place):
    containers = [place.define(f"{number:02}", AUTO, "lxc.signal.halt = SIGKILL") for number in range(12)]
    assert place.run("autostart") == (0, "", "")
    assert all(container.state == "RUNNING" for container in containers)
    names = [container.name for container in containers]
    end(place, "-s", names=names)
    assert place.run("autostart") == (0, "", "")
    end(place, "-k", names=names)
    assert not any(container.running for container in containers)


def test_one_that_fails_does_not_keep_the_others(place):
    good = [place.define(f"good{number}", AUTO) for number in range(3)]
    missing = place.define("missing", AUTO, "lxc.rootfs.path = dir:/nonexistent", "lxc.start.order = -1")
    broken = place.define("broken", AUTO, "lxc.nonsense = 1")
    result = place.run("autostart")
    assert (result.status, result.out) == (1, "")
    lines = sorted(result.err.splitlines())
    assert len(lines) == 2
    assert lines[0].startswith(f"minilxc: {place.path}/{broken.name}/config:6: lxc.nonsense: unknown key")
    assert lines[1].startswith(f"minilxc: {missing.name}: ") or "/nonexistent" in lines[1]
    assert all(container.state == "RUNNING" for container in good)


def test_orders_are_kept_and_delays_waited_for(place):
    """What starts notes when, in a file that all of them share."""
    notes = place.box.folder / "notes"
    notes.touch()
    place.box.may_make.add(str(notes))

    def define(name, *lines):
        hook = f"lxc.hook.start-host = /bin/sh -c 'echo {name} $(date +%s%N) >>{notes}'"
        place.define(name, AUTO, hook, *lines)

    define("last", "lxc.start.order = 7")
    define("first", "lxc.start.order = -2")
    define("then-a", "lxc.start.delay = 1")
    define("then-b")
    assert place.run("autostart") == (0, "", "")
    found = [line.split() for line in notes.read_text().splitlines()]
    assert [name for name, _ in found] == ["first", "then-a", "then-b", "last"]
    moments = {name: int(moment) for name, moment in found}
    assert moments["then-b"] - moments["then-a"] >= 1_000_000_000
    assert moments["last"] - moments["then-b"] < 900_000_000


def test_reboot_starts_them_again(place):
    program = place.box.root / "bin" / "again"
    program.write_text(
        "#!/bin/sh\ntrap 'busybox reboot -f' HUP\ntouch /tmp/ready\nwhile :; do sleep 0.02; done\n"
    )
    program.chmod(0o755)
    place.box.allow("bin/again", "tmp/ready")
    one = place.start("one", AUTO, "lxc.signal.reboot = SIGHUP", "lxc.init.cmd = /bin/again")
    stays = place.start("stays", "lxc.signal.reboot = SIGHUP")
    machine.wait_for((place.box.root / "tmp" / "ready").exists, "it listens")
    before, other = one.info(), stays.info().as_data()
    assert place.run("autostart", "-r") == (0, "", "")
    after = one.info()
    assert (after.state, after.monitor) == ("RUNNING", before.monitor)
    assert after.pid != before.pid
    assert stays.info().as_data() == other


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("-r", "-k"), "only one of -r, -s and -k"),
        (("-t", "soon"), "-t takes a number of seconds, not 'soon'"),
        (("-t", "-1"), "-t takes no negative number"),
        (("name",), "unexpected word 'name'"),
    ],
)
def test_what_cannot_be_meant_is_refused(place, words, line):
    result = place.run("autostart", *words)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"minilxc: {line}")


# links


@pytest.fixture
def linked(tmp_path):
    assert minilxc("links", tmp_path) == (0, "", "")
    return tmp_path


def test_links_have_lxcs_names_and_are_its_commands(place, linked):
    assert sorted(path.name for path in linked.iterdir()) == [f"lxc-{name}" for name in NAMES]
    one = place.define("one")
    path = {**os.environ, "PATH": f"{linked}:{os.environ['PATH']}"}

    def run(*words):
        ran = subprocess.run(words, env=path, capture_output=True, text=True, cwd=linked, timeout=30)
        return ran.returncode, ran.stdout, ran.stderr

    where = ("-P", str(place.path))
    assert run("lxc-start", *where, "-n", one.name) == (0, "", "")
    assert run("./lxc-ls", *where, "--active") == (0, f"{one.name}\n", "")
    assert run(str(linked / "lxc-info"), *where, "-n", one.name, "-sH") == (0, "RUNNING\n", "")
    assert run("lxc-wait", *where, "-n", one.name, "-s", "RUNNING")[0] == 0
    assert run("sh", "-c", 'exec lxc-freeze "$@"', "sh", *where, "-n", one.name) == (0, "", "")
    status, out, err = run("lxc-ls", "-?")
    assert (status, err) == (0, "")
    assert out.startswith("usage: minilxc ls ")


def test_links_are_made_again(linked):
    before = os.readlink(linked / "lxc-ls")
    (linked / "lxc-ls").unlink()
    (linked / "lxc-ls").symlink_to("/elsewhere/minilxc")
    assert minilxc("links", linked) == (0, "", "")
    assert os.readlink(linked / "lxc-ls") == before == os.path.realpath(MINILXC)


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_is_no_link_to_minilxc_stays_and_nothing_is_made(tmp_path, kind):
    path = tmp_path / "lxc-start"
    if kind == "file":
        path.write_text("mine")
    elif kind == "link":
        path.symlink_to("/usr/bin/true")
    else:
        path.mkdir()
    line = f"minilxc: {path}: is there already, and no link to minilxc; nothing was made\n"
    assert minilxc("links", tmp_path) == (1, "", line)
    assert [found.name for found in tmp_path.iterdir()] == ["lxc-start"]


def test_links_need_a_folder(tmp_path):
    result = minilxc("links", tmp_path / "missing")
    assert result == (1, "", f"minilxc: {tmp_path}/missing/lxc-attach: No such file or directory\n")
    assert minilxc("links").status == 2
