"""What a filter can answer: the values of seccomp(2) and their words in a policy."""

from __future__ import annotations

KILL_PROCESS = 0x80000000
KILL_THREAD = 0x00000000
TRAP = 0x00030000
ERRNO = 0x00050000
"""Plus the errno, 0 to 4094."""
NOTIFY = 0x7FC00000
TRACE = 0x7FF00000
"""Plus 16 bits for the tracer; not in the policy language."""
LOG = 0x7FFC0000
ALLOW = 0x7FFF0000

WORDS = {
    "allow": ALLOW,
    "kill": KILL_THREAD,
    "kill_process": KILL_PROCESS,
    "trap": TRAP,
    "log": LOG,
    "notify": NOTIFY,
}
"""The policy language's actions, `errno` aside."""

MAX_ERRNO = 4094
"""libseccomp's limit; the kernel's is 4095."""

_KERNELS_MAX_ERRNO = 4095
_KNOWN = (KILL_PROCESS, KILL_THREAD, TRAP, ERRNO, NOTIFY, TRACE, LOG, ALLOW)

_NAMES = {
    KILL_PROCESS: "KILL_PROCESS",
    KILL_THREAD: "KILL_THREAD",
    TRAP: "TRAP",
    NOTIFY: "NOTIFY",
    LOG: "LOG",
    ALLOW: "ALLOW",
}


def name(action: int) -> str:
    """`action` as documentation writes it: ALLOW, KILL_THREAD, ERRNO(1); unknown values in hex."""
    if action & 0xFFFF0000 == ERRNO:
        return f"ERRNO({action & 0xFFFF})"
    if action & 0xFFFF0000 == TRACE:
        return f"TRACE({action & 0xFFFF})"
    return _NAMES.get(action, f"{action:#x}")


def word(action: int) -> str:
    """`action` as a policy writes it: allow, kill, errno 1; "trace 1", too, which no policy can say.

    Raises LookupError for a value that is none of seccomp(2)'s actions, which a foreign program may return.
    """
    if action & 0xFFFF0000 == TRACE:
        return f"trace {action & 0xFFFF}"
    if action & 0xFFFF0000 == ERRNO:
        return f"errno {action & 0xFFFF}"
    for said, value in WORDS.items():
        if value == action:
            return said
    raise LookupError(f"{action:#x} is no action")


def runs(action: int) -> bool:
    """True when the kernel carries the call out without asking anybody (allow, log)."""
    return action in (ALLOW, LOG)


def meaning(action: int) -> int:
    """`action` without what the kernel ignores of it (seccomp(2))."""
    kind, data = action & 0xFFFF0000, action & 0xFFFF
    if kind not in _KNOWN:
        return KILL_PROCESS
    if kind == ERRNO:
        return kind + min(data, _KERNELS_MAX_ERRNO)
    return action if kind in (TRAP, TRACE) else kind
