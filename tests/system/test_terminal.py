"""The terminal: what a payload has of the caller's, and what the caller gets back."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios

import pytest

from tests.helpers import machine

BOTH = pytest.mark.parametrize("verb", ["execute", "start"])
_PATIENCE_MS = 20_000


class Screen:
    """A terminal with a user: minilxc runs on it in the foreground of a session of its own."""

    def __init__(self, box, *words, verb, rows=33, columns=101):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.modes = termios.tcgetattr(theirs)
        self.text = ""
        box.remember_files()
        self.process = subprocess.Popen(
            box.command(*words, verb=verb),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  there is one thread
        )
        self._theirs = theirs

    def type(self, text):
        os.write(self.ours, text.encode())

    def read_until(self, text):
        while text not in self.text:
            assert select.select([self.ours], [], [], _PATIENCE_MS / 1000)[0], self.text
            self.text += os.read(self.ours, 4096).decode()
        return self.text

    def end(self):
        """Wait for the end; all that was shown."""
        machine.wait_for(lambda: self._drain() or self.process.poll() is not None, "the end of minilxc")
        self._drain()
        return self.text

    def _drain(self):
        while select.select([self.ours], [], [], 0)[0]:
            self.text += os.read(self.ours, 4096).decode()

    def modes_now(self):
        return termios.tcgetattr(self._theirs)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self._theirs)


@pytest.fixture
def screen():
    """Runs words on a terminal: screen(box, WORD..., verb=...)."""
    with contextlib.ExitStack() as stack:

        def run(*arguments, **more):
            shown = Screen(*arguments, **more)
            stack.callback(shown.close)
            return shown

        yield run


@BOTH
def test_payload_on_a_terminal_has_a_controlling_terminal_of_its_own(container, screen, verb):
    """Never the caller's: TIOCSTI on that types into the caller's shell (CVE-2017-5226)."""
    shown = screen(
        container("lxc.pty.max = 4"),
        "sh",
        "-c",
        "echo typed </dev/tty >/dev/tty; tty; cat /proc/$$/stat",
        verb=verb,
    )
    text = shown.end()
    assert "typed\r\n" in text
    stat = text.splitlines()[-1].split()
    assert stat[4] == stat[5] == stat[0]  # leads its session
    assert int(stat[6]) >> 8 == 136  # its terminal is a pts
    assert shown.process.returncode == 0


@BOTH
def test_payload_sees_the_size_of_the_callers_terminal(container, screen, verb):
    shown = screen(container(), "stty", "size", verb=verb, rows=33, columns=101)
    assert shown.end() == "33 101\r\n"


def test_payload_is_told_when_the_callers_terminal_changes_its_size(container, screen):
    script = "trap 'stty size; exit 3' WINCH; echo ready; while :; do read line; done"
    shown = screen(container(), "sh", "-c", script, verb="start")
    shown.read_until("ready")
    fcntl.ioctl(shown.ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 90, 0, 0))
    assert "40 90\r\n" in shown.end()
    assert shown.process.returncode == 3


@BOTH
def test_control_c_interrupts_the_payload(container, screen, verb):
    """And not minilxc: the caller's terminal is raw meanwhile."""
    shown = screen(
        container(),
        "sh",
        "-c",
        "trap 'echo interrupted; exit 5' INT; echo ready; while :; do read line; done",
        verb=verb,
    )
    shown.read_until("ready")
    shown.type("\x03")
    assert "interrupted\r\n" in shown.end()
    assert shown.process.returncode == 5


@BOTH
def test_what_is_typed_arrives(container, screen, verb):
    shown = screen(container(), "sh", "-c", 'echo ready; read line; echo "got $line"', verb=verb)
    shown.read_until("ready")
    shown.type("hello\r")
    assert shown.end().endswith("got hello\r\n")


def test_modes_of_the_callers_terminal_are_restored_after_the_end(container, screen):
    shown = screen(container(), "sh", "-c", "stty -echo; exit 9", verb="execute")
    shown.end()
    assert (shown.process.returncode, shown.modes_now()) == (9, shown.modes)


def test_modes_of_the_callers_terminal_are_restored_after_a_failed_start(container, screen):
    shown = screen(container(), "/nowhere", verb="execute")
    shown.end()
    assert (shown.process.returncode, shown.modes_now()) == (127, shown.modes)


def test_modes_of_the_callers_terminal_are_restored_when_the_payload_is_killed(container, screen):
    shown = screen(container(), "sh", "-c", "echo ready; kill -9 $$", verb="execute")
    shown.end()
    assert (shown.process.returncode, shown.modes_now()) == (137, shown.modes)


def test_output_to_a_terminal_is_whole(container, screen):
    shown = screen(
        container(), "sh", "-c", "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done", verb="execute"
    )
    assert shown.end().split() == [str(number) for number in range(2000)]


def test_console_none_hands_the_callers_terminal_through(container, screen):
    """lxc-keys.md 4.7: lxc.console.path = none hands the caller's stdio through."""
    shown = screen(
        container("lxc.console.path = none"), "stat", "-Lc", "%t %T", "/proc/self/fd/0", verb="execute"
    )
    number = int(os.ttyname(shown._theirs).rsplit("/", 1)[1])
    assert shown.end() == f"88 {number:x}\r\n"


def test_error_output_that_is_no_terminal_stays_the_callers(container):
    """`minilxc execute ... 2>errors` on a terminal: only what was a terminal becomes the console."""
    ours, theirs = pty.openpty()
    box = container()
    try:
        result = box.run(
            "sh",
            "-c",
            "echo out; echo err >&2",
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.PIPE,
            capture_output=False,
        )
        assert result == (0, None, "err\n")
        assert os.read(ours, 100) == b"out\r\n"
    finally:
        os.close(ours)
        os.close(theirs)


def test_console_log_gets_what_is_written_to_the_console(container):
    box = container(base=False)
    log = box.folder / "console.log"
    box.may_make.add(str(log))
    box.configure(f"lxc.console.logfile = {log}")
    box.read("sh", "-c", "echo first >/dev/console; echo second >/dev/console")
    assert log.read_bytes() == b"first\r\nsecond\r\n"


def test_console_that_was_opened_and_closed_can_be_opened_again(container):
    """A console that nobody has open any more is not one that nobody will open again: syslog does just that."""
    box = container()
    log = box.folder / "console.log"
    box.may_make.add(str(log))
    box.configure(f"lxc.console.logfile = {log}")
    process = box.popen(
        "sh",
        "-c",
        "echo first >/dev/console; echo ready; read line; echo second >/dev/console",
        stdin=subprocess.PIPE,
    )
    assert process.stdout.readline() == "ready\n"
    machine.wait_for(lambda: log.read_bytes() == b"first\r\n", "the first line in the log")
    process.communicate("go\n")
    assert (process.returncode, log.read_bytes()) == (0, b"first\r\nsecond\r\n")


def test_terminals_and_a_devpts_of_its_own(container):
    """lxc.tty.max, lxc.pty.max: max= is their sum (lxc-keys.md 3)."""
    box = container("lxc.tty.max = 2", "lxc.pty.max = 3")
    shown = box.read(
        "sh",
        "-c",
        "ls /dev/pts; grep ' /dev/pts ' /proc/self/mountinfo; stat -c %t /dev/tty1 /dev/tty2 /dev/console",
        verb="start",
    )
    assert shown.split()[:4] == ["0", "1", "2", "ptmx"]
    for word in ("max=5", "gid=5", "ptmxmode=666", "noexec"):
        assert word in shown
    assert shown.split()[-3:] == ["88", "88", "88"]


def test_ttys_lie_in_the_folder_that_the_config_names(container):
    box = container("lxc.tty.max = 1", "lxc.tty.dir = lxc")
    assert box.read("stat", "-c", "%t", "/dev/lxc/tty1", "/dev/lxc/console", verb="start") == "88\n88\n"


def test_execute_makes_no_ttys(container):
    """As LXC: nobody would use them. The console is in the folder, too."""
    box = container("lxc.tty.max = 2", "lxc.tty.dir = lxc", "lxc.pty.max = 3")
    assert box.read("ls", "/dev/lxc") == "console\n"


def test_signals_to_minilxc_reach_the_payload_although_it_is_on_a_terminal(container, screen):
    shown = screen(container(), "signals", verb="execute")
    shown.read_until("ready")
    shown.process.send_signal(signal.SIGUSR2)
    shown.read_until(f"{int(signal.SIGUSR2)}\r\n")
    shown.process.send_signal(signal.SIGTERM)
    shown.end()
    assert shown.process.returncode == 7


@pytest.mark.parametrize(("make", "reason"), [(False, "No such file or directory"), (True, "is no terminal")])
def test_console_that_is_no_terminal_is_refused_and_not_made(container, make, reason):
    box = container(base=False)
    path = box.folder / "console"
    if make:
        path.write_text("mine\n")
    line = f"lxc.console.path = {path}"
    box.configure(line)
    assert box.run("true") == (
        1,
        "",
        f"minilxc: {box.name}: console: {path}: {reason} ({box.line_of(line)})\n",
    )
    assert path.exists() == make
