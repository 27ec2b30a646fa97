"""The console on the host's side: bytes between its master and who is connected to it."""

from __future__ import annotations

import _socket
import posix
import select

from minilxc.errors import StartError
from minilxc.linux.terminal import set_window_size, window_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minilxc.launch.plan import Plan
    from minilxc.monitor.console_log import ConsoleLog

_CHUNK = 4096
_MOST_CHUNKS = 16  # that a terminal holds, 64 KiB
_ROOM = 256  # bytes that a terminal takes at once when it says that it takes some
_MOST_UNREAD = (
    65536  # bytes that are kept for who has joined and does not read, before the rest is lost to them
)
_PATIENCE_MS = 1000  # for who does not read what the container has written last


class Peer:
    """What stands at the other end of the console: a terminal, the caller's or another, or nothing at all. Immutable.

    `keyboard` is the descriptor that is read, None without one; `screens` are those that are written, `log` gets
    the same, and of what was written last `remembers` bytes are kept.
    """

    __slots__ = ("keyboard", "log", "remembers", "screens")

    def __init__(
        self,
        keyboard: int | None,
        screens: tuple[int, ...],
        log: ConsoleLog | None = None,
        remembers: int = 0,
    ) -> None:
        self.keyboard = keyboard
        self.screens = screens
        self.log = log
        self.remembers = remembers


def open_peer(plan: Plan) -> Peer:
    """The peer of a container's console.

    Opened before the container exists, so that a wrong path is told while nothing has been started.
    """
    keyboard: int | None = None
    screens: list[int] = []
    stdio = plan.terminal.callers if plan.terminal is not None else ()
    if plan.console.path not in (None, "none"):
        screens.append(_open_terminal(plan, plan.console.path))
        keyboard = screens[0]
    elif stdio:
        keyboard = 0 if 0 in stdio else None
        screens += [descriptor for descriptor in stdio if descriptor > 0][:1]
    log: ConsoleLog | None = None
    if plan.console.log is not None:
        from minilxc.monitor.console_log import ConsoleLog

        log = ConsoleLog(plan.console, plan.name)
    return Peer(keyboard, tuple(screens), log, plan.console.remembers)


class Console:
    """Carries bytes between the console's master and its peers.

    Nobody who does not read holds the monitor: what cannot be written yet is kept, and its source not read;
    what a peer that has joined does not read is lost to them. `remembers` is how many bytes of what was
    written last are kept.
    """

    __slots__ = (
        "_feeds",
        "_last",
        "_open",
        "_waiting",
        "keyboard",
        "log",
        "master",
        "remembers",
        "saved",
        "screens",
    )

    def __init__(self, master: int, peer: Peer) -> None:
        self.master = master
        self.keyboard = peer.keyboard
        self.screens = peer.screens
        self.log = peer.log
        self.remembers = peer.remembers
        self._last = bytearray()
        self._open = {master} if peer.keyboard is None else {master, peer.keyboard}
        self._waiting: dict[int, bytes] = {}
        self._feeds: dict[int, _socket.socket] = {}
        self.saved: list[Any] | None = None
        if peer.keyboard is not None and posix.isatty(peer.keyboard):
            import termios
            import tty

            self.saved = termios.tcgetattr(peer.keyboard)
            tty.setraw(peer.keyboard, termios.TCSANOW)
            self.resize()  # it may have changed since the plan

    # Those who join

    def join(self) -> tuple[int, _socket.socket]:
        """Let one more see and write the console: the descriptor for them, and our end, which tells who they are.

        They begin with what is remembered.
        """
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        ours.setblocking(False)
        self._feeds[ours.fileno()] = ours
        self._open.add(ours.fileno())
        if self._last:
            self._waiting[ours.fileno()] = bytes(self._last[-self.remembers :])
        return theirs.detach(), ours

    def leave(self, feed: _socket.socket) -> None:
        """One who has joined has gone, if they have not already; what they have typed last is the container's."""
        number = feed.fileno()
        if number >= 0 and self._feeds.pop(number, None) is not None:
            self._take_last_words(feed)
            self._open.discard(number)
            self._waiting.pop(number, None)
            feed.close()

    def _take_last_words(self, feed: _socket.socket) -> None:
        """What they have typed, and nobody has read yet; they may have gone right after that."""
        typed = b""
        try:
            while len(typed) < _MOST_UNREAD and (data := feed.recv(_CHUNK)):
                typed += data
        except OSError:
            pass  # there is no more
        if typed:
            self._waiting[self.master] = self._waiting.get(self.master, b"") + typed

    def written(self, *, clear: bool) -> bytes:
        """What was written last, as far as it is remembered; with `clear` it is forgotten."""
        found = bytes(self._last[-self.remembers :])
        if clear:
            self._last.clear()
        return found

    # Carrying

    def wanted(self) -> dict[int, int]:
        """What to wait for: poll(2)'s events by descriptor."""
        found = dict.fromkeys(self._waiting, int(select.POLLOUT))
        for source in self._open:
            if not any(target in self._waiting for target in self._targets(source)):
                found[source] = found.get(source, 0) | select.POLLIN
        return found

    def serve(self, descriptor: int, events: int) -> None:
        """Do what a descriptor is ready for."""
        if descriptor in self._waiting and events & ~select.POLLIN:
            self._push(descriptor)
        elif descriptor in self._open and not self._carry(descriptor):
            self._open.discard(descriptor)
            if descriptor in self._feeds:
                self.leave(self._feeds[descriptor])

    def _targets(self, source: int) -> tuple[int, ...]:
        return self.screens if source == self.master else (self.master,)

    def _carry(self, source: int) -> bool:
        """Take what `source` has; whether more may come."""
        try:
            data = posix.read(source, _CHUNK)
        except BlockingIOError:
            return True
        except OSError:  # EIO: nobody has the console open any more
            return False
        if source != self.master:
            typed = self._typed(data) if source == self.keyboard else data
            if typed:
                self._waiting[self.master] = self._waiting.get(self.master, b"") + typed
            return bool(data)
        if data:
            for screen in self.screens:
                self._waiting[screen] = self._waiting.get(screen, b"") + data
            self._feed(data)
            if self.log is not None:
                self.log.write(data)
            if self.remembers:
                self._last += data
                if len(self._last) > 2 * self.remembers:  # not each time: all of it is moved
                    del self._last[: -self.remembers]
        return bool(data)

    def _typed(self, data: bytes) -> bytes:
        """What is to be sent of what was typed; without `data` the input has ended."""
        return data or b"\x04"  # that is ^D on a terminal

    def _feed(self, data: bytes) -> None:
        for number in self._feeds:
            waiting = self._waiting.get(number, b"")
            if len(waiting) < self.remembers + _MOST_UNREAD:
                self._waiting[number] = waiting + data

    def _push(self, target: int) -> None:
        """Write as much as goes without waiting."""
        data = self._waiting.pop(target)
        feed = self._feeds.get(target)
        try:
            # A SIGPIPE of our own would be taken for one that init is meant to get.
            done = feed.send(data, _socket.MSG_NOSIGNAL) if feed else posix.write(target, data[:_ROOM])
            rest = data[done:]
        except BlockingIOError:
            rest = data
        except OSError:
            return  # a closed terminal or a full disk must not end the container
        if rest:
            self._waiting[target] = rest

    def drain(self) -> None:
        """Move what the container has written last, as long as somebody takes it.

        No more than a terminal holds: somebody else may write to it for ever.
        """
        chunks = _MOST_CHUNKS
        posix.set_blocking(self.master, False)
        self._waiting.pop(self.master, None)
        while True:
            while chunks and not any(screen in self._waiting for screen in self.screens) and self._has_more():
                chunks -= 1
            if not self._waiting:
                return
            poll = select.poll()
            for target in self._waiting:
                poll.register(target, select.POLLOUT)
            ready = poll.poll(_PATIENCE_MS)
            if not ready:
                return
            for target, _ in ready:
                self._push(target)

    def _has_more(self) -> bool:
        poll = select.poll()
        poll.register(self.master, select.POLLIN)
        return bool(poll.poll(0)) and self._carry(self.master)

    def resize(self) -> None:
        """Give the console the size of the caller's terminal."""
        if self.keyboard is not None:
            try:
                self.set_size(window_size(self.keyboard))
            except OSError:
                pass  # it has hung up

    def set_size(self, size: int) -> None:
        """Give the console a size, as `window_size` tells it. Raises OSError."""
        set_window_size(self.master, size)

    def restore(self) -> None:
        """Give the caller's terminal back as it was; hang up on those who have joined."""
        for feed in list(self._feeds.values()):
            self.leave(feed)
        if self.saved is not None and self.keyboard is not None:
            import termios

            try:
                termios.tcsetattr(self.keyboard, termios.TCSADRAIN, self.saved)
            except (OSError, termios.error):
                pass  # it has hung up


def _open_terminal(plan: Plan, path: str) -> int:
    # Without O_NONBLOCK a pipe, or a line without a carrier, would hold the start.
    try:
        descriptor = posix.open(path, posix.O_RDWR | posix.O_NOCTTY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    except OSError as error:
        what = f"console: {path}: {error.strerror}"
        raise StartError(
            what, plan.name, plan.console.where, step="console", errno=error.errno or 0
        ) from None
    if not posix.isatty(descriptor):
        posix.close(descriptor)
        raise StartError(f"console: {path}: is no terminal", plan.name, plan.console.where, step="console")
    posix.set_blocking(descriptor, True)
    return descriptor
