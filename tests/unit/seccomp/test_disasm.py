"""minilxc seccomp disasm: names, labels, and one clear line for what is no program."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings

from minilxc.errors import MinilxcError
from minilxc.seccomp.disassemble import listing
from minilxc.seccomp.inputs import read_program
from minilxc.seccomp.program import (
    AND,
    JUMP,
    JUMP_ANY_BIT,
    JUMP_EQUAL,
    JUMP_GREATER,
    LOAD,
    RETURN,
    RETURN_A,
    STORE,
    TO_X,
    USE_X,
    Instruction,
    Program,
)
from minilxc.seccomp.symbolic import audit_values

from .bpf import BY_HAND, programs, remembering
from .commands import on_a_terminal, seccomp
from .helpers import compiled

POLICY = "2\ndenylist\nmknod errno 1\nclone kill [0,0x10000000,&=,0x10000000]\n[x86]\nread log\n"
LISTED = """\
         0  ld   arch
         1  jeq  ppc64, L1    ; 0x80000015
         2  jeq  ppc, L1      ; 0x14
         3  ret  kill         ; 0x00000000
L1:      4  ld   nr
         5  jeq  mknod, L2    ; ppc, ppc64 14
         6  jne  clone, L3    ; ppc, ppc64 120
         7  ld   args[0].low
         8  and  0x10000000
         9  jlt  0x1, L3
L2:     10  ret  errno 1      ; 0x00050001
L3:     11  ret  allow        ; 0x7fff0000
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "p").write_text(POLICY)
    (tmp_path / "b").write_bytes(BY_HAND.encode())
    return tmp_path


def test_a_whole_program(here: Path) -> None:
    assert seccomp("disasm", "b", cwd=here) == (0, LISTED, "")
    assert seccomp("disasm", "-", "--arch", "powerpc", cwd=here, stdin=BY_HAND.encode()) == (0, LISTED, "")


def test_a_policy_is_listed_as_its_compiled_program(here: Path) -> None:
    (here / "c").write_bytes(compiled(POLICY, "s390x").program.encode())
    done = seccomp("disasm", "p", "--arch", "s390x", cwd=here)
    assert done[0] == 0
    assert seccomp("disasm", "c", cwd=here) == done


def test_calls_are_named_by_the_abi_that_is_asked(here: Path) -> None:
    shown = seccomp("disasm", "p", "--arch", "amd64", cwd=here)[1]
    for line in ("; x86_64 133", "; x86 14", "; x32 0x40000085", "; x86 3"):
        assert line in shown
    assert "  ret  log " in shown


def test_json(here: Path) -> None:
    status, shown, _ = seccomp("disasm", "b", "--json", cwd=here)
    found = json.loads(shown)
    assert status == 0
    assert {key: found[key] for key in found if key != "instructions"} == {
        "file": "b",
        "kind": "program",
        "machine": "ppc64",
        "big_endian": True,
    }
    assert found["instructions"][5] == {
        "at": 5,
        "label": "",
        "text": "jeq  mknod, L2",
        "comment": "ppc, ppc64 14",
        "code": JUMP_EQUAL,
        "jt": 4,
        "jf": 0,
        "k": 14,
    }


def test_comments_are_dim_on_a_terminal(here: Path) -> None:
    status, shown = on_a_terminal("disasm", "b", cwd=here, NO_COLOR="")
    assert status == 0
    assert "\x1b[2m; 0x14\x1b[0m" in shown
    assert on_a_terminal("disasm", "b", cwd=here, NO_COLOR="1") == (0, LISTED)


def test_instructions_that_only_foreign_programs_have() -> None:
    program = Program(
        [
            Instruction(LOAD, 0, 0, 16),
            Instruction(TO_X, 0, 0, 0),
            Instruction(0x24, 0, 0, 3),
            Instruction(0x0C, 0, 0, 0),
            Instruction(STORE, 0, 0, 2),
            Instruction(0x60, 0, 0, 2),
            Instruction(JUMP_EQUAL | USE_X, 0, 2, 0),
            Instruction(JUMP_ANY_BIT, 0, 1, 8),
            Instruction(JUMP, 0, 0, 1),
            Instruction(JUMP_GREATER, 1, 0, 9),
            Instruction(RETURN, 0, 0, 0x7FF00005),
            Instruction(RETURN, 0, 0, 0x12340000),
            Instruction(AND, 0, 0, 1),
            Instruction(RETURN_A, 0, 0, 0),
        ],
        big=False,
    )
    program.validate()
    shown = "\n".join(f"{line.label:<4}{line.text}" for line in listing(program))
    assert shown == dedent(
        """\
            ld   args[0].low
            tax
            mul  0x3
            add  x
            st   M[2]
            ld   M[2]
            jne  x, L2
            jset 0x8, L1, L2
        L1  ja   L3
        L2  jgt  0x9, L4
        L3  ret  trace 5
        L4  ret  kill_process
            and  0x1
            ret  a"""
    )


@settings(max_examples=100, deadline=None)
@given(program=programs())
def test_every_valid_program_is_listed(program: Program) -> None:
    lines = listing(program)
    assert [line.at for line in lines] == list(range(len(program)))
    labels = {line.label for line in lines if line.label}
    used = {word.strip(",") for line in lines for word in line.text.split() if word.strip(",") in labels}
    assert used == labels


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "f:1: the first line of a policy is its version, 1 or 2"),
        (b"hello\n", "f:1: the first line of a policy is its version, 1 or 2"),
        (b"\0", "minilxc: f: no seccomp program: 1 bytes are no whole number of instructions"),
        (
            b"\x7fELF\2\1\1\0",
            "minilxc: f: no seccomp program: instruction 0: opcode 0x457f is not for seccomp",
        ),
        (b"\x20\0\0\0\4\0\0\0", "minilxc: f: no seccomp program: the last instruction is no return"),
        (
            b"\x06\0\0\0\0\0\xff\x7f" * 4097,
            "minilxc: f: no seccomp program: 4097 instructions, the kernel takes 1 to 4096",
        ),
        (
            b"\x20\0\0\0\1\0\0\0\x06\0\0\0\0\0\xff\x7f",
            "minilxc: f: no seccomp program: instruction 0: load from offset 1",
        ),
        (
            b"\0\x15\3\0\0\0\0\0\0\x06\0\0\0\0\0\0",
            "minilxc: f: no seccomp program: instruction 0: jump out of the program",
        ),
        (b"\0" * 8, "minilxc: f: no seccomp program: the last instruction is no return"),
    ],
)
def test_what_is_no_program_is_one_line(content: bytes, error: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(content)
    assert seccomp("disasm", "f", cwd=tmp_path) == (1, "", error + "\n")


def test_a_program_for_another_machine_than_asked(here: Path) -> None:
    error = "minilxc: b: a big-endian program is not for amd64\n"
    assert seccomp("disasm", "b", "--arch", "amd64", cwd=here) == (2, "", error)
    error = "minilxc: --newer is for policies, and b is a program\n"
    assert seccomp("disasm", "b", "--newer", "errno 38", cwd=here) == (2, "", error)


@pytest.mark.parametrize("length", range(1, len(BY_HAND.encode())))
def test_a_cut_program_is_one_line(length: int) -> None:
    content = BY_HAND.encode()[:length]
    with pytest.raises(MinilxcError, match=r"^b: no seccomp program: "):
        read_program(content, "b")


def test_a_program_that_is_too_hard_to_follow_is_listed_without_meanings(tmp_path: Path) -> None:
    """Without a limit each word doubles the time."""
    known, hard = ([each.text for each in listing(remembering(words))] for words in (2, 16))
    assert "jne  read, L6" in known
    assert [text for text in hard if "read" in text or "x86_64" in text] == []
    (tmp_path / "hard").write_bytes(remembering(16).encode())
    status, shown, error = seccomp("disasm", "hard", cwd=tmp_path)
    assert (status, error) == (0, "")
    assert "jne  0x0" in shown
    assert audit_values(remembering(16)) == (0xC000003E,)
