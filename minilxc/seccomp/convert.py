"""What conversions of profiles and policies share: what came of one, and the proof that nothing got lost.

Whatever is written is compiled and compared with its source, exactly (`diff`), for each machine. What
the other language cannot say becomes a `Loss`, the place of which is the source's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from .compiler import compile_rules
from .diff import compare

if TYPE_CHECKING:
    from .arch import Abi
    from .profile import Loss
    from .rules import Rules

NO_ARGUMENTS: Final = (0,) * 6


class Converted(NamedTuple):
    """What was written, what it does not say, and what its reader should know (place and text)."""

    text: str
    losses: tuple[Loss, ...]
    notes: tuple[tuple[str, str], ...]


class Difference(NamedTuple):
    """A call, or numbers without a name (call is ""), that two rulings answer otherwise."""

    abi: Abi
    call: str
    number: int
    args: tuple[int, ...]
    wanted: int
    given: int


def differences(wanted: Rules, given: Rules) -> list[Difference]:
    """Where `given` differs from `wanted`, rules of the same machine. Raises PolicyError as the compiler does."""
    programs = compile_rules(wanted), compile_rules(given)
    return [
        Difference(each.abi, each.call, each.number, (*each.args, *NO_ARGUMENTS)[:6], each.ours, each.theirs)
        for each in compare(*programs, wanted.machine).differences
        if each.abi is not None
    ]
