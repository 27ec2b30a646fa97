"""minilxc seccomp diff: the calls that two policies, programs or profiles answer otherwise."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any

from minilxc.errors import MinilxcError, UsageError, printable

from .. import calls, inputs
from ..arch import ABIS, X32_BIT
from ..diff import Comparison, compare
from ..disassemble import action_words
from ..explain import call_number, shown
from . import common

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from ..arch import Machine
    from ..diff import Difference

SUMMARY = "show the calls that two policies or programs answer otherwise"

_FEW = 20  # calls
_LAST = 0xFFFFFFFE  # -1 is no call, but what a tracer writes to have none made
_TROUBLE = 2  # as diff(1): 1 says that they differ


def options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    kinds = "policy, compiled program, or profile in the JSON of Docker and OCI"
    parser.add_argument("a", metavar="A", help=f"{kinds}; - reads standard input")
    parser.add_argument("b", metavar="B", help="the same, to compare with")
    common.add_arch(parser, help="machine to compare on")
    common.add_newer(parser)
    common.add_json(parser)


def run(args: Namespace) -> int:
    """Compare `args.a` and `args.b`. Raises MinilxcError.

    Returns 0 when they are the same, 1 when not, 2 when no difference was found but there may be one.
    """
    try:
        return _run(args)
    except MinilxcError as error:
        error.status = _TROUBLE
        raise


def _run(args: Namespace) -> int:
    if args.a == args.b == "-":
        raise UsageError("only one of the two can be standard input")
    machines = common.machines(args) if args.arch else (None,)
    newer = common.newer_action(args)
    contents = [common.read_input(word) for word in (args.a, args.b)]
    if newer and all(inputs.kind_of(content) != "policy" for content, _ in contents):
        raise UsageError("--newer is for policies, and neither is one")
    results: list[tuple[Machine, Comparison]] = []
    for wanted in machines:
        machine = wanted or _machine(contents)
        a, b = (inputs.load(content, name, machine, newer) for content, name in contents)
        results.append((a.machine, compare(a.program, b.program, a.machine)))
    if args.json:
        common.print_json(_json(contents, results))
    else:
        _print(contents, results)
    same = _same(results)
    return _TROUBLE if same is None else 0 if same else 1


def _same(results: list[tuple[Machine, Comparison]]) -> bool | None:
    """Whether the two mean the same on all machines; None when that is not known."""
    if any(found.differences for _, found in results):
        return False
    return True if all(found.proved for _, found in results) else None


def _machine(contents: list[tuple[bytes, str]]) -> Machine | None:
    """The machine that a compiled program among the two is for: the other one is judged for it, too."""
    for content, name in contents:
        if inputs.kind_of(content) == "program":
            return inputs.load(content, name, None).machine
    return None


def _print(contents: list[tuple[bytes, str]], results: list[tuple[Machine, Comparison]]) -> None:
    removed, added, plain = ("\x1b[31m", "\x1b[32m", "\x1b[0m") if common.colours(sys.stdout) else ("",) * 3
    if any(found.differences for _, found in results):
        print(f"{removed}--- {printable(contents[0][1])}{plain}")
        print(f"{added}+++ {printable(contents[1][1])}{plain}")
    for machine, found in results:
        if len(results) > 1 and found.differences:
            print(f"{machine.name}:")
        for _, rows in groupby(found.differences, key=lambda each: each.abi):
            for line in _lines(list(rows)):
                print(line)
        if not found.proved:
            print(f"minilxc: {_doubt(machine)}", file=sys.stderr)


def _lines(rows: list[Difference]) -> Iterator[str]:
    """A line for each difference of one ABI; where few calls are answered alike, one for most of them."""
    common = Counter((each.ours, each.theirs) for each in rows if each.always).most_common(1)
    most = common[0][0] if common else None
    if len(rows) > 1 and _is_everything(rows):
        alike: list[str] = []
    elif most and len(rows) > _FEW and (abi := rows[0].abi):
        numbers = {each.first for each in rows}
        alike = [name for number, name in sorted(calls.names(abi).items()) if number not in numbers]
        if len(alike) > _FEW or not any(not each.call and each.last >= X32_BIT - 1 for each in rows):
            most = None
    else:
        most = None
    for each in rows:
        if not (each.always and (each.ours, each.theirs) == most):
            answers = f"{action_words(each.ours)} -> {action_words(each.theirs)}"
            yield f"{_subject(each)}: {answers}{_example(each)}"
    if most:
        answers = f"{action_words(most[0])} -> {action_words(most[1])}"
        same = (
            f" but {', '.join(alike)}, which {'is' if len(alike) == 1 else 'are'} the same" if alike else ""
        )
        yield f"{_abi(rows[0])}: every other call{same}: {answers}"


def _is_everything(rows: list[Difference]) -> bool:
    """True when every call number of the ABI is in a row."""
    abi = rows[0].abi
    first, last = (abi.base & X32_BIT, _LAST) if abi else (0, _LAST)
    if abi and any(each.audit == abi.audit and each.base == X32_BIT and each is not abi for each in ABIS):
        last = X32_BIT - 1
    for each in sorted(rows, key=lambda each: each.first):
        if each.first > first:
            return False
        first = max(first, each.last + 1)
    return first > last


def _abi(each: Difference) -> str:
    return "other architectures" if each.abi is None else each.abi.name


def _subject(each: Difference) -> str:
    """The calls that differ."""
    abi = _abi(each)
    if each.call:
        return f"{abi}: {each.call} ({call_number(each.first)})"
    if each.first == each.last:
        return f"{abi}: {call_number(each.first)}"
    if each.first == 0 and each.last >= _LAST:
        return f"{abi}: every call"
    return f"{abi}: {call_number(each.first)} to {call_number(each.last)}"


def _example(each: Difference) -> str:
    """A call for which the answers are these, where not all are."""
    if each.always:
        return ""
    name = each.call or call_number(each.number)
    return f", as for {name}({', '.join(map(shown, each.args))})"


def _doubt(machine: Machine) -> str:
    return f"{machine.name}: these programs can only be searched for differences: there may be more"


def _json(contents: list[tuple[bytes, str]], results: list[tuple[Machine, Comparison]]) -> dict[str, Any]:
    return {
        "a": contents[0][1],
        "b": contents[1][1],
        "same": _same(results),
        "machines": [
            {
                "machine": machine.name,
                "proved": found.proved,
                "differences": [
                    {
                        **each._asdict(),
                        "abi": each.abi.name if each.abi else None,
                        "call": each.call or None,
                        "ours": action_words(each.ours),
                        "theirs": action_words(each.theirs),
                    }
                    for each in found.differences
                ],
            }
            for machine, found in results
        ],
    }
