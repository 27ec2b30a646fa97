"""minilxc top: what the containers that run use, again and again."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import termios
import time
import tty
from typing import TYPE_CHECKING, NamedTuple

from minilxc.cli import common, options
from minilxc.container import list_containers
from minilxc.errors import MinilxcError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.table import Table

    from minilxc.monitor.facts import Statistics

DELAY = options.Option("d", "delay", "SECONDS", "time between two looks (default: 3)")
BATCH = options.Option("b", "batch", "", "print lines of values, separated by commas, again and again")
SORT = options.Option(
    "s",
    "sort",
    "LETTER",
    "by name (n), processor (c), disk (b), memory (m), with swap (s), or the kernel's (k)",
)
REVERSE = options.Option(
    "r", "reverse", "", "the other way round: names backwards, the smallest number first"
)
COMMAND = options.Command(
    "top",
    "show what the containers that run use, again and again",
    (options.PATH, DELAY, SORT, REVERSE, BATCH, options.JSON),
)
_DELAY = "3"
_SECOND = 1_000_000_000  # in nanoseconds
_TICK = _SECOND // os.sysconf("SC_CLK_TCK")
_NONE = "-"


class _Use(NamedTuple):
    """What one container has used, and which part of a processor it has used since the look before."""

    name: str
    all: Statistics
    percent: float | None = None

    def disk(self) -> int:
        return (self.all.read or 0) + (self.all.written or 0)

    def with_swap(self) -> int:
        return (self.all.memory or 0) + (self.all.swap or 0)


# By letter, as lxc-top has them: what to sort by. Numbers come the largest first.
_KEYS: dict[str, Callable[[_Use], int]] = {
    "c": lambda use: use.all.cpu or 0,
    "b": _Use.disk,
    "m": lambda use: use.all.memory or 0,
    "s": _Use.with_swap,
    "k": lambda use: use.all.kernel_memory or 0,
}
_TITLES = ("NAME", "CPU%", "CPU", "SYSTEM", "USER", "READ", "WRITTEN", "MEMORY", "SWAP", "KERNEL")
_BATCH_TITLES = (
    "time_ms,container,cpu_nanos,cpu_sys_userhz,cpu_user_userhz,blkio_bytes,blkio_iops,"
    "mem_used_bytes,memsw_used_bytes,kernel_mem_used_bytes"
)


def run(words: Sequence[str]) -> int:
    """Show the table until `q` is pressed; once where the output is no terminal."""
    return common.run(COMMAND, words, _run)


def _run(given: options.Given) -> int:
    delay = common.seconds(given.get(DELAY) or _DELAY, DELAY, COMMAND)
    if delay <= 0:
        raise UsageError("-d takes a number above 0", hint=COMMAND.usage())
    order = given.get(SORT) or "n"
    if order != "n" and order not in _KEYS:
        raise UsageError(f"cannot sort by '{order}'", hint=f"there are n, {', '.join(_KEYS)}")
    backwards = REVERSE in given
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the terminal is to be left as it was
    looks = _Looks(common.path(given))
    if options.JSON in given:
        uses = _sorted(looks.look(), order, backwards)
        print(json.dumps([{"name": use.name, **use.all._asdict()} for use in uses], indent=2))
    elif BATCH in given:
        print(_BATCH_TITLES, flush=True)
        while True:
            _print_batch(_sorted(looks.look(), order, backwards))
            time.sleep(delay)
    elif not os.isatty(1):
        uses = _sorted(looks.look(), order, backwards)
        print(common.table([_TITLES, *map(_cells, uses), _total(uses)]))
    else:
        _live(looks, delay, order, backwards)
    return 0


class _Looks:
    """Looks at all containers that run; each knows what the one before saw."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._before: dict[str, tuple[float, int]] = {}

    def look(self) -> list[_Use]:
        found = []
        now: dict[str, tuple[float, int]] = {}
        for container in list_containers(self._path, defined=False):
            try:
                used = container.statistics()
            except MinilxcError:
                continue  # it has just ended, or is only starting
            moment = time.monotonic()
            percent = None
            if used.cpu is not None:
                now[container.name] = (moment, used.cpu)
                if container.name in self._before:
                    then, before = self._before[container.name]
                    percent = max(used.cpu - before, 0) / (moment - then) / _SECOND * 100
            found.append(_Use(container.name, used, percent))
        self._before = now
        return found


def _sorted(uses: list[_Use], order: str, backwards: bool) -> list[_Use]:
    uses = sorted(uses, key=lambda use: use.name, reverse=backwards and order == "n")
    return uses if order == "n" else sorted(uses, key=_KEYS[order], reverse=not backwards)


# As text


def _cells(use: _Use) -> tuple[str, ...]:
    def seconds(number: int | None) -> str:
        return _NONE if number is None else f"{number / _SECOND:.2f}"

    def size(number: int | None) -> str:
        return _NONE if number is None else common.size(number)

    used = use.all
    return (
        use.name,
        _NONE if use.percent is None else f"{use.percent:.1f}",
        *map(seconds, (used.cpu, used.cpu_system, used.cpu_user)),
        *map(size, (used.read, used.written, used.memory, used.swap, used.kernel_memory)),
    )


def _total(uses: Sequence[_Use]) -> tuple[str, ...]:
    from minilxc.monitor.facts import Statistics

    def add(numbers: Sequence[int | None]) -> int | None:
        known = [number for number in numbers if number is not None]
        return sum(known) if known else None

    columns = zip(*(use.all for use in uses), strict=True)
    percents = [use.percent for use in uses if use.percent is not None]
    whole = Statistics(*map(add, columns)) if uses else Statistics()
    return _cells(_Use(f"TOTAL {len(uses)}", whole, sum(percents) if percents else None))


def _print_batch(uses: Sequence[_Use]) -> None:
    """A line for each container, as lxc-top writes it."""
    now = time.time_ns() // 1_000_000
    for use in uses:
        used = use.all
        numbers = (
            used.cpu or 0,
            (used.cpu_system or 0) // _TICK,
            (used.cpu_user or 0) // _TICK,
            use.disk(),
            used.operations or 0,
            used.memory or 0,
            use.with_swap(),
            used.kernel_memory or 0,
        )
        print(now, use.name, *numbers, sep=",")
    sys.stdout.flush()


# On a terminal


def _live(looks: _Looks, delay: float, order: str, backwards: bool) -> None:
    """Show the table until `q` is pressed; the letters of the orders choose one, a second time turn it round."""
    try:
        from rich.live import Live
    except ImportError:
        raise MinilxcError(
            "the live table needs the Python library rich",
            hint="pip install 'minilxc[top]'; or -b, which does not",
        ) from None
    keys = _Keys()
    try:
        with Live(screen=True, auto_refresh=False) as live:
            uses = looks.look()
            due = time.monotonic() + delay
            while True:
                live.update(_table(_sorted(uses, order, backwards), order), refresh=True)
                key = keys.wait(max(due - time.monotonic(), 0.0))
                if key == "q":
                    return
                if key == order:
                    backwards = not backwards
                elif key == "n" or key in _KEYS:
                    order, backwards = key, False
                elif not key:
                    uses = looks.look()
                    due = time.monotonic() + delay
    finally:
        keys.close()


class _Keys:
    """What is pressed on the keyboard, a key at a time; nothing ever where standard input is no terminal."""

    def __init__(self) -> None:
        self._saved = termios.tcgetattr(0) if os.isatty(0) else None
        if self._saved is not None:
            tty.setcbreak(0)

    def wait(self, seconds: float) -> str:
        """The next key; "" when none is pressed in time."""
        if self._saved is None:
            time.sleep(seconds)
            return ""
        if not select.select([0], [], [], seconds)[0]:
            return ""
        return os.read(0, 1).decode(errors="replace") or "q"

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)


def _table(uses: Sequence[_Use], order: str) -> Table:
    from rich.table import Table

    sorted_by = {"n": "NAME", "c": "CPU", "b": "READ", "m": "MEMORY", "s": "SWAP", "k": "KERNEL"}[order]
    table = Table(box=None, header_style="reverse", show_footer=True, footer_style="bold", expand=True)
    for title, total in zip(_TITLES, _total(uses), strict=True):
        table.add_column(
            title + ("*" if title == sorted_by else ""),
            footer=total,
            justify="left" if title == "NAME" else "right",
            no_wrap=True,
        )
    for use in uses:
        table.add_row(*_cells(use))
    return table
