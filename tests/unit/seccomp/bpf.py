"""Programs that no compiler made, for tests: one by hand, and random ones that the kernel would take."""

from __future__ import annotations

from hypothesis import strategies as st

from minilxc.seccomp.program import (
    ALU,
    AND,
    CONDITIONS,
    FROM_X,
    JUMP,
    JUMP_ANY_BIT,
    JUMP_AT_LEAST,
    JUMP_EQUAL,
    LOAD,
    LOAD_K,
    LOAD_LENGTH,
    LOAD_MEMORY,
    NEGATE,
    RETURN,
    RETURN_A,
    STORE,
    STORE_X,
    TO_X,
    USE_X,
    X_K,
    X_LENGTH,
    X_MEMORY,
    Instruction,
    Program,
)

BY_HAND = Program(
    [
        Instruction(LOAD, 0, 0, 4),
        Instruction(JUMP_EQUAL, 2, 0, 0x80000015),  # ppc64
        Instruction(JUMP_EQUAL, 1, 0, 0x14),  # ppc
        Instruction(RETURN, 0, 0, 0),
        Instruction(LOAD, 0, 0, 0),
        Instruction(JUMP_EQUAL, 4, 0, 14),  # mknod
        Instruction(JUMP_EQUAL, 0, 4, 120),  # clone
        Instruction(LOAD, 0, 0, 20),
        Instruction(AND, 0, 0, 0x10000000),
        Instruction(JUMP_AT_LEAST, 0, 1, 1),
        Instruction(RETURN, 0, 0, 0x00050001),
        Instruction(RETURN, 0, 0, 0x7FFF0000),
    ],
    big=True,
)
"""On ppc64 and ppc errno 1 for mknod, and for clone with CLONE_NEWUSER."""


def remembering(words: int, answer: int = 0x00050001) -> Program:
    """Keeps a bit of each of so many words in memory: there are two to the power of `words` ways to get to its end.

    It gives `answer` to read(2) of x86_64 with all bits 0, and allows the rest.
    """
    program = [
        Instruction(LOAD, 0, 0, 4),
        Instruction(JUMP_EQUAL, 1, 0, 0xC000003E),
        Instruction(RETURN, 0, 0, 0),
        *(Instruction(STORE_X, 0, 0, place) for place in range(words)),
    ]
    for place in range(words):
        program += [
            Instruction(LOAD, 0, 0, 16 + 4 * (place % 12)),
            Instruction(JUMP_ANY_BIT, 0, 2, 1 << place),
            Instruction(LOAD_K, 0, 0, 1),
            Instruction(STORE, 0, 0, place),
        ]
    end = 2 * words + 4
    for place in range(words):
        left = end - 2 * place
        program += [Instruction(LOAD_MEMORY, 0, 0, place), Instruction(JUMP_EQUAL, 0, left - 3, 0)]
    program += [
        Instruction(LOAD, 0, 0, 0),
        Instruction(JUMP_EQUAL, 0, 1, 0),
        Instruction(RETURN, 0, 0, answer),
        Instruction(RETURN, 0, 0, 0x7FFF0000),
    ]
    return Program(program, big=False)


NUMBERS = (0, 1, 2, 3, 7, 8, 0xFF, 0x10, 0x40000000, 0x40000003, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
AUDITS = (0xC000003E, 0x40000003, 0xC00000B7)
ANSWERS = (0x7FFF0000, 0, 0x80000000, 0x00050001, 0x00050026, 0x7FFC0000)
WORDS = (0, 4, 16, 20, 24, 28, 56)

numbers = st.sampled_from(NUMBERS) | st.integers(0, 15)


@st.composite
def programs(draw: st.DrawFn, simple: bool = False, longest: int = 24) -> Program:
    """A valid little-endian program; `simple`: only loads, masks, comparisons with numbers and returns."""
    size = draw(st.integers(1, longest))
    written = [Instruction(STORE, 0, 0, place) for place in range(0 if simple else 2)]
    for place in range(size):
        left = size - place  # instructions that follow, the last return among them
        kinds = ["load", "load", "jump", "jump", "jump", "mask", "return"]
        if not simple:
            kinds += ["alu", "move", "memory", "jump x", "alu x", "return a", "audit"]
        match draw(st.sampled_from(kinds)):
            case "load":
                written.append(Instruction(LOAD, 0, 0, draw(st.sampled_from(WORDS))))
            case "mask":
                written.append(Instruction(AND, 0, 0, draw(numbers)))
            case "audit":
                written.append(Instruction(LOAD_K, 0, 0, draw(st.sampled_from(AUDITS))))
            case "return":
                written.append(Instruction(RETURN, 0, 0, draw(st.sampled_from(ANSWERS))))
            case "return a":
                written.append(Instruction(RETURN_A, 0, 0, 0))
            case "move":
                code = draw(st.sampled_from([LOAD_LENGTH, X_LENGTH, TO_X, FROM_X, NEGATE, X_K]))
                written.append(Instruction(code, 0, 0, draw(numbers) if code == X_K else 0))
            case "memory":
                code = draw(st.sampled_from([LOAD_MEMORY, X_MEMORY, STORE, STORE_X]))
                written.append(Instruction(code, 0, 0, draw(st.integers(0, 1))))
            case "alu" | "alu x" as kind:
                code = draw(st.sampled_from(list(ALU)))
                k = draw(st.integers(1, 31)) if code in (0x34, 0x64, 0x74) else draw(numbers)
                written.append(Instruction(code | (USE_X if kind == "alu x" else 0), 0, 0, k))
            case kind:
                code = draw(st.sampled_from([*CONDITIONS, JUMP]))
                offsets = st.integers(0, min(left - 1, 12))
                if code == JUMP:
                    written.append(Instruction(JUMP, 0, 0, draw(offsets)))
                else:
                    k = draw(numbers | st.sampled_from(AUDITS))
                    code |= USE_X if kind == "jump x" else 0
                    written.append(Instruction(code, draw(offsets), draw(offsets), k))
    written.append(Instruction(RETURN, 0, 0, draw(st.sampled_from(ANSWERS))))
    program = Program(written, big=False)
    program.validate()
    return program
