"""A place where a script of a test waits until the test lets it go on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Gate:
    """Two pipes with names below `folder`: who comes says so through one, and waits at the other."""

    def __init__(self, folder: Path, name: str = "gate") -> None:
        self._here = folder / f"{name}.here"
        self._go = folder / f"{name}.go"
        os.mkfifo(self._here)
        os.mkfifo(self._go)
        # Open for both, so that no order matters, and nobody's end is an end of the pipe.
        self._ends = [os.open(path, os.O_RDWR | os.O_CLOEXEC) for path in (self._here, self._go)]
        self.shell = f"echo here >{self._here}; read go <{self._go}"

    def wait(self) -> None:
        """Wait until somebody is there."""
        assert os.read(self._ends[0], 5) == b"here\n"

    def open(self) -> None:
        """Let the one who waits, or who comes next, go on."""
        os.write(self._ends[1], b"go\n")

    def close(self) -> None:
        """Let go of the pipes."""
        for end in self._ends:
            os.close(end)
