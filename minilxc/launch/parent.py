"""The parent's part of a start: lock, child, id maps, go; then listen until the child is the payload."""

from __future__ import annotations

import _signal
import posix
import select

from minilxc.errors import StartError
from minilxc.launch import channel, child, idmap, kernel_files, limits, lock, namespaces
from minilxc.launch.child import Step
from minilxc.linux import process
from minilxc.linux.syscalls import ENOENT
from minilxc.log import DEBUG, INFO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.launch.plan import Plan
    from minilxc.log import Log

_STATUS_NOT_FOUND, _STATUS_NOT_EXECUTABLE = 127, 126  # as shells, env(1) and chroot(1) have it


class ExecError(StartError):
    """The container is all set up, but its program cannot be executed."""


class Started:
    """A container whose payload runs: its process 1, a signalfd of all our signals, its terminals' masters."""

    __slots__ = ("console", "lock", "pid", "pidfd", "signals", "ttys")

    def __init__(
        self, pid: int, pidfd: int, held: int, signals: int, console: int | None, ttys: tuple[int, ...]
    ) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.lock = held
        self.signals = signals
        self.console = console
        self.ttys = ttys


class _Outside:
    """What the parent holds during a start."""

    __slots__ = ("held", "ours", "page", "pid", "pidfd", "signals", "theirs")

    def __init__(self) -> None:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # ignored, it would never tell of the child's end
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        self.signals = process.signalfd(_signal.valid_signals())
        self.ours, self.theirs = channel.pair()
        self.page = channel.Page()
        self.held = self.pid = self.pidfd = -1


def steps(plan: Plan) -> tuple[Step, ...]:
    """The parent's steps, in the order in which they run."""
    yielded = [Step("lock", lambda outside: _lock(plan, outside))]
    # All namespaces at birth: the child never is a process of the host that could be mistaken for one.
    yielded += [Step("clone", lambda outside: _clone(plan, outside))]
    if plan.idmap is not None:
        maps = plan.idmap
        yielded += [Step("id maps", lambda outside: idmap.write(maps, outside.pid))]
    if plan.proc_files:
        yielded += [Step("proc", lambda outside: kernel_files.write_proc(plan.proc_files, outside.pid))]
    yielded += [Step("go", lambda outside: outside.ours.send(channel.GO))]
    return tuple(yielded)


def start(plan: Plan, log: Log) -> Started:
    """Start the container. On return its payload runs; on StartError nothing of it is left.

    All signals are blocked afterwards: who waits for the container reads them from `Started.signals`.
    """
    if posix.geteuid() != 0:
        raise StartError("must be run as root; starting as an ordinary user is not supported yet", plan.name)
    if log.level <= DEBUG:
        for subject, text in plan.lines():
            log.write(DEBUG, subject, text)
    outside = _Outside()
    try:
        for step in steps(plan):
            try:
                step.act(outside)
            except OSError as error:
                raise _step_error(plan, step.name, error.errno or 0, error.filename, error.strerror) from None
        outside.theirs.close()
        console, ttys = _listen(plan, outside)
    except BaseException:
        _undo(outside)
        raise
    outside.page.unmap()
    log.write(INFO, "start", f"process 1 is {outside.pid}")
    return Started(outside.pid, outside.pidfd, outside.held, outside.signals, console, ttys)


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
    outside.page.unmap()
    posix.close(outside.signals)
    if outside.held >= 0:
        posix.close(outside.held)


def _lock(plan: Plan, outside: _Outside) -> None:
    outside.held = lock.take(plan.lxcpath, plan.name)


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
        elif kind == channel.LIMITS:
            _set_limits(plan, outside)
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
            if number == _signal.SIGCHLD:
                return  # it may have died so early that the channel's end is all there is to read


def _set_limits(plan: Plan, outside: _Outside) -> None:
    try:
        limits.apply(plan.limits, outside.pid)
    except OSError as error:
        raise _step_error(plan, "limits", error.errno or 0, error.filename, error.strerror) from None
    outside.ours.send(channel.GO)


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
