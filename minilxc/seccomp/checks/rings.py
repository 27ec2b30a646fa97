"""Calls that io_uring makes without asking the filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..wording import listed
from .subject import Found, gathered, lets_through

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .subject import Context, Subject

RING: Final[Mapping[str, str]] = {
    "accept": "IORING_OP_ACCEPT (Linux 5.5)",
    "accept4": "IORING_OP_ACCEPT (Linux 5.5)",
    "bind": "IORING_OP_BIND (Linux 6.11)",
    "connect": "IORING_OP_CONNECT (Linux 5.5)",
    "creat": "IORING_OP_OPENAT (Linux 5.6) with O_CREAT",
    "fallocate": "IORING_OP_FALLOCATE (Linux 5.6)",
    "fsetxattr": "IORING_OP_FSETXATTR (Linux 5.19)",
    "ftruncate": "IORING_OP_FTRUNCATE (Linux 6.9)",
    "link": "IORING_OP_LINKAT (Linux 5.15)",
    "linkat": "IORING_OP_LINKAT (Linux 5.15)",
    "listen": "IORING_OP_LISTEN (Linux 6.11)",
    "mkdir": "IORING_OP_MKDIRAT (Linux 5.15)",
    "mkdirat": "IORING_OP_MKDIRAT (Linux 5.15)",
    "open": "IORING_OP_OPENAT (Linux 5.6)",
    "openat": "IORING_OP_OPENAT (Linux 5.6)",
    "openat2": "IORING_OP_OPENAT2 (Linux 5.6)",
    "recvmsg": "IORING_OP_RECVMSG (Linux 5.3)",
    "rename": "IORING_OP_RENAMEAT (Linux 5.11)",
    "renameat": "IORING_OP_RENAMEAT (Linux 5.11)",
    "renameat2": "IORING_OP_RENAMEAT (Linux 5.11)",
    "rmdir": "IORING_OP_UNLINKAT (Linux 5.11) with AT_REMOVEDIR",
    "sendmsg": "IORING_OP_SENDMSG (Linux 5.3)",
    "sendto": "IORING_OP_SEND (Linux 5.6), to an address since 6.0",
    "setxattr": "IORING_OP_SETXATTR (Linux 5.19)",
    "shutdown": "IORING_OP_SHUTDOWN (Linux 5.11)",
    "socket": "IORING_OP_SOCKET (Linux 5.19)",
    "symlink": "IORING_OP_SYMLINKAT (Linux 5.15)",
    "symlinkat": "IORING_OP_SYMLINKAT (Linux 5.15)",
    "unlink": "IORING_OP_UNLINKAT (Linux 5.11)",
    "unlinkat": "IORING_OP_UNLINKAT (Linux 5.11)",
    "write": "IORING_OP_WRITE (Linux 5.6)",
}
"""Call: the operation that does the same, of those which are denied to confine a program."""


def ring(subject: Subject) -> Iterator[Found]:
    """io_uring let through, and calls that its operations make denied or filtered."""

    def ways() -> Iterator[tuple[tuple[str, bool, tuple[str, ...]], Context]]:
        for context in subject.contexts:
            if "io_uring_setup" in context.table and context.may_run("io_uring_setup"):
                closed = [call for call in RING if call in context.table and _closed(context, call)]
                if closed:
                    named = context.entry("io_uring_setup") is not None
                    place = _place(context, "io_uring_setup" if named else closed[0])
                    yield (place, named, tuple(closed)), context

    for (where, named, closed), contexts in gathered(ways()).items():
        yield Found(
            where,
            f"io_uring_setup is let through, and for its ring the kernel does without asking the filter what the"
            f" rules for {listed(closed)} deny or filter (on {subject.names(contexts)})",
            "leave io_uring_setup out" if named else "add 'io_uring_setup errno ENOSYS'",
            subject.on(contexts),
        )


def _place(context: Context, call: str) -> str:
    """The place of the first rule for `call`."""
    conditions = context.conditions(call)
    return conditions[0].where if conditions else context.verdict(call).where


def _closed(context: Context, call: str) -> bool:
    """True when `call` does not run whatever its arguments."""
    answer = context.answer(call)
    return answer is None or not lets_through(answer)
