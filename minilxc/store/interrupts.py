"""Being told to stop, where it can be borne: signals are kept, and looked at between two steps and while waiting.

So nothing is ever interrupted half-way, and what a command has made is taken back in peace.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from minilxc.errors import MinilxcError
from minilxc.linux import process

if TYPE_CHECKING:
    from collections.abc import Iterator

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Interrupted(MinilxcError):
    """A signal told the command to stop; it has left nothing."""

    def __init__(self, number: int, where: str) -> None:
        super().__init__(f"interrupted by signal {number}", where)
        self.status = 128 + number


@contextmanager
def kept() -> Iterator[int]:
    """While this is entered the signals that stop a program are kept for the descriptor, a signalfd, that it gives."""
    # One that the caller has taught us to ignore (nohup) would come, too, once it is blocked.
    heeded = {number for number in _STOPPING if signal.getsignal(number) != signal.SIG_IGN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heeded)
    descriptor = process.signalfd({int(number) for number in heeded})
    try:
        yield descriptor
    finally:
        process.read_signals(descriptor)  # too late: what it was to stop is done, or taken back
        os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check(signals: int, where: str) -> None:
    """Raise Interrupted when a signal has come."""
    for number in process.read_signals(signals):
        raise Interrupted(number, where)
