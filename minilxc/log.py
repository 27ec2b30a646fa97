"""The log of a start: one line a fact, written with one write(2) each."""

from __future__ import annotations

import posix
import time

from minilxc.errors import printable
from minilxc.linux.files import exists

TRACE, DEBUG, INFO, NOTICE, WARN, ERROR, CRIT, ALERT, FATAL = range(9)
NAMES = ("TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "ERROR", "CRIT", "ALERT", "FATAL")


class Log:
    """Writes to a file what is at least as grave as `level`; without a file, nothing.

    `quiet`: standard error hears nothing either.
    """

    __slots__ = ("descriptor", "_name", "_quiet", "asked", "level", "screen")

    def __init__(
        self, name: str = "", descriptor: int | None = None, level: int = ERROR, *, quiet: bool = False
    ) -> None:
        self._quiet = quiet
        self._name = name
        self.descriptor = descriptor
        self.screen = 2  # where errors are shown
        self.asked = level  # also where nothing is written
        self.level = level if descriptor is not None else FATAL + 1

    def descriptors(self) -> tuple[int, ...]:
        """What the log keeps open."""
        return () if self.descriptor is None else (self.descriptor,)

    @classmethod
    def to_file(cls, name: str, path: str, level: int, *, quiet: bool = False) -> Log:
        """A log that is appended to the file at `path`; missing folders are made. Raises OSError."""
        folder = path.rpartition("/")[0]
        if folder and not exists(folder):
            from os import makedirs

            makedirs(folder, exist_ok=True)
        # A pipe that nobody reads must not hold a start, or what runs.
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC | posix.O_NONBLOCK
        return cls(name, posix.open(path, flags, 0o640), level, quiet=quiet)

    def complain(self, subject: str, text: str) -> None:
        """Tell an error that stops nothing any more: in the log, and on standard error."""
        self.write(ERROR, subject, text)
        if not self._quiet:
            try:
                posix.write(
                    self.screen, f"minilxc: {subject}: {printable(text)}\n".encode(errors="backslashreplace")
                )
            except OSError:
                pass  # it is closed

    def write(self, level: int, subject: str, text: str) -> None:
        """Write a line: name, UTC time with milliseconds, level, subject, text."""
        if level < self.level or self.descriptor is None:
            return
        now = time.time()
        stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03}"
        line = f"minilxc {self._name} {stamp} {NAMES[level]:8} {subject} - {printable(text)}\n"
        try:
            posix.write(self.descriptor, line.encode(errors="backslashreplace"))
        except OSError:
            pass  # a full disk must not end a container
