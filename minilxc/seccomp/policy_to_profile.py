"""A policy, or a profile of Docker, to the `linux.seccomp` of an OCI bundle that means the same.

What the profile means is read back from it and compared with the policy before anybody sees it (see
`convert`). On ABIs whose words have 64 bits and whose pointers have 32 (x32, n32) libseccomp compares
the lower half of an argument, and no spelling of a profile says more there. So a comparison that looks
at all of it is lost, unless it is one with a mask that leaves the upper half out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from . import actions, calls, oci, policy, rules
from . import profile as profiles
from .arch import ABIS
from .convert import NO_ARGUMENTS, Converted, differences
from .profile import Loss
from .wording import call_text, filter_text
from .wording import listed as names_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .arch import Abi, Machine
    from .convert import Difference
    from .oci import Host
    from .policy import Filter, Newer
    from .profile import Profile
    from .rules import Entry, Rules, Verdict


class _Rule(NamedTuple):
    """A rule of an OCI profile: what a call gets where all filters hold, and the policy's line that says so."""

    action: int
    filters: tuple[Filter, ...]
    where: str


class _Document(NamedTuple):
    """A profile, and the policy's line for each rule: by the rule's place in the profile and the call."""

    json: dict[str, Any]
    lines: Mapping[tuple[str, str], str]


def to_oci(text: bytes, path: str, machines: Sequence[Machine], newer: Newer | None = None) -> Converted:
    """The `linux.seccomp` of an OCI bundle that means on `machines` what the policy `text` does.

    `newer` is what a container's config adds to the policy, which is lost. Raises PolicyError for a
    policy that is wrong, and for `newer` where the policy's default lets calls run.
    """
    parsed = policy.parse(text, path)
    built = [rules.build(parsed, machine, notify=True) for machine in machines]
    losses: list[Loss] = []
    for machine in machines if newer else ():
        losses += _of_newer(rules.build(parsed, machine, notify=True, newer=newer))
    listed = tuple(dict.fromkeys(abi for each in built for abi in _to_list(each)))
    by_call = _by_call(built, listed, losses)
    # What a part of a multiplexer gets there follows, as a rule, from what is said of the part.
    candidates = [
        {
            call: said
            for call, said in by_call.items()
            if call not in calls.MULTIPLEXERS or not all(_is_for_a_part(call, rule) for rule in said)
        },
        by_call,
    ]
    documents = [_document(parsed, built[0].default, listed, candidate) for candidate in candidates]
    found = [_lost(parsed, built, document) for document in documents]
    document, (differing, notes) = min(zip(documents, found, strict=True), key=lambda each: len(each[1][0]))
    told = {loss.where for loss in losses}
    losses += [loss for loss in differing if loss.where not in told]
    losses += _behind_pointers(built, listed)
    return Converted(json.dumps(document.json, indent=2) + "\n", tuple(dict.fromkeys(losses)), notes)


def resolved(profile: Profile, hosts: Sequence[Host]) -> Converted:
    """The `linux.seccomp` of an OCI bundle with what counts of a profile on `hosts`, as on the first of them.

    Raises PolicyError for a profile that no libseccomp would build.
    """
    listed = dict.fromkeys(abi for host in hosts for abi in oci.listed(profile, host.machine))
    groups = []
    for group in profile.groups:
        if not oci.left_out(group, hosts[0]):
            tests = [_comparison(test) for tests in group.alternatives for test in tests]
            more = {"args": tests} if tests else {}
            groups.append({"names": group.names, **_action(group.action, "action", "errnoRet"), **more})
    document = {
        **_action(profile.default, "defaultAction", "defaultErrnoRet"),
        "architectures": [profiles.token(abi) for abi in listed],
        **profile.runtime,
        "syscalls": groups,
    }
    text = json.dumps(document, indent=2) + "\n"
    plain = profiles.parse(text.encode(), profile.path)
    losses: dict[str, Loss] = {}
    for host in hosts:
        wanted = oci.profile_rules(profile, host)
        for found in differences(wanted, oci.profile_rules(plain, host)):
            where = _verdict(wanted, found).where
            what = f"{_subject(found)} is answered {actions.word(found.wanted)}"
            losses.setdefault(where, Loss(where, what, actions.word(found.given)))
    return Converted(text, tuple(losses.values()), profile.notes)


def _of_newer(each: Rules) -> Iterator[Loss]:
    """That newer calls have an answer of their own."""
    for span in (span for ruled in each.abis for span in ruled.spans):
        if span.action != each.default:
            what = "a profile does not say what newer calls are answered (runc answers ENOSYS by itself)"
            yield Loss(span.where, what, f"they get '{actions.word(each.default)}'")


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
                if calls.has(ruled.abi, call):
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
            own += tuple(_Rule(rule.action, rule.filters, rule.where) for rule in stage.rules)
        else:
            names = {number: name for name, number in calls.MULTIPLEXERS[entry.name].items()}
            for number, part in stage.by_number.items():
                yield names[number], (_Rule(part.action, (), part.where),) if part.action != default else ()
    if entry.action != default:
        own += (_Rule(entry.action, (), entry.where),)
    yield entry.name, own


def _is_for_a_part(call: str, rule: _Rule) -> bool:
    parts = calls.MULTIPLEXERS[call].values()
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
    parsed: policy.Policy, default: int, listed: Iterable[Abi], by_call: Mapping[str, tuple[_Rule, ...]]
) -> _Document:
    """The profile. Calls of which the same is said stand together."""
    document: dict[str, Any] = _action(default, "defaultAction", "defaultErrnoRet")
    document["architectures"] = [profiles.token(abi) for abi in listed]
    together: dict[tuple[tuple[int, tuple[Filter, ...]], ...], list[str]] = {}
    for call, said in by_call.items():
        together.setdefault(tuple((rule.action, rule.filters) for rule in said), []).append(call)
    lines = {}
    groups: list[dict[str, Any]] = []
    for said_of_all, names in together.items():
        for number, (action, filters) in enumerate(said_of_all):
            for name in names:
                lines[f"{parsed.path}: /syscalls/{len(groups)}", name] = by_call[name][number].where
            groups.append(
                {
                    "names": sorted(names),
                    **_action(action, "action", "errnoRet"),
                    **({"args": [_comparison(test) for test in filters]} if filters else {}),
                }
            )
    document["syscalls"] = groups
    return _Document(document, lines)


def _action(action: int, key: str, number_key: str) -> dict[str, Any]:
    """An action as a profile has it."""
    kind = action & 0xFFFF0000
    word = next(word for word, value in profiles.ACTIONS.items() if value == kind)
    return {key: word, number_key: action - kind} if kind in (actions.ERRNO, actions.TRACE) else {key: word}


def _comparison(test: Filter) -> dict[str, Any]:
    op = next(word for word, value in profiles.OPERATORS.items() if value == test.op)
    if test.op == "&=":
        return {"index": test.arg, "value": test.mask, "valueTwo": test.value, "op": op}
    return {"index": test.arg, "value": test.value, "op": op}


def _lost(
    parsed: policy.Policy, built: Sequence[Rules], document: _Document
) -> tuple[list[Loss], tuple[tuple[str, str], ...]]:
    """What `document` says otherwise than the rules do that it was made of, a line once for each ABI; and notes."""
    unlisted: set[Abi] = set()
    losses: dict[tuple[str, str, bool], Loss] = {}
    profile = profiles.parse(json.dumps(document.json).encode(), parsed.path)
    for each in built:
        listed = oci.listed(profile, each.machine)
        given = oci.profile_rules(profile, oci.this_host(each.machine))
        seen = _as_libseccomp_sees(each)
        differing = differences(each, given)
        kept = set(listed) | {found.abi for found in differing if found.call}
        unlisted |= {found.abi for found in differing} - kept
        for found in differing:
            if found.abi in unlisted:
                continue
            ruled, saw, gave = (_verdict(which, found) for which in (each, seen, given))
            where = ruled.where
            what = f"{_subject(found)} is answered {actions.word(found.wanted)}"
            halved = saw.action == found.given
            if halved:
                where = where if where != parsed.where else saw.where
                what += f": a profile compares the lower half of an argument there{_halves(each, found.abi, where)}"
            elif where == parsed.where and found.abi not in listed:
                what = (
                    f"calls of {found.abi.name} that no rule names are answered {actions.word(found.wanted)}"
                )
            elif where == parsed.where:
                where = _line(document, gave.where, found) or where
            losses.setdefault((where, found.abi.name, halved), Loss(where, what, actions.word(found.given)))
    notes: tuple[tuple[str, str], ...] = ()
    if unlisted:
        names = [abi.name for abi in sorted(unlisted, key=ABIS.index)]
        what = (
            f"{names_of(names)} {'is' if len(names) == 1 else 'are'} not listed, as the policy kills every call"
            " there that is known here: numbers that are none are killed too"
        )
        notes = ((parsed.where, what),)
    return list(losses.values()), notes


def _subject(found: Difference) -> str:
    """The call that is answered otherwise."""
    call = found.call or f"call {found.number:#x}"
    return f"{call_text(call, found.args) if any(found.args) else call} on {found.abi.name}"


def _verdict(each: Rules, found: Difference) -> Verdict:
    return rules.verdicts(each, found.abi, found.number, found.args)[0]


def _line(document: _Document, place: str, found: Difference) -> str:
    """The policy's line behind a rule of the document, which may be one for a part of the call; "" for none."""
    behind = next(
        (part for part, number in calls.MULTIPLEXERS.get(found.call, {}).items() if number == found.args[0]),
        "",
    )
    return document.lines.get((place, found.call)) or document.lines.get((place, behind), "")


def _halves(each: Rules, abi: Abi, where: str) -> str:
    """How the policy's line `where` would say it of the lower half, where one filter for each can."""
    ruled = next(ruled for ruled in each.abis if ruled.abi is abi)
    for entry in ruled.entries.values():
        for rule in (rule for stage in entry.stages for rule in _conditions(stage) if rule.where == where):
            ways = oci.narrowed(abi, rule.filters, where)
            if len(ways) == 1 and len(ways[0]) == len(rule.filters):
                masked = [filter_text(test) for test in ways[0] if test not in rule.filters]
                return f", like {' '.join(masked)}"
    return ""


def _as_libseccomp_sees(each: Rules) -> Rules:
    """`each` with the comparisons that libseccomp makes on ABIs of whose 64-bit words it sees the lower half."""
    return each._replace(
        abis=tuple(
            ruled._replace(
                entries={number: _halved(ruled.abi, entry) for number, entry in ruled.entries.items()}
            )
            if ruled.abi.wide and ruled.abi.bits == 32
            else ruled
            for ruled in each.abis
        )
    )


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
            for multiplexer, parts in calls.MULTIPLEXERS.items():
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
