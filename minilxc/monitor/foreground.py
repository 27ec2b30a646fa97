"""Stay with a container until it ends: forward signals, carry the console, hand on the status."""

from __future__ import annotations

import _signal
import posix
import select

from minilxc.errors import StartError
from minilxc.launch.parent import start
from minilxc.linux import process
from minilxc.linux.terminal import set_window_size, window_size
from minilxc.log import INFO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minilxc.launch.parent import Started
    from minilxc.launch.plan import Plan
    from minilxc.log import Log
    from minilxc.monitor.console_log import ConsoleLog

_CHUNK = 4096
_ROOM = 256  # bytes that a terminal takes at once when it says that it takes some
_PATIENCE_MS = 1000  # for who does not read what the container has written last
_ENDING = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGHUP)


def run(plan: Plan, log: Log) -> int:
    """Start the container and stay with it. Returns its exit status: that of process 1, or 128 + signal.

    Raises StartError when it could not be started; nothing of it is left then.
    """
    peer = _Peer(plan)
    started = start(plan, log)
    console = None
    # To an init SIGHUP means to read its configuration again. That the terminal has gone is no reason for
    # that, but one to end; as LXC has it. A program that `execute` runs knows best.
    hangup = _signal.SIGHUP if plan.with_init else _signal.SIGTERM
    try:
        console = _Console(started.console, peer) if started.console is not None else None
        # A short-lived payload may have ended during the start, and its SIGCHLD been read there.
        status = _on_signals(started, console, hangup)
        while status is None:
            poll = select.poll()
            poll.register(started.signals, select.POLLIN)
            for descriptor, events in console.wanted().items() if console else ():
                poll.register(descriptor, events)
            for descriptor, events in poll.poll():
                if descriptor == started.signals:
                    status = _on_signals(started, console, hangup)
                elif console:
                    console.serve(descriptor, events)
        if console:
            console.drain()
        log.write(INFO, "stop", f"process 1 ended with status {status}")
        return status
    finally:
        if console:
            console.restore()
        started.finish()


def _on_signals(started: Started, console: _Console | None, hangup: int) -> int | None:
    """Handle what has arrived, `hangup` standing for SIGHUP. The container's status when it has ended."""
    for number in process.read_signals(started.signals):
        if number == _signal.SIGWINCH and console:
            console.resize()
        elif number != _signal.SIGCHLD:
            if number in _ENDING:
                started.thaw()
            try:
                process.pidfd_send_signal(started.pidfd, hangup if number == _signal.SIGHUP else number)
            except ProcessLookupError:
                pass  # its end is seen below
    pid, result = posix.waitpid(started.pid, posix.WNOHANG)
    if pid == 0:
        return None
    code = posix.waitstatus_to_exitcode(result)
    started.reboots = (
        code == -_signal.SIGHUP
    )  # how process 1 ends when it calls reboot(2) in its pid namespace
    return code if code >= 0 else 128 - code


class _Peer:
    """What stands at the other end of the console: a terminal, the caller's or another, or nothing at all.

    Opened before the container exists, so that a wrong path is told while nothing has been started.
    """

    __slots__ = ("keyboard", "log", "screens")

    def __init__(self, plan: Plan) -> None:
        self.keyboard: int | None = None
        screens: list[int] = []
        stdio = plan.terminal.stdio if plan.terminal is not None else ()
        if plan.console.path not in (None, "none"):
            screens.append(_open_terminal(plan, plan.console.path))
            self.keyboard = screens[0]
        elif stdio:
            self.keyboard = 0 if 0 in stdio else None
            screens += [descriptor for descriptor in stdio if descriptor > 0][:1]
        self.log: ConsoleLog | None = None
        if plan.console.log is not None:
            from minilxc.monitor.console_log import ConsoleLog

            self.log = ConsoleLog(plan.console, plan.name)
        self.screens = tuple(screens)


class _Console:
    """Carries bytes between the console's master and its peer.

    Nobody who does not read holds the monitor: what cannot be written yet is kept, and its source not read.
    """

    __slots__ = ("_open", "_waiting", "keyboard", "log", "master", "saved", "screens")

    def __init__(self, master: int, peer: _Peer) -> None:
        self.master = master
        self.keyboard = peer.keyboard
        self.screens = peer.screens
        self.log = peer.log
        self._open = {master} if peer.keyboard is None else {master, peer.keyboard}
        self._waiting: dict[int, bytes] = {}
        self.saved: list[Any] | None = None
        if peer.keyboard is not None:
            import termios
            import tty

            self.saved = termios.tcgetattr(peer.keyboard)
            tty.setraw(peer.keyboard, termios.TCSANOW)
            self.resize()  # it may have changed since the plan

    def wanted(self) -> dict[int, int]:
        """What to wait for: poll(2)'s events by descriptor."""
        found = dict.fromkeys(self._waiting, int(select.POLLOUT))
        for source in self._open:
            if not any(target in self._waiting for target in self._targets(source)):
                found[source] = found.get(source, 0) | select.POLLIN
        return found

    def serve(self, descriptor: int, events: int) -> None:
        """Do what a descriptor is ready for."""
        if descriptor in self._waiting:
            if events & ~select.POLLIN:
                self._push(descriptor)
        elif descriptor in self._open and not self._carry(descriptor):
            self._open.discard(descriptor)

    def _targets(self, source: int) -> tuple[int, ...]:
        return (self.master,) if source == self.keyboard else self.screens

    def _carry(self, source: int) -> bool:
        """Take what `source` has; whether more may come."""
        try:
            data = posix.read(source, _CHUNK)
        except OSError:  # EIO: nobody has the console open any more
            return False
        if source == self.keyboard:
            self._waiting[self.master] = data or b"\x04"  # end of input is ^D on a terminal
        elif data:
            for screen in self.screens:
                self._waiting[screen] = self._waiting.get(screen, b"") + data
            if self.log is not None:
                self.log.write(data)
        return bool(data)

    def _push(self, target: int) -> None:
        """Write as much as goes without waiting."""
        data = self._waiting.pop(target)
        try:
            rest = data[posix.write(target, data[:_ROOM]) :]
        except OSError:
            return  # a closed terminal or a full disk must not end the container
        if rest:
            self._waiting[target] = rest

    def drain(self) -> None:
        """Move what the container has written last, as long as somebody takes it."""
        posix.set_blocking(self.master, False)
        self._waiting.pop(self.master, None)
        while True:
            while not self._waiting and self._carry(self.master):
                pass
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

    def resize(self) -> None:
        """Give the console the size of the caller's terminal."""
        if self.keyboard is not None:
            try:
                set_window_size(self.master, window_size(self.keyboard))
            except OSError:
                pass  # it has hung up

    def restore(self) -> None:
        """Give the caller's terminal back as it was."""
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
