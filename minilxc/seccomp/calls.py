"""System calls by name and number, for each ABI. Slow to import: it opens libseccomp.

The tables are libseccomp's, read backwards, number by number. A name given to libseccomp is not
enough: it answers "socket" on i386 with a pseudo number, although 359 is a real one.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from minilxc.errors import MinilxcError, suggestion

from .arch import ABIS, Abi

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

_NUMBERS_PER_ABI = 1024

# Newer than libseccomp 2.5.4, which ends with Linux 6.7. All numbers from 424 on are common to
# every architecture, counted from its base. Used only where the library lacks the name.
_NEWER: Final = {
    "statmount": 457,
    "listmount": 458,
    "lsm_get_self_attr": 459,
    "lsm_set_self_attr": 460,
    "lsm_list_modules": 461,
    "mseal": 462,
    "setxattrat": 463,
    "getxattrat": 464,
    "listxattrat": 465,
    "removexattrat": 466,
    "open_tree_attr": 467,
    "file_getattr": 468,
    "file_setattr": 469,
}
# The kernel itself places this call (Linux 6.11) in traced programs. From 6.14 on, and in later releases of
# 6.12 and 6.13, it passes whatever a filter says.
_NEWER_X86_64: Final = {"uretprobe": 335}

SOCKETCALL_PARTS: Final = {
    "socket": 1,
    "bind": 2,
    "connect": 3,
    "listen": 4,
    "accept": 5,
    "getsockname": 6,
    "getpeername": 7,
    "socketpair": 8,
    "send": 9,
    "recv": 10,
    "sendto": 11,
    "recvfrom": 12,
    "shutdown": 13,
    "setsockopt": 14,
    "getsockopt": 15,
    "sendmsg": 16,
    "recvmsg": 17,
    "accept4": 18,
    "recvmmsg": 19,
    "sendmmsg": 20,
}
"""The calls that socketcall(2) stands for, with its first argument (linux/net.h)."""

IPC_PARTS: Final = {
    "semop": 1,
    "semget": 2,
    "semctl": 3,
    "semtimedop": 4,
    "msgsnd": 11,
    "msgrcv": 12,
    "msgget": 13,
    "msgctl": 14,
    "shmat": 21,
    "shmdt": 22,
    "shmget": 23,
    "shmctl": 24,
}
"""The calls that ipc(2) stands for, with the low 16 bits of its first argument (linux/ipc.h)."""

MULTIPLEXERS: Final[Mapping[str, Mapping[str, int]]] = {"socketcall": SOCKETCALL_PARTS, "ipc": IPC_PARTS}
"""The calls that stand for others, with these and their numbers."""


@cache
def library() -> ModuleType:
    """pyseccomp, imported at first use. Raises MinilxcError when it or libseccomp is not there."""
    try:
        import pyseccomp
    except (ImportError, RuntimeError) as error:
        raise MinilxcError(f"seccomp policies need libseccomp and pyseccomp: {error}") from None
    module: ModuleType = pyseccomp
    return module


@cache
def table(abi: Abi) -> Mapping[str, int]:
    """Name to number of every call of `abi`, the calls newer than libseccomp included.

    Raises MinilxcError when this libseccomp does not know the ABI.
    """
    resolve = library().resolve_syscall
    numbers = {}
    for number in (*range(abi.base, abi.base + _NUMBERS_PER_ABI), *abi.private):
        try:
            numbers[resolve(abi.token, number).decode()] = number
        except ValueError:
            continue
    if not numbers:
        raise MinilxcError(
            f"the installed libseccomp does not know {abi.name}, so no filter can be built for it"
        )
    newer = _NEWER | _NEWER_X86_64 if abi.name == "x86_64" else _NEWER
    return {name: abi.base + number for name, number in newer.items()} | numbers


@cache
def names(abi: Abi) -> Mapping[int, str]:
    """Number to name of every call of `abi`. Raises as `table` does."""
    return {number: name for name, number in table(abi).items()}


def multiplexer(abi: Abi, call: str) -> str:
    """The call that `call` is a part of on `abi`: "socketcall", "ipc", or "" for none."""
    if not abi.multiplexed:
        return ""
    return next((name for name, parts in MULTIPLEXERS.items() if call in parts), "")


def has(abi: Abi, call: str) -> bool:
    """True when programs of `abi` can make `call`, by its own number or as a part. Raises as `table` does."""
    return call in table(abi) or bool(multiplexer(abi, call))


def known(name: str) -> bool:
    """True when some ABI has a call of this name."""
    if name in _NEWER or name in _NEWER_X86_64:
        return True
    if not name.isascii():
        return False
    lib = library()
    # a name that exists elsewhere only has a pseudo number below -1 here
    return bool(lib.resolve_syscall(lib.Arch.NATIVE, name) != -1)


def suggest(name: str) -> str | None:
    """A hint "did you mean 'x'?" for a name that no ABI knows, or None."""
    every: set[str] = set()
    for abi in ABIS:
        try:
            every.update(table(abi))
        except MinilxcError:
            continue  # an ABI that this libseccomp lacks has nothing to suggest
    return suggestion(name.lower(), sorted(every))
