"""minilxc ls: list containers."""

from __future__ import annotations

import json
import os
import re
import sys
from functools import cached_property

from minilxc.cli import common, options
from minilxc.container import STATES, Container, list_containers
from minilxc.errors import SHORT, MinilxcError, UsageError, suggestion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from minilxc.container import Info
    from minilxc.monitor.facts import Statistics
    from minilxc.monitor.nested import Nested

LINE = options.Option("1", "line", "", "one name a line, as where the output is no terminal")
FANCY = options.Option("f", "fancy", "", "a table")
FORMAT = options.Option("F", "fancy-format", "COLUMN[,COLUMN]...", "a table of these columns")
ACTIVE = options.Option("", "active", "", "those that run, frozen ones too")
RUNNING = options.Option("", "running", "", "the same")
FROZEN = options.Option("", "frozen", "", "those that are frozen")
STOPPED = options.Option("", "stopped", "", "those that do not run")
DEFINED = options.Option("", "defined", "", "those that have a config")
NESTING = options.Option(
    "", "nesting", "DEPTH", "also those inside of them, DEPTH levels deep (default: 5)", optional=True
)
FILTER = options.Option("", "filter", "REGEX", "those in whose name the regular expression is found")
GROUPS = options.Option(
    "g", "groups", "GROUP[,GROUP]...", "those that are in all of these groups (lxc.group)", many=True
)
COMMAND = options.Command(
    "ls",
    "list containers",
    (
        options.PATH,
        LINE,
        FANCY,
        FORMAT,
        ACTIVE,
        RUNNING,
        FROZEN,
        STOPPED,
        DEFINED,
        GROUPS,
        FILTER,
        NESTING,
        options.JSON,
    ),
    words="[REGEX]",
)
_STOPPED = STATES[0]
_FREEZING = ("FREEZING", "FROZEN")
_DEPTH = 5
_NONE = "-"
_GAP = 2
_MIB = 1024 * 1024


class _Row:
    """A container of the list. What is told of it is found out once, and when it is wanted."""

    def __init__(self, container: Container, info: Info) -> None:
        self.container = container
        self.state = info.state
        self.pid = info.pid
        self.defined = container.defined
        self.path: tuple[str, ...] = (container.name,)

    @property
    def name(self) -> str:
        return "/".join(self.path)

    @cached_property
    def config(self) -> list[tuple[str, str]]:
        """The lines of its config that are in force, as far as it can be read."""
        from minilxc.config.parse import Config

        try:
            lines = self.container.config.lines()
        except MinilxcError:
            lines = list(Config.examine(self.container.config_file)[0].lines())
        return [(key, value) for key, value, _ in lines]

    @property
    def groups(self) -> list[str]:
        return [word for key, value in self.config if key == "lxc.group" for word in value.split()]

    @property
    def autostart(self) -> bool:
        return any(key == "lxc.start.auto" and value.strip() not in ("", "0") for key, value in self.config)

    @property
    def unprivileged(self) -> bool:
        return any(key == "lxc.idmap" for key, _ in self.config)

    def _asked(self, ask: Callable[[Container], list[str]]) -> list[str]:
        try:
            return ask(self.container) if self.pid is not None else []
        except MinilxcError:
            return []  # it has just ended

    @cached_property
    def ips(self) -> list[str]:
        return self._asked(Container.ips)

    @property
    def interfaces(self) -> list[str]:
        return self._asked(Container.interfaces)

    @cached_property
    def statistics(self) -> Statistics | None:
        try:
            return self.container.statistics() if self.pid is not None else None
        except MinilxcError:
            return None

    def document(self) -> dict[str, object]:
        """All of it, for programs."""
        return {
            "name": self.name,
            "state": self.state,
            "pid": self.pid,
            "defined": self.defined,
            "memory": self.statistics.memory if self.statistics else None,
            "swap": self.statistics.swap if self.statistics else None,
            "autostart": self.autostart,
            "groups": self.groups,
            "interfaces": self.interfaces,
            "ips": self.ips,
            "unprivileged": self.unprivileged,
        }


class _Inner(_Row):
    """A container inside of another, of which no more is known than this."""

    KNOWN = ("NAME", "STATE", "PID")

    def __init__(self, outer: Container, found: Nested) -> None:
        self.container = outer
        self.path, self.state, self.pid = found

    def document(self) -> dict[str, object]:
        return {"name": self.name, "state": self.state, "pid": self.pid}


def _size(row: _Row, what: str) -> str:
    number = getattr(row.statistics, what) if row.statistics else None
    return _NONE if number is None else f"{number / _MIB:.2f}MB"


_COLUMNS: dict[str, Callable[[_Row], str]] = {
    "NAME": lambda row: row.name,
    "STATE": lambda row: row.state,
    "PID": lambda row: str(row.pid or _NONE),
    "RAM": lambda row: _size(row, "memory"),
    "SWAP": lambda row: _size(row, "swap"),
    "AUTOSTART": lambda row: str(int(row.autostart)),
    "GROUPS": lambda row: ", ".join(row.groups) or _NONE,
    "INTERFACE": lambda row: ", ".join(row.interfaces) or _NONE,
    "IPV4": lambda row: ", ".join(ip for ip in row.ips if ":" not in ip) or _NONE,
    "IPV6": lambda row: ", ".join(ip for ip in row.ips if ":" in ip) or _NONE,
    "UNPRIVILEGED": lambda row: "true" if row.unprivileged else "false",
}
_DEFAULT = ("NAME", "STATE", "AUTOSTART", "GROUPS", "IPV4", "IPV6", "UNPRIVILEGED")


def run(words: Sequence[str]) -> int:
    """Print the containers. 1 when one cannot be asked."""
    return common.run(COMMAND, words, _run)


def _run(given: options.Given) -> int:
    columns = _columns(given)
    patterns = _patterns(given)
    depth = _depth(given)
    rows: list[_Row] = []
    status = 0
    for container in list_containers(common.path(given)):
        try:
            row = _Row(container, container.info())
            if all(pattern.search(row.name) for pattern in patterns) and _chosen(row, given):
                rows.append(row)
                if depth and row.pid is not None:
                    rows += [_Inner(container, found) for found in container.nested(depth)]
        except MinilxcError as error:
            common.tell(str(error), given)
            status = 1
    _print(rows, columns, given)
    return status


def _chosen(row: _Row, given: options.Given) -> bool:
    """Whether the options want it; several of them all apply."""
    wanted = {word for text in given.all(GROUPS) for word in text.split(",") if word}
    runs = row.state != _STOPPED
    return (
        (runs or not (ACTIVE in given or RUNNING in given))
        and (row.state in _FREEZING or FROZEN not in given)
        and (not runs or STOPPED not in given)
        and (row.defined or DEFINED not in given)
        and (not wanted or wanted.issubset(row.groups))
    )


def _patterns(given: options.Given) -> list[re.Pattern[str]]:
    texts = given.all(FILTER)[-1:] + given.words
    if len(texts) > 1:
        raise UsageError(f"unexpected word '{texts[1]}'", hint=COMMAND.usage())
    try:
        return [re.compile(text) for text in texts]
    except re.error as error:
        raise UsageError(f"'{texts[0]}' is no regular expression: {error}") from None


def _depth(given: options.Given) -> int:
    if NESTING not in given:
        return 0
    text = given.get(NESTING) or str(_DEPTH)
    if not text.isdecimal():
        raise UsageError(f"--nesting takes a number, not '{text}'", hint=COMMAND.usage())
    return int(text)


def _columns(given: options.Given) -> tuple[str, ...]:
    """The columns of the table; none where no table is wanted."""
    text = given.get(FORMAT)
    if text is None:
        return _DEFAULT if FANCY in given else ()
    names = tuple(word.strip().upper() for word in text.split(","))
    for name in names:
        if name not in _COLUMNS:
            hint = suggestion(name, _COLUMNS, SHORT) or f"there are {', '.join(_COLUMNS)}"
            raise UsageError(f"unknown column '{name}'", hint=hint)
    return names


def _print(rows: list[_Row], columns: tuple[str, ...], given: options.Given) -> None:
    if options.JSON in given:
        print(json.dumps([row.document() for row in rows], indent=2))
    elif columns:
        print(common.table([columns, *([_cell(row, name) for name in columns] for row in rows)]))
    elif LINE in given or not os.isatty(1):
        for row in rows:
            print(row.name)
    else:
        for line in _side_by_side([row.name for row in rows], os.get_terminal_size(1).columns):
            print(line)
    sys.stdout.flush()


def _cell(row: _Row, column: str) -> str:
    known = not isinstance(row, _Inner) or column in row.KNOWN
    return _COLUMNS[column](row) if known else _NONE


def _side_by_side(names: Sequence[str], width: int) -> Iterator[str]:
    """Lines with as many names in each as go into `width`, in rows as LXC has them."""
    longest = max(map(len, names), default=0)
    many = max((width + _GAP) // (longest + _GAP), 1)
    for at in range(0, len(names), many):
        yield (" " * _GAP).join(f"{name:{longest}}" for name in names[at : at + many]).rstrip()
