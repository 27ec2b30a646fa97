"""Where two programs answer otherwise, whatever they look like.

Each audit value that counts is taken for itself. Call numbers fall into classes, ranges of which no
program tells one number from another. Both programs are walked on all numbers at once, as sets of
classes, up to where they end or look at something else than the number; what pairs of such
places answer is then compared along all of their paths, whose conditions `symbolic` keeps and solves.

This is exact, for all of the 2^32 numbers and all arguments, for programs that load words, mask them,
compare them with numbers and return numbers: all that libseccomp, minilxc and the container engines
make. A program that calculates with words, compares two of them, returns one, tests bits of the
architecture, keeps so much of what it saw that its places are too many to follow (`symbolic`), or takes
more than _MAX_STEPS steps for a call, is searched instead: every class of numbers that is known by then
with words at and around each number of both programs, combined as far as _MAX_SAMPLES and _MAX_RUN go, and
`Comparison.proved` says so. A difference that is told is real in either case: both programs were run.

Compared is what the kernel does with an answer, so data that it ignores does not count (`actions.meaning`).
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Final, NamedTuple

from minilxc.errors import MinilxcError

from . import actions, calls
from .arch import ABIS, X32_BIT, abi_of_number
from .program import ARCH, ARGS, CONDITIONS, JUMP_ANY_BIT, LOAD, NR, USE_X, WORD
from .symbolic import (
    START,
    Decisions,
    Demand,
    Fork,
    Return,
    State,
    Test,
    TooHardError,
    Word,
    explore,
    run,
    solve,
    within,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .arch import Abi, Machine
    from .program import Program
    from .symbolic import Region

_POINTER = 8  # the place of instruction_pointer in struct seccomp_data
_MAX_STEPS = 50_000
_MAX_SAMPLES = 500
_MIN_SAMPLES = 20
_MAX_RUN = 20_000_000  # instructions for one audit value, which are some seconds; _MIN_SAMPLES may take more
_MAX_HARD = 3  # numbers for which programs are followed as far as they can be, and in vain
_NUMBERS: Final = WORD + 1


class Difference(NamedTuple):
    """A call, or a range of calls without names, that two programs answer otherwise.

    abi           None for architectures that are no ABI of either program's machine
    audit         the audit value; where `abi` is None, one of those that it is true for
    call          its name; "" for a range
    first, last   call numbers, the same for one that has a name
    ours, theirs  the answers of the first and the second program
    number, args  a call for which they are given
    always        every call of these numbers gets these two answers
    """

    abi: Abi | None
    audit: int
    call: str
    first: int
    last: int
    ours: int
    theirs: int
    number: int
    args: tuple[int, ...]
    always: bool


class Comparison(NamedTuple):
    """All differences of two programs; `proved`: there are no others, and not only none was found."""

    differences: tuple[Difference, ...]
    proved: bool


def compare(ours: Program, theirs: Program, machine: Machine) -> Comparison:
    """Where two valid programs of one byte order differ. `machine` has the ABIs that are told by name.

    Raises MinilxcError where one looks at the instruction pointer, which says nothing of a call.
    """
    pair = (ours, theirs)
    if any(
        code == LOAD and _POINTER <= k < ARGS for program in pair for code, _, _, k in program.instructions
    ):
        raise MinilxcError(
            "a program looks at the instruction pointer, so its answers depend on more than the call"
        )
    tests, proved = _followed(pair, {})
    on_audit = [test for test in tests if test.word.offset == ARCH]
    proved &= all(test.word.mask == WORD for test in on_audit)
    mentioned = _borders(on_audit)
    known = {abi.audit: abi for abi in reversed(ABIS)}
    named = {abi.audit for abi in machine.abis} | {audit for audit in known if audit in mentioned}
    borders = sorted({0, *mentioned, *named, *(audit + 1 for audit in named)})
    found: list[Difference] = []
    others: dict[tuple[object, ...], Difference] = {}
    for audit in dict.fromkeys((*(abi.audit for abi in machine.abis), *borders)):
        if audit > WORD:
            continue
        sharing = [abi for abi in ABIS if abi.audit == audit] if audit in named else []
        differences, sure = _compare_audit(pair, audit, sharing)
        proved &= sure
        if sharing:
            found += differences
        else:
            for each in differences:
                others.setdefault(each._replace(audit=0), each)
    return Comparison((*found, *others.values()), proved)


# --- one audit value


class _Classes(NamedTuple):
    """Ranges of call numbers: each begins with one of `starts`, ascending from 0, and ends before the next."""

    starts: Sequence[int]

    def last(self, place: int) -> int:
        return self.starts[place + 1] - 1 if place + 1 < len(self.starts) else WORD


def _compare_audit(
    pair: tuple[Program, Program], audit: int, sharing: Sequence[Abi]
) -> tuple[list[Difference], bool]:
    """The differences on the ABIs that share an audit value, and whether there are no others."""
    names = {number: name for abi in sharing for number, name in _names(abi).items()}
    tests, whole_programs = _followed(pair, {ARCH: audit})
    on_number = [test for test in tests if test.word.offset == NR]
    whole = [test for test in on_number if test.word.mask == WORD]
    borders = {0, X32_BIT, *_borders(whole), *names, *(number + 1 for number in names)}
    classes = _Classes(sorted(border for border in borders if border <= WORD))
    result = _Result(pair, audit, sharing, names, classes)
    if whole_programs:
        result.walk()
    else:
        result.search()
    return result.sorted(), result.proved


class _Result:
    """The differences of one audit value, as they are found."""

    def __init__(
        self,
        pair: tuple[Program, Program],
        audit: int,
        sharing: Sequence[Abi],
        names: Mapping[int, str],
        classes: _Classes,
    ) -> None:
        self.proved = True
        self._pair = pair
        self._audit = audit
        self._sharing = sharing
        self._names = names
        self._classes = classes
        self._found: dict[tuple[int, int, int], Difference] = {}
        self._sampled: tuple[tuple[int, ...], ...] = ()
        self._tries = _MAX_HARD
        # ABIs that share an audit value pass words of one width; of an unknown one nothing is known
        self._wide = not sharing or sharing[0].wide
        high = ARGS + (0 if pair[0].big else 4)
        self._known = {ARCH: audit} | ({} if self._wide else {high + 8 * arg: 0 for arg in range(6)})
        self._decisions = Decisions(pair, self._known, actions.meaning)

    def sorted(self) -> list[Difference]:
        """What was found: by number, neighbouring ranges that are alike as one."""
        merged: list[Difference] = []
        for each in sorted(self._found.values(), key=lambda each: (each.first, each.ours, each.theirs)):
            for place, old in enumerate(merged[-4:], max(len(merged) - 4, 0)):
                alike = old._replace(first=0, last=0, number=0, args=()) == each._replace(
                    first=0, last=0, number=0, args=()
                )
                if not each.call and alike and old.last + 1 == each.first:
                    merged[place] = old._replace(last=each.last)
                    break
            else:
                merged.append(each)
        return merged

    def walk(self) -> None:
        """Compare along all paths."""
        everything = (1 << len(self._classes.starts)) - 1
        fronts = [_front(program, self._known, self._classes, everything) for program in self._pair]
        again = [
            {place for place in front if _asks_number(program, self._known, place)}
            for program, front in zip(self._pair, fronts, strict=True)
        ]
        for ours, left in fronts[0].items():
            for theirs, right in fronts[1].items():
                if common := left & right:
                    alike = ours not in again[0] and theirs not in again[1]
                    self._compare_places(ours, theirs, common, alike)

    def _compare_places(self, ours: State, theirs: State, common: int, alike: bool) -> None:
        """Two places that the classes `common` have come to; `alike`: no number makes a difference from there on."""
        nodes = self._decisions.node(0, ours), self._decisions.node(1, theirs)
        if nodes[0] == nodes[1]:
            return
        members = [place for place in range(common.bit_length()) if common >> place & 1]
        for some in [members] if alike else [[place] for place in members]:
            region = self._region(some[0]) if not alike else {}
            try:
                found = compare_nodes(self._decisions, *nodes, region)
            except TooManyError:
                self._search_number(self._classes.starts[some[0]], some)
                continue
            for (left, right), (inside, always) in found.items():
                args = _arguments(inside, self._pair[0].big)
                for place in some:
                    number = self._classes.starts[place] if alike else _word(inside, NR)
                    self._add(place, left, right, number, args, always)

    def _region(self, place: int) -> Region:
        """What holds of the number in one class."""
        number = Word(NR, WORD)
        first, last = self._classes.starts[place], self._classes.last(place)
        lower = (Test(number, ">", first - 1),) if first else ()
        return {NR: Demand((*lower, Test(number, "<=", last)), first)}

    def _add(
        self, place: int, ours: int, theirs: int, number: int, args: tuple[int, ...], always: bool
    ) -> None:
        """Note that a call is answered otherwise, after the programs have said so themselves."""
        given = [program.simulate(self._audit, number, args)[0] for program in self._pair]
        assert [actions.meaning(action) for action in given] == [ours, theirs]
        first, last = self._classes.starts[place], self._classes.last(place)
        key = (place, ours, theirs)
        if key not in self._found:
            self._found[key] = Difference(
                abi_of_number(self._audit, first, self._sharing),
                self._audit,
                self._names.get(first, ""),
                first,
                last,
                ours,
                theirs,
                number,
                args,
                always,
            )

    def search(self) -> None:
        """Compare on some numbers of each class: what nothing is proved by, but for classes of one number."""
        chance = random.Random(0)
        for place, first in enumerate(self._classes.starts):
            last = self._classes.last(place)
            for number in sorted({first, last, chance.randint(first, last)}):
                self._search_number(number, [place])
            self.proved &= first == last

    def _search_number(self, number: int, places: Sequence[int]) -> None:
        """Compare on one number; what differs counts for `places`."""
        try:
            found = self._answers(number)
        except TooManyError:
            self.proved = False
            self._try_samples(number, places)
            return
        for (left, right), (inside, always) in found.items():
            for place in places:
                at = number if len(places) == 1 else self._classes.starts[place]
                self._add(place, left, right, at, _arguments(inside, self._pair[0].big), always)

    def _answers(self, number: int) -> dict[tuple[int, int], tuple[Region, bool]]:
        """What `compare_nodes` finds for one number. Raises TooManyError."""
        words = {**self._known, NR: number}
        if not self._tries:
            raise TooManyError
        try:
            if any(test is None for program in self._pair for test in _tests(program, words)):
                raise TooManyError
        except TooHardError:
            self._tries -= 1
            raise TooManyError from None
        decisions = Decisions(self._pair, words, actions.meaning)
        return compare_nodes(decisions, decisions.node(0, START), decisions.node(1, START), {})

    def _try_samples(self, number: int, places: Sequence[int]) -> None:
        """Compare on arguments around the numbers of both programs."""
        if not self._sampled:
            once = len(self._classes.starts) * sum(map(len, self._pair))  # instructions for a sample of each
            most = min(_MAX_SAMPLES, max(_MIN_SAMPLES, _MAX_RUN // once))
            self._sampled = tuple(_samples(self._pair, self._wide, most))
        for args in self._sampled:
            ours, theirs = (
                actions.meaning(program.simulate(self._audit, number, args)[0]) for program in self._pair
            )
            if ours != theirs:
                for place in places:
                    at = number if len(places) == 1 else self._classes.starts[place]
                    self._add(place, ours, theirs, at, args, always=False)


def _front(
    program: Program, words: Mapping[int, int], classes: _Classes, everything: int
) -> dict[State, int]:
    """Where calls end, or come to look at something else than their number: the classes at each place.

    Sets of classes are the bits of an integer. A program only jumps forward, so the places are taken
    in the program's order, each with all classes that come to it.
    """
    found: dict[State, int] = {}
    pending = {START: everything}
    while pending:
        state = min(pending, key=lambda each: each.at)
        here = pending.pop(state)
        reached = run(program, state, words)
        if isinstance(reached, Return) or reached.test is None or reached.test.word != Word(NR, WORD):
            found[reached.here] = found.get(reached.here, 0) | here
            continue
        holds = here & _where(reached.test, classes, everything)
        for follower, part in ((reached.then, holds), (reached.otherwise, here & ~holds)):
            if part:
                pending[follower] = pending.get(follower, 0) | part
    return found


def _asks_number(program: Program, words: Mapping[int, int], place: State) -> bool:
    """True when the program looks at the call number once more on some way from `place`."""
    return any(
        isinstance(reached, Fork) and reached.test is not None and reached.test.word.offset == NR
        for reached in explore(program, words, place)
    )


def _where(test: Test, classes: _Classes, everything: int) -> int:
    """The classes in which a test of the number holds."""
    if test.op in ("==", "!="):
        only = 1 << bisect_left(classes.starts, test.k)
        return only if test.op == "==" else everything & ~only
    upper = everything & ~((1 << bisect_right(classes.starts, test.k)) - 1)
    return upper if test.op == ">" else everything & ~upper


# --- along the paths


class TooManyError(Exception):
    """More paths than there is time for."""


def compare_nodes(
    decisions: Decisions, ours: int, theirs: int, region: Region, most: int = _MAX_STEPS
) -> dict[tuple[int, int], tuple[Region, bool]]:
    """The pairs of answers that differ, each with a region that is answered so, and whether all of it is.

    Raises TooManyError where that takes more than `most` steps.
    """
    found: dict[tuple[int, int], Region] = {}
    alike = False
    steps = 0
    pending = [(ours, theirs, region)]
    while pending:
        left, right, inside = pending.pop()
        if left == right:
            alike = True
            continue
        steps += 1
        if steps > most:
            raise TooManyError
        here, there = decisions.nodes[left], decisions.nodes[right]
        if here.test is None and there.test is None:
            found.setdefault((here.action, there.action), inside)
            continue
        test = here.test or there.test
        assert test is not None
        for holds in (False, True):
            try:
                narrowed = within(inside, test if holds else test.inverse())
            except TooHardError:
                raise TooManyError from None
            if narrowed is not None:
                followers = [
                    (node.then if holds else node.otherwise) if node.test == test else place
                    for node, place in ((here, left), (there, right))
                ]
                pending.append((followers[0], followers[1], narrowed))
    return {answers: (inside, not alike and len(found) == 1) for answers, inside in found.items()}


def _word(region: Region, offset: int) -> int:
    """A word at `offset` of an input in `region`, the least where that is not too hard."""
    demand = region.get(offset)
    if demand is None:
        return 0
    try:
        word = solve(demand.tests)
    except TooHardError:
        return demand.witness
    assert word is not None  # no region is empty
    return word


def _arguments(region: Region, big: bool) -> tuple[int, ...]:
    """Arguments in `region`, up to the last one that it says something of."""
    low, high = (4, 0) if big else (0, 4)
    used = max((offset for offset in region if offset >= ARGS), default=0)
    return tuple(_word(region, at + low) | _word(region, at + high) << 32 for at in range(ARGS, used + 1, 8))


# --- what the programs look at


def _followed(pair: tuple[Program, Program], words: Mapping[int, int]) -> tuple[list[Test], bool]:
    """The tests that two programs make, as far as they can be followed, and whether these are all."""
    found: list[Test] = []
    whole = True
    for program in pair:
        try:
            for test in _tests(program, words):
                if test is None:
                    whole = False
                else:
                    found.append(test)
        except TooHardError:
            whole = False
    return found, whole


def _tests(program: Program, words: Mapping[int, int]) -> Iterator[Test | None]:
    """Every test that the program makes, None for what is not followed. Raises TooHardError."""
    for reached in explore(program, words):
        if isinstance(reached, Fork):
            yield reached.test
        elif reached.action is None:
            yield None


def _borders(tests: Iterable[Test]) -> set[int]:
    """The numbers with which something else begins than before them."""
    found = set()
    for test in tests:
        found.add(test.k + 1)
        if test.op in ("==", "!="):
            found.add(test.k)
    return found


def _names(abi: Abi) -> Mapping[int, str]:
    """The calls of `abi`; none where this libseccomp does not know them."""
    try:
        return calls.names(abi)
    except MinilxcError:
        return {}


def _samples(pair: tuple[Program, Program], wide: bool, most: int) -> Iterator[tuple[int, ...]]:
    """Arguments for a search, some `most`: words around every number that either program has."""
    read = {
        instruction.k for program in pair for instruction in program.instructions if instruction.code == LOAD
    }
    used = sorted({(offset - ARGS) // 8 for offset in read if offset >= ARGS})
    words = {0, 1, WORD}
    for program in pair:
        for code, _, _, k in program.instructions:
            if code & ~USE_X in CONDITIONS:
                words |= {k - 1 & WORD, k, k + 1 & WORD}
                if code == JUMP_ANY_BIT:
                    words |= {k ^ WORD, k & -k}
            elif code & 7 == 4:
                words |= {k, k ^ WORD, k + 1 & WORD}
    halves = sorted(words)
    values = sorted(
        {low | high << 32 for low in halves for high in ((0, 1, WORD, *halves) if wide else (0,))}
    )
    yield ()
    if not used:
        return
    if prod(len(values) for _ in used) <= most:
        chosen: Iterable[Sequence[int]] = product(values, repeat=len(used))
    else:
        chance = random.Random(0)
        chosen = ([chance.choice(values) for _ in used] for _ in range(most))
    for some in chosen:
        args = dict(zip(used, some, strict=True))
        yield tuple(args.get(place, 0) for place in range(used[-1] + 1))
