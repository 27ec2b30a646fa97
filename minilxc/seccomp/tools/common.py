"""What the commands share: options, input, output."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from typing import TYPE_CHECKING

from minilxc.errors import MinilxcError

from .. import arch
from ..source import drain, read
from . import words

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any, TextIO

    from ..arch import Machine
    from ..policy import Newer

STDIN = "<stdin>"
"""What messages call standard input."""


def add_arch(parser: ArgumentParser, *, help: str = "machine to judge for") -> None:
    """Declare `--arch ARCH`, which may be repeated; `machines` reads it."""
    parser.add_argument(
        "--arch",
        metavar="ARCH",
        action="append",
        help=f"{help}, as libseccomp, Debian or uname spell it; may be repeated (default: this one)",
    )


def machines(args: Namespace) -> tuple[Machine, ...]:
    """The machines that `--arch` names, each once; this one without it. Raises UsageError."""
    if not args.arch:
        return (arch.this_machine(),)
    return tuple(dict.fromkeys(arch.machine_by_word(word) for word in args.arch))


def add_newer(parser: ArgumentParser) -> None:
    """Declare `--newer ACTION`; `newer_action` reads it."""
    parser.add_argument(
        "--newer",
        metavar="ACTION",
        help="action for calls newer than an allowlist, as minilxc.seccomp.newer in a config: 'errno ENOSYS'",
    )


def newer_action(args: Namespace) -> Newer | None:
    """What `--newer` says, None without it. Raises UsageError."""
    return None if args.newer is None else words.action(args.newer, "--newer")


def add_json(parser: ArgumentParser) -> None:
    """Declare `--json`."""
    parser.add_argument("--json", action="store_true", help="one JSON document, for programs")


def read_input(word: str) -> tuple[bytes, str]:
    """The content of the file `word`, `-` being standard input, and its name in messages. Raises PolicyError."""
    if word == "-":
        return drain(sys.stdin.fileno(), STDIN), STDIN
    return read(word), word


def print_json(value: Any) -> None:
    """Write `value` to standard output as one JSON document."""
    json.dump(value, sys.stdout, indent=2)
    print()


def colours(stream: TextIO) -> bool:
    """True when what is written to `stream` may be coloured: a terminal, and NO_COLOR is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write(path: str, data: bytes, *, binary: bool) -> None:
    """Write `data` to `path`: a regular file appears whole or stays as it was. Raises OSError.

    What is no regular file (a pipe, /dev/stdout) is written to; a terminal takes nothing `binary`.
    """
    if path == "-":
        _pour(sys.stdout.fileno(), data, "<stdout>", binary)
        return
    try:
        found = os.stat(path)
    except FileNotFoundError:
        _replace(os.path.realpath(path), data, None)
        return
    for fd in (1, 2):
        # /dev/stdout may lead to a file which the shell opened, perhaps to append to it
        try:
            same = os.path.samestat(found, os.fstat(fd))
        except OSError:
            continue
        if same:
            _pour(fd, data, path, binary)
            return
    if os.path.isfile(path):
        _replace(os.path.realpath(path), data, stat.S_IMODE(found.st_mode))
        return
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        _pour(fd, data, path, binary)
    finally:
        os.close(fd)


def _pour(fd: int, data: bytes, name: str, binary: bool) -> None:
    """Write all of `data` to `fd`."""
    if binary and os.isatty(fd):
        raise MinilxcError("a program is not written to a terminal", where=name)
    while data:
        data = data[os.write(fd, data) :]


def _replace(path: str, data: bytes, mode: int | None) -> None:
    """Put a file with `data` in the place of `path` in one step, with the permissions `mode` (None: the usual)."""
    temporary = f"{path}.{os.getpid()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        try:
            if mode is not None:
                os.fchmod(fd, mode)
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
