"""A policy to the `linux.seccomp` of an OCI bundle that means the same.

What the profile means is read back from it and compared with the policy before anybody sees it (see
`convert`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from . import actions, calls, oci, policy, rules
from . import profile as profiles
from .convert import MULTIPLEXERS, NO_ARGUMENTS, Converted, differences, number
from .profile import Loss

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .arch import Abi, Machine
    from .policy import Filter
    from .rules import Entry, Rules


class _Rule(NamedTuple):
    """A rule of an OCI profile: what a call gets where all filters hold."""

    action: int
    filters: tuple[Filter, ...]


def to_oci(text: bytes, path: str, machines: Sequence[Machine]) -> Converted:
    """The `linux.seccomp` of an OCI bundle that means on `machines` what the policy `text` does.

    Raises PolicyError for a policy that is wrong.
    """
    parsed = policy.parse(text, path)
    built = [rules.build(parsed, machine, notify=True) for machine in machines]
    losses: list[Loss] = []
    notes: list[tuple[str, str]] = []
    listed = tuple(dict.fromkeys(abi for each in built for abi in _to_list(each)))
    by_call = _by_call(built, listed, losses)
    # What a part of a multiplexer gets there follows, as a rule, from what is said of the part.
    candidates = [
        {
            call: said
            for call, said in by_call.items()
            if call not in MULTIPLEXERS or not all(_is_for_a_part(call, rule) for rule in said)
        },
        by_call,
    ]
    documents = [_document(built[0].default, listed, candidate) for candidate in candidates]
    found = [_lost(parsed, built, document) for document in documents]
    document, (differing, remarks) = min(zip(documents, found, strict=True), key=lambda each: len(each[1][0]))
    told = {loss.where for loss in losses}
    losses += [loss for loss in differing if loss.where not in told]
    notes += remarks
    losses += _behind_pointers(built, listed)
    return Converted(
        json.dumps(document, indent=2) + "\n", tuple(dict.fromkeys(losses)), tuple(dict.fromkeys(notes))
    )


def _by_call(
    built: Sequence[Rules], listed: Sequence[Abi], losses: list[Loss]
) -> dict[str, tuple[_Rule, ...]]:
    """What a profile is to say of each call: what the first ABI has for it, native ones before others."""
    found: dict[str, tuple[_Rule, ...]] = {}
    natives = [(each, each.abis[0]) for each in built]
    others = [(each, ruled) for each in built for ruled in each.abis[1:] if ruled.abi in listed]
    for each, ruled in natives + others:
        table = calls.table(ruled.abi)
        for entry in ruled.entries.values():
            for call, said in _sayings(entry, each.default):
                if call in table or call in calls.SOCKETCALL_PARTS or call in calls.IPC_PARTS:
                    found.setdefault(call, said)
                else:
                    what = f"{call} is no number of a call that has a name on {ruled.abi.name}"
                    losses.append(Loss(entry.where, what, "it is left out"))
        for call in table:
            found.setdefault(call, ())
    return {call: said for call, said in found.items() if said}


def _sayings(entry: Entry, default: int) -> Iterator[tuple[str, tuple[_Rule, ...]]]:
    """The calls that an entry is about (a multiplexer's is about its parts, too), with their rules."""
    own: tuple[_Rule, ...] = ()
    for stage in entry.stages:
        if isinstance(stage, rules.Conditions):
            own += tuple(_Rule(rule.action, rule.filters) for rule in stage.rules)
        else:
            names = {number: name for name, number in MULTIPLEXERS[entry.name].items()}
            for number, part in stage.by_number.items():
                yield names[number], (_Rule(part.action, ()),) if part.action != default else ()
    if entry.action != default:
        own += (_Rule(entry.action, ()),)
    yield entry.name, own


def _is_for_a_part(call: str, rule: _Rule) -> bool:
    parts = MULTIPLEXERS[call].values()
    return any(test.arg == 0 and test.op == "==" and test.value in parts for test in rule.filters)


def _to_list(each: Rules) -> Iterator[Abi]:
    """The ABIs of a machine that are not better killed as a whole; the native one cannot be."""
    yield each.abis[0].abi
    for ruled in each.abis[1:]:
        untouched = not ruled.entries and not ruled.spans
        if untouched:
            killed = not actions.runs(each.default)
        else:
            killed = all(
                rules.answer(each, ruled.abi, number, NO_ARGUMENTS) == {actions.KILL_THREAD}
                and not (number in ruled.entries and ruled.entries[number].stages)
                for number in calls.names(ruled.abi)
            )
        if not killed:
            yield ruled.abi


def _document(
    default: int, listed: Iterable[Abi], by_call: Mapping[str, tuple[_Rule, ...]]
) -> dict[str, Any]:
    """The profile. Calls of which the same is said stand together."""
    document: dict[str, Any] = _action(default, "defaultAction", "defaultErrnoRet")
    document["architectures"] = [profiles.token(abi) for abi in listed]
    together: dict[tuple[_Rule, ...], list[str]] = {}
    for call, said in by_call.items():
        together.setdefault(said, []).append(call)
    document["syscalls"] = [
        {
            "names": sorted(names),
            **_action(rule.action, "action", "errnoRet"),
            **({"args": [_comparison(test) for test in rule.filters]} if rule.filters else {}),
        }
        for said, names in together.items()
        for rule in said
    ]
    return document


def _action(action: int, key: str, number_key: str) -> dict[str, Any]:
    kind = actions.ERRNO if action & 0xFFFF0000 == actions.ERRNO else action
    word = next(word for word, value in profiles.ACTIONS.items() if value == kind)
    return {key: word, number_key: action - kind} if kind == actions.ERRNO else {key: word}


def _comparison(test: Filter) -> dict[str, Any]:
    op = next(word for word, value in profiles.OPERATORS.items() if value == test.op)
    if test.op == "&=":
        return {"index": test.arg, "value": test.mask, "valueTwo": test.value, "op": op}
    return {"index": test.arg, "value": test.value, "op": op}


def _lost(
    parsed: policy.Policy, built: Sequence[Rules], document: Mapping[str, Any]
) -> tuple[list[Loss], list[tuple[str, str]]]:
    """What `document` says otherwise than the rules do that it was made of."""
    losses: dict[tuple[str, str], Loss] = {}
    notes: list[tuple[str, str]] = []
    profile = profiles.parse(json.dumps(document).encode(), parsed.path)
    for each in built:
        listed = oci.listed(profile, each.machine)
        given = oci.profile_rules(profile, oci.this_host(each.machine))
        seen = _as_libseccomp_sees(each, notes)
        for found in differences(seen, given):
            where = rules.verdicts(each, found.abi, found.number, found.args)[0].where
            call = found.call or f"call {found.number:#x}"
            args = f"({', '.join(map(number, _shortened(found.args)))})" if any(found.args) else ""
            what = f"{call}{args} on {found.abi.name} is answered {actions.name(found.wanted)}"
            if found.abi not in listed and where == parsed.where:
                what = (
                    f"calls of {found.abi.name} that no rule names are answered {actions.name(found.wanted)}"
                )
            losses.setdefault((where, found.abi.name), Loss(where, what, actions.name(found.given)))
    return list(losses.values()), notes


def _shortened(args: tuple[int, ...]) -> tuple[int, ...]:
    """`args` without the zeros at the end."""
    return args[: max(place + 1 for place, arg in enumerate(args) if arg)]


def _as_libseccomp_sees(each: Rules, notes: list[tuple[str, str]]) -> Rules:
    """`each` with the comparisons that libseccomp makes on ABIs of whose 64-bit words it sees the lower half."""
    abis = []
    for ruled in each.abis:
        entries = dict(ruled.entries)
        if ruled.abi.wide and ruled.abi.bits == 32:
            for number, entry in ruled.entries.items():
                entries[number] = _halved(ruled.abi, entry)
                if entries[number] != entry:
                    where = next(rule.where for stage in entry.stages for rule in _conditions(stage))
                    notes.append(
                        (where, f"on {ruled.abi.name} libseccomp compares the lower half of an argument")
                    )
        abis.append(ruled._replace(entries=entries))
    return each._replace(abis=tuple(abis))


def _conditions(stage: rules.Conditions | rules.Parts) -> tuple[rules.Condition, ...]:
    return stage.rules if isinstance(stage, rules.Conditions) else ()


def _halved(abi: Abi, entry: Entry) -> Entry:
    """`entry` with comparisons of lower halves. (Such an ABI has no multiplexers.)"""
    found = []
    for rule in (rule for stage in entry.stages for rule in _conditions(stage)):
        for filters in oci.narrowed(abi, rule.filters, rule.where):
            if not filters:  # it always holds
                return entry._replace(stages=(), action=rule.action, where=rule.where)
            found.append(rule._replace(filters=filters))
    return entry._replace(stages=(rules.Conditions(tuple(found)),) if found else ())


def _behind_pointers(built: Sequence[Rules], listed: Iterable[Abi]) -> Iterator[Loss]:
    """Parts of a multiplexer that are denied for a rule's filters, which libseccomp reads as being for its pointers."""
    for each in built:
        for abi, entries, _ in each.abis:
            if abi not in listed or not abi.multiplexed:
                continue
            for multiplexer, parts in MULTIPLEXERS.items():
                entry = entries.get(calls.table(abi)[multiplexer])
                ruled = {
                    (place, part.where)
                    for stage in (entry.stages if entry else ())
                    if isinstance(stage, rules.Parts)
                    for place, part in stage.by_number.items()
                    if part.action != each.default
                }
                for call, part in parts.items():
                    own = entries.get(calls.table(abi).get(call, -1))
                    for rule in (
                        rule for stage in (own.stages if own else ()) for rule in _conditions(stage)
                    ):
                        if (part, rule.where) in ruled and any(test.arg for test in rule.filters):
                            what = (
                                f"{call} is denied behind {multiplexer} on {abi.name}, whatever the arguments"
                            )
                            yield Loss(rule.where, what, f"as far as the arguments of {multiplexer} are such")
