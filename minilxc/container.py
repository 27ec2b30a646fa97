"""Containers from Python: `Container` and `list_containers`, which the commands are made of.

    from minilxc import Container

    with Container("c1") as c:      # stopped at the end
        c.start()
        print(c.attach(["id"], capture_output=True, text=True).stdout)

Everything may be called from threads. A start forks this process: what becomes the container's monitor is a
copy of it, which only runs minilxc's own code.
"""

from __future__ import annotations

import _signal
import posix
import time

from minilxc.errors import ConfigError, MinilxcError
from minilxc.launch import lock, runtime
from minilxc.launch.lock import check_name
from minilxc.linux.files import decode, encode, exists, is_file
from minilxc.log import ERROR, NAMES, Log
from minilxc.monitor import client
from minilxc.monitor.client import Hangs, NotRunning
from minilxc.monitor.protocol import FROZEN, RUNNING, STARTING, STATES, STOPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from os import PathLike
    from subprocess import CompletedProcess
    from typing import IO, Any, TypeVar

    from minilxc.config.parse import Config
    from minilxc.monitor.client import Connection
    from minilxc.monitor.facts import Link, Statistics
    from minilxc.monitor.nested import Nested

    _Fact = TypeVar("_Fact")

__all__ = ["STATES", "Container", "Info", "Settings", "list_containers"]

_STOP_SECONDS = 60.0
_FREEZE_SECONDS = 10.0
_KILLED_SECONDS = 1.0
_AGAIN_SECONDS = (
    0.01  # between two looks at what has no event: a group that freezes, a container that is to be started
)
_DEVNULL = -3  # as in subprocess, which would take the commands 12 ms to import


class Info:
    """What a container is at the moment. Immutable.

    `pid` is the number of its process 1 as this process sees it, `monitor` that of its monitor, `since` when
    it came to its state (seconds since 1970), `config` the file that it was started with, `verb` whether by
    "start" or "execute"; None or "" where it does not run.
    """

    __slots__ = ("config", "monitor", "pid", "since", "state", "verb")

    def __init__(
        self,
        state: str,
        pid: int | None = None,
        monitor: int | None = None,
        since: float | None = None,
        config: str = "",
        verb: str = "",
    ) -> None:
        self.state = state
        self.pid = pid
        self.monitor = monitor
        self.since = since
        self.config = config
        self.verb = verb

    def as_data(self) -> dict[str, object]:
        """All of it by name."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        return f"Info({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


class Settings:
    """A container's config: `settings["lxc.uts.name"]` is the value as it is written, of a key with several lines
    the last; `get_all` has all of them. What is set here counts for the next start, on top of the file, and is
    not written to it.
    """

    def __init__(self, container: Container) -> None:
        self._container = container
        self._defines: list[tuple[str, str]] = []

    def __getitem__(self, key: str) -> str:
        """Raises KeyError where the config has no such line, ConfigError for a config that cannot be read."""
        found = self.get_all(key)
        if not found:
            raise KeyError(key)
        return found[-1]

    def __setitem__(self, key: str, value: str) -> None:
        """Raises ConfigError when the key or the value is wrong."""
        if "\n" in value or "\r" in value:
            raise ConfigError(f"{key}: a line break, which no value has", "<python>")
        from minilxc.config.parse import Config

        Config.from_text(f"{key} = {value}\n".encode(errors="surrogateescape"), "<python>")
        self._defines.append((key, value))

    def __contains__(self, key: str) -> bool:
        return bool(self.get_all(key))

    def get_all(self, key: str) -> list[str]:
        """All values of a key, in order; of a group such as lxc.net.0 those of the keys in it."""
        return [value for name, value, _ in self.lines() if name == key or name.startswith(f"{key}.")]

    def lines(self) -> list[tuple[str, str, str]]:
        """The lines in force: (key, value, where). Of a container that runs those that it was started with."""
        return self._container._lines()

    @property
    def defines(self) -> list[str]:
        """What has been set here, as -s takes it."""
        return [f"{key}={value}" for key, value in self._defines]


class Container:
    """A container by its name, whether it runs, is only defined, or does not exist yet.

    `path` is the folder of containers (default: /var/lib/lxc, or ~/.local/share/lxc of a user), `config_file`
    a config other than PATH/NAME/config. As a context manager it is stopped at the end.
    Raises UsageError for a name that none can have.
    """

    def __init__(
        self,
        name: str,
        path: str | PathLike[str] | None = None,
        *,
        config_file: str | PathLike[str] | None = None,
    ) -> None:
        self.name = check_name(name)
        self.path = lock.default_path() if path is None else posix.fspath(path)
        self.config_file = f"{self.path}/{name}/config" if config_file is None else posix.fspath(config_file)
        self.config = Settings(self)

    def __repr__(self) -> str:
        return f"Container({self.name!r}, {self.path!r})"

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        except NotRunning:
            pass

    # What is so

    @property
    def defined(self) -> bool:
        """Whether it has a config."""
        return is_file(self.config_file)

    @property
    def state(self) -> str:
        """One of STATES. Raises Hangs when its monitor does not answer."""
        return self.info().state

    @property
    def running(self) -> bool:
        """Whether there is a monitor of it: it is in any state but STOPPED."""
        return self.state != STOPPED

    @property
    def init_pid(self) -> int | None:
        """The number of its process 1, as this process sees it; None while it does not run."""
        return self.info().pid

    def info(self) -> Info:
        """State and facts at once."""
        connection = self._connect()
        if connection is None:
            return Info(STOPPED)
        with connection:
            try:
                (state, since, verb, source), descriptors = connection.ask("info")
            except NotRunning:
                return Info(STOPPED)
            pid = client.pid_of(descriptors[0]) if descriptors else 0
            for descriptor in descriptors:
                posix.close(descriptor)
            return Info(
                state, pid or None, lock.holder(self.path, self.name) or None, float(since), source, verb
            )

    def _connect(self) -> Connection | None:
        return client.connect(self.path, self.name)

    def _demand(self) -> Connection:
        return client.demand(self.path, self.name)

    def _lines(self) -> list[tuple[str, str, str]]:
        import marshal

        connection = self._connect()
        if connection is not None:
            with connection:
                _, (file,) = connection.ask("config")
                return [(key, value, where) for key, value, where in marshal.loads(client.read_file(file))]
        return list(self.read_config().lines())

    def read_config(self, defines: Iterable[str] = ()) -> Config:
        """The config as the next start has it. Raises ConfigError."""
        from minilxc.config.parse import Config

        return Config.read(self.config_file, [*self.config.defines, *defines])

    # Its life

    def start(
        self,
        command: Sequence[str] = (),
        *,
        with_init: bool = False,
        defines: Iterable[str] = (),
        log_file: str | None = None,
        log_level: str | int = ERROR,
        pidfile: str | None = None,
    ) -> int:
        """Start it in the background; returns the number of its process 1 when its program is being executed.

        `command` takes the place of the config's program; `with_init`: below minilxc's own init, as `execute`
        does. `defines` are KEY=VALUE on top of the config. Raises ConfigError, PolicyError, Refused or
        StartError; nothing of the container is left then.
        """
        with _StandardDescriptors():
            return self._start(command, with_init, defines, log_file, log_level, pidfile)

    def _start(
        self,
        command: Sequence[str],
        with_init: bool,
        defines: Iterable[str],
        log_file: str | None,
        log_level: str | int,
        pidfile: str | None,
    ) -> int:
        from minilxc.monitor import background, planning

        level = NAMES.index(log_level.upper()) if isinstance(log_level, str) else log_level
        log = Log(self.name, None, level, quiet=True)
        if log_file is not None:
            try:
                log = Log.to_file(self.name, log_file, level, quiet=True)
            except OSError as error:
                raise MinilxcError(error.strerror or str(error), log_file) from None
        try:
            config = self.read_config(defines)
            plan = planning.make(
                config, self.name, self.path, command, with_init=with_init, background=True, log=log
            )
            try:
                return background.start(plan, log, pidfile)
            finally:
                for descriptor in plan.descriptors():
                    posix.close(descriptor)
        finally:
            for descriptor in log.descriptors():
                posix.close(descriptor)

    def stop(self, timeout: float = _STOP_SECONDS, *, kill: bool = False, then_kill: bool = True) -> bool:
        """End it, and wait for that: ask its init to (lxc.signal.halt), and after `timeout` seconds end it
        (lxc.signal.stop); with `kill` at once. Without `then_kill` it is only asked.

        Whether it has ended. Raises NotRunning where it does not run. A monitor that hangs is killed, and what
        one that was killed has left is ended.
        """
        try:
            with self._demand() as connection:
                return _stop(connection, timeout, kill=kill, then_kill=then_kill)
        except Hangs:
            if not (kill or then_kill):
                raise
            return client.kill_monitor(self.path, self.name)
        except NotRunning:
            if not runtime.clean_up(self.path, self.name, kill=True):
                raise
            return True

    def ask_to_stop(self, *, kill: bool = False) -> None:
        """Send it the signal to halt, or to end, and do not wait. Raises NotRunning."""
        with self._demand() as connection:
            connection.ask("signal", "stop" if kill else "halt")

    def reboot(self, timeout: float | None = _STOP_SECONDS) -> bool:
        """Ask its init to start again (lxc.signal.reboot); whether it has in `timeout` seconds (None: do not wait).

        Raises NotRunning.
        """
        with self._demand() as watcher, self._demand() as connection:
            states = watcher.states(timeout)
            next(states, STOPPED)
            connection.ask("signal", "reboot")
            if timeout is None:
                return True
            again = False
            try:
                for state in states:
                    if state == RUNNING and again:
                        return True
                    again = again or state == STARTING
            except TimeoutError:
                pass
            return False

    def freeze(self, timeout: float = _FREEZE_SECONDS) -> None:
        """Stop all that runs inside. Raises NotRunning; MinilxcError when it cannot be, or not in `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._demand() as connection:
            while connection.ask("freeze")[0] != [FROZEN]:
                if time.monotonic() > deadline:
                    connection.ask("unfreeze")
                    raise MinilxcError(f"could not be frozen within {timeout:g} seconds", self.name)
                time.sleep(_AGAIN_SECONDS)

    def unfreeze(self) -> None:
        """Let what runs inside go on. Raises NotRunning, MinilxcError."""
        with self._demand() as connection:
            connection.ask("unfreeze")

    # Waiting

    def states(self, timeout: float | None = None) -> Iterator[str]:
        """The states that it goes through from now on, until it has ended: the last is STOPPED.

        Raises TimeoutError after `timeout` seconds.
        """
        connection = self._connect()
        if connection is not None:
            with connection:
                yield from connection.states(timeout)
        yield STOPPED

    def wait(self, *states: str, timeout: float | None = None) -> bool:
        """Wait until it is in one of `states`; whether it came to that in `timeout` seconds (None: for ever).

        A container that does not exist is STOPPED, and may come to be. Raises ValueError for an unknown state.
        """
        wanted = _wanted(states)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            try:
                for state in self.states(left if left is None else max(left, 0.0)):
                    if state in wanted:
                        return True
            except TimeoutError:
                return False
            # It does not run, and something else is waited for: somebody must start it first.
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(_AGAIN_SECONDS)

    async def wait_async(self, *states: str, timeout: float | None = None) -> bool:
        """As `wait`, in an event loop, which goes on meanwhile."""
        import asyncio

        wanted = _wanted(states)
        loop = asyncio.get_running_loop()

        async def come() -> None:
            while True:
                connection = self._connect()
                if connection is not None:
                    with connection:
                        ready = asyncio.Event()
                        state = next(connection.states(), STOPPED)
                        loop.add_reader(connection.fileno(), ready.set)
                        try:
                            while state not in wanted and state != STOPPED:
                                await ready.wait()
                                ready.clear()
                                try:
                                    state = connection.next_state(0) or STOPPED
                                except Hangs:
                                    pass  # it was woken up too early
                        finally:
                            loop.remove_reader(connection.fileno())
                    if state in wanted:
                        return
                elif STOPPED in wanted:
                    return
                await asyncio.sleep(_AGAIN_SECONDS)

        try:
            await asyncio.wait_for(come(), timeout)
        except TimeoutError:
            return False
        return True

    # Inside

    def attach(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        clear_env: bool = True,
        keep_env: Iterable[str] = (),
        cwd: str = "/",
        user: int | None = None,
        group: int | None = None,
        namespaces: Iterable[str] | None = None,
        stdin: int | IO[Any] | None = _DEVNULL,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        input: bytes | str | None = None,  # noqa: A002  as subprocess.run has it
        capture_output: bool = False,
        text: bool = False,
        timeout: float | None = None,
        check: bool = False,
    ) -> CompletedProcess[Any]:
        """Run a command inside, under the confinement of its init, and wait for it, as subprocess.run does.

        `env` are variables on top of the container's own; with `clear_env` those of this process are left out,
        but for `keep_env`. `user` and `group` are ids as seen inside, `namespaces` the kinds to join (all).
        Raises NotRunning, StartError when the command could not be executed, subprocess.TimeoutExpired and
        subprocess.CalledProcessError.
        """
        import os
        import subprocess

        from minilxc.launch.enter import Request
        from minilxc.monitor import attach
        from minilxc.monitor.plumbing import Plumbing

        deadline = None if timeout is None else time.monotonic() + timeout
        filled = _StandardDescriptors()
        plumbing = Plumbing(stdin, stdout, stderr, text_in=input, capture=capture_output, text=text)
        try:
            with self._demand() as connection:
                record, data, pidfd = attach.record_of(connection)
            try:
                caller = {os.fsdecode(name): os.fsdecode(value) for name, value in os.environb.items()}
                request = Request(
                    record=data,
                    arguments=tuple(command),
                    environment=attach.environment(
                        record, caller, clear=clear_env, keep=frozenset(keep_env), extra=(env or {}).items()
                    ),
                    directory=cwd,
                    namespaces=attach.namespaces(self.name, pidfd, namespaces),
                    user=user,
                    group=group,
                )
                entered = attach.enter(self.name, pidfd, request, plumbing.theirs, timeout)
            finally:
                posix.close(pidfd)
            try:
                plumbing.carry(entered.pidfd, None if deadline is None else deadline - time.monotonic())
                status = entered.wait()
            except BaseException:
                entered.send_signal(_signal.SIGKILL)
                entered.wait(_KILLED_SECONDS)  # who is frozen does not end before it is let go on
                raise
            finally:
                entered.close()
        except TimeoutError:
            assert timeout is not None
            raise subprocess.TimeoutExpired(list(command), timeout, *plumbing.read) from None
        finally:
            plumbing.close()
            filled.close()
        done: CompletedProcess[Any] = subprocess.CompletedProcess(list(command), status or 0, *plumbing.read)
        if check:
            done.check_returncode()
        return done

    def written(self, *, clear: bool = False) -> bytes:
        """What was written to the console last (lxc.console.buffer.size); with `clear` it is forgotten.

        Raises NotRunning, MinilxcError.
        """
        with self._demand() as connection:
            _, (file,) = connection.ask("written", *(("clear",) if clear else ()))
            return client.read_file(file)

    # What it has and uses

    def _of_process(self, act: Callable[[int, int], _Fact]) -> _Fact:
        """What `act` makes of its process 1: a descriptor of its folder in /proc, and its number.

        Raises NotRunning, MinilxcError.
        """
        with self._demand() as connection:
            _, descriptors = connection.ask("info")
        folder = -1
        try:
            pid = client.pid_of(descriptors[0]) if descriptors else 0
            try:
                folder = posix.open(f"/proc/{pid}", posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
            except OSError:
                pid = 0
            # Where the process still has its number, the folder is its own.
            if not pid or client.pid_of(descriptors[0]) != pid:
                raise NotRunning("is not running", self.name)
            return act(folder, pid)
        except OSError as error:
            raise MinilxcError(error.strerror or str(error), self.name) from None
        finally:
            for descriptor in (*descriptors, *((folder,) if folder >= 0 else ())):
                posix.close(descriptor)

    def ips(self) -> list[str]:
        """Its addresses, of IPv4 and then of IPv6, but those of the loopback and of IPv6 links. Raises NotRunning."""
        from minilxc.monitor import facts

        return self._of_process(lambda folder, _: facts.addresses(folder))

    def interfaces(self) -> list[str]:
        """The names of its network interfaces. Raises NotRunning."""
        from minilxc.monitor import facts

        return self._of_process(lambda folder, _: facts.interfaces(folder))

    def links(self) -> list[Link]:
        """The ends of its veth interfaces that are here, with what went through them. Raises NotRunning."""
        from minilxc.monitor import facts

        return self._of_process(lambda _, pid: facts.links(pid))

    def nested(self, depth: int = 1) -> list[Nested]:
        """The containers inside of it (in their /var/lib/lxc, or running), `depth` levels. Raises NotRunning,
        MinilxcError. What it says comes from inside, where anything may be made up.
        """
        from minilxc.monitor import nested

        return self._of_process(lambda folder, _: nested.inside(self.name, folder, depth))

    def statistics(self) -> Statistics:
        """What it has used of processors, memory and disks. Raises NotRunning."""
        from minilxc.monitor import facts

        return facts.statistics(self.groups())

    # Control groups

    def groups(self) -> list[str]:
        """The paths of its control groups, one in each hierarchy. Raises NotRunning."""
        with self._demand() as connection:
            _, (file,) = connection.ask("groups")
            return [decode(path) for path in client.read_file(file).split(b"\0") if path]

    def cgroup(self, file: str) -> str:
        """The content of a file of its control groups, such as memory.max. Raises NotRunning, MinilxcError."""
        try:
            with open(self._group_file(file), encoding="utf-8", errors="surrogateescape") as opened:
                return opened.read()
        except OSError as error:
            raise MinilxcError(f"{file}: {error.strerror}", self.name) from None

    def set_cgroup(self, file: str, value: str) -> None:
        """Write a file of its control groups. Raises NotRunning, MinilxcError."""
        try:
            with open(self._group_file(file), "wb", buffering=0) as opened:
                opened.write(encode(value))
        except OSError as error:
            raise MinilxcError(f"{file} = {value}: {error.strerror}", self.name) from None

    def _group_file(self, file: str) -> str:
        if "/" in file or file.startswith("."):
            raise MinilxcError(f"'{file}' is no name of a file of control groups", self.name)
        for group in self.groups():
            if exists(f"{group}/{file}"):
                return f"{group}/{file}"
        raise MinilxcError(f"none of its control groups has a file '{file}'", self.name)


class _StandardDescriptors:
    """Where the program has closed some of 0 to 2, nothing that is opened meanwhile may come to lie there."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: list[int] = []
        while (descriptor := posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC)) <= 2:
            self._held.append(descriptor)
        posix.close(descriptor)

    def __enter__(self) -> None:
        """They are filled already."""

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave them as the program had them."""
        for descriptor in self._held:
            posix.close(descriptor)


def _stop(connection: Connection, timeout: float, *, kill: bool, then_kill: bool) -> bool:
    """End the container of a conversation; whether it has ended. Raises NotRunning where it had before."""
    connection.ask("signal", "stop" if kill else "halt")
    if connection.ended(timeout):
        return True
    if not (kill or then_kill):
        return False
    try:
        if not kill:
            connection.ask("signal", "stop")
            if connection.ended(_STOP_SECONDS):
                return True
        connection.ask("signal", "kill")
    except NotRunning:
        return True
    return connection.ended(_STOP_SECONDS)


def _wanted(states: Iterable[str]) -> frozenset[str]:
    wanted = frozenset(states)
    unknown = wanted.difference(STATES)
    if unknown or not wanted:
        raise ValueError(f"no state: {', '.join(sorted(unknown)) or '(none)'}; there are {', '.join(STATES)}")
    return wanted


def list_containers(
    path: str | PathLike[str] | None = None, *, defined: bool = True, active: bool = True
) -> list[Container]:
    """The containers in `path` that have a config (`defined`) or run (`active`), in the order of their names."""
    place = lock.default_path() if path is None else posix.fspath(path)
    names = set(runtime.names(place)) if active else set()
    if defined:
        try:
            with posix.scandir(place) as entries:
                names |= {entry.name for entry in entries if is_file(f"{entry.path}/config")}
        except OSError:
            pass  # nobody has made any yet
    found = []
    for name in sorted(names):
        try:
            container = Container(name, place)
        except MinilxcError:
            continue  # a folder that nobody can start by its name
        if (defined and container.defined) or container.running:
            found.append(container)
    return found
