"""What profiles of Docker and of the OCI runtime specification mean: their rules on a machine.

The meaning of a profile is what runc and crun make of it with libseccomp, which in places is not what
it looks like:

- An architecture that is not listed is killed; the machine's own is always listed.
- A rule is for every listed architecture; one whose action is the default is no rule. Names that no
  architecture has are ignored. (Names newer than the installed libseccomp are not: see `calls`.)
- The comparisons of a rule must all hold. But where two of them are for the same argument, each
  comparison of that rule is a rule of its own (runc issue 2735; crun does the same).
- Of SCMP_CMP_MASKED_EQ, `value` is the mask and `valueTwo` is compared, as far as the mask goes.
- On architectures of 32-bit words, for libseccomp x32 and n32 too, only the low halves are compared.
- Where calls are multiplexed (socketcall, ipc), comparisons of a rule for a part are made with the
  multiplexer's arguments, the first one aside. So they open more than they say, or nothing.

Two mistakes of libseccomp 2.5.4 are not kept, both in favour of a rule that denies: ipc(2) parts in
another spelling, and parts of a multiplexer on whose pointer a comparison is made; they are denied.
"""

from __future__ import annotations

import os
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Final, NamedTuple

from . import actions, calls, rules
from .arch import X32_BIT
from .policy import Filter, Line, Policy
from .profile import Loss, parse, token, version, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from .arch import Abi, Machine
    from .profile import Group, Profile
    from .rules import Rules

# What moby calls the machine in `arches` (its name for GOARCH); elsewhere, the machine's own name.
_MOBY: Final = {
    "i386": "x86",
    "armhf": "arm",
    "ppc64el": "ppc64le",
    "powerpc": "ppc",
    "mipsel64n32": "mips3l64n32",
    "loongarch64": "loong64",
}
_ALL_BITS = (1 << 64) - 1
_LOW = 0xFFFFFFFF
_MOST_ALTERNATIVES = 256  # lines for one rule


class Host(NamedTuple):
    """Where a profile is to count: the machine, the container's capabilities (CAP_…), the kernel's version."""

    machine: Machine
    caps: frozenset[str]
    kernel: tuple[int, ...]


class Said(NamedTuple):
    """One rule as it counts on an ABI."""

    action: int
    filters: tuple[Filter, ...]
    where: str


def this_host(machine: Machine, caps: Iterable[str] = ()) -> Host:
    """A container with the capabilities `caps` on `machine`, under this kernel."""
    return Host(machine, frozenset(caps), this_kernel())


def this_kernel() -> tuple[int, ...]:
    """The version of the running kernel."""
    return version(os.uname().release)


def read_profile(text: bytes, path: str, machine: Machine, host: Host | None = None) -> Rules:
    """The rules of the profile `text` on `machine`, as runc and crun make them; their `where` is the place.

    Without `host` the container has no capabilities and the kernel is this one. Raises PolicyError for
    what is no profile.
    """
    return profile_rules(parse(text, path), host or this_host(machine))


def profile_rules(profile: Profile, host: Host) -> Rules:
    """The rules of `profile` on `host`."""
    said = meaning(profile, host)
    lines = tuple(
        Line(abi.name, call, -1, each.action, "", each.filters, each.where)
        for abi, by_call in said.items()
        for call, found in by_call.items()
        for each in found
    )
    kind = "denylist" if actions.runs(profile.default) else "allowlist"
    policy = Policy(profile.path, 2, kind, profile.default, "", f"{profile.at}/defaultAction", lines)
    built = rules.build(policy, host.machine, notify=True)
    return built._replace(
        abis=tuple(
            each if each.abi in said else each._replace(spans=(_killed(profile, each.abi),))
            for each in built.abis
        )
    )


def _killed(profile: Profile, abi: Abi) -> rules.Span:
    """All numbers of an ABI that is not listed. (libseccomp leaves -1 to x32's sibling, x86_64.)"""
    numbers = range(X32_BIT, _LOW) if abi.base == X32_BIT else range(_LOW + 1)
    return rules.Span(numbers, actions.KILL_THREAD, f"{profile.at}/architectures")


# --- what counts on a machine


def left_out(group: Group, host: Host) -> str:
    """Why the rules of `group` do not count on `host`: what they are for; "" when they do."""
    arch = _MOBY.get(host.machine.name, host.machine.name)
    if arch in group.excludes.arches:
        return f"not for {arch}"
    for cap in group.excludes.caps:
        if cap in host.caps:
            return f"not with {cap}"
    if group.excludes.kernel and host.kernel >= group.excludes.kernel:
        return f"not for Linux {written(group.excludes.kernel)} or later"
    if group.includes.arches and arch not in group.includes.arches:
        return f"for {', '.join(group.includes.arches)}"
    for cap in group.includes.caps:
        if cap not in host.caps:
            return f"with {cap}"
    if group.includes.kernel and host.kernel < group.includes.kernel:
        return f"for Linux {written(group.includes.kernel)} or later"
    return ""


def listed(profile: Profile, machine: Machine) -> tuple[Abi, ...]:
    """The machine's ABIs that are not killed."""
    native = token(machine.native)
    if profile.by_native is None:
        tokens: Iterable[str] = profile.architectures
    else:
        tokens = profile.by_native.get(native, ())
    found = {native, *tokens}
    return tuple(abi for abi in machine.abis if token(abi) in found)


def meaning(
    profile: Profile, host: Host, lost: Callable[[Loss], None] | None = None
) -> dict[Abi, dict[str, tuple[Said, ...]]]:
    """ABI, for those that are listed, to call to the rules for it that libseccomp makes.

    Only calls that the ABI has are there, and only rules that count: one without filters stands alone.
    `lost` is told where rules of filters cannot say what libseccomp makes of a rule.
    """
    tell = lost or _silent
    found = {}
    for abi in listed(profile, host.machine):
        table = calls.table(abi)
        multiplexed = _multiplexed(abi)
        plain: dict[str, Said] = {}
        written: dict[str, list[Said]] = {}
        by_call: dict[str, list[Said]] = {}
        certain: set[str] = set()
        for name, group, filters in _wanted(profile, host):
            ruled = [(name, filters)] if name in table or name in multiplexed else []
            if name in multiplexed and filters and actions.runs(group.action):
                # libseccomp opens the part as far as the comparisons hold for the multiplexer's own arguments
                multiplexer, part = multiplexed[name]
                others = tuple(test for test in filters if test.arg != 0)
                ruled.append((multiplexer, (Filter(0, "==", part, 0), *others)))
            for call, tests in ruled:
                if not tests:
                    plain.setdefault(call, Said(group.action, (), group.where))
                    continue
                written.setdefault(call, []).append(Said(group.action, tests, group.where))
                made = narrowed(abi, tests, group.where, tell)
                by_call.setdefault(call, []).extend(Said(group.action, each, group.where) for each in made)
                if any(len(each) < len(tests) for each in made):
                    certain.add(call)
        for call, as_written in written.items():
            masks = abi.wide and abi.bits == 32 and by_call[call] != as_written
            if call not in plain and (masks or call in certain) and _may_collide(by_call[call]):
                what = f"{call}: which of several rules answers on {abi.name} is up to libseccomp"
                instead = (
                    "a comparison that always holds is left out"
                    if call in certain
                    else f"64 bits are compared on {abi.name}"
                )
                tell(Loss(as_written[-1].where, what, instead))
                by_call[call] = as_written
        # A rule without filters replaces all others, before and after it.
        found[abi] = {call: _in_force(said) for call, said in by_call.items() if said} | {
            call: (said,) for call, said in plain.items()
        }
    return found


def _may_collide(said: Sequence[Said]) -> bool:
    """True when two rules with different actions may hold for one call; of their tests only masks are looked at."""
    tests = [(each.action, {test.arg: test for test in each.filters if test.op == "&="}) for each in said]
    return any(
        action != other and not any(_exclude(mine[arg], yours[arg]) for arg in mine.keys() & yours.keys())
        for place, (action, mine) in enumerate(tests)
        for other, yours in tests[:place]
    )


def _exclude(one: Filter, other: Filter) -> bool:
    """True for masked values that no word has both."""
    return bool((one.value ^ other.value) & one.mask & other.mask)


def _wanted(profile: Profile, host: Host) -> Iterator[tuple[str, Group, tuple[Filter, ...]]]:
    """Every rule that counts: name, group, and what must hold."""
    for group in profile.groups:
        if group.action != profile.default and not left_out(group, host):
            for name in group.names:
                for filters in group.alternatives:
                    yield name, group, filters


def _multiplexed(abi: Abi) -> Mapping[str, tuple[str, int]]:
    """Call to the multiplexer that it is a part of on `abi`, and its number there."""
    if not abi.multiplexed:
        return {}
    return {name: ("socketcall", part) for name, part in calls.SOCKETCALL_PARTS.items()} | {
        name: ("ipc", part) for name, part in calls.IPC_PARTS.items()
    }


def _in_force(said: Sequence[Said]) -> tuple[Said, ...]:
    """The rules of one call that have an effect: the first without filters, or else each once."""
    for each in said:
        if not each.filters:
            return (each,)
    found: dict[tuple[frozenset[Filter], int], Said] = {}
    for each in said:
        found.setdefault((frozenset(each.filters), each.action), each)
    return tuple(found.values())


def _silent(_: Loss) -> None:
    """For callers who do not listen."""


# --- comparisons of 32 bits


def narrowed(
    abi: Abi, filters: tuple[Filter, ...], where: str, lost: Callable[[Loss], None] | None = None
) -> list[tuple[Filter, ...]]:
    """Filters for `abi` that hold, any one of them, where libseccomp's of `filters` do."""
    if abi.bits == 64:
        return [tuple(test for test in filters if not _always(test, _ALL_BITS))]
    ways = [_low_half(test, abi.wide) for test in filters]
    if prod(map(len, ways)) > _MOST_ALTERNATIVES:
        # on x32 and n32: many lines for calls that hardly a kernel has
        what = f"{len(ways)} comparisons of 32 bits on {abi.name}, which would take too many lines"
        (lost or _silent)(Loss(where, what, "they are made with 64 bits"))
        return [filters]
    return [tuple(test for each in chosen for test in each) for chosen in product(*ways)]


def _always(test: Filter, top: int) -> bool:
    """True when the filter holds for every word up to `top`."""
    match test.op:
        case "&=":
            return not test.mask
        case ">=":
            return test.value == 0
        case "<=":
            return test.value == top
    return False


def _low_half(test: Filter, wide: bool) -> list[tuple[Filter, ...]]:
    """What compares the low half of an argument as libseccomp does: one way, several, or none; () always holds.

    A word of 64 bits (`wide`) needs masks for that: one for each bit in which it may differ.
    """
    arg, op, value, mask = test.arg, test.op, test.value & _LOW, test.mask & _LOW
    if _always(Filter(arg, op, value, mask), _LOW):
        return [()]
    if (op == "<" and value == 0) or (op == ">" and value == _LOW):
        return []
    if not wide:
        return [(Filter(arg, op, value, mask),)]
    if op in ("==", "&="):
        return [(Filter(arg, "&=", value, mask if op == "&=" else _LOW),)]
    if op == "<=":
        op, value = "<", value + 1
    elif op == ">=":
        op, value = ">", value - 1
    ways: list[tuple[Filter, ...]] = []
    for bit in (1 << place for place in reversed(range(32))):
        # the words that are as `value` above this bit, and other in it
        above = _LOW & ~(2 * bit - 1)
        if op == "!=":
            ways.append((Filter(arg, "&=", ~value & bit, bit),))
        elif bool(value & bit) == (op == "<"):
            ways.append((Filter(arg, "&=", value & above | ~value & bit, above | bit),))
    return ways
