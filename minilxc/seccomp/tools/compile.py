"""minilxc seccomp compile: a policy to the bytes that seccomp(2) takes, for any architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minilxc.errors import MinilxcError

from .. import arch
from ..build import build
from ..inputs import expect_policy
from . import common

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
    common.add_newer(parser)
    parser.add_argument(
        "--notify", action="store_true", help="accept 'notify' rules: whoever loads the program answers them"
    )


def run(args: Namespace) -> int:
    """Compile `args.policy` into `args.output`. Returns 0; raises MinilxcError."""
    machine = arch.this_machine() if args.arch is None else arch.machine_by_word(args.arch)
    text, path = common.read_input(args.policy)
    expect_policy(text, path)
    program = build(text, path, machine, notify=args.notify, newer=common.newer_action(args)).program
    try:
        common.write(args.output, program.encode(), binary=True)
    except OSError as error:
        raise MinilxcError(error.strerror or str(error), where=args.output) from None
    return 0
