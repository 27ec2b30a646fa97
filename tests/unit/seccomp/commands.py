"""What the tests of `minilxc seccomp COMMAND` share: run one as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
RUN = "import sys; from minilxc.cli import main; main(['seccomp', *sys.argv[1:]])"


def seccomp(*args: str, cwd: Path, stdin: bytes = b"", **env: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `minilxc seccomp ARGS`."""
    ran = subprocess.run(
        [sys.executable, "-c", RUN, *args],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )
    return ran.returncode, ran.stdout.decode(), ran.stderr.decode()


def on_a_terminal(*args: str, cwd: Path, **env: str) -> tuple[int, str]:
    """Exit status, and what a terminal shows of `minilxc seccomp ARGS`."""
    master, terminal = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *args],
        stdout=terminal,
        cwd=cwd,
        env={**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT), **env},
    ) as process:
        os.close(terminal)
        shown = b""
        try:
            while chunk := os.read(master, 65536):
                shown += chunk
        except OSError:
            pass  # the other end is closed: EIO
    os.close(master)
    return process.returncode, shown.decode().replace("\r\n", "\n")
