"""A policy's lines to what they mean on a machine: for each ABI, what each call number is answered.

Pure: no program, no kernel. What is decided here:

- Scope. A named section counts for its ABI alone, and there it replaces, call by call, what `[all]`
  and the lines before any section say. `[native]` is a named section: the native ABI's. `[all]` and
  the lines before any section are one scope, in the order of the file. Lines before any section are
  for the native ABI in an allowlist, for every ABI in a denylist.
- Within one scope the first rule without filters stands, also when its action is the default, and it
  replaces all rules with filters. A filtered rule whose action is the default is left out.
- Width. Where an argument word has 32 bits a test that always holds leaves its rule, a rule with a
  test that never holds is left out. (The same for tests like `>= 0` at 64 bits.)
- Multiplexed calls. Where the kernel has socketcall(2) or ipc(2), a rule for `socket` is one for the
  direct number, if the ABI has one, and one for the part: the multiplexer's call with SOCKET as its
  first argument. A rule that denies compares only the bits that the kernel looks at, so that no
  other spelling of the part gets by; one that allows compares the whole word. A part's other
  arguments are behind a pointer, so a rule with filters is for the part only when it denies, and
  then denies it always; the first such rule stands. It never opens a part.
- Rules for `socketcall` and `ipc` themselves come before the parts of their scope: without filters
  they replace the parts, with filters they leave to the parts what they do not match. A part of a
  named section comes before a multiplexer of the general scope, and what it says is final: one that
  only has filters which allow is answered by a default that denies, rather than opened by the other.
- Newer calls. Where the default denies, calls with a higher number than any that the policy names on
  an ABI can have an answer of their own (`policy.Newer`). Whatever a rule does with a call, it names
  it. An ABI on which no call is named keeps the default. Numbers which are no call's place in the
  ABI's own sequence do not count and keep the default: arm's private calls, x32's calls from 512 to
  547, and whatever has bits above the ABI's numbers (X32_BIT, negative numbers). Where the default
  lets calls run there is nothing that newer calls would have to be kept from: that is refused.
"""

from __future__ import annotations

import errno
import operator
import os
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from minilxc.errors import PolicyError

from . import actions, calls
from .arch import X32_BIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .arch import Abi, Machine
    from .policy import Filter, Line, Newer, Policy

_EVERYWHERE_THE_SAME = 34  # errnos up to ERANGE; above, mips and parisc have their own numbers

# The bits of the first argument that tell parts apart: "int call", and ipc's has its version above 16.
_PART_BITS: Final = {"socketcall": 0xFFFFFFFF, "ipc": 0xFFFF}

# The one above that policies for every machine need: what a call that does not exist gets.
_ENOSYS: Final = {"generic": 38, "mips": 89, "parisc": 251}


class Condition(NamedTuple):
    """A rule with filters, as it counts on one ABI."""

    filters: tuple[Filter, ...]
    action: int
    where: str


class Conditions(NamedTuple):
    """Rules with filters for one call, in the policy's order; the next stage answers what none matches.

    Where several match, libseccomp's order says which one answers (see `compiler`).
    """

    rules: tuple[Condition, ...]


class Part(NamedTuple):
    """What one part of a multiplexed call is answered; `where` is "" where the default decides."""

    action: int
    where: str


Match: TypeAlias = "Callable[[Conditions, Sequence[int]], Sequence[Condition]]"
"""A function that says what `matching` says."""


class Parts(NamedTuple):
    """Answers by argument 0: `by_number` is looked up with (argument & mask), the next stage has the rest."""

    mask: int
    by_number: Mapping[int, Part]


class Entry(NamedTuple):
    """What one call number is answered: the first stage that matches, else `action`.

    `where` is the "file:line" of the rule behind `action`, "" when the policy's default is.
    """

    name: str
    stages: tuple[Conditions | Parts, ...]
    action: int
    where: str


class Span(NamedTuple):
    """Call numbers that are not answered by the default, as far as they have no Entry."""

    numbers: range
    action: int
    where: str


class AbiRules(NamedTuple):
    """The rules of one ABI: call number (its base included) to Entry.

    Numbers without one are answered by the span they are in, or else by the default.
    """

    abi: Abi
    entries: Mapping[int, Entry]
    spans: tuple[Span, ...] = ()


class Rules(NamedTuple):
    """All that a policy says on a machine. `where` is the place of the line that sets the default."""

    machine: Machine
    default: int
    where: str
    abis: tuple[AbiRules, ...]


class Verdict(NamedTuple):
    """An action and the place that decided it: a rule's "file:line", or the default's."""

    action: int
    where: str


def build(
    policy: Policy,
    machine: Machine,
    *,
    notify: bool = False,
    newer: Newer | None = None,
    debug: Callable[[str], None] | None = None,
) -> Rules:
    """The rules of `policy` on `machine`. `debug` is told, line by line, what is skipped and where.

    `newer` answers calls newer than the policy; without it, they have the default.
    Raises PolicyError for `notify` rules unless somebody will answer them (`notify`), for an errno
    name whose number on `machine` is not known here, and for `newer` where the default lets calls run.
    """
    tell = debug or _silent
    applied = [(_in_numbers(line, machine), targets(line, policy, machine)) for line in policy.lines]
    for line, abis in applied:
        if not abis:
            tell(f"{line.where}: [{line.section}] is for another machine than {machine.name}: skipped")
            continue
        _check_action(line, machine, notify)
    _check_errno(policy.errno_name, machine, policy.where)
    default = _errno_on(machine, policy.errno_name, policy.default)
    if newer is not None:
        _check_action(newer, machine, notify)
        newer = newer._replace(action=_errno_on(machine, newer.errno_name, newer.action))
        if actions.runs(policy.default):
            raise PolicyError(
                f"only an allowlist has newer calls, and {policy.where} says '{actions.word(policy.default)}'"
                " to every call that the policy does not name",
                newer.where,
            )
    per_abi = []
    for abi in machine.abis:
        entries = _entries(abi, [line for line, abis in applied if abi in abis], default, tell)
        per_abi.append(AbiRules(abi, entries, _newer(abi, entries, newer) if newer else ()))
    return Rules(machine, default, policy.where, tuple(per_abi))


def allowing(rules: Rules, names: Iterable[str]) -> Rules:
    """`rules`, and on the native ABI the calls `names` are allowed without condition."""
    native = rules.abis[0]
    table = calls.table(native.abi)
    opened = {table[name]: Entry(name, (), actions.ALLOW, "") for name in names if name in table}
    return rules._replace(abis=(native._replace(entries={**native.entries, **opened}), *rules.abis[1:]))


def matching(stage: Conditions, words: Sequence[int]) -> Sequence[Condition]:
    """The rules of `stage` that match the argument `words`, in the policy's order."""
    return [rule for rule in stage.rules if all(holds(test, words[test.arg]) for test in rule.filters)]


def verdicts(
    rules: Rules, abi: Abi, number: int, args: Sequence[int], match: Match = matching
) -> tuple[Verdict, ...]:
    """What the rules say to a call, read directly: the reference that programs are checked against.

    `args` are six 64-bit words, as in seccomp_data. More than one verdict comes back where rules with
    filters overlap: the program gives one of them. `match` is for those who ask about many calls.
    """
    ruled = next(each for each in rules.abis if each.abi == abi)
    entry = ruled.entries.get(number)
    if entry is None:
        for span in ruled.spans:
            if number in span.numbers:
                return (Verdict(span.action, span.where),)
        return (Verdict(rules.default, rules.where),)
    words = args if abi.wide else [word & 0xFFFFFFFF for word in args]
    for stage in entry.stages:
        if isinstance(stage, Parts):
            part = stage.by_number.get(words[0] & stage.mask)
            if part is not None:
                return (Verdict(part.action, part.where or rules.where),)
        else:
            found = match(stage, words)
            if found:
                return tuple(Verdict(rule.action, rule.where) for rule in found)
    return (Verdict(entry.action, entry.where or rules.where),)


def answer(
    rules: Rules, abi: Abi, number: int, args: Sequence[int], match: Match = matching
) -> frozenset[int]:
    """The actions that a program made of `rules` may give: one, more only where filters overlap."""
    return frozenset(verdict.action for verdict in verdicts(rules, abi, number, args, match))


def enosys(machine: Machine) -> int:
    """The number of ENOSYS on `machine`."""
    return _ENOSYS[_errnos(machine.errnos)]


def action_on(machine: Machine, said: Newer) -> int:
    """The kernel's value of an action on `machine`, which may number its errno in its own way."""
    return _errno_on(machine, said.errno_name, said.action)


def holds(test: Filter, word: int) -> bool:
    """True when the filter matches the argument `word`."""
    if test.op == "&=":
        return word & test.mask == test.value
    return _COMPARE[test.op](word, test.value)


_COMPARE: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


# --- lines to ABIs


def _silent(message: str) -> None:
    """For callers who do not listen."""


def targets(line: Line, policy: Policy, machine: Machine) -> tuple[Abi, ...]:
    """The machine's ABIs that a line is for."""
    if line.section == "all":
        return machine.abis
    if line.section == "native":
        return machine.abis[:1]
    if line.section:
        return tuple(abi for abi in machine.abis if abi.name == line.section)
    return machine.abis[:1] if policy.kind == "allowlist" else machine.abis


def _specific(line: Line) -> bool:
    """True when the line stands in a section of one ABI."""
    return line.section not in ("", "all")


def _check_action(said: Line | Newer, machine: Machine, notify: bool) -> None:
    """Refuse `notify` without anybody who answers, and errno names that `machine` numbers otherwise."""
    if said.action == actions.NOTIFY and not notify:
        raise PolicyError(
            "'notify' without anybody to answer it",
            said.where,
            "lxc.seccomp.notify.proxy names who does; 'seccomp compile' takes --notify",
        )
    _check_errno(said.errno_name, machine, said.where)


def _check_errno(name: str, machine: Machine, where: str) -> None:
    """Refuse an errno's name when python's number for it, this machine's, is not the target's."""
    if not name or name == "ENOSYS":
        return
    moved = getattr(errno, name) > _EVERYWHERE_THE_SAME and _errnos(machine.errnos) != _errnos_here()
    if moved or (name == "EDEADLOCK" and machine.errnos == "powerpc"):
        raise PolicyError(f"errno {name} has its own number on {machine.name}", where, "write the number")


def _in_numbers(line: Line, machine: Machine) -> Line:
    """`line` with the number that its errno has on `machine`."""
    return line._replace(action=_errno_on(machine, line.errno_name, line.action))


def _errno_on(machine: Machine, name: str, action: int) -> int:
    """`action`, whose errno may have a name: with the machine's number for it."""
    return actions.ERRNO + enosys(machine) if name == "ENOSYS" else action


def _errnos(family: str) -> str:
    """The family of errno numbers, without the one name that powerpc numbers apart."""
    return "generic" if family == "powerpc" else family


def _errnos_here() -> str:
    """Whose errno numbers python's are."""
    machine = os.uname().machine
    return next((family for family in ("mips", "parisc") if machine.startswith(family)), "generic")


def _newer(abi: Abi, named: Iterable[int], newer: Newer) -> tuple[Span, ...]:
    """The numbers of `abi` above all of those that are `named`; none where nothing is named."""
    highest = max((number for number in named if number not in abi.private), default=None)
    if highest is None:
        return ()
    ranges = [(highest + 1, abi.base & X32_BIT | X32_BIT - 1)]
    if abi.private:
        ranges = [(highest + 1, abi.private[0] - 1), (max(highest, abi.private[-1]) + 1, ranges[0][1])]
    return tuple(
        Span(range(first, last + 1), newer.action, newer.where) for first, last in ranges if first <= last
    )


# --- the lines of one ABI to entries


class _Ruling(NamedTuple):
    """What one scope says about one call: `fixed` has no filters, and then there are no conditions."""

    fixed: Part | None
    conditions: tuple[Condition, ...]


def _entries(abi: Abi, lines: list[Line], default: int, tell: Callable[[str], None]) -> dict[int, Entry]:
    """Call number to Entry, for the lines that are for `abi`."""
    table = calls.table(abi)
    general: dict[str, list[Line]] = {}
    specific: dict[str, list[Line]] = {}
    entries: dict[int, Entry] = {}
    for line in lines:
        if line.number >= 0:
            name = calls.names(abi).get(line.number, "")
            what = name or f"{line.number}, no call that is known"
            tell(f"{line.where}: {what}: {actions.word(line.action)} on {abi.name}")
            entries.setdefault(line.number, Entry(name or str(line.number), (), line.action, line.where))
        elif calls.has(abi, line.call):
            (specific if _specific(line) else general).setdefault(line.call, []).append(line)
            tell(f"{line.where}: {line.call}: {actions.word(line.action)} on {abi.name}")
        else:
            tell(f"{line.where}: {line.call}: {abi.name} does not have it: skipped there")
    in_general = {name: _ruling(abi, found, default) for name, found in general.items()}
    in_specific = {name: _ruling(abi, found, default) for name, found in specific.items()}
    for name, ruling in (in_general | in_specific).items():
        if name in table:
            stages = (Conditions(ruling.conditions),) if ruling.conditions else ()
            entries[table[name]] = _entry(name, stages, ruling.fixed, default)
    if abi.multiplexed:
        for name in calls.MULTIPLEXERS:
            entry = _multiplexer(abi, name, in_general, in_specific, default)
            if entry is not None:
                entries[table[name]] = entry
    return entries


def _entry(name: str, stages: tuple[Conditions | Parts, ...], fixed: Part | None, default: int) -> Entry:
    if fixed is None:
        return Entry(name, stages, default, "")
    return Entry(name, stages, fixed.action, fixed.where)


def _ruling(abi: Abi, lines: list[Line], default: int) -> _Ruling:
    """What the lines of one scope say about one call."""
    conditions: dict[tuple[frozenset[Filter], int], Condition] = {}
    for line in lines:
        filters = _at_width(line.filters, 64 if abi.wide else 32)
        if filters is None:
            continue
        if not filters:
            return _Ruling(Part(line.action, line.where), ())
        if line.action != default:
            conditions.setdefault(
                (frozenset(filters), line.action), Condition(filters, line.action, line.where)
            )
    return _Ruling(None, tuple(conditions.values()))


def _multiplexer(
    abi: Abi,
    name: str,
    general: Mapping[str, _Ruling],
    specific: Mapping[str, _Ruling],
    default: int,
) -> Entry | None:
    """The entry of socketcall(2) or ipc(2): its own rules and those of its parts, in the module's order."""
    about = {name, *calls.MULTIPLEXERS[name]}
    if about.isdisjoint(general) and about.isdisjoint(specific):
        return None
    stages: list[Conditions | Parts] = []
    fixed = None
    own = False
    for scope, other in ((specific, {}), (general, specific)):
        if name in scope and not own:
            own = True
            stages += [Conditions(scope[name].conditions)] if scope[name].conditions else []
            fixed = scope[name].fixed
            if fixed:
                break
        ruled = {
            number: part
            for call, number in calls.MULTIPLEXERS[name].items()
            if call in scope
            and call not in other
            and (part := _part(scope[call], scope is specific, default))
        }
        stages += _parts(ruled, _PART_BITS[name], 0xFFFFFFFFFFFFFFFF if abi.wide else 0xFFFFFFFF)
    return _entry(name, tuple(stages), fixed, default)


def _part(ruling: _Ruling, specific: bool, default: int) -> Part | None:
    """What a call's rules mean for its part of a multiplexer; None where they leave it to others."""
    if ruling.fixed:
        return ruling.fixed
    for rule in ruling.conditions:
        if not actions.runs(rule.action):
            return Part(rule.action, rule.where)
    return Part(default, "") if specific and not actions.runs(default) else None


def _parts(ruled: Mapping[int, Part], mask: int, whole: int) -> list[Parts]:
    """One stage for the parts that are denied, by the bits that count; one for the others, by all bits."""
    denied = {number: part for number, part in ruled.items() if not actions.runs(part.action)}
    allowed = {number: part for number, part in ruled.items() if actions.runs(part.action)}
    return [Parts(bits, found) for bits, found in ((mask, denied), (whole, allowed)) if found]


def _at_width(filters: tuple[Filter, ...], bits: int) -> tuple[Filter, ...] | None:
    """`filters` for arguments of `bits` bits: without those that always hold; None when one never does."""
    left = []
    for test in filters:
        top = (1 << bits) - 1
        value, mask = test.value, test.mask & top
        match test.op:
            case "==":
                always, never = False, value > top
            case "!=":
                always, never = value > top, False
            case "<":
                always, never = value > top, value == 0
            case "<=":
                always, never = value >= top, False
            case ">":
                always, never = False, value >= top
            case ">=":
                always, never = value == 0, value > top
            case _:
                always, never = mask == value == 0, value > top
        if never:
            return None
        if not always:
            left.append(test._replace(mask=mask))
    return tuple(left)
