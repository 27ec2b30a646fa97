"""The commands that wait for states and change them: wait, monitor, freeze, unfreeze."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.helpers import machine
from tests.helpers.background import collect

# wait


@pytest.mark.parametrize(
    ("states", "status"),
    [("RUNNING", 0), ("STOPPED|RUNNING", 0), ("RUNNING|FROZEN", 0), ("STOPPED", 1), ("FROZEN|STOPPING", 1)],
)
def test_wait_looks_once(place, states, status):
    one = place.start("one")
    assert place.run("wait", "-n", one.name, "-s", states, "-t", "0") == (status, "", "")


def test_wait_gives_up_after_parts_of_a_second(place):
    one = place.start("one")
    began = time.monotonic()
    assert place.run("wait", one.name, "-s", "STOPPED", "-t", "0.3") == (1, "", "")
    assert 0.3 <= time.monotonic() - began < 5


def test_container_that_does_not_exist_is_stopped(place):
    assert place.run("wait", "-n", "nobody", "-s", "STOPPED") == (0, "", "")
    assert place.run("wait", "-n", "nobody", "-s", "RUNNING", "-t", "0.05") == (1, "", "")


def test_wait_sees_a_start_and_an_end(place):
    one = place.define("one")
    running = place.popen("wait", "-n", one.name, "-s", "RUNNING")
    one.start()
    assert running.wait(10) == 0
    stopped = place.popen("wait", "-n", one.name, "-s", "STOPPED", "-t", "-1")
    assert stopped.poll() is None
    collect(one)
    assert stopped.wait(10) == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("-s", "running"), "unknown state 'running' (did you mean 'RUNNING'?)"),
        (("-s", "RUNNING|"), "unknown state ''"),
        (("-s", "RUNNING", "-t", "soon"), "-t takes a number of seconds, not 'soon'"),
        (("-s", "RUNNING", "-t", "nan"), "-t takes a number of seconds, not 'nan'"),
        (("-s", "RUNNING", "other"), "unexpected word 'other'"),
        ((), "which state? (-s STATE)"),
    ],
)
def test_wait_refuses_what_it_does_not_understand(place, words, line):
    result = place.run("wait", "-n", "one", *words)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"minilxc: {line}")
    assert result.err.count("\n") == 1


# freeze, unfreeze


def test_frozen_container_stands_still_until_it_is_let_go(place):
    one = place.start("one", "lxc.init.cmd = /bin/sh -c 'while :; do :; done'")
    assert place.run("freeze", "-n", one.name) == (0, "", "")
    assert place.run("info", "-n", one.name, "-s").out == "State:          FROZEN\n"
    before = one.statistics().cpu
    time.sleep(0.05)
    assert one.statistics().cpu == before
    assert place.run("freeze", one.name) == (0, "", "")
    assert place.run("unfreeze", one.name) == (0, "", "")
    assert one.state == "RUNNING"
    machine.wait_for(lambda: one.statistics().cpu > before, "it goes on")
    assert place.run("unfreeze", one.name) == (0, "", "")


@pytest.mark.parametrize("command", ["freeze", "unfreeze"])
def test_what_does_not_run_cannot_be_frozen(place, command):
    one = place.define("one")
    line = f"minilxc: {one.name}: is not running\n"
    assert place.run(command, "-n", one.name) == (1, "", line)
    log = place.path / one.name / "log"
    assert place.run(command, "-n", one.name, "-q", "-o", log) == (1, "", "")
    assert log.read_text().endswith(f" {one.name}: is not running\n")


# monitor


def lines_until(process, last):
    found = []
    while not found or last not in found[-1]:
        found.append(process.stdout.readline().rstrip("\n"))
    return found


def test_monitor_tells_each_state_of_one_that_starts_later(place):
    process = place.popen("monitor")
    machine.wait_for(lambda: _polls(process.pid), "it looks")
    one = place.define("one")
    one.start()
    told = lines_until(process, "RUNNING")
    one.freeze()
    one.unfreeze()
    collect(one)
    told += lines_until(process, "STOPPED")
    states = [line.split("[")[1].rstrip("]") for line in told if "changed state" in line]
    assert all(line.startswith(f"'{one.name}' ") for line in told)
    assert states == ["STARTING", "RUNNING", "FREEZING", "FROZEN", "THAWED", "RUNNING", "STOPPING", "STOPPED"]
    assert f"'{one.name}' exited with status [137]" in told


def _polls(pid):
    """Whether a process waits in poll(2): it looks from then on."""
    return "poll" in Path(f"/proc/{pid}/wchan").read_text()


def test_monitor_sees_one_that_runs_for_milliseconds(place):
    place.box.configure()
    process = place.popen("monitor")
    machine.wait_for(lambda: _polls(process.pid), "it looks")
    for _ in range(3):
        assert place.box.run("true", options=("-P", str(place.path))).status == 0
        states = [line.split("[")[1].rstrip("]") for line in lines_until(process, "STOPPED")]
        assert states == ["STARTING", "RUNNING", "0", "STOPPING", "STOPPED"]


def test_monitor_tells_of_chosen_names_alone_and_ends_with_130(place):
    web, other = place.start("web"), place.start("other")
    process = place.popen("monitor", "-n", ".*-web", "--json")
    machine.wait_for(lambda: _polls(process.pid), "it looks")
    other.freeze()
    other.unfreeze()
    web.freeze()
    first = json.loads(process.stdout.readline())
    assert (first["name"], first["state"], first["path"]) == (web.name, "FREEZING", str(place.path))
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert process.stderr.read() == ""


def test_monitor_takes_whole_names(place):
    one = place.start("one")
    process = place.popen("monitor", "on.")
    machine.wait_for(lambda: _polls(process.pid), "it looks")
    one.freeze()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert process.stdout.read() == ""


def test_monitor_whose_reader_has_gone_ends(place):
    one = place.start("one")
    process = place.popen("monitor")
    machine.wait_for(lambda: _polls(process.pid), "it looks")
    process.stdout.close()
    one.freeze()
    assert process.wait(10) == 141


def test_monitor_refuses_what_is_no_expression(place):
    result = place.run("monitor", "-n", "(")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("minilxc: '(' is no regular expression: ")
    assert place.run("monitor", "-Q") == (0, "", "")
