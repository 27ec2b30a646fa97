"""Rules on one call whose filters overlap in several arguments."""

from __future__ import annotations

import random
from itertools import product

import pytest

from minilxc.errors import PolicyError
from minilxc.seccomp import calls, rules
from minilxc.seccomp.arch import Abi, abi_by_section, machine_by_word
from minilxc.seccomp.build import build

WORDS = (0, 1, 2, 3, 7, 8, 9, 16, 17, 0x7FFFFFFF, 0x80000000, 0x80000010, 0xFFFFFFFF, 1 << 32, (1 << 32) + 2)
OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "&=")


def abi_of(word: str) -> Abi:
    abi = abi_by_section(word)
    assert abi is not None
    return abi


@pytest.mark.parametrize(
    ("text", "machine", "abi", "args", "action"),
    [
        (
            "getppid kill [0,16,>][1,2,!=][2,0x10,>]\ngetppid kill [0,0x100000000,<][2,0,&=,8]",
            *("amd64", "x86_64", (4294967296, 4294967298, 4294967297), 0),
        ),
        (
            "getppid errno 9 [0,0x80000000,>=][2,0x3,&=,0xffffffff]\ngetppid errno 9 [0,8,!=][2,1,>=][1,9,<=]",
            *("amd64", "x86", (2147483657, 2147483647, 3), 0x50009),
        ),
        (
            "getppid kill [2,16,>][0,3,<=]\ngetppid errno 9 [2,2,>=][1,9,<=][0,0,!=]",
            *("armhf", "arm", (1, 2147483657, 2147483664), 0),
        ),
        (
            "getppid kill [1,7,==][0,0x10,!=]\ngetppid kill [0,16,&=,0xffffffff]",
            *("armhf", "arm", (2147483664, 16), 0x7FFF0000),
        ),
    ],
)
def test_libseccomps_wrong_programs_are_not_taken(
    text: str, machine: str, abi: str, args: tuple[int, ...], action: int
) -> None:
    """libseccomp 2.5.4 jumps to the test of one argument while another one is loaded."""
    built = build(f"2\ndenylist\n{text}\n".encode(), "p", machine_by_word(machine))
    where = abi_of(abi)
    assert built.program.simulate(where.audit, calls.table(where)["getppid"], args)[0] == action


@pytest.mark.parametrize("machine", ["riscv64", "i386"])
@pytest.mark.parametrize("seed", range(6))
def test_programs_answer_as_some_rule_that_matches(seed: int, machine: str) -> None:
    chance = random.Random(seed)
    target = machine_by_word(machine)
    number = calls.table(target.native)["getppid"]
    for _ in range(25):
        lines = []
        for _ in range(chance.randint(2, 4)):
            filters = []
            for arg in chance.sample(range(3), chance.randint(1, 3)):
                op = chance.choice(OPERATORS)
                mask = f",{chance.choice(WORDS):#x}" if op == "&=" else ""
                filters.append(f"[{arg},{chance.choice(WORDS):#x},{op}{mask}]")
            lines.append(f"getppid errno {chance.choice((1, 1, 2))} {''.join(filters)}\n")
        text = "2\ndenylist\n" + "".join(lines)
        try:
            built = build(text.encode(), "p", target)
        except PolicyError:
            continue  # two lines contradict each other, or the filter can never hold
        for args in product(chance.sample(WORDS, 8), repeat=3):
            given, _ = built.program.simulate(target.native.audit, number, args)
            words = (*args, 0, 0, 0)
            assert given in rules.answer(built.rules, target.native, number, words), (text, args)
