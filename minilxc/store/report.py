"""What a command tells while it works: nothing, a line that comes and goes on a terminal, or all that tools say."""

from __future__ import annotations

import os
import shutil

from minilxc.errors import printable
from minilxc.log import DEBUG, ERROR, Log


class Report:
    """Where progress goes. `log` is for hooks, and for what stops nothing any more."""

    def __init__(self, name: str, *, verbose: bool = False, quiet: bool = False) -> None:
        self.verbose = verbose
        self._line = not (verbose or quiet) and os.isatty(2)
        self._shown = False
        self.log = Log(name, 2, DEBUG, quiet=True) if verbose else Log(name, level=ERROR, quiet=quiet)

    def tool(self, title: str, data: bytes) -> None:
        """What a tool has printed: shown as it is, or its last line as progress."""
        if self.verbose:
            _write(data)
            return
        lines = [
            line for line in data.decode(errors="replace").replace("\r", "\n").split("\n") if line.strip()
        ]
        if lines:
            self.progress(f"{title}: {lines[-1].strip()}")

    def progress(self, text: str) -> None:
        """Show one line, in the place of the one before."""
        if self._line:
            width = shutil.get_terminal_size().columns - 1
            _write(f"\r\x1b[K{printable(text)[:width]}".encode(errors="backslashreplace"))
            self._shown = True

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            _write(b"\r\x1b[K")
            self._shown = False


def _write(data: bytes) -> None:
    try:
        os.write(2, data)
    except OSError:
        pass  # nobody listens
