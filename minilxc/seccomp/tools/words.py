"""The words of a command line that name calls, arguments and actions."""

from __future__ import annotations

import errno
import re
from typing import Final

from minilxc.errors import UsageError, suggestion

from .. import actions

UNKNOWN: Final = "_"
"""Stands for an argument that is not known."""

_NUMBER = re.compile(r"-?(0[xX][0-9a-fA-F]+|[0-9]+)")
_OCTAL = re.compile(r"-?0[0-7]+")
# Address families have the same numbers on every architecture (linux/socket.h), most constants do not.
_FAMILIES: Final = (
    *("AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_ALG", "AF_VSOCK", "AF_BLUETOOTH"),
    *("AF_CAN", "AF_TIPC", "AF_KEY", "AF_X25", "AF_AX25", "AF_APPLETALK", "AF_QIPCRTR", "AF_UNSPEC"),
)


def call(word: str) -> str | int:
    """A system call: its name, or its number (decimal or hexadecimal). Raises UsageError."""
    if _NUMBER.fullmatch(word) and not word.startswith("-"):
        return int(word, 16) if word[:2].lower() == "0x" else int(word)
    return word


def arguments(words: list[str]) -> tuple[int | None, ...]:
    """The arguments of a call. Raises UsageError for what is none, and for more than six."""
    if len(words) > 6:
        raise UsageError(f"{len(words)} arguments: a system call has at most 6")
    return tuple(None if word == UNKNOWN else _argument(word) for word in words)


def _argument(word: str) -> int:
    """A number as C writes it, or an address family; a negative one as 64 bits show it."""
    if word in _FAMILIES:
        import socket

        return int(getattr(socket, word))
    if not _NUMBER.fullmatch(word) or (word.lstrip("-").startswith("0") and not _is_c(word)):
        raise UsageError(
            f"'{word}' is no argument: a number (decimal, 0x hexadecimal, 0 octal), an address family as AF_UNIX,"
            f" or {UNKNOWN} for one that is not known",
            hint=suggestion(word, _FAMILIES),
        )
    value = int(word, 8) if _OCTAL.fullmatch(word) else int(word, 0)
    if not -(1 << 63) <= value < 1 << 64:
        raise UsageError(f"argument '{word}' is larger than 64 bits")
    return value & 0xFFFFFFFFFFFFFFFF


def _is_c(word: str) -> bool:
    """False for what begins as an octal number and goes on otherwise: 08."""
    digits = word.lstrip("-")
    return digits == "0" or digits[1] in "xX" or bool(_OCTAL.fullmatch(word))


def action(word: str) -> frozenset[int] | None:
    """The kernel's values that an action of a policy means; None for `errno` alone: every errno.

    Raises UsageError.
    """
    if word == "errno":
        return None
    if word in actions.WORDS:
        return frozenset((actions.WORDS[word],))
    if word.startswith("errno"):
        name = word.removeprefix("errno").strip()
        number = getattr(errno, name, None) if name.startswith("E") else None
        if name.isdecimal() and len(name) <= 4 and int(name) <= actions.MAX_ERRNO:
            number = int(name)
        if isinstance(number, int):
            return frozenset((actions.ERRNO + number,))
    raise UsageError(f"unknown action '{word}'", hint=suggestion(word, (*actions.WORDS, "errno")))
