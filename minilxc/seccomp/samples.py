"""Arguments worth asking a program about: those around which its rules change their minds."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING, Final

from .rules import Conditions, Parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .policy import Filter
    from .rules import Entry

_TOP = (1 << 64) - 1
_PLAIN: Final = (0,) * 6
_FULL: Final = (_TOP,) * 6
_MANY_ARGUMENTS = 4000  # for one call; beyond, not every combination is tried
_MANY_RULES = 64  # for one call; beyond, neither every pair of rules is tried nor every word


def arguments(entry: Entry) -> Iterator[Sequence[int]]:
    """Six argument words each: where the stages of `entry` change their minds."""
    yield _PLAIN
    yield _FULL
    for stage in entry.stages:
        if isinstance(stage, Parts):
            yield from _part_arguments(stage)
        else:
            yield from condition_arguments(stage)


def _part_arguments(stage: Parts) -> Iterator[Sequence[int]]:
    for number in {near for part in stage.by_number for near in (part - 1, part, part + 1)}:
        for spelling in (0, 1 << 16, 1 << 31, 1 << 32, 0xFFFF << 48):
            yield (number + spelling & _TOP, *_PLAIN[1:])


def condition_arguments(stage: Conditions) -> Iterator[Sequence[int]]:
    """Six argument words each: around each value and bit that the stage's filters name, combined."""
    tests = [test for rule in stage.rules for test in rule.filters]
    words = [
        sorted({word for test in tests if test.arg == arg for word in _around(test)} or {0})
        for arg in range(6)
    ]
    if prod(map(len, words)) <= _MANY_ARGUMENTS:
        yield from product(*words)
        return
    many = len(stage.rules) > _MANY_RULES
    witnesses = [_witness(rule.filters) for rule in stage.rules]
    for at, (rule, witness) in enumerate(zip(stage.rules, witnesses, strict=True)):
        yield witness
        for test in rule.filters:
            for word in (test.value - 1 & _TOP,) if many else _around(test):
                yield (*witness[: test.arg], word, *witness[test.arg + 1 :])
        for other in (at - 1,) if many else range(len(witnesses)):
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
        for upper in (0, 1 << 32, -1 << 32):
            yield near + upper & _TOP
    yield test.value ^ 1 << 63
    yield 0
    yield _TOP
    if test.op == "&=":
        yield test.value | ~test.mask & _TOP
        yield test.value ^ test.mask
        for bit in {test.mask & -test.mask, 1 << max(test.mask.bit_length() - 1, 0)}:
            yield test.value ^ bit
