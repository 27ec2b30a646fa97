"""Calls newer than an allowlist: minilxc.seccomp.newer, and --newer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from minilxc.cli.checkconfig import run
from minilxc.errors import PolicyError
from minilxc.seccomp import calls, rules
from minilxc.seccomp.arch import MACHINES, X32_BIT, machine_by_word
from minilxc.seccomp.build import build
from minilxc.seccomp.policy import Newer, newer
from minilxc.seccomp.prepare import prepare
from minilxc.seccomp.program import Program

from .commands import seccomp
from .helpers import ask

if TYPE_CHECKING:
    from pathlib import Path

    from minilxc.seccomp.build import Built

ENOSYS = "errno ENOSYS"
WHO_ANSWERS = "(lxc.seccomp.notify.proxy names who does; 'seccomp compile' takes --notify)"


def compiled(text: str, machine: str, action: str = ENOSYS) -> Built:
    return build(text.encode(), "p", machine_by_word(machine), newer=newer(action, "c:1"))


ROWS = [
    (  # all above the highest that is named; gaps below it are old
        "2\nallowlist errno 1\n[all]\nread\nclone3\n",
        "amd64",
        """
        x86_64: read() -> ALLOW
        x86_64: write() -> ERRNO(1)
        x86_64: 400() -> ERRNO(1)
        x86_64: 435() -> ALLOW
        x86_64: 436() -> ERRNO(38)
        x86_64: 0x3fffffff() -> ERRNO(38)
        x86: 435() -> ALLOW
        x86: 436() -> ERRNO(38)
        x86: 0x3fffffff() -> ERRNO(38)
        x86: 0x40000000() -> ERRNO(1)
        x86: 0xffffffff() -> ERRNO(1)
        x32: 0x400001b3() -> ALLOW
        x32: 0x400001b4() -> ERRNO(38)
        x32: 0x7fffffff() -> ERRNO(38)
        x32: 0x80000000() -> ERRNO(1)
        x86_64: 0xffffffff() -> ERRNO(1)
        arm: 436() -> KILL_THREAD
        """,
    ),
    (  # each ABI has its own highest; one of which nothing is named keeps the default
        "2\nallowlist errno 1\nread\n[x86]\nopenat2\n",
        "amd64",
        """
        x86_64: 1() -> ERRNO(38)
        x86: 437() -> ALLOW
        x86: 438() -> ERRNO(38)
        x86: 4() -> ERRNO(1)
        x32: 0x400001d5() -> ERRNO(1)
        """,
    ),
    (  # whatever a rule says of a call, it names it; also when it says what the default says
        "2\nallowlist\nread\nmseal kill\nopenat2 kill [0,1,==]\nfsopen allow [1,5,==]\n",
        "amd64",
        """
        x86_64: 463() -> ERRNO(38)
        x86_64: 462() -> KILL_THREAD
        x86_64: 437() -> KILL_THREAD
        x86_64: 430(0, 5) -> ALLOW
        x86_64: 430(0, 6) -> KILL_THREAD
        """,
    ),
    (  # x32's own calls from 512 on are old ones, and no measure of what is new
        "2\nallowlist errno 1\n[x32]\nread\nioctl\n",
        "amd64",
        """
        x32: ioctl() -> ALLOW
        x32: 0x40000001() -> ERRNO(38)
        x32: 0x400001ff() -> ERRNO(38)
        x32: 0x40000203() -> ERRNO(1)
        x32: 0x40000223() -> ERRNO(1)
        x32: 0x40000224() -> ERRNO(38)
        x86_64: 1() -> ERRNO(1)
        """,
    ),
    (  # nor are arm's private calls
        "2\nallowlist errno 1\n[arm]\nread\nset_tls\n",
        "armhf",
        """
        arm: set_tls() -> ALLOW
        arm: 4() -> ERRNO(38)
        arm: 0xf0000() -> ERRNO(38)
        arm: 0xf0001() -> ERRNO(1)
        arm: 0xf0006() -> ERRNO(1)
        arm: 0xf0007() -> ERRNO(38)
        """,
    ),
    (
        "2\nallowlist errno 1\n[arm]\nset_tls\n",
        "armhf",
        """
        arm: set_tls() -> ALLOW
        arm: 500() -> ERRNO(1)
        """,
    ),
    (  # mips counts from a base, and has its own ENOSYS
        "2\nallowlist errno 1\n[all]\nread\nclose\n",
        "mips64",
        """
        mips64: 5003() -> ALLOW
        mips64: 5004() -> ERRNO(89)
        mips64: 4() -> ERRNO(1)
        mips64n32: 6004() -> ERRNO(89)
        mips: 4007() -> ERRNO(89)
        mips: 4005() -> ERRNO(1)
        """,
    ),
    (  # a part of a multiplexer names the multiplexer, too
        "2\nallowlist errno 1\n[x86]\nrecv\n",
        "i386",
        """
        x86: 102(10) -> ALLOW
        x86: 102(11) -> ERRNO(1)
        x86: 103() -> ERRNO(38)
        """,
    ),
    (  # also when it leaves the part to the default, beside others or alone
        "2\nallowlist\n[all]\nread\nsemop allow [0,1,==]\n",
        "i386",
        """
        x86: 117(1) -> KILL_THREAD
        x86: 117(2) -> KILL_THREAD
        x86: 116() -> KILL_THREAD
        x86: 118() -> ERRNO(38)
        """,
    ),
    (
        "2\nallowlist\n[all]\nsemop allow [0,1,==]\n",
        "i386",
        """
        x86: 117(1) -> KILL_THREAD
        x86: 118() -> ERRNO(38)
        """,
    ),
    (
        "2\nallowlist\n[all]\nread\nsend allow [0,1,==]\n",
        "i386",
        """
        x86: 102(9) -> KILL_THREAD
        x86: 103() -> ERRNO(38)
        """,
    ),
    (  # an allowlist in meaning
        "2\ndenylist kill\nread allow\n",
        "riscv64",
        """
        riscv64: read() -> ALLOW
        riscv64: 64() -> ERRNO(38)
        riscv64: 62() -> KILL_THREAD
        """,
    ),
    (
        "1\nallowlist\n0\n59\n300\n",
        "amd64",
        """
        x86_64: 59() -> ALLOW
        x86_64: 60() -> KILL_THREAD
        x86_64: 301() -> ERRNO(38)
        x86: 301() -> KILL_THREAD
        """,
    ),
]


@pytest.mark.parametrize(("text", "machine", "questions"), ROWS)
def test_newer_calls(text: str, machine: str, questions: str) -> None:
    built = compiled(text, machine)
    for row in questions.strip().splitlines():
        question, _, answer = row.strip().partition(" -> ")
        assert ask(built, question) == answer, question


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        ("kill", "KILL_THREAD"),
        ("kill_process", "KILL_PROCESS"),
        ("trap", "TRAP"),
        ("log", "LOG"),
        ("allow", "ALLOW"),
        (" errno  EPERM\t", "ERRNO(1)"),
        ("errno38", "ERRNO(38)"),
    ],
)
def test_any_action_of_the_language_will_do(action: str, answer: str) -> None:
    assert ask(compiled("2\nallowlist errno 5\nread\n", "amd64", action), "x86_64: 400()") == answer


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ("", "c:1: an action is missing (as in 'errno ENOSYS')"),
        ("ENOSYS", "c:1: unknown action 'ENOSYS'"),
        ("errno", "c:1: 'errno' needs a number or a name, as EPERM"),
        ("errno 4095", "c:1: errno 4095 is above 4094"),
        ("errno ENOSYS # new", "c:1: '# new' after the action"),
        ("kill [0,1,==]", "c:1: '[0,1,==]' after the action"),
        ("notify", f"c:1: 'notify' without anybody to answer it {WHO_ANSWERS}"),
    ],
)
def test_what_is_no_action_is_refused(action: str, why: str) -> None:
    with pytest.raises(PolicyError) as caught:
        compiled("2\nallowlist\nread\n", "amd64", action)
    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("text", "word"), [("2\ndenylist\nmknod\n", "allow"), ("2\nallowlist log\nread\n", "log")]
)
def test_a_denylist_has_no_newer_calls(text: str, word: str) -> None:
    """They run whatever the line asks for; nobody shall think that it does something."""
    with pytest.raises(PolicyError) as caught:
        compiled(text, "amd64")
    assert str(caught.value) == (
        f"c:1: only an allowlist has newer calls, and p:2 says '{word}' to every call that the policy does not name"
    )


def test_the_verdict_names_the_place() -> None:
    built = compiled("2\nallowlist\nread\n", "amd64")
    found = rules.verdicts(built.rules, built.rules.abis[0].abi, 400, (0,) * 6)
    assert found == (rules.Verdict(0x00050026, "c:1"),)


def test_without_it_nothing_changes() -> None:
    text = b"2\nallowlist\n[all]\nread\n"
    for machine in (machine_by_word(word) for word in ("amd64", "arm64", "mips64", "s390x")):
        assert all(each.spans == () for each in build(text, "p", machine).rules.abis)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_no_call_that_a_policy_for_all_calls_names_is_newer(machine: object) -> None:
    """All known calls named: what is newer begins above them, and never with a number that has a name."""
    machine = machine_by_word(str(machine.name))  # type: ignore[attr-defined]
    if machine.name == "loongarch64":
        return  # libseccomp 2.5.4 does not know it
    names = sorted({name for abi in machine.abis for name in calls.table(abi)})
    text = "\n".join(["2", "allowlist", "[all]", *names])
    for each in compiled(text, machine.name).rules.abis:
        assert each.spans
        for span in each.spans:
            assert not {*each.entries} & {*span.numbers[:2000]}
            assert not {*each.abi.private} & {*span.numbers[:2000]}
            assert span.numbers[-1] < (2 * X32_BIT if each.abi.base == X32_BIT else X32_BIT)


def test_the_cache_keeps_them_apart(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_text("2\nallowlist errno 1\nread\nexecve\n")
    answers = []
    for _ in range(2):
        for said in (None, (ENOSYS, "c:1"), ("errno 5", "c:1")):
            prepared = prepare(str(path), machine="amd64", cache_dir=str(tmp_path / "cache"), newer=said)
            programs = [Program.decode(data, big=False) for data in (prepared.payload, prepared.init)]
            answers.append([program.simulate(0xC000003E, 400)[0] & 0xFFFF for program in programs])
    assert answers == 2 * [[1, 1], [38, 38], [5, 5]]
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_init_calls_stay_allowed_though_they_are_newer_than_the_policy(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_text("2\nallowlist errno 1\nread\nexecve\n")
    prepared = prepare(str(path), machine="amd64", cache_dir=None, newer=(ENOSYS, "c:1"))
    waitid = 247
    answers = [
        Program.decode(data, big=False).simulate(0xC000003E, waitid)[0]
        for data in (prepared.payload, prepared.init)
    ]
    assert answers == [0x00050026, 0x7FFF0000]


def test_the_option_of_compile(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("2\nallowlist errno 1\nread\n")
    assert seccomp("compile", "--newer", ENOSYS, "-o", "out", "p", cwd=tmp_path) == (0, "", "")
    program = Program.decode((tmp_path / "out").read_bytes(), big=False)
    assert program.simulate(0xC000003E, 400)[0] == 0x00050026
    status, out, err = seccomp("compile", "--newer", "ernno 1", "-o", "out", "p", cwd=tmp_path)
    assert (status, out, err) == (2, "", "minilxc: --newer: unknown action 'ernno' (did you mean 'errno'?)\n")


def test_the_key_of_a_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `minilxc checkconfig` complains of."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("2\nallowlist\nexecve\n")
    (tmp_path / "d").write_text("2\ndenylist\n")
    allow, deny = (f"lxc.seccomp.profile = {tmp_path / name}" for name in "ad")
    key = "minilxc.seccomp.newer = errno ENOSYS"

    def checkconfig(*lines: str) -> str:
        (tmp_path / "c").write_text("\n".join(lines))
        status = run(["-f", "c"])
        told = capsys.readouterr().err
        assert status == (1 if told else 0)
        return told

    assert checkconfig(allow, key) == ""
    assert checkconfig(allow, key, "minilxc.seccomp.newer =") == ""
    assert checkconfig(allow, "minilxc.seccomp.newer = ENOSYS") == (
        "minilxc: c:2: minilxc.seccomp.newer: unknown action 'ENOSYS'\n"
    )
    assert checkconfig(key, deny) == (
        f"minilxc: c:1: minilxc.seccomp.newer: only an allowlist has newer calls, and {tmp_path}/d:2 says 'allow'"
        " to every call that the policy does not name\n"
    )
    assert checkconfig(key) == (
        "minilxc: c:1: minilxc.seccomp.newer: there is no policy (lxc.seccomp.profile names one)\n"
    )


def test_a_newer_is_a_value() -> None:
    assert newer("errno ENOSYS", "w") == Newer(0x00050026, "ENOSYS", "w")
