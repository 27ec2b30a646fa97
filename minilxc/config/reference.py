"""The reference of the keys, made of the table: docs/reference/config.md and the manual page.

`python3 -m minilxc.config.reference` in a checkout writes both; a test compares them with the table.
"""

from __future__ import annotations

import ast
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING

from minilxc.config import values
from minilxc.config.keys import (
    ACCEPTED,
    ACTS,
    GROUPS,
    KEYS,
    LATER,
    NETWORK,
    NO_VALUE,
    REFUSED,
    TABLE,
    Key,
)
from minilxc.config.notes import NOTES
from minilxc.linux.names import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

FILES = ("docs/reference/config.md", "docs/man/minilxc.container.conf.md")
"""The generated files, below the checkout; `page` and `manual` give their content."""

TITLES = {
    "config": "The config itself",
    "rootfs": "Root file system",
    "init": "The program and its environment",
    "credentials": "Credentials",
    "seccomp": "Seccomp",
    "idmap": "Id maps",
    "namespaces": "Namespaces",
    "mounts": "Mounts",
    "devices": "Devices",
    "terminal": "Terminals",
    "network": "Network",
    "cgroups": "Control groups",
    "limits": "Limits and settings of the kernel",
    "hooks": "Hooks",
    "monitor": "The container's life",
    "log": "The log",
}
"""The subsystems of the rows, in the order of the reference, and what it calls them."""

_SYNTAX = """\
A config is lines of the form `KEY = VALUE`, read once from top to bottom. Blanks around the key, the `=` and the
value do not count. A line whose first character is `#` is a comment; a `#` further on is a part of the value. One
pair of quotes around the whole value is taken off. A line ends at LF, CR or CRLF, and never goes on on the next.

An empty value takes the key back: what stands before it is forgotten, and the default is in force again (exceptions
stand with their keys). Of a repeated line the last one counts, or, where the key says so, all of them do. Lines that
begin neither with `lxc.` nor with `minilxc.` are ignored, with a warning of `minilxc checkconfig`. Keys that begin
with `minilxc.` are minilxc's own; LXC ignores them.

In the names, I stands for the number of an interface, and NAME, CTRL.FILE, FILE, KEY and NS for what you put there.
`minilxc config list` shows what is in force in a config, `minilxc config --upgrade` gives a config of before LXC 3.0
today's names."""

_COMPARED = "What is said of LXC is true of LXC 5.0.2."

_GENERATED = (
    "<!-- Made by minilxc/config/reference.py from minilxc/config/keys.py; changes here are lost. -->"
)


def matching(pattern: str | None) -> tuple[Key, ...]:
    """The rows whose name, today's or old, has `pattern` in it, or matches it where it has `*`, `?` or `[`.

    The row itself for a name as it stands in a config, such as lxc.net.0.link or lxc.prlimit.nofile.
    """
    if pattern is None:
        return TABLE
    shell = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    found = tuple(key for key in TABLE if any(fnmatchcase(name, shell) for name in (key.name, *key.old)))
    row = row_of(pattern)
    return found or ((row,) if row else ())


def row_of(name: str) -> Key | None:
    """The row of a key as a config has it, None for one that there is not."""
    if name in KEYS:
        return KEYS[name]
    words = name.split(".")
    if words[:2] == ["lxc", "net"] and len(words) > 3 and words[2].isdecimal():
        return NETWORK.get(".".join(words[3:]))
    for depth in (2, 3):
        if len(words) > depth and (group := GROUPS.get(".".join(words[:depth]))):
            return group
    return None


def as_data(key: Key) -> dict[str, Any]:
    """A row as plain values, for JSON."""
    note = NOTES[key.name]
    return {
        "name": key.name,
        "subsystem": key.subsystem,
        "help": key.help,
        "type": type_text(key),
        "default": default_text(key),
        "repeats": key.many,
        "empty": empty_text(key),
        "support": key.support,
        "reason": key.why,
        "since": key.since,
        "old": list(key.old),
        "example": example(key),
        "needs": note.needs,
        "differs": note.differs,
    }


def type_text(key: Key) -> str:
    """What values a key takes, a sentence: the first line of the docstring of its value type."""
    text = key.parse.__doc__ or _docstrings().get(getattr(key.parse, "__name__", "")) or ""
    return text.partition("\n")[0]


@cache
def _docstrings() -> dict[str, str | None]:
    """The docstrings of the value types, from their source: modules of the bundle have none (see minilxc.bundle)."""
    with open(values.__file__, encoding="utf-8") as file:
        module = ast.parse(file.read())
    return {node.name: ast.get_docstring(node) for node in module.body if isinstance(node, ast.FunctionDef)}


def default_text(key: Key) -> str | None:
    """The value that is in force without a line, as a config has it; None when there is none."""
    value = key.default
    if value is None or value == ():
        return None
    if isinstance(value, bool):
        return str(int(value))
    if key.parse in (values.signal, values.signal_or_none):
        return next(name for name, number in SIGNALS.items() if number == value)
    if key.parse is values.time_offset:
        return f"{value}s"
    return " ".join(value) if isinstance(value, tuple) else str(value)


def empty_text(key: Key) -> str:
    """What an empty value means, a phrase."""
    if key.name == "lxc.include":
        return "no effect"
    if key.empty is not None:
        return "an error" if key.empty == NO_VALUE else f"means {key.empty}"
    if len(key.clears) > 2:
        return "takes back all hooks"
    return "takes back " + (" and ".join(key.clears) or ("all lines" if key.many else "the line"))


def example(key: Key) -> str:
    """A line of a config with the key."""
    name = key.name.replace(".I.", ".0.")
    for placeholder, word in _EXAMPLES:
        name = name.replace(placeholder, word) if name.endswith(placeholder) else name
    return f"{name} = {key.example}".rstrip()


_EXAMPLES = (
    ("cgroup.CTRL.FILE", "cgroup.memory.limit_in_bytes"),
    ("cgroup2.CTRL.FILE", "cgroup2.memory.max"),
    ("prlimit.NAME", "prlimit.nofile"),
    ("sysctl.KEY", "sysctl.net.ipv4.ip_forward"),
    ("proc.FILE", "proc.oom_score_adj"),
    ("share.NS", "share.net"),
)


def support_text(key: Key) -> str:
    """Whether minilxc acts on a key, a phrase."""
    if key.support == ACTS:
        return "acts, but for values that are refused by name" if key.not_yet else "acts"
    harmless = key.harmless or (() if key.default in (None, ()) else (key.default,))
    words = ", ".join(f"`{int(value) if isinstance(value, bool) else value}`" for value in harmless)
    if key.support == ACCEPTED:
        return f"accepted without effect: {key.why}"
    but = f" ({words} {'are' if len(harmless) > 1 else 'is'} fine)" if words else ""
    if key.support == LATER:
        return f"not supported yet, and refused{but}"
    assert key.support == REFUSED
    return f"refused{but}: {key.why}"


def _sections() -> Iterator[tuple[str, Sequence[Key]]]:
    for subsystem, title in TITLES.items():
        yield title, [key for key in TABLE if key.subsystem == subsystem]


def facts(key: Key) -> Iterator[tuple[str, str]]:
    """The facts about a key for a reader, as (what, sentence or phrase)."""
    yield "Value", type_text(key)
    default = default_text(key)
    yield "Default", "none" if default is None else f"`{default}`"
    every = key.many or key.name == "lxc.include"
    yield "Repeated", "all lines count" if every else "the last line counts"
    if key.empty is not None or len(key.clears) > 1 or key.name == "lxc.include":
        yield "Empty value", empty_text(key)
    yield "minilxc", support_text(key)
    note = NOTES[key.name]
    if note.needs:
        yield "Needs", note.needs
    if note.differs:
        yield "Beside LXC", note.differs
    yield "Since", key.since if key.since.startswith("minilxc") else f"LXC {key.since}"
    if key.old:
        yield "Before LXC 3.0", ", ".join(f"`{name}`" for name in key.old)


def page() -> str:
    """docs/reference/config.md."""
    parts = [f"# The keys of a config\n\n{_GENERATED}\n\n{_SYNTAX}\n\n{_COMPARED}\n"]
    for title, rows in _sections():
        parts.append(f"## {title}\n")
        for key in rows:
            rest = "\n".join(f"- **{what}:** {_marked(text)}" for what, text in facts(key))
            parts.append(f"### {key.name}\n\n{_marked(key.help)}\n\n    {example(key)}\n\n{rest}\n")
    return "\n".join(parts)


def manual() -> str:
    """docs/man/minilxc.container.conf.md."""
    parts = [f"# minilxc.container.conf\n\n{_GENERATED}\n\n## DESCRIPTION\n\n{_SYNTAX}\n\n{_COMPARED}\n"]
    for title, rows in _sections():
        parts.append(f"## {title.upper()}\n")
        for key in rows:
            rest = "\n\n".join(f"  {what}: {_marked(text)}" for what, text in facts(key))
            parts.append(f"**{key.name}**\n: {_marked(key.help)}\n\n      {example(key)}\n\n{rest}\n")
    parts.append(
        "## SEE ALSO\n\nminilxc(1), minilxc-keys(1), minilxc-config(1), minilxc-checkconfig(1), "
        "lxc.container.conf(5)\n"
    )
    return "\n".join(parts)


def _marked(text: str) -> str:
    """`text` for Markdown: what stands between backticks is left alone, the rest means nothing."""
    pieces = text.split("`")
    pieces[::2] = [_escaped(piece) for piece in pieces[::2]]
    return "`".join(pieces)


def _escaped(text: str) -> str:
    for character in "\\*_[]<>":
        text = text.replace(character, f"\\{character}")
    return text


if __name__ == "__main__":
    from pathlib import Path

    checkout = Path(__file__).resolve().parents[2]
    for name, content in zip(FILES, (page(), manual()), strict=True):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text(content)
