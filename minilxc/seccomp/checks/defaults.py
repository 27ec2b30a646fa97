"""The line that sets the default, and the rules that repeat it."""

from __future__ import annotations

import errno
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


def newer(subject: Subject) -> Iterator[Found]:
    """An answer to newer calls that leaves programs no older call to fall back on, or asks nobody."""
    said = subject.newer
    if said is None or said.errno_name == "ENOSYS" or said.action == actions.ERRNO + errno.ENOSYS:
        return
    if actions.runs(said.action):
        why = "lets every call through that is newer than this allowlist, whatever it does"
    elif said.action == actions.ERRNO:
        why = "tells the caller of a newer call that it succeeded, and nothing was done"
    elif said.action == actions.NOTIFY:
        why = "leaves calls that nobody had heard of to whoever answers lxc.seccomp.notify.proxy"
    elif said.action & 0xFFFF0000 == actions.ERRNO:
        why = "is no reason for a C library to use an older call instead of a newer one"
    else:
        why = "ends programs that try a newer call, instead of sending them to an older one"
    word = f"errno {said.errno_name}" if said.errno_name else actions.word(said.action)
    yield Found(subject.policy.where, f"{said.where}: '{word}' {why}", "'errno ENOSYS' does")


def success(subject: Subject) -> Iterator[Found]:
    """A default that reports success for what was not done."""
    if subject.policy.default == actions.ERRNO:
        yield Found(
            subject.policy.where,
            "'errno 0' tells the caller of every call without a rule that it succeeded, and nothing was done",
            "'errno ENOSYS' lets programs do without the call",
        )
