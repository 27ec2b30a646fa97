"""The words of a command line that name calls, arguments and actions."""

from __future__ import annotations

import re
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Final

from minilxc.errors import PolicyError, UsageError, suggestion

from ..policy import newer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..policy import Newer

UNKNOWN: Final = "_"
"""Stands for an argument that is not known."""

_NUMBER = re.compile(r"-?(0[xX][0-9a-fA-F]+|[0-9]+)")
_OCTAL = re.compile(r"-?0[0-7]+")
_LONGEST = 80  # digits, leading zeros among them; Python converts up to 4300

CONSTANTS: Final[Mapping[str, int]] = {
    # linux/socket.h
    "AF_UNSPEC": 0,
    "AF_UNIX": 1,
    "AF_INET": 2,
    "AF_AX25": 3,
    "AF_APPLETALK": 5,
    "AF_X25": 9,
    "AF_INET6": 10,
    "AF_KEY": 15,
    "AF_NETLINK": 16,
    "AF_PACKET": 17,
    "AF_CAN": 29,
    "AF_TIPC": 30,
    "AF_BLUETOOTH": 31,
    "AF_ALG": 38,
    "AF_VSOCK": 40,
    "AF_QIPCRTR": 42,
    # linux/sched.h
    "CLONE_NEWTIME": 0x80,
    "CLONE_VM": 0x100,
    "CLONE_FS": 0x200,
    "CLONE_FILES": 0x400,
    "CLONE_SIGHAND": 0x800,
    "CLONE_PIDFD": 0x1000,
    "CLONE_PTRACE": 0x2000,
    "CLONE_VFORK": 0x4000,
    "CLONE_PARENT": 0x8000,
    "CLONE_THREAD": 0x10000,
    "CLONE_NEWNS": 0x20000,
    "CLONE_SYSVSEM": 0x40000,
    "CLONE_SETTLS": 0x80000,
    "CLONE_UNTRACED": 0x800000,
    "CLONE_NEWCGROUP": 0x2000000,
    "CLONE_NEWUTS": 0x4000000,
    "CLONE_NEWIPC": 0x8000000,
    "CLONE_NEWUSER": 0x10000000,
    "CLONE_NEWPID": 0x20000000,
    "CLONE_NEWNET": 0x40000000,
    "CLONE_IO": 0x80000000,
    # linux/fs.h, linux/mount.h
    "MS_RDONLY": 0x1,
    "MS_NOSUID": 0x2,
    "MS_NODEV": 0x4,
    "MS_NOEXEC": 0x8,
    "MS_REMOUNT": 0x20,
    "MS_BIND": 0x1000,
    "MS_MOVE": 0x2000,
    "MS_REC": 0x4000,
    "MS_PRIVATE": 0x40000,
    "MS_SLAVE": 0x80000,
    "MS_SHARED": 0x100000,
    "MNT_FORCE": 1,
    "MNT_DETACH": 2,
    "MNT_EXPIRE": 4,
    "UMOUNT_NOFOLLOW": 8,
    # linux/personality.h
    "PER_LINUX": 0,
    "PER_LINUX32": 8,
    "ADDR_NO_RANDOMIZE": 0x40000,
    "READ_IMPLIES_EXEC": 0x400000,
}
"""Names for arguments: those with one number on every architecture, which most constants do not have."""


def call(word: str) -> str | int:
    """A system call: its name, or its number (decimal or hexadecimal). Raises UsageError."""
    if _NUMBER.fullmatch(word) and not word.startswith("-"):
        if len(word) > _LONGEST:
            raise UsageError(f"'{word[:_LONGEST]}...' is no system call number: it has 32 bits")
        return int(word, 16) if word[:2].lower() == "0x" else int(word)
    return word


def arguments(words: list[str]) -> tuple[int | None, ...]:
    """The arguments of a call. Raises UsageError for what is none."""
    return tuple(None if word == UNKNOWN else _argument(word) for word in words)


def _argument(word: str) -> int:
    """A number as C writes it, or names of constants with | between them; a negative one as 64 bits show it."""
    names = word.split("|")
    if all(name in CONSTANTS for name in names):
        return reduce(or_, (CONSTANTS[name] for name in names))
    if len(word) > _LONGEST:
        raise UsageError(f"argument '{word[:_LONGEST]}...' is larger than 64 bits")
    if not _NUMBER.fullmatch(word) or (word.lstrip("-").startswith("0") and not _is_c(word)):
        raise UsageError(
            f"'{word}' is no argument: a number (decimal, 0x hexadecimal, 0 octal), names as AF_UNIX or"
            f" CLONE_NEWUSER|CLONE_NEWNET, or {UNKNOWN} for one that is not known",
            hint=suggestion(names[-1], CONSTANTS),
        )
    value = int(word, 8) if _OCTAL.fullmatch(word) else int(word, 0)
    if not -(1 << 63) <= value < 1 << 64:
        raise UsageError(f"argument '{word}' is larger than 64 bits")
    return value & 0xFFFFFFFFFFFFFFFF


def _is_c(word: str) -> bool:
    """False for what begins as an octal number and goes on otherwise: 08."""
    digits = word.lstrip("-")
    return digits == "0" or digits[1] in "xX" or bool(_OCTAL.fullmatch(word))


def action(word: str, option: str) -> Newer:
    """The action that `option` names, as a policy writes it. Raises UsageError."""
    try:
        return newer(word, option)
    except PolicyError as error:
        raise UsageError(str(error)) from None
