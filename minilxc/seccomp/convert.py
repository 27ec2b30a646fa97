"""A profile of Docker or OCI to a policy, a policy to an OCI profile; both checked against what they came from.

Whatever is written is compiled and compared with its source, exactly (`diff`), for each machine. What
the other language cannot say becomes a `Loss`, the place of which is the source's.
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from minilxc.errors import printable

from . import actions, calls, oci, policy, rules
from .compiler import compile_rules
from .diff import compare
from .oci import Host, Loss, Said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from .arch import Abi, Machine
    from .oci import Group, Profile
    from .policy import Filter
    from .rules import Entry, Rules

# ENOSYS, what a call gets that is to be traced and nobody does (seccomp(2))
_NO_TRACER: Final = {"mips": 89, "parisc": 251}
_NO_TRACER_ELSEWHERE: Final = 38
_WIDTH = 100
_ZEROS: Final = (0,) * 6
_MULTIPLEXERS: Final = {"socketcall": calls.SOCKETCALL_PARTS, "ipc": calls.IPC_PARTS}


class Converted(NamedTuple):
    """What was written, what it does not say, and what its reader should know (place and text)."""

    text: str
    losses: tuple[Loss, ...]
    notes: tuple[tuple[str, str], ...]


# --- a profile to a policy

_Ruling = tuple[tuple[int, tuple["Filter", ...]], ...]  # the rules of a call on an ABI; () is the default


def to_policy(profile: Profile, hosts: Sequence[Host]) -> Converted:
    """The policy that means on `hosts` what `profile` does.

    Raises PolicyError for a profile that no libseccomp would build.
    """
    losses = list(profile.losses)
    sayable = _without_trace(profile, hosts, losses)
    said = _said(sayable, hosts, losses)
    text = _Writer(profile, sayable, hosts, said).text()
    exact = not losses
    for host in hosts:
        wanted = oci.profile_rules(sayable, host)
        built = rules.build(policy.parse(text.encode(), profile.path), host.machine, notify=True)
        killed = set(host.machine.abis) - set(oci.listed(profile, host.machine))
        for each in _differences(wanted, built):
            if each.abi in killed and not each.call:
                what = f"{each.abi.name} is not listed: a policy can kill its calls, not the numbers that are no call"
                instead = f"they get '{actions.word(sayable.default)}'"
                losses.append(Loss(f"{profile.at}/architectures", what, instead))
            elif exact:
                where = rules.verdicts(wanted, each.abi, each.number, each.args)[0].where
                what = f"{actions.name(each.wanted)} to {each.call or hex(each.number)} on {each.abi.name} is lost"
                losses.append(Loss(where, what, actions.name(each.given)))
    return Converted(text, tuple(dict.fromkeys(losses)), profile.notes)


class _Difference(NamedTuple):
    """A call, or numbers without a name (call is ""), that two rulings answer otherwise."""

    abi: Abi
    call: str
    number: int
    args: tuple[int, ...]
    wanted: int
    given: int


def _differences(wanted: Rules, given: Rules) -> list[_Difference]:
    """Where `given` differs from `wanted`, rules of the same machine. Raises PolicyError as the compiler does.

    What both say in the same words is not compared: many tests of one argument would take long.
    """
    same = {
        (ours.abi, number)
        for ours, theirs in zip(wanted.abis, given.abis, strict=True)
        for number, entry in ours.entries.items()
        if number in theirs.entries and _content(entry) == _content(theirs.entries[number])
    }
    plain = rules.Entry("", (), actions.ALLOW, "")
    programs = [
        compile_rules(
            each._replace(
                abis=tuple(
                    ruled._replace(
                        entries={
                            number: plain if (ruled.abi, number) in same else entry
                            for number, entry in ruled.entries.items()
                        }
                    )
                    for ruled in each.abis
                )
            )
        )
        for each in (wanted, given)
    ]
    return [
        _Difference(each.abi, each.call, each.number, (*each.args, *_ZEROS)[:6], each.ours, each.theirs)
        for each in compare(programs[0], programs[1], wanted.machine).differences
        if each.abi is not None
    ]


def _content(entry: Entry) -> object:
    """What an entry says, without the places that say so."""
    stages = [
        [(rule.filters, rule.action) for rule in stage.rules]
        if isinstance(stage, rules.Conditions)
        else (stage.mask, {number: part.action for number, part in stage.by_number.items()})
        for stage in entry.stages
    ]
    return stages, entry.action


def _without_trace(profile: Profile, hosts: Sequence[Host], losses: list[Loss]) -> Profile:
    """`profile` with the answer that a call gets without a tracer where it asks for one."""
    number = _NO_TRACER.get(hosts[0].machine.errnos, _NO_TRACER_ELSEWHERE)

    def sayable(action: int, where: str) -> int:
        if action & 0xFFFF0000 != actions.TRACE:
            return action
        losses.append(
            Loss(where, "SCMP_ACT_TRACE: a policy has no tracer", f"'errno {number}', as when nobody traces")
        )
        return actions.ERRNO + number

    groups = tuple(
        group._replace(action=sayable(group.action, f"{group.where}/action"))
        if any(not oci.left_out(group, host) for host in hosts)
        else group
        for group in profile.groups
    )
    return profile._replace(default=sayable(profile.default, f"{profile.at}/defaultAction"), groups=groups)


def _said(
    profile: Profile, hosts: Sequence[Host], losses: list[Loss]
) -> dict[Abi, dict[str, tuple[Said, ...]]]:
    """What the profile says on every ABI of the machines; on one that it kills, `kill` for every call."""
    found: dict[Abi, dict[str, tuple[Said, ...]]] = {}
    owner: dict[Abi, Machine] = {}
    for host in hosts:
        meant = oci.meaning(profile, host, losses.append)
        for abi in host.machine.abis:
            killed = Said(actions.KILL_THREAD, (), f"{profile.at}/architectures")
            if abi in meant:
                by_call = meant[abi]
            elif profile.default == actions.KILL_THREAD:
                by_call = {}
            else:
                by_call = dict.fromkeys(calls.table(abi), (killed,))
            if abi not in found:
                found[abi], owner[abi] = by_call, host.machine
            elif found[abi] != by_call:
                names = (
                    call for call in {**found[abi], **by_call} if found[abi].get(call) != by_call.get(call)
                )
                what = f"{next(names)} of {abi.name} is ruled otherwise on {owner[abi].name} and {host.machine.name}"
                losses.append(Loss(profile.path, what, f"as on {owner[abi].name}"))
    return found


class _Line(NamedTuple):
    """A line of a policy to be: section, call, what it says, and the place in the profile that it is from."""

    section: str
    call: str
    action: int
    filters: tuple[Filter, ...]
    where: str


class _Writer:
    """Lays a policy out: the calls in the profile's order, each group of rules under a comment."""

    def __init__(
        self,
        profile: Profile,
        sayable: Profile,
        hosts: Sequence[Host],
        said: Mapping[Abi, Mapping[str, tuple[Said, ...]]],
    ) -> None:
        self.profile = profile
        self.default = sayable.default
        self.hosts = hosts
        self.said = said
        self.allowlist = not actions.runs(self.default)
        self.listed = {abi for host in hosts for abi in oci.listed(profile, host.machine)}

    def text(self) -> str:
        """The whole policy."""
        kind, plain = ("allowlist", actions.KILL_THREAD) if self.allowlist else ("denylist", actions.ALLOW)
        rows = ["2", kind if self.default == plain else f"{kind} {actions.word(self.default)}"]
        rows += self.head()
        groups = {group.where: group for group in self.profile.groups}
        lines = self.lines()
        section = place = remark = ""
        for line in lines:
            if line.section != section:
                rows += ["", f"[{line.section}]", *self.section(line.section, lines)]
                section, place = line.section, ""
            if line.where != place:
                if place:
                    rows.append("")
                rows += self.title(line, groups.get(line.where))
                place, remark = line.where, ""
            said = self.remark(line, groups.get(line.where))
            if said and said != remark:
                rows.append(said)
            remark = said
            rows.append(self.row(line))
        return "\n".join(rows) + "\n"

    def row(self, line: _Line) -> str:
        words = [line.call]
        if line.filters or not self.allowlist or line.action != actions.ALLOW:
            words.append(actions.word(line.action))
        if line.filters:
            words.append("".join(map(_filter, line.filters)))
        return " ".join(words)

    # What comes before the rules

    def head(self) -> Iterator[str]:
        """What a reader should know of the whole."""
        yield ""
        for host in self.hosts:
            listed = ", ".join(abi.name for abi in oci.listed(self.profile, host.machine))
            yield f"# From {_plain(self.profile.path)}, for {host.machine.name} ({listed})."
        caps = ", ".join(sorted(self.hosts[0].caps)) or "none"
        yield f"# Capabilities of the container: {caps}. Kernel: {oci.written(self.hosts[0].kernel)}."
        if self.allowlist:
            yield "# runc, not crun, answers ENOSYS to calls newer than all of these. So does minilxc with this"
            yield "# line in the container's config: minilxc.seccomp.newer = errno ENOSYS"
        yield from self.names("Ignored, because no architecture has such a call:", _unknown)
        yield from self.names(
            "Ignored by runtimes whose libseccomp is as old as the one installed here:", _newer
        )
        abis = {abi for host in self.hosts for abi in host.machine.abis}
        yield from self.names("Not among the calls of these machines:", lambda name: _elsewhere(name, abis))
        for group in self.profile.groups:
            reasons = dict.fromkeys(oci.left_out(group, host) for host in self.hosts)
            if "" not in reasons:
                yield f"# Left out, {_plain('; '.join(reasons))} ({_pointer(group.where)}):"
                yield from _wrapped(group.names)
            elif group.action == self.profile.default:
                yield f"# Left out, as the default says the same ({_pointer(group.where)}):"
                yield from _wrapped(group.names)

    def names(self, title: str, wanted: Callable[[str], bool]) -> Iterator[str]:
        """The names of the profile that are `wanted`, under a title."""
        found = dict.fromkeys(
            name
            for group in self.profile.groups
            if any(not oci.left_out(group, host) for host in self.hosts)
            for name in group.names
            if wanted(name)
        )
        if found:
            yield f"# {title}"
            yield from _wrapped(found)

    def title(self, line: _Line, group: Group | None) -> Iterator[str]:
        """What stands above the lines from one place of the profile."""
        if group is None:
            yield f"# Not listed ({_pointer(line.where)}), so every call of {line.section} that is known is killed."
            return
        wishes = [
            *(f"with {cap}" for cap in group.includes.caps),
            *(f"without {cap}" for cap in group.excludes.caps),
            *([f"from Linux {oci.written(group.includes.kernel)}"] if group.includes.kernel else []),
            *([f"before Linux {oci.written(group.excludes.kernel)}"] if group.excludes.kernel else []),
        ]
        yield f"# {_pointer(group.where)}{': ' if wishes else ''}{_plain(', '.join(wishes))}"
        if group.comment:
            yield from _wrapped([group.comment])

    def remark(self, line: _Line, group: Group | None) -> str:
        """A comment that lines share which follow each other, or ""."""
        if group and line.call in _MULTIPLEXERS and line.call not in group.names:
            return (
                f"# libseccomp does not see what is behind {line.call}, and opens the call for all arguments."
            )
        return ""

    def section(self, name: str, lines: Iterable[_Line]) -> Iterator[str]:
        """What stands at the beginning of a section."""
        halves = any(abi.name == name and abi.wide and abi.bits == 32 for abi in self.said)
        if halves and any(line.filters for line in lines if line.section == name):
            yield f"# libseccomp looks at the lower half of an argument of {name}. That takes masks, and where"
            yield "# something else than one value is meant a line for each bit in which an argument may differ."
            yield ""

    # Lines and their sections

    def lines(self) -> list[_Line]:
        """All lines, in the order in which they are written."""
        every = dict.fromkeys(call for by_call in self.said.values() for call in by_call)
        lines = [line for call in every for line in self.of_call(call)]
        sections = {name: place for place, name in enumerate(["all", *(abi.name for abi in self.said)])}
        places = {group.where: place for place, group in enumerate(self.profile.groups)}
        first: dict[tuple[str, str], int] = {}
        for line in lines:
            place = places.get(line.where, len(places))
            first[line.section, line.call] = min(place, first.get((line.section, line.call), place))
        # The rules of a call stay together and in their order; sorting is stable.
        # What libseccomp makes of a rule comes after what the rule says.
        return sorted(
            lines,
            key=lambda line: (
                sections[line.section],
                first[line.section, line.call],
                line.call in _MULTIPLEXERS and bool(line.filters),
            ),
        )

    def of_call(self, call: str) -> Iterator[_Line]:
        """The lines for one call: in [all], as far as that is shorter, and in the sections of ABIs."""
        having = [abi for abi in self.said if _has(abi, call)]
        rulings: dict[Abi, _Ruling] = {abi: _ruling(self.said[abi].get(call, ())) for abi in having}
        apart = sum(map(len, rulings.values()))
        common: _Ruling = ()
        # The parts of a multiplexer, in whichever section they are, come after what its own section says.
        candidates = Counter(
            ruling
            for abi, ruling in rulings.items()
            if ruling and abi in self.listed and call not in _MULTIPLEXERS
        )
        for ruling, count in candidates.most_common():
            # where [all] says something else than an ABI, its section says what stands there
            cost = len(ruling) + sum(len(other) or 1 for other in rulings.values() if other != ruling)
            if cost < apart or (cost == apart and count == len(having)):
                common, apart = ruling, cost
        if common:
            abi = next(abi for abi in having if rulings[abi] == common)
            for each in self.said[abi][call]:
                yield _Line("all", call, each.action, each.filters, each.where)
        for abi in having:
            if rulings[abi] != common:
                default = Said(self.default, (), f"{self.profile.at}/architectures")
                for each in self.said[abi].get(call, ()) or (default,):
                    yield _Line(abi.name, call, each.action, each.filters, each.where)


def _ruling(said: Sequence[Said]) -> _Ruling:
    """What rules say, wherever they are from."""
    return tuple((each.action, each.filters) for each in said)


def _has(abi: Abi, call: str) -> bool:
    """True when a line of a policy for `call` means something on `abi`."""
    return call in calls.table(abi) or (
        abi.multiplexed and (call in calls.SOCKETCALL_PARTS or call in calls.IPC_PARTS)
    )


def _unknown(name: str) -> bool:
    return not (name.isascii() and calls.known(name))


def _newer(name: str) -> bool:
    """True for a name that is known here and not to the installed libseccomp."""
    if _unknown(name):
        return False
    library = calls.library()
    return bool(library.resolve_syscall(library.Arch.NATIVE, name) == -1)


def _elsewhere(name: str, abis: Iterable[Abi]) -> bool:
    return not _unknown(name) and not any(_has(abi, name) for abi in abis)


def _filter(test: Filter) -> str:
    value = _number(test.value)
    return f"[{test.arg},{value},{test.op}{f',{_number(test.mask)}' if test.op == '&=' else ''}]"


def _number(value: int) -> str:
    return str(value) if value < 10 else f"{value:#x}"


def _plain(text: str) -> str:
    """`text`, of which a policy's comment can be made."""
    return printable(text)


def _wrapped(words: Iterable[str]) -> list[str]:
    """A comment of several lines."""
    return textwrap.wrap(
        ", ".join(map(_plain, words)),
        _WIDTH,
        initial_indent="#   ",
        subsequent_indent="#   ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _pointer(where: str) -> str:
    """The place in the profile, without the file's name."""
    return where.rpartition(": ")[2]


# --- a policy to an OCI profile


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
            if call not in _MULTIPLEXERS or not all(_is_for_a_part(call, rule) for rule in said)
        },
        by_call,
    ]
    documents = [_document(parsed, listed, candidate) for candidate in candidates]
    found = [_lost(parsed, built, document) for document in documents]
    document, (differing, remarks) = min(zip(documents, found, strict=True), key=lambda each: len(each[1][0]))
    losses += differing
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
            names = {number: name for name, number in _MULTIPLEXERS[entry.name].items()}
            for number, part in stage.by_number.items():
                yield names[number], (_Rule(part.action, ()),) if part.action != default else ()
    if entry.action != default:
        own += (_Rule(entry.action, ()),)
    yield entry.name, own


def _is_for_a_part(call: str, rule: _Rule) -> bool:
    parts = _MULTIPLEXERS[call].values()
    return any(test.arg == 0 and test.op == "==" and test.value in parts for test in rule.filters)


def _to_list(each: Rules) -> Iterator[Abi]:
    """The ABIs of a machine that are not killed as a whole, the native one always among them."""
    yield each.abis[0].abi
    for abi, entries, _ in each.abis[1:]:
        answers = {
            entries[number].action
            if number in entries and not entries[number].stages
            else -1
            if number in entries
            else each.default
            for number in calls.names(abi)
        }
        if entries and answers != {actions.KILL_THREAD}:
            yield abi


def _document(
    parsed: policy.Policy, listed: Iterable[Abi], by_call: Mapping[str, tuple[_Rule, ...]]
) -> dict[str, Any]:
    """The profile. Calls of which the same is said stand together."""
    document: dict[str, Any] = _action(parsed.default, "defaultAction", "defaultErrnoRet")
    document["architectures"] = [oci.token(abi) for abi in listed]
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
    word = next(word for word, value in oci.ACTIONS.items() if value == kind)
    return {key: word, number_key: action - kind} if kind == actions.ERRNO else {key: word}


def _comparison(test: Filter) -> dict[str, Any]:
    op = next(word for word, value in oci.OPERATORS.items() if value == test.op)
    if test.op == "&=":
        return {"index": test.arg, "value": test.mask, "valueTwo": test.value, "op": op}
    return {"index": test.arg, "value": test.value, "op": op}


def _lost(
    parsed: policy.Policy, built: Sequence[Rules], document: Mapping[str, Any]
) -> tuple[list[Loss], list[tuple[str, str]]]:
    """What `document` says otherwise than the rules do that it was made of."""
    losses: dict[tuple[str, str], Loss] = {}
    notes: list[tuple[str, str]] = []
    profile = oci.parse(json.dumps(document).encode(), parsed.path)
    for each in built:
        listed = oci.listed(profile, each.machine)
        given = oci.profile_rules(profile, oci.this_host(each.machine))
        seen = _as_libseccomp_sees(each, notes)
        for found in _differences(seen, given):
            where = rules.verdicts(each, found.abi, found.number, found.args)[0].where
            call = found.call or f"call {found.number:#x}"
            args = f"({', '.join(map(_number, _shortened(found.args)))})" if any(found.args) else ""
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
        abi = ruled.abi
        entries = dict(ruled.entries)
        if abi.wide and abi.bits == 32:
            for number, entry in ruled.entries.items():
                stages = tuple(_halved(abi, stage) for stage in entry.stages)
                if stages != entry.stages:
                    where = next(rule.where for stage in entry.stages for rule in _conditions(stage))
                    notes.append((where, f"on {abi.name} libseccomp compares the lower half of an argument"))
                    entries[number] = entry._replace(stages=stages)
        abis.append(ruled._replace(entries=entries))
    return each._replace(abis=tuple(abis))


def _conditions(stage: rules.Conditions | rules.Parts) -> tuple[rules.Condition, ...]:
    return stage.rules if isinstance(stage, rules.Conditions) else ()


def _halved(abi: Abi, stage: rules.Conditions | rules.Parts) -> rules.Conditions | rules.Parts:
    if isinstance(stage, rules.Parts):
        return stage
    return rules.Conditions(
        tuple(
            rule._replace(filters=filters)
            for rule in stage.rules
            for filters in oci.narrowed(abi, rule.filters, rule.where)
        )
    )


def _behind_pointers(built: Sequence[Rules], listed: Iterable[Abi]) -> Iterator[Loss]:
    """Parts of a multiplexer that are denied for a rule's filters, which libseccomp reads as being for its pointers."""
    for each in built:
        for abi, entries, _ in each.abis:
            if abi not in listed or not abi.multiplexed:
                continue
            for multiplexer, parts in _MULTIPLEXERS.items():
                entry = entries.get(calls.table(abi)[multiplexer])
                ruled = {
                    (number, part.where)
                    for stage in (entry.stages if entry else ())
                    if isinstance(stage, rules.Parts)
                    for number, part in stage.by_number.items()
                    if part.action != each.default
                }
                for call, number in parts.items():
                    own = entries.get(calls.table(abi).get(call, -1))
                    for rule in (
                        rule for stage in (own.stages if own else ()) for rule in _conditions(stage)
                    ):
                        if (number, rule.where) in ruled and any(test.arg for test in rule.filters):
                            what = (
                                f"{call} is denied behind {multiplexer} on {abi.name}, whatever the arguments"
                            )
                            yield Loss(rule.where, what, f"as far as the arguments of {multiplexer} are such")
