"""What is promised of programs beyond their answers: size, reach, byte order, refusals."""

from __future__ import annotations

import random

import pytest

from minilxc.errors import MinilxcError, PolicyError
from minilxc.seccomp import compiler, libseccomp
from minilxc.seccomp.arch import machine_by_word
from minilxc.seccomp.assemble import Graph, linear
from minilxc.seccomp.compiler import refusals
from minilxc.seccomp.policy import parse
from minilxc.seccomp.program import JUMP, JUMP_AT_LEAST, JUMP_EQUAL, NR, Program
from minilxc.seccomp.rules import build

from .helpers import ask, compiled


def test_a_program_is_in_the_byte_order_of_its_machine() -> None:
    little = compiled("2\ndenylist\n", "ppc64el").program.encode()
    big = compiled("2\ndenylist\n", "ppc64").program.encode()
    assert little[:16].hex() == "2000000004000000" + "15000001150000c0"
    assert big[:8].hex() == "0020000000000004"
    assert big.count(bytes.fromhex("80000015")) == 1


def test_a_denylist_without_rules_asks_for_nothing_but_the_abi() -> None:
    assert len(compiled("2\ndenylist\n", "riscv64").program) == 4


def test_neighbours_with_one_answer_are_one_range() -> None:
    many = "2\nallowlist\n" + "\n".join(["read", "write", "open", "close", "stat", "fstat", "lstat", "poll"])
    assert len(compiled(many, "amd64").program) < 12


@pytest.mark.parametrize("seed", range(6))
def test_far_jumps(seed: int) -> None:
    """A search among thousands of numbers reaches each of its leaves, however far."""
    chance = random.Random(seed)
    graph = Graph()
    answers = [graph.answer(value) for value in range(chance.choice([2, 40, 400]))]
    starts = sorted({0, *chance.sample(range(100_000), 1200)})
    ranges = [(start, chance.choice(answers)) for start in starts]
    program = Program(linear(graph, graph.load(NR, graph.search(ranges))), big=False)
    program.validate()
    assert any(each.code == JUMP for each in program.instructions)
    for start, node in ranges:
        assert program.simulate(0, start)[0] == graph.nodes[node][1]
    assert max(program.simulate(0, start)[1] for start in starts) < 2 * len(starts).bit_length() + 4


def test_a_shared_branch_far_away_is_reached_twice() -> None:
    graph = Graph()
    shared = graph.load(16, graph.test(JUMP_EQUAL, 5, graph.answer(1), graph.answer(2)))
    node = shared
    for number in range(900, 0, -1):
        node = graph.test(JUMP_EQUAL, number, shared if number in (1, 450) else graph.answer(number), node)
    program = Program(linear(graph, graph.load(NR, node)), big=False)
    program.validate()
    assert [program.simulate(0, number, (5,))[0] for number in (1, 2, 449, 450, 900, 901)] == [
        1,
        2,
        449,
        1,
        900,
        1,
    ]


def test_a_test_that_decides_nothing_is_left_out() -> None:
    graph = Graph()
    node = graph.answer(1)
    assert graph.test(JUMP_AT_LEAST, 5, node, node) == node


def test_a_program_above_the_kernels_limit() -> None:
    names = (
        "ioctl",
        "fcntl",
        "mkdirat",
        "fchmod",
        "lseek",
        "dup3",
        "kill",
        "personality",
        "splice",
        "tee",
        "read",
        "write",
    )
    rules = "".join(
        f"{name} errno {at * 100 + value} [1,{value * 0x100000007},==]\n"
        for at, name in enumerate(names)
        for value in range(100)
    )
    with pytest.raises(PolicyError, match=r"^p:2: the program has \d+ instructions, the kernel takes 4096$"):
        compiled("2\ndenylist\n" + rules, "riscv64")


def test_too_many_filters_for_one_call() -> None:
    rules = "".join(f"ioctl errno {value} [1,{value * 4099},==][2,{value},==]\n" for value in range(1000))
    with pytest.raises(PolicyError) as caught:
        compiled("2\ndenylist\n" + rules, "i386")
    assert str(caught.value) == (
        "p:1002: libseccomp makes 5957 instructions of this call's filters, the kernel takes 4096"
    )


def test_filters_without_number_are_refused_before_anybody_sorts_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiler, "export", lambda *args: pytest.fail("libseccomp is asked"))
    rules = "".join(f"ioctl errno {value % 4000} [1,{value},&=,0xffffffff]\n" for value in range(20_000))
    with pytest.raises(PolicyError) as caught:
        compiled("2\ndenylist\n" + rules, "i386")
    assert str(caught.value) == "p:1003: more than 1000 rules with filters for one call"


def test_what_libseccomp_refuses_for_reasons_of_its_own_names_a_line_to_blame() -> None:
    """These two contradict each other nowhere, and libseccomp 2.5.4 refuses them."""
    rules = (
        "read errno 7 [0,1,==]\nread errno 1 [0,3,>=][2,1,!=]\nread errno 9 [1,5,==]\nread errno 2 [0,9,>=]\n"
    )
    with pytest.raises(PolicyError) as caught:
        compiled("2\ndenylist\n" + rules, "riscv64")
    assert str(caught.value) == "p:6: libseccomp finds that the filters contradict those of p:4"


def test_such_lines_are_looked_for_a_few_times() -> None:
    """Each search asks libseccomp several times."""
    rules = ["read errno 1 [0,3,>=][2,1,!=]", *(f"read errno {at + 2} [0,{at + 9},>=]" for at in range(30))]
    policy = parse("\n".join(["2", "denylist", *rules]).encode(), "p")
    told = [error.what for _, error in refusals(build(policy, machine_by_word("riscv64")))]
    assert told == [
        *(["libseccomp finds that the filters contradict those of p:3"] * 20),
        *(["libseccomp finds that the filters contradict those of earlier lines"] * 10),
    ]


CONTRADICTIONS = [
    # the same condition with another action
    ("personality errno 1 [0,8,==]\npersonality errno 2 [0,8,==]", "p:4", "p:3"),
    # in whichever order its tests stand
    ("socket errno 1 [0,8,==][1,1,==]\nsocket errno 2 [1,1,==][0,8,==]", "p:4", "p:3"),
    # a longer one, then its beginning
    ("personality errno 1 [0,8,==][1,1,==]\npersonality errno 2 [0,8,==]", "p:4", "p:3"),
    # not the nearest lines
    (
        "personality errno 1 [0,8,==]\nread\npersonality errno 2 [0,9,==]\npersonality trap [0,8,==]",
        "p:6",
        "p:3",
    ),
]


@pytest.mark.parametrize(("rules", "second", "first"), CONTRADICTIONS)
@pytest.mark.parametrize("machine", ["riscv64", "amd64", "s390x"])
def test_what_libseccomp_refuses_names_both_lines(rules: str, second: str, first: str, machine: str) -> None:
    with pytest.raises(PolicyError) as caught:
        compiled("2\ndenylist\n" + rules, machine)
    assert str(caught.value) == f"{second}: the filters are, or begin, those of {first}, with another action"


def test_the_same_rule_twice_is_no_contradiction() -> None:
    built = compiled("2\ndenylist\npersonality errno 1 [0,8,==]\npersonality errno 1 [0,8,==]\n", "amd64")
    assert ask(built, "x86_64: personality(8)") == "ERRNO(1)"


@pytest.mark.parametrize("machine", ["riscv64", "parisc64", "i386"])
def test_where_libseccomp_answers_wrongly_the_first_rule_stands(machine: str) -> None:
    """libseccomp 2.5.4 answers ALLOW to personality(0, 1): the first rule is lost."""
    built = compiled(
        "2\ndenylist\n"
        "personality errno 1 [0,0,==]\n"
        "personality errno 1 [0,0,==][1,0,==]\n"
        "personality errno 2 [1,0,==][0,1,!=]\n",
        machine,
    )
    abi = built.rules.machine.native.name
    answers = {
        "personality(0, 0)": "ERRNO(1)",
        "personality(0, 1)": "ERRNO(1)",
        "personality(2, 0)": "ERRNO(2)",
        "personality(1, 0)": "ALLOW",
        "personality(2, 1)": "ALLOW",
    }
    assert {question: ask(built, f"{abi}: {question}") for question in answers} == answers


def test_wrong_answers_are_found_wherever_they_are() -> None:
    """libseccomp 2.5.4 answers KILL to this call, which neither rule matches: [0] and [1] are too large."""
    text = (
        "2\ndenylist trap\n"
        "setfsuid [0,0xffffffff,<][3,0x8,&=,0xffffffff][5,0x1,>]\n"
        "setfsuid errno 2 [0,0x7,!=][3,0x1,!=][1,0x80000000,!=]\n"
    )
    built = compiled(text, "armhf")
    answers = {
        "setfsuid(0xffffffff, 0x80000000, 0, 8, 0, 0xffffffff)": "TRAP",
        "setfsuid(0xfffffffe, 0x80000000, 0, 8, 0, 0xffffffff)": "KILL_THREAD",
        "setfsuid(0xffffffff, 0x7fffffff, 0, 8, 0, 0xffffffff)": "ERRNO(2)",
    }
    assert {call: ask(built, f"arm: {call}") for call in answers} == answers


def test_what_is_not_proved_to_be_right_is_not_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's order puts the second rule first, the policy's the first; either is right here."""
    rules = ("errno 7 [0,1,>=]", "errno 9 [0,8,==]", "errno 8 [1,1,==][2,1,==]")
    text = "\n".join(["2", "denylist", *(f"personality {rule}" for rule in rules)])
    assert ask(compiled(text, "amd64"), "x86_64: personality(8)") == "ERRNO(9)"
    for limit in ("_PROVED_RULES", "_PROVED_STEPS"):
        with monkeypatch.context() as patch:
            patch.setattr(compiler, limit, 1)
            compiler.forget_decisions()
            assert ask(compiled(text, "amd64"), "x86_64: personality(8)") == "ERRNO(7)"
    compiler.forget_decisions()


def test_where_libseccomp_comes_to_no_end_the_first_rule_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """libseccomp 2.5.4 loops for ever over these two, in this order."""
    monkeypatch.setattr(libseccomp, "_CPU_SECONDS", 0.2)
    text = "2\ndenylist\nread errno 5 [0,2,<=][1,0x100000000,==]\nread errno 6 [0,2,<=][2,0,&=,1]\n"
    built = compiled(text, "amd64")
    answers = {
        "read(1, 0x100000000, 2)": "ERRNO(5)",
        "read(1, 0x100000000, 1)": "ERRNO(5)",
        "read(1, 1, 2)": "ERRNO(6)",
        "read(1, 1, 1)": "ALLOW",
    }
    assert {call: ask(built, f"x86_64: {call}") for call in answers} == answers


OPERATORS = [
    ("==", "001000"),
    ("!=", "110111"),
    ("<", "110000"),
    ("<=", "111000"),
    (">=", "001111"),
    (">", "000111"),
]


@pytest.mark.parametrize(("op", "holds"), OPERATORS)
@pytest.mark.parametrize("machine", ["riscv64", "parisc64", "amd64"])
@pytest.mark.parametrize("companion", ["", "personality errno 2 [3,7,==]\n"])
def test_operators_around_a_value_of_64_bits(op: str, holds: str, machine: str, companion: str) -> None:
    built = compiled(f"2\ndenylist\npersonality errno 1 [0,0x500000007,{op}]\n{companion}", machine)
    for word, held in zip(
        (0x400000008, 0x500000006, 0x500000007, 0x500000008, 0x600000006, 2**64 - 1), holds, strict=True
    ):
        wanted = "ERRNO(1)" if held == "1" else "ALLOW"
        assert ask(built, f"{built.rules.machine.native.name}: personality({word})") == wanted, hex(word)


def test_notify_is_refused_where_nobody_answers() -> None:
    with pytest.raises(PolicyError) as caught:
        compiled("2\ndenylist\nread kill\nmknod notify\n", "amd64")
    assert str(caught.value) == (
        "p:4: 'notify' without anybody to answer it"
        " (lxc.seccomp.notify.proxy names who does; 'seccomp compile' takes --notify)"
    )


def test_notify_in_a_section_for_another_machine_is_nobodys_business() -> None:
    compiled("2\ndenylist\n[arm]\nmknod notify\n", "amd64")


@pytest.mark.parametrize(
    ("rule", "machine", "error"),
    [
        ("mknod errno ELOOP", "mips", "p:3: errno ELOOP has its own number on mips (write the number)"),
        (
            "mknod errno ELOOP",
            "parisc64",
            "p:3: errno ELOOP has its own number on parisc64 (write the number)",
        ),
        (
            "mknod errno EDEADLOCK",
            "ppc64el",
            "p:3: errno EDEADLOCK has its own number on ppc64el (write the number)",
        ),
    ],
)
def test_an_errno_name_means_the_targets_number_or_nothing(rule: str, machine: str, error: str) -> None:
    with pytest.raises(PolicyError) as caught:
        compiled(f"2\ndenylist\n{rule}\n", machine)
    assert str(caught.value) == error


def test_errno_names_that_are_the_same_everywhere() -> None:
    assert ask(compiled("2\ndenylist\nmknod errno EPERM\n", "mips"), "mips: mknod()") == "ERRNO(1)"
    assert ask(compiled("2\ndenylist\nmknod errno ENOSYS\n", "s390x"), "s390x: mknod()") == "ERRNO(38)"


@pytest.mark.parametrize(
    ("machine", "number"), [("amd64", 38), ("ppc64el", 38), ("mips64", 89), ("mipsel", 89), ("parisc", 251)]
)
def test_enosys_has_its_number_on_every_machine(machine: str, number: int) -> None:
    built = compiled(
        "2\nallowlist errno ENOSYS\n[all]\nread\nmknod errno ENOSYS\nopen errno ENOSYS [1,5,==]\n", machine
    )
    name = built.rules.machine.native.name
    for question in ("mknod()", "write()", "open(0, 5)"):
        assert ask(built, f"{name}: {question}") == f"ERRNO({number})"


def test_an_architecture_that_can_be_named_but_not_built() -> None:
    with pytest.raises(MinilxcError, match="the installed libseccomp does not know loongarch64"):
        compiled("2\ndenylist\n", "loongarch64")
