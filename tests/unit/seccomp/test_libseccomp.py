"""libseccomp is asked so that nothing it does keeps the caller: it loops, dies, stands still, or refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from minilxc.errors import MinilxcError
from minilxc.seccomp import actions, compiler, libseccomp
from minilxc.seccomp.arch import abi_by_section
from minilxc.seccomp.libseccomp import EndlessError, Exported, Rule, Wanted, export
from minilxc.seccomp.policy import Filter
from minilxc.seccomp.stats import load_time_ms

from .helpers import ask, compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOPS = "2\ndenylist\nread errno 5 [0,2,<=][1,0x100000000,==]\nread errno 6 [0,2,<=][2,0,&=,1]\n"
"""libseccomp 2.5.4 comes to no end over these two, in this order."""
BESIDE = "2\ndenylist\nread errno 5 [0,2,==][1,1,==]\nread errno 6 [0,3,==]\n"
"""These are given to it in a process of its own, too."""
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    """Every answer is asked for, and none of those made here is left behind."""
    compiler.forget_decisions()
    compiler._endless.clear()
    yield
    compiler.forget_decisions()
    compiler._endless.clear()


def rule(action: int, *filters: Filter) -> Rule:
    return Rule(actions.ERRNO + action, "read", filters)


def wanted(*rules: Rule) -> list[Wanted]:
    abi = abi_by_section("aarch64")
    assert abi is not None
    return [Wanted(abi.token, rules)]


def children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


IN_CHILD = (Filter(0, "==", 1, 0), Filter(1, "==", 1, 0))


def test_refused_rules_are_those_that_come_later() -> None:
    one, two, both = Filter(0, "==", 1, 0), Filter(0, "==", 2, 0), IN_CHILD
    for rules, refused in [
        ([rule(1, one), rule(1, two), rule(2, one), rule(3, one), rule(2, two)], (2, 3, 4)),
        ([rule(1, *both), rule(1, two), rule(2, one), rule(2, two), rule(1, *both)], (2, 3)),
    ]:
        assert export(actions.TRACE, wanted(*rules)) == Exported(b"", refused)
        data, none = export(
            actions.TRACE, wanted(*(each for at, each in enumerate(rules) if at not in refused))
        )
        assert none == ()
        assert data


def test_places_are_counted_over_all_abis() -> None:
    test = Filter(0, "==", 1, 0)
    first = wanted(rule(1, test))
    arm = abi_by_section("arm")
    assert arm is not None
    again = Wanted(arm.token, (rule(1, test), rule(2, test)))
    assert export(actions.TRACE, [*first, again]).refused == (2,)


def test_a_loop_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libseccomp, "_CPU_SECONDS", 0.2)
    tests = [
        (Filter(0, "<=", 2, 0), Filter(1, "==", 1 << 32, 0)),
        (Filter(0, "<=", 2, 0), Filter(2, "&=", 0, 1)),
    ]
    before = children()
    with pytest.raises(EndlessError):
        export(actions.TRACE, wanted(*(rule(number, *filters) for number, filters in enumerate(tests))))
    assert children() == before


def test_a_loop_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libseccomp, "_CPU_SECONDS", 0.2)
    program = compiled(LOOPS, "riscv64").program
    monkeypatch.setattr(compiler, "export", lambda *args: pytest.fail("asked again"))
    compiler.forget_decisions()
    assert compiled(LOOPS, "riscv64").program == program


LIMITED = """
    import resource, sys
    from minilxc.errors import MinilxcError
    from minilxc.seccomp import libseccomp
    from minilxc.seccomp.arch import machine_by_word
    from minilxc.seccomp.build import build
    limit, patience = map(float, sys.argv[2:])
    libseccomp._CPU_SECONDS = patience
    libseccomp.calls.library()
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit)))
    try:
        built = build(sys.argv[1].encode(), "p", machine_by_word("riscv64"))
        print([built.program.simulate(0xC00000F3, 63, (1, 1 << 32, 2))[0] & 0xFFFF])
    except MinilxcError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("limit", "patience", "said"),
    [
        (4, 0.2, "[5]"),  # no obstacle although it is below what is usual
        (
            1,
            60,
            (
                "libseccomp gave no answer about these filters: its process was ended by signal 9"
                " (it needs some seconds on a processor, see 'ulimit -t')"
            ),
        ),
    ],
)
def test_a_limit_of_the_callers_changes_no_meaning(limit: int, patience: float, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LIMITED), LOOPS, str(limit), str(patience)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGXCPU, signal.SIG_IGN),
    )
    assert done.stdout == f"{said}\n"


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def out_of_memory() -> None:
    raise MemoryError


def exited() -> None:
    os._exit(3)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (
            killed,
            (
                "libseccomp gave no answer about these filters: its process was ended by signal 9"
                " (it needs some seconds on a processor, see 'ulimit -t')"
            ),
        ),
        (exited, "libseccomp gave no answer about these filters: its process was ended"),
        (out_of_memory, "libseccomp could not be asked about these filters: MemoryError()"),
        (signal.pause, "libseccomp gives no answer about these filters: its process stands still"),
    ],
)
def test_other_ends_are_errors_and_not_taken_for_a_loop(
    end: Callable[[], object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = children()
    with monkeypatch.context() as patch:
        patch.setattr(libseccomp, "_export", lambda *args: end())
        patch.setattr(libseccomp, "_IDLE_POLLS", 2)
        for _ in range(2):
            with pytest.raises(MinilxcError) as caught:
                compiled(BESIDE, "riscv64")
            assert str(caught.value) == said
    assert children() == before
    assert ask(compiled(BESIDE, "riscv64"), "riscv64: read(2, 1)") == "ERRNO(5)"


def test_no_process_to_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(MinilxcError) as caught:
        compiled(BESIDE, "riscv64")
    assert str(caught.value) == (
        "libseccomp needs a process of its own for these filters: Resource temporarily unavailable"
    )


def test_another_refusal_is_an_oserror_from_either_process() -> None:
    """An action that libseccomp does not have."""
    for filters in ((), IN_CHILD):
        rules = [Rule(0x12345678, "read", filters), rule(1, Filter(0, "==", 5, 0))]
        with pytest.raises(OSError, match="Invalid argument"):
            export(actions.TRACE, wanted(*rules))


def test_the_caller_may_ignore_the_ends_of_children() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        built = compiled(BESIDE, "riscv64")
        assert load_time_ms(compiled("2\ndenylist\n", os.uname().machine).program) is not None
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert ask(built, "riscv64: read(3)") == "ERRNO(6)"
