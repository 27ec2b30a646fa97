"""A profile of Docker or OCI to a policy that means the same.

The policy is checked against the profile before anybody sees it (see `convert`).
"""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from minilxc.errors import printable

from . import actions, calls, oci, policy, rules
from .convert import Converted, differences
from .oci import Host, Said
from .profile import Loss, written
from .wording import filter_text, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from .arch import Abi, Machine
    from .policy import Filter
    from .profile import Group, Profile

_WIDTH = 100

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
    unlisted: set[Abi] = set()
    for host in hosts:
        wanted = oci.profile_rules(sayable, host)
        built = rules.build(policy.parse(text.encode(), profile.path), host.machine, notify=True)
        killed = set(host.machine.abis) - set(oci.listed(profile, host.machine))
        for each in differences(wanted, built):
            if each.abi in killed and not each.call:
                unlisted.add(each.abi)
            elif exact:
                where = rules.verdicts(wanted, each.abi, each.number, each.args)[0].where
                call = each.call or f"call {each.number:#x}"
                what = f"{call} on {each.abi.name} is answered {actions.word(each.wanted)}"
                losses.append(Loss(where, what, actions.word(each.given)))
    notes = profile.notes
    if unlisted:
        names = [abi.name for abi in said if abi in unlisted]
        what = (
            f"{listed(names)} {'is' if len(names) == 1 else 'are'} not listed: the policy kills every call there"
            f" that is known here, and answers '{actions.word(sayable.default)}' to numbers that are none"
        )
        notes += ((f"{profile.at}/architectures", what),)
    return Converted(text, tuple(dict.fromkeys(losses)), notes)


def _without_trace(profile: Profile, hosts: Sequence[Host], losses: list[Loss]) -> Profile:
    """`profile` with the answer that a call gets without a tracer where it asks for one."""
    nobody = rules.enosys(hosts[0].machine)

    def sayable(action: int, where: str) -> int:
        if action & 0xFFFF0000 != actions.TRACE:
            return action
        losses.append(
            Loss(where, "SCMP_ACT_TRACE: a policy has no tracer", f"'errno {nobody}', as when nobody traces")
        )
        return actions.ERRNO + nobody

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
            words.append("".join(map(filter_text, line.filters)))
        return " ".join(words)

    # What comes before the rules

    def head(self) -> Iterator[str]:
        """What a reader should know of the whole."""
        yield ""
        for host in self.hosts:
            counting = ", ".join(abi.name for abi in oci.listed(self.profile, host.machine))
            yield f"# From {printable(self.profile.path)}, for {host.machine.name} ({counting})."
        caps = ", ".join(sorted(self.hosts[0].caps)) or "none"
        yield f"# Capabilities of the container: {caps}. Kernel: {written(self.hosts[0].kernel)}."
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
                yield f"# Left out, {printable('; '.join(reasons))} ({_pointer(group.where)}):"
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
            *([f"from Linux {written(group.includes.kernel)}"] if group.includes.kernel else []),
            *([f"before Linux {written(group.excludes.kernel)}"] if group.excludes.kernel else []),
        ]
        yield f"# {_pointer(group.where)}{': ' if wishes else ''}{printable(', '.join(wishes))}"
        if group.comment:
            yield from _wrapped([group.comment])

    def remark(self, line: _Line, group: Group | None) -> str:
        """A comment that lines share which follow each other, or ""."""
        if group and line.call in calls.MULTIPLEXERS and line.call not in group.names:
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
        places: dict[str, tuple[int, int]] = {}
        for place, group in enumerate(self.profile.groups):
            for position, call in enumerate(group.names):
                places.setdefault(call, (place, position))
        # The rules of a call stay together and in their order; sorting is stable.
        # What libseccomp makes of a rule comes after what the rule says.
        return sorted(
            lines,
            key=lambda line: (
                sections[line.section],
                line.call in calls.MULTIPLEXERS and bool(line.filters),
                places.get(line.call, (len(self.profile.groups), 0)),
            ),
        )

    def of_call(self, call: str) -> Iterator[_Line]:
        """The lines for one call: in [all], as far as that is shorter, and in the sections of ABIs."""
        having = [abi for abi in self.said if calls.has(abi, call)]
        rulings: dict[Abi, _Ruling] = {abi: _ruling(self.said[abi].get(call, ())) for abi in having}
        apart = sum(map(len, rulings.values()))
        common: _Ruling = ()
        # The parts of a multiplexer, in whichever section they are, come after what its own section says.
        candidates = Counter(
            ruling
            for abi, ruling in rulings.items()
            if ruling and abi in self.listed and call not in calls.MULTIPLEXERS
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


def _unknown(name: str) -> bool:
    return not (name.isascii() and calls.known(name))


def _newer(name: str) -> bool:
    """True for a name that is known here and not to the installed libseccomp."""
    if _unknown(name):
        return False
    library = calls.library()
    return bool(library.resolve_syscall(library.Arch.NATIVE, name) == -1)


def _elsewhere(name: str, abis: Iterable[Abi]) -> bool:
    return not _unknown(name) and not any(calls.has(abi, name) for abi in abis)


def _wrapped(words: Iterable[str]) -> list[str]:
    """A comment of several lines."""
    return textwrap.wrap(
        ", ".join(map(printable, words)),
        _WIDTH,
        initial_indent="#   ",
        subsequent_indent="#   ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _pointer(where: str) -> str:
    """The place in the profile, without the file's name."""
    return where.rpartition(": ")[2]
