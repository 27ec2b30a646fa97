"""Rules that somebody outside has to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import actions
from .subject import Found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .subject import Subject


def listener(subject: Subject) -> Iterator[Found]:
    """The first rule that answers `notify`."""
    for line in subject.policy.lines:
        if line.action == actions.NOTIFY:
            yield Found(
                line.where,
                "'notify' needs somebody who answers: without lxc.seccomp.notify.proxy in the config, a start"
                " with this policy is refused",
            )
            return
