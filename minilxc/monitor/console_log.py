"""The console's log file, which may have a greatest size. Loaded only when a config has one."""

from __future__ import annotations

import posix

from minilxc.errors import StartError
from minilxc.linux.files import is_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.launch.terminal import Console

# Read and write, so that a pipe without a reader opens too; what it cannot take is lost.
_FLAGS = posix.O_RDWR | posix.O_APPEND | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY


class ConsoleLog:
    """Appends to the file of lxc.console.logfile, as `console` says.

    A full file is renamed to FILE.1, or emptied where it is not to be rotated: what was written last is there.
    """

    __slots__ = ("_descriptor", "_limit", "_path", "_rotate")

    def __init__(self, console: Console, container: str) -> None:
        """Open the file; `container` is for the StartError that says why not."""
        assert console.log is not None
        self._path = console.log
        self._limit = console.limit
        self._rotate = console.rotate
        try:
            self._descriptor = posix.open(self._path, _FLAGS, 0o600)
            if self._limit and not is_regular(posix.fstat(self._descriptor)):
                raise OSError(0, "no regular file, so lxc.console.size cannot hold for it")
        except OSError as error:
            what = f"console: {self._path}: {error.strerror}"
            raise StartError(what, container, step="console", errno=error.errno or 0) from None

    def write(self, data: bytes) -> None:
        """Append `data`. What cannot be written is lost: a log must not end a container."""
        try:
            while data:
                space = len(data)
                if self._limit:
                    space = self._limit - posix.fstat(self._descriptor).st_size
                    if space <= 0:
                        self._make_room()
                        space = self._limit
                posix.write(self._descriptor, data[:space])
                data = data[space:]
        except OSError:
            pass

    def _make_room(self) -> None:
        if self._rotate:
            posix.rename(self._path, f"{self._path}.1")
            fresh = posix.open(self._path, _FLAGS | posix.O_EXCL, 0o600)
            posix.dup2(fresh, self._descriptor, inheritable=False)
            posix.close(fresh)
        else:
            posix.ftruncate(self._descriptor, 0)
