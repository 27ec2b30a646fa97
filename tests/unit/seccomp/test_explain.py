"""minilxc seccomp explain: the verdict on each ABI, and the line that decides."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minilxc.errors import PolicyError, UsageError
from minilxc.seccomp import actions, calls, policy, rules
from minilxc.seccomp.arch import ABIS, machine_by_word
from minilxc.seccomp.build import build_rules
from minilxc.seccomp.explain import explain, explain_abi, explain_all

from .commands import on_a_terminal, seccomp
from .test_answers import DECISIONS, EXAMPLES

POLICY = """2
denylist
# denied to everybody
mknod errno EPERM   # no nodes
clone errno 1 [0,0x10000000,&=,0x10000000]
shmget kill
accept errno 5
personality errno 7 [0,1,>=]
personality errno 9 [0,8,==]
socket errno 97 [0,16,==]
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "p").write_text(POLICY)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (
            "mknod",
            """
            x86_64: mknod (133): errno 1
              p:4: mknod errno EPERM   # no nodes
            x86: mknod (14): errno 1
              p:4: mknod errno EPERM   # no nodes
            x32: mknod (0x40000085): errno 1
              p:4: mknod errno EPERM   # no nodes
            """,
        ),
        (
            "mknod --arch arm64 --arch armhf",
            """
            arm64:
            aarch64: mknod: aarch64 does not have this call
            arm: mknod (14): errno 1
              p:4: mknod errno EPERM   # no nodes
            armhf:
            arm: mknod (14): errno 1
              p:4: mknod errno EPERM   # no nodes
            """,
        ),
        (
            "clone --arch ppc64el",
            """
            ppc64le: clone (120): errno 1 if argument 0 & 0x10000000 == 0x10000000, else allow
              p:5: clone errno 1 [0,0x10000000,&=,0x10000000]
              p:2: denylist  (the default: allow)
            """,
        ),
        (
            "clone 0x10000011 --arch ppc64el",
            """
            ppc64le: clone (120): errno 1
              p:5: clone errno 1 [0,0x10000000,&=,0x10000000]
                argument 0 & 0x10000000 == 0x10000000 holds: it is 0x10000011
            """,
        ),
        (
            "clone 17 --arch ppc64el",
            """
            ppc64le: clone (120): allow
              p:5: clone errno 1 [0,0x10000000,&=,0x10000000]
                argument 0 & 0x10000000 == 0x10000000 does not hold: it is 0x11
              p:2: denylist  (the default: allow)
            """,
        ),
        (  # libseccomp's order, not the file's
            "personality --arch armhf",
            """
            arm: personality (136): errno 9 if argument 0 == 8, errno 7 if argument 0 >= 1, else allow
              p:9: personality errno 9 [0,8,==]
              p:8: personality errno 7 [0,1,>=]
              p:2: denylist  (the default: allow)
            """,
        ),
        (
            "socket AF_NETLINK --arch i386",
            """
            x86: socket (359): errno 97
              p:10: socket errno 97 [0,16,==]
                argument 0 == 0x10 holds: it is 0x10
            x86: socket as socketcall 1 (102): errno 97
              p:10: socket errno 97 [0,16,==]
                argument 0 == 1 holds: it is 1
            """,
        ),
        (
            "accept --arch i386",
            """
            x86: accept as socketcall 5 (102): errno 5
              p:7: accept errno 5
                argument 0 == 5 holds: it is 5
            """,
        ),
        (
            "ipc",
            """
            x86_64: ipc: x86_64 does not have this call
            x86: ipc (117): kill if argument 0 & 0xffff == 0x17, else allow
              p:6: shmget kill
              p:2: denylist  (the default: allow)
            x32: ipc: x32 does not have this call
            """,
        ),
        (
            "0xffffffff",
            """
            x32: 0xffffffff: allow
              p:2: denylist  (the default: allow)
            """,
        ),
    ],
)
def test_whole_answers(words: str, shown: str, here: Path) -> None:
    if "--arch" not in words:
        words += " --arch amd64"
    wanted = dedent(shown).lstrip("\n")
    assert seccomp("explain", "p", *words.split(), cwd=here) == (0, wanted, "")


def test_from_standard_input(tmp_path: Path) -> None:
    done = seccomp(
        "explain", "-", "execve", "--arch", "riscv64", cwd=tmp_path, stdin=b"2\nallowlist\nexecve\n"
    )
    assert done == (0, "riscv64: execve (221): allow\n  <stdin>:3: execve\n", "")


def test_what_is_newer_than_the_policy(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("2\nallowlist\nopenat2\n")
    asked = ("explain", "p", "--newer", "errno ENOSYS", "--arch", "riscv64")
    assert seccomp(*asked, "mseal", cwd=tmp_path)[1] == (
        "riscv64: mseal (462): errno 38\n  --newer  (newer than the policy: errno 38)\n"
    )
    assert seccomp(*asked, "all", "--action", "errno", cwd=tmp_path)[1].splitlines()[-1] == (
        "riscv64: 470 to 0x3fffffff: errno 38  (--newer)"
    )


def test_many_reasons_are_listed_each_with_its_condition(tmp_path: Path) -> None:
    (tmp_path / "p").write_text(
        "2\ndenylist errno 1\n" + "".join(f"prctl allow [0,{n},==]\n" for n in range(5))
    )
    status, shown, _ = seccomp("explain", "p", "prctl", "--arch", "riscv64", cwd=tmp_path)
    assert status == 0
    assert shown.splitlines()[:3] == [
        "riscv64: prctl (167): depends on argument 0",
        "  p:3: prctl allow [0,0,==]",
        "    allow if argument 0 == 0",
    ]


def test_the_whole_table(here: Path) -> None:
    status, shown, error = seccomp("explain", "p", "all", "--arch", "arm64", cwd=here)
    assert (status, error) == (0, "")
    lines = shown.splitlines()
    abis = [abi for abi in ABIS if abi.name in ("aarch64", "arm")]
    assert len(lines) == sum(len(calls.table(abi)) for abi in abis) + 2
    assert (
        "aarch64: clone (220): errno 1 if argument 0 & 0x10000000 == 0x10000000, else allow  (p:5, p:2)"
        in lines
    )
    assert "arm: set_tls (0xf0005): allow  (p:2)" in lines
    assert lines[-2:] == ["any other number: allow  (p:2)", "any other architecture: kill"]


@pytest.mark.parametrize(
    ("action", "found"),
    [
        ("errno EPERM", "clone mknod"),
        ("errno 7", "personality"),
        ("errno", "accept clone mknod personality socket socketcall"),
        ("kill", "ipc shmget"),
        ("log", ""),
    ],
)
def test_the_table_filtered_by_action(action: str, found: str, here: Path) -> None:
    status, shown, _ = seccomp("explain", "p", "all", "--action", action, "--arch", "i386", cwd=here)
    assert status == 0
    assert sorted({line.split()[1] for line in shown.splitlines()}) == found.split()


def test_json(here: Path) -> None:
    status, shown, _ = seccomp("explain", "p", "clone", "17", "--arch", "riscv64", "--json", cwd=here)
    assert status == 0
    assert json.loads(shown) == {
        "policy": "p",
        "answers": [
            {
                "machine": "riscv64",
                "abi": "riscv64",
                "call": "clone",
                "number": 220,
                "via": None,
                "verdict": "allow",
                "text": "allow",
                "exact": True,
                "reasons": [
                    {
                        "action": "errno 1",
                        "where": "p:5",
                        "line": "clone errno 1 [0,0x10000000,&=,0x10000000]",
                        "kind": "rule",
                        "part": None,
                        "possible": False,
                        "tests": [{"arg": 0, "op": "&=", "value": 1 << 28, "mask": 1 << 28, "holds": False}],
                    },
                    {
                        "action": "allow",
                        "where": "p:2",
                        "line": "denylist",
                        "kind": "default",
                        "part": None,
                        "possible": True,
                        "tests": [],
                    },
                ],
            }
        ],
    }


def test_colours_on_a_terminal_only_and_not_with_no_color(here: Path) -> None:
    asked = ("explain", "p", "mknod", "--arch", "armhf")
    plain = "arm: mknod (14): errno 1\n  p:4: mknod errno EPERM   # no nodes\n"
    assert on_a_terminal(*asked, cwd=here, NO_COLOR="") == (
        0,
        "\x1b[1marm: mknod (14)\x1b[0m: \x1b[31merrno 1\x1b[0m\n  p:4: mknod errno EPERM   # no nodes\n",
    )
    assert on_a_terminal(*asked, cwd=here, NO_COLOR="1") == (0, plain)
    assert seccomp(*asked, cwd=here) == (0, plain, "")


def test_the_table_goes_through_the_pager_on_a_terminal_only(here: Path) -> None:
    asked = ("explain", "p", "all", "--arch", "armhf")
    status, shown = on_a_terminal(*asked, cwd=here, PAGER="tail -n 1", NO_COLOR="1")
    assert (status, shown) == (0, "any other architecture: kill\n")
    assert seccomp(*asked, cwd=here, PAGER="tail -n 1")[1].count("\n") > 300
    status, shown = on_a_terminal(*asked, cwd=here, PAGER="/no/such/pager", NO_COLOR="1")
    assert status == 0
    assert shown.count("\n") > 300


def test_arguments_have_names_and_options_stand_anywhere(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("2\ndenylist\nclone errno 1 [0,0x10020000,&=,0x10020000]\n")
    asked = ("explain", "p", "clone", "--arch", "riscv64", "CLONE_NEWUSER|CLONE_NEWNS|CLONE_VM")
    shown = """\
riscv64: clone (220): errno 1
  p:3: clone errno 1 [0,0x10020000,&=,0x10020000]
    argument 0 & 0x10020000 == 0x10020000 holds: it is 0x10020100
"""
    assert seccomp(*asked, cwd=tmp_path) == (0, shown, "")
    assert seccomp("explain", "p", "clone", "-0x1", "--arch", "riscv64", "--json", cwd=tmp_path)[0] == 0


def test_what_an_abi_cuts_off_is_told(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("2\ndenylist\npersonality errno 1 [0,8,==]\n")
    shown = seccomp("explain", "p", "personality", "0x100000008", "--arch", "i386", cwd=tmp_path)[1]
    assert "argument 0 == 8 holds: it is 0x100000008, of which x86 passes 8\n" in shown


def test_an_abi_alone_takes_its_own_numbers(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("2\ndenylist\nmknod errno 1\n")
    shown = "x86: mknod (14): errno 1\n  p:3: mknod errno 1\n"
    for call in ("14", "mknod"):
        asked = ("explain", "p", call, "--abi", "i386", "--arch", "amd64")
        assert seccomp(*asked, cwd=tmp_path) == (0, shown, "")


def test_names_that_begin_with_an_underscore_have_their_number(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("2\ndenylist\n_llseek errno 5\n")
    shown = seccomp("explain", "p", "_llseek", "--arch", "i386", cwd=tmp_path)[1]
    assert shown == "x86: _llseek (140): errno 5\n  p:3: _llseek errno 5\n"


def test_an_errno_by_its_name_is_the_machines_own(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("2\ndenylist\nmknod errno ENOSYS\n")
    asked = ("explain", "p", "all", "--action", "errno ENOSYS", "--arch", "mips")
    assert seccomp(*asked, cwd=tmp_path)[1].startswith("mips: mknod (4014): errno 89")


def test_every_newer_number_is_in_the_table_of_all(tmp_path: Path) -> None:
    """What the table says of numbers without a name is what is said of each by itself."""
    (tmp_path / "p").write_text("2\nallowlist\nread\nopen\n")
    asked = ("explain", "p", "--newer", "errno ENOSYS", "--arch", "amd64", "--json")
    everything = json.loads(seccomp(*asked, "all", cwd=tmp_path)[1])["answers"]
    ranges = [each["call"].split(" to ") for each in everything if each["call"][0].isdigit()]
    assert ["336", "423"] in ranges or any(int(first, 0) <= 340 <= int(last, 0) for first, last in ranges)
    assert seccomp(*asked[:-1], "340", cwd=tmp_path)[1].startswith("x86_64: 340: errno 38")


def test_x32_alone_kills_numbers_without_its_bit(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("2\ndenylist\n")
    shown = seccomp("explain", "p", "all", "--arch", "x32", cwd=tmp_path)[1]
    assert "any number without x32's bit: kill\n" in shown


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        ("p mkmod", 2, "minilxc: mkmod: no architecture has this system call (did you mean 'mknod'?)"),
        ("p mknod 1 2 3 4 5 6 7", 2, "minilxc: 7 arguments: a system call has at most 6"),
        (
            "p mknod AF_INET7",
            2,
            (
                "minilxc: 'AF_INET7' is no argument: a number (decimal, 0x hexadecimal, 0 octal), names as AF_UNIX or"
                " CLONE_NEWUSER|CLONE_NEWNET, or _ for one that is not known (did you mean 'AF_INET'?)"
            ),
        ),
        ("p mknod 0x10000000000000000", 2, "minilxc: argument '0x10000000000000000' is larger than 64 bits"),
        ("p mknod " + "0" * 5000, 2, f"minilxc: argument '{'0' * 80}...' is larger than 64 bits"),
        ("p " + "1" * 5000, 2, f"minilxc: '{'1' * 80}...' is no system call number: it has 32 bits"),
        ("p \udcff", 2, "minilxc: \\xff: no architecture has this system call"),
        ("p mknod --abi x32 --arch i386", 2, "minilxc: i386 does not have the ABI x32 (it has x86)"),
        ("p 0x100000000", 2, "minilxc: 4294967296 is no system call number: it has 32 bits"),
        ("p 5 --arch x32", 2, "minilxc: 5 is no call of x32: it does not have x32's bit, 0x40000000"),
        ("p all 1", 2, "minilxc: 'all' takes no arguments"),
        ("p mknod --action kill", 2, "minilxc: --action is for 'all'"),
        ("p all --action kil", 2, "minilxc: --action: unknown action 'kil' (did you mean 'kill'?)"),
        ("p mknod --arch amd46", 2, "minilxc: unknown architecture 'amd46' (did you mean 'amd64'?)"),
        ("missing mknod", 1, "missing: No such file or directory"),
        ("wrong mknod", 1, "wrong:3: mkmod: no architecture has this system call (did you mean 'mknod'?)"),
    ],
)
def test_an_error_is_one_line(words: str, status: int, error: str, here: Path) -> None:
    (here / "wrong").write_text("2\ndenylist\nmkmod\n")
    assert seccomp("explain", *words.split(), cwd=here) == (status, "", error + "\n")


# --- the language's own examples


def verdicts_of(text: str, machine: str, question: str) -> set[str]:
    match = re.fullmatch(r"(\w+): (\w+)\((.*)\)", question)
    assert match
    ruled = rules.build(policy.parse(text.encode(), "p"), machine_by_word(machine), notify=True)
    abi = next(abi for abi in ABIS if abi.name == match[1])
    args = [int(word, 0) for word in match[3].split(",") if word.strip()]
    args += [0] * (6 - len(args))
    if abi not in machine_by_word(machine).abis:
        return {actions.name(actions.KILL_THREAD)}
    if not match[2][0].isdigit():
        found = [each for each in explain(ruled, match[2], args) if each.abi is abi and not each.via]
    else:
        number = int(match[2], 0)
        if abi.audit == machine_by_word(machine).native.audit:
            if machine == "x32" and number < 1 << 30:
                with pytest.raises(UsageError):
                    explain(ruled, number, args)
                return {actions.name(actions.KILL_THREAD)}
            found = [
                each
                for each in explain(ruled, number, args)
                if each.number == number and each.abi.audit == abi.audit
            ]
        else:
            found = [explain_abi(ruled, abi, number, args)]
    assert len(found) == 1
    return {actions.name(reason.action) for reason in found[0].possible}


@pytest.mark.parametrize(("text", "machine", "answers"), EXAMPLES + DECISIONS)
def test_it_says_what_the_language_says(text: str, machine: str, answers: str) -> None:
    for row in answers.strip().splitlines():
        question, answer = row.strip().split(" -> ")
        assert verdicts_of(text, machine, question) == {answer}, question


# --- what it says of arguments is what the program does

words_of_arguments = st.sampled_from(
    [0, 1, 2, 8, 9, 16, 0x80000000, 0xFFFFFFFF, 1 << 32, (1 << 32) + 8, (1 << 64) - 1]
)


@st.composite
def filtered_policies(draw: st.DrawFn) -> str:
    """Rules with filters for one call, on one argument each: pairs of arguments can make libseccomp hang."""
    lines = ["2", draw(st.sampled_from(["denylist", "allowlist errno 1"])), "[all]"]
    for _ in range(draw(st.integers(1, 5))):
        action = draw(st.sampled_from(["allow", "errno 7", "errno 9", "kill", "trap"]))
        call = draw(st.sampled_from(["personality", "socketcall", "socket", "ipc", "shmget"]))
        value = draw(words_of_arguments)
        op = draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "&="]))
        mask = f",{value | draw(words_of_arguments) or 1}" if op == "&=" else ""
        arg = draw(st.integers(0, 1))
        lines.append(f"{call} {action}" + (f" [{arg},{value},{op}{mask}]" if draw(st.booleans()) else ""))
    return "\n".join(lines) + "\n"


@settings(max_examples=60, deadline=None)
@given(
    text=filtered_policies(),
    unknown=st.sets(st.integers(0, 1)),
    chosen=st.tuples(words_of_arguments, words_of_arguments),
)
def test_it_says_what_the_program_does(text: str, unknown: set[int], chosen: tuple[int, int]) -> None:
    try:
        built = build_rules(rules.build(policy.parse(text.encode(), "p"), machine_by_word("amd64")))
    except PolicyError:
        return  # filters that contradict each other
    words = [0, 1, 2, 7, 8, 9, 23, 1 << 32, (1 << 32) + 8, (1 << 64) - 1, *chosen]
    args = [None if place in unknown else chosen[place] for place in range(2)]
    for call in ("personality", "socketcall", "socket", "ipc", "shmget"):
        for found in explain(built.rules, call, args):
            if found.number is None:
                continue
            given = [[word] if (word := arg) is not None else words for arg in found.args[:2]]
            for first, second in product(*given):
                full = (first, second, 0, 0, 0, 0)
                cut = full if found.abi.wide else tuple(word & 0xFFFFFFFF for word in full)
                answer = built.program.simulate(found.abi.audit, found.number, cut)[0]
                counting = next(
                    reason
                    for reason in found.reasons
                    if all(rules.holds(judged.test, cut[judged.test.arg]) for judged in reason.tests)
                )
                if found.exact:
                    assert counting.action == answer, (text, call, found.abi, full)
                assert answer in {reason.action for reason in found.possible}


def test_every_call_of_the_table_is_there_once() -> None:
    ruled = rules.build(policy.parse(POLICY.encode(), "p"), machine_by_word("amd64"))
    found = list(explain_all(ruled))
    assert len({(each.abi, each.call, each.via) for each in found}) == len(found)
    for each in ruled.abis:
        direct = {row.number for row in found if row.abi is each.abi and not row.via}
        assert direct == set(calls.names(each.abi))


def test_filters_that_contradict_each_other_are_an_error() -> None:
    text = b"2\ndenylist\nmknod errno 1 [0,8,==]\nmknod errno 2 [0,8,==]\n"
    ruled = rules.build(policy.parse(text, "p"), machine_by_word("arm64"))
    with pytest.raises(
        PolicyError, match=r"^p:4: the filters are, or begin, those of p:3, with another action$"
    ):
        explain(ruled, "mknod")
