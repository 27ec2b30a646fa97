"""Calls that are named where they do not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import calls
from ..wording import listed
from .subject import Found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .subject import Context, Subject


def absent(subject: Subject) -> Iterator[Found]:
    """A call that none of the ABIs has which the line is for, on the machines asked for."""
    for line in subject.policy.lines:
        if line.number >= 0 or _own_section(line.section):
            continue
        here = [context for context in subject.contexts if context.reads(line)]
        if here and not any(context.has(line.call) for context in here):
            yield Found(
                line.where,
                f"{line.call}: the rule is skipped: {listed(subject.on(here))} {'has' if len(here) == 1 else 'have'}"
                " no such call",
                on=subject.on(here),
            )


def absent_in_section(subject: Subject) -> Iterator[Found]:
    """A call in the section of an ABI that does not have it: the rule counts nowhere."""
    for line in subject.policy.lines:
        if not _own_section(line.section):
            continue
        here = [context for context in subject.contexts if context.reads(line)]
        if here and not here[0].has(line.call):
            yield Found(
                line.where,
                f"{line.call}: {line.section} has no such call, so in [{line.section}] the rule does nothing",
                "move it to the section of an ABI that has it",
                subject.on(here),
            )


def unknown_number(subject: Subject) -> Iterator[Found]:
    """A number of version 1 that is no known call."""
    for line in subject.policy.lines:
        if line.number >= 0:
            here = [context for context in _natives(subject) if line.number not in calls.names(context.abi)]
            if here:
                yield Found(
                    line.where,
                    f"{line.number}: no call that is known has this number on {listed(subject.on(here))}",
                    on=subject.on(here),
                )


def numbers_differ(subject: Subject) -> Iterator[Found]:
    """Numbers of version 1 that are other calls on another of the machines asked for."""
    natives = _natives(subject)
    for line in subject.policy.lines:
        if line.number >= 0:
            named = {context: calls.names(context.abi).get(line.number, "no call") for context in natives}
            if len(set(named.values())) > 1:
                meanings = [f"{name} on {subject.on([context])[0]}" for context, name in named.items()]
                yield Found(
                    subject.policy.where,
                    f"numbers are each machine's own: {line.number} is {listed(meanings)}",
                    "version 2 has names",
                    subject.on(natives),
                )
                return


def _own_section(section: str) -> bool:
    """True for the section of one ABI."""
    return section not in ("", "all", "native")


def _natives(subject: Subject) -> list[Context]:
    """The machines' native ABIs, each once."""
    found = {context.abi: context for context in subject.contexts if context.native}
    return list(found.values())
