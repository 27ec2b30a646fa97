"""The questions of the proof: policies, and the calls to ask of each."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from minilxc.errors import MinilxcError
from minilxc.seccomp import calls, policy
from minilxc.seccomp.arch import MACHINES
from minilxc.seccomp.calls import table

from .reference import X32_BIT, Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from minilxc.seccomp.arch import Abi, Machine
    from minilxc.seccomp.policy import Filter, Newer

SCALE = float(os.environ.get("MINILXC_PROOF", "1"))
"""How much longer than usual the proof is to take: MINILXC_PROOF=20 asks twenty times as many policies."""

SHIPPED = sorted((Path(__file__).parents[3] / "configs").glob("*.seccomp"))

NUMBERS = (*range(1024), *range(X32_BIT, X32_BIT + 1024))
FAR = (0xF0000, 0xF0007, X32_BIT - 1, 2 * X32_BIT - 1, 2 * X32_BIT, 0xFFFFFFFE, 0xFFFFFFFF)

_WORDS = (
    0,
    1,
    2,
    7,
    8,
    0x10,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 32,
    (1 << 32) + 8,
    1 << 63,
    (1 << 64) - 1,
)
_OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "&=")
_MOST_VECTORS = 48  # of arguments, for one call


def machines() -> list[Machine]:
    """Those that the installed libseccomp knows."""
    known = []
    for machine in MACHINES:
        try:
            table(machine.native)
        except MinilxcError:
            continue
        known.append(machine)
    return known


def numbers(abi: Abi) -> list[int]:
    """The call numbers to ask of an ABI: from 0 and from its base, with and without x32's bit, and far out."""
    own = range(abi.base, abi.base + 1024)
    return sorted({*NUMBERS, *own, *abi.private, *FAR})


def arguments(
    reference: Reference, audit: int, number: int, shuffle: random.Random
) -> Iterator[tuple[int, ...]]:
    """What to call a number with: zeros, and the values around each comparison that its rules make, combined."""
    yield (0,) * 6
    lines = reference.lines(audit, number)
    if not lines:
        return
    abi = reference.abi(audit, number)
    assert abi is not None
    name = calls.names(abi)[number]
    words = [{0} for _ in range(6)]
    for test in (test for line in lines for test in line.filters):
        words[test.arg].update(_around(test))
    if abi.multiplexed and name in ("socketcall", "ipc"):
        parts = calls.SOCKETCALL_PARTS if name == "socketcall" else calls.IPC_PARTS
        named = {parts[line.call] for line in lines if line.call in parts}
        for part in {near for number in named for near in (number - 1, number, number + 1)}:
            words[0].update((part, part | 1 << 16, part | 1 << 32, part | 0xABC << 48))
    ordered = [sorted(each) for each in words]
    count = 1
    for each in ordered:
        count *= len(each)
    if count <= _MOST_VECTORS:
        yield from itertools.product(*ordered)
        return
    for place, each in enumerate(ordered):
        for word in each if len(each) > 1 else ():
            yield tuple(word if other == place else shuffle.choice(ordered[other]) for other in range(6))
    for _ in range(_MOST_VECTORS // 2):
        yield tuple(shuffle.choice(each) for each in ordered)


def _around(test: Filter) -> Iterator[int]:
    for near in (test.value - 1, test.value, test.value + 1):
        yield near % 2**64
    yield test.value ^ 1 << 32
    yield 2**64 - 1
    if test.op == "&=":
        yield test.value | ~test.mask % 2**64
        yield test.value ^ test.mask
        yield test.value ^ (test.mask & -test.mask)


class Generated(NamedTuple):
    """A policy's text, and what newer calls get, if anything."""

    text: str
    newer: Newer | None


def ask_of_generated(machine: Machine, rounds: Iterable[int], ask: Callable[[Generated], None]) -> None:
    """Have `ask` look at ten policies for `machine` a round, the same ones whenever the round has this number.

    After ten of them hypothesis goes on with variations of what it has, with a line or two in another's place.
    """
    for number in rounds:
        seeded = seed(crc32(f"{machine.name} {number}".encode()))
        each = settings(
            max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        seeded(each(given(policies(machine))(ask)))()


@st.composite
def policies(draw: st.DrawFn, machine: Machine) -> Generated:
    """Policies for `machine`."""
    base = machine.native.base
    if base < X32_BIT and draw(_ODDS) < 4:  # version 1 has no larger numbers
        numbers = draw(st.lists(st.integers(base, base + 459), max_size=40))
        return Generated("\n".join(["1", "allowlist", *map(str, numbers)]), draw(_newer("kill")))
    if draw(_ODDS) < 15:
        return draw(_lone_parts())
    kind = draw(st.sampled_from(["allowlist", "denylist"]))
    default = draw(st.sampled_from(["", "", *_DEFAULTS, " allow", " log"]))
    size = draw(st.sampled_from([3, 10, 40, 200]))
    lines = draw(st.lists(_lines(machine, draw(_pools(machine))), min_size=size, max_size=size))
    word = default.strip() or ("kill" if kind == "allowlist" else "allow")
    return Generated("\n".join(["2", kind + default, *lines]) + "\n", draw(_newer(word)))


@st.composite
def _lone_parts(draw: st.DrawFn) -> Generated:
    """An allowlist with a filtered rule for a part of a multiplexer, hardly anything else, and newer calls."""
    default = draw(st.sampled_from(["", *_DEFAULTS]))
    action = draw(st.sampled_from(["allow", "kill", default.strip() or "kill"]))
    rule = f"{draw(st.sampled_from(_PARTS))} {action} {draw(_filters())}"
    others = draw(st.lists(st.sampled_from(["read", "write allow [0,1,==]", "mseal", "bind"]), max_size=2))
    section = draw(st.sampled_from(["[all]", "[x86]", "[native]"]))
    return Generated("\n".join(["2", "allowlist" + default, section, *others, rule]) + "\n", draw(_NEWER))


_ODDS = st.integers(0, 99)
_DEFAULTS = (" kill", " kill_process", " errno 1", " errno 38", " trap")
_ACTIONS = ["", "", " allow", " kill", " errno 2", " errno 4094", " trap", " log", " kill_process"]
_PARTS = (*calls.SOCKETCALL_PARTS, *calls.IPC_PARTS)
_NEWER = st.sampled_from(["errno 38", "kill_process", "log", "errno 1"]).map(
    lambda action: policy.newer(action, "--newer")
)


def _newer(default: str) -> st.SearchStrategy[Newer | None]:
    return st.none() if default in ("allow", "log") else st.none() | _NEWER


@st.composite
def _pools(draw: st.DrawFn, machine: Machine) -> st.SearchStrategy[str]:
    """Names for one policy: any, often one of a few, often one that has to do with multiplexers."""
    names = sorted({name for abi in machine.abis for name in table(abi)})
    few = draw(st.lists(st.sampled_from(names), min_size=12, max_size=12))
    pools = [st.sampled_from(each) for each in (names, few, [*_PARTS, "socketcall", "ipc"])]
    return st.sampled_from([0, 1, 1, 2]).flatmap(pools.__getitem__)


@st.composite
def _lines(draw: st.DrawFn, machine: Machine, names: st.SearchStrategy[str]) -> str:
    """A rule, seldom with a section before it."""
    section = ""
    if draw(_ODDS) < 12:
        other = "s390" if machine.name != "s390" else "arm"
        words = ["all", "native", *(abi.name for abi in machine.abis), other]
        section = f"[{draw(st.sampled_from(words))}]\n"
    filters = " " + draw(_filters()) if draw(_ODDS) < 30 else ""
    return section + draw(names) + draw(st.sampled_from(_ACTIONS)) + filters


@st.composite
def _filters(draw: st.DrawFn) -> str:
    """The filters of a rule: one, two or three, on different arguments."""
    count = draw(st.sampled_from([1, 1, 1, 2, 2, 3]))
    args = draw(st.permutations(range(6)))[:count]
    return "".join(draw(_filter(arg)) for arg in args)


@st.composite
def _filter(draw: st.DrawFn, arg: int) -> str:
    value, op = draw(st.sampled_from(_WORDS)), draw(st.sampled_from(_OPERATORS))
    if op != "&=":
        return f"[{arg},{value:#x},{op}]"
    mask = value | draw(st.sampled_from(_WORDS))
    return f"[{arg},{value:#x},&=,{mask:#x}]"


def audits(machine: Machine) -> Sequence[tuple[int, Abi]]:
    """Each audit value of a machine, with an ABI that has it; and one that the machine does not have."""
    found = {abi.audit: abi for abi in machine.abis}
    other = next(abi for each in MACHINES for abi in each.abis if abi.audit not in found)
    return [*found.items(), (other.audit, other)]
