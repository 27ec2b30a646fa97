"""minilxc seccomp disasm: a program, or what a policy is compiled to, as people read it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..disassemble import listing
from . import common, programs

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

SUMMARY = "show a program, or a policy's program, as readable BPF"


def options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("file", metavar="FILE", help="compiled program or policy; - reads standard input")
    programs.add_machine(parser)
    common.add_newer(parser)
    common.add_json(parser)


def run(args: Namespace) -> int:
    """List the program of `args.file`. Returns 0; raises MinilxcError."""
    found = programs.load(args)
    lines = listing(found.program)
    if args.json:
        common.print_json(
            {
                "file": found.name,
                "kind": found.kind,
                "machine": found.machine.name,
                "big_endian": found.program.big,
                "instructions": [
                    {**line._asdict(), **instruction._asdict()}
                    for line, instruction in zip(lines, found.program.instructions, strict=True)
                ],
            }
        )
        return 0
    dim, plain = ("\x1b[2m", "\x1b[0m") if common.colours(sys.stdout) else ("", "")
    width = max(len(line.text) for line in lines)
    for line in lines:
        label = f"{line.label}:" if line.label else ""
        comment = f"  {dim}; {line.comment}{plain}" if line.comment else ""
        text = f"{line.text:<{width}}" if line.comment else line.text
        print(f"{label:<6}{line.at:>4}  {text}{comment}")
    return 0
