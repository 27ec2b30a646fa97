"""minilxc seccomp COMMAND: the tools for policies, one module each in `minilxc.seccomp.tools`."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser
from importlib import import_module
from typing import TYPE_CHECKING, Final

from minilxc.errors import SHORT, PolicyError, UsageError, suggestion

if TYPE_CHECKING:
    from typing import NoReturn

COMMANDS: Final = {
    "check": "minilxc.seccomp.tools.check",
    "compile": "minilxc.seccomp.tools.compile",
    "explain": "minilxc.seccomp.tools.explain",
    "disasm": "minilxc.seccomp.tools.disasm",
    "simulate": "minilxc.seccomp.tools.simulate",
    "diff": "minilxc.seccomp.tools.diff",
    "convert": "minilxc.seccomp.tools.convert",
    "stats": "minilxc.seccomp.tools.stats",
}
"""Word to module. A module has SUMMARY, options(parser) and run(args); only the chosen one is imported."""


class _Parser(ArgumentParser):
    """Tells what is wrong as all of minilxc does, on one line; -0x1 is a number, as -1 is."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)
        self._negative_number_matcher = re.compile(r"-(0[xX][0-9a-fA-F]+|[0-9]+)")

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help tells more")


def run(argv: list[str]) -> int:
    """Run `minilxc seccomp` with the arguments `argv`; returns the exit status.

    0 is success, 1 an error in a policy (one line on standard error, which begins with POLICY:LINE:).
    Raises MinilxcError for anything else.
    """
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_overview(), end="", file=sys.stdout if argv else sys.stderr)
        return 0 if argv else UsageError.status
    if argv[0] not in COMMANDS:
        hint = suggestion(argv[0], COMMANDS, SHORT) or f"there are {', '.join(COMMANDS)}"
        raise UsageError(f"unknown command 'seccomp {argv[0]}'", hint=hint)
    command = import_module(COMMANDS[argv[0]])
    parser = _Parser(f"minilxc seccomp {argv[0]}", command.SUMMARY)
    command.options(parser)
    try:
        status: int = command.run(parser.parse_intermixed_args(argv[1:]))
    except SystemExit:  # argparse has printed help
        return 0
    except PolicyError as error:
        print(error, file=sys.stderr)
        return error.status
    return status


def _overview() -> str:
    """The commands, a line each."""
    lines = ["usage: minilxc seccomp COMMAND ...", ""]
    lines += [f"  {word:<10} {import_module(module).SUMMARY}" for word, module in COMMANDS.items()]
    return "\n".join(lines) + "\n"
