"""Core scheduling: which tasks may share a processor's core. PR_SCHED_CORE(2const), Linux 5.14."""

from __future__ import annotations

from minilxc.linux.native import addressof, c_int, c_long, c_void_p, function, words
from minilxc.linux.syscalls import check

_PR_SCHED_CORE = 62
_GET, _CREATE, _SHARE_FROM = 0, 1, 3
_THREAD, _THREAD_GROUP = 0, 1

_prctl = function("prctl", c_int, c_long, c_long, c_long, c_void_p)


def probe() -> None:
    """Raise the OSError that core scheduling gives here: EINVAL without it, ENODEV with one thread a core."""
    cookie = words(0)
    check(_prctl(_PR_SCHED_CORE, _GET, 0, _THREAD, addressof(cookie)), "core scheduling")


def join_core(pid: int) -> None:
    """Share the core of the process `pid`, with those whom this process forks from now on. Raises OSError."""
    check(_prctl(_PR_SCHED_CORE, _SHARE_FROM, pid, _THREAD_GROUP, None), "core scheduling")


def take_own_core() -> None:
    """Share no core with anybody but those whom this process forks from now on. Raises OSError."""
    check(_prctl(_PR_SCHED_CORE, _CREATE, 0, _THREAD_GROUP, None), "core scheduling")
