"""The standard descriptors of a program that runs for a Python program, as subprocess.run has them."""

from __future__ import annotations

import os
import subprocess

import pytest

from minilxc.monitor.plumbing import Plumbing

PIPE, STDOUT, DEVNULL = subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL


def run(
    command, stdin=DEVNULL, stdout=None, stderr=None, *, text_in=None, capture=False, text=False, timeout=None
):
    """Run a command with the plumbing; what was read."""
    plumbing = Plumbing(stdin, stdout, stderr, text_in=text_in, capture=capture, text=text)
    try:
        first, second, third = plumbing.theirs
        process = subprocess.Popen(command, stdin=first, stdout=second, stderr=third)
        pidfd = os.pidfd_open(process.pid)
        try:
            plumbing.carry(pidfd, timeout)
        finally:
            process.kill()
            process.wait()
            os.close(pidfd)
        return plumbing.read
    finally:
        plumbing.close()


@pytest.fixture(autouse=True)
def nothing_stays_open():
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


def test_output_and_errors_are_captured_apart():
    assert run(["sh", "-c", "echo out; echo err >&2"], capture=True) == (b"out\n", b"err\n")


def test_text_is_text_with_every_line_end_the_same():
    assert run(["printf", r"a\r\nb\rc\n\377"], capture=True, text=True)[0] == "a\nb\nc\n\udcff"


@pytest.mark.parametrize("text_in", ["é\udcff", b"\xff\0", b"", ""])
def test_input_arrives(text_in):
    expected = text_in.encode(errors="surrogateescape") if isinstance(text_in, str) else text_in
    assert run(["cat"], text_in=text_in, capture=True)[0] == expected


def test_errors_may_go_where_output_goes():
    assert run(["sh", "-c", "echo out; echo err >&2"], stdout=PIPE, stderr=STDOUT) == (b"out\nerr\n", None)
    assert run(["sh", "-c", "echo err >&2"], stdout=DEVNULL, stderr=STDOUT) == (None, None)


def test_one_of_them_alone_is_captured():
    assert run(["sh", "-c", "echo out; echo err >&2"], stdout=PIPE, stderr=DEVNULL) == (b"out\n", None)
    assert run(["sh", "-c", "echo out; echo err >&2"], stdout=DEVNULL, stderr=PIPE) == (None, b"err\n")


def test_more_than_a_pipe_holds_goes_through():
    data = os.urandom(1_000_000)
    assert run(["cat"], text_in=data, capture=True)[0] == data


def test_input_that_nobody_reads_is_no_error():
    assert run(["true"], text_in=b"x" * 1_000_000, capture=True) == (b"", b"")
    assert run(["sh", "-c", "head -c 10"], text_in=b"x" * 1_000_000, capture=True)[0] == b"x" * 10


def test_what_others_still_hold_open_is_not_waited_for():
    out, _ = run(["sh", "-c", "sleep 0.5 & echo done"], capture=True)
    assert out == b"done\n"


def test_time_that_is_over_is_told_and_what_was_read_is_kept():
    plumbing = Plumbing(DEVNULL, None, None, text_in=None, capture=True, text=False)
    process = subprocess.Popen(["sh", "-c", "echo begun; exec sleep 1000"], stdout=plumbing.theirs[1])
    pidfd = os.pidfd_open(process.pid)
    with pytest.raises(TimeoutError):
        plumbing.carry(pidfd, 0.2)
    process.kill()
    process.wait()
    assert plumbing.read == (b"begun\n", b"")
    plumbing.close()
    plumbing.close()  # twice is once
    os.close(pidfd)


def test_many_open_descriptors_are_no_obstacle():
    """select(2) takes none above 1023."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip("the machine lets nobody open so many")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        assert run(["cat"], text_in=b"in", capture=True)[0] == b"in"
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
