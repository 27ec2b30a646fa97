"""minilxc seccomp explain: what a policy answers to a call on each ABI, and which line says so."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from minilxc.errors import UsageError, printable

from .. import actions, inputs, policy, rules
from ..arch import X32_BIT
from ..explain import (
    call_number,
    comparison,
    condition,
    explain,
    explain_abi,
    explain_all,
    shown,
    verdict,
)
from . import common, programs, words

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Iterator

    from ..arch import Abi, Machine
    from ..explain import Explanation, Reason
    from ..rules import Rules

SUMMARY = "say what a policy answers to a call, and which line decides"

_MANY = 4  # reasons; with more, the heading names the arguments only


def options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("policy", metavar="POLICY", help="policy to explain; - reads standard input")
    parser.add_argument(
        "call",
        metavar="CALL",
        help="system call: its name, its number on ARCH (0x hexadecimal), or 'all' for every call",
    )
    parser.add_argument(
        "args",
        metavar="ARG",
        nargs="*",
        default=[],
        help="what the call is given: numbers, names as AF_UNIX, _ for one that is not known, as are those left out",
    )
    common.add_arch(parser)
    programs.add_abi(parser, "only what the ABI answers, as in a section; a number is one of its own")
    parser.add_argument(
        "--action",
        metavar="ACTION",
        help="with 'all': only calls that may be answered so: allow, kill, errno, 'errno EPERM' and so on",
    )
    common.add_newer(parser)
    common.add_json(parser)


def run(args: Namespace) -> int:
    """Explain `args.call` under `args.policy`. Returns 0; raises MinilxcError."""
    everything = args.call == "all"
    if everything and args.args:
        raise UsageError("'all' takes no arguments")
    if args.action is not None and not everything:
        raise UsageError("--action is for 'all'")
    call, given = words.call(args.call), words.arguments(args.args)
    wanted = None if args.action in (None, "errno") else words.action(args.action, "--action")
    machines = common.machines(args)
    newer = common.newer_action(args)
    text, path = common.read_input(args.policy)
    inputs.expect_policy(text, path)
    parsed = policy.parse(text, path)
    source = _Source(text, path)
    answers: list[tuple[Machine, Rules, list[Explanation]]] = []
    for machine in machines:
        ruled = rules.build(parsed, machine, notify=True, newer=newer)
        found = _explanations(ruled, programs.abi(args, machine), None if everything else call, given)
        if args.action is not None:
            found = _answered(found, None if wanted is None else rules.action_on(machine, wanted))
        answers.append((machine, ruled, list(found)))
    if args.json:
        common.print_json(
            {
                "policy": path,
                "answers": [_json(machine, each, source) for machine, _, found in answers for each in found],
            }
        )
        return 0
    paint = _Paint(common.colours(sys.stdout))
    lines: list[str] = []
    for machine, ruled, found in answers:
        if len(answers) > 1:
            lines.append(paint.strong(f"{machine.name}:"))
        if everything:
            lines += [_row(each, paint) for each in found]
            if args.action is None and args.abi is None:
                lines += _rest(ruled, paint)
        else:
            lines += [line for each in found for line in _block(each, source, paint)]
    _show(lines, paged=everything)
    return 0


class _Source:
    """The text of a policy's lines, by their place."""

    def __init__(self, text: bytes, path: str) -> None:
        self._path = path
        self._rows = text.split(b"\n")

    def line(self, where: str) -> str:
        """What stands at `where`, "" for a place that is not in the policy."""
        path, _, row = where.rpartition(":")
        if path != self._path or not row.isdecimal():
            return ""
        return printable(self._rows[int(row) - 1].decode("utf-8", "surrogateescape").strip())


class _Paint:
    """Colours, where they are wanted."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._wanted else text

    def strong(self, text: str) -> str:
        return self._in("1", text)

    def answer(self, text: str, action: int | None) -> str:
        """Green: the call runs; yellow: it depends; red: it does not run."""
        return self._in("33" if action is None else "32" if actions.runs(action) else "31", text)


def _explanations(
    ruled: Rules, abi: Abi | None, call: str | int | None, given: tuple[int | None, ...]
) -> Iterable[Explanation]:
    """What is to be told: of `call` (None: of every call) on the machine's ABIs, or on `abi` alone."""
    if abi is not None and isinstance(call, int):
        return (explain_abi(ruled, abi, call, given),)
    found = explain_all(ruled) if call is None else explain(ruled, call, given)
    return (each for each in found if abi in (None, each.abi))


def _answered(found: Iterable[Explanation], wanted: int | None) -> Iterator[Explanation]:
    """Those that may be answered by the action `wanted` (None: by any errno)."""
    for each in found:
        given = {reason.action for reason in each.possible}
        errnos = (action for action in given if action & 0xFFFF0000 == actions.ERRNO)
        if wanted in given or (wanted is None and any(True for _ in errnos)):
            yield each


def _heading(found: Explanation) -> str:
    """ABI, call and number."""
    if found.number is None:
        return f"{found.abi.name}: {found.call}"
    if found.via:
        assert found.args[0] is not None
        return f"{found.abi.name}: {found.call} as {found.via} {found.args[0]} ({found.number})"
    name = f"{found.call} ({call_number(found.number)})" if not found.call[0].isdigit() else found.call
    return f"{found.abi.name}: {name}"


def _verdict(found: Explanation) -> str:
    """The verdict, without the conditions where these are many."""
    if len(found.possible) <= _MANY or found.action is not None:
        return verdict(found)
    undecided = {
        judged.test.arg for reason in found.possible for judged in reason.tests if judged.holds is None
    }
    listed = ", ".join(map(str, sorted(undecided)))
    return f"depends on argument{'s' if len(undecided) > 1 else ''} {listed}"


def _row(found: Explanation, paint: _Paint) -> str:
    """An explanation in one line."""
    places = dict.fromkeys(printable(reason.where) for reason in found.possible)
    return f"{_heading(found)}: {paint.answer(_verdict(found), found.action)}  ({', '.join(places)})"


def _rest(ruled: Rules, paint: _Paint) -> Iterator[str]:
    """What is answered to that which has no row."""
    word = paint.answer(actions.word(ruled.default), ruled.default)
    yield f"any other number: {word}  ({printable(ruled.where)})"
    if all(each.abi.base == X32_BIT for each in ruled.abis):
        yield f"any number without x32's bit: {paint.answer('kill', actions.KILL_THREAD)}"
    yield f"any other architecture: {paint.answer('kill', actions.KILL_THREAD)}"


def _block(found: Explanation, source: _Source, paint: _Paint) -> Iterator[str]:
    """An explanation with its reasons."""
    if found.number is None:
        yield f"{paint.strong(_heading(found))}: {verdict(found)}"
        return
    yield f"{paint.strong(_heading(found))}: {paint.answer(_verdict(found), found.action)}"
    many = len(found.possible) > _MANY
    for reason in found.reasons:
        yield f"  {_line(reason, source)}"
        if many and (needed := condition(reason)):
            yield f"    {actions.word(reason.action)} if {needed}" + (
                f" ({reason.part})" if reason.part else ""
            )
        for judged in reason.tests:
            if judged.holds is not None:
                word = found.args[judged.test.arg]
                assert word is not None
                outcome = "holds" if judged.holds else "does not hold"
                passed = word if found.abi.wide else word & 0xFFFFFFFF
                cut = f", of which {found.abi.name} passes {shown(passed)}" if passed != word else ""
                yield f"    {comparison(judged.test)} {outcome}: it is {shown(word)}{cut}"
    if not found.exact:
        yield "  several of these lines may hold together: which one counts is said when the arguments are given"


def _line(reason: Reason, source: _Source) -> str:
    text = source.line(reason.where)
    where = printable(reason.where)
    line = f"{where}: {text}" if text else where
    if reason.kind == "rule":
        return line
    what = "the default" if reason.kind == "default" else "newer than the policy"
    return f"{line}  ({what}: {actions.word(reason.action)})"


def _show(lines: Iterable[str], paged: bool) -> None:
    """Print `lines`, through $PAGER where that is set, wanted, and standard output is a terminal."""
    text = "".join(f"{line}\n" for line in lines)
    pager = os.environ.get("PAGER", "").split()
    if paged and pager and sys.stdout.isatty():
        import subprocess

        # less shows colours when it is told to; FRX is what git gives it
        environment = {"LESS": "FRX", **os.environ}
        try:
            subprocess.run(pager, env=environment, input=text.encode(errors="surrogateescape"), check=False)
        except OSError:
            pass  # a pager that is not there keeps nobody from the answer
        else:
            return
    sys.stdout.write(text)


# --- for programs


def _json(machine: Machine, found: Explanation, source: _Source) -> dict[str, Any]:
    return {
        "machine": machine.name,
        "abi": found.abi.name,
        "call": found.call,
        "number": found.number,
        "via": found.via or None,
        "verdict": None if found.action is None else actions.word(found.action),
        "text": verdict(found),
        "exact": found.exact,
        "reasons": [
            {
                "action": actions.word(reason.action),
                "where": reason.where,
                "line": source.line(reason.where),
                "kind": reason.kind,
                "part": reason.part or None,
                "possible": reason.possible,
                "tests": [
                    {
                        "arg": judged.test.arg,
                        "op": judged.test.op,
                        "value": judged.test.value,
                        "mask": judged.test.mask if judged.test.op == "&=" else None,
                        "holds": judged.holds,
                    }
                    for judged in reason.tests
                ],
            }
            for reason in found.reasons
        ],
    }
