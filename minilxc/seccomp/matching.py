"""Which rules with filters match a call, for those who ask about many calls.

What filters say of one argument is looked up, not tried: tests for equality by the value, ranges by
their place among the sorted bounds. Sets of rules are the bits of an integer, the first rule's the lowest.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from operator import or_
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .policy import Filter
    from .rules import Condition, Conditions

_WORD: Final = (1 << 64) - 1


class Matcher:
    """The rules of one stage. `matching` says the same as `rules.matching`."""

    __slots__ = ("_rules", "_tests", "_known")

    def __init__(self, stage: Conditions) -> None:
        self._rules = stage.rules
        used = sorted({test.arg for rule in stage.rules for test in rule.filters})
        self._tests = [(arg, _OneArgument(stage, arg)) for arg in used]
        self._known: dict[tuple[int, int], int] = {}

    def matching(self, words: Sequence[int]) -> list[Condition]:
        """The rules that match the argument `words`, in the policy's order."""
        found = (1 << len(self._rules)) - 1
        for arg, tests in self._tests:
            key = arg, words[arg]
            holding = self._known.get(key)
            if holding is None:
                holding = self._known[key] = tests.holding(words[arg])
            found &= holding
        return [self._rules[place] for place in _places(found)]


class Matchers:
    """A matcher for each stage that is asked about; called as `rules.matching` is."""

    __slots__ = ("_matchers",)

    def __init__(self) -> None:
        self._matchers: dict[int, tuple[Conditions, Matcher]] = {}  # by the stage's id, which it holds on to

    def __call__(self, stage: Conditions, words: Sequence[int]) -> Sequence[Condition]:
        """The rules of `stage` that match the argument `words`, in the policy's order."""
        known = self._matchers.get(id(stage))
        if known is None:
            known = self._matchers[id(stage)] = stage, Matcher(stage)
        return known[1].matching(words)


class _OneArgument:
    """What the rules of a stage ask of one argument."""

    __slots__ = ("_free", "_equal", "_unequal", "_least", "_below")

    def __init__(self, stage: Conditions, arg: int) -> None:
        self._free = 0  # rules that ask nothing of it
        self._equal: dict[int, dict[int, int]] = {}  # mask to value to rules
        self._unequal: dict[int, int] = {}
        least: dict[int, int] = {}  # bound to rules that hold from there on
        below: dict[int, int] = {}  # bound to rules that hold below it
        for place, rule in enumerate(stage.rules):
            bit = 1 << place
            test = next((test for test in rule.filters if test.arg == arg), None)
            if test is None:
                self._free |= bit
                continue
            table, key = self._table(test, least, below)
            table[key] = table.get(key, 0) | bit
        self._least = _Bounds(least)
        self._below = _Bounds(below)

    def _table(
        self, test: Filter, least: dict[int, int], below: dict[int, int]
    ) -> tuple[dict[int, int], int]:
        """Where a rule with this test is noted, and by what."""
        match test.op:
            case "==":
                return self._equal.setdefault(_WORD, {}), test.value
            case "&=":
                return self._equal.setdefault(test.mask, {}), test.value
            case "!=":
                return self._unequal, test.value
            case ">=":
                return least, test.value
            case ">":
                return least, test.value + 1
            case "<":
                return below, test.value
        return below, test.value + 1

    def holding(self, word: int) -> int:
        """The rules of which nothing speaks against `word`."""
        found = self._free | self._least.up_to(word) | self._below.all & ~self._below.up_to(word)
        for mask, by_value in self._equal.items():
            found |= by_value.get(word & mask, 0)
        for value, rules in self._unequal.items():
            if value != word:
                found |= rules
        return found


class _Bounds:
    """Sets of rules by a number each."""

    __slots__ = ("_bounds", "_sums", "all")

    def __init__(self, rules: dict[int, int]) -> None:
        self._bounds = sorted(rules)
        self._sums = list(accumulate((rules[bound] for bound in self._bounds), or_, initial=0))
        self.all = self._sums[-1]

    def up_to(self, number: int) -> int:
        """The rules with a number of at most `number`."""
        return self._sums[bisect_right(self._bounds, number)]


def _places(rules: int) -> Iterator[int]:
    """The places of a set's rules."""
    while rules:
        yield (rules & -rules).bit_length() - 1
        rules &= rules - 1
