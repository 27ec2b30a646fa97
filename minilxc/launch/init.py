"""Process 1 of `execute`: it reaps, forwards signals, and ends with the payload's status.

It stays beside the payload for its whole life, so it must be no way around the policy for a payload
that may ptrace it: it runs as the same user with the same capabilities, with no_new_privs, without
any descriptor beyond the standard ones, and under the payload's policy plus the few calls that it
makes itself. All of that is in force before the payload's execve.
"""

from __future__ import annotations

import _signal
import posix

from minilxc.launch import credentials, program
from minilxc.launch.channel import fail
from minilxc.linux import process
from minilxc.linux.syscalls import os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from minilxc.launch.child import Inside
    from minilxc.launch.plan import Plan
    from minilxc.seccomp.loader import Load


def prepare(inside: Inside) -> None:
    """Make what init and the payload's process need between them, while descriptors can still be had."""
    inside.confined = posix.pipe()
    inside.command_line = process.command_line_area()


def fork_payload(inside: Inside) -> int:
    """Fork the payload's process off: 0 in it, its pid in init. It is in a session of its own, as LXC's is."""
    reading, writing = inside.confined
    payload = posix.fork()
    if payload == 0:
        posix.close(writing)
        posix.setsid()
    else:
        posix.close(reading)
    return payload


def wait_until_confined(inside: Inside) -> None:
    """Payload's process: wait until its init is confined. Without that there is no payload."""
    posix.read(inside.confined[0], 1)  # its end is all there is to read: writing may be forbidden to init
    if not inside.page.confined:
        posix._exit(1)


def run(plan: Plan, inside: Inside, payload: int, init_filter: Load | None) -> NoReturn:
    """Be the init of the process `payload`. Never returns."""
    # What is asked for here needs no call that the policy would have to allow.
    everybody = -1 if posix.getpid() == 1 else payload
    everything = _signal.valid_signals()
    try:
        _confine(plan, inside, init_filter)
    except OSError as error:
        fail(inside.channel, "init", error)
    inside.page.confined = True
    posix.close(inside.confined[1])
    inside.channel.close()
    inside.page.unmap()
    _look_after(payload, everybody, everything)


def _confine(plan: Plan, inside: Inside, init_filter: Load | None) -> None:
    if inside.console is not None:
        assert plan.terminal is not None
        for descriptor in plan.terminal.stdio:
            posix.dup2(inside.console, descriptor)
    process.overwrite_command_line(inside.command_line, b"minilxc init")
    credentials.limit_capabilities(plan.credentials)
    credentials.become(plan.credentials)
    credentials.settle(plan.credentials)
    credentials.set_death_signal(plan.death_signal)
    inside.channel.end_without_parent()
    credentials.hide_from_tracers()
    credentials.adopt_orphans()
    if plan.labels is not None:
        plan.labels.for_itself(inside.proc)
    program.close_descriptors((inside.channel.fileno(), inside.confined[1]))
    if init_filter is not None and init_filter() != 0:
        raise os_error("seccomp filter")


def _look_after(payload: int, everybody: int, everything: set[int]) -> NoReturn:
    """Reap and forward until the last child is gone, as LXC's init does; then end as the payload did.

    `everybody` is who gets the signals when the payload is gone: -1 is all of this pid namespace, so it
    must be init's own.
    """
    status = 1
    alive = True
    while True:
        number = _signal.sigwait(everything)
        # Reap first, whatever came: a signal that came behind the payload's end is for those it left.
        while True:
            try:
                pid, result = posix.waitpid(-1, posix.WNOHANG)
            except ChildProcessError:
                posix._exit(status)
            if pid == 0:
                break
            if pid == payload:
                alive = False
                code = posix.waitstatus_to_exitcode(result)
                status = code if code >= 0 else 128 - code
        if number != _signal.SIGCHLD:
            try:
                posix.kill(payload if alive else everybody, number)
            except ProcessLookupError:
                pass
