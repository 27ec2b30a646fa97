"""What the checks look at: a policy, and what it comes to on each ABI of the machines asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .. import actions, calls
from ..rules import Conditions, enosys, holds, targets, verdicts
from ..wording import filter_text, listed

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence
    from typing import TypeVar

    from ..arch import Abi, Machine
    from ..build import Built
    from ..policy import Filter, Line, Newer, Policy
    from ..rules import AbiRules, Condition, Entry, Verdict

    Key = TypeVar("Key", bound=Hashable)


class Found(NamedTuple):
    """What a check found: the place "file:line", what is wrong, what would be right, the ABIs it holds on."""

    where: str
    text: str
    fix: str = ""
    on: tuple[str, ...] = ()


class Context:
    """A policy on one ABI of one machine. Immutable.

    machine, abi   where we are; an ABI means other lines as the machine's native one than beside it
    ruled          what the policy says there
    lines          the lines that are for this ABI, also those whose call it does not have
    rules          those of them that count: the call exists, and no section replaces them
    built          rules and program of the whole machine
    """

    __slots__ = ("machine", "abi", "ruled", "lines", "rules", "built", "table", "_places")

    def __init__(self, machine: Machine, ruled: AbiRules, lines: tuple[Line, ...], built: Built) -> None:
        self.machine = machine
        self.abi: Abi = ruled.abi
        self.ruled = ruled
        self.lines = lines
        self.built = built
        self.table: Mapping[str, int] = calls.table(ruled.abi)
        self._places = frozenset(line.where for line in lines)
        own = {line.call for line in lines if specific(line)}
        self.rules = tuple(
            line
            for line in lines
            if line.call and self.has(line.call) and (specific(line) or line.call not in own)
        )

    @property
    def native(self) -> bool:
        """True when the machine's own programs use this ABI."""
        return self.abi is self.machine.native

    @property
    def enosys(self) -> int:
        """The action that answers ENOSYS, as the machine numbers it."""
        return actions.ERRNO + enosys(self.machine)

    @property
    def bits(self) -> int:
        """Width of an argument word."""
        return 64 if self.abi.wide else 32

    def has(self, call: str) -> bool:
        """True when a rule for `call` means something here."""
        return call in self.table or bool(self.multiplexer(call))

    def reads(self, line: Line) -> bool:
        """True when `line` is for this ABI, whether it has the call or not."""
        return line.where in self._places

    def multiplexer(self, call: str) -> str:
        """The call which `call` is a part of here: "socketcall", "ipc", or "" for none."""
        if self.abi.multiplexed:
            for name, parts in calls.MULTIPLEXERS.items():
                if call in parts:
                    return name
        return ""

    def entry(self, call: str) -> Entry | None:
        """What the policy says about `call` by name; None when it does not name it, or it does not exist."""
        number = self.table.get(call)
        return None if number is None else self.ruled.entries.get(number)

    def answer(self, call: str) -> int | None:
        """The action that `call` gets whatever its arguments; None when they matter. It must exist here."""
        entry = self.entry(call)
        if entry is None:
            return self.verdict(call).action
        return None if entry.stages else entry.action

    def verdict(self, call: str, *args: int) -> Verdict:
        """What the rules say to a call (to the first of them where filters overlap)."""
        words = (*args, 0, 0, 0, 0, 0, 0)[:6]
        return verdicts(self.built.rules, self.abi, self.table[call], words)[0]

    def conditions(self, call: str) -> tuple[Condition, ...]:
        """The rules with filters that count for `call` here."""
        entry = self.entry(call)
        if entry is None:
            return ()
        return tuple(rule for stage in entry.stages if isinstance(stage, Conditions) for rule in stage.rules)

    def may_run(self, call: str) -> bool:
        """True when some arguments let `call` through, or `notify` may. It must exist here."""
        answer = self.answer(call)
        if answer is not None:
            return lets_through(answer)
        entry = self.entry(call)
        assert entry is not None
        return any(lets_through(rule.action) for rule in self.conditions(call)) or lets_through(entry.action)

    def asks(self, call: str, args: Sequence[int]) -> int:
        """What the program answers to a call."""
        return self.built.program.simulate(self.abi.audit, self.table[call], args)[0]


class Subject:
    """A policy without errors, and what it comes to. Immutable.

    sections  "file:line" and name of each section, also of empty ones
    newer     what calls newer than the policy are answered, if somebody says so
    """

    __slots__ = ("policy", "contexts", "sections", "newer", "_errno_names")

    def __init__(
        self,
        policy: Policy,
        built: Iterable[Built],
        sections: Iterable[tuple[str, str]] = (),
        newer: Newer | None = None,
    ) -> None:
        self.policy = policy
        self.sections = tuple(sections)
        self.newer = newer
        self._errno_names = {policy.where: policy.errno_name} | {
            line.where: line.errno_name for line in policy.lines
        }
        self.contexts = tuple(
            Context(
                each.rules.machine,
                ruled,
                tuple(
                    line for line in policy.lines if ruled.abi in targets(line, policy, each.rules.machine)
                ),
                each,
            )
            for each in built
            for ruled in each.rules.abis
        )

    def words(self, verdict: Verdict) -> str:
        """An answer as a rule for every machine has it: an errno by its name where the deciding line has that."""
        name = self._errno_names.get(verdict.where)
        return f"errno {name}" if name else actions.word(verdict.action)

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The machines asked for."""
        return tuple(dict.fromkeys(context.machine for context in self.contexts))

    def on(self, contexts: Iterable[Context]) -> tuple[str, ...]:
        """Names for `contexts`: an ABI's, with the machine's where it holds on some of them alone."""
        asked = list(contexts)
        names: dict[str, None] = {}
        for context in asked:
            abi = context.abi
            everywhere = all(other in asked for other in self.contexts if other.abi is abi)
            names[abi.name if everywhere else f"{abi.name} of {context.machine.name}"] = None
        return tuple(names)

    def names(self, contexts: Iterable[Context]) -> str:
        """The same as text; "every ABI" where it holds on all of several."""
        asked = list(contexts)
        if len(self.abis) > 1 and all(context in asked for context in self.contexts):
            return "every ABI"
        return listed(self.on(asked))

    @property
    def abis(self) -> frozenset[Abi]:
        """The ABIs of the machines asked for."""
        return frozenset(context.abi for context in self.contexts)


def specific(line: Line) -> bool:
    """True when the line stands in a section of one ABI, which goes before what is said in general."""
    return line.section not in ("", "all")


def lets_through(action: int) -> bool:
    """True for answers with which the call may run: allow, log, notify."""
    return actions.runs(action) or action == actions.NOTIFY


def gathered(pairs: Iterable[tuple[Key, Context]]) -> dict[Key, list[Context]]:
    """Key to all the contexts that came with it, in their order."""
    found: dict[Key, list[Context]] = {}
    for key, context in pairs:
        places = found.setdefault(key, [])
        if context not in places:
            places.append(context)
    return found


def line_number(where: str) -> str:
    """ "line 7" for "file:7"."""
    return f"line {where.rpartition(':')[2]}"


def written(line: Line, filters: Iterable[Filter] | None = None) -> str:
    """A rule as a policy writes it, with other filters when they are given."""
    action = f"errno {line.errno_name}" if line.errno_name else actions.word(line.action)
    tests = line.filters if filters is None else filters
    return " ".join([line.call or str(line.number), action, *(map(filter_text, tests))])


def holds_at(test: Filter, bits: int) -> bool | None:
    """Whether the filter holds for every argument of `bits` bits (True), for none (False), or for some.

    Exact: each operator changes its mind only beside its value, or with one bit of its mask.
    """
    top = (1 << bits) - 1
    words = {0, top} | {near & top for near in (test.value - 1, test.value, test.value + 1)}
    words.add(test.value & top ^ (test.mask & -test.mask) & top)
    answers = {holds(test, word) for word in words}
    return answers.pop() if len(answers) == 1 else None


def overlap(first: Iterable[Filter], second: Iterable[Filter], bits: int) -> tuple[int, ...] | None:
    """Six argument words for which all of both rules' filters hold; None when there are none.

    Exact: each rule has one filter an argument, and the words tried for two of them are those at which
    one of them changes its mind, and those that satisfy both masks.
    """
    top = (1 << bits) - 1
    tests: dict[int, list[Filter]] = {}
    for test in (*first, *second):
        tests.setdefault(test.arg, []).append(test)
    words = [0] * 6
    for arg, both in tests.items():
        tried = [0, 1, 2, top, top - 1, top - 2]
        for test in both:
            tried += (test.value + step for step in (-2, -1, 0, 1, 2))
            if test.op == "&=":
                free = ~test.mask & top
                tried += (test.value | free, test.value | free & -free)
                tried += (other.value & free | test.value for other in both)
        match = next(
            (word for word in tried if 0 <= word <= top and all(holds(test, word) for test in both)), None
        )
        if match is None:
            return None
        words[arg] = match
    return tuple(words)
