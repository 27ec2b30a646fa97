"""minilxc console: the caller's terminal becomes one of the container's."""

from __future__ import annotations

import posix
import sys

from minilxc.cli import common, options
from minilxc.errors import MinilxcError, UsageError
from minilxc.linux.terminal import open_peer
from minilxc.monitor import client, session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

TTY = options.Option(
    "t", "tty", "N", "the tty: 1 to lxc.tty.max, or 0 for the console (default: the first that is free)"
)
ESCAPE = options.Option("e", "escape", "CHAR", "what is typed, with Ctrl, before q to leave (default: a)")
COMMAND = options.Command(
    "console",
    "connect to a terminal of a container",
    (*common.ONE, TTY, ESCAPE),
    words=common.NAMED,
)


def run(words: Sequence[str]) -> int:
    """0 when the user has left, or the container has ended; 128 + N when signal N has ended it."""
    return common.run(COMMAND, words, _run)


def _run(given: options.Given) -> int:
    found = common.only_container(COMMAND, given)
    tty = given.get(TTY)
    if tty is not None and not (tty.isascii() and tty.isdecimal()):
        if tty != "-1":  # LXC's way to write: any
            raise UsageError(f"--tty: '{tty}' is no number of a tty")
        tty = None
    escape = _escape(given.get(ESCAPE) or "a")
    with client.demand(found.path, found.name) as connection:
        (number,), (master,) = connection.ask("terminal", *(() if tty is None else (tty,)))
        if sys.stdin.isatty() and options.QUIET not in given:
            letter = chr(escape + 0x60)
            what = "the console" if number == "0" else f"tty {number}"
            keys = f"Ctrl+{letter} q leaves, Ctrl+{letter} Ctrl+{letter} is Ctrl+{letter}"
            print(f"Connected to {what} of {found.name}: {keys}.", file=sys.stderr)
        if number != "0":
            # Held open at the other end, too: else there would be an end whenever nobody inside has it open.
            open_peer(master)

        def resized(size: int) -> None:
            try:
                connection.ask("resize", str(size))
            except MinilxcError:
                pass  # it has ended, which is seen elsewhere

        def begin() -> session.Carrier:
            peer = session.callers_peer((0, 1))
            return session.Carrier(master, peer, escape=escape, resized=resized if number == "0" else None)

        signal = session.stay(connection.fileno(), begin=begin)
        posix.close(master)
    return 0 if signal is None else 128 + signal


def _escape(word: str) -> int:
    letter = word[1:] if word.startswith("^") else word
    if len(letter) != 1 or not (letter.isascii() and letter.isalpha()):
        raise UsageError(f"--escape: '{word}' is no letter", hint="-e a, or -e ^a")
    return ord(letter.lower()) & 0x1F
