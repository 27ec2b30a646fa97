"""minilxc seccomp compile: a policy to the bytes that seccomp(2) takes, for any architecture."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

from minilxc.errors import MinilxcError

from .. import arch
from ..build import build
from ..source import drain, read

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

SUMMARY = "compile a seccomp policy to a BPF program"


def options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("policy", metavar="POLICY", help="policy to compile; - reads standard input")
    parser.add_argument(
        "--arch",
        metavar="ARCH",
        help="machine to compile for, as libseccomp, Debian or uname spell it (default: this one)",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        help="where to write the program, in the byte order of ARCH; - is standard output",
    )
    parser.add_argument(
        "--notify", action="store_true", help="accept 'notify' rules: whoever loads the program answers them"
    )


def run(args: Namespace) -> int:
    """Compile `args.policy` into `args.output`. Returns 0; raises MinilxcError."""
    machine = arch.this_machine() if args.arch is None else arch.machine_by_word(args.arch)
    if args.policy == "-":
        path = "<stdin>"
        text = drain(sys.stdin.fileno(), path)
    else:
        path = args.policy
        text = read(path)
    program = build(text, path, machine, notify=args.notify).program
    try:
        _write(args.output, program.encode())
    except OSError as error:
        raise MinilxcError(error.strerror or str(error), where=args.output) from None
    return 0


def _write(path: str, data: bytes) -> None:
    """Write `data` to `path`: a regular file appears whole or stays as it was. Raises OSError.

    What is no regular file (a pipe, /dev/stdout) is written to; a terminal is refused.
    """
    if path == "-":
        _pour(sys.stdout.fileno(), data, "<stdout>")
        return
    try:
        found = os.stat(path)
    except FileNotFoundError:
        _replace(path, data)
        return
    for fd in (1, 2):
        # /dev/stdout may lead to a file which the shell opened, perhaps to append to it
        try:
            same = os.path.samestat(found, os.fstat(fd))
        except OSError:
            continue
        if same:
            _pour(fd, data, path)
            return
    if os.path.isfile(path):
        _replace(os.path.realpath(path), data)
        return
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        _pour(fd, data, path)
    finally:
        os.close(fd)


def _pour(fd: int, data: bytes, name: str) -> None:
    """Write all of `data` to `fd`."""
    if os.isatty(fd):
        raise MinilxcError("a program is not written to a terminal", where=name)
    while data:
        data = data[os.write(fd, data) :]


def _replace(path: str, data: bytes) -> None:
    """Put a file with `data` in the place of `path` in one step."""
    temporary = f"{path}.{os.getpid()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        try:
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
