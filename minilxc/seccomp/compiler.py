"""Rules to a program: our own assembler, with libseccomp's answer where argument filters overlap.

A program is, per ABI, a sorted map from call numbers to answers; it becomes a binary search over
ranges of numbers. Building it here rather than in libseccomp, which supplies names and numbers, is a
decision with these reasons (numbers: `benchmarks/filters`):

- libseccomp 2.5.4 cannot say all that a policy says: it reads foreign numbers as native ones, rules
  nothing for an ABI with only multiplexed calls, compares the whole word of ipc(2), mixes up two
  powerpc calls, lacks the newest calls. Working around each of these, and patching instructions of
  our own into its output, was longer than this module and `assemble` together.
- A policy of Docker's size on amd64: 285 instructions, the longest way through them 20, against 969
  and 600 (CTL_OPTIMIZE 1) or 1210 and 25 (2, a binary tree). It loads in less than half the time. It
  compiles sooner, and later where the check against every rule counts. A short denylist is about as
  large as the library's list, and a tenth smaller than its tree.
- Nothing depends on the machine that builds: not the byte order, not the kernel's list of actions.

What stays with libseccomp is the order among argument filters of one call, which users of LXC know:
a filter for a single call is built with the library, and the decision it makes after the call's
number matched is taken over. What the library refuses (EEXIST) is an error that names both lines;
where its decision is wrong (2.5.4, ranges that overlap in two arguments: no rule matches, and one
answers), never made (the same; it loops) or not proved to be right, the rules are tried in the policy's
order.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from minilxc.errors import PolicyError

from . import actions, calls
from .arch import X32_BIT, abi_by_section
from .assemble import Graph, linear
from .diff import TooManyError, compare_nodes
from .libseccomp import EndlessError, Rule, Wanted, export
from .matching import Matcher
from .program import (
    AND,
    ARCH,
    ARGS,
    JUMP,
    JUMP_ANY_BIT,
    JUMP_AT_LEAST,
    JUMP_EQUAL,
    JUMP_GREATER,
    LOAD,
    MAX_INSTRUCTIONS,
    NR,
    RETURN,
    WORD,
    Instruction,
    Program,
)
from .rules import Condition, Conditions, Parts
from .samples import condition_arguments
from .symbolic import START, Decisions

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence

    from .arch import Abi
    from .libseccomp import Exported
    from .policy import Filter
    from .rules import AbiRules, Entry, Rules

    _Tests = tuple[tuple[tuple[Filter, ...], int], ...]

_CALL = "read"  # any that every ABI has
_PROVED_RULES = 64  # for one call, and more than anybody writes
_PROVED_STEPS = 30_000  # for no answer, and as many for all answers together
_LEAST_STEPS = 5000  # for each answer
_BLAMED = 20  # of the rules that libseccomp refuses for reasons of its own, how many are looked into

MAX_FILTERED: Final = 1000
"""Rules with filters for one call. The kernel takes some more where they are short, and nobody writes them."""

_endless: set[tuple[bool, _Tests]] = set()
"""What libseccomp is known to come to no end over."""

_TESTS: Final[Mapping[int, Callable[[int, int], bool]]] = {
    JUMP_EQUAL: lambda a, k: a == k,
    JUMP_GREATER: lambda a, k: a > k,
    JUMP_AT_LEAST: lambda a, k: a >= k,
    JUMP_ANY_BIT: lambda a, k: bool(a & k),
}


def compile_rules(rules: Rules) -> Program:
    """The program that answers as `rules` say, in the byte order of their machine.

    A call of an ABI that the machine does not have is answered KILL_THREAD. Raises PolicyError where
    the filters of two lines contradict each other, and for a program that the kernel would not take.
    """
    graph = Graph()
    root = graph.answer(actions.KILL_THREAD)
    audits = dict.fromkeys(each.abi.audit for each in rules.abis)
    for audit in reversed(audits):  # the native one is asked for first
        tree = _numbers(graph, [each for each in rules.abis if each.abi.audit == audit], rules.default)
        root = graph.test(JUMP_EQUAL, audit, graph.load(NR, tree), root)
    program = Program(linear(graph, graph.load(ARCH, root)), rules.machine.big)
    if len(program) > MAX_INSTRUCTIONS:
        raise PolicyError(
            f"the program has {len(program)} instructions, the kernel takes {MAX_INSTRUCTIONS}",
            where=rules.where,
        )
    return program


def _numbers(graph: Graph, abis: Sequence[AbiRules], default: int) -> int:
    """The search for A, a call number, among the ABIs that share an audit value."""
    leaves = {
        number: _entry(graph, each.abi, entry) for each in abis for number, entry in each.entries.items()
    }
    spans = [span for each in abis for span in each.spans]
    starts = {0, X32_BIT}
    for numbers in (*(span.numbers for span in spans), *(range(number, number + 1) for number in leaves)):
        starts.update((numbers.start, numbers.stop))
    # x32 alone: what has not its bit is a call of x86_64, an ABI which is not there
    least = X32_BIT if all(each.abi.base == X32_BIT for each in abis) else 0

    def unruled(number: int) -> int:
        if number < least:
            return graph.answer(actions.KILL_THREAD)
        return graph.answer(next((span.action for span in spans if number in span.numbers), default))

    ranges = [
        (start, leaves[start] if start in leaves else unruled(start))
        for start in sorted(starts)
        if start < 1 << 32
    ]
    return graph.search(ranges)


def _entry(graph: Graph, abi: Abi, entry: Entry) -> int:
    """The node that answers one call."""
    node = graph.answer(entry.action)
    for stage in reversed(entry.stages):
        match stage:
            case Parts():
                node = _parts(graph, abi, stage, node)
            case Conditions():
                node = _conditions(graph, abi, stage, node)
    return node


def _parts(graph: Graph, abi: Abi, stage: Parts, otherwise: int) -> int:
    """The answer by argument 0, `otherwise` for words that are no ruled part."""
    ranges = [(0, otherwise)]
    for number, part in sorted(stage.by_number.items()):
        if ranges[-1][0] == number:
            ranges.pop()
        ranges += [(number, graph.answer(part.action)), (number + 1, otherwise)]
    node = graph.search(ranges)
    if stage.mask & 0xFFFFFFFF != 0xFFFFFFFF:
        node = graph.mask(stage.mask, node)
    node = _load(graph, abi, 0, 0, node)
    if stage.mask >> 32:
        node = _load(graph, abi, 0, 1, graph.test(JUMP_EQUAL, 0, node, otherwise))
    return node


# --- argument filters, as libseccomp sorts them


def _conditions(graph: Graph, abi: Abi, stage: Conditions, otherwise: int) -> int:
    """The answer of rules with filters, `otherwise` where none matches."""
    for error in _refused(abi, stage):
        raise error
    answers = _answers(stage)
    if len(answers) == 1:  # whichever rule matches, the answer is the same
        return _in_order(graph, abi, stage, otherwise)
    tests = _tests(stage)
    decision = _decision(abi.wide, tests)
    if decision is None or not _is_right(abi.wide, tests):
        return _in_order(graph, abi, stage, otherwise)
    return _graft(
        graph, abi, decision.block, decision.start, [graph.answer(action) for action in answers], otherwise
    )


def refusals(rules: Rules) -> Iterator[tuple[Abi, PolicyError]]:
    """Every reason why no program can be made of the filters of one call, with the ABI that it holds for."""
    for abi, stage in _stages(rules):
        for error in _refused(abi, stage):
            yield abi, error


def endless(rules: Rules) -> bool:
    """True when libseccomp comes to no end over the filters of some call."""
    return any(_decision(abi.wide, _tests(stage)) is None for abi, stage in _stages(rules))


def _stages(rules: Rules) -> Iterator[tuple[Abi, Conditions]]:
    """All argument filters, as they are given to libseccomp."""
    for each in rules.abis:
        for entry in each.entries.values():
            for stage in entry.stages:
                if isinstance(stage, Conditions):
                    yield each.abi, stage


def _refused(abi: Abi, stage: Conditions) -> Iterator[PolicyError]:
    """Why no program can be made of `stage`: each rule that contradicts earlier ones, or their number."""
    if len(stage.rules) > MAX_FILTERED:
        yield PolicyError(
            f"more than {MAX_FILTERED} rules with filters for one call", where=stage.rules[MAX_FILTERED].where
        )
        return
    if len(_answers(stage)) == 1:
        return
    decision = _decision(abi.wide, _tests(stage))
    if decision is None:
        return
    for place, later in decision.refused:
        first, second = stage.rules[place], stage.rules[later]
        if place < 0:
            what = "libseccomp finds that the filters contradict those of earlier lines"
        elif set(second.filters) <= set(first.filters):
            what = f"the filters are, or begin, those of {first.where}, with another action"
        else:
            what = f"libseccomp finds that the filters contradict those of {first.where}"
        yield PolicyError(what, where=second.where)
    if len(decision.block) > MAX_INSTRUCTIONS:
        yield PolicyError(
            f"libseccomp makes {len(decision.block)} instructions of this call's filters,"
            f" the kernel takes {MAX_INSTRUCTIONS}",
            where=stage.rules[-1].where,
        )


def _answers(stage: Conditions) -> list[int]:
    """The actions of `stage`, each once: a stand-in's index is its place here."""
    return list(dict.fromkeys(rule.action for rule in stage.rules))


def _tests(stage: Conditions) -> _Tests:
    """What libseccomp is asked about `stage`: the filters of each rule, and the index of its answer."""
    indexes = {action: index for index, action in enumerate(_answers(stage))}
    return tuple((rule.filters, indexes[rule.action]) for rule in stage.rules)


class _Decision(NamedTuple):
    """What libseccomp makes of the rules on one call.

    block    all instructions of its program; TRACE where no rule matches, ERRNO + index for an answer:
             stand-ins, which no kernel and no library lacks
    start    where the decision begins
    refused  where there is no block: rules that it takes for contradictions of earlier ones, each with one
             that is to blame before it (-1 where none was found), by their places
    """

    block: tuple[Instruction, ...]
    start: int
    refused: tuple[tuple[int, int], ...]


@lru_cache(maxsize=256)
def _decision(wide: bool, tests: _Tests) -> _Decision | None:
    """What libseccomp makes of rules on one call. None where it comes to no end.

    `tests` are (filters, index of the answer). It is for a little-endian ABI whose argument words have
    64 bits (`wide`) or 32. Raises MinilxcError.
    """
    if (wide, tests) in _endless:
        return None
    try:
        data, refused = _export(wide, tests)
    except EndlessError:
        _endless.add((wide, tests))
        return None
    if refused:
        return _Decision((), 0, tuple(_partners(wide, tests, refused)))
    block = tuple(Instruction._make(fields) for fields in struct.iter_unpack("<HBBI", data))
    number = _call_number(wide)
    number_loaded = block.index(Instruction(LOAD, 0, 0, NR))
    for at in range(number_loaded + 1, len(block)):
        if block[at].code == JUMP_EQUAL and block[at].k == number:
            return _Decision(block, at + 1 + block[at].jt, ())
    raise AssertionError("libseccomp's program does not test the call number")


@lru_cache(maxsize=256)
def _is_right(wide: bool, tests: _Tests) -> bool:
    """True when libseccomp's program answers as one of the rules that match, and none's only where none does.

    libseccomp 2.5.4 goes wrong for some rules whose ranges overlap in several arguments, and over some it
    comes to no end. So rules that look at several are right only where that is proved. Many that look at
    one are tried on words around each of their values. Not for rules that libseccomp refuses.
    """
    decision = _decision(wide, tests)
    if decision is None:
        return False
    if len(tests) <= _PROVED_RULES:
        with suppress(TooManyError):
            return _proved_right(wide, tests, decision)
    if len({test.arg for filters, _ in tests for test in filters}) > 1:
        return False
    stage = Conditions(tuple(Condition(filters, index, "") for filters, index in tests))
    matcher = Matcher(stage)
    audit = decision.block[1].k
    program = Program(decision.block, big=False)
    number = _call_number(wide)
    for args in condition_arguments(stage):
        words = args if wide else [word & 0xFFFFFFFF for word in args]
        given, _ = program.simulate(audit, number, words)
        wanted = {rule.action for rule in matcher.matching(words)}
        if given >> 16 != actions.ERRNO >> 16:
            if wanted:
                return False
        elif given & 0xFFFF not in wanted:
            return False
    return True


def _proved_right(wide: bool, tests: _Tests, decision: _Decision) -> bool:
    """What `_is_right` says, of all arguments. Raises TooManyError where that is too hard."""
    none = _differing(wide, tests, decision, lambda action: action != actions.TRACE, _PROVED_STEPS)
    if (False, True) in none:  # no rule's answer where one matches
        return False
    indexes = {index for _, index in tests}
    for index in indexes:
        chosen = tuple(test for test in tests if test[1] == index)
        most = max(_LEAST_STEPS, _PROVED_STEPS // len(indexes))
        found = _differing(wide, chosen, decision, (actions.ERRNO + index).__eq__, most)
        if (True, False) in found:  # these rules' answer where none of them matches
            return False
    return True


def _differing(
    wide: bool, tests: _Tests, decision: _Decision, meaning: Callable[[int], bool], most: int
) -> Container[tuple[int, int]]:
    """The pairs of meanings that come of libseccomp's program and of one that tries `tests` in their order.

    Raises TooManyError after `most` steps.
    """
    abi = _pattern(wide)
    stage = Conditions(tuple(Condition(filters, actions.ERRNO + index, "") for filters, index in tests))
    graph = Graph()
    tried = linear(graph, _in_order(graph, abi, stage, graph.answer(actions.TRACE)))
    words = {ARCH: abi.audit, NR: _call_number(wide)}
    if not wide:
        words |= {ARGS + 4 + 8 * arg: 0 for arg in range(6)}
    programs = Program(decision.block, big=False), Program(tried, big=False)
    decisions = Decisions(programs, words, meaning)
    return compare_nodes(decisions, decisions.node(0, START), decisions.node(1, START), {}, most)


def _export(wide: bool, tests: _Tests) -> Exported:
    """libseccomp's program for `tests`. Raises EndlessError, MinilxcError."""
    rules = tuple(Rule(actions.ERRNO + index, _CALL, filters) for filters, index in tests)
    return export(actions.TRACE, [Wanted(_pattern(wide).token, rules)])


def _partners(wide: bool, tests: _Tests, refused: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Each refused rule with the earlier one that it contradicts."""
    taken = sorted({*range(len(tests))} - {*refused})
    by_filter: dict[Filter, list[int]] = {}
    for at in taken:
        for test in tests[at][0]:
            by_filter.setdefault(test, []).append(at)
    for count, second in enumerate(refused):
        filters, index = tests[second]
        for first in by_filter.get(filters[0], ()):
            if first < second and tests[first][1] != index and set(filters) <= set(tests[first][0]):
                yield first, second
                break
        else:
            earlier = [at for at in taken if at < second]
            yield (_blamed(wide, tests, earlier, second) if count < _BLAMED else -1), second


def _blamed(wide: bool, tests: _Tests, earlier: Sequence[int], second: int) -> int:
    """The rule of `earlier` that, after those before it, makes libseccomp refuse `second`; -1 where it loops."""
    low, high = 0, len(earlier)  # it is refused after `high` of them, and not after `low`
    while high - low > 1:
        middle = (low + high) // 2
        try:
            refused = _export(wide, tuple(tests[at] for at in (*earlier[:middle], second))).refused
        except EndlessError:
            return -1
        low, high = (low, middle) if refused else (middle, high)
    return earlier[low]


def forget_decisions() -> None:
    """Let the next program ask libseccomp about its filters anew, for measurements.

    What it comes to no end over stays known.
    """
    _decision.cache_clear()
    _is_right.cache_clear()


def _pattern(wide: bool) -> Abi:
    """The ABI for which libseccomp makes its decisions: little-endian, words of 64 or of 32 bits."""
    abi = abi_by_section("aarch64" if wide else "x86")
    assert abi is not None
    return abi


def _call_number(wide: bool) -> int:
    """The number of the call that libseccomp makes its decisions for."""
    return calls.table(_pattern(wide))[_CALL]


def _graft(
    graph: Graph, abi: Abi, block: Sequence[Instruction], start: int, answers: Sequence[int], otherwise: int
) -> int:
    """libseccomp's decision, from `start` on, as nodes of `graph`; its stand-ins replaced."""
    swap = 4 if abi.big else 0  # the halves of a 64-bit word change places
    # A position means something else once a mask of 0 has made A a known 0 (see below).
    nodes: dict[tuple[int, bool], int] = {}
    pending = [(start, False)]
    while pending:
        place = pending[-1]
        if place in nodes:
            pending.pop()
            continue
        at, zero = place
        code, jt, jf, k = block[at]
        if code == RETURN:
            nodes[place] = otherwise if k >> 16 != actions.ERRNO >> 16 else answers[k & 0xFFFF]
            continue
        if code in (LOAD, AND):
            # a test of one half's bits masks the other half with 0: nothing of it need be looked at
            followers = [(at + 1, code == AND and (zero or k == 0))]
        elif code == JUMP:
            followers = [(at + 1 + k, zero)]
        elif zero:
            followers = [(at + 1 + (jt if _TESTS[code](0, k) else jf), True)]
        else:
            followers = [(at + 1 + jt, False), (at + 1 + jf, False)]
        missing = [follower for follower in followers if follower not in nodes]
        if missing:
            pending += missing
            continue
        then = nodes[followers[0]]
        if len(followers) == 2:
            nodes[place] = graph.test(code, k, then, nodes[followers[1]])
        elif code == LOAD:
            nodes[place] = graph.load(k ^ swap, then)
        elif code == AND and not followers[0][1]:
            nodes[place] = graph.mask(k, then)
        else:
            nodes[place] = then
    return nodes[start, False]


# --- argument filters, in the policy's order


def _in_order(graph: Graph, abi: Abi, stage: Conditions, otherwise: int) -> int:
    """The answer of the first rule that matches, `otherwise` where none does."""
    node = otherwise
    for rule in reversed(stage.rules):
        match = graph.answer(rule.action)
        for test in reversed(rule.filters):
            match = _filter(graph, abi, test, match, node)
        node = match
    return node


def _filter(graph: Graph, abi: Abi, test: Filter, yes: int, no: int) -> int:
    """One filter: `yes` where it holds."""
    high, low = test.value >> 32, test.value & 0xFFFFFFFF
    match test.op:
        case "!=":
            return _filter(graph, abi, test._replace(op="=="), no, yes)
        case "<":
            return _filter(graph, abi, test._replace(op=">="), no, yes)
        case "<=":
            return _filter(graph, abi, test._replace(op=">"), no, yes)
        case "==":
            node = _load(graph, abi, test.arg, 0, graph.test(JUMP_EQUAL, low, yes, no))
            return (
                _load(graph, abi, test.arg, 1, graph.test(JUMP_EQUAL, high, node, no)) if abi.wide else node
            )
        case "&=":
            node = yes
            for half, value, mask in ((0, low, test.mask & 0xFFFFFFFF), (1, high, test.mask >> 32)):
                if mask:
                    node = graph.test(JUMP_EQUAL, value, node, no)
                    node = _load(graph, abi, test.arg, half, node if mask == WORD else graph.mask(mask, node))
            return node
    node = graph.test(JUMP_GREATER if test.op == ">" else JUMP_AT_LEAST, low, yes, no)
    node = _load(graph, abi, test.arg, 0, node)
    if abi.wide:
        node = graph.test(JUMP_GREATER, high, yes, graph.test(JUMP_EQUAL, high, node, no))
        node = _load(graph, abi, test.arg, 1, node)
    return node


def _load(graph: Graph, abi: Abi, arg: int, half: int, then: int) -> int:
    """A = an argument's lower (0) or upper (1) half."""
    return graph.load(ARGS + 8 * arg + 4 * (half ^ abi.big), then)
