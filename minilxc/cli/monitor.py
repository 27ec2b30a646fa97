"""minilxc monitor: tell the states that containers go through."""

from __future__ import annotations

import json
import re
import signal
import time

from minilxc.cli import common, options
from minilxc.errors import UsageError
from minilxc.monitor import watching

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = options.Option(
    "n", "name", "REGEX", "which containers: a name, or a regular expression for names (default: all)"
)
QUIT = options.Option("Q", "quit", "", "do nothing: there is no daemon that would have to quit")
LINES = options.Option("", "json", "", "a JSON document for each change, one a line")
PATH = options.Option(
    options.PATH.letter, options.PATH.long, options.PATH.value, options.PATH.help, many=True
)
COMMAND = options.Command(
    "monitor", "tell the states that containers go through", (NAME, PATH, QUIT, LINES), words="[-n REGEX]"
)


def run(words: Sequence[str]) -> int:
    """Print each change of a state, until somebody ends this."""
    return common.run(COMMAND, words, _run)


def _run(given: options.Given) -> int:
    words = [*given.all(NAME)[-1:], *given.words]
    if len(words) > 1:
        raise UsageError(f"unexpected word '{words[1]}'", hint=COMMAND.usage())
    if QUIT in given:
        return 0
    try:
        pattern = re.compile(words[0] if words else ".*")
    except re.error as error:
        raise UsageError(f"'{words[0]}' is no regular expression: {error}") from None
    signal.signal(signal.SIGINT, signal.default_int_handler)  # so that it ends with 130
    for path, name, state, status in watching.changes(
        given.all(PATH) or [common.path(given)], lambda name: bool(pattern.fullmatch(name))
    ):
        if LINES in given:
            fact = {"state": state} if status is None else {"exit_status": status}
            line = json.dumps({"time": round(time.time(), 3), "path": path, "name": name, **fact})
        elif status is not None:
            line = f"'{name}' exited with status [{status}]"
        else:
            line = f"'{name}' changed state to [{state}]"
        print(line, flush=True)
    return 0
