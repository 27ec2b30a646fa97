"""The questions of the proof: policies, and the calls to ask of each."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

from minilxc.seccomp import calls, policy
from minilxc.seccomp.arch import MACHINES
from minilxc.seccomp.calls import table

from .reference import X32_BIT, Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
        except Exception:  # noqa: BLE001  MinilxcError, whose reason does not matter here
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


def generated(seed: int, machine: Machine) -> tuple[str, Newer | None]:
    """A policy for `machine`, the same for the same seed, and what newer calls get, if anything."""
    choose = random.Random(seed)
    if choose.random() < 0.04 and machine.native.base < X32_BIT:  # version 1 has no larger numbers
        lines = [
            str(choose.randrange(machine.native.base, machine.native.base + 460))
            for _ in range(choose.randint(0, 40))
        ]
        return "\n".join(["1", "allowlist", *lines]), _newer(choose, "kill")
    default = choose.choice(
        ["", "", " kill", " kill_process", " errno 1", " errno 38", " trap", " allow", " log"]
    )
    kind = choose.choice(["allowlist", "denylist"])
    lines = ["2", kind + default]
    names = sorted({name for abi in machine.abis for name in table(abi)})
    multiplexed = [*calls.SOCKETCALL_PARTS, *calls.IPC_PARTS, "socketcall", "ipc"]
    few = choose.sample(names, min(12, len(names)))
    sections = [
        "all",
        "native",
        *(abi.name for abi in machine.abis),
        "s390" if machine.name != "s390" else "arm",
    ]
    for _ in range(choose.choice([3, 10, 40, 200])):
        if choose.random() < 0.12:
            lines.append(f"[{choose.choice(sections)}]")
        name = choose.choice(choose.choice([names, few, few, multiplexed]))
        action = choose.choice(
            ["", "", " allow", " kill", " errno 2", " errno 4094", " trap", " log", " kill_process"]
        )
        filters = ""
        if choose.random() < 0.3:
            args = choose.sample(range(6), choose.choice([1, 1, 1, 2, 2, 3]))
            filters = " " + "".join(_filter(choose, arg) for arg in args)
        lines.append(name + action + filters)
    word = default.strip() or ("kill" if kind == "allowlist" else "allow")
    return "\n".join(lines) + "\n", _newer(choose, word)


def _newer(choose: random.Random, default: str) -> Newer | None:
    if default in ("allow", "log") or choose.random() < 0.5:
        return None
    return policy.newer(choose.choice(["errno 38", "kill_process", "log", "errno 1"]), "--newer")


def _filter(choose: random.Random, arg: int) -> str:
    value, op = choose.choice(_WORDS), choose.choice(_OPERATORS)
    if op != "&=":
        return f"[{arg},{value:#x},{op}]"
    mask = value | choose.choice(_WORDS)
    return f"[{arg},{value:#x},&=,{mask:#x}]"


def audits(machine: Machine) -> Sequence[tuple[int, Abi]]:
    """Each audit value of a machine, with an ABI that has it; and one that the machine does not have."""
    found = {abi.audit: abi for abi in machine.abis}
    other = next(abi for each in MACHINES for abi in each.abis if abi.audit not in found)
    return [*found.items(), (other.audit, other)]
