"""What the tools compare and run: a policy, a compiled program or a profile, told apart by content."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from minilxc.errors import MinilxcError, PolicyError, UsageError

from . import arch
from .program import InvalidProgramError, Program

if TYPE_CHECKING:
    from .arch import Machine
    from .policy import Newer

_POLICY = re.compile(rb"[ \t\r\n]*[12][ \t\r\n]")
# JSON with or without a byte order mark, also where it is a single value
_PROFILE = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*(?:[{\[\"]|(?:null|true|false)[ \t\r\n]*$)")
_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")  # of UTF-8 and UTF-16


class Input(NamedTuple):
    """A program to look at, and where it is from.

    name     what messages call it
    kind     "policy", "program" or "profile" (JSON, as Docker and OCI have it)
    machine  whose program it is: the one asked for, else what a compiled program tells of itself
    """

    name: str
    kind: str
    machine: Machine
    program: Program


def kind_of(content: bytes) -> str:
    """What `content` is: "policy", "program" or "profile". What is neither counts as a policy.

    A policy begins with its version, JSON with a bracket; a program has bytes of 0, which no
    policy has: the upper half of an opcode is 0.
    """
    if _POLICY.match(content):
        return "policy"
    if _PROFILE.match(content):
        return "profile"
    return "program" if b"\0" in content and not content.startswith(_MARKS) else "policy"


def expect_policy(content: bytes, name: str) -> None:
    """Raise PolicyError where `content` is known to be something else than a policy, and what it is for."""
    kind = kind_of(content)
    if kind == "profile":
        hint = "'minilxc seccomp convert' makes a policy of a profile"
        raise PolicyError("this is JSON, and no policy", f"{name}:1", hint)
    if content.startswith(_MARKS):
        raise PolicyError("a byte order mark before the version", f"{name}:1", "save it as UTF-8 without one")
    if kind == "program":
        try:
            read_program(content, name)
        except MinilxcError:
            return  # whatever it is
        hint = "'minilxc seccomp disasm' shows it"
        raise PolicyError("this is a compiled program, and no policy", name, hint)


def load(content: bytes, name: str, machine: Machine | None, newer: Newer | None = None) -> Input:
    """The program in `content`, or the one that it is compiled to for `machine` (None: this one).

    A policy's program is verified, its `notify` rules count as answered. `newer` is for policies.
    Raises PolicyError for a wrong policy or profile, MinilxcError for a program that the kernel would
    not take, UsageError for one that is not `machine`'s or does not tell whose it is.
    """
    kind = kind_of(content)
    if kind == "program":
        program = read_program(content, name)
        return Input(name, kind, _machine(program, name, machine), program)
    from .build import build, build_rules

    target = machine or arch.this_machine()
    if kind == "profile":
        from .oci import read_profile

        return Input(name, kind, target, build_rules(read_profile(content, name, target)).program)
    expect_policy(content, name)
    return Input(name, kind, target, build(content, name, target, notify=True, newer=newer).program)


def read_program(content: bytes, name: str) -> Program:
    """The array of struct sock_filter in `content`, of either byte order. Raises MinilxcError.

    No program is valid in both: the last instruction's opcode, a return, is none in the other order.
    """
    wrong = []
    for big in (False, True):
        try:
            program = Program.decode(content, big)
            program.validate()
        except InvalidProgramError as error:
            wrong.append((program.instructions[0].code if len(content) % 8 == 0 else 0, str(error)))
        else:
            return program
    # the order in which the first opcode is a small number is the one that was meant
    raise MinilxcError(f"no seccomp program: {min(wrong)[1]}", where=name)


def _machine(program: Program, name: str, wanted: Machine | None) -> Machine:
    """Whose program it is: `wanted`, or the machine that has the ABIs it asks for."""
    if wanted is not None:
        if wanted.big != program.big:
            order = "big" if program.big else "little"
            raise UsageError(f"{name}: a {order}-endian program is not for {wanted.name}")
        return wanted
    from .symbolic import audit_values

    audits = audit_values(program)
    here = arch.this_machine()
    fitting = [
        machine
        for machine in (here, *arch.MACHINES)
        if machine.big == program.big and machine.native.audit in audits
    ]
    if fitting:
        return max(fitting, key=lambda machine: len({abi.audit for abi in machine.abis} & {*audits}))
    if not audits and here.big == program.big:
        return here
    raise UsageError(f"{name}: the program does not tell which machine it is for", hint="--arch names it")
