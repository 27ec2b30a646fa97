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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from minilxc.launch.channel import Channel, Page
    from minilxc.launch.plan import Plan
    from minilxc.seccomp.loader import Load


class Inside:
    """What the child holds while it sets itself up: descriptors and the finished path, no decisions."""

    __slots__ = ("channel", "command_line", "confined", "console", "dev", "page", "path", "root")

    def __init__(self, channel: Channel, page: Page) -> None:
        self.channel = channel
        self.page = page
        self.root = -1
        self.console: int | None = None
        self.path = ""
        self.dev = 0  # the device number of the fresh /dev
        self.confined = (-1, -1)  # a pipe by which init lets the payload go on
        self.command_line = (0, 0)


class Step:
    """One step, of the child or of the parent: its name, which is what an error names, and what it does."""

    __slots__ = ("act", "name")

    def __init__(self, name: str, act: Callable[[Any], object]) -> None:
        self.name = name
        self.act = act


def steps(plan: Plan) -> tuple[Step, ...]:
    """The steps that lead to the payload, in the order in which they run."""
    # What the caller has left open is nothing that a root file system may lead to (CVE-2024-21626).
    yielded = [Step("inherited descriptors", _close_inherited)]
    # Before the change of ids, which closes the offsets' file to who is no root of the host. proc_pid(5)
    yielded += [Step("time namespace", lambda inside: namespaces.make_time_namespace(plan.namespaces))]
    # Nothing below may run as the overflow id: the parent writes the id maps, then says go.
    yielded += [Step("id maps", lambda inside: idmap.enter(plan.idmap, inside.channel))]
    # A parent that dies from here on takes the child with it, whatever step it has reached. After the
    # change of ids, which clears the signal.
    yielded += [Step("death signal", lambda inside: _die_with_parent(_signal.SIGKILL, inside))]
    # A session of its own, before a terminal is there to become its controlling one.
    yielded += [Step("session", lambda inside: _new_session())]
    if plan.own_mounts:
        # Slave before the first mount, or it would show up on the host.
        yielded += [Step("mount propagation", lambda inside: namespaces.isolate_mounts())]
    yielded += [Step("rootfs", lambda inside: _attach(plan, inside))]
    if plan.hostname is not None:
        hostname = plan.hostname
        yielded += [Step("host name", lambda inside: process.sethostname(hostname))]
    if plan.keyring:
        yielded += [Step("keyring", lambda inside: process.join_session_keyring())]
    if plan.loopback:
        yielded += [Step("network", lambda inside: namespaces.set_loopback_up())]
    # Before entries, which may lie below them.
    yielded += [Step("system mounts", lambda inside: _mount_system(plan, inside))]
    # Before pivot_root: their sources are the host's.
    yielded += [Step("mounts", lambda inside: _mount(plan, inside))]
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
    return tuple(yielded)


def last_steps(plan: Plan) -> tuple[Step, ...]:
    """The way of every program that is started inside: credentials, descriptors; then filter and execve."""
    return (
        Step("working directory", lambda inside: program.enter_directory(plan.program)),
        Step("capabilities", lambda inside: credentials.limit_capabilities(plan.credentials)),
        Step("credentials", lambda inside: credentials.become(plan.credentials)),
        # A change of user has cleared it; this is the payload's own.
        Step("death signal", lambda inside: _die_with_parent(plan.death_signal, inside)),
        # In the payload's own session, whose leader it is.
        Step("stdio", lambda inside: _take_stdio(plan, inside)),
        # As the payload's user: who may not execute it is told so while a message can still be sent.
        Step("program", lambda inside: _find(plan, inside)),
        # So far both went on side by side; from here on the payload may be watched by nothing unconfined.
        *((Step("init", init.wait_until_confined),) if plan.with_init else ()),
        Step("descriptors", lambda inside: program.close_descriptors((inside.channel.fileno(),))),
        Step("umask", lambda inside: posix.umask(plan.umask)),
        # The mask last: what the caller sends meanwhile waits for the payload.
        Step("signals", lambda inside: _reset_signals()),
    )


def run(plan: Plan, inside: Inside, filter: Load | None, init_filter: Load | None) -> NoReturn:
    """Go through the steps and become the payload, or, for execute, its init. Never returns."""
    gc.disable()
    try:
        setup = steps(plan)
        if plan.with_init:
            init.prepare(inside)
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


def _reset_signals() -> None:
    """Default actions and an empty mask, whatever the caller or the interpreter ignored. execve(2) keeps both."""
    for number in range(1, _signal.NSIG):
        if _signal.getsignal(number) == _signal.SIG_IGN:
            try:
                _signal.signal(number, _signal.SIG_DFL)
            except (OSError, ValueError):
                pass  # the two that libc keeps for itself
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
