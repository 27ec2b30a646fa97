"""The parent's part of a start: lock, child, id maps, go; then listen until the child is the payload.

What a step has made and no process's end takes away, it puts on the list of ends: they run, the last
first, when the start fails and when the container has ended.
"""

from __future__ import annotations

import _signal
import posix
import select

from minilxc.errors import MinilxcError, StartError
from minilxc.launch import cgroups, channel, child, idmap, kernel_files, limits, lock, namespaces, runtime
from minilxc.launch.attention import Attention
from minilxc.launch.child import Step
from minilxc.linux import process
from minilxc.linux.syscalls import ENOENT
from minilxc.log import DEBUG, INFO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from minilxc.launch.attention import Desk
    from minilxc.launch.cgroups import Made
    from minilxc.launch.hooks import Hooks, Output
    from minilxc.launch.plan import Plan
    from minilxc.log import Log

_STATUS_NOT_FOUND, _STATUS_NOT_EXECUTABLE = 127, 126  # as shells, env(1) and chroot(1) have it


class ExecError(StartError):
    """The container is all set up, but its program cannot be executed."""


class Claim:
    """A container's name, held by this process: its lock, its folder among those that run, and its desk.

    It outlives one start where the container reboots. `pidfile` has our number as long as the name is ours.
    """

    __slots__ = ("_lock", "_pidfile", "_runtime", "desk", "lxcpath", "name")

    def __init__(self, lxcpath: str, name: str, desk: Desk | None = None, pidfile: str | None = None) -> None:
        self.lxcpath = lxcpath
        self.name = name
        self.desk = desk
        self._pidfile = pidfile
        self._lock = -1
        self._runtime: runtime.Runtime | None = None

    def take(self) -> None:
        """Have the name, if it is not ours already. Raises StartError when somebody else has it; OSError."""
        if self._lock < 0:
            self._lock = lock.take(self.lxcpath, self.name)
            self._runtime = runtime.Runtime(self.lxcpath, self.name)
            if self._pidfile is not None:
                _write_pidfile(self._pidfile, self.name)
            if self.desk is not None:
                self.desk.listen(self._runtime.folder)

    def note_groups(self, paths: list[str]) -> None:
        """Have the container's groups be found when this process is killed. Raises OSError."""
        if self._runtime is not None:
            self._runtime.note_groups(paths)

    def tell(self, state: str) -> None:
        """Have the container's state be known to who asks."""
        if self.desk is not None:
            self.desk.tell(state)

    def release(self) -> None:
        """Let go of the name. Who waits for that is told last. Raises OSError."""
        try:
            if self._runtime is not None:
                if self._pidfile is not None:
                    _remove_pidfile(self._pidfile)
                self._runtime.remove()
        finally:
            if self._lock >= 0:
                posix.close(self._lock)
                self._lock = -1
            if self.desk is not None:
                self.desk.close()


def _write_pidfile(path: str, name: str) -> None:
    try:
        file = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o644)
        try:
            posix.write(file, f"{posix.getpid()}\n".encode())
        finally:
            posix.close(file)
    except OSError as error:
        what = f"pidfile: {path}: {error.strerror}"
        raise StartError(what, name, step="pidfile", errno=error.errno or 0) from None


def _remove_pidfile(path: str) -> None:
    try:
        posix.unlink(path)
    except OSError:
        pass  # somebody else has, or it could not be written


class Started:
    """A container whose payload runs: its process 1, what is attended to, its groups, its terminals' masters.

    Who waits for its end calls `finish` then, and sets `reboots` where process 1 asked for another start.
    """

    __slots__ = ("_opened", "_outside", "attention", "console", "groups", "pid", "pidfd", "reboots", "ttys")

    def __init__(
        self, outside: _Outside, console: int | None, ttys: tuple[int, ...], opened: tuple[int, ...]
    ) -> None:
        """`opened` are all descriptors of terminals."""
        self._opened = opened
        self.pid = outside.pid
        self.pidfd = outside.pidfd
        self.attention = outside.attention
        self.groups = outside.cgroups.paths
        self.console = console
        self.ttys = ttys
        self.reboots = False
        self._outside = outside

    def thaw(self) -> None:
        """Let the container go on where it is frozen, so that it can end."""
        cgroups.thaw(self._outside.cgroups)

    def finish(self) -> None:
        """Take away what the start has made on the host. Process 1 has ended."""
        self._outside.reboots = self.reboots
        for descriptor in (self.pidfd, *self._opened):
            posix.close(descriptor)
        try:
            _end(self._outside.ends, self._outside.log)
        finally:
            posix.close(self.attention.signals)


class _Outside:
    """What the parent holds during a start. `ends` take away what its steps have made: names and functions."""

    __slots__ = (
        "attention",
        "cgroups",
        "claim",
        "ends",
        "log",
        "namespaces",
        "ours",
        "output",
        "page",
        "pid",
        "pidfd",
        "reboots",
        "theirs",
    )

    def __init__(self, claim: Claim, log: Log) -> None:
        self.claim = claim
        self.log = log
        self.ends: list[tuple[str, Callable[[], object]]] = []
        self.cgroups: Made
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # ignored, it would never tell of the child's end
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        self.attention = Attention(process.signalfd(_signal.valid_signals()), claim.desk)
        self.ours, self.theirs = channel.pair()
        self.page = channel.Page()
        self.pid = self.pidfd = -1
        self.output: Output | None = None  # of the hook that the child runs
        self.namespaces: list[tuple[str, int]] = []  # kept open for the stop hooks: kind, descriptor
        self.reboots = False


def steps(plan: Plan) -> tuple[Step, ...]:
    """The parent's steps, in the order in which they run."""
    yielded = [Step("lock", _claim)]
    if plan.monitor_mounts:
        # Before the pre-start hooks, whose mounts shall stay off the host.
        yielded += [Step("monitor namespace", lambda outside: namespaces.leave_mounts())]
    hooks = plan.hooks
    if hooks is not None:
        yielded += [Step("pre-start hook", lambda outside: _begin_with_hooks(hooks, outside))]
    # Before the child, which is born into one of them: what is wrong with a setting costs no container.
    yielded += [Step("cgroup", lambda outside: _make_cgroups(plan, outside))]
    if plan.rootfs.prepare is not None:
        prepare = plan.rootfs.prepare
        yielded += [Step("rootfs", lambda outside: prepare(plan.rootfs, outside.ends))]
    # All namespaces at birth: the child never is a process of the host that could be mistaken for one.
    yielded += [Step("clone", lambda outside: _clone(plan, outside))]
    if hooks is not None and hooks.told_namespaces:
        yielded += [Step("stop hook", lambda outside: _prepare_stop_hooks(hooks, plan, outside))]
    if plan.idmap is not None:
        maps = plan.idmap
        yielded += [Step("id maps", lambda outside: idmap.write(maps, outside.pid))]
    if plan.proc_files:
        yielded += [Step("proc", lambda outside: kernel_files.write_proc(plan.proc_files, outside.pid))]
    if plan.network is not None and plan.network.interfaces:
        from minilxc.launch import network

        # Before the child looks around: its sysfs and its hooks find all interfaces as they shall be.
        planned = plan.network
        yielded += [Step("network", lambda outside: network.make(planned, outside))]
    yielded += [Step("go", lambda outside: outside.ours.send(channel.GO))]
    return tuple(yielded)


def steps_during(plan: Plan) -> tuple[Step, ...]:
    """The parent's steps that the child asks for, when it has come so far."""
    yielded = [
        Step("limits", lambda outside: limits.apply(plan.limits, outside.pid)),
        Step("namespaces", lambda outside: _keep_namespaces(plan, outside, ("time",))),
        Step("start-host hook", lambda outside: _run_start_host_hooks(plan, outside)),
        Step("device rules", lambda outside: cgroups.rule_devices(plan.cgroups, outside.cgroups)),
    ]
    if plan.trees is not None:
        trees = plan.trees
        yielded += [
            Step("rootfs", lambda outside: trees.send_rootfs(plan.rootfs, outside.pid, outside.ours)),
            Step("mounts", lambda outside: trees.send_mounts(plan.mounts, outside.pid, outside.ours)),
        ]
    return tuple(yielded)


def start(plan: Plan, log: Log, claim: Claim) -> Started:
    """Start the container. On return its payload runs; on StartError nothing of it is left.

    All signals are blocked afterwards: who waits for the container heeds them by `Started.attention`.
    """
    if log.level <= DEBUG:
        for subject, text in plan.lines():
            log.write(DEBUG, subject, text)
    outside = _Outside(claim, log)
    try:
        for step in steps(plan):
            _do(plan, step, outside)
        outside.theirs.close()
        try:
            terminals = _listen(plan, outside)
        finally:
            _close_output(outside)
        if plan.ephemeral is not None:
            # Only what has run is removed, after all other ends, and before the name is free again.
            destroy = plan.ephemeral.destroy_with(plan.idmap)
            outside.ends.insert(1, ("ephemeral", lambda: outside.reboots or destroy()))
    except BaseException:
        claim.tell("ABORTING")
        _undo(outside)
        raise
    outside.ours.close()
    outside.page.unmap()
    log.write(INFO, "start", f"process 1 is {outside.pid}")
    return Started(outside, *terminals)


def _do(plan: Plan, step: Step, outside: _Outside) -> None:
    try:
        step.act(outside)
    except OSError as error:
        raise _step_error(plan, step.name, error.errno or 0, error.filename, error.strerror) from None


def _end(ends: list[tuple[str, Callable[[], object]]], log: Log) -> None:
    """Go through the ends, the last first. What fails is told, and the rest goes on; so after a bug."""
    bug = None
    while ends:
        name, act = ends.pop()
        try:
            act()
        except OSError as error:
            log.complain(name, f"{error.filename}: {error.strerror}" if error.filename else str(error))
        except MinilxcError as error:
            log.complain(name, str(error))
        except Exception as error:  # noqa: BLE001  the other ends must not wait for it
            bug = bug or error
    if bug is not None:
        raise bug


def _undo(outside: _Outside) -> None:
    """End the child, whose end takes all of its namespaces and mounts along; let go of the name."""
    if outside.pid > 0:
        try:
            process.pidfd_send_signal(outside.pidfd, _signal.SIGKILL)
            # What a hook has started, too, which no pid namespace may end. Until waitpid nobody else has the number.
            posix.kill(-outside.pid, _signal.SIGKILL)
        except ProcessLookupError:
            pass
        cgroups.thaw(outside.cgroups)
        try:
            posix.waitpid(outside.pid, 0)
        except ChildProcessError:
            pass
        posix.close(outside.pidfd)
    outside.ours.close()
    outside.theirs.close()
    outside.page.unmap()
    _end(outside.ends, outside.log)
    posix.close(outside.attention.signals)


def _claim(outside: _Outside) -> None:
    outside.ends.append(("lock", lambda: _let_go_of_name(outside)))
    outside.claim.take()


def _let_go_of_name(outside: _Outside) -> None:
    if not outside.reboots:
        outside.claim.release()


def _make_cgroups(plan: Plan, outside: _Outside) -> None:
    outside.cgroups = cgroups.make(plan.cgroups, outside.ends)
    outside.claim.note_groups(outside.cgroups.paths)


def _clone(plan: Plan, outside: _Outside) -> None:
    filter = init_filter = None
    if plan.filters is not None:
        from minilxc.seccomp.loader import Load

        filter = Load(plan.filters.payload)
        if plan.with_init:
            init_filter = Load(plan.filters.init)
    door = cgroups.open_door(plan.cgroups, outside.cgroups)
    own: tuple[tuple[int, int], ...] = ()
    try:
        own = namespaces.join(plan.namespaces)
        pid, pidfd = process.fork_into(plan.namespaces.clone_flags, door.group)
        if pid == 0:
            outside.ours.close()
            child.run(plan, child.Inside(outside.theirs, outside.page, door), filter, init_filter)
        outside.pid, outside.pidfd = pid, pidfd
    finally:
        namespaces.leave(own)
        door.close()
    cgroups.bring_in(plan.cgroups, outside.cgroups, outside.pid)


def _begin_with_hooks(hooks: Hooks, outside: _Outside) -> None:
    """Run the pre-start hooks. Those of the end run whatever comes of it, and so of what these have begun."""
    outside.ends.append(("post-stop hook", lambda: _run_at_the_end(hooks, "post-stop", outside)))
    try:
        hooks.run("pre-start", outside.log, outside.attention)
    except BaseException:
        outside.ends.append(("stop hook", lambda: _run_at_the_end(hooks, "stop", outside)))
        raise


_NAMESPACES_TOLD = ("user", "mnt", "pid", "uts", "ipc", "net", "cgroup")  # to stop hooks, in LXC's order


def _prepare_stop_hooks(hooks: Hooks, plan: Plan, outside: _Outside) -> None:
    """Keep the namespaces open for the hooks that run when nobody is in them any more."""
    outside.ends.append(("stop hook", lambda: _stop(hooks, outside)))
    _keep_namespaces(plan, outside, _NAMESPACES_TOLD)


def _keep_namespaces(plan: Plan, outside: _Outside, kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        if kind in plan.namespaces.new:
            path = f"/proc/{outside.pid}/ns/{kind}"
            outside.namespaces.append((kind, posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)))


def _stop(hooks: Hooks, outside: _Outside) -> None:
    try:
        _run_at_the_end(hooks, "stop", outside)
    finally:
        for _, descriptor in outside.namespaces:
            posix.close(descriptor)  # they would hold the container's mounts beyond its end


def _run_at_the_end(hooks: Hooks, kind: str, outside: _Outside) -> None:
    from minilxc.launch.hooks import Told

    told = Told(outside.pid, outside.namespaces, "reboot" if outside.reboots else "stop")
    hooks.run_at_the_end(kind, outside.log, outside.attention, told)


def _run_start_host_hooks(plan: Plan, outside: _Outside) -> None:
    from minilxc.launch.hooks import Told

    assert plan.hooks is not None
    plan.hooks.run("start-host", outside.log, outside.attention, Told(outside.pid))


def _follow_output(outside: _Outside, text: str, descriptor: int) -> None:
    from minilxc.launch.hooks import Output

    _close_output(outside)
    title, shown = text.split("\0", 1)
    outside.output = Output(descriptor, title, shown, outside.log)


def _close_output(outside: _Outside) -> None:
    if outside.output is not None:
        outside.output.close()
        outside.output = None


def _listen(plan: Plan, outside: _Outside) -> tuple[int | None, tuple[int, ...], tuple[int, ...]]:
    """Answer the child until its last word: the masters of console and ttys, and all descriptors of terminals.

    Raises StartError when the last word was not execve.
    """
    console: int | None = None
    ttys: tuple[int, ...] = ()
    opened: tuple[int, ...] = ()
    while True:
        _wait_for_message(plan, outside)
        _close_output(outside)  # a hook has ended before the child says anything else
        kind, text, descriptors = outside.ours.receive()
        if kind == channel.TERMINALS:
            opened = descriptors
            # The console's slave, second, stays open without further use.
            console, ttys = (descriptors[0], descriptors[2:]) if text else (None, descriptors)
        elif kind == channel.ASK:
            _do(plan, next(step for step in steps_during(plan) if step.name == text), outside)
            try:
                outside.ours.send(channel.GO)
            except BrokenPipeError:
                pass  # it has ended meanwhile, which is the next thing to be heard
        elif kind == channel.OUTPUT:
            _follow_output(outside, text, descriptors[0])
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
    return console, ttys, opened


_INTERRUPTS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)


def _wait_for_message(plan: Plan, outside: _Outside) -> None:
    """Wait until the child says something. Raises StartError when we are told to stop before that."""
    poll = select.poll()
    poll.register(outside.ours.fileno(), select.POLLIN)
    outside.attention.register(poll)
    output = outside.output
    if output is not None:
        poll.register(output.descriptor, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if outside.ours.fileno() in ready:
            return
        if output is not None and output.descriptor in ready and not output.read():
            poll.unregister(output.descriptor)
        for number in outside.attention.heed(ready):
            if number in _INTERRUPTS:
                error = StartError(f"interrupted by signal {number}", plan.name, step="start")
                error.status = 128 + number
                raise error
            if number == _signal.SIGCHLD and _has_ended(outside.pidfd):
                return  # it may have died so early that the channel's end is all there is to read


def _has_ended(pidfd: int) -> bool:
    """Whether the child has; hooks of the host and newuidmap are our children, too."""
    return posix.waitid(posix.P_PIDFD, pidfd, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT) is not None


def _step_error(plan: Plan, step: str, number: int, thing: object, reason: str | None) -> StartError:
    what = f"{step}: {thing}: {reason}" if thing else f"{step}: {reason}"
    # A hook's or a script's own line is part of the reason.
    told = reason is not None and any(f"({where})" in reason for where in _script_lines(plan) if where)
    hint = None if told else _blame(plan, step, str(thing))
    error = StartError(what, plan.name, hint, step=step, errno=number)
    if step in ("interpreters", "program"):
        error.status = _exec_status(number)
    return error


def _script_lines(plan: Plan) -> Iterator[str]:
    for interface in plan.network.interfaces if plan.network is not None else ():
        yield from interface.script_where.values()


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
