"""What is attended to while a start waits: signals and the desk, whichever are ready."""

from __future__ import annotations

import os
import select
import signal

import pytest

from minilxc.launch.attention import Attention
from minilxc.linux import process


class Desk:
    """Somebody asks when its pipe has something, and then wants these numbers."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def fileno(self):
        return self.reading

    def serve(self):
        return list(os.read(self.reading, 100))


@pytest.fixture
def signals():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    descriptor = process.signalfd({signal.SIGUSR1, signal.SIGTERM})
    yield descriptor
    process.read_signals(descriptor)
    os.close(descriptor)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.fixture
def desk():
    made = Desk()
    yield made
    os.close(made.reading)
    os.close(made.writing)


def ready(attention):
    poll = select.poll()
    attention.register(poll)
    return {descriptor for descriptor, _ in poll.poll(0)}


def test_nothing_is_ready_when_nobody_says_anything(signals, desk):
    attention = Attention(signals, desk)
    assert ready(attention) == set()
    assert attention.heed(set()) == []


def test_signals_and_what_the_desk_was_asked_for_are_heard_together(signals, desk):
    attention = Attention(signals, desk)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert ready(attention) == {signals}
    os.write(desk.writing, bytes([signal.SIGTERM]))
    found = ready(attention)
    assert found == {signals, desk.reading}
    assert attention.heed(found) == [signal.SIGUSR1, signal.SIGTERM]
    assert ready(attention) == set()


def test_only_what_is_ready_is_read(signals, desk):
    attention = Attention(signals, desk)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert attention.heed({signals, 12345}) == [signal.SIGUSR1]


def test_without_a_desk_signals_are_heard_alone(signals):
    attention = Attention(signals, None)
    os.kill(os.getpid(), signal.SIGTERM)
    assert attention.heed(ready(attention)) == [signal.SIGTERM]
