"""What is kept of a container while it runs: a folder in the state directory, for its monitor's socket.

The state directory is our own and closed to others, so nobody else reaches a socket there; an abstract
name could be reached by every container that shares the host's network. Below it is a folder for each
path of containers, and below that one for each container that runs. It goes with its container. What a
monitor that was killed has left is found there by the next command, with the groups that it has made.

Who makes or removes one holds a lock (flock(2)) on the folder above it, for that moment.
"""

from __future__ import annotations

import fcntl
import posix
import time
from _blake2 import blake2b

from minilxc.errors import StartError
from minilxc.launch import lock
from minilxc.linux import cgroup
from minilxc.linux.files import canonical, decode, encode

_PATIENCE = 10  # seconds that the end of what has outlived a monitor is waited for
_PATIENCE_END = 1  # seconds that the end of a container whose monitor was killed is waited for
SOCKET = "command"
GROUPS = "groups"

_FOLDER = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC


def place(lxcpath: str) -> str:
    """The folder of all containers of `lxcpath` that run. Raises StartError when there can be none."""
    return f"{lock.state_directory()}/{_digest(canonical(lxcpath))}"


def place_of_root(lxcpath: str) -> str:
    """The same for root of another machine or container, where `lxcpath` is no link."""
    return f"{lock.ROOTS_DIRECTORY}/{_digest(lxcpath)}"


def _digest(path: str) -> str:
    return blake2b(encode(path), digest_size=8).hexdigest()


def names(lxcpath: str) -> list[str]:
    """The containers of `lxcpath` that run, or of which a killed monitor has left something."""
    try:
        return sorted(posix.listdir(place(lxcpath)))
    except OSError:
        return []


def open_folder(lxcpath: str, name: str) -> int:
    """The folder of a container. Raises OSError when there is none."""
    return posix.open(f"{place(lxcpath)}/{name}", _FOLDER)


class Runtime:
    """The folder of a container that is ours, as we hold its name. `folder` is a descriptor of it."""

    __slots__ = ("_name", "_place", "folder")

    def __init__(self, lxcpath: str, name: str) -> None:
        """Make it. What is in it already is of a monitor that was killed, and is removed.

        Raises OSError; StartError when something has outlived that monitor.
        """
        lock.open_state_directory()
        self._place = place(lxcpath)
        self._name = name
        above = _open_locked(self._place)
        try:
            try:
                posix.mkdir(name, 0o700, dir_fd=above)
            except FileExistsError:
                pass
            self.folder = posix.open(name, _FOLDER, dir_fd=above)
            if _outlives(groups(lxcpath, name)):
                posix.close(self.folder)
                what = "something of it still runs, whose monitor was killed"
                raise StartError(what, name, f"minilxc stop -n {name} ends it", step="lock")
            _empty(self.folder)
        finally:
            posix.close(above)

    def note_groups(self, paths: list[str]) -> None:
        """Have the container's groups be found when its monitor is killed. Raises OSError."""
        file = posix.open(
            GROUPS,
            posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC,
            0o600,
            dir_fd=self.folder,
        )
        try:
            posix.write(file, encode("\n".join(paths)))
        finally:
            posix.close(file)

    def remove(self) -> None:
        """Remove the folder; the container has ended. Raises OSError."""
        above = _open_locked(self._place)
        try:
            _empty(self.folder)
            posix.close(self.folder)
            _remove(above, self._name, self._place)
        finally:
            posix.close(above)


def groups(lxcpath: str, name: str) -> list[str]:
    """The groups of a container, as its monitor has noted them."""
    try:
        folder = open_folder(lxcpath, name)
    except OSError:
        return []
    try:
        file = posix.open(GROUPS, posix.O_RDONLY | posix.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return []
    finally:
        posix.close(folder)
    try:
        return decode(posix.read(file, 65536)).splitlines()
    finally:
        posix.close(file)


def clean_up(lxcpath: str, name: str, *, kill: bool = False) -> bool:
    """Remove what a killed monitor has left of a container that nobody holds: its groups, and its folder.

    With `kill` processes that have outlived the monitor are ended, otherwise all stays for them; whether there
    were any. Never raises OSError.
    """
    path = place(lxcpath)
    try:
        above = posix.open(path, _FOLDER)
    except OSError:
        return False
    alive = False
    mark: int | None = -1
    try:
        # As long as it is locked nobody who takes the name makes groups, which would be taken for these.
        fcntl.flock(above, fcntl.LOCK_EX)
        if lock.holder(lxcpath, name):
            return False
        left = groups(lxcpath, name)
        mark = _mark(left)
        if mark is None:
            left = []  # a container of the same name, in another place, has them now
        alive = any(cgroup.processes(group) for group in left)
        if alive and not kill:
            return True
        deadline = time.monotonic() + _PATIENCE
        while not cgroup.end_processes(left) and time.monotonic() < deadline:
            pass
        for group in left:
            cgroup.remove(group)
        folder = posix.open(name, _FOLDER, dir_fd=above)
        _empty(folder)
        posix.close(folder)
        _remove(above, name, path)
    except OSError:
        pass
    finally:
        if mark is not None and mark >= 0:
            posix.close(mark)
        posix.close(above)
    return alive


def _mark(left: list[str]) -> int | None:
    """Have nobody else use these groups: a descriptor of the first, locked as its monitor has it (see `cgroups`).

    -1 where there is none, None when somebody uses them.
    """
    try:
        first = posix.open(left[0], _FOLDER) if left else -1
    except OSError:
        return -1
    if first < 0:
        return -1
    try:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        posix.close(first)
        return None
    return first


def _outlives(left: list[str]) -> bool:
    """Whether processes in these groups have outlived their monitor; its container ends with it, as a rule."""
    mark = _mark(left)
    if mark is None:
        return False
    try:
        deadline = time.monotonic() + _PATIENCE_END
        while any(cgroup.processes(group) for group in left):
            if time.monotonic() > deadline:
                return True
            time.sleep(0.001)  # as in `cgroups`: there is no event for a group that gets empty
        return False
    finally:
        if mark >= 0:
            posix.close(mark)


def _open_locked(path: str) -> int:
    """The folder `path`, made where it is missing, locked."""
    while True:
        try:
            posix.mkdir(path, 0o700)
        except FileExistsError:
            pass
        try:
            folder = posix.open(path, _FOLDER)
        except FileNotFoundError:
            continue  # the last container in it has just ended
        fcntl.flock(folder, fcntl.LOCK_EX)
        try:
            if posix.stat(path).st_ino == posix.fstat(folder).st_ino:
                return folder
        except FileNotFoundError:
            pass
        posix.close(folder)


def _empty(folder: int) -> None:
    for name in posix.listdir(folder):
        posix.unlink(name, dir_fd=folder)


def _remove(above: int, name: str, path: str) -> None:
    posix.rmdir(name, dir_fd=above)
    try:
        posix.rmdir(path)
    except OSError:
        pass  # other containers run
