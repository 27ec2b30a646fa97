"""The parent's part of a start: lock, child, id maps, go; then listen until the child is the payload.

What a step has made and no process's end takes away, it puts on the list of ends: they run, the last
first, when the start fails and when the container has ended.
"""

from __future__ import annotations

import _signal
import posix
import select

from minilxc.errors import MinilxcError, StartError
from minilxc.launch import channel, child, idmap, kernel_files, limits, lock, namespaces
from minilxc.launch.child import Step
from minilxc.linux import process
from minilxc.linux.syscalls import ENOENT
from minilxc.log import DEBUG, INFO, WARN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minilxc.launch.plan import Plan
    from minilxc.log import Log

_STATUS_NOT_FOUND, _STATUS_NOT_EXECUTABLE = 127, 126  # as shells, env(1) and chroot(1) have it


class ExecError(StartError):
    """The container is all set up, but its program cannot be executed."""


class Started:
    """A container whose payload runs: its process 1, a signalfd of all our signals, its terminals' masters.

    Who waits for its end calls `finish` then.
    """

    __slots__ = ("_ends", "_log", "console", "pid", "pidfd", "signals", "ttys")

    def __init__(self, outside: _Outside, console: int | None, ttys: tuple[int, ...]) -> None:
        self.pid = outside.pid
        self.pidfd = outside.pidfd
        self.signals = outside.signals
        self.console = console
        self.ttys = ttys
        self._ends = outside.ends
        self._log = outside.log

    def finish(self) -> None:
        """Take away what the start has made on the host. Process 1 has ended."""
        _end(self._ends, self._log)


class _Outside:
    """What the parent holds during a start. `ends` take away what its steps have made: names and functions."""

    __slots__ = ("ends", "log", "ours", "page", "pid", "pidfd", "signals", "theirs")

    def __init__(self, log: Log) -> None:
        self.log = log
        self.ends: list[tuple[str, Callable[[], object]]] = []
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # ignored, it would never tell of the child's end
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        self.signals = process.signalfd(_signal.valid_signals())
        self.ours, self.theirs = channel.pair()
        self.page = channel.Page()
        self.pid = self.pidfd = -1


def steps(plan: Plan) -> tuple[Step, ...]:
    """The parent's steps, in the order in which they run."""
    yielded = [Step("lock", lambda outside: _lock(plan, outside))]
    if plan.rootfs.prepare is not None:
        prepare = plan.rootfs.prepare
        yielded += [Step("rootfs", lambda outside: prepare(plan.rootfs, outside.ends))]
    # All namespaces at birth: the child never is a process of the host that could be mistaken for one.
    yielded += [Step("clone", lambda outside: _clone(plan, outside))]
    if plan.idmap is not None:
        maps = plan.idmap
        yielded += [Step("id maps", lambda outside: idmap.write(maps, outside.pid))]
    if plan.proc_files:
        yielded += [Step("proc", lambda outside: kernel_files.write_proc(plan.proc_files, outside.pid))]
    yielded += [Step("go", lambda outside: outside.ours.send(channel.GO))]
    return tuple(yielded)


def steps_during(plan: Plan) -> tuple[Step, ...]:
    """The parent's steps that the child asks for, when it has come so far."""
    yielded = [Step("limits", lambda outside: limits.apply(plan.limits, outside.pid))]
    if plan.trees is not None:
        trees = plan.trees
        yielded += [
            Step("rootfs", lambda outside: trees.send_rootfs(plan.rootfs, outside.pid, outside.ours)),
            Step("mounts", lambda outside: trees.send_mounts(plan.mounts, outside.pid, outside.ours)),
        ]
    return tuple(yielded)


def start(plan: Plan, log: Log) -> Started:
    """Start the container. On return its payload runs; on StartError nothing of it is left.

    All signals are blocked afterwards: who waits for the container reads them from `Started.signals`.
    """
    if log.level <= DEBUG:
        for subject, text in plan.lines():
            log.write(DEBUG, subject, text)
    outside = _Outside(log)
    try:
        for step in steps(plan):
            _do(plan, step, outside)
        outside.theirs.close()
        console, ttys = _listen(plan, outside)
        if plan.ephemeral is not None:
            # Only what has run is removed, after all other ends, and before the name is free again.
            outside.ends.insert(1, ("ephemeral", plan.ephemeral.destroy_with(plan.idmap)))
    except BaseException:
        _undo(outside)
        raise
    log.write(INFO, "start", f"process 1 is {outside.pid}")
    return Started(outside, console, ttys)


def _do(plan: Plan, step: Step, outside: _Outside) -> None:
    try:
        step.act(outside)
    except OSError as error:
        raise _step_error(plan, step.name, error.errno or 0, error.filename, error.strerror) from None


def _end(ends: list[tuple[str, Callable[[], object]]], log: Log) -> None:
    """Go through the ends, the last first. What fails is told in the log, and the rest goes on."""
    while ends:
        name, act = ends.pop()
        try:
            act()
        except (OSError, MinilxcError) as error:
            log.write(WARN, name, str(error))


def _undo(outside: _Outside) -> None:
    """End the child, whose end takes all of its namespaces and mounts along; let go of the name."""
    if outside.pid > 0:
        try:
            process.pidfd_send_signal(outside.pidfd, _signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            posix.waitpid(outside.pid, 0)
        except ChildProcessError:
            pass
        posix.close(outside.pidfd)
    outside.ours.close()
    outside.theirs.close()
    posix.close(outside.signals)
    _end(outside.ends, outside.log)


def _lock(plan: Plan, outside: _Outside) -> None:
    held = lock.take(plan.lxcpath, plan.name)
    outside.ends.append(("lock", lambda: posix.close(held)))


def _clone(plan: Plan, outside: _Outside) -> None:
    filter = init_filter = None
    if plan.filters is not None:
        from minilxc.seccomp.loader import Load

        filter = Load(plan.filters.payload)
        if plan.with_init:
            init_filter = Load(plan.filters.init)
    own = namespaces.join(plan.namespaces)
    try:
        pid, pidfd = process.fork_into(plan.namespaces.clone_flags)
        if pid == 0:
            outside.ours.close()
            child.run(plan, child.Inside(outside.theirs, outside.page), filter, init_filter)
        outside.pid, outside.pidfd = pid, pidfd
    finally:
        namespaces.leave(own)


def _listen(plan: Plan, outside: _Outside) -> tuple[int | None, tuple[int, ...]]:
    """Answer the child until its last word. Raises StartError when it was not execve."""
    console: int | None = None
    ttys: tuple[int, ...] = ()
    while True:
        _wait_for_message(plan, outside)
        kind, text, descriptors = outside.ours.receive()
        if kind == channel.TERMINALS:
            # The console's slave, second, stays open without further use.
            console, ttys = (descriptors[0], descriptors[2:]) if text else (None, descriptors)
        elif kind == channel.ASK:
            _do(plan, next(step for step in steps_during(plan) if step.name == text), outside)
            outside.ours.send(channel.GO)
        elif kind == channel.FAILED:
            step, number, thing, reason = text.split("\0", 3)
            raise _step_error(plan, step, int(number), thing, reason)
        else:
            break
    page = outside.page
    if page.execve_errno:
        raise _exec_error(plan, page.execve_errno)
    if page.step != child.EXECVE:
        step = child.step_names(plan)[page.step]
        raise StartError(f"{step}: the container ended before its program was executed", plan.name, step=step)
    return console, ttys


_INTERRUPTS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)


def _wait_for_message(plan: Plan, outside: _Outside) -> None:
    """Wait until the child says something. Raises StartError when we are told to stop before that."""
    poll = select.poll()
    poll.register(outside.ours.fileno(), select.POLLIN)
    poll.register(outside.signals, select.POLLIN)
    while all(descriptor == outside.signals for descriptor, _ in poll.poll()):
        for number in process.read_signals(outside.signals):
            if number in _INTERRUPTS:
                error = StartError(f"interrupted by signal {number}", plan.name, step="start")
                error.status = 128 + number
                raise error
            if number == _signal.SIGCHLD and _has_ended(outside):
                return  # it may have died so early that the channel's end is all there is to read


def _has_ended(outside: _Outside) -> bool:
    """Whether the child has; other children, such as newuidmap, end too."""
    return (
        posix.waitid(posix.P_PIDFD, outside.pidfd, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT) is not None
    )


def _step_error(plan: Plan, step: str, number: int, thing: object, reason: str | None) -> StartError:
    what = f"{step}: {thing}: {reason}" if thing else f"{step}: {reason}"
    error = StartError(what, plan.name, _blame(plan, step, str(thing)), step=step, errno=number)
    if step == "program":
        error.status = _exec_status(number)
    return error


def _blame(plan: Plan, step: str, thing: str) -> str | None:
    """The line of the config that a failure of `step` about `thing` comes from, where one does."""
    # The longest name counts: one may begin like another.
    found = [(len(about), where) for known, about, where in plan.wheres if known == step and about in thing]
    if step == "mounts":
        for mount in plan.mounts:
            names = (mount.source, mount.target, f"{mount.fstype} on {mount.target}")
            lengths = [len(name) for name in names if name and thing.startswith(name)]
            if lengths and not mount.optional:
                found.append((max(lengths), f"{mount.where}; 'optional' would skip it"))
    return max(found, key=lambda candidate: candidate[0])[1] if found else None


def _exec_error(plan: Plan, number: int) -> ExecError:
    program = plan.program
    hint = f"from {program.key}" if program.key else None
    error = ExecError(
        f"execve: {program.arguments[0]}: {posix.strerror(number)}",
        plan.name,
        hint,
        step="execve",
        errno=number,
    )
    error.status = _exec_status(number)
    return error


def _exec_status(number: int) -> int:
    return _STATUS_NOT_FOUND if number == ENOENT else _STATUS_NOT_EXECUTABLE
