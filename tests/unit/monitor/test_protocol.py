"""What monitors and those who ask them say: whole messages of one version, and nothing longer than they may be."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from minilxc.monitor import protocol


@pytest.fixture
def ends():
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)]


@pytest.mark.parametrize("words", [("info",), ("ok", "", ""), ("a", "b c", "é \udcff\n"), ("x" * 4000,)])
def test_message_arrives_as_it_was_sent(ends, words):
    protocol.send(ends[0], words)
    assert protocol.receive(ends[1]) == (list(words), [])


def test_descriptors_come_along_and_are_closed_by_execve(ends):
    reading, writing = os.pipe()
    protocol.send(ends[0], ("ok",), (reading, writing))
    words, descriptors = protocol.receive(ends[1])
    assert (words, len(descriptors)) == (["ok"], 2)
    assert not any(os.get_inheritable(descriptor) for descriptor in descriptors)
    os.write(descriptors[1], b"through")
    assert os.read(reading, 100) == b"through"
    protocol.close([reading, writing, *descriptors])


def test_end_of_the_conversation_is_no_message(ends):
    ends[0].close()
    assert protocol.receive(ends[1]) == ([], [])


def test_end_with_something_unread_is_no_message_either(ends):
    protocol.send(ends[1], ("never read",))
    ends[0].close()
    assert protocol.receive(ends[1]) == ([], [])


@pytest.mark.parametrize("size", [4096 - 2, 4096 - 1, 10_000])
def test_what_is_too_long_is_not_sent(ends, size):
    if size == 4096 - 2:
        protocol.send(ends[0], ("x" * size,))
        assert protocol.receive(ends[1]) == (["x" * size], [])
    else:
        with pytest.raises(ValueError, match="too long"):
            protocol.send(ends[0], ("x" * size,))


@pytest.mark.parametrize("data", [b"1", b"2\0info", b"\0info", b"info", b"1\0" + b"x" * 5000, b"\xff\xfe"])
def test_what_is_no_message_is_told_apart(ends, data):
    ends[0].send(data)
    with pytest.raises(protocol.Garbled):
        protocol.receive(ends[1])


def test_more_descriptors_than_any_message_has_are_closed(ends):
    reading, writing = os.pipe()
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(ends[0], [b"1\0info"], [reading] * 50)
    with pytest.raises(protocol.Garbled):
        protocol.receive(ends[1])
    assert len(os.listdir("/proc/self/fd")) == before
    protocol.close([reading, writing])


def test_who_does_not_read_is_not_waited_for(ends):
    ends[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        send_for_ever(ends[0])


def send_for_ever(end):
    while True:
        protocol.send(end, ("state", "RUNNING"))


def test_peer_is_known_by_its_user(ends):
    assert protocol.peer_is_trusted(ends[0])


def test_full_queue_is_waited_for_and_then_told(tmp_path):
    """A socket with one of Python's timeouts would be told at once, and taken for one where nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening, contextlib.ExitStack() as stack:
        listening.bind(str(tmp_path / "s"))
        listening.listen(1)
        with pytest.raises(BlockingIOError):
            fill(stack, str(tmp_path / "s"))
    with pytest.raises(ConnectionRefusedError):
        protocol.dial(str(tmp_path / "s"), 0.1)
    with pytest.raises(FileNotFoundError):
        protocol.dial(str(tmp_path / "nowhere"), 0.1)


def fill(stack, path):
    while True:
        stack.enter_context(contextlib.closing(protocol.dial(path, 0.05)))
