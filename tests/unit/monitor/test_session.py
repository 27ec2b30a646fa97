"""A terminal session: the key that leaves it, and what is carried."""

from __future__ import annotations

import os
import signal
import socket
import threading

import pytest

from minilxc.monitor.console import Console, Peer
from minilxc.monitor.session import Carrier, stay

ESCAPE = 1


@pytest.fixture
def pipe():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def typed(*chunks, escape=ESCAPE):
    """What is sent of what is typed, chunk by chunk, and whether the session is left."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        carrier = Carrier(ours.fileno(), Peer(None, ()), escape=escape)
        return [carrier._typed(chunk) for chunk in chunks], carrier.left


@pytest.mark.parametrize(
    ("chunks", "sent", "left"),
    [
        ([b"abc"], [b"abc"], False),
        ([b"\x01q"], [b""], True),
        ([b"\x01", b"q"], [b"", b""], True),
        ([b"ab\x01qcd"], [b"ab"], True),
        ([b"\x01\x01"], [b"\x01"], False),
        ([b"\x01", b"\x01", b"q"], [b"", b"\x01", b"q"], False),
        ([b"\x01\x01\x01q"], [b"\x01"], True),
        ([b"\x01x"], [b"\x01x"], False),
        ([b"\x01", b"x"], [b"", b"\x01x"], False),
        ([b"q"], [b"q"], False),
        ([b""], [b""], True),
        ([b"\x03\x04\x1a"], [b"\x03\x04\x1a"], False),
    ],
)
def test_key_and_q_leave_and_everything_else_is_sent(chunks, sent, left):
    assert typed(*chunks) == (sent, left)


def test_without_a_key_nothing_is_special():
    assert typed(b"\x01q", b"\x01\x01", b"", escape=None) == ([b"\x01q", b"\x01\x01", b"\x04"], False)


def test_session_ends_when_it_is_left_and_what_was_typed_has_arrived(pipe):
    ours, theirs = pipe
    keyboard, typing = os.pipe()
    screen_reading, screen = os.pipe()
    end, other = os.pipe()
    theirs.send(b"shown")
    os.write(typing, b"last words\x01q")
    result = stay(end, begin=lambda: Carrier(ours.fileno(), Peer(keyboard, (screen,)), escape=ESCAPE))
    assert result is None
    assert theirs.recv(100) == b"last words"
    assert os.read(screen_reading, 100) == b"shown"
    for descriptor in (keyboard, typing, screen_reading, screen, end, other):
        os.close(descriptor)


def test_session_ends_with_what_it_belongs_to_and_shows_what_was_written_last(pipe):
    ours, theirs = pipe
    screen_reading, screen = os.pipe()
    end, other = os.pipe()
    theirs.send(b"last")
    os.close(other)
    assert stay(end, begin=lambda: Carrier(ours.fileno(), Peer(None, (screen,)))) is None
    assert os.read(screen_reading, 100) == b"last"
    for descriptor in (screen_reading, screen, end):
        os.close(descriptor)


@pytest.mark.parametrize("forwarded", [False, True])
def test_signals_end_the_session_or_are_forwarded_and_the_mask_is_as_before(forwarded):
    end, other = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    numbers = []

    def forward(number):
        numbers.append(number)
        os.close(other)  # and so the session ends

    def begin():
        os.kill(os.getpid(), signal.SIGTERM)  # blocked by now
        ours, _ = ends
        return Carrier(ours.fileno(), Peer(None, ()))

    ends = socket.socketpair()
    result = stay(end, begin=begin, forward=forward if forwarded else None)
    assert (result, numbers) == ((None, [signal.SIGTERM]) if forwarded else (signal.SIGTERM, []))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    for each in ends:
        each.close()
    os.close(end)
    if not forwarded:
        os.close(other)


# Those who join a console


def test_who_joins_begins_with_what_is_remembered_and_goes_alone(pipe):
    ours, theirs = pipe
    console = Console(ours.fileno(), Peer(None, (), remembers=1_000_000))
    written = os.urandom(600_000)
    thread = threading.Thread(target=theirs.sendall, args=(written,))
    thread.start()
    while len(console.written(clear=False)) < len(written):
        console.serve(ours.fileno(), 1)
    thread.join()
    first, feed = console.join()
    second, other = console.join()
    got = {first: b"", second: b""}
    while any(len(data) < len(written) for data in got.values()):
        for descriptor, events in console.wanted().items():
            if descriptor != ours.fileno() and events & 4:
                console.serve(descriptor, 4)
        for descriptor, data in got.items():
            if len(data) < len(written):
                got[descriptor] = data + os.read(descriptor, 2**20)
    assert set(got.values()) == {written}
    console.leave(feed)
    number = feed.fileno()
    console.leave(feed)  # twice is once, also when somebody else has its number by now
    third, newest = console.join()
    console.leave(feed)
    theirs.send(b"more")
    console.serve(ours.fileno(), 1)
    for each in (other, newest):
        console.serve(each.fileno(), 4)
    assert number == -1
    assert os.read(second, 100) == b"more"
    console.restore()
    assert os.read(second, 100) == b""
    for descriptor in (first, second, third):
        os.close(descriptor)


def test_who_joins_and_does_not_read_costs_a_bounded_amount(pipe):
    ours, theirs = pipe
    console = Console(ours.fileno(), Peer(None, ()))
    theirs_end, feed = console.join()
    for _ in range(500):
        theirs.send(b"x" * 4096)
        console.serve(ours.fileno(), 1)
    assert len(console._waiting[feed.fileno()]) < 100_000
    console.restore()
    os.close(theirs_end)


def test_who_does_not_read_does_not_keep_the_last_words_from_others(pipe):
    ours, theirs = pipe
    reading, screen = os.pipe()
    console = Console(ours.fileno(), Peer(None, (screen,)))
    silent, feed = console.join()
    for _ in range(100):
        theirs.send(b"x" * 4096)
        console.serve(ours.fileno(), 1)
        while screen in console.wanted():
            console.serve(screen, 4)
            os.read(reading, 8192)
    theirs.send(b"last words")
    console.drain()
    assert os.read(reading, 100) == b"last words"
    assert feed.fileno() >= 0
    console.restore()
    for descriptor in (reading, screen, silent):
        os.close(descriptor)


def test_who_types_and_goes_at_once_is_heard(pipe):
    ours, theirs = pipe
    console = Console(ours.fileno(), Peer(None, ()))
    end, feed = console.join()
    os.write(end, b"last words")
    os.close(end)
    console.leave(feed)
    console.serve(ours.fileno(), 4)
    assert theirs.recv(100) == b"last words"
