"""minilxc seccomp diff: what two policies or programs answer otherwise, and nothing else."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minilxc.errors import PolicyError
from minilxc.seccomp import calls, diff, policy, rules, symbolic
from minilxc.seccomp.actions import meaning
from minilxc.seccomp.arch import machine_by_word
from minilxc.seccomp.build import build_rules
from minilxc.seccomp.diff import compare
from minilxc.seccomp.program import AND, JUMP_EQUAL, LOAD, RETURN, Instruction, Program
from minilxc.seccomp.stats import library_program
from minilxc.seccomp.symbolic import Test as Demand
from minilxc.seccomp.symbolic import Word, solve

from .bpf import ANSWERS, BY_HAND, NUMBERS, programs, remembering
from .commands import ROOT, on_a_terminal, seccomp
from .helpers import compiled

if TYPE_CHECKING:
    from minilxc.seccomp.diff import Comparison

A = "2\ndenylist\nmknod errno 1\nclone errno 1 [0,0x10000000,&=,0x10000000]\nread errno 9 [1,8,==][2,7,>]\n"
B = "2\ndenylist\nmkdir errno 1\nclone errno 1 [0,0x10000000,&=,0x30000000]\nread errno 9 [1,8,==][2,8,>]\n"
AMD64 = machine_by_word("amd64")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "a").write_text(A)
    (tmp_path / "b").write_text(B)
    return tmp_path


def test_what_differs_call_by_call(here: Path) -> None:
    shown = """\
--- a
+++ b
x86_64: read (0): errno 9 -> allow, as for read(0, 8, 8)
x86_64: clone (56): errno 1 -> allow, as for clone(0x30000000)
x86_64: mkdir (83): allow -> errno 1
x86_64: mknod (133): errno 1 -> allow
x32: read (0x40000000): errno 9 -> allow, as for read(0, 8, 8)
x32: clone (0x40000038): errno 1 -> allow, as for clone(0x30000000)
x32: mkdir (0x40000053): allow -> errno 1
x32: mknod (0x40000085): errno 1 -> allow
x86: read (3): errno 9 -> allow, as for read(0, 8, 8)
x86: mknod (14): errno 1 -> allow
x86: mkdir (39): allow -> errno 1
x86: clone (120): errno 1 -> allow, as for clone(0x30000000)
"""
    assert seccomp("diff", "a", "b", "--arch", "amd64", cwd=here) == (1, shown, "")


def test_several_machines(here: Path) -> None:
    shown = """\
--- a
+++ b
riscv64:
riscv64: clone (220): errno 1 -> allow, as for clone(0x30000000)
riscv64: read (63): errno 9 -> allow, as for read(0, 8, 8)
"""
    status, text, error = seccomp("diff", "a", "b", "--arch", "riscv64", "--arch", "armhf", cwd=here)
    assert (status, error) == (1, "")
    assert sorted(text.splitlines()[:5]) == sorted(shown.splitlines())
    assert text.splitlines()[5] == "armhf:"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mknod errno 1\n", "# text\n[all]\nmknod errno EPERM\n[x86]\nmknod errno 1\n"),
        ("clone kill [0,3,>]\n", "clone kill [0,4,>=]\n"),
        ("clone kill [0,0,!=]\n", "clone kill [0,0,>]\n"),
        ("clone kill [0,8,&=,8]\nclone kill [0,0,&=,8]\n", "clone kill\n"),
        ("clone kill [0,0x100000000,<]\n", "clone kill [0,0,&=,0xffffffff00000000]\n"),
        ("clone kill [0,5,<]\nclone kill [0,5,==]\n", "clone kill [0,5,<=]\n"),
    ],
)
def test_the_same_in_meaning(one: str, other: str, here: Path) -> None:
    (here / "a").write_text("2\ndenylist\n" + one)
    (here / "b").write_text("2\ndenylist\n" + other)
    for machine in ("amd64", "s390x", "mips"):
        assert seccomp("diff", "a", "b", "--arch", machine, cwd=here) == (0, "", "")


def test_a_compiled_program_says_whose_it_is(here: Path) -> None:
    (here / "program").write_bytes(compiled(A, "s390x").program.encode())
    assert seccomp("diff", "a", "program", cwd=here) == (0, "", "")
    assert seccomp("diff", "program", "b", cwd=here)[1].splitlines()[2] == (
        "s390x: read (3): errno 9 -> allow, as for read(0, 8, 8)"
    )
    assert seccomp("diff", "program", "b", "--arch", "amd64", cwd=here) == (
        2,
        "",
        "minilxc: program: a big-endian program is not for amd64\n",
    )


def test_what_no_table_names(tmp_path: Path) -> None:
    for name, default in (("a", "kill"), ("b", "errno 1")):
        (tmp_path / name).write_text(
            f"2\nallowlist {default}\n[all]\n" + "".join(f"{call}\n" for call in known())
        )
    lines = seccomp("diff", "a", "b", "--arch", "riscv64", cwd=tmp_path)[1].splitlines()
    assert lines[-1] == "riscv64: 470 to 0xffffffff: kill -> errno 1"
    assert all(": kill -> errno 1" in line for line in lines[2:])
    (tmp_path / "c").write_bytes(BY_HAND.encode())
    (tmp_path / "d").write_bytes(Program([Instruction(RETURN, 0, 0, 0x7FFF0000)], big=True).encode())
    assert (
        seccomp("diff", "c", "d", cwd=tmp_path)[1].splitlines()[-1]
        == "other architectures: every call: kill -> allow"
    )


def known() -> list[str]:
    abi = machine_by_word("riscv64").native
    return list(calls.table(abi))


def test_an_abi_on_which_nothing_is_answered_alike(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("2\nallowlist\n[all]\nread\n")
    (tmp_path / "b").write_text("2\nallowlist errno 1\n[all]\nread errno 2\nwrite\n")
    shown = """\
--- a
+++ b
riscv64: read (63): allow -> errno 2
riscv64: write (64): kill -> allow
riscv64: every other call: kill -> errno 1
"""
    assert seccomp("diff", "a", "b", "--arch", "riscv64", cwd=tmp_path) == (1, shown, "")
    lines = seccomp("diff", "a", "b", "--arch", "amd64", cwd=tmp_path)[1].splitlines()
    assert [line for line in lines if "every other" in line] == [
        f"{abi}: every other call: kill -> errno 1" for abi in ("x86_64", "x32", "x86")
    ]
    assert len(lines) == 11


def test_a_profile_of_a_container_engine(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("2\nallowlist errno 1\nread\npersonality allow [0,9,==]\n")
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_RISCV64"],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {
                "names": ["personality"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}],
            },
        ],
    }
    (tmp_path / "j").write_text(json.dumps(profile))
    status, shown, error = seccomp("diff", "j", "p", "--arch", "riscv64", cwd=tmp_path)
    assert (status, error) == (1, "")
    assert shown.splitlines()[2:] == [
        "riscv64: personality (92): errno 1 -> allow, as for personality(9)",
        "riscv64: personality (92): allow -> errno 1, as for personality(8)",
    ]


def test_json(here: Path) -> None:
    (here / "b").write_text(A.replace("mknod errno 1", "mknod errno 2"))
    status, shown, _ = seccomp("diff", "a", "b", "--arch", "armhf", "--json", cwd=here)
    assert status == 1
    assert json.loads(shown) == {
        "a": "a",
        "b": "b",
        "same": False,
        "machines": [
            {
                "machine": "armhf",
                "proved": True,
                "differences": [
                    {
                        "abi": "arm",
                        "audit": 0x40000028,
                        "call": "mknod",
                        "first": 14,
                        "last": 14,
                        "ours": "errno 1",
                        "theirs": "errno 2",
                        "number": 14,
                        "args": [],
                        "always": True,
                    }
                ],
            }
        ],
    }
    status, shown, _ = seccomp("diff", "a", "a", "--json", cwd=here)
    assert (status, json.loads(shown)["same"]) == (0, True)


def test_colours_on_a_terminal(here: Path) -> None:
    shown = on_a_terminal("diff", "a", "b", cwd=here, NO_COLOR="")[1]
    assert shown.startswith("\x1b[31m--- a\x1b[0m\n\x1b[32m+++ b\x1b[0m\n")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("a missing", "missing: No such file or directory"),
        ("a wrong", "wrong:3: mkmod: no architecture has this system call (did you mean 'mknod'?)"),
        ("a cut", "minilxc: cut: no seccomp program: 9 bytes are no whole number of instructions"),
        ("- -", "minilxc: only one of the two can be standard input"),
        ("cut cut --newer kill", "minilxc: --newer is for policies, and neither is one"),
    ],
)
def test_trouble_is_neither_same_nor_different(words: str, error: str, here: Path) -> None:
    (here / "wrong").write_text("2\ndenylist\nmkmod\n")
    (here / "cut").write_bytes(bytes(9))
    assert seccomp("diff", *words.split(), cwd=here) == (2, "", error + "\n")


def test_words_that_the_kernel_never_gives_make_no_difference() -> None:
    """The upper half of an i386 argument is 0, whatever a program that looks at it would answer."""
    looks = Program(
        [
            Instruction(LOAD, 0, 0, 4),
            Instruction(JUMP_EQUAL, 0, 3, 0x40000003),
            Instruction(LOAD, 0, 0, 20),
            Instruction(JUMP_EQUAL, 1, 0, 0),
            Instruction(RETURN, 0, 0, 0x00050001),
            Instruction(RETURN, 0, 0, 0x7FFF0000),
        ],
        big=False,
    )
    allows = Program([Instruction(RETURN, 0, 0, 0x7FFF0000)], big=False)
    assert compare(looks, allows, machine_by_word("i386")).differences == ()


def test_what_the_kernel_ignores_of_an_answer() -> None:
    assert meaning(0x7FFF0001) == meaning(0x7FFF0000)
    assert meaning(0x00050FFF) == meaning(0x0005FFFF) != meaning(0x00050FFE)
    assert meaning(0x12340000) == 0x80000000
    assert meaning(0x00030001) == 0x00030001


# --- random pairs


def check(ours: Program, theirs: Program, found: Comparison, chance: random.Random, rounds: int) -> None:
    """What is said to differ does; what is not said to differ does not, on many calls."""
    told: dict[int, list[tuple[int, int, tuple[int, int]]]] = {}
    for each in found.differences:
        given = [
            meaning(program.simulate(each.audit, each.number, each.args)[0]) for program in (ours, theirs)
        ]
        assert given == [each.ours, each.theirs]
        assert each.first <= each.number <= each.last
        assert each.abi is None or each.abi.wide or max(each.args, default=0) <= 0xFFFFFFFF
        told.setdefault(each.audit, []).append((each.first, each.last, (each.ours, each.theirs)))
    if not found.proved:
        return
    words = [*NUMBERS, *(instruction.k for program in (ours, theirs) for instruction in program.instructions)]
    numbers = [0, 1, 14, 56, 102, 117, 120, 133, 135, 136, 359, 395, 470, *NUMBERS]
    numbers += [number | 0x40000000 for number in numbers]
    for _ in range(rounds):
        audit = chance.choice((0xC000003E, 0x40000003))
        number = chance.choice(numbers)
        args = [
            (chance.choice(words) + chance.choice((-1, 0, 0, 0, 1)) & 0xFFFFFFFF)
            | (chance.choice(words) << 32 if audit & 0x80000000 and chance.random() < 0.5 else 0)
            for _ in range(6)
        ]
        pair = tuple(meaning(program.simulate(audit, number, args)[0]) for program in (ours, theirs))
        if pair[0] != pair[1]:
            assert any(first <= number <= last and pair == said for first, last, said in told.get(audit, ()))


@st.composite
def policies(draw: st.DrawFn) -> tuple[str, str]:
    """Two that differ by a line, by the order of their lines, or in text alone.

    One filter a rule: with several, libseccomp 2.5.4 may not come back.
    """
    lines = []
    for _ in range(draw(st.integers(1, 6))):
        call = draw(st.sampled_from(["mknod", "clone", "socket", "personality", "read", "shmget", "mseal"]))
        action = draw(st.sampled_from(["allow", "kill", "errno 1", "errno 2", "trap", "log"]))
        value = draw(st.sampled_from([0, 1, 8, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1]))
        op = draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "&="]))
        mask = f",{value | draw(st.sampled_from([1, 0xF0, 0xF0000000F]))}" if op == "&=" else ""
        filters = f" [{draw(st.integers(0, 1))},{value},{op}{mask}]" if draw(st.booleans()) else ""
        lines += [f"[{draw(st.sampled_from(['all', 'x86', 'x32']))}]"] if draw(st.integers(0, 3)) == 0 else []
        lines.append(f"{call} {action}{filters}")
    head = "2\n" + draw(st.sampled_from(["allowlist\n", "denylist\n", "denylist errno 1\n"]))
    other = list(lines)
    place = draw(st.integers(0, len(lines) - 1))
    match draw(st.sampled_from(["change", "move", "double", "remove"])):
        case "change":
            other[place] = other[place].replace("errno 1", "errno 2").replace("8", "9")
        case "move":
            other.insert(0, other.pop(place))
        case "double":
            other.insert(place, other[place])
        case "remove":
            del other[place]
    return head + "\n".join(lines), head + "\n".join(other)


@settings(max_examples=60, deadline=None)
@given(pair=policies(), seed=st.integers(0, 1000))
def test_pairs_of_policies(pair: tuple[str, str], seed: int) -> None:
    built = []
    for text in pair:
        try:
            built.append(build_rules(rules.build(policy.parse(text.encode(), "p"), AMD64)))
        except PolicyError:
            assume(False)
    found = compare(built[0].program, built[1].program, AMD64)
    assert found.proved
    check(built[0].program, built[1].program, found, random.Random(seed), rounds=1000)


@pytest.mark.parametrize("optimize", [1, 2])
@pytest.mark.parametrize("name", ["docker-size-allowlist", "default-denylist", "static-allowlist"])
def test_libseccomp_s_programs_of_our_policies(name: str, optimize: int) -> None:
    """They differ where the library is known to be wrong or behind, and nowhere else."""
    text = (ROOT / "configs" / f"{name}.seccomp").read_bytes()
    built = build_rules(rules.build(policy.parse(text, name), AMD64, notify=True))
    library = library_program(built.rules, optimize)
    assert library is not None
    found = compare(library, built.program, AMD64)
    check(library, built.program, found, random.Random(0), rounds=3000)
    assert found.proved
    for each in found.differences:
        behind = each.call == "uretprobe" or 457 <= each.first & 0x3FFFFFFF <= 469
        parts = each.call in ("socketcall", "ipc")
        negative = each.first >= 0x40000000 and not each.call
        assert behind or parts or negative, each


@settings(max_examples=50, deadline=None)
@given(ours=programs(simple=True), theirs=programs(simple=True), seed=st.integers(0, 1000))
def test_pairs_of_simple_programs(ours: Program, theirs: Program, seed: int) -> None:
    found = compare(ours, theirs, AMD64)
    check(ours, theirs, found, random.Random(seed), rounds=500)


@settings(max_examples=100, deadline=None)
@given(
    program=programs(simple=True),
    place=st.integers(0, 30),
    answer=st.sampled_from(ANSWERS),
    seed=st.integers(0, 99),
)
def test_pairs_that_differ_in_one_instruction(program: Program, place: int, answer: int, seed: int) -> None:
    changed = list(program.instructions)
    returns = [at for at, each in enumerate(changed) if each.code == RETURN]
    changed[returns[place % len(returns)]] = Instruction(RETURN, 0, 0, answer)
    other = Program(changed, big=False)
    check(program, other, compare(program, other, AMD64), random.Random(seed), rounds=500)


@settings(max_examples=6, deadline=None)
@given(ours=programs(), theirs=programs(), seed=st.integers(0, 1000))
def test_pairs_of_any_programs(ours: Program, theirs: Program, seed: int) -> None:
    found = compare(ours, theirs, AMD64)
    check(ours, theirs, found, random.Random(seed), rounds=200)


def test_where_nearly_every_call_differs_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("2\nallowlist errno 1\n[all]\nread\nwrite\n")
    (tmp_path / "b").write_text("2\nallowlist errno 38\n[all]\nread\nwrite\nmknod errno 5\n")
    shown = """\
--- a
+++ b
s390x: mknod (14): errno 1 -> errno 5
s390x: every other call but read, write, which are the same: errno 1 -> errno 38
s390: mknod (14): errno 1 -> errno 5
s390: every other call but read, write, which are the same: errno 1 -> errno 38
"""
    assert seccomp("diff", "a", "b", "--arch", "s390x", cwd=tmp_path) == (1, shown, "")


def test_a_program_that_calculates_is_searched_and_that_is_said(tmp_path: Path) -> None:
    adds = Program(
        [
            Instruction(LOAD, 0, 0, 16),
            Instruction(0x04, 0, 0, 5),
            Instruction(JUMP_EQUAL, 0, 1, 12),
            Instruction(RETURN, 0, 0, 0x00050001),
            Instruction(RETURN, 0, 0, 0x7FFF0000),
        ],
        big=False,
    )
    plain = [*adds.instructions[:1], Instruction(JUMP_EQUAL, 0, 1, 7), *adds.instructions[3:]]
    (tmp_path / "adds").write_bytes(adds.encode())
    (tmp_path / "plain").write_bytes(Program(plain, big=False).encode())
    status, shown, error = seccomp("diff", "adds", "plain", "--arch", "riscv64", cwd=tmp_path)
    assert (status, shown) == (2, "")
    told = json.loads(seccomp("diff", "adds", "plain", "--arch", "riscv64", "--json", cwd=tmp_path)[1])
    assert (told["same"], told["machines"][0]["proved"]) == (None, False)
    assert (
        error == "minilxc: riscv64: these programs can only be searched for differences: there may be more\n"
    )
    plain[1] = Instruction(JUMP_EQUAL, 0, 1, 8)
    (tmp_path / "plain").write_bytes(Program(plain, big=False).encode())
    assert seccomp("diff", "adds", "plain", "--arch", "riscv64", cwd=tmp_path)[0] == 1


def test_a_program_that_remembers_much_is_searched_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit each word doubles the time, for each number of a call."""
    monkeypatch.setattr(symbolic, "_MAX_PLACES", 500)
    monkeypatch.setattr(diff, "_MAX_RUN", 0)
    ours, theirs = remembering(9), remembering(9, answer=0x00050002)
    assert compare(remembering(4), remembering(4), AMD64) == ((), True)
    same = compare(ours, ours, AMD64)
    assert (same.differences, same.proved) == ((), False)
    found = compare(ours, theirs, AMD64)
    assert not found.proved
    assert [(each.call, each.ours, each.theirs) for each in found.differences] == [
        ("read", 0x00050001, 0x00050002)
    ]


def test_a_program_that_looks_at_the_instruction_pointer_is_not_compared(tmp_path: Path) -> None:
    looks = [
        Instruction(LOAD, 0, 0, 8),
        Instruction(JUMP_EQUAL, 0, 1, 0x31),
        Instruction(RETURN, 0, 0, 0x00050001),
    ]
    allow = Instruction(RETURN, 0, 0, 0x7FFF0000)
    (tmp_path / "looks").write_bytes(Program([*looks, allow], big=False).encode())
    (tmp_path / "allow").write_bytes(Program([allow], big=False).encode())
    line = "a program looks at the instruction pointer, so its answers depend on more than the call"
    assert seccomp("diff", "looks", "allow", cwd=tmp_path) == (2, "", f"minilxc: {line}\n")


# --- the solver


@settings(max_examples=500, deadline=None)
@given(
    demands=st.lists(
        st.tuples(st.integers(1, 31), st.sampled_from(["==", "!=", ">", "<="]), st.integers(0, 31)),
        max_size=6,
    )
)
def test_the_solver_finds_the_least_word_or_none(demands: list[tuple[int, str, int]]) -> None:
    holds = {
        "==": lambda a, k: a == k,
        "!=": lambda a, k: a != k,
        ">": lambda a, k: a > k,
        "<=": lambda a, k: a <= k,
    }
    least = next((w for w in range(32) if all(holds[op](w & mask, k) for mask, op, k in demands)), None)
    assert solve(Demand(Word(16, mask), op, k) for mask, op, k in demands) == least


def test_masks_that_overlap_in_too_many_ways_are_searched_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(symbolic, "_MAX_OPEN", 10)
    symbolic._solve.cache_clear()

    def program(bits: list[int]) -> Program:
        tests = [
            part
            for bit in bits
            for part in (
                Instruction(LOAD, 0, 0, 16),
                Instruction(AND, 0, 0, 1 << bit | 1 << (bit + 5) % 31),
                Instruction(JUMP_EQUAL, 0, 1, 1 << bit),
                Instruction(RETURN, 0, 0, 0x00050001),
            )
        ]
        return Program([*tests, Instruction(RETURN, 0, 0, 0x7FFF0000)], big=False)

    bits = list(range(30))
    ours, theirs = program(bits), program(bits[::-2] + bits[::2])
    found = compare(ours, theirs, AMD64)
    assert not found.proved
    check(ours, theirs, found, random.Random(0), rounds=500)
    assert compare(ours, ours, AMD64).proved


def test_a_comparison_bit_by_bit_is_proved_to_be_the_whole_one() -> None:
    """What convert writes for `!=` on the half of an argument, and what libseccomp makes of it."""
    allow, refuse = Instruction(RETURN, 0, 0, 0x7FFF0000), Instruction(RETURN, 0, 0, 0x00050001)
    whole = [
        part
        for at in (32, 16)
        for part in (Instruction(LOAD, 0, 0, at), Instruction(JUMP_EQUAL, 1, 0, 9), allow)
    ]
    bits = [
        part
        for at in (16, 32)
        for bit in range(31, -1, -1)
        for part in (
            Instruction(LOAD, 0, 0, at),
            Instruction(AND, 0, 0, 1 << bit),
            Instruction(JUMP_EQUAL, 1, 0, 9 & 1 << bit),
            allow,
        )
    ]
    found = compare(Program([*whole, refuse], big=False), Program([*bits, refuse], big=False), AMD64)
    assert (found.differences, found.proved) == ((), True)


def test_hundreds_of_filters_are_compared_in_their_number() -> None:
    def program(numbers: list[int]) -> Program:
        tests = [
            part
            for number in numbers
            for part in (Instruction(JUMP_EQUAL, 0, 1, number), Instruction(RETURN, 0, 0, 0x00050001))
        ]
        return Program(
            [Instruction(LOAD, 0, 0, 16), *tests, Instruction(RETURN, 0, 0, 0x7FFF0000)], big=False
        )

    numbers = list(range(0, 3000, 10))
    riscv64 = machine_by_word("riscv64")
    found = compare(program(numbers), program(numbers[::-1]), riscv64)
    assert (found.differences, found.proved) == ((), True)
    found = compare(program(numbers), program([*numbers[:-1], 7]), riscv64)
    assert {each.args for each in found.differences} == {(7,), (2990,)}
