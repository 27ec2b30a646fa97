"""Containers inside of containers, looked up from outside.

Whoever rules a container decides what lies there: links lead nowhere but below its root (openat2(2)), names
that no container can have are left out, and a file system that never answers holds only the process that
looks, which is given up after a while. What its monitors answer is only shown.
"""

from __future__ import annotations

import json
import os
import select
import signal
import stat
from typing import NamedTuple

from minilxc.errors import MinilxcError
from minilxc.launch import lock, runtime
from minilxc.launch.lock import check_name
from minilxc.linux.mount import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from minilxc.monitor import client, protocol
from minilxc.monitor.protocol import FREEZING, FROZEN, RUNNING, STARTING, STOPPED, STOPPING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = 5.0  # seconds
_MOST = 1000  # containers inside of one
_STATES = (RUNNING, FROZEN, FREEZING, STARTING, STOPPING)
_WITHIN = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS


class Nested(NamedTuple):
    """A container inside: `path` are the names that lead to it, the outermost first; `pid` as it is here."""

    path: tuple[str, ...]
    state: str
    pid: int | None


def inside(name: str, process: int, depth: int) -> list[Nested]:
    """The containers inside of the one whose process 1 has the folder `process`, a descriptor; `depth` levels.

    Raises MinilxcError where it cannot be told.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            found = list(_look((name,), process, depth))
            with open(writing, "w") as file:
                json.dump(found, file)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    try:
        text = _read(reading)
    finally:
        os.close(reading)
        _end(child)
    if not text:
        raise MinilxcError(
            "what is inside cannot be looked at" if text == "" else "what is inside does not answer", name
        )
    return [Nested(tuple(path), state, pid) for path, state, pid in json.loads(text)]


def _end(child: int) -> None:
    """End a child, and collect it, unless it hangs where not even SIGKILL reaches it."""
    pidfd = os.pidfd_open(child)
    os.kill(child, signal.SIGKILL)
    select.select([pidfd], [], [], 1.0)
    os.close(pidfd)
    os.waitpid(child, os.WNOHANG)


def _read(pipe: int) -> str | None:
    """All that comes until the other end is closed; None when that takes too long."""
    data = b""
    while select.select([pipe], [], [], _PATIENCE)[0]:
        chunk = os.read(pipe, 65536)
        if not chunk:
            return data.decode()
        data += chunk
    return None


def _look(path: tuple[str, ...], process: int, depth: int) -> Iterator[Nested]:
    root = os.open("root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=process)
    try:
        for name in _names(root):
            state, pidfd = _ask(root, name)
            pid = client.pid_of(pidfd) if pidfd is not None else 0
            yield Nested((*path, name), state, pid or None)
            if pid and depth > 1:
                folder = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                if pidfd is not None and client.pid_of(pidfd) == pid:
                    yield from _look((*path, name), folder, depth - 1)
                os.close(folder)
            if pidfd is not None:
                os.close(pidfd)
    except OSError:
        return  # nothing of the kind is there
    finally:
        os.close(root)


def _names(root: int) -> list[str]:
    """The containers that are defined below `root`, or run there. Raises OSError."""
    found = set()
    for place in (lock.DEFAULT_PATH, runtime.place_of_root(lock.DEFAULT_PATH)):
        try:
            folder = openat2(root, place, os.O_RDONLY | os.O_DIRECTORY, _WITHIN)
        except OSError:
            continue
        try:
            with os.scandir(folder) as entries:
                for _, entry in zip(range(_MOST), entries, strict=False):
                    found.add((place, entry.name))
        finally:
            os.close(folder)
    return sorted({name for place, name in found if _is_name(name) and _has(root, place, name)})


def _is_name(name: str) -> bool:
    try:
        return bool(check_name(name))
    except MinilxcError:
        return False


def _has(root: int, place: str, name: str) -> bool:
    """Whether there is a config, or a monitor's socket."""
    file, kind = ("config", stat.S_ISREG) if place == lock.DEFAULT_PATH else (runtime.SOCKET, stat.S_ISSOCK)
    try:
        opened = openat2(root, f"{place}/{name}/{file}", os.O_PATH, _WITHIN)
    except OSError:
        return False
    try:
        return kind(os.fstat(opened).st_mode)
    finally:
        os.close(opened)


def _ask(root: int, name: str) -> tuple[str, int | None]:
    """The state of a container below `root`, and its process 1, as they say there."""
    place = runtime.place_of_root(lock.DEFAULT_PATH)
    try:
        opened = openat2(root, f"{place}/{name}/{runtime.SOCKET}", os.O_PATH | os.O_NOFOLLOW, _WITHIN)
    except OSError:
        return STOPPED, None
    try:
        if not stat.S_ISSOCK(os.fstat(opened).st_mode):
            return STOPPED, None
        end = protocol.new_socket()
        end.settimeout(_PATIENCE)
        end.connect(f"/proc/self/fd/{opened}")
        with client.Connection(name, end) as connection:
            facts, descriptors = connection.ask("info")
    except (OSError, MinilxcError):
        return STOPPED, None
    finally:
        os.close(opened)
    protocol.close(descriptors[1:])
    return (facts[0] if facts and facts[0] in _STATES else STOPPED), (descriptors[0] if descriptors else None)
