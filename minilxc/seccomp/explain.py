"""Why a call is answered as it is: the lines of a policy that bear on it, and what their filters say.

Pure, from rules to `Explanation`s: nothing is compiled but the filters of a call whose lines match
together, where libseccomp's order says which of them counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from minilxc.errors import UsageError

from . import actions, calls
from .arch import X32_BIT, abi_of_number
from .policy import Filter
from .rules import Conditions, Entry, holds, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .arch import Abi
    from .rules import AbiRules, Condition, Parts, Rules

MAX_CALL = 0xFFFFFFFF
"""The largest call number: seccomp_data has 32 bits for it."""

_PLAIN = (0,) * 6

Args = tuple[int | None, ...]
"""Six argument words; None is one that is not known."""


class Judged(NamedTuple):
    """A test and whether it holds; None where that hangs on an argument that is not known."""

    test: Filter
    holds: bool | None


class Reason(NamedTuple):
    """What may answer a call: a line of the policy, or its default.

    It counts when all its tests hold and no reason before it counts.

    tests    none: it always holds
    part     the call that the tests single out of socketcall(2) or ipc(2), else ""
    action   the kernel's value
    where    "file:line", or whatever set the answer to newer calls
    kind     "rule", "default", or "newer": the answer to calls newer than the policy
    """

    tests: tuple[Judged, ...]
    part: str
    action: int
    where: str
    kind: str

    @property
    def possible(self) -> bool:
        """False when a test is known not to hold."""
        return all(test.holds is not False for test in self.tests)

    @property
    def certain(self) -> bool:
        """True when all tests are known to hold."""
        return all(test.holds for test in self.tests)


class Explanation(NamedTuple):
    """The answer to one way of making a call on one ABI.

    call     its name; where it has none its number, or "first to last" of several alike
    number   what seccomp_data has; None: the ABI does not have the call, and there are no reasons
    via      "socketcall" or "ipc" where the call is made through these, and `number` is theirs
    args     what is known of the arguments; through `via` they lie behind a pointer, and are not
    reasons  in the order in which they count; the last one is certain
    exact    False: where several of the lines hold, it is the program that knows which one counts
    """

    abi: Abi
    call: str
    number: int | None
    via: str
    args: Args
    reasons: tuple[Reason, ...]
    exact: bool

    @property
    def possible(self) -> tuple[Reason, ...]:
        """The reasons that can still count."""
        return tuple(reason for reason in self.reasons if reason.possible)

    @property
    def action(self) -> int | None:
        """The answer; None where it depends on arguments that are not known, or there is no such call."""
        given = {reason.action for reason in self.possible}
        return given.pop() if len(given) == 1 else None


def explain(rules: Rules, call: str | int, args: Sequence[int | None] = ()) -> tuple[Explanation, ...]:
    """The answers to `call` on each ABI of the rules' machine, and on each way that leads to it.

    A number is one of the machine's own ABI (or has x32's bit); on other ABIs the call of that name is
    meant, and a number without a name is explained for its ABI alone. `args` are up to six words, None
    where not known, as are those left out.
    Raises UsageError for a name that no ABI knows and for what is no number or no argument, PolicyError
    for filters that contradict each other.
    """
    known = _words(args)
    if isinstance(call, int):
        abi = owner(rules, call)
        name = calls.names(abi).get(call)
        if name is None:
            ruled = next(each for each in rules.abis if each.abi == abi)
            return (_explanation(rules, ruled, call_number(call), call, "", known),)
        call = name
    elif not calls.known(call):
        raise UsageError(f"{call}: no architecture has this system call", hint=calls.suggest(call))
    return tuple(found for each in rules.abis for found in _of_abi(rules, each, call, known))


def explain_abi(rules: Rules, abi: Abi, call: str | int, args: Sequence[int | None] = ()) -> Explanation:
    """The answer to a call of one ABI of the machine, made directly.

    A number is one of that ABI's; where it has x32's bit, or lacks it, one of the ABI beside it.

    Raises UsageError for a name that the ABI does not have, and for what is no number or no argument.
    """
    known = _words(args)
    if isinstance(call, int):
        _check_number(call)
    if isinstance(call, int) and abi.audit == rules.machine.native.audit:
        abi = owner(rules, call)
    ruled = next(each for each in rules.abis if each.abi == abi)
    number = call if isinstance(call, int) else calls.table(abi).get(call)
    if number is None:
        raise UsageError(f"{abi.name} does not have {call}")
    return _explanation(rules, ruled, calls.names(abi).get(number) or call_number(number), number, "", known)


def explain_all(rules: Rules) -> Iterator[Explanation]:
    """Every call of every ABI, by number, the ways through socketcall(2) and ipc(2) included.

    Numbers without a name are there where a line rules them, and as a range, first to last, where
    they are newer than the policy.
    """
    for each in rules.abis:
        table = calls.names(each.abi)
        for number in sorted({*table, *each.entries}):
            if number in table:
                yield from _of_abi(rules, each, table[number], (None,) * 6)
            else:
                yield _explanation(rules, each, call_number(number), number, "", (None,) * 6)
        for span in each.spans:
            for gap in _gaps(span.numbers, {*table, *each.entries}):
                name = f"{call_number(gap.start)} to {call_number(gap[-1])}" if len(gap) > 1 else ""
                yield _explanation(rules, each, name or call_number(gap.start), gap.start, "", (None,) * 6)
        if each.abi.multiplexed:
            for name in (part for parts in calls.MULTIPLEXERS.values() for part in parts):
                if name not in calls.table(each.abi):
                    yield from _of_abi(rules, each, name, (None,) * 6)


def owner(rules: Rules, number: int) -> Abi:
    """The ABI of the machine's own programs, or x32 where it is there and `number` has its bit.

    Raises UsageError for a number that is no call's.
    """
    _check_number(number)
    native = rules.machine.native
    if native.base == X32_BIT > number:
        raise UsageError(f"{number} is no call of x32: it does not have x32's bit, {X32_BIT:#x}")
    return abi_of_number(native.audit, number, rules.machine.abis) or native


def _check_number(number: int) -> None:
    """Raises UsageError for a number that is no call's."""
    if not 0 <= number <= MAX_CALL:
        raise UsageError(f"{number} is no system call number: it has 32 bits")


def _words(args: Sequence[int | None]) -> Args:
    """Six argument words, negative ones as 64 bits show them. Raises UsageError for what a call cannot be given."""
    if len(args) > 6:
        raise UsageError(f"{len(args)} arguments: a system call has at most 6")
    for arg in args:
        if arg is not None and not -(1 << 63) <= arg < 1 << 64:
            raise UsageError(f"argument {arg} is larger than 64 bits")
    known = (arg if arg is None else arg & 0xFFFFFFFFFFFFFFFF for arg in args)
    return (*known, *(None,) * (6 - len(args)))


def _gaps(numbers: range, taken: set[int]) -> Iterator[range]:
    """What is left of `numbers` between those that are `taken`."""
    first = numbers.start
    for number in (*sorted(number for number in taken if number in numbers), numbers.stop):
        if first < number:
            yield range(first, number)
        first = number + 1


def _of_abi(rules: Rules, ruled: AbiRules, call: str, args: Args) -> Iterator[Explanation]:
    """Each way to make `call` on one ABI, or that there is none."""
    table = calls.table(ruled.abi)
    found = False
    if call in table:
        found = True
        yield _explanation(rules, ruled, call, table[call], "", args)
    if ruled.abi.multiplexed:
        for via, parts in calls.MULTIPLEXERS.items():
            if call in parts:
                found = True
                yield _explanation(rules, ruled, call, table[via], via, (parts[call], *(None,) * 5))
    if not found:
        yield Explanation(ruled.abi, call, None, "", args, (), True)


def _explanation(rules: Rules, ruled: AbiRules, call: str, number: int, via: str, args: Args) -> Explanation:
    """One call number of one ABI."""
    abi = ruled.abi
    entry = ruled.entries.get(number)
    if entry is None:
        action, where = verdicts(rules, abi, number, _PLAIN)[0]
        kind = "newer" if any(number in span.numbers for span in ruled.spans) else "default"
        return Explanation(abi, call, number, via, args, (Reason((), "", action, where, kind),), True)
    words = args if abi.wide else tuple(word if word is None else word & 0xFFFFFFFF for word in args)
    reasons: list[Reason] = []
    exact = True
    for stage in entry.stages:
        if isinstance(stage, Conditions):
            ordered, certain = _order(rules, ruled, number, stage, words)
            exact &= certain
            reasons += [
                Reason(_judge(rule.filters, words), "", rule.action, rule.where, "rule") for rule in ordered
            ]
        else:
            reasons += _parts(stage, abi, entry.name, words, rules.where)
    reasons.append(Reason((), "", entry.action, entry.where or rules.where, _kind(entry.where)))
    counting = next(place for place, reason in enumerate(reasons) if reason.certain)
    return Explanation(abi, call, number, via, args, tuple(reasons[: counting + 1]), exact)


def _kind(where: str) -> str:
    """What `where`, of an entry or a part, says of its action: the default has no place of its own there."""
    return "rule" if where else "default"


def _judge(filters: Sequence[Filter], args: Args) -> tuple[Judged, ...]:
    return tuple(
        Judged(test, None if (word := args[test.arg]) is None else holds(test, word)) for test in filters
    )


def _parts(stage: Parts, abi: Abi, multiplexer: str, args: Args, default: str) -> Iterator[Reason]:
    """The reasons that a multiplexed call's first argument decides; none for parts that it is not."""
    names = {number: name for name, number in calls.MULTIPLEXERS[multiplexer].items()}
    whole = not (stage.mask ^ (0xFFFFFFFFFFFFFFFF if abi.wide else 0xFFFFFFFF))
    for number, part in sorted(stage.by_number.items()):
        test = Filter(0, "==", number, 0) if whole else Filter(0, "&=", number, stage.mask)
        judged = _judge((test,), args)
        if judged[0].holds is not False:
            yield Reason(judged, names[number], part.action, part.where or default, _kind(part.where))


# --- lines that match together


def _order(
    rules: Rules, ruled: AbiRules, number: int, stage: Conditions, args: Args
) -> tuple[Sequence[Condition], bool]:
    """The rules of `stage` so that the first one that matches is the one that counts; True when that is sure.

    The compiled program knows, but it has no order; one that agrees with it on all arguments around
    the filters' values is found by putting first whichever rule is never overruled.
    """
    if len({rule.action for rule in stage.rules}) == 1:
        return stage.rules, True
    answer = _program(rules, ruled, number, stage)
    matching = [rule for rule in stage.rules if all(judged.holds for judged in _judge(rule.filters, args))]
    used = {test.arg for rule in stage.rules for test in rule.filters}
    if all(args[arg] is not None for arg in used):
        if not matching:
            return stage.rules, True
        given = answer([word or 0 for word in args])
        first = next((rule for rule in matching if rule.action == given), matching[0])
        return [first, *(rule for rule in stage.rules if rule != first)], first.action == given
    return _decision_list(stage, answer, ruled.abi.wide)


def _decision_list(
    stage: Conditions, answer: Callable[[Sequence[int]], int], wide: bool
) -> tuple[Sequence[Condition], bool]:
    from .samples import condition_arguments

    open_samples: list[tuple[frozenset[int], int]] = []
    for sample in condition_arguments(stage):
        words = sample if wide else [word & 0xFFFFFFFF for word in sample]
        matching = frozenset(
            place
            for place, rule in enumerate(stage.rules)
            if all(holds(test, words[test.arg]) for test in rule.filters)
        )
        if len({stage.rules[place].action for place in matching}) > 1:
            open_samples.append((matching, answer(words)))
    open_samples = list(dict.fromkeys(open_samples))
    left = list(range(len(stage.rules)))
    order: list[int] = []
    while left:
        unbeaten = (
            place
            for place in left
            if all(
                given == stage.rules[place].action for matching, given in open_samples if place in matching
            )
        )
        place = next(unbeaten, None)
        if place is None:
            return stage.rules, False
        left.remove(place)
        order.append(place)
        open_samples = [sample for sample in open_samples if place not in sample[0]]
    return [stage.rules[place] for place in order], True


def _program(rules: Rules, ruled: AbiRules, number: int, stage: Conditions) -> Callable[[Sequence[int]], int]:
    """What the filters of `stage`, compiled alone, answer to arguments."""
    from .compiler import compile_rules

    alone = {number: Entry("", (stage,), rules.default, "")}
    program = compile_rules(rules._replace(abis=(ruled._replace(entries=alone, spans=()),)))
    return lambda args: program.simulate(ruled.abi.audit, number, args)[0]


# --- in words


def verdict(explanation: Explanation) -> str:
    """The answer in one line: "errno 1", or "errno 1 if argument 0 == 8, else allow"."""
    if explanation.number is None:
        return f"{explanation.abi.name} does not have this call"
    if explanation.action is not None:
        return actions.word(explanation.action)
    groups: list[tuple[int, list[str]]] = []
    for reason in explanation.possible:
        words = condition(reason)
        if groups and groups[-1][0] == reason.action and words:
            groups[-1][1].append(words)
        else:
            groups.append((reason.action, [words] if words else []))
    # conditions right before the rest, with the rest's own answer, change nothing
    if len(groups) > 1 and groups[-2][0] == groups[-1][0]:
        del groups[-2]
    clauses = [
        f"{actions.word(action)} if {_either(conditions)}" if conditions else f"else {actions.word(action)}"
        for action, conditions in groups
    ]
    return ", ".join(clauses)


def condition(reason: Reason) -> str:
    """What has to hold yet for `reason` to count; "" when nothing does."""
    return " and ".join(comparison(judged.test) for judged in reason.tests if judged.holds is None)


def comparison(test: Filter) -> str:
    """A filter in words: "argument 0 & 0x10 == 0x10"."""
    if test.op == "&=":
        return f"argument {test.arg} & {shown(test.mask)} == {shown(test.value)}"
    return f"argument {test.arg} {test.op} {shown(test.value)}"


def shown(value: int) -> str:
    """A word as people read it: hexadecimal from 10 on."""
    return str(value) if value < 10 else f"{value:#x}"


def call_number(number: int) -> str:
    """A call number: hexadecimal where it has bits above the tables'."""
    return str(number) if number <= 0xFFFF else f"{number:#x}"


def _either(conditions: Sequence[str]) -> str:
    """Conditions of which one has to hold."""
    if len(conditions) == 1:
        return conditions[0]
    return " or ".join(f"({each})" if " and " in each else each for each in conditions)
