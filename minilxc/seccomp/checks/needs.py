"""What programs cannot do without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from .. import actions
from .subject import Found, gathered, lets_through

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .subject import Context, Subject


class Need(NamedTuple):
    """Calls of which a program needs one, on the ABIs that have it (and are named in `abis`), and why.

    `fatal`: without it no program starts. Otherwise an errno is tolerated, and being killed is not.
    """

    calls: tuple[str, ...]
    reason: str
    fatal: bool = True
    abis: tuple[str, ...] = ()


NEEDS: Final = (
    Need(("execve",), "starts the program"),
    Need(("openat",), "opens libraries (musl's x86 and arm: open)"),
    Need(("read",), "reads their headers"),
    Need(("pread64",), "reads the program headers of a libc that has many", abis=("x86_64",)),
    Need(("fstat", "newfstatat", "fstat64", "fstatat64", "statx"), "asks for their size and identity"),
    Need(("mmap", "mmap2"), "maps them"),
    Need(("mprotect",), "makes relocated parts read-only"),
    Need(("close",), "closes them"),
    Need(("arch_prctl",), "sets the register of thread-local storage", abis=("x86_64", "x32")),
    Need(("set_thread_area",), "sets the register of thread-local storage", abis=("x86",)),
    Need(("set_tls",), "sets the register of thread-local storage", abis=("arm",)),
    Need(("exit_group",), "ends the program"),
    Need(("brk",), "asks where the heap is", fatal=False),
    Need(("munmap",), "unmaps the cache of libraries", fatal=False),
    Need(("access", "faccessat", "faccessat2"), "looks for /etc/ld.so.preload", fatal=False),
    Need(("set_tid_address",), "tells where the thread's end is noted", fatal=False),
    Need(("set_robust_list",), "registers the list of held locks", fatal=False),
    Need(("rseq",), "registers restartable sequences (glibc 2.35)", fatal=False),
    Need(("prlimit64", "ugetrlimit", "getrlimit"), "asks for the size of the stack", fatal=False),
    Need(("getrandom",), "seeds malloc (glibc 2.36)", fatal=False),
)
"""What the loader of glibc 2.36 does for a program of one line, seen with strace and by denying each call."""

ESSENTIAL: Final = frozenset(call for need in NEEDS if need.fatal for call in need.calls) | {"open"}
"""Calls without which no program starts on some ABI: to deny one is never what is missing."""

_KILLS: Final = (actions.KILL_THREAD, actions.KILL_PROCESS, actions.TRAP)
_POINTERS: Final = (0x7F0000001000, 0x7F0000002000, 0x7F0000003000)  # execve's arguments


def execve(subject: Subject) -> Iterator[Found]:
    """A machine on which no program can start at all."""

    def stopped() -> Iterator[tuple[str, Context]]:
        for context in subject.contexts:
            if context.native and not lets_through(context.asks("execve", _POINTERS)):
                yield context.verdict("execve", *_POINTERS).where, context

    for where, contexts in gathered(stopped()).items():
        yield Found(
            where,
            f"execve is not allowed on {subject.names(contexts)}, so no program can start under the policy",
            on=subject.on(contexts),
        )


def needed(subject: Subject) -> Iterator[Found]:
    """Calls that an allowlist lacks and each dynamically linked program makes."""
    default = subject.policy.default
    if actions.runs(default):
        return

    def lacking() -> Iterator[tuple[Need, Context]]:
        for context in subject.contexts:
            for need in NEEDS if _in_use(context) else ():
                if need.abis and context.abi.name not in need.abis:
                    continue
                found = [call for call in need.calls if call in context.table]
                if found and (need.fatal or default in _KILLS) and not any(map(context.may_run, found)):
                    yield need, context

    missing: dict[tuple[Context, ...], list[str]] = {}
    places: dict[Context, None] = {}
    for need, contexts in gathered(lacking()).items():
        there = [call for call in need.calls if any(call in context.table for context in contexts)]
        missing.setdefault(tuple(contexts), []).append("/".join(there))
        places |= dict.fromkeys(contexts)
    if missing:
        groups = [f"{', '.join(calls)} (on {subject.names(contexts)})" for contexts, calls in missing.items()]
        yield Found(
            subject.policy.where,
            f"every dynamically linked program makes calls that are not let through: {'; '.join(groups)}",
            on=subject.on(places),
        )


def _in_use(context: Context) -> bool:
    """False for an ABI that the policy closes: it lets nothing through there, or a rule stops its execve."""
    if not context.native and context.entry("execve") and not context.may_run("execve"):
        return False
    return any(lets_through(entry.action) or entry.stages for entry in context.ruled.entries.values())
