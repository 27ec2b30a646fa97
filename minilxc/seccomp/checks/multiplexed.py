"""Calls behind socketcall(2) and ipc(2), where a filter sees which call it is and none of its arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import actions, calls
from ..rules import holds
from ..wording import listed, number_text
from .subject import Found, gathered, holds_at, lets_through

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..policy import Line
    from ..rules import Verdict
    from .subject import Context, Subject


def blind(subject: Subject) -> Iterator[Found]:
    """A filtered rule for such a call, where the policy does not say what the multiplexer answers."""

    def unseen() -> Iterator[tuple[tuple[Line, str, Verdict], Context]]:
        for context in subject.contexts:
            told = set()
            for name, line in _filtered(context):
                verdict = _behind(context, name, line.call)
                if line.call not in told and not _says(context, name, line.call, verdict.action):
                    yield (line, name, verdict), context
                told.add(line.call)

    for (line, name, verdict), contexts in gathered(unseen()).items():
        names = subject.names(contexts)
        word = actions.word(verdict.action)
        part = calls.MULTIPLEXERS[name][line.call]
        mask = number_text(0xFFFFFFFF if name == "socketcall" else 0xFFFF)
        yield Found(
            line.where,
            f"{line.call}: programs can make this call through {name} too, which hides the arguments:"
            f" there it is answered {word}, whatever they are (on {names})",
            f"if that is right, say it: '{name} {subject.words(verdict)} [0,{part},&=,{mask}]'",
            subject.on(contexts),
        )


def opened(subject: Subject) -> Iterator[Found]:
    """A rule that lets a multiplexer through, and with it calls that the policy denies or filters."""

    def ways() -> Iterator[tuple[tuple[str, str, tuple[str, ...]], Context]]:
        for context in subject.contexts:
            for name, parts in calls.MULTIPLEXERS.items() if context.abi.multiplexed else ():
                filtered = {line.call for multiplexer, line in _filtered(context) if multiplexer == name}
                found: dict[str, list[str]] = {}
                for call in parts:
                    verdict = _behind(context, name, call)
                    if lets_through(verdict.action) and _says(context, name, call, verdict.action):
                        if call in filtered or not _allowed(context, call):
                            found.setdefault(verdict.where, []).append(call)
                for where, names in found.items():
                    yield (where, name, tuple(names)), context

    for (where, name, names), contexts in gathered(ways()).items():
        yield Found(
            where,
            f"{name}: lets through what other lines do not: {listed(names)} (on {subject.names(contexts)})",
            f"leave {name} out: a rule for each call behind it counts there too",
            subject.on(contexts),
        )


def _filtered(context: Context) -> Iterator[tuple[str, Line]]:
    """The rules for parts whose filters count, with their multiplexer."""
    for line in context.rules if context.abi.multiplexed else ():
        name = context.multiplexer(line.call)
        if name and None in [holds_at(test, context.bits) for test in line.filters]:
            if line.call not in context.table or context.conditions(line.call):
                yield name, line


def _behind(context: Context, name: str, call: str) -> Verdict:
    """What `call` is answered when it comes through the multiplexer `name`."""
    return context.verdict(name, calls.MULTIPLEXERS[name][call])


def _says(context: Context, name: str, call: str, action: int) -> bool:
    """True when a rule for the multiplexer itself gives its part `call` this answer."""
    part = calls.MULTIPLEXERS[name][call]
    return any(
        line.call == name
        and line.action == action
        and all(holds(test, 0 if test.arg else part) for test in line.filters)
        for line in context.rules
    )


def _allowed(context: Context, call: str) -> bool:
    """True when rules by the call's own name let it through; where it has no number, whether a line does."""
    if call in context.table:
        return context.answer(call) is not None and context.may_run(call)
    named = [line for line in context.lines if line.call == call]
    if named:
        return lets_through(named[0].action)
    return lets_through(context.built.rules.default)
