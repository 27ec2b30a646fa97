"""The child's part of a start: one list of named steps, from its first instruction to execve.

The order is a promise to policies, hooks and images, and each place has its reason, kept beside the
step. The child decides nothing and imports nothing: what it does was settled in the plan, and the
modules were loaded before it existed, so nothing is ever read from the container's files.
"""

from __future__ import annotations

import _signal
import gc
import posix

from minilxc.launch import (
    cgroups,
    credentials,
    devices,
    idmap,
    init,
    kernel_files,
    mounts,
    namespaces,
    program,
    rootfs,
    terminal,
)
from minilxc.launch.channel import fail
from minilxc.linux import process
from minilxc.linux.syscalls import EACCES, os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from minilxc.launch.cgroups import Door
    from minilxc.launch.channel import Channel, Page
    from minilxc.launch.hooks import Script
    from minilxc.launch.labels import Labels
    from minilxc.launch.plan import Plan
    from minilxc.seccomp.loader import Load


class Inside:
    """What the child holds while it sets itself up: descriptors and the finished path, no decisions."""

    __slots__ = (
        "channel",
        "command_line",
        "confined",
        "console",
        "dev",
        "door",
        "filter",
        "page",
        "path",
        "proc",
        "root",
    )

    def __init__(self, channel: Channel, page: Page, door: Door) -> None:
        self.channel = channel
        self.page = page
        self.door = door
        self.root = -1
        self.proc = -1  # the host's /proc, where labels are written
        self.console: int | None = None
        self.path = ""
        self.dev = 0  # the device number of the fresh /dev
        self.confined = (-1, -1)  # a pipe by which init lets the payload go on
        self.command_line = (0, 0)
        self.filter: Load | None = None  # the payload's, which start hooks run under too


class Step:
    """One step, of the child or of the parent: its name, which is what an error names, and what it does."""

    __slots__ = ("act", "name")

    def __init__(self, name: str, act: Callable[[Any], object]) -> None:
        self.name = name
        self.act = act


def steps(plan: Plan) -> tuple[Step, ...]:
    """The steps that lead to the payload, in the order in which they run."""
    # First of all, so that whatever it does is done as a member: through descriptors that the next step closes.
    yielded = [Step("cgroup", lambda inside: cgroups.enter(plan.cgroups, inside.door))]
    # What the caller has left open is nothing that a root file system may lead to (CVE-2024-21626).
    yielded += [Step("inherited descriptors", _close_inherited)]
    # Before the change of ids, which closes the offsets' file to who is no root of the host. proc_pid(5)
    yielded += [Step("time namespace", lambda inside: namespaces.make_time_namespace(plan.namespaces))]
    # Nothing below may run as the overflow id: the parent writes the id maps, then says go.
    yielded += [Step("id maps", lambda inside: idmap.enter(plan.idmap, inside.channel))]
    # A parent that dies from here on takes the child with it, whatever step it has reached. After the
    # change of ids, which clears the signal.
    yielded += [Step("death signal", lambda inside: _die_with_parent(_signal.SIGKILL, inside))]
    # A session of its own, before a terminal is there to become its controlling one.
    yielded += [Step("session", lambda inside: _new_session())]
    if plan.own_core:
        # Before there is anybody who could be left out: what is forked from here on inherits it.
        yielded += [Step("core scheduling", lambda inside: _take_own_core())]
    if plan.hooks is not None and plan.hooks.told_namespaces and "time" in plan.namespaces.new:
        yielded += [Step("namespaces", lambda inside: inside.channel.ask("namespaces"))]
    if plan.own_mounts:
        # Slave before the first mount, or it would show up on the host.
        yielded += [Step("mount propagation", lambda inside: namespaces.isolate_mounts())]
    yielded += _hooks(plan, "pre-mount")
    yielded += [Step("rootfs", lambda inside: _attach(plan, inside))]
    if plan.hostname is not None:
        hostname = plan.hostname
        yielded += [Step("host name", lambda inside: process.sethostname(hostname))]
    if plan.labels is not None:
        labels = plan.labels
        # While /proc is the host's; and before the keyring, which may get one of its own.
        yielded += [Step("labels", lambda inside: _open_labels(labels, inside))]
    if plan.keyring:
        yielded += [Step("keyring", lambda inside: process.join_session_keyring())]
    if plan.network is not None and plan.network.loopback:
        from minilxc.launch import network  # the plan has loaded it

        yielded += [Step("network", lambda inside: network.set_loopback_up())]
    # Before entries, which may lie below them.
    yielded += [Step("system mounts", lambda inside: _mount_system(plan, inside))]
    # Before pivot_root: their sources are the host's.
    yielded += [Step("mounts", lambda inside: _mount(plan, inside))]
    if plan.cgroups.auto is not None:
        yielded += [Step("cgroup mounts", lambda inside: _mount_cgroups(plan, inside))]
    if mount_hooks := _hooks(plan, "mount") + _hooks(plan, "autodev"):
        yielded += mount_hooks
        # The rest goes by descriptor and would not be seen below what a hook has put over it.
        yielded += [Step("root file system", lambda inside: rootfs.refuse_covered(plan.rootfs, inside.root))]
    if plan.autodev:
        # After the entries, so that one of them may bring a device of its own.
        yielded += [Step("devices", lambda inside: devices.populate(plan.mapped, inside.root, inside.dev))]
    if plan.rootfs.path is not None:
        yielded += [Step("device links", lambda inside: devices.link(inside.root))]
    if plan.terminal is not None:
        yielded += [Step("terminal", lambda inside: _terminal(plan, inside))]
    if plan.sysctls:
        # Through the host's /proc, which is whole: the container's /proc/sys may be read-only.
        yielded += [Step("sysctl", lambda inside: kernel_files.write_sysctls(plan.sysctls))]
    yielded += [Step("pivot root", lambda inside: rootfs.enter(plan.rootfs, inside.root))]
    if plan.autodev:
        yielded += [Step("boot id", lambda inside: devices.boot_id())]
    if plan.personality is not None:
        persona = plan.personality
        yielded += [Step("personality", lambda inside: process.personality(persona))]
    if plan.limits:
        # After all that the set-up itself opens and writes; by the parent, who may raise them.
        yielded += [Step("limits", lambda inside: inside.channel.ask("limits"))]
    if plan.cgroups.rules_devices:
        # After the last device that the set-up itself makes or opens.
        yielded += [Step("device rules", lambda inside: inside.channel.ask("device rules"))]
    # Last, as what they may do depends on all of the above.
    if plan.hooks is not None and plan.hooks.of("start"):
        yielded += [Step("start hook", lambda inside: _run_start_hooks(plan, inside))]
    if plan.hooks is not None and plan.hooks.of("start-host"):
        yielded += [Step("start-host hook", lambda inside: inside.channel.ask("start-host hook"))]
    return tuple(yielded)


def _hooks(plan: Plan, kind: str) -> list[Step]:
    """The step that runs the hooks of a kind which see the host's tree, if there are any."""
    hooks = plan.hooks
    if hooks is None or not hooks.of(kind):
        return []
    return [Step(f"{kind} hook", lambda inside: hooks.run_in_hosts_tree(kind, inside.channel, plan.umask))]


def confining_steps(plan: Plan) -> tuple[Step, ...]:
    """What confines every program that is started inside, whichever it is, but for the filter."""
    return (
        Step("capabilities", lambda inside: credentials.limit_capabilities(plan.credentials)),
        Step("credentials", lambda inside: credentials.become(plan.credentials)),
    )


def last_steps(plan: Plan) -> tuple[Step, ...]:
    """The way of every program that is started inside: credentials, descriptors; then filter and execve."""
    return (
        Step("working directory", lambda inside: program.enter_directory(plan.program)),
        # Once with all rights, as what the payload's user cannot read the kernel still follows.
        Step("interpreters", lambda inside: program.check_beforehand(plan.program)),
        *confining_steps(plan),
        # A change of user has cleared it; this is the payload's own.
        Step("death signal", lambda inside: _die_with_parent(plan.death_signal, inside)),
        # In the payload's own session, whose leader it is.
        Step("stdio", lambda inside: _take_stdio(plan, inside)),
        # As the payload's user: who may not execute it is told so while a message can still be sent.
        Step("program", lambda inside: _find(plan, inside)),
        # So far both went on side by side; from here on the payload may be watched by nothing unconfined.
        *((Step("init", init.wait_until_confined),) if plan.with_init else ()),
        *((Step("labels", lambda inside: _label_program(plan, inside)),) if plan.labels is not None else ()),
        Step("descriptors", lambda inside: program.close_descriptors((inside.channel.fileno(),))),
        Step("umask", lambda inside: posix.umask(plan.umask)),
        # The mask last: what the caller sends meanwhile waits for the payload.
        Step("signals", lambda inside: process.reset_signals()),
    )


def run(plan: Plan, inside: Inside, filter: Load | None, init_filter: Load | None) -> NoReturn:
    """Go through the steps and become the payload, or, for execute, its init. Never returns."""
    gc.disable()
    inside.filter = filter
    try:
        setup = steps(plan)
        if plan.with_init:
            init.prepare(inside)
        elif plan.hooks is not None:
            inside.command_line = process.command_line_area()
        _go_through(setup, inside)
        if plan.with_init:
            try:
                payload = init.fork_payload(inside)
            except OSError as error:
                fail(inside.channel, "fork", error)
            if payload:
                init.run(plan, inside, payload, init_filter)
        _become_payload(plan, inside, len(setup), filter)
    except BaseException as error:  # noqa: BLE001  no exception may run the caller's code in this copy of it
        fail(inside.channel, "bug", error)


def _become_payload(plan: Plan, inside: Inside, first: int, filter: Load | None) -> NoReturn:
    """The last steps, then the filter and execve. `first` is the number that the first of them gets."""
    _go_through(last_steps(plan), inside, first)
    inside.page.step = EXECVE
    try:
        program.execute(inside.path, plan.program, filter, inside.page)
    except OSError as error:
        fail(inside.channel, "seccomp", error)
    posix._exit(127)


EXECVE = -1  # the step of the page while the filter is loaded and the program is executed


def step_names(plan: Plan) -> tuple[str, ...]:
    """The names of all steps by the numbers that the shared page shows."""
    return tuple(step.name for step in steps(plan) + last_steps(plan))


def _go_through(todo: tuple[Step, ...], inside: Inside, first: int = 0) -> None:
    for number, step in enumerate(todo, first):
        inside.page.step = number
        try:
            step.act(inside)
        except OSError as error:
            fail(inside.channel, step.name, error)


def _close_inherited(inside: Inside) -> None:
    program.close_descriptors((inside.channel.fileno(), *inside.confined))


def _new_session() -> None:
    posix.setsid()
    posix.umask(0)  # modes below are meant as written; the payload gets the caller's back


def _take_own_core() -> None:
    from minilxc.linux.core_scheduling import take_own_core  # the plan has loaded it

    take_own_core()


def _open_labels(labels: Labels, inside: Inside) -> None:
    inside.proc = labels.open_proc()
    labels.for_keyring(inside.proc)


def _label_program(plan: Plan, inside: Inside) -> None:
    assert plan.labels is not None
    plan.labels.for_program(inside.proc)


def _attach(plan: Plan, inside: Inside) -> None:
    if plan.rootfs.path is None:
        inside.root = rootfs.share()
        return
    if plan.rootfs.by_parent and plan.trees is not None:
        inside.root = plan.trees.receive_rootfs(inside.channel)
    else:
        inside.root = rootfs.make(plan.rootfs)
    rootfs.attach(plan.rootfs, inside.root)


def _mount_system(plan: Plan, inside: Inside) -> None:
    mounts.perform(plan.system_mounts, inside.root)
    if plan.autodev:
        inside.dev = devices.identity(inside.root)


def _run_start_hooks(plan: Plan, inside: Inside) -> None:
    """Run the start hooks, each the same last way as the payload: credentials, descriptors, filter, execve."""
    assert plan.hooks is not None
    # They run beside this process, which is not confined yet and still has the caller's environment.
    credentials.hide_from_tracers()
    process.overwrite_command_line(inside.command_line, b"minilxc")
    try:
        plan.hooks.run_in_child(
            "start", inside.channel, lambda script: _become_start_hook(plan, inside, script)
        )
    except OSError:
        if inside.page.execve_errno:
            number, inside.page.execve_errno = inside.page.execve_errno, 0
            raise os_error("/bin/sh", number) from None
        raise


def _become_start_hook(plan: Plan, inside: Inside, script: Script) -> None:
    """A process of the start hook's own: become it. Returns only on failure; its errno is in the shared page."""
    environment = tuple(f"{name}={value}" for name, value in script.environment.items())
    shell = program.Program(script.words(), environment, "/")
    try:
        program.enter_directory(shell)
        if inside.console is not None and plan.terminal is not None and 0 in plan.terminal.stdio:
            posix.dup2(inside.console, 0)
        for step in confining_steps(plan):
            step.act(inside)
        credentials.set_death_signal(_signal.SIGKILL)  # a change of user has cleared it
        program.check(shell.arguments[0])
        if plan.labels is not None:
            plan.labels.for_program(inside.proc)
        program.close_descriptors(())
        posix.umask(plan.umask)
        program.execute(shell.arguments[0], shell, inside.filter, inside.page)
    except OSError as error:
        inside.page.execve_errno = error.errno or EACCES


def _mount_cgroups(plan: Plan, inside: Inside) -> None:
    from minilxc.launch import cgroup_mounts  # the plan has loaded it

    mounts.perform(cgroup_mounts.mounts(plan.cgroups, inside.door.paths), inside.root)


def _mount(plan: Plan, inside: Inside) -> None:
    made = plan.trees.receive_mounts(inside.channel) if plan.trees is not None and plan.trees.mounts else {}
    mounts.perform(plan.mounts, inside.root, made)


def _terminal(plan: Plan, inside: Inside) -> None:
    assert plan.terminal is not None
    inside.console = terminal.make(plan.terminal, inside.root, inside.channel)


def _die_with_parent(signal: int, inside: Inside) -> None:
    credentials.set_death_signal(signal)
    inside.channel.end_without_parent()


def _take_stdio(plan: Plan, inside: Inside) -> None:
    if inside.console is not None:
        assert plan.terminal is not None
        terminal.take_stdio(plan.terminal, inside.console)


def _find(plan: Plan, inside: Inside) -> None:
    inside.path = program.find(plan.program)
    program.check(inside.path)
