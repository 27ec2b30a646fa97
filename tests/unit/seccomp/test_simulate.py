"""minilxc seccomp simulate: the answer, the way there, and how long that is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minilxc.seccomp.arch import ABIS, Abi
from minilxc.seccomp.program import Program
from minilxc.seccomp.trace import trace

from .bpf import BY_HAND, NUMBERS, programs
from .commands import on_a_terminal, seccomp
from .helpers import compiled

POLICY = "2\ndenylist\nmknod errno 1\nclone kill [0,0x10000000,&=,0x10000000]\naccept errno 3\n"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "p").write_text(POLICY)
    (tmp_path / "b").write_bytes(BY_HAND.encode())
    return tmp_path


def test_the_path_of_a_call(here: Path) -> None:
    shown = """\
ppc64: clone(0x10000011): errno 1, 9 instructions
         0  ld   arch         a = 0x80000015
         1  jeq  ppc64, L1    to 4
L1:      4  ld   nr           a = 120
         5  jeq  mknod, L2    to 6
         6  jne  clone, L3    to 7
         7  ld   args[0].low  a = 0x10000011
         8  and  0x10000000   a = 0x10000000
         9  jlt  0x1, L3      to 10
L2:     10  ret  errno 1
"""
    assert seccomp("simulate", "b", "clone", "0x10000011", cwd=here) == (0, shown, "")
    assert seccomp("simulate", "-", "120", "268435473", cwd=here, stdin=BY_HAND.encode()) == (0, shown, "")


def test_another_abi_and_an_architecture_that_the_program_does_not_know(here: Path) -> None:
    assert seccomp("simulate", "b", "clone", "--abi", "ppc", cwd=here)[1].splitlines()[0] == (
        "ppc: clone(): allow, 10 instructions"
    )
    assert seccomp("simulate", "b", "0", "--abi", "s390", cwd=here)[1] == (
        """\
s390: 0(): kill, 4 instructions
         0  ld   arch       a = 0x16
         1  jeq  ppc64, L1  to 2
         2  jeq  ppc, L1    to 3
         3  ret  kill
"""
    )


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("mknod --arch amd64", "x86_64: mknod(): errno 1"),
        ("mknod --arch amd64 --abi x32", "x32: mknod(): errno 1"),
        ("socketcall 5 --arch amd64 --abi i386", "x86: socketcall(5): errno 3"),
        ("9999 -1 AF_INET 010 --arch arm64", "aarch64: 9999(0xffffffffffffffff, 2, 8): allow"),
    ],
)
def test_a_policy(words: str, answer: str, here: Path) -> None:
    status, shown, _ = seccomp("simulate", "p", *words.split(), cwd=here)
    assert status == 0
    assert shown.startswith(f"{answer}, ")


def test_arguments_are_as_wide_as_the_abi_can_pass_them() -> None:
    program = compiled(
        "2\ndenylist\n[x86_64]\nmknod errno 1 [0,0x100000001,==]\n[x86]\nmknod errno 2 [0,1,==]\n", "amd64"
    )
    assert trace(program.program, abi("x86_64"), 133, [0x100000001]).action == 0x00050001
    assert trace(program.program, abi("x86"), 14, [0x100000001]).action == 0x00050002


def test_json(here: Path) -> None:
    status, shown, _ = seccomp("simulate", "b", "0", "--abi", "s390", "--json", cwd=here)
    assert status == 0
    assert json.loads(shown) == {
        "file": "b",
        "kind": "program",
        "machine": "ppc64",
        "abi": "s390",
        "call": None,
        "number": 0,
        "args": [],
        "verdict": "kill",
        "action": 0,
        "instructions": 4,
        "path": [
            {"at": 0, "a": 0x16, "x": 0, "to": 1},
            {"at": 1, "a": 0x16, "x": 0, "to": 2},
            {"at": 2, "a": 0x16, "x": 0, "to": 3},
            {"at": 3, "a": 0x16, "x": 0, "to": None},
        ],
    }


def test_the_answer_is_strong_on_a_terminal(here: Path) -> None:
    shown = on_a_terminal("simulate", "b", "mknod", cwd=here, NO_COLOR="")[1]
    assert shown.startswith("ppc64: mknod(): \x1b[1merrno 1\x1b[0m, 5 instructions\n")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("p mkmod", "mkmod: no architecture has this system call (did you mean 'mknod'?)"),
        ("p accept --arch i386", "x86 does not have accept (there it is 'socketcall 5')"),
        ("p waitpid --arch arm64", "aarch64 does not have waitpid"),
        ("p mknod _", "'_' is no argument to run a program with (0, or another number)"),
        ("p 0x100000000", "4294967296 is no system call number: it has 32 bits"),
        ("p mknod --abi x86_65", "unknown ABI 'x86_65' (did you mean 'x86_64'?)"),
    ],
)
def test_an_error_is_one_line(words: str, error: str, here: Path) -> None:
    assert seccomp("simulate", *words.split(), cwd=here) == (2, "", f"minilxc: {error}\n")


@settings(max_examples=300, deadline=None)
@given(
    program=programs(),
    made_by=st.sampled_from([abi for abi in ABIS if not abi.big]),
    number=st.sampled_from(NUMBERS),
    args=st.lists(
        st.sampled_from(NUMBERS).map(lambda low: low << 32 | 5) | st.sampled_from(NUMBERS), max_size=6
    ),
)
def test_the_path_leads_where_the_simulator_goes(
    program: Program, made_by: Abi, number: int, args: list[int]
) -> None:
    went = trace(program, made_by, number, args)
    words = args if made_by.wide else [word & 0xFFFFFFFF for word in args]
    assert (went.action, len(went.steps)) == program.simulate(made_by.audit, number, words)


def abi(name: str) -> Abi:
    return next(abi for abi in ABIS if abi.name == name)
