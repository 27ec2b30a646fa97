"""Rules for one call that get into each other's way: which of them counts, and which does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .. import actions
from ..rules import verdicts
from ..wording import call_text
from .subject import Found, gathered, holds_at, line_number, overlap, specific, written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..policy import Filter, Line
    from .subject import Context, Subject


class _Scope(NamedTuple):
    """The lines that one scope has for one call on one ABI, in their order.

    `fixed` is the first that holds whatever the arguments; `tests` are those whose filters may or may
    not hold. Lines whose filters never hold are in neither: another check tells of them.
    """

    call: str
    lines: tuple[Line, ...]
    fixed: Line | None
    tests: tuple[Line, ...]


def equal_to_default(subject: Subject) -> Iterator[Found]:
    """A rule that says what the default says anyway."""
    default = subject.policy.default

    def useless() -> Iterator[tuple[Line, Context]]:
        for context in subject.contexts:
            for scope, other in _scopes(context):
                for line in scope.lines:
                    if line.action != default or _fixed_before(scope, line) or other:
                        continue
                    if line is scope.fixed and scope.lines[-1] is not line:
                        continue  # it takes away what lines after it say
                    if line.filters and context.abi.multiplexed and line.call in ("socketcall", "ipc"):
                        continue  # it says what becomes of a call whose arguments cannot be seen
                    if line in scope.tests and _excepted_from(scope, line, context):
                        continue
                    yield line, context

    for line, contexts in gathered(useless()).items():
        if _everywhere(subject, line, contexts):
            yield Found(
                line.where,
                f"{line.call or line.number}: '{actions.word(default)}' is the default: the rule changes nothing",
                on=subject.on(contexts),
            )


def lost_exception(subject: Subject) -> Iterator[Found]:
    """A filtered rule equal to the default that was to except calls from another filtered rule."""

    def lost() -> Iterator[tuple[tuple[Line, Line, tuple[int, ...]], Context]]:
        for context in subject.contexts:
            for scope, _ in _scopes(context):
                if scope.fixed:
                    continue
                for line in scope.tests:
                    if line.action == subject.policy.default:
                        found = _excepted_from(scope, line, context)
                        if found:
                            yield (line, *found), context

    for (line, other, args), contexts in gathered(lost()).items():
        yield Found(
            line.where,
            f"{line.call}: a rule with filters that says what the default says is left out, so it is no"
            f" exception from {line_number(other.where)}: {call_text(line.call, args)} is answered"
            f" {actions.word(other.action)} on {subject.names(contexts)}",
            f"narrow the filters of {line_number(other.where)} instead",
            subject.on(contexts),
        )


def duplicate(subject: Subject) -> Iterator[Found]:
    """A rule that says what another rule has said."""

    def repeated() -> Iterator[tuple[tuple[Line, Line], Context]]:
        for context in subject.contexts:
            for scope, _ in _scopes(context):
                seen: dict[object, Line] = {}
                for line in scope.lines:
                    first = seen.setdefault((frozenset(line.filters), line.action), line)
                    fixed = scope.fixed
                    if first is not line:
                        yield (line, first), context
                    elif (
                        fixed
                        and fixed is not line
                        and line.action == fixed.action
                        and not actions.runs(line.action)
                    ):
                        yield (line, fixed), context

    for (line, first), contexts in gathered(repeated()).items():
        if _everywhere(subject, line, contexts):
            yield Found(
                line.where,
                f"{line.call or line.number}: {line_number(first.where)} says so already",
                on=subject.on(contexts),
            )


def shadowed(subject: Subject) -> Iterator[Found]:
    """A rule that an earlier one without filters takes the effect from."""

    def dead() -> Iterator[tuple[tuple[Line, Line], Context]]:
        for context in subject.contexts:
            for scope, _ in _scopes(context):
                for line in scope.lines:
                    fixed = scope.fixed
                    if (
                        fixed
                        and line is not fixed
                        and line not in scope.tests
                        and line.action != fixed.action
                        and not _never(line, context)
                    ):
                        yield (line, fixed), context

    for (line, fixed), contexts in gathered(dead()).items():
        yield Found(
            line.where,
            f"{line.call}: has no effect on {subject.names(contexts)}: the first rule stands,"
            f" {line_number(fixed.where)} '{written(fixed)}'",
            "remove one of the two",
            subject.on(contexts),
        )


def replaced(subject: Subject) -> Iterator[Found]:
    """A rule with filters beside one without, which answers every call."""

    def dead() -> Iterator[tuple[tuple[Line, Line], Context]]:
        for context in subject.contexts:
            for scope, _ in _scopes(context):
                fixed = scope.fixed
                for line in scope.tests if fixed else ():
                    if fixed and (line.action != fixed.action or actions.runs(line.action)):
                        yield (line, fixed), context

    for (line, fixed), contexts in gathered(dead()).items():
        yield Found(
            line.where,
            f"{line.call}: the filters have no effect on {subject.names(contexts)}: {line_number(fixed.where)}"
            f" '{written(fixed)}' is for all arguments and replaces every rule with filters",
            f"give {line_number(fixed.where)} filters too, or remove one of the two",
            subject.on(contexts),
        )


def section_overrides(subject: Subject) -> Iterator[Found]:
    """A rule of a named section where the general part has rules for the same call."""

    def over() -> Iterator[tuple[tuple[Line, Line], Context]]:
        for context in subject.contexts:
            for scope, other in _scopes(context):
                if other and specific(scope.lines[0]) and _said(scope.lines) != _said(other):
                    yield (scope.lines[0], other[0]), context

    for (line, general), contexts in gathered(over()).items():
        yield Found(
            line.where,
            f"{line.call}: on {subject.names(contexts)} this replaces {line_number(general.where)}"
            f" '{written(general)}'",
            on=subject.on(contexts),
        )


def reopened(subject: Subject) -> Iterator[Found]:
    """A section whose filters let through what the general part denies."""

    def open_again() -> Iterator[tuple[tuple[Line, Line, tuple[int, ...]], Context]]:
        for context in subject.contexts:
            for scope, other in _scopes(context):
                if scope.fixed or not scope.tests or not specific(scope.tests[0]):
                    continue
                for line in other:
                    found = None if actions.runs(line.action) else _open_at(context, scope, line)
                    if found:
                        yield (scope.tests[0], line, found), context
                        break

    for (line, general, args), contexts in gathered(open_again()).items():
        yield Found(
            line.where,
            f"{line.call}: on {subject.names(contexts)} the section's rules replace {line_number(general.where)}"
            f" '{written(general)}': {call_text(line.call, args)} is let through",
            f"repeat '{written(general)}' in the section",
            subject.on(contexts),
        )


def _open_at(context: Context, scope: _Scope, line: Line) -> tuple[int, ...] | None:
    """Arguments that a general `line` denies and that the rules in force let through."""
    if scope.call not in context.table:
        return None
    args = overlap(line.filters, (), context.bits)
    if args is None:
        return None
    number = context.table[scope.call]
    answers = verdicts(context.built.rules, context.abi, number, args)
    return args if all(actions.runs(answer.action) for answer in answers) else None


def _scopes(context: Context) -> Iterator[tuple[_Scope, tuple[Line, ...]]]:
    """Each call's lines, scope by scope, with the other scope's lines for the same call."""
    general: dict[str, list[Line]] = {}
    own: dict[str, list[Line]] = {}
    for line in context.lines:
        call = line.call or str(line.number)
        if line.number >= 0 or context.has(call):
            (own if specific(line) else general).setdefault(call, []).append(line)
    for ours, others in ((general, own), (own, general)):
        for call, lines in ours.items():
            tests, fixed = [], None
            for line in lines:
                held = [holds_at(test, context.bits) for test in line.filters]
                if False in held:
                    continue
                if all(held):
                    fixed = fixed or line
                else:
                    tests.append(line)
            yield _Scope(call, tuple(lines), fixed, tuple(tests)), tuple(others.get(call, ()))


def _said(lines: tuple[Line, ...]) -> set[tuple[frozenset[Filter], int]]:
    """What lines say, wherever they stand."""
    return {(frozenset(line.filters), line.action) for line in lines}


def _fixed_before(scope: _Scope, line: Line) -> bool:
    """True when another line answers every call that `line` is for."""
    return scope.fixed is not None and scope.fixed is not line


def _never(line: Line, context: Context) -> bool:
    return any(holds_at(test, context.bits) is False for test in line.filters)


def _excepted_from(scope: _Scope, line: Line, context: Context) -> tuple[Line, tuple[int, ...]] | None:
    """Another filtered rule that some calls match together with `line`, and such a call's arguments."""
    for other in scope.tests:
        if other.action != line.action:
            args = overlap(line.filters, other.filters, context.bits)
            if args is not None:
                return other, args
    return None


def _everywhere(subject: Subject, line: Line, contexts: list[Context]) -> bool:
    """True when what is said of `line` holds on every ABI that it is for: else it does change something."""
    return all(
        context in contexts
        for context in subject.contexts
        if context.reads(line) and (line.number >= 0 or context.has(line.call))
    )
