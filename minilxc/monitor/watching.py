"""The states of many containers, told as they change."""

from __future__ import annotations

import posix
import select
import time

from minilxc.errors import MinilxcError
from minilxc.launch import lock, runtime
from minilxc.linux import inotify
from minilxc.monitor import client
from minilxc.monitor.client import Connection
from minilxc.monitor.protocol import EXIT, STATE, STOPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_SOON_MS = 1
"""When to look again for the socket of one that is starting."""
_SOON_SECONDS = 2.0
"""How long that is expected; after that a killed monitor has left the folder."""
_LOOK_MS = 1000
"""When to look again though nothing has changed."""
_LOOK_BLINDLY_MS = 20
"""The same where changes are not told: the state directory is not there yet, or cannot be watched."""


class _Watched:
    """A container that is watched."""

    __slots__ = ("before", "connection", "name", "path", "state")

    def __init__(self, path: str, name: str, connection: Connection) -> None:
        self.path = path
        self.name = name
        self.connection = connection
        self.state, *self.before = connection.ask("watch")[0]


def changes(
    paths: Sequence[str], wanted: Callable[[str], bool]
) -> Iterator[tuple[str, str, str, int | None]]:
    """(path, name, state, None) of each container of `paths` whose name is `wanted`, whenever the state changes;
    and (path, name, state, status) when its process 1 has ended, with its status, or 128 + signal.

    Those that run now are told of from their next state on, those that start later from their first.
    """
    watched: dict[int, _Watched] = {}
    search = _Search(paths, wanted)
    first = True
    try:
        while True:
            for found in search.new({(one.path, one.name) for one in watched.values()}):
                watched[found.connection.fileno()] = found
                if not first:
                    for state in (*found.before, found.state):
                        yield found.path, found.name, state, None
            first = False
            poll = select.poll()
            for descriptor in (*watched, *search.descriptors()):
                poll.register(descriptor, select.POLLIN)
            for descriptor, _ in poll.poll(search.patience_ms()):
                if descriptor not in watched:
                    continue  # something has changed, so the next round looks for it
                one = watched[descriptor]
                kind, text = _next(one)
                if kind == EXIT:
                    yield one.path, one.name, one.state, int(text)
                elif text != one.state:
                    one.state = text
                    yield one.path, one.name, text, None
                if kind == STATE and text == STOPPED:
                    del watched[descriptor]
                    one.connection.close()
    finally:
        search.close()
        for one in watched.values():
            one.connection.close()


def _next(one: _Watched) -> tuple[str, str]:
    try:
        return one.connection.next_event(0) or (STATE, STOPPED)
    except MinilxcError:
        return STATE, STOPPED


class _Search:
    """The search for containers that run: where they are, and what is known of those that cannot be watched."""

    def __init__(self, paths: Sequence[str], wanted: Callable[[str], bool]) -> None:
        self._paths = paths
        self._wanted = wanted
        self._starting: dict[tuple[str, str], float] = {}  # seen first, but without a socket so far
        self._silent: set[tuple[str, str]] = set()  # with a monitor that does not answer
        self._blind = True
        try:
            self._inotify = inotify.new()
        except OSError:
            self._inotify = -1  # the user has too many

    def descriptors(self) -> tuple[int, ...]:
        """What can be read from when something has changed."""
        return () if self._inotify < 0 else (self._inotify,)

    def close(self) -> None:
        """Look no more."""
        for descriptor in self.descriptors():
            posix.close(descriptor)

    def patience_ms(self) -> int:
        """After how long to look again."""
        now = time.monotonic()
        if any(now - since < _SOON_SECONDS for since in self._starting.values()):
            return _SOON_MS
        return _LOOK_BLINDLY_MS if self._blind else _LOOK_MS

    def new(self, known: set[tuple[str, str]]) -> Iterator[_Watched]:
        """The containers that run and are not known yet."""
        self._watch()  # before it is looked: nothing happens in between
        there = {(path, name) for path in self._paths for name in runtime.names(path) if self._wanted(name)}
        self._silent &= there
        starting, self._starting = self._starting, {}
        for path, name in sorted(there - self._silent - known):
            connection = None
            try:
                connection = client.connect(path, name)
                if connection is not None:
                    yield _Watched(path, name, connection)
                    continue
            except client.NotRunning:
                pass  # it has just ended
            except MinilxcError:
                self._silent.add((path, name))
            if connection is not None:
                connection.close()
            self._starting[path, name] = starting.get((path, name), time.monotonic())

    def _watch(self) -> None:
        """Have changes be told: of the containers of each path, and of where these are."""
        self._blind = True
        if self._inotify < 0:
            return
        inotify.drain(self._inotify)
        try:
            inotify.watch(self._inotify, lock.state_directory(), inotify.IN_CREATE)
            self._blind = False
        except OSError:
            pass
        for path in self._paths:
            try:
                inotify.watch(self._inotify, runtime.place(path), inotify.IN_CREATE)
            except FileNotFoundError:
                pass  # none runs there
            except OSError:
                self._blind = True
