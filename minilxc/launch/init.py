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
from minilxc.linux.syscalls import os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from minilxc.launch.child import Inside
    from minilxc.launch.plan import Plan
    from minilxc.seccomp.loader import Load


def fork_payload(inside: Inside) -> int:
    """Fork the payload's process off: 0 in it, its pid in init. It is in a session of its own, as LXC's is.

    Either side is left with its end of a pipe (`inside.confined`) by which init lets the payload go on.
    """
    reading, writing = posix.pipe()
    payload = posix.fork()
    inside.confined = writing if payload else reading
    posix.close(reading if payload else writing)
    if payload == 0:
        posix.setsid()
    return payload


def wait_until_confined(inside: Inside) -> None:
    """Payload's process: wait until its init is confined (or gone, which ends this process too)."""
    posix.read(inside.confined, 1)


def run(plan: Plan, inside: Inside, payload: int, init_filter: Load | None) -> NoReturn:
    """Be the init of the process `payload`. Never returns."""
    try:
        _confine(plan, inside, init_filter)
    except OSError as error:
        fail(inside.channel, "init", error)
    inside.channel.close()
    posix.close(inside.confined)
    _look_after(payload)


def _confine(plan: Plan, inside: Inside, init_filter: Load | None) -> None:
    if inside.console is not None:
        assert plan.terminal is not None
        for descriptor in plan.terminal.stdio:
            posix.dup2(inside.console, descriptor)
    credentials.limit_capabilities(plan.credentials)
    credentials.become(plan.credentials)
    credentials.settle(plan.credentials)
    credentials.set_death_signal(plan.death_signal)
    inside.channel.end_without_parent()
    credentials.hide_from_tracers()
    credentials.adopt_orphans()
    program.close_descriptors((inside.channel.fileno(), inside.confined))
    if init_filter is not None and init_filter() != 0:
        raise os_error("seccomp filter")


def _look_after(payload: int) -> NoReturn:
    """Reap and forward until the last child is gone, as LXC's init does; then end as the payload did."""
    everything = _signal.valid_signals()
    everybody = (
        -1 if posix.getpid() == 1 else payload
    )  # -1 is everybody of this pid namespace: never the host's
    status = 1
    alive = True
    while True:
        number = _signal.sigwait(everything)
        if number != _signal.SIGCHLD:
            try:
                posix.kill(payload if alive else everybody, number)
            except ProcessLookupError:
                pass
            continue
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
