"""A terminal session: the caller's terminal on one side, one of a container's on the other."""

from __future__ import annotations

import _signal
import posix
import select

from minilxc.linux import process
from minilxc.linux.terminal import set_window_size, window_size
from minilxc.monitor.console import Console, Peer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minilxc.monitor.console_log import ConsoleLog

_NEVER_FORWARDED = (_signal.SIGCHLD, _signal.SIGWINCH)
_ENDING = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGHUP)


class Carrier(Console):
    """Carries between the caller's terminal and `master`, until `escape` (a byte) and q are typed.

    Escape typed twice is escape itself; None: nothing is special. `resized` is told of a new size.
    """

    __slots__ = ("_escape", "_escaped", "_resized", "left")

    def __init__(
        self,
        master: int,
        peer: Peer,
        *,
        escape: int | None = None,
        resized: Callable[[int], object] | None = None,
    ) -> None:
        self._escape = escape
        self._escaped = False
        self._resized = resized
        self.left = False
        super().__init__(master, peer)

    def set_size(self, size: int) -> None:
        """Give the container's terminal a size. Raises OSError."""
        if self._resized is not None:
            self._resized(size)
        else:
            set_window_size(self.master, size)

    def _typed(self, data: bytes) -> bytes:
        if self._escape is None:
            return super()._typed(data)
        if not data:
            self.left = True
        found = bytearray()
        for byte in data:
            if self._escaped:
                self._escaped = False
                if byte == ord("q"):
                    self.left = True
                    break
                if byte != self._escape:
                    found.append(self._escape)
                found.append(byte)
            elif byte == self._escape:
                self._escaped = True
            else:
                found.append(byte)
        return bytes(found)

    def finish_typing(self) -> None:
        """Write what was typed before the session was left, as far as the other end takes it."""
        poll = select.poll()
        poll.register(self.master, select.POLLOUT)
        while self.master in self._waiting and poll.poll(0) == [(self.master, select.POLLOUT)]:
            self._push(self.master)


def callers_peer(descriptors: tuple[int, ...], log: ConsoleLog | None = None) -> Peer:
    """The caller's end: those of the standard `descriptors` that count; `log` gets what they get."""
    screens = tuple(descriptor for descriptor in descriptors if descriptor > 0)[:1]
    return Peer(0 if 0 in descriptors else None, screens, log)


def size_of(descriptors: tuple[int, ...]) -> int:
    """The size of the caller's terminal, as `window_size` tells it; 0 where none of the descriptors is one."""
    terminals = [descriptor for descriptor in descriptors if posix.isatty(descriptor)]
    return window_size(terminals[0]) if terminals else 0


def stay(
    end: int, *, begin: Callable[[], Carrier] | None = None, forward: Callable[[int], object] | None = None
) -> int | None:
    """Carry until `end`, a descriptor, can be read from, or the session is left.

    `begin` makes what carries, when no signal can end us any more: it changes the caller's terminal. Signals
    that come go to `forward`; without it one that ends programs ends the session, and is returned.
    """
    everything = _signal.valid_signals()
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, everything)
    signals = process.signalfd(everything)
    carrier = None
    try:
        carrier = begin() if begin is not None else None
        while True:
            poll = select.poll()
            poll.register(end, select.POLLIN)
            poll.register(signals, select.POLLIN)
            for descriptor, events in carrier.wanted().items() if carrier else ():
                poll.register(descriptor, events)
            for descriptor, events in poll.poll():
                if descriptor == end:
                    if carrier:
                        carrier.drain()
                    return None
                if descriptor == signals:
                    for number in process.read_signals(signals):
                        if number == _signal.SIGWINCH and carrier:
                            carrier.resize()
                        elif number in _NEVER_FORWARDED:
                            continue
                        elif forward is not None:
                            forward(number)
                        elif number in _ENDING:
                            return int(number)
                elif carrier:
                    carrier.serve(descriptor, events)
            if carrier and carrier.left:
                carrier.finish_typing()
                carrier.drain()
                return None
    finally:
        if carrier:
            carrier.restore()
        posix.close(signals)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
