"""The line that sets the default, and the rules that repeat it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import actions
from .subject import Found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .subject import Subject


def turned_round(subject: Subject) -> Iterator[Found]:
    """A kind whose default makes it the other kind."""
    policy = subject.policy
    word = actions.word(policy.default)
    if policy.kind == "allowlist" and actions.runs(policy.default):
        yield Found(
            policy.where,
            f"'allowlist {word}' lets every call through that no line names: it is a denylist",
            f"write 'denylist {word}', and the answer on each line"
            if word != "allow"
            else "write 'denylist'",
        )
    elif policy.kind == "denylist" and not actions.runs(policy.default):
        yield Found(
            policy.where,
            f"'denylist {word}' denies every call that no line names: it is an allowlist",
            f"write 'allowlist {word}', and the answer on each line",
        )


def success(subject: Subject) -> Iterator[Found]:
    """A default that reports success for what was not done."""
    if subject.policy.default == actions.ERRNO:
        yield Found(
            subject.policy.where,
            "'errno 0' tells the caller of every call without a rule that it succeeded, and nothing was done",
            "'errno ENOSYS' lets programs do without the call",
        )
