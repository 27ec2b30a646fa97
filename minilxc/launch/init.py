"""Process 1 of `execute`: it reaps, forwards signals, and ends with the payload's status.

It stays beside the payload for its whole life, so it must be no way around the policy for a payload
that may ptrace it: it runs as the same user with the same capabilities, with no_new_privs, without
any descriptor beyond the standard ones, and under the payload's policy plus the few calls that it
makes itself. All of that is in force before the payload's execve.
"""

from __future__ import annotations

import _signal
import ctypes
import os

from minilxc.launch import credentials, program
from minilxc.launch.channel import fail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from minilxc.launch.child import Inside
    from minilxc.launch.plan import Plan
    from minilxc.seccomp.loader import Load

_READY = _signal.SIGUSR1  # what init sends the payload's process once it is confined itself


def fork_payload() -> int:
    """Fork the payload's process off: 0 in it, its pid in init. It is in a session of its own, as LXC's is."""
    payload = os.fork()
    if payload == 0:
        os.setsid()
    return payload


def run(plan: Plan, inside: Inside, payload: int, init_filter: Load | None) -> NoReturn:
    """Be the init of the process `payload`. Never returns."""
    try:
        _confine(plan, inside, init_filter)
    except OSError as error:
        fail(inside.channel, "init", error)
    os.kill(payload, _READY)
    _look_after(payload)


def wait_until_confined() -> None:
    """Payload's process: wait until its init is confined. All signals are blocked still."""
    _signal.sigwait({_READY})


def _confine(plan: Plan, inside: Inside, init_filter: Load | None) -> None:
    if inside.console is not None:
        assert plan.terminal is not None
        for descriptor in plan.terminal.stdio:
            os.dup2(inside.console, descriptor)
    credentials.limit_capabilities(plan.credentials)
    credentials.become(plan.credentials)
    credentials.settle(plan.credentials)
    credentials.set_death_signal(plan.death_signal)
    credentials.hide_from_tracers()
    credentials.adopt_orphans()
    program.close_descriptors(inside.channel)
    # Nobody hears of a failure through the channel once it is closed, and closing it may not be
    # allowed once the filter is loaded: so the filter comes last and its errno goes into the page.
    inside.channel.close()
    if init_filter is not None and init_filter() != 0:
        inside.page.init_errno = ctypes.get_errno()
        os._exit(1)


def _look_after(payload: int) -> NoReturn:
    """Reap and forward until the last child is gone, as LXC's init does; then end as the payload did."""
    everything = _signal.valid_signals()
    everybody = -1 if os.getpid() == 1 else payload  # -1 is everybody of this pid namespace: never the host's
    status = 1
    alive = True
    while True:
        number = _signal.sigwait(everything)
        if number != _signal.SIGCHLD:
            try:
                os.kill(payload if alive else everybody, number)
            except ProcessLookupError:
                pass
            continue
        while True:
            try:
                pid, result = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                os._exit(status)
            if pid == 0:
                break
            if pid == payload:
                alive = False
                code = os.waitstatus_to_exitcode(result)
                status = code if code >= 0 else 128 - code
