"""Every program is run before it is used: it must answer as its rules say.

The judge is `rules.verdicts`, which reads the rules and knows nothing of programs. For each ABI of
the machine every number of its table is asked, every ruled number and its neighbours, numbers far
out, and ABIs that the machine does not have; a call whose arguments count with those of `samples`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from minilxc.errors import PolicyError

from . import actions, calls
from .arch import ABIS, abi_of_number
from .matching import Matchers
from .program import InvalidProgramError
from .rules import answer
from .samples import arguments

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .program import Program
    from .rules import AbiRules, Rules

_MARGIN = 64
_FAR: Final = (0x3FFFFFFE, 0x3FFFFFFF, 0x40000000, 0x40000400, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_PLAIN: Final = (0,) * 6


def verify(program: Program, rules: Rules) -> None:
    """Run `program` against `rules`. Raises PolicyError at the first call that it answers otherwise."""
    try:
        program.validate()
    except InvalidProgramError as error:
        raise PolicyError(f"the compiled program is not valid: {error}", where=rules.where) from None
    for each in rules.abis:
        _verify_abi(program, rules, each)
    known = {each.abi.audit for each in rules.abis}
    for audit in {abi.audit for abi in ABIS} | {0, 0xFFFFFFFF}:
        if audit not in known:
            for number in (0, 1, 59, 0x40000000, 0xFFFFFFFF):
                given, _ = program.simulate(audit, number)
                if given != actions.KILL_THREAD:
                    raise _mismatch(rules.where, f"call {number:#x} of audit value {audit:#x}", given)


def _verify_abi(program: Program, rules: Rules, ruled: AbiRules) -> None:
    abi, entries, _ = ruled
    abis = [each.abi for each in rules.abis]
    match = Matchers()
    for number in _numbers(ruled):
        # numbers of the ABI that shares the audit value are asked when it is that one's turn
        owner = abi_of_number(abi.audit, number, abis)
        if owner is None:
            given, _ = program.simulate(abi.audit, number)
            if given != actions.KILL_THREAD:
                raise _mismatch(rules.where, f"call {number:#x} of {abi.name}", given)
        if owner is not abi:
            continue
        entry = entries.get(number)
        # a neighbour too: were the search wrong by one, only arguments that matter there would show it
        near = [each for at in (number - 1, number, number + 1) if (each := entries.get(at)) and each.stages]
        for args in {_PLAIN, *(args for each in near for args in arguments(each))}:
            given, _ = program.simulate(abi.audit, number, args)
            wanted = answer(rules, abi, number, args, match)
            if given not in wanted:
                name = entry.name if entry else f"call {number:#x}"
                call = f"{name}({', '.join(f'{arg:#x}' for arg in args)}) of {abi.name}"
                raise _mismatch(rules.where, call, given, wanted)


def _mismatch(
    where: str, call: str, given: int, wanted: Iterable[int] = (actions.KILL_THREAD,)
) -> PolicyError:
    right = " or ".join(sorted(actions.name(action) for action in wanted))
    return PolicyError(f"the compiled program answers {actions.name(given)} to {call}, not {right}", where)


def _numbers(ruled: AbiRules) -> Iterable[int]:
    """The call numbers to ask."""
    abi = ruled.abi
    table = calls.names(abi)
    highest = max(number for number in table if number not in abi.private)
    numbers = {*table, *range(abi.base, highest + _MARGIN), *range(_MARGIN), *_FAR}
    for number in ruled.entries:
        numbers.update((max(number - 1, 0), number, number + 1 & 0xFFFFFFFF))
    for span in ruled.spans:
        numbers.update((span.numbers.start, span.numbers[-1]))
        numbers.update((max(span.numbers.start - 1, 0), span.numbers.stop & 0xFFFFFFFF))
    return sorted(numbers)
