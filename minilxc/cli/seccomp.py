"""minilxc seccomp COMMAND: the tools for policies, one module each in `minilxc.seccomp.tools`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from importlib import import_module
from typing import Final

from minilxc.errors import MinilxcError, PolicyError, UsageError

SUMMARY = "work with seccomp policies"

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

_USAGE_STATUS = 2


def run(argv: list[str]) -> int:
    """Run `minilxc seccomp` with the arguments `argv`; returns the exit status.

    0 is success, 1 an error (one line on standard error; a policy's begins with POLICY:LINE:), 2 a
    wrong command line.
    """
    if not argv or argv[0] not in COMMANDS:
        asked = bool(argv) and argv[0] in ("-h", "--help")
        print(_overview(), end="", file=sys.stdout if asked else sys.stderr)
        return 0 if asked else _USAGE_STATUS
    command = import_module(COMMANDS[argv[0]])
    parser = ArgumentParser(
        prog=f"minilxc seccomp {argv[0]}", description=command.SUMMARY, allow_abbrev=False
    )
    command.options(parser)
    try:
        status: int = command.run(parser.parse_args(argv[1:]))
    except SystemExit as stop:  # argparse has printed help, or what is wrong
        return stop.code if isinstance(stop.code, int) else _USAGE_STATUS
    except PolicyError as error:
        print(error, file=sys.stderr)
        return error.status
    except UsageError as error:
        print(f"minilxc: {error}", file=sys.stderr)
        return _USAGE_STATUS
    except MinilxcError as error:
        print(f"minilxc: {error}", file=sys.stderr)
        return error.status
    return status


def _overview() -> str:
    """The commands, a line each."""
    lines = ["usage: minilxc seccomp COMMAND ...", ""]
    lines += [f"  {word:<10} {import_module(module).SUMMARY}" for word, module in COMMANDS.items()]
    return "\n".join(lines) + "\n"
