"""A terminal with a user at it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios

from tests.helpers import machine

_PATIENCE = 20


class Screen:
    """A terminal on which a command runs, in the foreground of a session of its own."""

    def __init__(self, command, *, rows=33, columns=101, **more) -> None:
        self.ours, self._theirs = pty.openpty()
        self.resize(rows, columns)
        self.modes = termios.tcgetattr(self._theirs)
        self.text = ""
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), self._theirs)
        self.process = subprocess.Popen(
            command,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(self._theirs, termios.TIOCSCTTY, 0),  # noqa: PLW1509  there is one thread
            **{**streams, **more},
        )

    def resize(self, rows: int, columns: int) -> None:
        """Give it another size."""
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        """Type."""
        os.write(self.ours, text.encode())

    def read_until(self, text: str) -> str:
        """Wait until `text` is shown; all that was."""
        while text not in self.text:
            assert select.select([self.ours], [], [], _PATIENCE)[0], self.text
            self.text += os.read(self.ours, 4096).decode()
        return self.text

    def forget(self) -> None:
        """Look only at what is shown from now on."""
        self.text = ""

    def end(self) -> str:
        """Wait for the end of the command; all that was shown."""
        machine.wait_for(lambda: self._drain() or self.process.poll() is not None, "the end of the command")
        self._drain()
        return self.text

    def _drain(self) -> None:
        while select.select([self.ours], [], [], 0)[0]:
            self.text += os.read(self.ours, 4096).decode()

    def modes_now(self):
        """The terminal's modes."""
        return termios.tcgetattr(self._theirs)

    def close(self) -> None:
        """End the command, if it has not."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self._theirs)
