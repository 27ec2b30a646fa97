"""From a policy's text to a verified program: the whole cold way, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import policy as policies
from . import rules as ruling
from .compiler import compile_rules
from .verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from .arch import Machine
    from .policy import Newer
    from .program import Program
    from .rules import Rules


class Built(NamedTuple):
    """Rules and the program that was made of them and verified."""

    rules: Rules
    program: Program


def build(
    text: bytes,
    path: str,
    machine: Machine,
    *,
    notify: bool = False,
    newer: Newer | None = None,
    debug: Callable[[str], None] | None = None,
) -> Built:
    """The program of the policy `text`, which messages call `path`, for `machine`.

    `notify`: somebody will answer the policy's notify rules. `newer` answers calls newer than the
    policy. `debug` is told each line's meaning.
    Raises PolicyError; MinilxcError when libseccomp is missing or does not know the machine.
    """
    policy = policies.parse(text, path)
    return build_rules(ruling.build(policy, machine, notify=notify, newer=newer, debug=debug))


def build_rules(rules: Rules) -> Built:
    """The program of `rules`, verified. Raises PolicyError."""
    program = compile_rules(rules)
    verify(program, rules)
    return Built(rules, program)
