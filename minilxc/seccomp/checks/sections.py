"""Sections, and the ABIs that a policy leaves without rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import actions
from ..wording import listed
from .subject import Found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .subject import Subject


def unread(subject: Subject) -> Iterator[Found]:
    """A section that none of the machines asked for has, be it empty."""
    for where, name in subject.sections:
        if name not in ("all", "native", *(abi.name for abi in subject.abis)):
            machines = listed(machine.name for machine in subject.machines)
            yield Found(where, f"section [{name}] is not read on {machines}")


def native_only(subject: Subject) -> Iterator[Found]:
    """An allowlist that leaves a machine's other ABIs closed without saying so."""
    policy = subject.policy
    if policy.kind != "allowlist" or actions.runs(policy.default) or policy.version == 1:
        return
    if any(line.section for line in policy.lines):
        return
    closed = [context for context in subject.contexts if not context.native]
    if closed:
        yield Found(
            policy.where,
            "lines before any section of an allowlist are for the native ABI alone: every call of"
            f" {listed(subject.on(closed))} is answered {actions.word(policy.default)}",
            "'[all]' before the rules makes them count there too",
            subject.on(closed),
        )
