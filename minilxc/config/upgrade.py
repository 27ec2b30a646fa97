"""A config of before LXC 3.0 with today's names: nothing but the names of keys is changed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from minilxc.config.legacy import DROPPED
from minilxc.config.parse import Config
from minilxc.linux.files import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

# As the parser has it: LF, CR and CRLF end a line.
_LINE = re.compile(rb"([^\r\n]*)(\r\n|\r|\n|\Z)")
_KEY = re.compile(rb"[ \t]*([^= \t]+)")


class Upgrade(NamedTuple):
    """The new bytes of a config, the names that changed (where, old, new), and doubts (where, text)."""

    text: bytes
    renamed: tuple[tuple[str, str, str], ...]
    doubts: tuple[tuple[str, str], ...]


def upgrade(text: bytes, name: str) -> Upgrade:
    """The config `text` of the file `name` with today's names. Raises ConfigError for a line that is wrong.

    A wrong config stays as it is: which interface an `lxc.network.KEY` belongs to depends on the lines before it.
    """
    # An included file has places of its own; one that this file includes by its own name would be a cycle.
    renamed = {where: (old, new) for where, old, new in Config.old_names(text, name)}
    pieces: list[bytes] = []
    done: list[tuple[str, str, str]] = []
    for where, line, end in lines(text, name):
        if where in renamed:
            old, new = renamed[where]
            pieces.append(line.replace(encode(old), encode(new), 1))
            done.append((where, old, new))
        else:
            pieces.append(line)
        pieces.append(end)
    return Upgrade(b"".join(pieces), tuple(done), tuple(_doubts(text, name)))


def lines(text: bytes, name: str) -> Iterator[tuple[str, bytes, bytes]]:
    """The lines of a config: place, content, line end."""
    for number, match in enumerate(_LINE.finditer(text), 1):
        yield f"{name}:{number}", match[1], match[2]


def _doubts(text: bytes, name: str) -> Iterator[tuple[str, str]]:
    """What has no name today."""
    for where, line, _ in lines(text, name):
        found = _KEY.match(line)
        key = decode(found[1]) if found else ""
        if key in DROPPED:
            yield where, f"{key}: LXC 3.0 dropped it; {DROPPED[key]}"
