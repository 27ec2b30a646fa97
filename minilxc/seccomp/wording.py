"""Lists, calls and filters as people read them, the same in every message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .policy import Filter

MANY: Final = 8
"""Names in a list that a person reads; beyond, the rest is counted."""


def listed(names: Iterable[str]) -> str:
    """`names` as text: "a, b and c", the rest counted where there are many."""
    words = list(names)
    if len(words) > MANY:
        words = [*words[: MANY - 1], f"{len(words) - MANY + 1} more"]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def filter_text(test: Filter) -> str:
    """A filter as a policy writes it."""
    mask = f",{test.mask:#x}" if test.mask > 9 else f",{test.mask}"
    return f"[{test.arg},{number_text(test.value)},{test.op}{mask if test.op == '&=' else ''}]"


def number_text(value: int) -> str:
    """A value as people write it: small ones decimal, others hexadecimal."""
    return str(value) if value < 256 else f"{value:#x}"


def call_text(call: str, args: Sequence[int]) -> str:
    """A call with its arguments, without the zeros at the end."""
    words = list(args)
    while words and not words[-1]:
        words.pop()
    return f"{call}({', '.join(map(number_text, words))})"
