"""The states of many containers, told as they change."""

from __future__ import annotations

import select

from minilxc.errors import MinilxcError
from minilxc.launch import runtime
from minilxc.monitor import client
from minilxc.monitor.client import Connection
from minilxc.monitor.protocol import EXIT, STATE, STOPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_LOOK_MS = 20
"""How often it is asked which containers run. One that has come and gone between two looks is not seen."""


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
    silent: set[tuple[str, str]] = set()  # that have a monitor which does not answer
    first = True
    try:
        while True:
            for found in _new(paths, wanted, watched, silent):
                watched[found.connection.fileno()] = found
                if not first:
                    for state in (*found.before, found.state):
                        yield found.path, found.name, state, None
            first = False
            poll = select.poll()
            for descriptor in watched:
                poll.register(descriptor, select.POLLIN)
            for descriptor, _ in poll.poll(_LOOK_MS):
                one = watched[descriptor]
                kind, text = _next(one)
                if kind == EXIT:
                    yield one.path, one.name, one.state, int(text)
                elif text != one.state:
                    one.state = text
                    yield one.path, one.name, text, None
                if text == STOPPED:
                    del watched[descriptor]
                    one.connection.close()
    finally:
        for one in watched.values():
            one.connection.close()


def _next(one: _Watched) -> tuple[str, str]:
    try:
        return one.connection.next_event(0) or (STATE, STOPPED)
    except MinilxcError:
        return STATE, STOPPED


def _new(
    paths: Sequence[str],
    wanted: Callable[[str], bool],
    watched: dict[int, _Watched],
    silent: set[tuple[str, str]],
) -> Iterator[_Watched]:
    """The containers that run and are not watched yet."""
    there = {(path, name) for path in paths for name in runtime.names(path) if wanted(name)}
    silent &= there
    for path, name in sorted(there - silent - {(one.path, one.name) for one in watched.values()}):
        connection = None
        try:
            connection = client.connect(path, name)
            if connection is not None:
                yield _Watched(path, name, connection)
        except client.NotRunning:
            pass  # it has just ended
        except MinilxcError:
            silent.add((path, name))
            if connection is not None:
                connection.close()
