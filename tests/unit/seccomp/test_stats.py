"""minilxc seccomp stats: sizes, paths and times, beside libseccomp's programs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from minilxc.errors import PolicyError
from minilxc.seccomp import libseccomp, policy, rules
from minilxc.seccomp.arch import machine_by_word, this_machine
from minilxc.seccomp.program import RETURN, Instruction, Program
from minilxc.seccomp.stats import LIBRARY, OURS, library_program, load_time_ms, measure, paths

from .commands import seccomp
from .helpers import compiled

POLICY = "2\ndenylist\nmknod errno 1\nclone errno 1 [0,0x10000000,&=,0x10000000]\nsocket errno 97\nipc kill [1,3,==]\n"


def test_what_is_measured() -> None:
    found = measure(POLICY.encode(), "p", this_machine())
    assert [each.maker for each in found.programs] == [OURS, *LIBRARY.values()]
    for each in found.programs:
        assert [path.abi for path in each.paths] == list(this_machine().abis)
        assert all(1 <= path.median <= path.longest <= each.instructions for path in each.paths)
        assert each.compile_ms > 0
        assert each.load_ms is not None
        assert each.load_ms > 0
    assert found.programs[0].instructions == len(compiled(POLICY, os.uname().machine).program)
    assert found.verify_ms > 0


def test_a_policy_under_which_a_child_can_neither_write_nor_exit_is_loaded_and_timed() -> None:
    for action in (0, 0x00050000, 0x00030000, 0x7FC00000):
        assert load_time_ms(Program([Instruction(RETURN, 0, 0, action)], big=False)) is not None
    assert load_time_ms(Program([Instruction(0xFF, 0, 0, 0)], big=False)) is None


def test_paths_count_the_longest_way_of_a_call() -> None:
    """mknod and a call with arguments: the test, both halves of the argument, the answer."""
    built = compiled("2\ndenylist\nclone errno 1 [0,0x100000001,==]\n", "riscv64")
    (found,) = paths(built.program, built.rules)
    lengths = [
        max(built.program.simulate(found.abi.audit, 220, args)[1] for args in ([1 << 32], [(1 << 32) + 1])),
        built.program.simulate(found.abi.audit, 0)[1],
    ]
    assert (found.longest, found.median) == tuple(lengths)


def test_another_machine_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "p").write_text(POLICY)
    other = "s390x" if this_machine().name != "s390x" else "amd64"
    status, shown, error = seccomp("stats", "p", "--arch", other, "--json", cwd=tmp_path)
    assert (status, error) == (0, "")
    (found,) = json.loads(shown)["machines"]
    assert found["machine"] == other
    assert [each["load_ms"] for each in found["programs"]] == [None] * 3
    assert set(found["programs"][0]) == {"maker", "instructions", "paths", "compile_ms", "load_ms"}
    assert set(found["programs"][0]["paths"][0]) == {"abi", "longest", "median"}


def test_the_table(tmp_path: Path) -> None:
    (tmp_path / "p").write_text(POLICY)
    status, shown, error = seccomp("stats", "p", "--arch", "riscv64", "--arch", "armhf", cwd=tmp_path)
    assert (status, error) == (0, "")
    rough = re.sub(r" +", " ", re.sub(r"[0-9]+(\.[0-9]+)?", "N", shown.replace("riscv64", "riscv")))
    rows = "".join(
        f"{maker} N N ms - ABI N/N\n" for maker in ("minilxc", "libseccomp, list", "libseccomp, tree")
    )
    head = "program instructions compile load longest and median path\n"
    end = "verifying minilxc's program takes N ms\n"
    assert rough == (
        f"riscv:\n{head}{rows.replace('ABI', 'riscv')}{end}\narmhf:\n{head}{rows.replace('ABI', 'arm')}{end}"
    )


def test_filters_that_contradict_each_other_are_an_error() -> None:
    text = b"2\ndenylist\nmknod errno 1 [0,8,==][1,8,==]\nmknod errno 2 [0,8,==]\n"
    with pytest.raises(
        PolicyError, match=r"^p:4: the filters are, or begin, those of p:3, with another action$"
    ):
        measure(text, "p", machine_by_word("i386"))


def test_libseccomps_programs_are_left_out_where_it_comes_to_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libseccomp, "_CPU_SECONDS", 0.2)
    text = b"2\ndenylist\nread errno 5 [0,2,<=][1,0x100000000,==]\nread errno 6 [0,2,<=][2,0,&=,1]\n"
    found = measure(text, "p", machine_by_word("riscv64"))
    assert [each.maker for each in found.programs] == [OURS]
    assert library_program(rules.build(policy.parse(text, "p"), machine_by_word("riscv64")), 1) is None


def test_libseccomps_programs_are_left_out_where_it_refuses() -> None:
    """A part with a filter on i386, where it makes two rules for socketcall of these two."""
    text = "2\ndenylist\nsocket errno 1 [0,1,==]\nsocket errno 2 [0,2,==]\n"
    found = measure(text.encode(), "p", machine_by_word("i386"))
    assert [each.maker for each in found.programs] == [OURS]


def test_an_error_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("2\ndenylist\nmkmod\n")
    assert seccomp("stats", "p", cwd=tmp_path) == (
        1,
        "",
        "p:3: mkmod: no architecture has this system call (did you mean 'mknod'?)\n",
    )
