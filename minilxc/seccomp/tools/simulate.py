"""minilxc seccomp simulate: the answer of a program to one call, and the way there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from minilxc.errors import UsageError

from .. import calls
from ..arch import abi_of_number
from ..disassemble import action_words, listing
from ..explain import MAX_CALL, call_number, shown
from ..program import JUMP, LOAD, NR, STORE, STORE_X, TO_X, X_K, X_LENGTH, X_MEMORY
from ..trace import trace
from . import common, programs, words

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from ..arch import Abi
    from ..disassemble import Listed
    from ..inputs import Input
    from ..trace import Trace

SUMMARY = "run a program, or a policy's program, on one call"


def options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("file", metavar="FILE", help="compiled program or policy; - reads standard input")
    parser.add_argument("call", metavar="CALL", help="system call: its name, or its number (0x hexadecimal)")
    parser.add_argument(
        "args",
        metavar="ARG",
        nargs="*",
        default=[],
        help="what the call is given: numbers, or names as AF_UNIX; 0 where left out",
    )
    programs.add_machine(parser)
    programs.add_abi(parser, "the machine's ABI that makes the call, as in a section (default: its own)")
    common.add_newer(parser)
    common.add_json(parser)


def run(args: Namespace) -> int:
    """Run the program of `args.file` on `args.call`. Returns 0; raises MinilxcError."""
    call, given = words.call(args.call), _known(words.arguments(args.args))
    found = programs.load(args)
    abi = programs.abi(args) or found.machine.native
    number = call if isinstance(call, int) else _number(abi, call)
    if number > MAX_CALL:
        raise UsageError(f"{number} is no system call number: it has 32 bits")
    # x86_64 and x32 are told apart by the number alone.
    abi = abi_of_number(abi.audit, number) or abi
    went = trace(found.program, abi, number, given)
    if args.json:
        common.print_json(_json(found, abi, number, given, went))
        return 0
    lines = listing(found.program)
    strong, plain = ("\x1b[1m", "\x1b[0m") if common.colours(sys.stdout) else ("", "")
    name = calls.names(abi).get(number) or call_number(number)
    shown_call = f"{abi.name}: {name}({', '.join(map(shown, given))})"
    print(f"{shown_call}: {strong}{action_words(went.action)}{plain}, {len(went.steps)} instructions")
    for line in _path(found, went, lines):
        print(line)
    return 0


def _known(given: Sequence[int | None]) -> tuple[int, ...]:
    """Arguments to run with: each one has a value."""
    known = tuple(value for value in given if value is not None)
    if len(known) != len(given):
        raise UsageError(
            f"'{words.UNKNOWN}' is no argument to run a program with", hint="0, or another number"
        )
    return known


def _number(abi: Abi, call: str) -> int:
    """The number of `call` on `abi`. Raises UsageError."""
    number = calls.table(abi).get(call)
    if number is not None:
        return number
    if not calls.known(call):
        raise UsageError(f"{call}: no architecture has this system call", hint=calls.suggest(call))
    via = calls.multiplexer(abi, call)
    hint = f"there it is '{via} {calls.MULTIPLEXERS[via][call]}'" if via else None
    raise UsageError(f"{abi.name} does not have {call}", hint=hint)


def _path(found: Input, went: Trace, lines: Sequence[Listed]) -> list[str]:
    """What ran, a line each, with what came of it."""
    width = max(len(lines[step.at].text) for step in went.steps)
    rows = []
    for step in went.steps:
        line = lines[step.at]
        code, _, _, k = found.program.instructions[step.at]
        if step.to is None:
            effect = ""
        elif code & 7 == JUMP:
            effect = f"to {step.to}"
        elif code in (X_K, X_LENGTH, X_MEMORY, TO_X):
            effect = f"x = {step.x:#x}"
        elif code in (STORE, STORE_X):
            effect = f"M[{k}] = {step.a if code == STORE else step.x:#x}"
        elif (code, k) == (LOAD, NR):
            effect = f"a = {call_number(step.a)}"
        else:
            effect = f"a = {step.a:#x}"
        label = f"{line.label}:" if line.label else ""
        rows.append(f"{label:<6}{step.at:>4}  {line.text:<{width}}  {effect}".rstrip())
    return rows


def _json(found: Input, abi: Abi, number: int, given: Sequence[int], went: Trace) -> dict[str, object]:
    return {
        "file": found.name,
        "kind": found.kind,
        "machine": found.machine.name,
        "abi": abi.name,
        "call": calls.names(abi).get(number),
        "number": number,
        "args": list(given),
        "verdict": action_words(went.action),
        "action": went.action,
        "instructions": len(went.steps),
        "path": [step._asdict() for step in went.steps],
    }
