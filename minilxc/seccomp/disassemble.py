"""A program as people read it: names for ABIs, calls, arguments, actions, and labels where jumps lead.

The mnemonics are those of the kernel's bpf_asm. What a number means depends on what the accumulator
holds and on the ABI that the program has found by then; both are taken from a walk over all its paths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from minilxc.errors import MinilxcError

from . import actions, arch, calls
from .explain import call_number
from .program import (
    ALU,
    ARCH,
    ARGS,
    CONDITIONS,
    FROM_X,
    JUMP,
    JUMP_ANY_BIT,
    JUMP_AT_LEAST,
    JUMP_EQUAL,
    JUMP_GREATER,
    LOAD,
    LOAD_K,
    LOAD_LENGTH,
    LOAD_MEMORY,
    NEGATE,
    NR,
    RETURN,
    RETURN_A,
    STORE,
    STORE_X,
    TO_X,
    USE_X,
    X_K,
    X_LENGTH,
    X_MEMORY,
)
from .symbolic import Fork, TooHardError, audit_values, explore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .arch import Abi
    from .program import Instruction, Program

_ARITHMETIC: Final = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "|": "or",
    "&": "and",
    "<<": "lsh",
    ">>": "rsh",
    "^": "xor",
}
_PLAIN: Final = {
    RETURN_A: ("ret", "a"),
    NEGATE: ("neg", ""),
    TO_X: ("tax", ""),
    FROM_X: ("txa", ""),
    LOAD_LENGTH: ("ld", "len"),
    X_LENGTH: ("ldx", "len"),
}
_WITH_K: Final = {
    LOAD_K: ("ld", "#{:#x}"),
    X_K: ("ldx", "#{:#x}"),
    LOAD_MEMORY: ("ld", "M[{}]"),
    X_MEMORY: ("ldx", "M[{}]"),
    STORE: ("st", "M[{}]"),
    STORE_X: ("stx", "M[{}]"),
}
_JUMPS: Final = {
    # the jump that tests, and the one that tests the opposite
    JUMP_EQUAL: ("jeq", "jne"),
    JUMP_GREATER: ("jgt", "jle"),
    JUMP_AT_LEAST: ("jge", "jlt"),
    JUMP_ANY_BIT: ("jset", ""),
}


class Listed(NamedTuple):
    """One instruction.

    at       its position, from 0
    label    "L3" where a jump leads here, else ""
    text     mnemonic and operand, names in the place of numbers, labels for jumps
    comment  the number behind a name; "" where there is nothing to say
    """

    at: int
    label: str
    text: str
    comment: str


class _Meaning(NamedTuple):
    """What a jump looks at: the word at `offset`, on the ABIs with these audit values."""

    offset: int
    audits: frozenset[int]


def listing(program: Program) -> tuple[Listed, ...]:
    """Every instruction of a valid program."""
    jumps = [_jump(at, instruction) for at, instruction in enumerate(program.instructions)]
    places = sorted({to for _, targets in jumps for to in targets})
    labels = {to: f"L{number}" for number, to in enumerate(places, 1)}
    meanings = _meanings(program)
    listed = []
    for at, (mnemonic, targets) in enumerate(jumps):
        operand, comment = _operand(program, at, meanings.get(at))
        words = [*([operand] if operand else []), *(labels[to] for to in targets)]
        text = f"{mnemonic:<5}{', '.join(words)}".rstrip()
        listed.append(Listed(at, labels.get(at, ""), text, comment))
    return tuple(listed)


def offset_name(offset: int, big: bool) -> str:
    """A word of seccomp_data: "nr", "arch", "ip.low", "args[0].high"."""
    if offset in (NR, ARCH):
        return "nr" if offset == NR else "arch"
    half = "high" if bool(offset & 4) != big else "low"
    return f"ip.{half}" if offset < ARGS else f"args[{(offset - ARGS) // 8}].{half}"


def audit_name(audit: int) -> str:
    """The first ABI that has this audit value (x32 differs from x86_64 by its numbers), or the value."""
    return next((abi.name for abi in arch.ABIS if abi.audit == audit), f"{audit:#x}")


def call_name(audit: int, number: int) -> str:
    """The name of a call, "" where it has none."""
    return _names(arch.abi_of_number(audit, number)).get(number, "")


def _jump(at: int, instruction: Instruction) -> tuple[str, tuple[int, ...]]:
    """The mnemonic of any instruction, and where a jump's labels lead: without those to the next one."""
    code, jt, jf, k = instruction
    if code == JUMP:
        return "ja", (at + 1 + k,)
    if code & ~USE_X in CONDITIONS:
        tests, tests_not = _JUMPS[code & ~USE_X]
        yes, no = at + 1 + jt, at + 1 + jf
        if jt and not jf:
            return tests, (yes,)
        if jf and not jt and tests_not:
            return tests_not, (no,)
        return tests, (yes, no)
    if code & ~USE_X in ALU:
        return _ARITHMETIC[ALU[code & ~USE_X]], ()
    if code == LOAD:
        return "ld", ()
    if code == RETURN:
        return "ret", ()
    return (_WITH_K[code] if code in _WITH_K else _PLAIN[code])[0], ()


def _operand(program: Program, at: int, meaning: _Meaning | None) -> tuple[str, str]:
    """What an instruction works on, and a comment."""
    code, _, _, k = program.instructions[at]
    if code == JUMP:
        return "", ""
    if code == LOAD:
        return offset_name(k, program.big), ""
    if code == RETURN:
        return action_words(k), f"{k:#010x}"
    if code in _WITH_K:
        return _WITH_K[code][1].format(k), ""
    if code in _PLAIN:
        return _PLAIN[code][1], ""
    if code & USE_X:
        return "x", ""
    if meaning and meaning.offset == ARCH:
        name = audit_name(k)
        return name, "" if name.startswith("0x") else f"{k:#x}"
    if meaning and meaning.offset == NR:
        names = {call_name(audit, k) for audit in meaning.audits}
        name = names.pop() if len(names) == 1 else ""
        abis = ", ".join(sorted({_abi_name(audit, k) for audit in meaning.audits}))
        return name or call_number(k), f"{abis} {call_number(k)}" if name else abis
    return f"{k:#x}", ""


def action_words(action: int) -> str:
    """What the kernel does with an answer, as a policy writes it: seccomp(2) ignores data that has no use."""
    kind, data = action & 0xFFFF0000, action & 0xFFFF
    if kind == actions.TRAP and data:
        return f"trap {data}"
    return actions.word(actions.meaning(action))


def _meanings(program: Program) -> dict[int, _Meaning]:
    """What is known of the jumps, by position; nothing where the program is too hard to follow."""
    found: dict[int, tuple[int, set[int]]] = {}

    def note(words: Mapping[int, int], audit: int | None) -> None:
        for reached in explore(program, words):
            test = reached.test if isinstance(reached, Fork) else None
            if test is None:
                continue
            offset, audits = found.setdefault(reached.here.at, (test.word.offset, set()))
            if offset != test.word.offset:
                found[reached.here.at] = (-1, set())
            elif audit is not None:
                audits.add(audit)

    try:
        note({}, None)
        for audit in audit_values(program):
            note({ARCH: audit}, audit)
    except TooHardError:
        return {}
    return {at: _Meaning(offset, frozenset(audits)) for at, (offset, audits) in found.items()}


def _abi_name(audit: int, number: int) -> str:
    abi = arch.abi_of_number(audit, number)
    return f"{audit:#x}" if abi is None else abi.name


def _names(abi: Abi | None) -> Mapping[int, str]:
    """The calls of `abi`; none where this libseccomp does not know them."""
    if abi is None:
        return {}
    try:
        return calls.names(abi)
    except MinilxcError:
        return {}
