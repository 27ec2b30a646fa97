"""The architecture table: every ABI that a policy can name, and the machines they make up.

An ABI is one way to call the kernel (i386 programs on amd64 use another than 64-bit ones), a machine
is the set of ABIs that one kernel serves; its first ABI is the native one. All facts about an
architecture stand here and nowhere else. Sources: linux/audit.h and the system call tables of the
kernel, syscall_get_arguments() of each architecture, libseccomp's seccomp.h.
"""

from __future__ import annotations

import os
import sys

from minilxc.errors import SHORT, UsageError, suggestion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_64BIT = 0x80000000
_LITTLE = 0x40000000
_N32 = 0x20000000

X32_BIT = 0x40000000
"""Set in each x32 call number; the audit value does not tell x32 from x86_64."""


class Abi:
    """One way to call the kernel. Immutable.

    name          how it is written in messages, libseccomp's spelling
    spellings     section names that mean it, lower case
    audit         what the kernel puts into seccomp_data.arch (AUDIT_ARCH_*)
    token         libseccomp's name for it (SCMP_ARCH_*), the audit value but for x32
    big           big-endian
    bits          size of a pointer: 32 or 64
    wide          argument words carry 64 bits (also x32 and n32: theirs are whole 64-bit registers)
    base          first call number; numbers common to all architectures are counted from it
    multiplexed   socketcall(2) and ipc(2) exist besides, or instead of, the calls they stand for
    private       numbers outside the sequence in which the kernel numbers new calls, ascending
    """

    __slots__ = (
        "name",
        "spellings",
        "audit",
        "token",
        "big",
        "bits",
        "wide",
        "base",
        "multiplexed",
        "private",
    )

    def __init__(
        self,
        name: str,
        *,
        audit: int,
        also: tuple[str, ...] = (),
        token: int | None = None,
        wide: bool | None = None,
        base: int = 0,
        multiplexed: bool = False,
        private: tuple[int, ...] = (),
    ) -> None:
        self.name = name
        self.spellings = (name, *also)
        self.audit = audit
        self.token = audit if token is None else token
        self.big = not audit & _LITTLE
        self.bits = 64 if self.token & _64BIT and not audit & _N32 else 32
        self.wide = self.bits == 64 if wide is None else wide
        self.base = base
        self.multiplexed = multiplexed
        self.private = private

    def __repr__(self) -> str:
        return f"Abi({self.name!r})"


# wide: a 32-bit ABI whose calls come in through the 64-bit entry has whole registers as arguments
# (x32: 0x100000000 given to ftruncate is a length above 4 GiB), so there a filter compares 64 bits.
# libseccomp compares 32 there, which loses the upper half of an x32 ftruncate.
ABIS = (
    Abi("x86_64", audit=62 | _64BIT | _LITTLE, also=("amd64", "x86-64")),
    Abi("x86", audit=3 | _LITTLE, also=("i386",), multiplexed=True),
    Abi(
        "x32",
        audit=62 | _64BIT | _LITTLE,
        token=62 | _LITTLE,
        base=X32_BIT,
        wide=True,
        private=tuple(range(X32_BIT + 512, X32_BIT + 548)),
    ),
    Abi("aarch64", audit=183 | _64BIT | _LITTLE, also=("arm64",)),
    Abi("arm", audit=40 | _LITTLE, also=("armhf", "armel"), private=tuple(range(0xF0001, 0xF0007))),
    Abi("ppc64le", audit=21 | _64BIT | _LITTLE, also=("ppc64el",), multiplexed=True),
    Abi("ppc64", audit=21 | _64BIT, multiplexed=True),
    Abi("ppc", audit=20, also=("powerpc",), multiplexed=True),
    Abi("s390x", audit=22 | _64BIT, multiplexed=True),
    Abi("s390", audit=22, multiplexed=True),
    Abi("riscv64", audit=243 | _64BIT | _LITTLE),
    Abi("mips64", audit=8 | _64BIT, base=5000),
    Abi("mips64n32", audit=8 | _64BIT | _N32, base=6000, wide=True),
    Abi("mips", audit=8, base=4000, multiplexed=True),
    Abi("mipsel64", audit=8 | _64BIT | _LITTLE, base=5000),
    Abi("mipsel64n32", audit=8 | _64BIT | _N32 | _LITTLE, base=6000, wide=True),
    Abi("mipsel", audit=8 | _LITTLE, base=4000, multiplexed=True),
    Abi("loongarch64", audit=258 | _64BIT | _LITTLE),
    Abi("parisc64", audit=15 | _64BIT),
    Abi("parisc", audit=15),
)

_BY_NAME = {abi.name: abi for abi in ABIS}
_BY_SPELLING = {spelling: abi for abi in ABIS for spelling in abi.spellings}


class Machine:
    """The ABIs that one kernel serves, the native one first. Immutable.

    name    Debian's name where it has one
    abis    every one of them is in the machine's filter, also when no rule names it
    words   what `--arch` accepts for it, lower case: libseccomp's, Debian's and uname's spellings
    errnos  whose errno numbers above 34 it has: "generic", "mips", "parisc" or "powerpc"
    """

    __slots__ = ("name", "abis", "words", "errnos")

    def __init__(self, name: str, abis: str, also: str = "", errnos: str = "generic") -> None:
        self.name = name
        self.abis = tuple(_BY_NAME[abi] for abi in abis.split())
        self.words = (name, *also.split())
        self.errnos = errnos

    @property
    def native(self) -> Abi:
        """The ABI of the machine's own programs."""
        return self.abis[0]

    @property
    def big(self) -> bool:
        """Big-endian, and so are its programs."""
        return self.native.big

    def __repr__(self) -> str:
        return f"Machine({self.name!r})"


MACHINES = (
    Machine("amd64", "x86_64 x86 x32", also="x86_64 x86-64"),
    Machine("i386", "x86", also="x86 i486 i586 i686"),
    Machine("x32", "x32"),
    Machine("arm64", "aarch64 arm", also="aarch64"),
    Machine("armhf", "arm", also="arm armel armv5tel armv6l armv7l armv8l"),
    Machine("ppc64el", "ppc64le", also="ppc64le powerpc64le", errnos="powerpc"),
    Machine("ppc64", "ppc64 ppc", also="powerpc64", errnos="powerpc"),
    Machine("powerpc", "ppc", also="ppc", errnos="powerpc"),
    Machine("s390x", "s390x s390"),
    Machine("s390", "s390"),
    Machine("riscv64", "riscv64"),
    Machine("mips64", "mips64 mips64n32 mips", errnos="mips"),
    Machine("mipsel64", "mipsel64 mipsel64n32 mipsel", also="mips64el", errnos="mips"),
    Machine("mips64n32", "mips64n32", also="mipsn32", errnos="mips"),
    Machine("mipsel64n32", "mipsel64n32", also="mipsn32el", errnos="mips"),
    Machine("mips", "mips", errnos="mips"),
    Machine("mipsel", "mipsel", errnos="mips"),
    Machine("loongarch64", "loongarch64", also="loong64"),
    Machine("parisc64", "parisc64", errnos="parisc"),
    Machine("parisc", "parisc", also="hppa", errnos="parisc"),
)

_BY_WORD = {word: machine for machine in MACHINES for word in machine.words}


def abi_by_section(word: str) -> Abi | None:
    """The ABI that the section `[word]` means, or None; any spelling, any case."""
    return _BY_SPELLING.get(word.lower())


def abi_of_number(audit: int, number: int, abis: Iterable[Abi] = ABIS) -> Abi | None:
    """The one of `abis` whose call it is, by seccomp_data's arch (`audit`) and nr; None where it is none's.

    x32's calls have the numbers from X32_BIT on. Where x32 is not among `abis`, x86_64 has them, too.
    """
    sharing = [abi for abi in abis if abi.audit == audit]
    x32 = [abi for abi in sharing if abi.base == X32_BIT]
    others = [abi for abi in sharing if abi.base != X32_BIT]
    return next(iter(x32 if x32 and number >= X32_BIT else others), None)


def section_words() -> tuple[str, ...]:
    """Every word that may stand in a section, for suggestions."""
    return ("all", "native", *_BY_SPELLING)


def machine_by_word(word: str) -> Machine:
    """The machine that `word` means to `--arch`: libseccomp's, Debian's or uname's spelling, any case.

    Raises UsageError, with a suggestion where one is near.
    """
    machine = _BY_WORD.get(word.lower())
    if machine is None:
        raise UsageError(f"unknown architecture '{word}'", hint=suggestion(word.lower(), _BY_WORD, SHORT))
    return machine


def this_machine() -> Machine:
    """The machine whose kernel we run on, by `uname -m`: a 32-bit python on amd64 is still on amd64.

    Raises UsageError where no row of the table has this name.
    """
    word = os.uname().machine
    if word in ("mips", "mips64") and sys.byteorder == "little":
        word = word.replace("mips", "mipsel")
    return machine_by_word(word)
