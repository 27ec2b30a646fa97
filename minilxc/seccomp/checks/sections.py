"""Sections, and the ABIs that a policy leaves without rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import actions
from ..rules import targets
from ..wording import listed
from .subject import Found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .subject import Subject


def unread(subject: Subject) -> Iterator[Found]:
    """A section that none of the machines asked for has; told at its first rule."""
    before = ""
    for line in subject.policy.lines:
        if line.section != before:
            before = line.section
            if not any(targets(line, subject.policy, machine) for machine in subject.machines):
                machines = listed(machine.name for machine in subject.machines)
                yield Found(line.where, f"section [{line.section}] is not read on {machines}")


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
