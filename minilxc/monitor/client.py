"""Asking the monitor of a container."""

from __future__ import annotations

import _signal
import _socket
import posix
import select
import time

from minilxc.errors import MinilxcError
from minilxc.launch import lock, runtime
from minilxc.linux import process
from minilxc.linux.files import read_text
from minilxc.monitor import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 10.0
"""Seconds that a monitor is waited for to answer; then it hangs."""


class NotRunning(MinilxcError):
    """There is no monitor to ask: the container does not run. `status` is what lxc-stop ends with then."""


class Hangs(MinilxcError):
    """The monitor is there, but does not answer."""


class Connection:
    """A conversation with the monitor of a container; a context manager, which hangs up at the end."""

    __slots__ = ("_end", "name")

    def __init__(self, name: str, end: _socket.socket) -> None:
        self.name = name
        self._end = end

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._end.close()

    def fileno(self) -> int:
        """The descriptor of this end."""
        return self._end.fileno()

    def ask(self, *words: str) -> tuple[list[str], list[int]]:
        """The answer to a request: facts, and descriptors, which are the caller's to close.

        Raises NotRunning when the container ends meanwhile, Hangs, and MinilxcError when the monitor refuses.
        """
        try:
            protocol.send(self._end, words)
        except BlockingIOError:
            raise Hangs("the monitor does not answer", self.name) from None
        except ValueError:
            raise MinilxcError("a request that is too long", self.name) from None
        except OSError:
            pass  # they have hung up; what they have said last is why
        while True:
            kind, facts, descriptors = self._receive(PATIENCE)
            if kind not in (protocol.STATE, protocol.EXIT) or words == ("watch",):
                break  # else something that is watched came first
        if kind == protocol.ERROR:
            protocol.close(descriptors)
            raise MinilxcError(facts[0] if facts else "refused", self.name)
        return facts, descriptors

    def states(self, timeout: float | None = None) -> Iterator[str]:
        """The container's states, from now on, until it has ended; with a `timeout` in seconds, or until then.

        Raises TimeoutError then.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            yield self.ask("watch")[0][0]
        except NotRunning:
            return
        while True:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            try:
                state = self.next_state(left)
            except Hangs:
                raise TimeoutError from None
            if state is None:
                return
            yield state

    def ended(self, timeout: float | None = None) -> bool:
        """Whether the container has ended `timeout` seconds from now (None: wait for ever).

        Nothing is asked for that: the end of the conversation is its end.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while self.next_state(None if deadline is None else deadline - time.monotonic()) is not None:
                pass
        except Hangs:
            return False
        return True

    def next_state(self, timeout: float | None = None) -> str | None:
        """The next state of one who watches; None when the container has ended. Raises Hangs when none comes."""
        while (event := self.next_event(timeout)) is not None:
            kind, text = event
            if kind == protocol.STATE:
                return text
        return None

    def next_event(self, timeout: float | None = None) -> tuple[str, str] | None:
        """What comes next for one who watches: STATE and the state, or EXIT and the status of process 1.

        None when the container has ended. Raises Hangs when nothing comes in `timeout` seconds.
        """
        try:
            kind, facts, descriptors = self._receive(timeout)
        except NotRunning:
            return None
        protocol.close(descriptors)
        if kind == protocol.ERROR:
            raise MinilxcError(facts[0] if facts else "refused", self.name)
        return kind, facts[0]

    def _receive(self, timeout: float | None) -> tuple[str, list[str], list[int]]:
        poll = select.poll()
        poll.register(self._end.fileno(), select.POLLIN)
        if not poll.poll(process.poll_ms(timeout)):
            raise Hangs("the monitor does not answer", self.name)
        try:
            words, descriptors = protocol.receive(self._end)
        except (OSError, protocol.Garbled) as error:
            raise Hangs(f"the monitor does not answer as it should: {error}", self.name) from None
        if not words:
            raise NotRunning("is not running", self.name)
        return words[0], words[1:], descriptors


def connect(lxcpath: str, name: str) -> Connection | None:
    """A conversation with the monitor of a container; None where none runs.

    What a monitor that was killed has left is removed then. Raises MinilxcError where the socket is not to be trusted.
    """
    folder = -1
    try:
        folder = runtime.open_folder(lxcpath, name)
        end = protocol.dial(f"/proc/self/fd/{folder}/{runtime.SOCKET}", PATIENCE)
    except BlockingIOError:
        raise Hangs("the monitor does not answer", name) from None
    except OSError:
        if folder >= 0:
            runtime.clean_up(lxcpath, name)
        return None
    finally:
        if folder >= 0:
            posix.close(folder)
    if not protocol.peer_is_trusted(end):
        end.close()
        raise MinilxcError("the monitor is somebody else's", name)
    return Connection(name, end)


def demand(lxcpath: str, name: str) -> Connection:
    """As `connect`. Raises NotRunning where none runs."""
    found = connect(lxcpath, name)
    if found is None:
        raise NotRunning("is not running", name)
    return found


def kill_monitor(lxcpath: str, name: str) -> bool:
    """End a monitor that does not answer, and the container with it; whether there was one."""
    pid = lock.holder(lxcpath, name)
    if not pid:
        return False
    try:
        pidfd = posix.pidfd_open(pid)
    except OSError:
        return False
    try:
        if lock.holder(lxcpath, name) == pid:
            process.pidfd_send_signal(pidfd, _signal.SIGKILL)
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.poll(process.poll_ms(PATIENCE))
    except OSError:
        pass
    finally:
        posix.close(pidfd)
    runtime.clean_up(lxcpath, name, kill=True)
    return True


def pid_of(pidfd: int) -> int:
    """The number that the process of a pidfd has here; 0 when it has ended, or none here. proc_pid_fdinfo(5)."""
    for line in read_text(f"/proc/self/fdinfo/{pidfd}").splitlines():
        if line.startswith("Pid:"):
            return max(int(line.split()[1]), 0)
    return 0


def read_file(file: int) -> bytes:
    """The content of a file in memory that came along, which is closed."""
    try:
        data = b""
        while chunk := posix.pread(file, 2**20, len(data)):
            data += chunk
        return data
    finally:
        posix.close(file)


def running(lxcpath: str) -> Iterator[tuple[str, Connection]]:
    """The containers of `lxcpath` that run, with a conversation each, which the caller ends."""
    for name in runtime.names(lxcpath):
        connection = connect(lxcpath, name)
        if connection is not None:
            yield name, connection
