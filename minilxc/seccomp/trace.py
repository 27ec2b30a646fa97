"""The way that one call takes through a program, instruction by instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .program import ARCH, ARGS, NR, WORD
from .symbolic import START, Return, State, step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .arch import Abi
    from .program import Program


class Step(NamedTuple):
    """One instruction that ran.

    at  its position
    a   the accumulator when it had run
    x   the index register then
    to  the position of the next one; None for a return
    """

    at: int
    a: int
    x: int
    to: int | None


class Trace(NamedTuple):
    """What a program answers to a call, and the instructions that it ran for it."""

    action: int
    steps: tuple[Step, ...]


def trace(program: Program, abi: Abi, number: int, args: Sequence[int] = ()) -> Trace:
    """Run a valid `program` on a call of `abi`, whose call numbers include its base.

    `args` are up to six words, 0 where missing, and cut to what the ABI can pass: 32 bits, or 64.
    The instruction pointer is 0.
    """
    words = dict.fromkeys(range(0, ARGS + 48, 4), 0) | {NR: number, ARCH: abi.audit}
    for place, arg in enumerate(args):
        low = ARGS + 8 * place + (4 if program.big else 0)
        words[low] = arg & WORD
        words[low ^ 4] = arg >> 32 & WORD if abi.wide else 0
    steps: list[Step] = []
    state = START
    while True:
        reached = step(program, state, words)
        if isinstance(reached, State):
            steps.append(Step(state.at, _known(reached.a), _known(reached.x), reached.at))
            state = reached
            continue
        assert isinstance(reached, Return)  # nothing forks where every word is known
        steps.append(Step(state.at, _known(state.a), _known(state.x), None))
        return Trace(_known(reached.action), tuple(steps))


def _known(value: object) -> int:
    assert isinstance(value, int)  # every word is known
    return value
