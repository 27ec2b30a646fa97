"""The life of a container in the background: its start, states, signals, reboots and end, and its monitor."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from minilxc.container import Container
from minilxc.errors import MinilxcError
from minilxc.launch import runtime
from minilxc.monitor import client, protocol
from minilxc.monitor.client import Hangs, NotRunning
from tests.helpers import machine
from tests.helpers.container import MINILXC

MAPPED = ("lxc.idmap = u 0 200000 65536", "lxc.idmap = g 0 300000 65536")
BOTH_MAPS = pytest.mark.parametrize("lines", [(), MAPPED], ids=["unmapped", "mapped"])
REMEMBERS = "lxc.console.buffer.size = 64KB"
BY_TERM = "lxc.signal.halt = SIGTERM"  # which ends the helper program `signals` with status 7
LXCPATH = "/var/lib/lxc"


def said(box, text):
    """Wait until the console has shown `text`; all that it has shown."""
    it = box.container

    def shown():
        try:
            found = it.written().decode().replace("\r\n", "\n")
        except MinilxcError:
            return None  # it does not run yet, or not yet again
        return found if text in found else None

    return machine.wait_for(shown, f"{text!r} on the console")


def up(box, *words):
    """Start the helper program `signals` in the background, and wait until it takes signals."""
    it = box.up("signals", *words, options=("-s", REMEMBERS))
    said(box, "ready\n")
    return it


def socket_path(box):
    return f"{runtime.place(LXCPATH)}/{box.name}/{runtime.SOCKET}"


def connected(box):
    """A conversation with the monitor, by hand."""
    return protocol.dial(socket_path(box), 20)


def conversation(box):
    """The same for a moment."""
    return contextlib.closing(connected(box))


def ask(end, *words):
    protocol.send(end, words)
    found, descriptors = protocol.receive(end)
    protocol.close(descriptors)
    return found


def open_in_monitor(box):
    """How many descriptors the monitor has open while one asks it, and has heard all who asked before."""
    with conversation(box) as end:
        assert ask(end, "info")[0] == "ok"
        return len(os.listdir(f"/proc/{box.monitors()[0]}/fd"))


def in_thread(act):
    """Call `act` in a thread: a function that waits for it and gives its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(act()))
    thread.start()

    def result():
        thread.join(20)
        return results[0]

    return result


# The start


@pytest.mark.parametrize("options", [(), ("-d",)], ids=["", "-d"])
def test_start_returns_when_the_program_is_executed(container, options):
    box = container()
    assert box.start("signals", options=options) == (0, "", "")
    assert box.container.state == "RUNNING"
    pid = box.container.init_pid
    assert Path(f"/proc/{pid}/comm").read_text() == "signals\n"
    assert os.getpgid(pid) != os.getpgid(0)


def test_execute_runs_in_the_background_when_asked(container):
    box = container()
    box.remember_files()
    box.container  # noqa: B018  to be ended with the test
    assert box.run("sleep", "1000", options=("-d",)) == (0, "", "")
    info = box.container.info()
    assert (info.state, info.verb) == ("RUNNING", "execute")
    assert b"minilxc init" in Path(f"/proc/{info.pid}/cmdline").read_bytes()


def test_standard_descriptors_of_init_are_the_console(container):
    box = container(REMEMBERS, "lxc.pty.max = 4")
    script = "cd /proc/self/fd; stat -Lc %t:%T 0; stat -Lc %t:%T 1 2; stat -Lc %t:%T /dev/console; echo end; read x"
    box.up("sh", "-c", script)
    *numbers, end = said(box, "end\n").split()
    assert len(numbers) == 4
    assert len(set(numbers)) == 1
    assert numbers[0].startswith("88:")
    assert end == "end"


def test_without_a_console_the_standard_descriptors_are_nothing(container):
    box = container("lxc.console.path = none")
    box.up("sleep", "1000")
    shown = box.container.attach(
        ["sh", "-c", "for n in 0 1 2; do readlink /proc/1/fd/$n; done"], capture_output=True, text=True
    )
    assert shown.stdout == "/dev/null\n" * 3


def test_nothing_of_the_caller_reaches_init_or_its_monitor(container):
    box = container(REMEMBERS)
    with open(os.devnull) as extra:
        result = box.start(
            "sh", "-c", "ls -l /proc/self/fd; env; echo end; read x",
            pass_fds=(extra.fileno(),), env={**os.environ, "OF_THE_CALLER": "1"},
        )  # fmt: skip
    assert result == (0, "", "")
    shown = said(box, "end\n")
    assert "OF_THE_CALLER" not in shown
    listed = [line for line in shown.splitlines() if line.startswith("l")]
    assert [line.split()[-1] for line in listed[:3]] == ["/0"] * 3  # of the instance of devpts
    assert [
        line for line in listed if line.split()[-1] not in ("/0", "directory", "3")
    ] == []  # 3 is the listing's own
    monitor = box.container.info().monitor
    targets = {os.readlink(f"/proc/{monitor}/fd/{n}") for n in ("0", "1", "2")}
    assert targets == {"/dev/null"}


@pytest.mark.parametrize(
    ("words", "lines", "status", "error"),
    [
        (("/nowhere",), (), 127, "{name}: execve: /nowhere: No such file or directory"),
        (("/etc/passwd",), (), 126, "{name}: execve: /etc/passwd: Permission denied"),
        (("true",), ("lxc.mount.entry = /nope tmp none bind",), 1, "{name}: mounts: /nope: No such file or directory"),
        (("true",), ("lxc.uts.nome = x",), 1, "{file}:4: lxc.uts.nome: unknown key"),
    ],
    ids=["no program", "not executable", "mount", "config"],
)  # fmt: skip
def test_what_keeps_it_from_running_is_told_on_one_line(container, words, lines, status, error):
    box = container(*lines)
    result = box.start(*words)
    expected = f"minilxc: {error.format(name=box.name, file=box.file)}"
    assert (result.status, result.out, result.err.count("\n")) == (status, "", 1)
    assert result.err.startswith(expected), result.err
    assert box.container.state == "STOPPED"
    assert not Path(socket_path(box)).parent.exists()


def test_failed_hook_is_told_as_in_the_foreground(container):
    box = container()
    line = box.hook("pre-start", "exit 7")
    box.configure(line)
    path = line.rpartition(" ")[2]
    where = box.line_of(line)
    expected = f"minilxc: {box.name}: pre-start hook: {path}: ended with status 7 ({where})\n"
    assert box.start("true") == (1, "", expected)


def test_program_that_ends_at_once_was_started(container):
    box = container()
    for _ in range(5):
        assert box.start("true") == (0, "", "")
        assert box.container.wait("STOPPED", timeout=20)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["pre-start", "mount"])
def test_caller_that_is_killed_during_the_start_leaves_nothing(container, number, kind):
    box = container()
    gate = box.gate()
    box.configure(box.hook(kind, gate.shell))
    process = box.starting("true")
    gate.wait()
    below = machine.descendants(box.container.info().monitor)
    assert below
    assert box.container.state == "STARTING"
    process.send_signal(number)
    process.wait()
    machine.wait_for(lambda: not box.monitors(), "the end of the monitor")
    assert box.run("sh", "-c", "exit 7", options=("-s", "lxc.hook =")) == (7, "", "")
    machine.wait_until_gone(*below)


def test_caller_may_ignore_the_end_of_children(container):
    """As who is started by a service that does: then nobody can wait for them."""
    box = container()
    assert box.start("signals", wrap=("env", "--ignore-signal=CHLD")) == (0, "", "")
    result = box.minilxc("attach", "--", "sh", "-c", "exit 5", wrap=("env", "--ignore-signal=CHLD"))
    assert result == (5, "", "")


# Stopping


def test_stop_sends_the_signal_to_halt_and_waits_for_the_end(container):
    box = container(BY_TERM, REMEMBERS)
    up(box)
    monitor = box.container.info().monitor
    assert box.minilxc("stop") == (0, "", "")
    assert box.container.state == "STOPPED"
    machine.wait_for(lambda: monitor not in box.monitors(), "the end of the monitor")


def test_stop_takes_the_name_as_a_word_too(container):
    box = container(BY_TERM)
    up(box)
    done = subprocess.run([MINILXC, "stop", box.name], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("lines", "program", "expected"),
    [
        ((), ("signalfd",), int(signal.SIGRTMIN) + 3),
        ((), "trap", int(signal.SIGPWR)),
        (("lxc.signal.halt = SIGUSR1",), ("signalfd",), int(signal.SIGUSR1)),
    ],
    ids=["blocks it, as systemd", "does not", "the config's"],
)
def test_signal_to_halt_is_the_one_that_init_understands(container, lines, program, expected):
    box = container(REMEMBERS, *lines)
    trap = "trap 'echo 30' PWR; echo ready; while :; do sleep 0.02; done"
    if program == "trap":
        box.up("sh", "-c", trap)
    else:
        up(box, *program)
    said(box, "ready\n")
    assert box.minilxc("stop", "-W") == (0, "", "")
    assert said(box, f"{expected}\n") == f"ready\n{expected}\n"
    assert box.container.state == "RUNNING"


def test_stop_ends_what_does_not_halt_in_time(container):
    box = container()
    up(box)
    assert box.minilxc("stop", "-t", "0.1") == (0, "", "")
    assert box.container.state == "STOPPED"


@pytest.mark.parametrize("option", ["-k", "--kill"])
def test_kill_ends_it_at_once(container, option):
    box = container()
    up(box)
    assert box.minilxc("stop", option) == (0, "", "")
    assert box.container.state == "STOPPED"


def test_kill_ends_also_who_ignores_the_configs_signal_to_stop(container):
    box = container("lxc.signal.stop = SIGUSR1")
    up(box)
    assert box.minilxc("stop", "-k", "-t", "0.1") == (0, "", "")
    assert box.container.state == "STOPPED"


def test_nokill_gives_up_and_lets_it_run(container):
    box = container()
    up(box)
    expected = f"minilxc: {box.name}: has not ended within 0.1 seconds\n"
    assert box.minilxc("stop", "--nokill", "-t", "0.1") == (1, "", expected)
    assert box.container.state == "RUNNING"


def test_time_to_wait_may_be_for_ever(container):
    box = container(BY_TERM)
    up(box)
    assert box.minilxc("stop", "-t", "-1") == (0, "", "")


@pytest.mark.parametrize("words", [(), ("-k",), ("-r",), ("-W",), ("--nokill",)], ids=" ".join)
def test_what_does_not_run_cannot_be_stopped(container, words):
    """Status 2, also of a container that nobody knows, as lxc-stop has it."""
    box = container()
    expected = (2, "", f"minilxc: {box.name}: is not running\n")
    assert box.minilxc("stop", *words) == expected
    box.up("true").wait("STOPPED", timeout=20)
    assert box.minilxc("stop", *words) == expected


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("-k", "-r"), "--kill and --reboot exclude each other"),
        (("-k", "--nokill"), "--kill and --nokill exclude each other"),
        (("-t", "soon"), "-t takes a number of seconds, not 'soon'"),
        (("-t", "-2"), "-t: '-2' is no time to wait"),
        (("-t", "nan"), "-t takes a number of seconds, not 'nan'"),
        (("more", "words"), "unexpected word 'more'"),
    ],
)
def test_words_that_make_no_sense_stop_nothing(container, words, error):
    box = container(BY_TERM)
    up(box)
    result = box.minilxc("stop", *words)
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith(f"minilxc: {error}")
    assert box.container.state == "RUNNING"


@pytest.mark.parametrize("words", [(), ("-k",)], ids=["", "-k"])
def test_stop_of_a_starting_container_ends_the_start(container, words):
    box = container()
    gate = box.gate()
    line = box.hook("pre-start", gate.shell)
    box.configure(line)
    starting = box.starting("true")
    gate.wait()
    assert box.minilxc("stop", *words) == (0, "", "")
    _, err = starting.communicate()
    path = line.rpartition(" ")[2]
    what = f"pre-start hook: {path}: interrupted by signal 15 ({box.line_of(line)})"
    assert (starting.returncode, err) == (128 + 15, f"minilxc: {box.name}: {what}\n")
    assert box.container.state == "STOPPED"


def test_signal_to_reboot_does_not_end_a_start(container):
    box = container(BY_TERM)
    gate = box.gate()
    box.configure(BY_TERM, box.hook("pre-start", gate.shell))
    starting = box.starting("signals")
    gate.wait()
    assert box.minilxc("stop", "-r") == (1, "", f"minilxc: {box.name}: is STARTING\n")
    gate.open()
    assert starting.wait() == 0
    assert box.container.state == "RUNNING"


def test_two_who_stop_the_same_container_both_see_its_end(container):
    box = container(BY_TERM)
    gate = box.gate()
    box.configure(BY_TERM, box.hook("stop", gate.shell))
    up(box)
    both = [in_thread(box.container.stop) for _ in range(2)]
    gate.wait()
    gate.open()
    assert [result() for result in both] == [True, True]


def test_stop_does_not_end_who_has_come_to_the_name_meanwhile(container):
    """Who waits for the end of one container must not take the next of that name for it."""
    box = container("lxc.signal.halt = SIGUSR1")
    up(box)
    it = box.container
    with it._demand() as connection:  # as `stop` has it
        connection.ask("signal", "halt")
        init = it.init_pid
        os.kill(init, signal.SIGKILL)
        machine.wait_for(lambda: box.start("signals").status == 0, "another start")
        assert connection.ended(20)
        with pytest.raises(NotRunning):
            connection.ask("signal", "stop")
        assert runtime.clean_up(LXCPATH, box.name, kill=True) is False
    assert box.container.state == "RUNNING"
    assert box.container.init_pid != init


# States


def watch(box):
    """The states from now on, in a thread: a function that gives them when it has ended."""
    seen = []
    finish = in_thread(lambda: seen.extend(box.container.states(20)))
    machine.wait_for(lambda: seen, "the first state")
    return lambda: (finish(), seen)[1]


def test_states_are_seen_in_their_order_and_the_desk_answers_during_hooks(container):
    box = container(BY_TERM)
    gates = {kind: box.gate(kind) for kind in ("pre-start", "mount", "start-host", "stop", "post-stop")}
    box.configure(BY_TERM, *(box.hook(kind, gate.shell) for kind, gate in gates.items()))
    starting = box.starting("signals")
    gates["pre-start"].wait()
    info = box.container.info()
    assert (info.state, info.pid, info.verb) == ("STARTING", None, "start")
    assert info.since > 10**9
    assert info.config == str(box.file)
    seen = watch(box)
    for kind in ("pre-start", "mount", "start-host"):
        if kind != "pre-start":
            gates[kind].wait()
        assert box.container.state == "STARTING"
        assert box.container.running
        gates[kind].open()
    assert starting.wait() == 0
    assert box.container.state == "RUNNING"
    stopping = in_thread(box.container.stop)
    for kind in ("stop", "post-stop"):
        gates[kind].wait()
        assert box.container.state == "STOPPING"
        assert box.container.init_pid is None
        gates[kind].open()
    assert stopping() is True
    assert seen() == ["STARTING", "RUNNING", "STOPPING", "STOPPED"]


def test_start_that_fails_is_seen_to_abort(container):
    box = container()
    first, last = box.gate("first"), box.gate("last")
    box.configure(box.hook("pre-start", f"{first.shell}; exit 1"), box.hook("post-stop", last.shell))
    starting = box.starting("true")
    first.wait()
    seen = watch(box)
    first.open()
    last.wait()
    assert box.container.state == "ABORTING"
    last.open()
    assert starting.wait() == 1
    assert seen() == ["STARTING", "ABORTING", "STOPPED"]


def test_what_takes_a_running_container_is_refused_before_and_after(container):
    box = container(BY_TERM)
    gates = {kind: box.gate(kind) for kind in ("pre-start", "stop")}
    box.configure(BY_TERM, *(box.hook(kind, gate.shell) for kind, gate in gates.items()))
    starting = box.starting("signals")
    acts = (
        lambda it: it.freeze(),
        lambda it: it.unfreeze(),
        lambda it: it.groups(),
        lambda it: it.attach(["true"]),
    )
    for kind, state in (("pre-start", "STARTING"), ("stop", "STOPPING")):
        gates[kind].wait()
        for act in acts:
            with pytest.raises(MinilxcError) as caught:
                act(box.container)
            assert str(caught.value) == f"{box.name}: is {state}"
        gates[kind].open()
        if kind == "pre-start":
            assert starting.wait() == 0
            box.container.ask_to_stop()
    assert box.container.wait("STOPPED", timeout=20)


def test_foreground_containers_are_asked_too(container):
    box = container(BY_TERM)
    process = box.popen("signals", verb="start")
    assert process.stdout.readline() == "ready\n"
    assert box.container.state == "RUNNING"
    assert box.minilxc("stop") == (0, "", "")
    assert process.wait() == 7


# Who asks


def test_folder_of_the_socket_is_closed_to_others(container):
    box = container()
    up(box)
    folder = Path(socket_path(box)).parent
    for path in (folder, folder.parent, folder.parent.parent):
        status = path.stat()
        assert (status.st_uid, status.st_mode & 0o777) == (0, 0o700)
    abstract = [line for line in Path("/proc/net/unix").read_text().splitlines() if f"@{box.name}" in line]
    assert abstract == []


def test_another_user_gets_no_answer_even_where_the_socket_is_in_reach(container):
    box = container()
    up(box)
    path = socket_path(box)
    os.chmod(path, 0o777)
    script = (
        "import socket, sys\n"
        "end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "end.connect(sys.argv[1])\n"
        "try: end.send(b'1\\0info')\n"
        "except BrokenPipeError: pass\n"
        "try: print(end.recv(4096))\n"
        "except ConnectionResetError: print('hung up')\n"
    )
    place = box.folder / "socket"
    box.may_make.add(str(place))
    place.touch()
    for uid, answered in ((12345, False), (0, True)):
        ran = subprocess.run(
            [
                "unshare", "-m", "sh", "-ec", 'mount --bind "$1" "$2"; shift 2; exec "$@"', "sh", path, place,
                "setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--",
                "/usr/bin/python3", "-c", script, place,
            ],
            capture_output=True,
            text=True,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert ("RUNNING" in ran.stdout) == answered
        assert answered or ran.stdout in ("b''\n", "hung up\n")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0", b"1", b"2\0info", b"1\0", b"1\0nothing", b"\xff" * 100, b"1\0info\0" + b"x" * 10_000,
        b"1\0" + b"\0" * 4000, b"1\0terminal\0" + b"9" * 4000, "1\0terminal\0٣".encode(), b"1\0signal\0nothing",
        b"1\0resize\0" + b"9" * 4000, b"1\0terminal\0-1", b"1\0terminal\x0000",
    ],
)  # fmt: skip
def test_who_sends_nonsense_disturbs_nobody(container, data):
    box = container()
    up(box)
    before = open_in_monitor(box)
    reading, writing = os.pipe()
    for passed in ((), (reading,), (reading,) * 100):
        with conversation(box) as end:
            raw = b"".join(descriptor.to_bytes(4, sys.byteorder) for descriptor in passed)
            end.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, raw)] if passed else [])
            if data:
                found, descriptors = protocol.receive(end)
                assert found == [] or found[0] in ("error", "ok"), found
                assert descriptors == []
    os.close(reading)
    os.close(writing)
    assert box.container.state == "RUNNING"
    assert open_in_monitor(box) == before


def test_what_is_wrong_with_a_request_is_told(container):
    box = container()
    box.up("signals")
    with conversation(box) as end:
        assert ask(end, "nothing") == ["error", "unknown request 'nothing'"]
        assert ask(end, "signal", "nothing") == ["error", "unknown signal 'nothing'"]
        assert ask(end, "terminal", "99999") == ["error", "has no ttys (lxc.tty.max is 0)"]
        assert ask(end, "written") == ["error", "keeps nothing of its console (lxc.console.buffer.size)"]
        assert ask(end, "info")[:2] == ["ok", "RUNNING"]
    with conversation(box) as end:
        end.send(b"7\0info")
        assert protocol.receive(end)[0] == ["error", "a message of another version (7)"]
        assert protocol.receive(end)[0] == []


def test_console_that_is_asked_for_twice_is_answered_twice(container):
    box = container()
    up(box)
    with conversation(box) as end:
        assert ask(end, "terminal", "0") == ["ok", "0"]
        assert ask(end, "terminal", "0") == ["error", "the console is in use, by the same"]


def test_hundreds_of_requests_leave_nothing_open_in_the_monitor(container):
    box = container(REMEMBERS, "lxc.tty.max = 2")
    up(box)
    before = open_in_monitor(box)
    requests = [
        ("info",),
        ("watch",),
        ("groups",),
        ("config",),
        ("join",),
        ("written",),
        ("terminal",),
        ("terminal", "0"),
    ]
    for number in range(500):
        with conversation(box) as end:
            assert ask(end, *requests[number % len(requests)])[0] in ("ok", "state")
    for _ in range(500):
        assert box.container.state == "RUNNING"
    assert open_in_monitor(box) == before


def flood(end, verb):
    """Ask again and again, and read nothing."""
    for _ in range(100_000):
        protocol.send(end, (verb,))


def memory_of(pid):
    """KiB that are resident."""
    return int(re.search(r"VmRSS:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text())[1])


def test_who_floods_and_does_not_read_is_hung_up_on_and_costs_nothing(container):
    box = container(REMEMBERS)
    up(box)
    monitor = box.container.info().monitor
    before, memory = open_in_monitor(box), memory_of(monitor)
    for verb in ("info", "config", "written", "watch", "nothing"):
        with conversation(box) as end, pytest.raises((BrokenPipeError, ConnectionResetError)):
            flood(end, verb)
        assert box.container.state == "RUNNING"
    assert open_in_monitor(box) == before
    assert memory_of(monitor) < memory + 8192


def test_who_watches_and_does_not_read_holds_nobody(container):
    box = container()
    up(box)
    with conversation(box) as end:
        protocol.send(end, ("watch",))
        for _ in range(200):
            box.container.freeze()
            box.container.unfreeze()
        assert box.container.state == "RUNNING"


def test_hundreds_who_are_silent_keep_nobody_from_being_answered(container):
    box = container(BY_TERM)
    up(box)
    watched = watch(box)
    ends = [connected(box) for _ in range(300)]
    try:
        assert box.container.state == "RUNNING"
        assert box.minilxc("attach", "--", "sh", "-c", "exit 5").status == 5
        # Who was hung up on learns why, and not that the container has ended.
        with pytest.raises(MinilxcError) as caught:
            client.Connection(box.name, ends[0]).ask("info")
        assert str(caught.value) == f"{box.name}: too many ask at once"
        assert ask(ends[-1], "info")[:2] == ["ok", "RUNNING"]
        assert box.minilxc("stop") == (0, "", "")
    finally:
        for end in ends:
            end.close()
    assert watched() == ["RUNNING", "STOPPING", "STOPPED"]


def test_who_takes_all_descriptors_keeps_nobody_from_being_answered(container):
    box = container(BY_TERM)
    assert box.start("signals", wrap=("prlimit", "--nofile=40")) == (0, "", "")
    ends = []
    try:
        for _ in range(60):
            ends.append(connected(box))
        assert box.container.state == "RUNNING"
        assert box.minilxc("stop") == (0, "", "")
    finally:
        for end in ends:
            end.close()


def test_hundreds_who_watch_leave_room_for_who_ends_it(container):
    box = container()
    up(box)
    ends = []
    try:
        for _ in range(300):
            ends.append(connected(box))
            answer = ["state", "RUNNING"] if len(ends) <= 150 else ["error", "too many wait at once"]
            assert ask(ends[-1], "watch")[:2] == answer
        assert box.minilxc("stop", "-k") == (0, "", "")
        assert protocol.receive(ends[0])[0] == ["exit", "137"]
        assert protocol.receive(ends[0])[0] == ["state", "STOPPING"]
    finally:
        for end in ends:
            end.close()


# Reboots

AGAIN = "test -e /tmp/again && exec signals; touch /tmp/again; echo first; exec busybox reboot -f"


@BOTH_MAPS
def test_process_1_that_calls_reboot_is_started_again(container, lines):
    box = container(*lines, BY_TERM, REMEMBERS)
    log = box.folder / "log"
    log.touch()
    hooks = [
        box.hook(kind, f"echo {kind} $LXC_TARGET >>{log}") for kind in ("pre-start", "stop", "post-stop")
    ]
    box.configure(*lines, BY_TERM, REMEMBERS, *hooks)
    box.allow("tmp/again")
    box.up("sh", "-c", AGAIN)
    assert said(box, "ready\n").endswith("ready\n")
    monitor = box.container.info().monitor
    assert box.container.state == "RUNNING"
    assert box.minilxc("stop") == (0, "", "")
    assert monitor
    assert log.read_text().splitlines() == [
        "pre-start", "stop reboot", "post-stop reboot", "pre-start", "stop stop", "post-stop stop",
    ]  # fmt: skip


def test_process_1_that_powers_off_is_not_started_again(container):
    box = container()
    box.up("sh", "-c", "exec busybox poweroff -f")
    assert box.container.wait("STOPPED", timeout=20)


def test_stop_with_reboot_waits_until_it_runs_again(container):
    box = container("lxc.signal.reboot = SIGUSR2", BY_TERM, REMEMBERS)
    box.up("sh", "-c", "trap 'exec busybox reboot -f' USR2; echo ready; while :; do sleep 0.02; done")
    said(box, "ready\n")
    first = box.container.info()
    seen = watch(box)
    assert box.minilxc("stop", "-r") == (0, "", "")
    second = box.container.info()
    assert (second.state, second.monitor) == ("RUNNING", first.monitor)
    assert second.pid != first.pid
    assert second.since >= first.since
    box.container.stop(kill=True)
    assert seen()[-6:] == ["RUNNING", "STOPPING", "STARTING", "RUNNING", "STOPPING", "STOPPED"]


def test_reboot_that_does_not_come_is_told(container):
    box = container("lxc.signal.reboot = SIGUSR2")
    up(box)
    expected = f"minilxc: {box.name}: has not started again within 0.1 seconds\n"
    assert box.minilxc("stop", "-r", "-t", "0.1") == (1, "", expected)
    assert box.minilxc("stop", "-r", "-W") == (0, "", "")
    assert box.container.state == "RUNNING"


def test_name_is_never_free_during_a_reboot(container):
    box = container(BY_TERM)
    gates = {kind: box.gate(kind) for kind in ("stop", "post-stop", "pre-start")}
    first = box.folder / "first"
    box.may_make.add(str(first))
    hooks = [box.hook(kind, gates[kind].shell) for kind in ("stop", "post-stop")]
    hooks.append(
        box.hook("pre-start", f"[ -e {first} ] || {{ touch {first}; exit 0; }}; {gates['pre-start'].shell}")
    )
    box.configure(BY_TERM, *hooks)
    box.allow("tmp/again")
    box.up("sh", "-c", AGAIN)
    for kind, state in (("stop", "STOPPING"), ("post-stop", "STOPPING"), ("pre-start", "STARTING")):
        gates[kind].wait()
        assert box.container.state == state
        assert box.run("true") == (1, "", f"minilxc: {box.name}: is running already\n")
        gates[kind].open()
    assert box.container.wait("RUNNING", timeout=20)


def test_reboot_whose_second_start_fails_leaves_nothing(container):
    box = container()
    first = box.folder / "first"
    box.may_make.add(str(first))
    log = box.folder / "log"
    box.may_make.add(str(log))
    line = box.hook("pre-start", f"[ -e {first} ] && exit 1; touch {first}")
    box.configure(line, f"lxc.log.file = {log}")
    box.allow("tmp/again")
    box.up("sh", "-c", AGAIN)
    assert box.container.wait("STOPPED", timeout=20)
    machine.wait_for(lambda: not box.monitors(), "the end of the monitor")
    assert "pre-start hook" in log.read_text()
    assert not Path(socket_path(box)).parent.exists()


def test_stop_during_a_reboot_is_not_forgotten(container):
    """Asked for between two starts, when there is no process 1 to tell."""
    box = container()
    gate = box.gate()
    box.configure(box.hook("post-stop", gate.shell))
    box.allow("tmp/again")
    box.up("sh", "-c", AGAIN)
    gate.wait()
    stopping = in_thread(lambda: box.container.stop(20, then_kill=False))
    machine.wait_for(lambda: asked(box), "the request")
    for _ in range(3):
        gate.open()
    assert stopping() is True
    assert box.container.state == "STOPPED"


def asked(box):
    """Whether somebody waits for the end of the container."""
    monitor = box.container.info().monitor
    if not monitor:
        return False
    sockets = 0
    for number in os.listdir(f"/proc/{monitor}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            sockets += "socket" in os.readlink(f"/proc/{monitor}/fd/{number}")
    return sockets > 1


# A monitor that is killed, or hangs


@pytest.mark.parametrize("moment", ["pre-start", "mount", "start-host", "running", "stop", "post-stop"])
def test_killed_monitor_takes_the_container_along_and_the_name_is_free(container, moment):
    box = container("lxc.net.0.type = empty")
    gate = box.gate()
    lines = [] if moment == "running" else [box.hook(moment, gate.shell)]
    box.configure("lxc.net.0.type = empty", *lines)
    starting = None
    if moment in ("pre-start", "mount", "start-host"):
        starting = box.starting("sleep", "1000")
        gate.wait()
    else:
        box.up("sleep", "1000")
        if moment != "running":
            box.container.ask_to_stop(kill=True)
            gate.wait()
    monitor = lock_holder(box)
    below = machine.descendants(monitor)
    os.kill(monitor, signal.SIGKILL)
    if starting is not None:
        _, err = starting.communicate()
        expected = f"minilxc: {box.name}: the monitor ended before it could say why\n"
        assert (starting.returncode, err) == (1, expected)
    machine.wait_until_gone(monitor, *below)
    assert box.container.state == "STOPPED"
    assert not Path(socket_path(box)).parent.exists()
    assert box.run("sh", "-c", "exit 7", options=("-s", "lxc.hook =")) == (7, "", "")


def lock_holder(box):
    from minilxc.launch import lock

    return machine.wait_for(lambda: lock.holder(LXCPATH, box.name), "the monitor")


def test_next_command_removes_what_a_killed_monitor_has_left(container):
    box = container()
    box.up("sleep", "1000")
    groups = box.container.groups()
    monitor, init = lock_holder(box), box.container.init_pid
    os.kill(monitor, signal.SIGKILL)
    machine.wait_until_gone(monitor, init)
    assert Path(socket_path(box)).exists()
    assert box.minilxc("stop") == (2, "", f"minilxc: {box.name}: is not running\n")
    assert not Path(socket_path(box)).parent.exists()
    assert [group for group in groups if os.path.exists(group)] == []


def test_init_that_outlives_its_monitor_is_ended_by_stop(container):
    box = container("lxc.monitor.signal.pdeath = 0")
    box.up("sleep", "1000")
    groups = box.container.groups()
    monitor, init = lock_holder(box), box.container.init_pid
    os.kill(monitor, signal.SIGKILL)
    machine.wait_until_gone(monitor)
    assert box.container.state == "STOPPED"
    assert machine.describe(init).split()[1] == "sleep"
    with pytest.raises(NotRunning):
        box.container.attach(["true"])
    assert machine.describe(init).split()[1] == "sleep"
    refused = box.start("sleep", "1000")
    what = f"something of it still runs, whose monitor was killed (minilxc stop -n {box.name} ends it)"
    assert refused == (1, "", f"minilxc: {box.name}: {what}\n")
    assert box.minilxc("stop") == (0, "", "")
    machine.wait_until_gone(init)
    assert [group for group in groups if os.path.exists(group)] == []


def test_what_a_killed_monitor_has_left_is_not_sought_in_the_same_name_elsewhere(container):
    """Both have had the same groups, one after the other."""
    box = container()
    (box.folder / "a").mkdir()
    (box.folder / "b").mkdir()
    here, there = (Container(box.name, box.folder / name, config_file=box.file) for name in "ab")
    init = here.start(["sleep", "1000"])
    monitor = here.info().monitor
    os.kill(monitor, signal.SIGKILL)
    machine.wait_until_gone(monitor, init)
    other = there.start(["sleep", "1000"])
    monitor = there.info().monitor
    try:
        with pytest.raises(NotRunning):
            here.stop(kill=True)
        assert there.init_pid == other
    finally:
        there.stop(kill=True)
        machine.wait_until_gone(monitor)


@pytest.mark.parametrize("kill", [True, False])
def test_monitor_that_hangs_does_not_keep_a_container_from_being_ended(container, kill, monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", 0.3)
    box = container()
    box.up("sleep", "1000")
    monitor, init = lock_holder(box), box.container.init_pid
    os.kill(monitor, signal.SIGSTOP)
    with pytest.raises(Hangs) as caught:
        box.container.info()
    assert str(caught.value) == f"{box.name}: the monitor does not answer"
    with pytest.raises(Hangs):
        box.container.stop(0.1, then_kill=False)
    assert box.container.stop(0.1, kill=kill) is True
    machine.wait_until_gone(monitor, init)
    assert box.container.state == "STOPPED"


def test_monitor_that_hangs_is_told_by_the_commands(container):
    box = container()
    box.up("sleep", "1000")
    monitor = lock_holder(box)
    os.kill(monitor, signal.SIGSTOP)
    try:
        assert box.minilxc("stop", "-k") == (0, "", "")
    finally:
        machine.wait_until_gone(monitor)


# One container of a name


@pytest.mark.parametrize("count", [2, 10])
def test_of_many_starts_of_one_name_exactly_one_wins(container, count):
    box = container()
    starting = [box.starting("sleep", "1000") for _ in range(count)]
    results = sorted((process.wait(), process.stderr.read()) for process in starting)
    assert results == [(0, ""), *[(1, f"minilxc: {box.name}: is running already\n")] * (count - 1)]
    assert box.container.state == "RUNNING"


def test_start_while_it_stops_is_refused(container):
    box = container()
    gate = box.gate()
    box.configure(box.hook("post-stop", gate.shell))
    box.up("sleep", "1000")
    box.container.ask_to_stop(kill=True)
    gate.wait()
    assert box.start("true") == (1, "", f"minilxc: {box.name}: is running already\n")
    gate.open()
    assert box.container.wait("STOPPED", timeout=20)
    assert box.start("true", options=("-s", "lxc.hook =")) == (0, "", "")


def test_name_is_free_when_stop_has_returned(container):
    box = container()
    for _ in range(10):
        box.up("sleep", "1000")
        assert box.minilxc("stop", "-k") == (0, "", "")


# Freezing


def processor_time(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11]


def test_frozen_container_stands_still_until_it_is_thawed(container):
    box = container()
    it = box.up("sh", "-c", "while :; do :; done")
    pid = it.init_pid
    machine.wait_for(lambda: processor_time(pid) != "0", "that it runs")
    seen = watch(box)
    it.freeze()
    assert it.state == "FROZEN"
    before = processor_time(pid)
    assert not it.wait("STOPPED", timeout=0.1)
    assert processor_time(pid) == before
    it.freeze()
    it.unfreeze()
    assert it.state == "RUNNING"
    machine.wait_for(lambda: processor_time(pid) != before, "that it runs")
    it.unfreeze()
    it.stop(kill=True)
    assert seen()[1:] == ["FREEZING", "FROZEN", "THAWED", "RUNNING", "STOPPING", "STOPPED"]


@pytest.mark.parametrize("words", [(), ("-k",), ("-t", "0.1")], ids=" ".join)
def test_frozen_container_can_be_ended(container, words):
    box = container(BY_TERM)
    it = up(box)
    it.freeze()
    assert box.minilxc("stop", *words) == (0, "", "")
    assert it.state == "STOPPED"


def test_nobody_joins_a_frozen_container(container):
    box = container()
    it = up(box)
    it.freeze()
    line = f"minilxc: {box.name}: is FROZEN: a process that joins it would stop, too\n"
    assert box.minilxc("attach", "--", "true") == (1, "", line)
    it.unfreeze()
    assert box.minilxc("attach", "--", "true") == (0, "", "")


def test_freezing_works_by_version_2_where_the_other_is_not_mounted(container):
    box = container()
    box.container  # noqa: B018  to be ended with the test
    wrap = ("unshare", "-m", "sh", "-ec", 'umount /sys/fs/cgroup/freezer; exec "$@"', "sh")
    assert box.start("signals", wrap=wrap) == (0, "", "")
    it = box.container
    it.freeze()
    assert it.state == "FROZEN"
    (group,) = [group for group in it.groups() if "/unified/" in group]
    assert "frozen 1" in Path(group, "cgroup.events").read_text()
    it.unfreeze()
    assert it.state == "RUNNING"
    it.freeze()
    it.stop(kill=True)


def test_freezing_that_cannot_be_is_told(container):
    box = container()
    wrap = (
        "unshare",
        "-m",
        "sh",
        "-ec",
        'umount /sys/fs/cgroup/freezer /sys/fs/cgroup/unified; exec "$@"',
        "sh",
    )
    assert box.start("signals", wrap=wrap) == (0, "", "")
    with pytest.raises(MinilxcError) as caught:
        box.container.freeze()
    assert str(caught.value) == f"{box.name}: there is no control group that can be frozen"


# The file with the monitor's number


def test_pidfile_has_the_monitors_number_as_long_as_it_runs(container):
    box = container()
    path = box.folder / "pid"
    box.remember_files()
    assert box.start("sleep", "1000", options=("-p", str(path))) == (0, "", "")
    assert path.read_text() == f"{box.container.info().monitor}\n"
    assert box.minilxc("stop", "-k") == (0, "", "")
    assert not path.exists()


def test_pidfile_that_cannot_be_written_stops_the_start(container):
    box = container()
    path = box.folder / "nowhere" / "pid"
    expected = f"minilxc: {box.name}: pidfile: {path}: No such file or directory\n"
    assert box.start("true", options=("-p", str(path))) == (1, "", expected)
    assert box.container.state == "STOPPED"


def test_refused_start_leaves_the_pidfile_of_who_runs_alone(container):
    box = container()
    path = box.folder / "pid"
    assert box.start("sleep", "1000", options=("-p", str(path))).status == 0
    box.may_make.add(str(path))
    before = path.read_text()
    assert box.start("true", options=("-p", str(path))).status == 1
    assert path.read_text() == before


def test_start_that_fails_leaves_no_pidfile(container):
    box = container()
    path = box.folder / "pid"
    assert box.start("/nowhere", options=("-p", str(path))).status == 127
    assert not path.exists()


def test_pidfile_of_the_next_start_is_not_removed_by_the_end_of_the_last(container):
    box = container()
    path = box.folder / "pid"
    box.may_make.add(str(path))
    for _ in range(10):
        assert box.start("sleep", "1000", options=("-p", str(path))) == (0, "", "")
        last = set(box.monitors()) - {box.container.info().monitor}
        machine.wait_for(lambda last=last: not last & set(box.monitors()), "the end of the last")
        assert path.read_text() == f"{box.container.info().monitor}\n"
        box.container.stop(kill=True)


# Many


def test_fifty_starts_and_ends_leave_nothing(container):
    box = container(BY_TERM)
    for _ in range(50):
        box.container.start(["sleep", "1000"])
        assert box.container.stop(kill=True)
        machine.collect(set())


def test_twenty_starts_at_once_from_threads(container):
    box = container()
    box.container  # noqa: B018  to be ended with the test
    box.remember_files()
    them = [Container(f"{box.name}-{number}", config_file=box.file) for number in range(20)]
    results = [in_thread(lambda it=it: it.start(["sleep", "1000"])) for it in them]
    pids = [result() for result in results]
    try:
        assert len(set(pids)) == 20
        assert [it.state for it in them] == ["RUNNING"] * 20
        assert [it.init_pid for it in them] == pids
    finally:
        ended = [in_thread(lambda it=it: it.stop(kill=True)) for it in them]
        assert [result() for result in ended] == [True] * 20
        machine.wait_for(
            lambda: machine.collect(set()) and not machine.descendants(), "the end of the monitors"
        )


# What concerns the monitor alone


def test_what_a_monitor_apart_mounts_stays_off_the_host(container):
    box = container()
    (box.folder / "place").mkdir()
    place = box.folder / "place"
    hook = box.hook("pre-start", f"mount -t tmpfs t {place} && echo data >{place}/file")
    box.configure("lxc.monitor.unshare = 1", f"lxc.mount.entry = {place} tmp none bind", hook)
    it = up(box)
    assert it.attach(["cat", "/tmp/file"], capture_output=True).stdout == b"data\n"
    assert list(place.iterdir()) == []
    assert box.minilxc("attach", "--", "cat", "/tmp/file") == (0, "data\n", "")


def test_ephemeral_container_is_removed_at_its_end(container):
    box = container()
    place = box.folder / "containers"
    folder = place / box.name
    folder.mkdir(parents=True)
    os.rename(box.root, folder / "rootfs")
    text = [f"lxc.rootfs.path = dir:{folder}/rootfs", "lxc.ephemeral = 1", *box.base]
    (folder / "config").write_text("".join(f"{line}\n" for line in text))
    it = Container(box.name, place)
    it.start(["sleep", "1000"])
    box.container  # noqa: B018  to be collected with the test
    assert it.defined
    assert it.stop(kill=True)
    assert not it.defined
    assert list(place.iterdir()) == []
    box.root.mkdir()


def test_console_is_logged_and_remembered_in_the_background(container):
    box = container(REMEMBERS)
    log = box.folder / "console.log"
    log.touch()
    box.configure(REMEMBERS, f"lxc.console.logfile = {log}")
    box.up("sh", "-c", "echo one; echo two; read x")
    assert said(box, "two\n") == "one\ntwo\n"
    assert log.read_bytes() == b"one\r\ntwo\r\n"
    assert box.container.written(clear=True) == b"one\r\ntwo\r\n"
    assert box.container.written() == b""


def test_what_is_remembered_is_what_was_written_last(container):
    box = container("lxc.console.buffer.size = 4096")
    box.up("sh", "-c", "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done; echo end; read x")
    said(box, "end\n")
    shown = box.container.written()
    assert len(shown) == 4096
    assert shown.endswith(b"1998\r\n1999\r\nend\r\n")


def test_log_file_of_the_config_has_the_starts_and_ends(container):
    box = container(BY_TERM)
    log = box.folder / "log"
    log.touch()
    box.configure(BY_TERM, f"lxc.log.file = {log}", "lxc.log.level = INFO")
    up(box)
    box.container.stop()
    text = log.read_text()
    assert "process 1 is " in text
    assert "process 1 ended with status 7" in text


# In the foreground


def test_halt_from_inside_is_a_success(container):
    """reboot(2) to halt ends process 1 by SIGINT, which nothing else can."""
    assert container().run("busybox", "poweroff", "-f", verb="start") == (0, "", "")


def test_who_ends_the_monitor_halts_an_init_to_which_sigterm_means_reboot(container):
    box = container("lxc.signal.reboot = SIGTERM", "lxc.signal.halt = SIGUSR1")
    for number in (signal.SIGTERM, signal.SIGHUP):
        script = "trap 'exit 3' USR1; trap 'exit 4' TERM; echo ready; while :; do sleep 0.02; done"
        process = box.popen("sh", "-c", script, verb="start")
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        process.communicate()
        assert process.returncode == 3


@pytest.mark.parametrize("verb", ["start", "execute"])
def test_name_may_stand_as_the_first_word(container, verb):
    """As with LXC."""
    box = container()
    box.remember_files()
    words = [verb, *(["-F"] if verb == "start" else []), box.name, "-f", str(box.file), "--", "echo", "hi"]
    ran = subprocess.run([MINILXC, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "hi\n", "")
