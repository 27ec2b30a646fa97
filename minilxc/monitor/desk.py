"""Where others ask the monitor of a container: its state, its end, a way in, a terminal.

The desk is served wherever the monitor waits, also during a start and during the hooks of an end. Nobody
holds it up: who sends what is no message, or does not read what was asked for, is hung up on.
"""

from __future__ import annotations

import _signal
import _socket
import fcntl
import marshal
import posix
import select
import time

from minilxc.launch.record import of as record_of
from minilxc.launch.runtime import SOCKET
from minilxc.linux import cgroup, process
from minilxc.linux.files import encode, read_text
from minilxc.linux.syscalls import EMFILE, ENFILE
from minilxc.monitor import protocol
from minilxc.monitor.protocol import (
    ABORTING,
    ERROR,
    EXIT,
    FREEZING,
    FROZEN,
    OK,
    RUNNING,
    STARTING,
    STATE,
    STOPPED,
    THAWED,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minilxc.launch.parent import Started
    from minilxc.launch.plan import Plan
    from minilxc.monitor.console import Console

_MOST_CLIENTS = 200
_AT_ONCE = 16
_MOST_WAITING = 150  # of them: somebody must be able to end the container whoever waits for that
_BACKLOG = 128
_TOO_MANY = "too many ask at once"
_SYSTEMD_HALT = int(_signal.SIGRTMIN) + 3  # what systemd, which blocks it, takes for a request to power off


class _Client:
    """Somebody who asks."""

    __slots__ = ("feed", "socket", "tty", "watches")

    def __init__(self, end: _socket.socket) -> None:
        self.socket = end
        self.watches = False
        self.tty = 0  # the one that they use
        self.feed: _socket.socket | None = None  # the console, where they have it

    @property
    def waits(self) -> bool:
        """Whether they stay because of something that goes on, and have not just forgotten to hang up."""
        return self.watches or bool(self.tty) or self.feed is not None


class _Refused(Exception):
    """A request that cannot be fulfilled: why, in one line."""


class Desk:
    """The desk of the container with this `plan`. A start and an end `tell` it the container's state.

    `owner` is a descriptor whose end is that of who started the container, until `disown`: they want the
    start to end, too.
    """

    __slots__ = (
        "_clients",
        "_epoll",
        "_history",
        "_interrupts",
        "_listening",
        "_owner",
        "_phase",
        "_plan",
        "_since",
        "_spare",
        "_told",
        "console",
        "end_wanted",
        "started",
    )

    def __init__(self, plan: Plan, owner: int | None = None) -> None:
        self._plan = plan
        self._epoll = select.epoll()
        self._listening: _socket.socket | None = None
        self._clients: dict[int, _Client] = {}
        self._phase = STOPPED
        self._history: list[str] = []  # of this start's states, for those who come to watch
        self._since = 0.0
        self._told = STOPPED
        self._spare = -1  # a descriptor to spend when there are no more
        self._interrupts: list[int] = []
        self._owner = owner
        if owner is not None:
            self._epoll.register(owner, select.EPOLLIN)
        self.started: Started | None = None  # while process 1 runs
        self.console: Console | None = None
        self.end_wanted = False  # somebody has asked for the end while there was no process 1 to tell

    # What starts and ends call

    def listen(self, folder: int) -> None:
        """Be there for others from now on, through a socket in `folder`, a descriptor. Raises OSError."""
        self._listening = protocol.new_socket()
        self._listening.bind(f"/proc/self/fd/{folder}/{SOCKET}")
        self._listening.setblocking(False)
        self._listening.listen(_BACKLOG)
        self._epoll.register(self._listening.fileno(), select.EPOLLIN)
        self._spare = posix.open("/dev/null", posix.O_RDONLY | posix.O_CLOEXEC)
        self.tell(STARTING)

    def fileno(self) -> int:
        """A descriptor that can be read from when somebody has something to say."""
        return self._epoll.fileno()

    def tell(self, state: str) -> None:
        """Have the container's state be known."""
        self._history = [] if state == STARTING else [*self._history, self._phase]
        self._phase = state
        self._since = time.time()
        self._publish(STATE, state)

    def tell_exit(self, status: int) -> None:
        """Have it be known that process 1 has ended, and how: its status, or 128 + signal."""
        self._publish(EXIT, str(status))

    def end_terminals(self) -> None:
        """Process 1 has ended, and its terminals with it: hang up on who has one."""
        self.started = self.console = None
        for client in list(self._clients.values()):
            if client.tty or client.feed is not None:
                self._drop(client)

    def disown(self) -> None:
        """Whoever started the container may go now."""
        if self._owner is not None:
            self._epoll.unregister(self._owner)
            self._owner = None

    def close(self) -> None:
        """Hang up on everybody: the container has ended, and its name is free."""
        for client in list(self._clients.values()):
            self._drop(client)
        if self._listening is not None:
            self._listening.close()
        if self._spare >= 0:
            posix.close(self._spare)
            self._spare = -1
        self._epoll.close()

    def serve(self) -> list[int]:
        """Answer who has something to say; the numbers of the signals that a start is to be interrupted with."""
        for descriptor, _ in self._epoll.poll(0, _AT_ONCE):
            if self._listening is not None and descriptor == self._listening.fileno():
                self._admit()
            elif descriptor == self._owner:
                self.disown()
                self._interrupts.append(_signal.SIGTERM)
            elif descriptor in self._clients:
                self._hear(self._clients[descriptor])
        found, self._interrupts = self._interrupts, []
        return found

    def state(self) -> str:
        """The container's state, as it is this moment."""
        if self._phase != RUNNING or self.started is None:
            return self._phase
        frozen = self._freezer_state()
        return frozen if frozen in (FREEZING, FROZEN) else RUNNING

    # Clients

    # `_socket` has accept(2) under this name alone; `socket`, which wraps it, takes a start 8 ms to import.
    def _admit(self) -> None:
        assert self._listening is not None
        try:
            end = _socket.socket(fileno=self._listening._accept()[0])  # type: ignore[attr-defined]
        except OSError as error:
            if error.errno in (EMFILE, ENFILE):
                self._refuse_one()
            return  # else they have gone already
        if not protocol.peer_is_trusted(end):
            end.close()
            return
        end.setblocking(False)
        client = _Client(end)
        if len(self._clients) >= _MOST_CLIENTS and not self._make_room():
            self._send(client, ERROR, _TOO_MANY)
            end.close()
            return
        self._clients[end.fileno()] = client
        self._epoll.register(end.fileno(), select.EPOLLIN)

    def _make_room(self) -> bool:
        """Hang up on who has been silent the longest, if anybody is that waits for nothing; whether there was one."""
        for client in self._clients.values():
            if not client.waits:
                self._send(client, ERROR, _TOO_MANY)
                self._drop(client)
                return True
        return False

    def _refuse_one(self) -> None:
        """No descriptor is left: hang up on one, be it the one who has just come, or they would ask for ever."""
        if self._make_room() or self._spare < 0:
            return
        assert self._listening is not None
        posix.close(self._spare)
        try:
            posix.close(self._listening._accept()[0])  # type: ignore[attr-defined]
        except OSError:
            pass  # gone already
        self._spare = posix.open("/dev/null", posix.O_RDONLY | posix.O_CLOEXEC)

    def _drop(self, client: _Client) -> None:
        descriptor = client.socket.fileno()
        if self._clients.pop(descriptor, None) is None:
            return
        self._epoll.unregister(descriptor)
        client.socket.close()
        if client.feed is not None and self.console is not None:
            self.console.leave(client.feed)

    def _send(self, client: _Client, *words: str, descriptors: tuple[int, ...] = ()) -> None:
        try:
            protocol.send(client.socket, words, descriptors)
        except (OSError, ValueError):
            self._drop(client)  # they have gone, or do not read

    def _send_file(self, client: _Client, data: bytes, *before: int) -> None:
        """Answer with a file in memory that has `data`, behind the descriptors `before`. Raises OSError.

        Who has not read what they were answered before is hung up on: each answer is as large as a file.
        """
        if process.unread(client.socket.fileno()):
            self._drop(client)
            return
        file = _in_memory(data)
        try:
            self._send(client, OK, descriptors=(*before, file))
        finally:
            posix.close(file)

    def _publish(self, kind: str, text: str) -> None:
        self._told = text if kind == STATE else self._told
        for client in list(self._clients.values()):
            if client.watches:
                self._send(client, kind, text)

    def _hear(self, client: _Client) -> None:
        try:
            words, descriptors = protocol.receive(client.socket)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)
            return
        except protocol.Garbled as error:
            self._send(client, ERROR, str(error))
            self._drop(client)
            return
        protocol.close(descriptors)  # nothing that is asked takes any
        if not words:
            self._drop(client)
            return
        answer = _ANSWERS.get(words[0])
        try:
            if answer is None:
                raise _Refused(f"unknown request '{words[0][:20]}'")
            answer(self, client, words[1:])
        except _Refused as error:
            self._send(client, ERROR, str(error))
        except OSError as error:
            self._send(client, ERROR, f"{error.filename}: {error.strerror}" if error.filename else str(error))

    # Requests

    def _running(self) -> Started:
        if self.started is None or self._phase != RUNNING:
            raise _Refused(f"is {self._phase}")
        return self.started

    def _info(self, client: _Client, _: list[str]) -> None:
        """The state, and facts: process 1 comes as a descriptor, whose number depends on who looks."""
        source = self._plan.config.source
        facts = (self.state(), str(int(self._since)), "execute" if self._plan.with_init else "start", source)
        descriptors = (self.started.pidfd,) if self.started is not None else ()
        self._send(client, OK, *facts, descriptors=descriptors)

    def _let_wait(self, client: _Client) -> None:
        if not client.waits and sum(each.waits for each in self._clients.values()) >= _MOST_WAITING:
            raise _Refused("too many wait at once")

    def _watch(self, client: _Client, _: list[str]) -> None:
        self._let_wait(client)
        client.watches = True
        self._send(client, STATE, self.state(), *self._history)

    def _signal(self, client: _Client, arguments: list[str]) -> None:
        """Send init one of the config's signals: `halt`, `reboot` or `stop`; or `kill`, which it cannot ignore."""
        kind = arguments[0] if arguments else ""
        if kind not in ("halt", "reboot", "stop", "kill"):
            raise _Refused(f"unknown signal '{kind[:20]}'")
        if kind in ("stop", "kill"):
            self.end_wanted = True  # also when process 1 has just asked for another start
        if self.started is not None:
            self._send_signal(self.started, kind)
        elif kind == "reboot":
            raise _Refused(f"is {self._phase}")
        elif self._phase in (STARTING, ABORTING):
            self._interrupts.append(_signal.SIGTERM)
        else:
            self.end_wanted = True
        self._send(client, OK)

    def _send_signal(self, started: Started, kind: str) -> None:
        config = self._plan.config
        if kind == "halt" and not config.where("lxc.signal.halt") and _blocks(started.pid, _SYSTEMD_HALT):
            number = _SYSTEMD_HALT
        elif kind == "kill":
            number = _signal.SIGKILL
        else:
            number = config.get(f"lxc.signal.{kind}")
        try:
            # Sent first: what is frozen must not run on without it.
            process.pidfd_send_signal(started.pidfd, number)
        except ProcessLookupError:
            pass
        self._thaw(started, inside=kind in ("stop", "kill"))

    def _thaw(self, started: Started, *, inside: bool = False) -> None:
        """Let it go on if it is frozen; what it has frozen `inside` itself, too, where that is asked."""
        frozen = self._freezer_state() in (FREEZING, FROZEN)
        if frozen or inside:
            started.thaw()
        if frozen:
            self._publish(STATE, THAWED)
            self._publish(STATE, RUNNING)

    def _freezer_state(self) -> str | None:
        for group in self.started.groups if self.started is not None else ():
            state = cgroup.freezer_state(group)
            if state is not None:
                return state
        return None

    def _freeze(self, client: _Client, _: list[str]) -> None:
        """Stop all that runs inside. It may take a while: the answer is the state, and who asks again sees more."""
        started = self._running()
        before = self._freezer_state()
        if before is None:
            raise _Refused("there is no control group that can be frozen")
        if before == THAWED:
            self._publish(STATE, FREEZING)
            cgroup.freeze(next(group for group in started.groups if cgroup.freezer_state(group) is not None))
        now = self._freezer_state() or THAWED
        if now == FROZEN and self._told != FROZEN:
            self._publish(STATE, FROZEN)
        self._send(client, OK, now)

    def _unfreeze(self, client: _Client, _: list[str]) -> None:
        self._thaw(self._running())
        self._send(client, OK, RUNNING)

    def _join(self, client: _Client, _: list[str]) -> None:
        """What a process needs that is to join the container: process 1, and what confines it."""
        started = self._running()
        if self.state() != RUNNING:
            raise _Refused(f"is {self.state()}: a process that joins it would stop, too")
        self._send_file(client, record_of(self._plan, started.groups), started.pidfd)

    def _groups(self, client: _Client, _: list[str]) -> None:
        """The paths of the control groups, NULs between them, in memory."""
        self._send_file(client, encode("\0".join(self._running().groups)))

    def _settings(self, client: _Client, _: list[str]) -> None:
        """The config that the container was started with: its lines in force, as (key, value, where) in memory."""
        self._send_file(client, marshal.dumps(tuple(self._plan.config.lines())))

    def _terminal(self, client: _Client, arguments: list[str]) -> None:
        """A terminal: a tty's number, 0 for the console, or nothing for the first tty that is free."""
        started = self._running()
        self._let_wait(client)
        word = arguments[0] if arguments else ""
        if word == "0":
            if self.console is None:
                raise _Refused("has no console")
            if client.feed is not None:
                raise _Refused("the console is in use, by the same")
            theirs, client.feed = self.console.join()
            self._send(client, OK, "0", descriptors=(theirs,))
            posix.close(theirs)
            return
        if client.tty:
            raise _Refused(f"tty {client.tty} is in use, by the same")
        taken = {other.tty for other in self._clients.values()}
        numbers = range(1, len(started.ttys) + 1)
        if not numbers:
            raise _Refused("has no ttys (lxc.tty.max is 0)")
        number = int(word) if word.isdecimal() else next((n for n in numbers if n not in taken), 0)
        if number in taken or not number:
            raise _Refused(f"tty {number} is in use" if number else "all ttys are in use")
        if number not in numbers:
            raise _Refused(f"there is no tty {word}, only 1 to {len(numbers)}")
        client.tty = number
        self._send(client, OK, str(number), descriptors=(started.ttys[number - 1],))

    def _resize(self, client: _Client, arguments: list[str]) -> None:
        if client.feed is not None and self.console is not None and arguments and arguments[0].isdecimal():
            self.console.set_size(int(arguments[0]) % 2**64)
        self._send(client, OK)

    def _written(self, client: _Client, arguments: list[str]) -> None:
        """What was written to the console last, in memory; `clear` forgets it."""
        self._running()
        if self.console is None or not self.console.remembers:
            raise _Refused("keeps nothing of its console (lxc.console.buffer.size)")
        self._send_file(client, self.console.written(clear="clear" in arguments))


_ANSWERS: dict[str, Callable[[Desk, _Client, list[str]], None]] = {
    "info": Desk._info,
    "watch": Desk._watch,
    "signal": Desk._signal,
    "freeze": Desk._freeze,
    "unfreeze": Desk._unfreeze,
    "join": Desk._join,
    "groups": Desk._groups,
    "config": Desk._settings,
    "terminal": Desk._terminal,
    "resize": Desk._resize,
    "written": Desk._written,
}


def _blocks(pid: int, number: int) -> bool:
    """Whether a process blocks a signal, as who waits for it does. proc_pid_status(5)."""
    try:
        lines = read_text(f"/proc/{pid}/status").splitlines()
    except OSError:
        return False
    blocked = next((line.split()[1] for line in lines if line.startswith("SigBlk:")), "0")
    return bool(int(blocked, 16) >> (number - 1) & 1)


def _in_memory(data: bytes) -> int:
    """A descriptor of a file in memory with this content, which nobody can change. Raises OSError."""
    file = posix.memfd_create("minilxc", posix.MFD_CLOEXEC | posix.MFD_ALLOW_SEALING)
    try:
        done = 0
        while done < len(data):
            done += posix.write(file, memoryview(data)[done:])
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    except OSError:
        posix.close(file)
        raise
    return file
