"""Argument filters of two rules that hold together, with different answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .. import actions
from ..wording import call_text
from .subject import Found, gathered, line_number, overlap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..rules import Condition
    from .subject import Context, Subject

_PAIRS: Final = 4000
"""Pairs of rules compared for one call; a policy with more of them has no reader anyway."""


def overlaps(subject: Subject) -> Iterator[Found]:
    """Each such pair, with what the compiled program answers to a call that matches both."""

    def pairs() -> Iterator[tuple[tuple[str, Condition, Condition, tuple[int, ...], int], Context]]:
        for context in subject.contexts:
            for call in context.table:
                for first, second in _different(context.conditions(call)):
                    args = overlap(first.filters, second.filters, context.bits)
                    if args is not None:
                        yield (call, first, second, args, context.asks(call, args)), context

    for (call, first, second, args, answer), contexts in gathered(pairs()).items():
        decided = next((rule for rule in (first, second) if rule.action == answer), None)
        by = f", as {line_number(decided.where)} says" if decided else ""
        yield Found(
            second.where,
            f"{call}: the filters overlap with those of {line_number(first.where)}, which says"
            f" {actions.word(first.action)}: {call_text(call, args)} matches both and is answered"
            f" {actions.word(answer)}{by} (on {subject.names(contexts)})",
            "make the filters exclude each other",
            subject.on(contexts),
        )


def _different(rules: tuple[Condition, ...]) -> Iterator[tuple[Condition, Condition]]:
    """The pairs of rules with different actions, the earlier one first."""
    left = _PAIRS
    if len({rule.action for rule in rules}) < 2:
        return
    for at, second in enumerate(rules):
        for first in rules[:at]:
            if first.action != second.action:
                yield first, second
                left -= 1
                if not left:
                    return
