"""What the commands that take compiled programs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minilxc.errors import SHORT, UsageError, suggestion

from .. import arch, inputs
from . import common

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ..arch import Abi, Machine
    from ..inputs import Input


def add_machine(parser: ArgumentParser) -> None:
    """Declare `--arch ARCH`, once; `machine` reads it."""
    parser.add_argument(
        "--arch",
        metavar="ARCH",
        help="machine, as libseccomp, Debian or uname spell it (default: what a program says of itself, else this one)",
    )


def machine(args: Namespace) -> Machine | None:
    """The machine that `--arch` names, None without it. Raises UsageError."""
    return None if args.arch is None else arch.machine_by_word(args.arch)


def load(args: Namespace) -> Input:
    """The program of `args.file`. Raises MinilxcError."""
    newer = common.newer_action(args)
    found = inputs.load(*common.read_input(args.file), machine(args), newer)
    if newer and found.kind != "policy":
        raise UsageError(f"--newer is for policies, and {found.name} is a {found.kind}")
    return found


def add_abi(parser: ArgumentParser, help: str) -> None:
    """Declare `--abi ABI`; `abi` reads it."""
    parser.add_argument("--abi", metavar="ABI", help=help)


def abi(args: Namespace, machine: Machine | None = None) -> Abi | None:
    """The ABI that `--abi` names, None without it. Raises UsageError, also when `machine` does not have it."""
    if args.abi is None:
        return None
    found = arch.abi_by_section(args.abi)
    if found is None:
        raise UsageError(
            f"unknown ABI '{args.abi}'", hint=suggestion(args.abi.lower(), arch.section_words(), SHORT)
        )
    if machine is not None and found not in machine.abis:
        have = ", ".join(each.name for each in machine.abis)
        raise UsageError(f"{machine.name} does not have the ABI {found.name}", hint=f"it has {have}")
    return found
