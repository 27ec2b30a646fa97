"""The check that every program passes: a program that is wrong in one place does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from minilxc.errors import PolicyError
from minilxc.seccomp.program import RETURN, Program
from minilxc.seccomp.verify import verify

from .helpers import compiled

if TYPE_CHECKING:
    from minilxc.seccomp.build import Built

POLICIES = [
    (
        "2\nallowlist errno 1\n[all]\nread\nwrite errno 2\npersonality allow [0,8,==]\nsocket\nshmget\n",
        "amd64",
    ),
    ("2\ndenylist\nmknod errno 2\nioctl errno 3 [1,0x5412,&=,0xffffffff]\nsocket errno 4\n", "s390x"),
    ("2\ndenylist\nftruncate errno 2 [1,0x100000000,>]\nlseek errno 3 [1,5,!=][2,9,<]\n", "mips64"),
    ("2\ndenylist\nmknod errno 2\n", "x32"),
]


@pytest.mark.parametrize(("text", "machine"), POLICIES)
def test_each_answer_counts(text: str, machine: str) -> None:
    """Whichever return of the program is changed, some question hits it."""
    built = compiled(text, machine)
    for at, each in enumerate(built.program.instructions):
        if each.code == RETURN:
            changed = list(built.program.instructions)
            changed[at] = each._replace(k=0x00050000 + 999)
            with pytest.raises(PolicyError, match=r"^p:2: the compiled program answers ERRNO\(999\) to "):
                verify(Program(changed, built.program.big), built.rules)


@pytest.mark.parametrize(("text", "machine"), POLICIES)
def test_each_test_counts(text: str, machine: str) -> None:
    """A jump's constant that is one too large or too small is found, unless no answer changes with it."""
    built = compiled(text, machine)
    for at, each in enumerate(built.program.instructions):
        if each.code in (0x15, 0x25, 0x35) and each.jt != each.jf:
            for step in (-1, 1):
                changed = list(built.program.instructions)
                changed[at] = each._replace(k=each.k + step & 0xFFFFFFFF)
                program = Program(changed, built.program.big)
                try:
                    verify(program, built.rules)
                except PolicyError:
                    continue
                assert answers(program, built) == answers(built.program, built)


def answers(program: Program, built: Built) -> list[int]:
    """What a program says to every call near to those of its machine."""
    words = [(word,) * 6 for word in (0, 1, 8, 0x5412, 1 << 32, 2**64 - 1)]
    return [
        program.simulate(abi.audit, abi.base + number, args)[0]
        for abi in built.rules.machine.abis
        for number in range(600)
        for args in words
    ]


@pytest.mark.parametrize(("text", "machine"), POLICIES)
def test_each_load_and_mask_counts(text: str, machine: str) -> None:
    """A wrong word, the wrong half of a word, and a lost mask bit are found."""
    built = compiled(text, machine)
    for at, each in enumerate(built.program.instructions):
        if each.code in (0x20, 0x54):
            changed = list(built.program.instructions)
            changed[at] = each._replace(k=each.k ^ 4)
            with pytest.raises(PolicyError):
                verify(Program(changed, built.program.big), built.rules)


def test_a_program_that_the_kernel_would_not_take() -> None:
    built = compiled(*POLICIES[0])
    with pytest.raises(
        PolicyError, match=r"^p:2: the compiled program is not valid: the last instruction is no return$"
    ):
        verify(Program(built.program.instructions[:1], False), built.rules)
