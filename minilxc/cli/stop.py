"""minilxc stop: end a container, or have it start again."""

from __future__ import annotations

from minilxc.cli import common, options
from minilxc.errors import MinilxcError, UsageError
from minilxc.monitor.client import NotRunning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

REBOOT = options.Option("r", "reboot", "", "have it start again: send init lxc.signal.reboot")
NO_WAIT = options.Option("W", "nowait", "", "send the signal, and do not wait")
TIMEOUT = options.Option(
    "t", "timeout", "SECONDS", "how long to wait before it is ended (default: 60; -1: for ever)"
)
KILL = options.Option("k", "kill", "", "end it at once: send init lxc.signal.stop")
NO_LOCK = options.Option("", "nolock", "", "accepted; there is no lock to wait for")
NO_KILL = options.Option("", "nokill", "", "only ask it to end, and do not end it after that time")
COMMAND = options.Command(
    "stop",
    "end a container",
    (*common.ONE, REBOOT, NO_WAIT, TIMEOUT, KILL, NO_LOCK, NO_KILL),
    words=common.NAMED,
)
_NOT_RUNNING = 2
_SECONDS = 60.0
_FOR_EVER = 10.0**9


def run(words: Sequence[str]) -> int:
    """0 when it has ended, or started again; 1 when it has not in time; 2 when it was not running."""
    return common.run(COMMAND, words, _run)


def _run(given: options.Given) -> int:
    found = common.only_container(COMMAND, given)
    if KILL in given and (REBOOT in given or NO_KILL in given):
        other = REBOOT if REBOOT in given else NO_KILL
        raise UsageError(f"--kill and --{other.long} exclude each other", hint=COMMAND.usage())
    timeout = _seconds(given)
    try:
        if REBOOT in given:
            done = found.reboot(None if NO_WAIT in given else timeout)
            failure = f"has not started again within {timeout:g} seconds"
        elif NO_WAIT in given:
            found.ask_to_stop(kill=KILL in given)
            return 0
        else:
            done = found.stop(timeout, kill=KILL in given, then_kill=NO_KILL not in given)
            failure = f"has not ended within {timeout:g} seconds"
    except NotRunning as error:
        error.status = _NOT_RUNNING
        raise
    if not done:
        raise MinilxcError(failure, found.name)
    return 0


def _seconds(given: options.Given) -> float:
    text = given.get(TIMEOUT)
    if text is None:
        return _SECONDS
    seconds = common.seconds(text, TIMEOUT, COMMAND)
    if seconds < 0 and seconds != -1:
        raise UsageError(f"-t: '{text}' is no time to wait", hint=COMMAND.usage())
    return min(seconds, _FOR_EVER) if seconds >= 0 else _FOR_EVER
