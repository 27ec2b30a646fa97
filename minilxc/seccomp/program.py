"""A seccomp program: read, checked as the kernel checks it, and run, in pure Python.

Programs of every architecture can be judged on any machine: nothing here depends on the host's byte
order. Classic BPF as seccomp(2) takes it: kernel/seccomp.c:seccomp_check_filter, net/core/filter.c.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_INSTRUCTIONS = 4096
"""BPF_MAXINSNS."""

DATA_SIZE = 64
"""sizeof(struct seccomp_data): int nr, u32 arch, u64 instruction_pointer, u64 args[6]."""

NR = 0
ARCH = 4
ARGS = 16
"""Offsets of seccomp_data's fields."""

LOAD = 0x20
"""A = the word at offset k. These names are for linux/filter.h's opcodes that a filter needs."""
AND = 0x54
JUMP = 0x05
JUMP_EQUAL = 0x15
JUMP_GREATER = 0x25
JUMP_AT_LEAST = 0x35
JUMP_ANY_BIT = 0x45
RETURN = 0x06

MEMORY_WORDS = 16
"""BPF_MEMWORDS."""
WORD = 0xFFFFFFFF
"""A register's bits."""

# what hand-made and foreign programs may have besides
LOAD_LENGTH, X_LENGTH, LOAD_K, X_K = 0x80, 0x81, 0x00, 0x01
LOAD_MEMORY, X_MEMORY, STORE, STORE_X = 0x60, 0x61, 0x02, 0x03
TO_X, FROM_X, RETURN_A, NEGATE, USE_X = 0x07, 0x87, 0x16, 0x84, 0x08
ALU: Final = {
    0x04: "+",
    0x14: "-",
    0x24: "*",
    0x34: "/",
    0x44: "|",
    0x54: "&",
    0x64: "<<",
    0x74: ">>",
    0xA4: "^",
}
CONDITIONS: Final = (JUMP_EQUAL, JUMP_GREATER, JUMP_AT_LEAST, JUMP_ANY_BIT)
_OPCODES: Final = frozenset(
    {LOAD, LOAD_LENGTH, X_LENGTH, LOAD_K, X_K, LOAD_MEMORY, X_MEMORY, STORE, STORE_X}
    | {TO_X, FROM_X, RETURN, RETURN_A, NEGATE, JUMP}
    | {code | source for code in (*ALU, *CONDITIONS) for source in (0, USE_X)}
)


class Instruction(NamedTuple):
    """struct sock_filter."""

    code: int
    jt: int
    jf: int
    k: int


class InvalidProgramError(ValueError):
    """The kernel would not take the program; the text says why."""


class Program:
    """A program and the byte order it is for. Immutable; compared by content."""

    __slots__ = ("instructions", "big", "_format")

    def __init__(self, instructions: Sequence[Instruction], big: bool) -> None:
        self.instructions = tuple(instructions)
        self.big = big
        self._format = struct.Struct(">HBBI" if big else "<HBBI")

    @classmethod
    def decode(cls, data: bytes, big: bool) -> Program:
        """The program in `data`, an array of struct sock_filter. Raises InvalidProgramError for a broken size."""
        if len(data) % 8:
            raise InvalidProgramError(f"{len(data)} bytes are no whole number of instructions")
        layout = struct.Struct(">HBBI" if big else "<HBBI")
        return cls([Instruction._make(fields) for fields in layout.iter_unpack(data)], big)

    def encode(self) -> bytes:
        """The array of struct sock_filter, in the target's byte order."""
        return b"".join([self._format.pack(*instruction) for instruction in self.instructions])

    def __len__(self) -> int:
        return len(self.instructions)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Program):
            return NotImplemented
        return self.big == other.big and self.instructions == other.instructions

    def __hash__(self) -> int:
        return hash((self.instructions, self.big))

    def validate(self) -> None:
        """Raise InvalidProgramError where the kernel's check would give EINVAL."""
        size = len(self.instructions)
        if not 1 <= size <= MAX_INSTRUCTIONS:
            raise InvalidProgramError(f"{size} instructions, the kernel takes 1 to {MAX_INSTRUCTIONS}")
        for at, (code, jt, jf, k) in enumerate(self.instructions):
            left = size - at - 1
            if code not in _OPCODES:
                raise InvalidProgramError(f"instruction {at}: opcode {code:#x} is not for seccomp")
            if code == LOAD and (k % 4 or k >= DATA_SIZE):
                raise InvalidProgramError(f"instruction {at}: load from offset {k}")
            if code == JUMP and k >= left:
                raise InvalidProgramError(f"instruction {at}: jump out of the program")
            if code & ~USE_X in CONDITIONS and max(jt, jf) >= left:
                raise InvalidProgramError(f"instruction {at}: jump out of the program")
            if code == 0x34 and not k:
                raise InvalidProgramError(f"instruction {at}: division by zero")
            if code in (0x64, 0x74) and k >= 32:
                raise InvalidProgramError(f"instruction {at}: shift by {k}")
            if code in (LOAD_MEMORY, X_MEMORY, STORE, STORE_X) and k >= MEMORY_WORDS:
                raise InvalidProgramError(f"instruction {at}: memory word {k}")
        if self.instructions[-1].code not in (RETURN, RETURN_A):
            raise InvalidProgramError("the last instruction is no return")
        self._validate_memory()

    def _validate_memory(self) -> None:
        """Raise InvalidProgramError for a load of a memory word that some path has not stored."""
        size = len(self.instructions)
        everything = (1 << MEMORY_WORDS) - 1
        stored = [everything] * size  # at each instruction: words that every path to it has stored
        stored[0] = 0
        for at, (code, jt, jf, k) in enumerate(self.instructions):
            now = stored[at]
            if code in (LOAD_MEMORY, X_MEMORY) and not now >> k & 1:
                raise InvalidProgramError(f"instruction {at}: memory word {k} is loaded before it is stored")
            if code in (STORE, STORE_X):
                now |= 1 << k
            if code in (RETURN, RETURN_A):
                continue
            targets = (k,) if code == JUMP else (jt, jf) if code & ~USE_X in CONDITIONS else (0,)
            for offset in targets:
                stored[at + offset + 1] &= now

    def simulate(self, arch: int, number: int, args: Sequence[int] = ()) -> tuple[int, int]:
        """Run the program on a call: (what it returns, how many instructions that took).

        `arch` is the audit value, `number` the call's number as an unsigned 32-bit word, `args` up to
        six 64-bit words, 0 where missing; the instruction pointer is 0. The program must be valid.
        """
        words = [number, arch, 0, 0]
        for arg in args:
            low, high = arg & WORD, arg >> 32 & WORD
            words += (high, low) if self.big else (low, high)
        words += [0] * (16 - len(words))
        program = self.instructions
        a = x = at = steps = 0
        memory = [0] * MEMORY_WORDS
        while True:
            code, jt, jf, k = program[at]
            at += 1
            steps += 1
            if code == JUMP_AT_LEAST:
                at += jt if a >= k else jf
            elif code == JUMP_EQUAL:
                at += jt if a == k else jf
            elif code == LOAD:
                a = words[k >> 2]
            elif code == RETURN:
                return k, steps
            elif code == AND:
                a &= k
            elif code == JUMP_GREATER:
                at += jt if a > k else jf
            elif code == JUMP:
                at += k
            elif code == JUMP_ANY_BIT:
                at += jt if a & k else jf
            elif code == RETURN_A:
                return a, steps
            elif code & 7 == 5:
                at += jt if compare(code & ~USE_X, a, x) else jf
            elif code == NEGATE:
                a = -a & WORD
            elif code & 7 == 4:
                by = x if code & USE_X else k
                if code & ~USE_X == 0x34 and not by:
                    return 0, steps  # the kernel ends a program that divides by zero with 0, KILL_THREAD
                a = compute(code & ~USE_X, a, by)
            elif code == TO_X:
                x = a
            elif code == FROM_X:
                a = x
            elif code in (LOAD_K, LOAD_LENGTH):
                a = DATA_SIZE if code == LOAD_LENGTH else k
            elif code in (X_K, X_LENGTH):
                x = DATA_SIZE if code == X_LENGTH else k
            elif code == LOAD_MEMORY:
                a = memory[k]
            elif code == X_MEMORY:
                x = memory[k]
            else:
                memory[k] = a if code == STORE else x


def compare(code: int, a: int, by: int) -> bool:
    """A conditional jump's test, of A against K or X; `code` is the one for K."""
    if code == JUMP_EQUAL:
        return a == by
    if code == JUMP_GREATER:
        return a > by
    if code == JUMP_AT_LEAST:
        return a >= by
    return bool(a & by)


def compute(code: int, a: int, by: int) -> int:
    """The arithmetic instructions, on unsigned 32-bit words; `code` is the one for K. No division by 0."""
    match ALU[code]:
        case "+":
            return a + by & WORD
        case "-":
            return a - by & WORD
        case "*":
            return a * by & WORD
        case "/":
            return a // by
        case "|":
            return a | by
        case "&":
            return a & by
        case "^":
            return a ^ by
        case "<<":
            return a << (by & 31) & WORD
    return a >> (by & 31)
