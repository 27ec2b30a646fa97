"""Hooks: commands of the config that run at certain moments of a container's life.

Those of the host run in the parent, those of the container's namespaces are children of the child that
sets itself up; both as `/bin/sh -c "exec COMMAND"`, with nothing but the standard descriptors. What they
print goes into the log, read by the parent. `run` and `Script` serve the scripts of interfaces too.
"""

from __future__ import annotations

import _signal
import posix
import select

from minilxc.errors import StartError
from minilxc.launch import credentials
from minilxc.launch.channel import OUTPUT
from minilxc.launch.program import close_descriptors
from minilxc.linux import process
from minilxc.linux.files import decode
from minilxc.linux.names import SIGNALS
from minilxc.log import DEBUG, NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from minilxc.config.parse import Config
    from minilxc.launch.attention import Attention
    from minilxc.launch.channel import Channel
    from minilxc.launch.rootfs import Rootfs
    from minilxc.log import Log

SHELL = "/bin/sh"
_INTERRUPTS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)
_GRACE_MS = 1000  # what an interrupted hook gets to clean up
_CHUNK = 4096  # bytes; a longer line is cut into lines
_MOST_CHUNKS = 16  # at once: what a pipe holds. A hook that prints for ever must not keep us from all else
_LONGEST_TITLE = 200  # characters of a command that an error shows
_PLAIN = frozenset("-_./:@+=,%")  # with letters and digits: what a shell takes as it is

# In the order in which they run.
_KINDS = ("pre-start", "pre-mount", "mount", "autodev", "start", "start-host", "stop", "post-stop")
_IN_HOSTS_TREE = ("pre-mount", "mount", "autodev")


class Script:
    """A command of the config, ready to be run by a shell. Immutable.

    `title` is what messages call it ("mount hook"), `where` its line, `container` whose it is;
    `arguments` follow the command's own words.
    """

    __slots__ = ("arguments", "command", "container", "environment", "title", "where")

    def __init__(
        self,
        title: str,
        command: str,
        where: str,
        *,
        container: str,
        arguments: tuple[str, ...],
        environment: Mapping[str, str],
    ) -> None:
        self.title = title
        self.command = command
        self.where = where
        self.container = container
        self.arguments = arguments
        self.environment = environment

    @property
    def shown(self) -> str:
        """The command, short enough for a message."""
        return self.command if len(self.command) <= _LONGEST_TITLE else f"{self.command[:_LONGEST_TITLE]}..."

    def words(self, more: tuple[str, ...] = ()) -> tuple[str, ...]:
        """What is executed; `more` are arguments that were not known before."""
        return (SHELL, "-c", " ".join(["exec", self.command, *map(_quoted, self.arguments + more)]))


def _quoted(word: str) -> str:
    if word and all(c in _PLAIN or (c.isascii() and c.isalnum()) for c in word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def script(
    kind: str,
    section: str,
    command: str,
    where: str,
    *,
    container: str,
    version: int,
    environment: Mapping[str, str],
    title: str,
) -> Script:
    """The command of a hook of `kind`: told about the container as `version` (lxc.hook.version) says."""
    variables = {**environment}
    if version == 0:
        arguments: tuple[str, ...] = (container, section, kind)
    else:
        arguments = ()
        variables.update(LXC_HOOK_TYPE=kind, LXC_HOOK_SECTION=section)
    return Script(title, command, where, container=container, arguments=arguments, environment=variables)


def environment(config: Config, container: str, rootfs: Rootfs, log_level: int) -> dict[str, str]:
    """The variables that every hook gets."""
    found = {
        "LXC_NAME": container,
        "LXC_CONFIG_FILE": config.source,
        "LXC_ROOTFS_MOUNT": rootfs.mountpoint,
        "LXC_CGNS_AWARE": "1",
        "LXC_LOG_LEVEL": NAMES[log_level],
        "LXC_HOOK_VERSION": str(config.get("lxc.hook.version")),
    }
    for name, value in (
        ("LXC_ROOTFS_PATH", config.get("lxc.rootfs.path") and config.get("lxc.rootfs.path")[1]),
        ("LXC_CONSOLE", config.get("lxc.console.path")),
        ("LXC_CONSOLE_LOGPATH", config.get("lxc.console.logfile")),
    ):
        if value:
            found[name] = value
    return found


class Hooks:
    """The hooks of a container by kind ("pre-start", …), in the order of the config. Immutable."""

    __slots__ = ("_scripts",)

    def __init__(self, scripts: Mapping[str, tuple[Script, ...]]) -> None:
        self._scripts = scripts

    def of(self, kind: str) -> tuple[Script, ...]:
        """The hooks of a kind."""
        return self._scripts.get(kind, ())

    @property
    def told_namespaces(self) -> bool:
        """Whether there are hooks that are told where the namespaces are: those of the end."""
        return bool(self.of("stop") or self.of("post-stop"))

    def lines(self) -> Iterator[str]:
        """The hooks, one line each."""
        for kind, scripts in self._scripts.items():
            for each in scripts:
                yield f"{kind}: {each.command}"

    def run(self, kind: str, log: Log, attention: Attention, told: Told | None = None) -> None:
        """Parent: run the hooks of a kind of the host, one after the other; as the function `run`."""
        for each in self.of(kind):
            _run_told(kind, each, log, attention, told)

    def run_at_the_end(self, kind: str, log: Log, attention: Attention, told: Told | None = None) -> None:
        """Parent: as `run`, but a failure is only told, and the next hook runs."""
        for each in self.of(kind):
            try:
                _run_told(kind, each, log, attention, told)
            except StartError as error:
                log.complain(each.title, error.what.removeprefix(f"{each.title}: "))
            except OSError as error:
                log.complain(each.title, f"{error.filename}: {error.strerror}")

    def run_in_hosts_tree(self, kind: str, channel: Channel, umask: int) -> None:
        """Child: run the hooks of a kind that see the host's tree; as `run_in_child`."""
        self.run_in_child(kind, channel, lambda script: _execute_in_hosts_tree(script, umask))

    def run_in_child(self, kind: str, channel: Channel, become: Callable[[Script], object]) -> None:
        """Child: run the hooks of a kind, one after the other; `become` executes one and returns on failure.

        Raises OSError about the first that does not end well; the parent logs what they print.
        """
        for each in self.of(kind):
            reading, writing = posix.pipe()
            channel.send(OUTPUT, f"{each.title}\0{each.shown}", (reading,))
            posix.close(reading)
            pid = _fork(writing, become, each)
            posix.close(writing)
            _judge(each, posix.waitpid(pid, 0)[1])


class Told:
    """What hooks of the host learn that was not known before the start. Immutable."""

    __slots__ = ("arguments", "environment")

    def __init__(self, pid: int, namespaces: Iterable[tuple[str, int]] = (), target: str = "") -> None:
        """`pid` is process 1, `namespaces` are (kind, descriptor), `target` is "stop" or "reboot"."""
        paths = {kind: f"/proc/{posix.getpid()}/fd/{descriptor}" for kind, descriptor in namespaces}
        self.arguments = tuple(f"{kind}:{path}" for kind, path in paths.items())
        self.environment = {f"LXC_{kind.upper()}_NS": path for kind, path in paths.items()}
        if pid > 0:
            self.environment["LXC_PID"] = str(pid)
        if target:
            self.environment["LXC_TARGET"] = target


def _run_told(kind: str, script: Script, log: Log, attention: Attention, told: Told | None) -> None:
    if told is None:
        run(script, log, attention)
        return
    # Version 1, whose scripts have no arguments, tells by variables alone.
    arguments = told.arguments if kind == "stop" and script.arguments else ()
    run(script, log, attention, arguments=arguments, environment=told.environment)


def from_config(config: Config, container: str, rootfs: Rootfs, log_level: int) -> Hooks | None:
    """The hooks of the config; None when there is none that a start or an end runs."""
    host = {decode(name): decode(value) for name, value in posix.environ.items()}
    base = environment(config, container, rootfs, log_level)
    own = dict((*config.get("lxc.environment"), *config.get("lxc.environment.hooks")))
    only_hooks = dict(config.get("lxc.environment.hooks"))
    # As LXC has it, lxc.environment comes to those in the container's namespaces only.
    on_host = {**host, **only_hooks, **base}
    in_hosts_tree = {**host, **own, **base}
    variables = {kind: in_hosts_tree if kind in _IN_HOSTS_TREE else on_host for kind in _KINDS}
    # The caller's own variables are not for a program of the container's, no more than for the payload.
    variables["start"] = {**own, **base}
    found = {}
    for kind in _KINDS:
        if kind == "autodev" and not config.get("lxc.autodev"):
            continue
        scripts = tuple(
            script(
                kind,
                "lxc",
                entry.value,
                entry.where,
                container=container,
                version=config.get("lxc.hook.version"),
                environment=variables[kind],
                title=f"{kind} hook",
            )
            for entry in config.entries(f"lxc.hook.{kind}")
        )
        if scripts:
            found[kind] = scripts
    return Hooks(found) if found else None


class Output:
    """What a hook prints, on its way into the log at DEBUG."""

    __slots__ = ("_log", "_rest", "_shown", "_title", "descriptor")

    def __init__(self, descriptor: int, title: str, shown: str, log: Log) -> None:
        self.descriptor = descriptor
        self._title = title
        self._shown = shown
        self._log = log
        self._rest = b""
        posix.set_blocking(descriptor, False)

    def read(self) -> bool:
        """Log what is there; whether more may come."""
        for _ in range(_MOST_CHUNKS):
            try:
                data = posix.read(self.descriptor, _CHUNK)
            except BlockingIOError:
                return True
            if not data:
                return False
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._write(line)
            if len(self._rest) >= _CHUNK:
                self._write(self._rest)
                self._rest = b""
        return True

    def _write(self, line: bytes) -> None:
        self._log.write(DEBUG, self._title, f"{self._shown}: {decode(line)}")

    def close(self) -> None:
        """Log what is left. Whoever still writes there gets EPIPE."""
        self.read()
        if self._rest:
            self._write(self._rest)
        posix.close(self.descriptor)


def run(
    script: Script,
    log: Log,
    attention: Attention,
    *,
    arguments: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Parent: run a command on the host and wait for its end; `arguments` and `environment` are added to its own.

    An interrupt ends the command, whose process group it is sent to, and raises StartError. Raises
    OSError when the command ends with another status than 0.
    """
    variables = {**script.environment, **(environment or {})}
    words = script.words(arguments)
    reading, writing = posix.pipe()
    output = Output(reading, script.title, script.shown, log)
    try:
        pid = _fork(writing, _execute_on_host, words, variables)
    except BaseException:
        output.close()
        raise
    finally:
        posix.close(writing)
    pidfd = posix.pidfd_open(pid)
    try:
        _follow(script, pid, pidfd, output, attention)
    finally:
        _, status = posix.waitpid(pid, 0)
        posix.close(pidfd)
        output.close()
    _judge(script, status)


def _execute_on_host(words: tuple[str, ...], variables: Mapping[str, str]) -> None:
    # A session of its own: it can be ended with all that it starts, and it may still read its standard
    # input where that is a terminal, which it could not as a background job of the caller's.
    posix.setsid()
    close_descriptors(())
    posix.execve(SHELL, words, dict(variables))


def _execute_in_hosts_tree(script: Script, umask: int) -> None:
    posix.umask(umask)
    close_descriptors(())
    posix.execve(SHELL, script.words(), dict(script.environment))


def _fork(output: int, become: Callable[..., object], *arguments: Any) -> int:
    """Fork a process that prints into `output` and calls `become`, which executes a program; its pid."""
    pid = posix.fork()
    if pid:
        return pid
    try:
        credentials.set_death_signal(_signal.SIGKILL)
        posix.dup2(output, 1)
        posix.dup2(output, 2)
        process.reset_signals()
        become(*arguments)
    finally:
        posix._exit(_STATUS_NOT_EXECUTED)


_STATUS_NOT_EXECUTED = 127


def _follow(script: Script, pid: int, pidfd: int, output: Output, attention: Attention) -> None:
    """Log what the process prints until it has ended. Raises StartError when we are told to stop before."""
    poll = select.poll()
    for descriptor in (pidfd, output.descriptor):
        poll.register(descriptor, select.POLLIN)
    attention.register(poll)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if output.descriptor in ready and not output.read():
            poll.unregister(output.descriptor)
        if pidfd in ready:
            return
        for number in attention.heed(ready):
            if number in _INTERRUPTS:
                _end(pid, pidfd, number)
                what = f"{script.title}: {script.shown}: interrupted by signal {number}"
                error = StartError(what, script.container, script.where, step=script.title)
                error.status = 128 + number
                raise error


def _end(pid: int, pidfd: int, number: int) -> None:
    """End a hook and what it has started: politely, then not."""
    _kill_group(pid, number)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll(_GRACE_MS)
    _kill_group(pid, _signal.SIGKILL)


def _kill_group(pid: int, number: int) -> None:
    # Not waited for yet, so the number is still its own.
    for target in (-pid, pid):  # a process that has only just been born has no group of its own yet
        try:
            posix.kill(target, number)
        except ProcessLookupError:
            pass


def _judge(script: Script, status: int) -> None:
    """Raises OSError when this wait status is not that of a success."""
    code = posix.waitstatus_to_exitcode(status)
    if code == 0:
        return
    if code < 0:
        # Of two names the first in the alphabet is the usual one: SIGABRT, SIGCHLD, SIGIO.
        name = min((name for name, number in SIGNALS.items() if number == -code), default=f"signal {-code}")
        reason = f"was killed by {name}"
    else:
        reason = f"ended with status {code}"
    raise OSError(0, f"{reason} ({script.where})", script.shown)
