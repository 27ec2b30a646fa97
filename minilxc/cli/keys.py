"""minilxc keys: what the keys of a config mean, from the table."""

from __future__ import annotations

import json
import shutil
import textwrap
from typing import TYPE_CHECKING

from minilxc.cli import options
from minilxc.config import reference
from minilxc.config.keys import TABLE
from minilxc.errors import MinilxcError, UsageError, suggestion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minilxc.config.keys import Key

COMMAND = options.Command(
    "keys", "explain the keys of a config", (options.JSON,), words="[PATTERN]", common=options.ABOUT
)
_WIDEST = 100


def run(words: Sequence[str]) -> int:
    """Print the keys that match, a line each; everything about the key when it is but one."""
    given = options.read(COMMAND, words)
    if options.show_about(COMMAND, given):
        return 0
    if len(given.words) > 1:
        raise UsageError(f"unexpected word '{given.words[1]}'", hint=COMMAND.usage())
    pattern = given.words[0] if given.words else None
    found = reference.matching(pattern)
    if not found:
        names = [name for key in TABLE for name in (key.name, *key.old)]
        raise MinilxcError(f"no key matches '{pattern}'", hint=suggestion(pattern or "", names))
    # A whole name means that key, whatever else begins with it.
    found = tuple(key for key in found if key.name == pattern) or found
    if options.JSON in given:
        print(json.dumps([reference.as_data(key) for key in found], indent=2))
    elif len(found) == 1:
        _explain(found[0])
    else:
        for key in found:
            print(
                f"{key.name:32} {reference.support_text(key).partition(':')[0]:28} {reference.example(key)}"
            )
    return 0


def _explain(key: Key) -> None:
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    print(key.name)
    print(textwrap.fill(key.help, width, initial_indent="  ", subsequent_indent="  "))
    print(f"\n  {reference.example(key)}\n")
    for what, text in reference.facts(key):
        lead = f"  {what + ':':16} "
        print(textwrap.fill(text, width, initial_indent=lead, subsequent_indent=" " * len(lead)))
