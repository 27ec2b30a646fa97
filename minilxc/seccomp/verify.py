"""Every program is run before it is used: it must answer as its rules say.

The judge is `rules.verdicts`, which reads the rules and knows nothing of programs. For each ABI of
the machine every number of its table is asked, every ruled number and its neighbours, numbers far
out; for a rule with filters the arguments around each value and bit that its filters name; for a
multiplexed call each part in several spellings; and ABIs that the machine does not have.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING, Final

from minilxc.errors import PolicyError

from . import actions, calls
from .arch import ABIS, X32_BIT
from .program import InvalidProgramError
from .rules import Conditions, Parts, answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .arch import Abi
    from .policy import Filter
    from .program import Program
    from .rules import AbiRules, Entry, Rules

_TOP = (1 << 64) - 1
_MARGIN = 64
_FAR: Final = (0x3FFFFFFE, 0x3FFFFFFF, 0x40000000, 0x40000400, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_PLAIN: Final = (0,) * 6
_FULL: Final = (_TOP,) * 6
_MANY_ARGUMENTS = 4000  # for one call; beyond, not every combination is tried
_MANY_RULES = 64  # for one call; beyond, not every pair of rules is tried


def verify(program: Program, rules: Rules) -> None:
    """Run `program` against `rules`. Raises PolicyError at the first call that it answers otherwise."""
    try:
        program.validate()
    except InvalidProgramError as error:
        raise PolicyError(f"the compiled program is not valid: {error}", where=rules.path) from None
    for each in rules.abis:
        _verify_abi(program, rules, each)
    known = {each.abi.audit for each in rules.abis}
    for audit in {abi.audit for abi in ABIS} | {0, 0xFFFFFFFF}:
        if audit not in known:
            for number in (0, 1, 59, 0x40000000, 0xFFFFFFFF):
                given, _ = program.simulate(audit, number)
                if given != actions.KILL_THREAD:
                    raise _mismatch(rules.path, f"call {number:#x} of audit value {audit:#x}", given)


def _verify_abi(program: Program, rules: Rules, ruled: AbiRules) -> None:
    abi, entries = ruled
    for number in _numbers(abi, entries):
        # numbers of the ABI that shares the audit value are asked when it is that one's turn
        owner = _owner(abi, number, rules)
        if owner is None:
            given, _ = program.simulate(abi.audit, number)
            if given != actions.KILL_THREAD:
                raise _mismatch(rules.path, f"call {number:#x} of {abi.name}", given)
        if owner is not abi:
            continue
        entry = entries.get(number)
        for args in _arguments(entry) if entry and entry.stages else (_PLAIN,):
            given, _ = program.simulate(abi.audit, number, args)
            wanted = answer(rules, abi, number, args)
            if given not in wanted:
                name = entry.name if entry else f"call {number:#x}"
                call = f"{name}({', '.join(f'{arg:#x}' for arg in args)}) of {abi.name}"
                raise _mismatch(rules.path, call, given, wanted, entry)


def _mismatch(
    path: str,
    call: str,
    given: int,
    wanted: Iterable[int] = (actions.KILL_THREAD,),
    entry: Entry | None = None,
) -> PolicyError:
    """The error for a program that answers `given` to `call`.

    Rules with filters are put together by libseccomp, which fails for some that overlap in several
    arguments; then the lines to blame are known.
    """
    right = " or ".join(sorted(actions.name(action) for action in wanted))
    places = (
        [rule.where for stage in entry.stages if isinstance(stage, Conditions) for rule in stage.rules]
        if entry
        else []
    )
    if len(places) < 2:
        return PolicyError(
            f"the compiled program answers {actions.name(given)} to {call}, not {right}", where=path
        )
    return PolicyError(
        f"libseccomp cannot combine these filters with those of {', '.join(places[:-1])}: "
        f"it answers {actions.name(given)} to {call}, not {right}",
        where=places[-1],
    )


def _owner(abi: Abi, number: int, rules: Rules) -> Abi | None:
    """The ABI of `rules` that a number given to `abi`'s audit value belongs to; None: to none of them."""
    sharing = [each.abi for each in rules.abis if each.abi.audit == abi.audit]
    wanted = number >= X32_BIT
    if len(sharing) == 1:
        return abi if wanted or abi.base != X32_BIT else None
    return next(each for each in sharing if (each.base == X32_BIT) == wanted)


def _numbers(abi: Abi, entries: Iterable[int]) -> Iterable[int]:
    """The call numbers to ask."""
    table = calls.names(abi)
    highest = max(number for number in table if number not in abi.private)
    numbers = {*table, *range(abi.base, highest + _MARGIN), *range(_MARGIN), *_FAR}
    for number in entries:
        numbers.update((max(number - 1, 0), number, number + 1 & 0xFFFFFFFF))
    return sorted(numbers)


def _expect(
    program: Program,
    rules: Rules,
    name: str,
    audit: int,
    number: int,
    args: Sequence[int],
    allowed: Iterable[int],
) -> None:
    given, _ = program.simulate(audit, number, args)
    if given not in allowed:
        wanted = " or ".join(sorted(actions.name(action) for action in allowed))
        call = f"{number:#x}({', '.join(f'{arg:#x}' for arg in args)}) of {name}"
        raise PolicyError(
            f"the compiled program answers {actions.name(given)} to call {call}, not {wanted}",
            where=rules.path,
        )


# --- arguments worth asking


def _arguments(entry: Entry) -> Iterator[Sequence[int]]:
    """Six argument words each: where the stages of `entry` change their minds."""
    yield _PLAIN
    yield _FULL
    for stage in entry.stages:
        if isinstance(stage, Parts):
            yield from _part_arguments(stage)
        else:
            yield from _condition_arguments(stage)


def _part_arguments(stage: Parts) -> Iterator[Sequence[int]]:
    for number in {near for part in stage.by_number for near in (part - 1, part, part + 1)}:
        for spelling in (0, 1 << 16, 1 << 31, 1 << 32, 0xFFFF << 48):
            yield (number + spelling & _TOP, *_PLAIN[1:])


def _condition_arguments(stage: Conditions) -> Iterator[Sequence[int]]:
    tests = [test for rule in stage.rules for test in rule.filters]
    words = [
        sorted({word for test in tests if test.arg == arg for word in _around(test)} or {0})
        for arg in range(6)
    ]
    if prod(map(len, words)) <= _MANY_ARGUMENTS:
        yield from product(*words)
        return
    witnesses = [_witness(rule.filters) for rule in stage.rules]
    for at, (rule, witness) in enumerate(zip(stage.rules, witnesses, strict=True)):
        yield witness
        for test in rule.filters:
            for word in _around(test):
                yield (*witness[: test.arg], word, *witness[test.arg + 1 :])
        for other in range(len(witnesses)) if len(witnesses) <= _MANY_RULES else (at - 1,):
            ruled = {test.arg: witnesses[other][test.arg] for test in stage.rules[other].filters}
            yield tuple(ruled.get(arg, word) for arg, word in enumerate(witness))


def _witness(filters: Iterable[Filter]) -> tuple[int, ...]:
    """Arguments that all of `filters` match, the others 0."""
    words = list(_PLAIN)
    for test in filters:
        match test.op:
            case "!=" | ">":
                words[test.arg] = test.value + 1 & _TOP
            case "<":
                words[test.arg] = test.value - 1
            case _:
                words[test.arg] = test.value
    return tuple(words)


def _around(test: Filter) -> Iterator[int]:
    """Words for an argument: at and beside the filter's value, and with one bit of each kind turned."""
    for near in (test.value - 1, test.value, test.value + 1):
        yield near & _TOP
        yield near & _TOP ^ 1 << 32
    yield test.value ^ 1 << 63
    yield 0
    yield _TOP
    if test.op == "&=":
        yield test.value | ~test.mask & _TOP
        yield test.value ^ test.mask
        for bit in {test.mask & -test.mask, 1 << max(test.mask.bit_length() - 1, 0)}:
            yield test.value ^ bit
