"""`minilxc console`: the caller's terminal becomes one of the container's, and comes back."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.helpers import machine
from tests.helpers.container import ENTRY
from tests.helpers.screen import Screen

# Says its number on each tty, and what is typed there; on the console too.
GETTY = (
    'tell() { while read line; do echo "$1 got $line"; done; }; '
    'for n in 1 2 3; do { trap "stty size" WINCH; echo tty $n; tell $n; } </dev/tty$n >/dev/tty$n & done; '
    "echo console; tell 0"
)
LINES = (
    "lxc.tty.max = 3",
    "lxc.pty.max = 8",
    "lxc.console.buffer.size = 64KB",
    "lxc.cap.keep = sys_admin kill",
)


@pytest.fixture
def box(container):
    """A container with three ttys and a console that answer."""
    made = container(*LINES)
    made.up("sh", "-c", GETTY)
    machine.wait_for(lambda: b"console" in made.container.written(), "the console")
    return made


@pytest.fixture
def consoles():
    """consoles(BOX, WORD...): the command on a terminal."""
    opened = []

    def run(box, *words, **more):
        opened.append(Screen([str(ENTRY), "console", "-n", box.name, *words], **more))
        return opened[-1]

    yield run
    for shown in opened:
        shown.close()


def connected(shown, what, box, letter="a"):
    keys = f"Ctrl+{letter} q leaves, Ctrl+{letter} Ctrl+{letter} is Ctrl+{letter}"
    shown.read_until(f"Connected to {what} of {box.name}: {keys}.\r\n")


def leaves(shown, keys="\x01q"):
    shown.type(keys)
    shown.end()
    assert (shown.process.returncode, shown.modes_now()) == (0, shown.modes)


def test_tty_is_reached_by_its_number(box, consoles):
    shown = consoles(box, "-t", "2")
    connected(shown, "tty 2", box)
    shown.read_until("tty 2\r\n")
    shown.type("hello\r")
    shown.read_until("2 got hello\r\n")
    leaves(shown)
    assert box.container.state == "RUNNING"


def test_first_free_tty_is_taken_and_free_again_afterwards(box, consoles):
    first = consoles(box)
    connected(first, "tty 1", box)
    second = consoles(box, "-t", "-1")
    connected(second, "tty 2", box)
    leaves(first)
    third = consoles(box)
    connected(third, "tty 1", box)
    leaves(second)
    leaves(third)


def test_tty_that_is_in_use_is_told(box, consoles):
    first = consoles(box, "-t", "1")
    connected(first, "tty 1", box)
    assert box.minilxc("console", "-t", "1") == (1, "", f"minilxc: {box.name}: tty 1 is in use\n")
    for number in (2, 3):
        connected(consoles(box), f"tty {number}", box)
    assert box.minilxc("console") == (1, "", f"minilxc: {box.name}: all ttys are in use\n")
    leaves(first)


@pytest.mark.parametrize(
    ("word", "status", "error"),
    [
        ("9", 1, "{name}: there is no tty 9, only 1 to 3"),
        ("9" * 5000, 1, "{name}: a request that is too long"),
        ("x", 2, "--tty: 'x' is no number of a tty"),
    ],
    ids=["9", "long", "x"],
)
def test_tty_that_there_is_not_is_told(box, word, status, error):
    line = f"minilxc: {error.format(name=box.name)}\n"
    assert box.minilxc("console", "-t", word) == (status, "", line)


def test_container_without_ttys_says_so(container):
    made = container()
    made.up("sleep", "1000")
    expected = f"minilxc: {made.name}: has no ttys (lxc.tty.max is 0)\n"
    assert made.minilxc("console") == (1, "", expected)
    assert made.minilxc("console", "extra", "words").status == 2


def test_container_without_a_console_says_so(container):
    made = container("lxc.console.path = none")
    made.up("sleep", "1000")
    assert made.minilxc("console", "-t", "0") == (1, "", f"minilxc: {made.name}: has no console\n")


def test_what_does_not_run_has_no_terminals(container):
    made = container()
    assert made.minilxc("console") == (1, "", f"minilxc: {made.name}: is not running\n")


def test_console_begins_with_what_was_written_last(box, consoles):
    shown = consoles(box, "-t", "0")
    connected(shown, "the console", box)
    shown.read_until("console\r\n")
    shown.type("hello\r")
    shown.read_until("0 got hello\r\n")
    leaves(shown)


def test_console_is_shared_by_all_who_join(box, consoles):
    both = [consoles(box, "-t", "0") for _ in range(2)]
    for shown in both:
        connected(shown, "the console", box)
    for number, typist in enumerate(both):
        typist.type(f"hello {number}\r")
        for shown in both:
            shown.read_until(f"0 got hello {number}\r\n")
    leaves(both[0])
    both[1].type("alone\r")
    both[1].read_until("0 got alone\r\n")
    leaves(both[1])


def test_much_that_is_remembered_arrives_whole(container, consoles):
    made = container("lxc.console.buffer.size = 2MB")
    script = "i=0; while [ $i -lt 60000 ]; do echo line $i; i=$((i+1)); done; echo the end; read x"
    made.up("sh", "-c", script)
    machine.wait_for(lambda: b"the end" in made.container.written(), "the end")
    shown = consoles(made, "-t", "0")
    shown.read_until("the end\r\n")
    lines = shown.text.split("\r\n")
    assert lines[1:-2] == [f"line {number}" for number in range(60000)]
    leaves(shown)


@pytest.mark.parametrize(
    ("word", "key", "letter"), [("b", "\x02", "b"), ("^b", "\x02", "b"), ("Z", "\x1a", "z")]
)
def test_key_to_leave_is_the_one_asked_for(box, consoles, word, key, letter):
    shown = consoles(box, "-t", "1", "-e", word)
    connected(shown, "tty 1", box, letter)
    shown.type("\x01q\r")
    shown.read_until("got \x01q")
    leaves(shown, f"{key}q")


@pytest.mark.parametrize("word", ["", "ab", "1", "^", "é"])
def test_key_that_cannot_be_is_told(box, word):
    result = box.minilxc("console", f"--escape={word}")
    if word:
        assert result == (2, "", f"minilxc: --escape: '{word}' is no letter (-e a, or -e ^a)\n")
    else:
        assert result.status in (0, 2)


def test_key_typed_twice_is_the_key_itself_and_another_after_it_is_both(box, consoles):
    shown = consoles(box, "-t", "1")
    connected(shown, "tty 1", box)
    shown.type("x\x01\x01y\x01zq\r")
    shown.read_until("1 got x\x01y\x01zq\r\n")
    leaves(shown)


def test_what_was_typed_before_leaving_arrives(box, consoles):
    shown = consoles(box, "-t", "0")
    connected(shown, "the console", box)
    leaves(shown, "last words\r\x01q")
    machine.wait_for(lambda: b"0 got last words" in box.container.written(), "the words")


def test_size_is_the_callers_and_follows_it(box, consoles):
    shown = consoles(box, "-t", "0", rows=33, columns=101)
    connected(shown, "the console", box)
    script = ("stty", "size", "-F", "/dev/console")

    def size():
        return box.minilxc("attach", "--clear-env", "--", *script).out

    machine.wait_for(lambda: size() == "33 101\n", "the size")
    shown.resize(40, 90)
    machine.wait_for(lambda: size() == "40 90\n", "the size")
    leaves(shown)


@pytest.mark.parametrize("word", ["0", "1"])
def test_end_of_the_container_ends_the_session(box, consoles, word):
    shown = consoles(box, "-t", word)
    shown.read_until("leaves")
    box.container.stop(kill=True)
    shown.end()
    assert (shown.process.returncode, shown.modes_now()) == (0, shown.modes)


@pytest.mark.parametrize("word", ["0", "1"])
def test_reboot_of_the_container_ends_the_session(container, consoles, word):
    """Its terminals are others then: who stayed would look at one that nobody writes."""
    made = container(*LINES, "lxc.signal.reboot = SIGUSR2")
    made.configure(*LINES[:3], "lxc.signal.reboot = SIGUSR2")
    made.up("sh", "-c", "trap 'exec busybox reboot -f' USR2; echo ready; while :; do sleep 0.02; done")
    machine.wait_for(lambda: b"ready" in made.container.written(), "the trap")
    shown = consoles(made, "-t", word)
    shown.read_until("leaves")
    assert made.container.reboot(20)
    shown.end()
    assert shown.process.returncode == 0
    assert made.container.state == "RUNNING"
    other = consoles(made, "-t", word)
    other.read_until("leaves")
    leaves(other)


def test_input_need_not_be_a_terminal(box):
    assert box.minilxc("console", "-t", "0", input="from a pipe\n").status == 0
    machine.wait_for(lambda: b"0 got from a pipe" in box.container.written(), "the words")
    process = subprocess.Popen(
        [str(ENTRY), "console", "-n", box.name, "-t", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    box.look_after(process)
    assert process.stdout.readline().strip() == "tty 1"
    process.stdin.write("hello\n")
    process.stdin.flush()
    assert process.stdout.readline().strip() == "hello"
    assert process.stdout.readline().strip() == "1 got hello"
    process.stdin.close()
    assert process.wait() == 0


def test_signal_ends_the_session_and_gives_the_terminal_back(box, consoles):
    shown = consoles(box, "-t", "1")
    connected(shown, "tty 1", box)
    shown.read_until("tty 1\r\n")
    shown.process.terminate()
    shown.end()
    assert (shown.process.returncode, shown.modes_now()) == (128 + 15, shown.modes)
    assert box.container.state == "RUNNING"


def test_who_hangs_up_in_the_middle_is_nothing_to_init(container, consoles):
    """Writing to who has gone makes SIGPIPE, which is the monitor's own."""
    made = container("lxc.console.buffer.size = 64KB")
    made.up("signals")
    machine.wait_for(lambda: b"ready" in made.container.written(), "init")
    for _ in range(5):
        shown = consoles(made, "-t", "0")
        shown.read_until("leaves")
        shown.process.kill()
        shown.process.wait()
        os.kill(made.container.init_pid, 10)
    machine.wait_for(lambda: b"10" in made.container.written(), "the signal")
    assert b"13" not in made.container.written()


def test_quiet_says_nothing_of_the_keys(box, consoles):
    shown = consoles(box, "-t", "2", "-q")
    shown.read_until("tty 2\r\n")
    assert "Connected" not in shown.text
    leaves(shown)
