"""minilxc.Policy: what the commands say, for Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import minilxc
from minilxc import Policy
from minilxc.errors import PolicyError, UsageError
from minilxc.seccomp.arch import this_machine

from .commands import ROOT
from .helpers import compiled

TEXT = "2\ndenylist\nmknod errno 1\nclone errno 1 [0,0x10000000,&=,0x10000000]\n[arm]\nread kill\n"


@pytest.fixture
def policy() -> Policy:
    return Policy.from_text(TEXT, "p")


def test_reading_a_file(tmp_path: Path) -> None:
    (tmp_path / "p").write_text(TEXT)
    read = Policy.read(str(tmp_path / "p"))
    assert read.name == str(tmp_path / "p")
    assert [line.call for line in read.lines.lines] == ["mknod", "clone", "read"]
    with pytest.raises(PolicyError, match="No such file"):
        Policy.read(str(tmp_path / "missing"))
    with pytest.raises(PolicyError, match=r"^<policy>:3: mkmod: no architecture"):
        Policy.from_text("2\ndenylist\nmkmod\n")


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (("x86_64", "mknod"), "errno 1"),
        (("amd64", 133), "errno 1"),
        (("x86_64", 0x40000085), "errno 1"),
        (("i386", "mknod"), "errno 1"),
        (("x86_64", "clone", [0x10000011]), "errno 1"),
        (("x86_64", "clone", [17]), "allow"),
        (("x86_64", "clone"), None),
        (("x86_64", "clone", [None, 1]), None),
        (("x86_64", "open"), "allow"),
        (("arm", "read"), "kill"),
        (("arm", "read", (), "amd64"), "kill"),
        (("aarch64", "read", (), "arm64"), "allow"),
        (("aarch64", "mknodat", (), "amd64"), "kill"),
        (("ppc64", 14), "errno 1"),
    ],
)
def test_answers(asked: tuple[object, ...], answer: str | None, policy: Policy) -> None:
    assert policy.answer(*asked) == answer  # type: ignore[arg-type]


def test_the_tools_are_there_for_python(policy: Policy) -> None:
    assert [found.check for found in policy.check("amd64")] != []
    assert policy.diff(Policy.from_text(TEXT), "arm64").differences == ()
    (found,) = policy.diff(Policy.from_text(TEXT.replace("mknod", "mkdir")), "s390x").differences[:1]
    assert found.abi is not None
    assert policy.diff(policy.program("s390x"), "s390x").proved
    assert policy.listing("arm64")[0].text == "ld   arch"
    assert {each.abi.name for each in policy.explain("all", arch="arm64")} == {"aarch64", "arm"}


def test_profiles_and_back() -> None:
    profile = (
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mknod"], "action": "SCMP_ACT_ERRNO"}]}'
    )
    policy = Policy.from_profile(profile, arch="amd64")
    assert policy.answer("x86_64", "mknod", arch="amd64") == "errno 1"
    again = Policy.from_profile(policy.to_oci("amd64").text, arch="amd64")
    assert [each for each in policy.diff(again, "amd64").differences if each.call] == []
    with pytest.raises(PolicyError, match="newer"):
        Policy.from_text("2\nallowlist\nread\n", newer="errno ENOSYS").to_oci("amd64")


def test_negative_arguments_are_what_64_bits_show_of_them() -> None:
    policy = Policy.from_text("2\ndenylist\npersonality errno 1 [0,5,>]\n")
    assert policy.answer("x86_64", "personality", [-1]) == "errno 1"
    assert policy.answer("x86", "personality", [-1]) == "errno 1"


def test_the_same_line_in_an_allowlist_is_for_the_native_abi() -> None:
    policy = Policy.from_text(b"2\nallowlist\nread\n")
    assert policy.answer("x86", "read", arch="amd64") == "kill"
    assert policy.answer("x86", "read", arch="i386") == "allow"


def test_what_is_newer() -> None:
    policy = Policy.from_text("2\nallowlist\nopenat2\n", newer="errno ENOSYS")
    assert policy.answer("riscv64", "mseal") == "errno 38"
    assert policy.explain("mseal", arch="riscv64")[0].reasons[0].where == "newer"


def test_programs_and_rules(policy: Policy) -> None:
    assert policy.program("s390x") == compiled(TEXT, "s390x").program
    assert policy.program("s390x") is policy.program("S390X")
    assert policy.program() == compiled(TEXT, this_machine().name).program
    assert [each.abi.name for each in policy.rules("arm64").abis] == ["aarch64", "arm"]


def test_explanations(policy: Policy) -> None:
    (found,) = policy.explain("clone", [17], "riscv64")
    assert (found.abi.name, found.number, found.action) == ("riscv64", 220, 0x7FFF0000)
    assert [(reason.where, reason.possible) for reason in found.reasons] == [("p:4", False), ("p:2", True)]


def test_errors(policy: Policy) -> None:
    for asked in [
        ("x86_64", "read", [1] * 7),
        ("x86_64", "read", [1 << 64]),
        ("x86", 1 << 40),
        ("x86_65", "read"),
        ("x86_64", "waitpid"),
        ("all", "read"),
        ("x86_64", -1),
    ]:
        with pytest.raises(UsageError):
            policy.answer(*asked)
    with pytest.raises(UsageError, match="did you mean 'mknod'"):
        policy.explain("mkmod")
    with pytest.raises(AttributeError, match="no attribute 'Polcy'"):
        _ = minilxc.Polcy  # type: ignore[attr-defined]


def test_the_package_names_what_it_has() -> None:
    assert "Policy" in dir(minilxc)


def test_importing_the_package_loads_none_of_it() -> None:
    asked = "import sys, minilxc; print(*sorted(name for name in sys.modules if name.startswith('minilxc')))"
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout == "minilxc\n"
