"""A program run on calls that are known in part: where it forks, and what must hold for each way.

A register holds a number, an input word of seccomp_data under a mask (`Word`), or None: something that
this module does not follow, such as the sum of two words. Every filter that libseccomp, container engines
and minilxc make loads words, masks them and compares them with numbers: of such programs everything
here is exact, because what a path demands of one word is independent of all other words, and
`solve` decides it.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from .program import (
    ALU,
    AND,
    ARCH,
    CONDITIONS,
    DATA_SIZE,
    FROM_X,
    JUMP,
    JUMP_ANY_BIT,
    JUMP_AT_LEAST,
    JUMP_EQUAL,
    LOAD,
    LOAD_K,
    LOAD_LENGTH,
    LOAD_MEMORY,
    MEMORY_WORDS,
    NEGATE,
    RETURN,
    RETURN_A,
    STORE,
    TO_X,
    USE_X,
    WORD,
    X_K,
    X_LENGTH,
    X_MEMORY,
    compare,
    compute,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from .program import Program

_DIVIDE: Final = 0x34


class Word(NamedTuple):
    """The input word at `offset` of seccomp_data, all bits outside `mask` 0."""

    offset: int
    mask: int


Value = int | Word | None
"""What a register holds; None is what is not followed."""


class State(NamedTuple):
    """A program before the instruction `at`: registers and memory."""

    at: int
    a: Value
    x: Value
    memory: tuple[Value, ...]


START: Final = State(0, 0, 0, (0,) * MEMORY_WORDS)
"""Before the first instruction."""


class Return(NamedTuple):
    """The program ends in the state `here` and answers `action`, None where that is not known."""

    here: State
    action: int | None


class Test(NamedTuple):
    """What a conditional jump asks of a word: (word & mask) `op` k, `op` one of == != > <=."""

    word: Word
    op: str
    k: int

    def holds(self, word: int) -> bool:
        """True when the test holds for a whole `word`."""
        masked = word & self.word.mask
        if self.op == "==":
            return masked == self.k
        if self.op == "!=":
            return masked != self.k
        return masked > self.k if self.op == ">" else masked <= self.k

    def inverse(self) -> Test:
        """The test that holds where this one does not."""
        return self._replace(op=_INVERSE[self.op])


_INVERSE: Final = {"==": "!=", "!=": "==", ">": "<=", "<=": ">"}


class Fork(NamedTuple):
    """The program is in the state `here`, at a jump that asks `test`: it goes to `then` or `otherwise`.

    `test` is None where what is asked is not followed.
    """

    here: State
    test: Test | None
    then: State
    otherwise: State


def step(program: Program, state: State, words: Mapping[int, int]) -> State | Return | Fork:
    """One instruction. `words` are the input words that are known, by their offset in seccomp_data."""
    at, a, x, _ = state
    code, jt, jf, k = program.instructions[at]
    after = state._replace(at=at + 1)
    if code == LOAD:
        return after._replace(a=words.get(k, Word(k, WORD)))
    if code == RETURN:
        return Return(state, k)
    if code == RETURN_A:
        return Return(state, a if isinstance(a, int) else None)
    if code == JUMP:
        return state._replace(at=at + 1 + k)
    by = x if code & USE_X else k
    if code & ~USE_X in CONDITIONS:
        then, otherwise = state._replace(at=at + 1 + jt), state._replace(at=at + 1 + jf)
        if isinstance(a, int) and isinstance(by, int):
            return then if compare(code & ~USE_X, a, by) else otherwise
        test = None
        if isinstance(a, Word) and isinstance(by, int):
            test = _test(code & ~USE_X, a, by)
        if isinstance(test, bool):
            return then if test else otherwise
        return Fork(state, test, then, otherwise)
    if code == NEGATE:
        return after._replace(a=-a & WORD if isinstance(a, int) else None)
    if code & ~USE_X in ALU:
        if code == _DIVIDE | USE_X and not (isinstance(by, int) and by):
            # the kernel ends a program that divides by zero with 0
            return Return(state, 0 if by == 0 else None)
        return after._replace(a=_alu(code & ~USE_X, a, by))
    return _move(after, code, k)


def _test(code: int, a: Word, k: int) -> Test | bool:
    """A jump's test in this module's form; True or False where the mask alone decides it."""
    if code == JUMP_ANY_BIT:
        return Test(Word(a.offset, a.mask & k), "!=", 0) if a.mask & k else False
    if code == JUMP_EQUAL:
        return False if k & ~a.mask else Test(a, "==", k)
    if code == JUMP_AT_LEAST:
        if not k:
            return True
        k -= 1
    return False if k >= a.mask else Test(a, ">", k)


def _alu(code: int, a: Value, by: Value) -> Value:
    if isinstance(a, int) and isinstance(by, int):
        return compute(code, a, by)
    if code == AND:
        for value, bits in ((a, by), (by, a)):
            if isinstance(value, Word) and isinstance(bits, int):
                return Word(value.offset, value.mask & bits) if value.mask & bits else 0
    return None


def _move(after: State, code: int, k: int) -> State:
    """The instructions that fill a register or a memory word."""
    _, a, x, memory = after
    match code:
        case code if code in (LOAD_K, LOAD_LENGTH):
            return after._replace(a=DATA_SIZE if code == LOAD_LENGTH else k)
        case code if code in (X_K, X_LENGTH):
            return after._replace(x=DATA_SIZE if code == X_LENGTH else k)
        case code if code == LOAD_MEMORY:
            return after._replace(a=memory[k])
        case code if code == X_MEMORY:
            return after._replace(x=memory[k])
        case code if code == TO_X:
            return after._replace(x=a)
        case code if code == FROM_X:
            return after._replace(a=x)
    value = a if code == STORE else x
    return after._replace(memory=(*memory[:k], value, *memory[k + 1 :]))


def run(program: Program, state: State, words: Mapping[int, int]) -> Return | Fork:
    """The program from `state` to its end, or to a jump that `words` does not decide."""
    reached: State | Return | Fork = state
    while isinstance(reached, State):
        reached = step(program, reached, words)
    return reached


def explore(program: Program, words: Mapping[int, int], start: State = START) -> Iterator[Return | Fork]:
    """Every end and every undecided jump that some call with these `words` may reach from `start`, each once.

    Raises TooHardError after _MAX_PLACES of them: programs that keep what they calculate may come to each
    place with any number of values.
    """
    pending = [start]
    seen: set[State] = set()
    while pending:
        reached = run(program, pending.pop(), words)
        if reached.here in seen:
            continue
        if len(seen) == _MAX_PLACES:
            raise TooHardError
        seen.add(reached.here)
        yield reached
        if isinstance(reached, Fork):
            pending += (reached.then, reached.otherwise)


def audit_values(program: Program) -> tuple[int, ...]:
    """The audit values that the program compares the architecture with, in the order of its tests.

    Of a program that is too hard to follow, those that are found until then.
    """
    found = {}
    with suppress(TooHardError):
        for reached in explore(program, {}):
            test = reached.test if isinstance(reached, Fork) else None
            if test and test.word.offset == ARCH and test.op == "==":
                found[test.k] = reached.here.at
    return tuple(sorted(found, key=found.__getitem__))


# --- what a path demands of a word


class Demand(NamedTuple):
    """Tests of one word, and a word for which all of them hold."""

    tests: tuple[Test, ...]
    witness: int


Region = dict[int, Demand]
"""Inputs, by what is demanded of the words at each offset in seccomp_data. No region is empty."""

_ANYTHING: Final = Demand((), 0)
_MAX_OPEN = 5_000
_MAX_PLACES = 1 << 15  # the longest program of libseccomp's or minilxc's comes to some 10,000


class TooHardError(Exception):
    """More places to come to, or more ways in which the masks of tests overlap, than there is time to follow."""


def within(region: Region, test: Test) -> Region | None:
    """`region` where `test` holds as well; None where no input is in both. Raises TooHardError."""
    old = region.get(test.word.offset, _ANYTHING)
    if test in old.tests:
        return region
    witness = old.witness if test.holds(old.witness) else _witness(old, test)
    if witness is None:
        return None
    kept = old.tests
    if test.op == "==":  # what looks at no other bits is decided by it
        kept = tuple(each for each in kept if each.word.mask & ~test.word.mask)
    return {**region, test.word.offset: Demand((*kept, test), witness)}


def _witness(old: Demand, test: Test) -> int | None:
    """A word for which `old` and `test` hold, which is not so for the old one's witness."""
    word, mask, k = old.witness, test.word.mask, test.k
    if any(each.op == "==" and not mask & ~each.word.mask for each in old.tests):
        return None  # all bits that the test looks at have their values
    match test.op:
        case "==":
            guesses = [word & ~mask | k]
            if all(not each.word.mask & ~mask for each in old.tests):
                return guesses[0] if all(each.holds(guesses[0]) for each in old.tests) else None
        case "!=":
            guesses = [word ^ 1 << place for place in range(32) if mask >> place & 1]
        case ">":
            guesses = [word & ~mask | k + 1 & mask, word | mask]
        case _:
            guesses = [word & ~mask, word & ~mask | k & mask]
    for guess in guesses:
        if test.holds(guess) and all(each.holds(guess) for each in old.tests):
            return guess
    return solve((*old.tests, test))


def solve(tests: Iterable[Test]) -> int | None:
    """The least word for which all `tests`, of one and the same word, hold; None when there is none.

    Raises TooHardError.
    """
    return _solve(frozenset(tests))


@lru_cache(maxsize=1 << 14)
def _solve(tests: frozenset[Test]) -> int | None:
    # From the highest bit down. What is known of the bits so far is which tests are still open: those
    # whose masked word and k are the same so far. Of words that leave the same ones open the least does.
    looked_at = 0
    for test in tests:
        looked_at |= test.word.mask
    found: dict[frozenset[Test], int] = {tests: 0}
    for place in range(31, -1, -1):
        bit = 1 << place
        following: dict[frozenset[Test], int] = {}
        for chosen in (0, bit) if looked_at & bit else (0,):
            for open_tests, word in found.items():
                left = _narrowed(open_tests, bit, chosen)
                if left is not None:
                    following[left] = min(word | chosen, following.get(left, WORD))
        if len(following) > _MAX_OPEN:
            raise TooHardError
        found = following
    return min(found.values(), default=None)


def _narrowed(tests: frozenset[Test], bit: int, chosen: int) -> frozenset[Test] | None:
    """The tests that stay open when a word's `bit` is `chosen` (0 or `bit`); None when one fails by it.

    The higher bits of a test's word and k are the same.
    """
    left = []
    for test in tests:
        ours, theirs = chosen & test.word.mask, test.k & bit
        if ours == theirs:
            if (test.word.mask | test.k) & (bit - 1):
                left.append(test)
            elif test.op in ("!=", ">"):
                return None  # no lower bit can tell the two apart any more
        elif test.op == "==" or test.op == (">" if ours < theirs else "<="):
            return None
    return frozenset(left)


# --- programs as decisions


class Node(NamedTuple):
    """What a program does from some place on: it answers `action`, or goes on by `test`.

    `then` and `otherwise` are the numbers of the nodes that follow; -1 for an answer.
    """

    test: Test | None
    then: int
    otherwise: int
    action: int


class Decisions:
    """Places of programs as nodes, known by number. Places that decide alike are one node, whatever the program."""

    __slots__ = ("nodes", "_programs", "_known", "_places", "_words", "_meaning")

    def __init__(
        self, programs: Sequence[Program], words: Mapping[int, int], meaning: Callable[[int], int]
    ) -> None:
        """Of calls with these `words`; answers with one `meaning` are one."""
        self.nodes: list[Node] = []
        self._programs = programs
        self._known: dict[Node, int] = {}
        self._places: list[dict[State, int]] = [{} for _ in programs]
        self._words = words
        self._meaning = meaning

    def node(self, which: int, place: State) -> int:
        """The node for program `which` from `place` on. Every test that can be reached must be one that is followed."""
        program, places = self._programs[which], self._places[which]
        pending = [place]
        while pending:
            state = pending[-1]
            if state in places:
                pending.pop()
                continue
            reached = run(program, state, self._words)
            if isinstance(reached, Return):
                assert reached.action is not None
                found = self._number(Node(None, -1, -1, self._meaning(reached.action)))
            else:
                assert reached.test is not None
                missing = [each for each in (reached.then, reached.otherwise) if each not in places]
                if missing:
                    pending += missing
                    continue
                then, otherwise = places[reached.then], places[reached.otherwise]
                found = then if then == otherwise else self._number(Node(reached.test, then, otherwise, -1))
            places[state] = found
        return places[place]

    def _number(self, node: Node) -> int:
        number = self._known.setdefault(node, len(self.nodes))
        if number == len(self.nodes):
            self.nodes.append(node)
        return number
