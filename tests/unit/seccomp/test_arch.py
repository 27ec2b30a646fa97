"""The architecture table: every spelling, every family, the kernel's values."""

from __future__ import annotations

import os

import pyseccomp
import pytest

from minilxc.errors import MinilxcError, UsageError
from minilxc.seccomp import arch, calls

FAMILIES = {
    "amd64": "x86_64 x86 x32",
    "i386": "x86",
    "x32": "x32",
    "arm64": "aarch64 arm",
    "armhf": "arm",
    "ppc64el": "ppc64le",
    "ppc64": "ppc64 ppc",
    "powerpc": "ppc",
    "s390x": "s390x s390",
    "s390": "s390",
    "riscv64": "riscv64",
    "mips64": "mips64 mips64n32 mips",
    "mipsel64": "mipsel64 mipsel64n32 mipsel",
    "mips": "mips",
    "mipsel": "mipsel",
    "mips64n32": "mips64n32",
    "mipsel64n32": "mipsel64n32",
    "loongarch64": "loongarch64",
    "parisc64": "parisc64",
    "parisc": "parisc",
}

AUDIT = {
    "x86_64": 0xC000003E,
    "x86": 0x40000003,
    "x32": 0xC000003E,
    "arm": 0x40000028,
    "aarch64": 0xC00000B7,
    "ppc": 0x00000014,
    "ppc64": 0x80000015,
    "ppc64le": 0xC0000015,
    "s390x": 0x80000016,
    "s390": 0x00000016,
    "mips": 0x00000008,
    "mipsel": 0x40000008,
    "mips64": 0x80000008,
    "mipsel64": 0xC0000008,
    "mips64n32": 0xA0000008,
    "mipsel64n32": 0xE0000008,
    "riscv64": 0xC00000F3,
    "loongarch64": 0xC0000102,
    "parisc64": 0x8000000F,
    "parisc": 0x0000000F,
}


def test_families() -> None:
    assert {each.name: " ".join(abi.name for abi in each.abis) for each in arch.MACHINES} == FAMILIES


def test_audit_values() -> None:
    assert {abi.name: abi.audit for abi in arch.ABIS} == AUDIT


def test_the_abis_of_a_machine_have_one_byte_order() -> None:
    assert all(abi.big == machine.big for machine in arch.MACHINES for abi in machine.abis)


def test_widths() -> None:
    assert {abi.name for abi in arch.ABIS if abi.bits == 32} == set(
        "x86 x32 arm ppc s390 mips mipsel mips64n32 mipsel64n32 parisc".split()
    )
    assert {abi.name for abi in arch.ABIS if abi.wide and abi.bits == 32} == {
        "x32",
        "mips64n32",
        "mipsel64n32",
    }


@pytest.mark.parametrize(
    ("words", "machine"),
    [
        ("amd64 x86_64 X86-64 AMD64", "amd64"),
        ("i386 x86 i686 i586", "i386"),
        ("x32", "x32"),
        ("arm64 aarch64", "arm64"),
        ("armhf arm armel armv7l", "armhf"),
        ("ppc64el ppc64le", "ppc64el"),
        ("ppc ppc PowerPC", "powerpc"),
        ("mips64el mipsel64", "mipsel64"),
        ("mipsn32", "mips64n32"),
        ("S390X", "s390x"),
        ("hppa", "parisc"),
    ],
)
def test_words_for_machines(words: str, machine: str) -> None:
    assert {arch.machine_by_word(word).name for word in words.split()} == {machine}


def test_a_wrong_word_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"^unknown architecture 'amd46' \(did you mean 'amd64'\?\)$"):
        arch.machine_by_word("amd46")
    with pytest.raises(UsageError, match=r"^unknown architecture 'vax'$"):
        arch.machine_by_word("vax")


@pytest.mark.parametrize(
    ("uname", "machine"), [("x86_64", "amd64"), ("armv6l", "armhf"), ("ppc64le", "ppc64el")]
)
def test_this_machine_is_the_kernels(uname: str, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", "6.1", "#1", uname)))
    assert arch.this_machine().name == machine


def test_mips_has_its_byte_order_from_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", "6.1", "#1", "mips64")))
    monkeypatch.setattr("sys.byteorder", "little")
    assert arch.this_machine().name == "mipsel64"


def test_direct_numbers_which_libseccomp_hides() -> None:
    (x86,) = arch.machine_by_word("i386").abis
    assert pyseccomp.resolve_syscall(x86.token, "socket") == -101
    assert calls.table(x86)["socket"] == 359
    assert "accept" not in calls.table(x86)


def test_each_table_is_the_librarys_read_backwards() -> None:
    for abi in arch.ABIS:
        if abi.name != "loongarch64":
            for name, number in calls.table(abi).items():
                resolved = pyseccomp.resolve_syscall(abi.token, name)
                assert number == resolved or -300 < resolved < 0, (abi.name, name)


def test_the_arms_private_calls() -> None:
    (arm,) = arch.machine_by_word("armhf").abis
    assert calls.table(arm)["set_tls"] == 0xF0005


def test_an_abi_that_this_libseccomp_lacks() -> None:
    with pytest.raises(MinilxcError, match="the installed libseccomp does not know loongarch64"):
        calls.table(arch.machine_by_word("loongarch64").native)


def test_names() -> None:
    assert all(
        map(calls.known, ["read", "waitpid", "set_tls", "switch_endian", "mseal", "uretprobe", "_llseek"])
    )
    assert not any(map(calls.known, ["mkmod", "native", "", "MKNOD"]))
    assert calls.suggest("mkmod") == "did you mean 'mknod'?"
    assert calls.suggest("qqqqqqqq") is None


@pytest.mark.parametrize(
    ("machine", "abi", "number", "owner"),
    [
        ("amd64", "x86_64", 0, "x86_64"),
        ("amd64", "x86_64", 0x3FFFFFFF, "x86_64"),
        ("amd64", "x86_64", 0x40000000, "x32"),
        ("amd64", "x86_64", 0xFFFFFFFF, "x32"),
        ("amd64", "x86", 0x40000000, "x86"),
        ("x32", "x32", 0x40000000, "x32"),
        ("x32", "x32", 0, None),
        ("i386", "x86_64", 0, None),
    ],
)
def test_whose_call_a_number_is(machine: str, abi: str, number: int, owner: str | None) -> None:
    found = arch.abi_of_number(AUDIT[abi], number, arch.machine_by_word(machine).abis)
    assert (found.name if found else None) == owner


def test_a_number_from_x32s_bit_on_is_x86_64s_where_there_is_no_x32() -> None:
    found = arch.abi_of_number(AUDIT["x86_64"], 0x40000000, arch.ABIS[:1])
    assert found is arch.ABIS[0]


@pytest.mark.parametrize(
    ("abi", "call", "multiplexer", "has"),
    [
        ("x86", "recv", "socketcall", True),
        ("x86", "shmget", "ipc", True),
        ("x86", "socketcall", "", True),
        ("x86", "read", "", True),
        ("x86", "set_tls", "", False),
        ("x86_64", "recv", "", False),
        ("x86_64", "shmget", "", True),
    ],
)
def test_parts_of_multiplexers(abi: str, call: str, multiplexer: str, has: bool) -> None:
    found = arch.abi_by_section(abi)
    assert found is not None
    assert (calls.multiplexer(found, call), calls.has(found, call)) == (multiplexer, has)
