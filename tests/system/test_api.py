"""Containers from Python: what a program gets, in threads and in an event loop, and errors as values."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import minilxc
from minilxc import ConfigError, Container, MinilxcError, NotRunning, PolicyError, StartError, UsageError
from tests.helpers import machine
from tests.helpers.container import CHECKOUT

POLICY = "2\ndenylist\nmkdir errno ECONNREFUSED\n"


@pytest.fixture
def it(container):
    """A container that runs."""
    box = container()
    return box.up("sleep", "1000")


# Its life


def test_context_is_left_with_the_container_ended(container):
    box = container()
    with box.container as it:
        pid = it.start(["sleep", "1000"])
        assert (it.state, it.running, it.init_pid) == ("RUNNING", True, pid)
        it.stop(kill=True)
    with box.container as it:
        it.start(["sleep", "1000"], defines=["lxc.signal.halt=SIGKILL"])
    assert (it.state, it.running, it.init_pid) == ("STOPPED", False, None)
    with box.container as it:
        pass  # not started: nothing to end


def test_start_gives_the_number_of_process_1_and_says_what_it_is(container):
    box = container()
    it = box.container
    pid = it.start(["sleep", "1000"])
    info = it.info()
    assert (info.state, info.pid, info.config, info.verb) == ("RUNNING", pid, str(box.file), "start")
    assert info.since == pytest.approx(time.time(), abs=60)
    assert b"minilxc monitor" in Path(f"/proc/{info.monitor}/cmdline").read_bytes()
    assert Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    it.stop(kill=True)
    assert it.info().as_data() == {
        "state": "STOPPED",
        "pid": None,
        "monitor": None,
        "since": None,
        "config": "",
        "verb": "",
    }
    it.start(["sleep", "1000"], with_init=True)
    assert it.info().verb == "execute"


@pytest.mark.parametrize("act", ["stop", "ask_to_stop", "reboot", "freeze", "unfreeze", "written", "groups"])
def test_what_takes_a_running_container_says_that_there_is_none(container, act):
    with pytest.raises(NotRunning) as caught:
        getattr(container().container, act)()
    assert str(caught.value).endswith(": is not running")


def test_two_containers_of_one_name_cannot_be(it):
    with pytest.raises(StartError) as caught:
        it.start(["true"])
    assert (str(caught.value), caught.value.step) == (f"{it.name}: is running already", "lock")


# Errors


def test_errors_are_values_with_step_number_file_and_line(container):
    line = "lxc.mount.entry = /nope tmp none bind"
    box = container(line)
    with pytest.raises(StartError) as caught:
        box.container.start(["true"])
    error = caught.value
    place = box.line_of(line)
    assert (error.step, error.errno, error.status) == ("mounts", 2, 1)
    assert (error.file, error.line) == (str(box.file), int(place.rpartition(":")[2]))
    assert error.where == box.name
    assert (
        str(error)
        == f"{box.name}: mounts: /nope: No such file or directory ({place}; 'optional' would skip it)"
    )


def test_error_of_a_config_says_where(container):
    box = container("lxc.uts.nome = x")
    with pytest.raises(ConfigError) as caught:
        box.container.start(["true"])
    assert (caught.value.file, caught.value.line, caught.value.step, caught.value.errno) == (
        str(box.file),
        4,
        "",
        0,
    )


def test_error_of_a_policy_says_where(container):
    box = container(policy="2\ndenylist\nmkmod errno 1\n")
    with pytest.raises(PolicyError) as caught:
        box.container.start(["true"])
    assert (caught.value.file, caught.value.line) == (str(box.policy_file), 3)


def test_error_of_a_hook_says_where(container):
    box = container()
    line = box.hook("pre-start", "exit 3")
    box.configure(line)
    with pytest.raises(StartError) as caught:
        box.container.start(["true"])
    assert (caught.value.step, caught.value.file) == ("pre-start hook", str(box.file))
    assert caught.value.line == int(box.line_of(line).rpartition(":")[2])


@pytest.mark.parametrize(("words", "number", "status"), [(["/nowhere"], 2, 127), (["/etc/passwd"], 13, 126)])
def test_error_of_a_program_says_what_a_shell_would(container, words, number, status):
    box = container()
    with pytest.raises(StartError) as caught:
        box.container.start(words)
    assert (caught.value.step, caught.value.errno, caught.value.status) == ("execve", number, status)
    assert (caught.value.file, caught.value.line) == (None, None)


def test_very_long_name_of_a_program_is_told_all_the_same(container):
    box = container()
    for length in (300, 5000, 100_000):
        with pytest.raises(StartError) as caught:
            box.container.start(["/" + "x" * length])
        assert caught.value.errno == 36
        assert "File name too long" in str(caught.value) or length > 3000


def test_name_that_none_can_have_is_told():
    for name in ("a/b", "", "-x", ".hidden", "x" * 65):
        with pytest.raises(UsageError):
            Container(name)


def test_log_that_cannot_be_written_is_told(container):
    box = container()
    with pytest.raises(MinilxcError) as caught:
        box.container.start(["true"], log_file=f"{box.folder}/config/log")
    assert str(box.folder) in str(caught.value)
    assert box.container.state == "STOPPED"


# Its config


def test_settings_are_read_as_they_are_written_and_count_for_the_next_start(container):
    box = container("lxc.uts.name = one", "lxc.environment = A=1", "lxc.environment = B=2")
    it = box.container
    assert it.config["lxc.uts.name"] == "one"
    assert it.config.get_all("lxc.environment")[-2:] == ["A=1", "B=2"]
    assert ("lxc.uts.name" in it.config, "lxc.init.cwd" in it.config) == (True, False)
    with pytest.raises(KeyError):
        it.config["lxc.init.cwd"]
    it.config["lxc.uts.name"] = "two"
    assert it.config["lxc.uts.name"] == "two"
    assert box.file.read_text().count("two") == 0
    it.start(["sleep", "1000"])
    assert it.attach(["hostname"], capture_output=True, text=True).stdout == "two\n"
    assert Container(box.name, config_file=box.file).config["lxc.uts.name"] == "two"  # of the one that runs


@pytest.mark.parametrize(
    ("key", "value"), [("lxc.nome", "x"), ("lxc.init.uid", "root"), ("lxc.tty.max", "-1")]
)
def test_setting_that_is_wrong_is_refused_at_once(container, key, value):
    it = container().container
    with pytest.raises(ConfigError):
        it.config[key] = value
    assert it.config.defines == []


def test_config_of_a_running_container_is_the_one_it_was_started_with(container):
    box = container("lxc.uts.name = one")
    it = box.up("sleep", "1000")
    box.file.write_text("nonsense\n")
    assert it.config["lxc.uts.name"] == "one"
    key, value, where = next(line for line in it.config.lines() if line[0] == "lxc.uts.name")
    assert (key, value, where) == ("lxc.uts.name", "one", f"{box.file}:4")


def test_long_config_is_told_whole(container):
    lines = [f"lxc.environment = V{number}={'x' * 200}" for number in range(500)]
    box = container(*lines)
    it = box.up("sleep", "1000")
    assert it.config.get_all("lxc.environment")[-1] == f"V499={'x' * 200}"


# Inside


def test_attach_is_like_subprocess_run(it):
    done = it.attach(["sh", "-c", "cat; echo err >&2; exit 3"], input="in", capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "in", "err\n")
    assert done.args == ["sh", "-c", "cat; echo err >&2; exit 3"]
    assert it.attach(["cat"], input=b"\xff\0", capture_output=True).stdout == b"\xff\0"
    assert it.attach(["cat"], capture_output=True).stdout == b""  # standard input is nothing
    done = it.attach(["sh", "-c", "echo out; echo err >&2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (done.stdout, done.stderr) == (b"out\nerr\n", None)
    assert it.attach(["sh", "-c", "kill -9 $$"]).returncode == -9
    with pytest.raises(subprocess.CalledProcessError) as caught:
        it.attach(["sh", "-c", "echo why; exit 4"], check=True, capture_output=True)
    assert (caught.value.returncode, caught.value.output) == (4, b"why\n")


def test_files_may_stand_for_the_standard_descriptors(it, tmp_path):
    (tmp_path / "in").write_text("from a file")
    with open(tmp_path / "in") as source, open(tmp_path / "out", "w") as target:
        assert it.attach(["cat"], stdin=source, stdout=target, stderr=subprocess.DEVNULL).returncode == 0
    assert (tmp_path / "out").read_text() == "from a file"


def test_much_goes_through_in_both_directions(it):
    data = os.urandom(5_000_000)
    assert it.attach(["cat"], input=data, capture_output=True).stdout == data
    assert it.attach(["true"], input=data).returncode == 0  # nobody reads it


def test_attach_gives_up_in_time_and_ends_the_program(it):
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        it.attach(["sh", "-c", "echo begun; exec sleep 999"], timeout=0.3, capture_output=True)
    assert (caught.value.timeout, caught.value.output) == (0.3, b"begun\n")
    assert b"999" not in it.attach(["busybox", "ps"], capture_output=True).stdout
    assert it.attach(["true"], timeout=1e9).returncode == 0


def test_attach_that_is_held_up_on_its_way_in_gives_up_in_time(container):
    """Somebody with power over the groups may stop who joins."""
    box = container()
    it = box.up("sleep", "1000")
    (group,) = [group for group in it.groups() if "/freezer/" in group]
    ended = threading.Event()

    def freeze_again_and_again():
        while not ended.is_set():
            Path(group, "freezer.state").write_text("FROZEN")
            Path(group, "freezer.state").write_text("THAWED")

    Path(group, "freezer.state").write_text("FROZEN")
    with it._demand() as connection, pytest.raises(MinilxcError):
        connection.ask("join")
    Path(group, "freezer.state").write_text("THAWED")
    thread = threading.Thread(target=freeze_again_and_again)
    thread.start()
    try:
        for _ in range(5):
            try:
                it.attach(["true"], timeout=0.2)
            except (subprocess.TimeoutExpired, MinilxcError):
                pass
    finally:
        ended.set()
        thread.join()
    assert it.attach(["true"]).returncode == 0


def test_exception_during_attach_leaves_no_program(it):
    def give_up(*_):
        raise InterruptedError("enough")

    before = signal.signal(signal.SIGUSR1, give_up)
    main = threading.main_thread().ident

    def interrupt():
        shown = ""
        while "999" not in shown:
            shown = it.attach(["busybox", "ps"], capture_output=True, text=True).stdout
        signal.pthread_kill(main, signal.SIGUSR1)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(InterruptedError):
            it.attach(["sleep", "999"])
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert "999" not in it.attach(["busybox", "ps"], capture_output=True, text=True).stdout


def test_attach_has_variables_directory_and_user_as_asked(it, monkeypatch):
    monkeypatch.setenv("OF_THE_CALLER", "1")
    script = "echo $OF_THE_CALLER-$OURS-$container; pwd; id -u; id -g"

    def shown(**how):
        return it.attach(["sh", "-c", script], capture_output=True, text=True, **how).stdout.split()

    assert shown() == ["--lxc", "/", "0", "0"]
    assert shown(env={"OURS": "2"}, keep_env=["OF_THE_CALLER"], cwd="/tmp") == ["1-2-lxc", "/tmp", "0", "0"]
    assert shown(clear_env=False, user=1000, group=100) == ["1--lxc", "/", "1000", "100"]
    with pytest.raises(StartError) as caught:
        it.attach(["true"], cwd="/nowhere")
    assert (caught.value.step, caught.value.errno) == ("working directory", 2)


def test_attach_tells_what_could_not_be_executed(it):
    with pytest.raises(StartError) as caught:
        it.attach(["/nowhere"], capture_output=True)
    assert (caught.value.step, caught.value.errno, caught.value.status) == ("execve", 2, 127)
    with pytest.raises(UsageError):
        it.attach(["true"], namespaces=["disk"])


def test_attach_joins_the_namespaces_asked_for(it):
    assert it.attach(["/bin/sh", "-c", "exit 3"], namespaces=["uts"]).returncode == 3
    done = it.attach(
        ["readlink", "/proc/self/ns/uts"], namespaces=["mnt", "pid"], capture_output=True, text=True
    )
    assert done.stdout.strip() == os.readlink("/proc/self/ns/uts")


# Waiting


def test_wait_tells_whether_a_state_has_come(it):
    assert it.wait("RUNNING", timeout=20)
    assert it.wait("RUNNING", "FROZEN")
    assert not it.wait("STOPPED", timeout=0.05)
    assert not it.wait("FROZEN", timeout=0)
    it.ask_to_stop(kill=True)
    assert it.wait("STOPPED", timeout=1e9)
    assert it.wait("STOPPED")
    assert not it.wait("RUNNING", timeout=0.05)


@pytest.mark.parametrize("states", [(), ("ASLEEP",), ("RUNNING", "running")])
def test_state_that_there_is_not_is_a_wrong_value(it, states):
    with pytest.raises(ValueError, match="no state: "):
        it.wait(*states)


def test_wait_outlasts_that_nobody_has_started_it_yet(container):
    box = container()
    it = box.container
    waiting = []
    thread = threading.Thread(target=lambda: waiting.append(it.wait("RUNNING", timeout=20)))
    thread.start()
    it.start(["sleep", "1000"])
    thread.join()
    assert waiting == [True]


def test_states_come_one_after_the_other(container):
    box = container("lxc.signal.halt = SIGKILL")
    it = box.up("sleep", "1000")
    states = it.states(20)
    assert next(states) == "RUNNING"
    it.stop()
    assert list(states) == ["STOPPING", "STOPPED"]
    assert list(it.states()) == ["STOPPED"]


def test_states_give_up_in_time(it):
    states = it.states(0.05)
    assert next(states) == "RUNNING"
    with pytest.raises(TimeoutError):
        next(states)


def test_waiting_in_an_event_loop_lets_the_loop_go_on(container):
    box = container("lxc.signal.halt = SIGKILL")
    it = box.container

    async def live():
        turns = 0
        waiting = asyncio.create_task(it.wait_async("RUNNING", timeout=20))
        await asyncio.sleep(0)
        await asyncio.to_thread(it.start, ["sleep", "1000"])
        assert await waiting
        ending = asyncio.create_task(it.wait_async("STOPPED", timeout=20))
        while turns < 5:
            await asyncio.sleep(0)
            turns += 1
        assert not ending.done()
        assert not await it.wait_async("STOPPED", timeout=0.05)
        await asyncio.to_thread(it.stop)
        assert await ending
        assert await it.wait_async("STOPPED")

    asyncio.run(live())


# Groups


def test_files_of_control_groups_are_read_and_written(it):
    assert [Path(group).name for group in it.groups()] == [f"lxc.payload.{it.name}"] * len(it.groups())
    it.set_cgroup("pids.max", "123")
    assert it.cgroup("pids.max") == "123\n"
    assert str(it.init_pid) in it.cgroup("cgroup.procs").split()
    for file in ("../pids.max", "a/b", ".hidden", "no.such"):
        with pytest.raises(MinilxcError):
            it.cgroup(file)
    with pytest.raises(MinilxcError) as caught:
        it.set_cgroup("pids.max", "nonsense")
    assert str(caught.value) == f"{it.name}: pids.max = nonsense: Invalid argument"


def test_groups_with_long_names_are_told(container):
    box = container(f"lxc.cgroup.dir = {'/'.join(['lxc-' + 'x' * 200] * 3)}")
    it = box.up("sleep", "1000")
    assert all(Path(group).is_dir() for group in it.groups())


# Listing


def test_containers_are_listed_whether_defined_or_running(container):
    box = container()
    place = box.folder / "lxc"
    for name in ("b", "a", ".hidden", "no config", "-x"):
        (place / name).mkdir(parents=True)
    for name in ("a", "b", ".hidden", "-x"):
        (place / name / "config").write_text(box.file.read_text())
    (place / "file").touch()
    running = Container(box.name, place, config_file=box.file)
    box.container  # noqa: B018  its monitor is waited for
    with running:
        running.start(["sleep", "1000"], defines=["lxc.signal.halt=SIGKILL"])

        def names(**how):
            return [found.name for found in minilxc.list_containers(place, **how)]

        assert names() == ["a", "b", box.name]
        assert names(active=False) == ["a", "b"]
        assert names(defined=False) == [box.name]
        assert [found.state for found in minilxc.list_containers(place)] == ["STOPPED", "STOPPED", "RUNNING"]
    assert names() == ["a", "b"]
    assert minilxc.list_containers(box.folder / "nowhere") == []


# A program with much of its own


def test_nothing_of_a_busy_program_reaches_container_or_monitor(container, tmp_path):
    """Threads, open and inheritable descriptors, variables, signal handlers, output that is not written yet."""
    box = container("lxc.console.buffer.size = 64KB")
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import os, resource, signal, sys, threading, atexit
sys.path[:0] = [{str(CHECKOUT)!r}]
from minilxc import Container
from pathlib import Path

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
opened = [os.open({str(program)!r}, os.O_RDONLY) for _ in range(2000)]
for descriptor in opened:
    os.set_inheritable(descriptor, True)
stop = threading.Event()
threads = [threading.Thread(target=stop.wait) for _ in range(50)]
for thread in threads:
    thread.start()
atexit.register(lambda: print("at the end", flush=True))
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"handled\\n"))
sys.stdout.write("not written yet;")
os.environ["SECRET"] = "x"
it = Container({box.name!r}, config_file={str(box.file)!r})
pid = it.start(["sh", "-c", "ls -1 /proc/self/fd; env; grep Threads /proc/self/status; echo end; read x"])
monitor = it.info().monitor
shown = sorted(int(name) for name in os.listdir(f"/proc/{{monitor}}/fd"))
links = [os.readlink(f"/proc/{{monitor}}/fd/{{name}}") for name in shown]
threads_there = len(os.listdir(f"/proc/{{monitor}}/task"))
done = it.attach(["sh", "-c", "ls /proc/self/fd; env"], capture_output=True, text=True)
sys.stdout.write(f"{{threads_there}};{{len(shown)}};{{any('program' in link for link in links)}};")
sys.stdout.write(done.stdout.replace(chr(10), ",") + ";")
os.kill(monitor, signal.SIGTERM)
stop.set()
"""
    )
    box.remember_files()
    box.container  # noqa: B018  to be ended with the test
    ran = subprocess.run(
        [sys.executable, program], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=box.folder
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    pending, threads, opened, leaked, attached, end = ran.stdout.split(";")
    assert (pending, threads, leaked, end) == ("not written yet", "1", "False", "at the end\n")
    assert int(opened) < 30
    assert "SECRET" not in attached
    assert attached.split(",")[:4] == ["0", "1", "2", "3"]
    shown = machine.wait_for(
        lambda: (found := box.container.written().decode()) and "end\r\n" in found and found, "the console"
    )
    assert re.findall(r"^[0-9]+", shown, re.MULTILINE) == ["0", "1", "2", "3"]
    assert "SECRET" not in shown


def test_a_program_without_standard_descriptors_may_start_and_join(container, tmp_path):
    box = container()
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import os, sys
sys.path[:0] = [{str(CHECKOUT)!r}]
from minilxc import Container
it = Container({box.name!r}, config_file={str(box.file)!r})
for descriptor in range(3):
    os.close(descriptor)
try:
    it.start(["sleep", "1000"])
    done = it.attach(["sh", "-c", "echo here; exit 5"], capture_output=True, text=True)
    result = f"{{done.returncode}} {{done.stdout}}"
except BaseException as error:
    result = repr(error)
with open({str(box.folder / "result")!r}, "w") as file:
    file.write(result)
os._exit(0)
"""
    )
    box.remember_files()
    box.may_make.add(str(box.folder / "result"))
    box.container  # noqa: B018  to be ended with the test
    assert subprocess.run([sys.executable, program]).returncode == 0
    assert (box.folder / "result").read_text() == "5 here\n"
    assert box.container.state == "RUNNING"


def test_threads_may_do_everything_at_once(container):
    box = container()
    it = box.up("sleep", "1000")
    problems = []

    def work(number):
        try:
            for _ in range(5):
                assert it.state in ("RUNNING", "FREEZING", "FROZEN")
                done = it.attach(["sh", "-c", f"exit {number}"], capture_output=True)
                assert done.returncode == number
                assert it.groups()
        except BaseException as error:  # noqa: BLE001  told below
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_callers_wait_for_every_child_may_not_disturb(container):
    """A program may collect all of its children as they end; then their status is lost, and no more."""
    box = container()

    def collect(*_):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    before = signal.signal(signal.SIGCHLD, collect)
    try:
        it = box.container
        it.start(["sleep", "1000"])
        assert it.attach(["echo", "here"], capture_output=True).stdout == b"here\n"
    finally:
        signal.signal(signal.SIGCHLD, before)
