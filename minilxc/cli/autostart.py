"""minilxc autostart: start the containers that start at boot, several at a time; or stop or reboot them."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from minilxc.cli import common, options
from minilxc.container import Container, list_containers
from minilxc.errors import MinilxcError, UsageError, printable
from minilxc.log import NAMES
from minilxc.monitor.client import NotRunning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from minilxc.config.parse import Config

LIST = options.Option("L", "list", "", "print the containers and their delays, and do nothing")
REBOOT = options.Option("r", "reboot", "", "reboot those that run, instead of starting")
SHUTDOWN = options.Option("s", "shutdown", "", "stop those that run; what has not stopped in time is killed")
KILL = options.Option("k", "kill", "", "kill those that run")
ALL = options.Option("a", "all", "", "in whatever groups they are")
GROUPS = options.Option(
    "g",
    "groups",
    "GROUP[,GROUP]...",
    "those in these groups, in this order; an empty one is those in none",
    many=True,
)
IGNORE_AUTO = options.Option("A", "ignore-auto", "", "also those without lxc.start.auto")
TIMEOUT = options.Option("t", "timeout", "SECONDS", "how long a shutdown or a reboot may take (default: 60)")
COMMAND = options.Command(
    "autostart",
    "start or stop the containers that start at boot",
    (options.PATH, LIST, REBOOT, SHUTDOWN, KILL, ALL, GROUPS, IGNORE_AUTO, TIMEOUT),
)
_SECONDS = "60"
_NUMBER = 4  # bytes
_PIPE_BUF = 4096  # what is written to a pipe in one piece. pipe(7)
_PER_PROCESSOR = 2


class _Member(NamedTuple):
    """A container that may be chosen, with what its config says about that."""

    container: Container
    config: Config
    runs: bool

    @property
    def name(self) -> str:
        return self.container.name

    @property
    def order(self) -> int:
        return int(self.config.get("lxc.start.order"))

    @property
    def delay(self) -> int:
        return int(self.config.get("lxc.start.delay"))

    def is_in(self, group: str) -> bool:
        groups = self.config.get("lxc.group")
        return group in groups if group else not groups


def run(words: Sequence[str]) -> int:
    """Start, stop or reboot containers. 1 when one of them failed."""
    return common.run(COMMAND, words, _run)


def _run(given: options.Given) -> int:
    chosen = [option for option in (REBOOT, SHUTDOWN, KILL) if option in given]
    if len(chosen) > 1:
        raise UsageError("only one of -r, -s and -k", hint=COMMAND.usage())
    action = chosen[0] if chosen else None
    timeout = common.seconds(given.get(TIMEOUT) or _SECONDS, TIMEOUT, COMMAND)
    if timeout < 0:
        raise UsageError("-t takes no negative number", hint=COMMAND.usage())
    # Who stops what was started in an order stops the last first.
    backwards = action in (SHUTDOWN, KILL)
    passes = [
        sorted(members, key=lambda one: (-one.order if backwards else one.order, one.name))
        for members in _passes(_members(given), given)
    ]
    if LIST in given:
        for one in (one for members in passes for one in members):
            print(one.name if backwards else f"{one.name} {one.delay}")
        return 0
    return _perform(passes, _acts(timeout)[action], given, delays=not backwards)


# Who


def _members(given: options.Given) -> list[_Member]:
    """The containers that have a config which asks for it, and are as the action needs them."""
    from minilxc.config.parse import Config

    wants_running = any(option in given for option in (REBOOT, SHUTDOWN, KILL))
    found = []
    for container in list_containers(common.path(given), active=False):
        try:
            # Whether it can be read without an error the start will tell.
            config, _, _ = Config.examine(container.config_file)
            if not (IGNORE_AUTO in given or config.get("lxc.start.auto")):
                continue
            one = _Member(container, config, container.running)
        except MinilxcError as error:
            common.tell(str(error), given)
            continue
        if one.runs == wants_running:
            found.append(one)
    return found


def _passes(members: Iterable[_Member], given: options.Given) -> Iterator[list[_Member]]:
    """Those that the groups choose: for each group in turn those that no group before it had."""
    left = list(members)
    if ALL in given:
        yield left
        return
    for group in ",".join(given.all(GROUPS)).split(","):
        yield [one for one in left if one.is_in(group)]
        left = [one for one in left if not one.is_in(group)]


# What


def _start(one: _Member) -> None:
    one.container.start(
        log_file=one.config.get("lxc.log.file"),
        log_level=one.config.get("lxc.log.level")
        if one.config.where("lxc.log.level")
        else NAMES.index("ERROR"),
    )


def _acts(timeout: float) -> dict[options.Option | None, Callable[[_Member], None]]:
    def reboot(one: _Member) -> None:
        if not one.container.reboot(timeout or None):
            raise MinilxcError(f"has not rebooted in {timeout:g} seconds", one.name)

    def stop(one: _Member, kill: bool = False) -> None:
        try:
            if not one.container.stop(timeout, kill=kill):
                raise MinilxcError("could not be stopped", one.name)
        except NotRunning:
            pass  # it has just ended by itself

    return {None: _start, REBOOT: reboot, SHUTDOWN: stop, KILL: lambda one: stop(one, kill=True)}


# How


class _Workers:
    """Processes that act on one container after the other.

    Not threads: a start forks, and what forks is quicker, and holds nobody up, in a process that is small and
    has one thread. A number goes to whoever is free, and comes back with what went wrong ("": nothing).
    """

    def __init__(self, members: Sequence[_Member], act: Callable[[_Member], None], many: int) -> None:
        tasks, self._tasks = os.pipe2(os.O_CLOEXEC)
        self._results, results = os.pipe2(os.O_CLOEXEC)
        self._pids = []
        for _ in range(many):
            pid = os.fork()
            if pid == 0:
                try:
                    os.close(self._tasks)
                    os.close(self._results)
                    _work(tasks, results, members, act)
                    os._exit(0)
                finally:
                    os._exit(1)
            self._pids.append(pid)
        os.close(tasks)
        os.close(results)

    def act_on(self, numbers: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Have these members acted on; each with its error as soon as it is done. Raises MinilxcError."""
        left = list(reversed(numbers))
        for _ in range(min(2 * len(self._pids), len(left))):
            self._assign(left.pop())
        rest = b""
        for _ in numbers:
            while b"\n" not in rest:
                data = os.read(self._results, 65536)
                if not data:
                    raise MinilxcError("all workers have ended before their time")
                rest += data
            line, rest = rest.split(b"\n", 1)
            if left:
                self._assign(left.pop())
            done, error = line.decode(errors="surrogateescape").split(" ", 1)
            yield int(done), error

    def _assign(self, number: int) -> None:
        os.write(self._tasks, number.to_bytes(_NUMBER))

    def end(self) -> None:
        """Have them end."""
        os.close(self._tasks)
        for pid in self._pids:
            os.waitpid(pid, 0)
        os.close(self._results)


def _work(tasks: int, results: int, members: Sequence[_Member], act: Callable[[_Member], None]) -> None:
    while number := os.read(tasks, _NUMBER):
        one = members[int.from_bytes(number)]
        text = ""
        try:
            act(one)
        except MinilxcError as error:
            text = str(error)
        except Exception as error:  # noqa: BLE001  a bug must not keep the others from starting
            text = f"{one.name}: a bug: {type(error).__name__}: {error}"
        line = f"{int.from_bytes(number)} {printable(text)}".encode(errors="surrogateescape")
        os.write(results, line[: _PIPE_BUF - 1] + b"\n")


def _perform(
    passes: Sequence[Sequence[_Member]], act: Callable[[_Member], None], given: options.Given, *, delays: bool
) -> int:
    members = [one for part in passes for one in part]
    waves = [wave for part in passes for wave in _waves(part, delays)]
    workers = _Workers(members, act, min(_PER_PROCESSOR * len(os.sched_getaffinity(0)), len(members)))
    shown = os.isatty(2) and options.QUIET not in given
    done = status = 0
    for number, wave in enumerate(waves):
        first = done
        for which, error in workers.act_on(range(first, first + len(wave))):
            done += 1
            if shown:
                sys.stderr.write("\r\x1b[K")
            if error:
                status = 1
                common.tell(error, given)
            if shown:
                sys.stderr.write(f"{done} of {len(members)}: {members[which].name}")
                sys.stderr.flush()
        if delays and number + 1 < len(waves):
            time.sleep(wave[-1].delay)
    if shown:
        sys.stderr.write("\r\x1b[K")
    workers.end()
    return status


def _waves(members: Sequence[_Member], delays: bool) -> Iterator[list[_Member]]:
    """Those that may come at the same time: of one order, up to one that the next are to wait after."""
    wave: list[_Member] = []
    for one in members:
        if wave and (one.order != wave[-1].order or (delays and wave[-1].delay)):
            yield wave
            wave = []
        wave.append(one)
    if wave:
        yield wave
