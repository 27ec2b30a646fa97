"""minilxc wait: wait until a container has come to a state."""

from __future__ import annotations

from minilxc.cli import common, options
from minilxc.container import STATES
from minilxc.errors import SHORT, UsageError, suggestion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

STATE = options.Option("s", "state", "STATE[|STATE]...", f"states to wait for: {', '.join(STATES)}")
TIMEOUT = options.Option("t", "timeout", "SECONDS", "how long at most (default: for ever); 0 looks once")
COMMAND = options.Command(
    "wait", "wait until a container has come to a state", (*common.ONE, STATE, TIMEOUT), words=common.NAMED
)


def run(words: Sequence[str]) -> int:
    """Wait. 1 when the time is over."""
    return common.run(COMMAND, words, _run)


def _run(given: options.Given) -> int:
    container = common.only_container(COMMAND, given)
    text = given.get(STATE)
    if text is None:
        raise UsageError("which state? (-s STATE)", hint=COMMAND.usage())
    states = [word.strip() for word in text.split("|")]
    for state in states:
        if state not in STATES:
            hint = suggestion(state.upper(), STATES, SHORT) or f"there are {', '.join(STATES)}"
            raise UsageError(f"unknown state '{state}'", hint=hint)
    timeout = given.get(TIMEOUT)
    limit = None if timeout is None else common.seconds(timeout, TIMEOUT, COMMAND)
    if limit is not None and limit < 0:
        limit = None  # as LXC has it
    return 0 if container.wait(*states, timeout=limit) else 1
