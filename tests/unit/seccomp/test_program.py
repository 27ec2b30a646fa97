"""The simulator: what the kernel would do with a program, instruction by instruction."""

from __future__ import annotations

import pytest

from minilxc.seccomp.program import Instruction, InvalidProgramError, Program

LITTLE = 0xC000003E


def program(*instructions: tuple[int, int, int, int], big: bool = False) -> Program:
    return Program([Instruction(*each) for each in instructions], big)


def ret(k: int) -> tuple[int, int, int, int]:
    return (0x06, 0, 0, k)


RET_A = (0x16, 0, 0, 0)
WORDS = [  # offset, big-endian, word of a call with number 1, audit 2, argument 0 = 0x300000004
    (0, False, 1),
    (4, False, 2),
    (8, False, 0),
    (16, False, 4),
    (20, False, 3),
    (16, True, 3),
    (20, True, 4),
    (24, True, 0),
]


@pytest.mark.parametrize(("offset", "big", "word"), WORDS)
def test_loads(offset: int, big: bool, word: int) -> None:
    assert program((0x20, 0, 0, offset), RET_A, big=big).simulate(2, 1, (0x300000004,)) == (word, 2)


@pytest.mark.parametrize(
    ("code", "a", "by", "result"),
    [
        (0x04, 0xFFFFFFFF, 2, 1),
        (0x14, 1, 2, 0xFFFFFFFF),
        (0x24, 0x10000, 0x10001, 0x10000),
        (0x34, 7, 2, 3),
        (0x44, 5, 2, 7),
        (0x54, 6, 3, 2),
        (0x64, 0x80000001, 1, 2),
        (0x74, 0x80000001, 1, 0x40000000),
        (0xA4, 6, 3, 5),
    ],
)
def test_arithmetic_with_a_constant_and_with_x(code: int, a: int, by: int, result: int) -> None:
    with_k = program((0x00, 0, 0, a), (code, 0, 0, by), RET_A)
    with_x = program((0x01, 0, 0, by), (0x00, 0, 0, a), (code | 8, 0, 0, 0), RET_A)
    for each in (with_k, with_x):
        each.validate()
        assert each.simulate(LITTLE, 0)[0] == result


@pytest.mark.parametrize(
    ("code", "holds", "fails"),
    [(0x15, [5], [4, 6]), (0x25, [6], [4, 5]), (0x35, [5, 6], [4]), (0x45, [4, 1, 7], [2, 8])],
)
def test_jumps(code: int, holds: list[int], fails: list[int]) -> None:
    with_k = program((0x20, 0, 0, 0), (code, 1, 0, 5), ret(0), ret(1))
    with_x = program((0x01, 0, 0, 5), (0x20, 0, 0, 0), (code | 8, 1, 0, 0), ret(0), ret(1))
    for each in (with_k, with_x):
        each.validate()
        assert all(each.simulate(LITTLE, number)[0] == 1 for number in holds)
        assert all(each.simulate(LITTLE, number)[0] == 0 for number in fails)


def test_the_rest_of_the_instructions() -> None:
    """Through memory, X, length and negation: -(64) + 3."""
    each = program(
        (0x81, 0, 0, 0),  # X = length
        (0x03, 0, 0, 2),  # M[2] = X
        (0x60, 0, 0, 2),  # A = M[2]
        (0x84, 0, 0, 0),  # A = -A
        (0x02, 0, 0, 3),  # M[3] = A
        (0x61, 0, 0, 3),  # X = M[3]
        (0x80, 0, 0, 0),  # A = length
        (0x87, 0, 0, 0),  # A = X
        (0x07, 0, 0, 0),  # X = A
        (0x05, 0, 0, 1),  # over the next
        ret(9),
        (0x04, 0, 0, 3),
        RET_A,
    )
    each.validate()
    assert each.simulate(LITTLE, 0) == (0xFFFFFFFF - 60, 12)


def test_division_by_zero_kills() -> None:
    assert program((0x01, 0, 0, 0), (0x3C, 0, 0, 0), ret(1)).simulate(LITTLE, 0)[0] == 0


@pytest.mark.parametrize(
    ("instructions", "why"),
    [
        ([], "0 instructions, the kernel takes 1 to 4096"),
        ([ret(0)] * 4097, "4097 instructions, the kernel takes 1 to 4096"),
        ([(0x28, 0, 0, 0), ret(0)], "instruction 0: opcode 0x28 is not for seccomp"),
        ([(0x94, 0, 0, 2), ret(0)], "instruction 0: opcode 0x94 is not for seccomp"),
        ([(0x20, 0, 0, 2), ret(0)], "instruction 0: load from offset 2"),
        ([(0x20, 0, 0, 64), ret(0)], "instruction 0: load from offset 64"),
        ([(0x05, 0, 0, 1), ret(0)], "instruction 0: jump out of the program"),
        ([(0x05, 0, 0, 0xFFFFFFFF), ret(0)], "instruction 0: jump out of the program"),
        ([(0x15, 0, 1, 0), ret(0)], "instruction 0: jump out of the program"),
        ([(0x3D, 1, 0, 0), ret(0)], "instruction 0: jump out of the program"),
        ([(0x34, 0, 0, 0), ret(0)], "instruction 0: division by zero"),
        ([(0x64, 0, 0, 32), ret(0)], "instruction 0: shift by 32"),
        ([(0x02, 0, 0, 16), ret(0)], "instruction 0: memory word 16"),
        ([(0x60, 0, 0, 0), ret(0)], "instruction 0: memory word 0 is loaded before it is stored"),
        (
            [(0x15, 0, 1, 0), (0x02, 0, 0, 0), (0x60, 0, 0, 0), ret(0)],
            "instruction 2: memory word 0 is loaded before it is stored",
        ),
        ([ret(0), (0x20, 0, 0, 0)], "the last instruction is no return"),
    ],
)
def test_what_the_kernel_would_not_take(instructions: list[tuple[int, int, int, int]], why: str) -> None:
    with pytest.raises(InvalidProgramError) as caught:
        program(*instructions).validate()
    assert str(caught.value) == why


@pytest.mark.parametrize("big", [False, True])
def test_encoding_and_back(big: bool) -> None:
    each = program((0x15, 1, 2, 0x01020304), ret(0), big=big)
    data = each.encode()
    assert data[:8] == (b"\x00\x15\x01\x02\x01\x02\x03\x04" if big else b"\x15\x00\x01\x02\x04\x03\x02\x01")
    assert Program.decode(data, big) == each
    assert Program.decode(data, big) != Program.decode(data, not big)


def test_half_an_instruction() -> None:
    with pytest.raises(InvalidProgramError, match="9 bytes are no whole number of instructions"):
        Program.decode(b"123456789", False)
