"""The small C programs beside this file, built for a session."""

from __future__ import annotations

import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
_FREESTANDING = (
    "-nostdlib",
    "-fno-builtin",
    "-fno-stack-protector",
    "-fno-pie",
    "-no-pie",
    "-fcf-protection=none",
)
_BUILDS = {
    "try-syscall": ("try-syscall.c", *_FREESTANDING),
    "try-syscall-i386": ("try-syscall.c", "-m32", *_FREESTANDING),
    "inject": ("inject.c",),
    "confine": ("confine.c",),
    "signals": ("signals.c",),
    "thread": ("thread.c", "-pthread"),
    "grab": ("grab.c",),
    "answers": ("answers.c",),
    "answers-i386": ("answers.c", "-m32"),
}


def build(folder: Path) -> dict[str, Path]:
    """Name to the static program, made in `folder`."""
    made = {}
    for name, (source, *flags) in _BUILDS.items():
        made[name] = folder / name
        command = ["gcc", "-O1", "-Wall", "-Werror", "-static", *flags, "-o", made[name], HERE / source]
        subprocess.run(command, check=True)
    return made
