"""Processes: making one in new namespaces, its limits, personality, names and descriptors."""

from __future__ import annotations

import ctypes
import os
import sys

from minilxc.linux.names import RLIMITS
from minilxc.linux.syscalls import (
    NR_CLONE3,
    NR_CLOSE_RANGE,
    NR_KEYCTL,
    NR_PIDFD_SEND_SIGNAL,
    call,
    check,
    libc,
    os_error,
)

# clone(2)
CLONE_NEWTIME = 0x00000080
CLONE_PIDFD = 0x00001000
CLONE_NEWPID = 0x20000000

PER_LINUX = 0x0000
PER_LINUX32 = 0x0008

_SIGCHLD = 17
_PROT_READ, _PROT_WRITE = 1, 2
_MAP_SHARED, _MAP_ANONYMOUS = 0x01, 0x20
_PAGE = 4096
_SIGINFO_BYTES = 128
_KEYCTL_JOIN_SESSION_KEYRING = 1


class CloneArgs(ctypes.Structure):
    """struct clone_args of <linux/sched.h>, 88 bytes as of Linux 5.7. clone3(2)."""

    _fields_ = [
        (field, ctypes.c_uint64)
        for field in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    ]


def _call_holding_the_interpreter() -> ctypes._NamedFuncPointer:
    """syscall(2) without giving up the interpreter's lock: the child must wake up as its holder."""
    function = ctypes.PyDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t]
    return function


def fork_into(flags: int) -> tuple[int, int]:
    """Fork with `flags` (CLONE_NEW*) and return (pid, pidfd); in the child (0, -1). clone3(2), Linux 5.5.

    The interpreter's own fork handlers run in both, as in os.fork(). The process must have one
    thread: the child of a raw clone may not wait for a lock of libc that another thread holds.
    Raises OSError.
    """
    pidfd = ctypes.c_int(-1)
    arguments = CloneArgs(flags=flags | CLONE_PIDFD, pidfd=ctypes.addressof(pidfd), exit_signal=_SIGCHLD)
    clone = _call_holding_the_interpreter()
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    pid: int = clone(NR_CLONE3, ctypes.addressof(arguments), ctypes.sizeof(arguments))
    if pid == 0:
        python.PyOS_AfterFork_Child()
        return 0, -1
    number = ctypes.get_errno()
    python.PyOS_AfterFork_Parent()
    if pid == -1:
        ctypes.set_errno(number)
        check(pid, "clone3")
    return pid, pidfd.value


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """Send `signal` to the process that `pidfd` refers to. pidfd_send_signal(2), Linux 5.1.

    Safe against pid reuse: the descriptor names the process, not the number.
    Raises ProcessLookupError when it has ended, PermissionError when it is not ours.
    """
    call(f"signal {signal}", NR_PIDFD_SEND_SIGNAL, pidfd, signal, None, 0)


def close_range(first: int, last: int) -> None:
    """Close the descriptors `first` to `last`. close_range(2), Linux 5.9."""
    call(f"descriptors from {first}", NR_CLOSE_RANGE, first, last, 0)


libc.unshare.argtypes = [ctypes.c_int]
libc.setns.argtypes = [ctypes.c_int, ctypes.c_int]
libc.personality.argtypes = [ctypes.c_ulong]
libc.sethostname.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
libc.prlimit64.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
libc.signalfd.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]


def unshare(flags: int) -> None:
    """Move this process into new namespaces (CLONE_NEW*). unshare(2)."""
    check(libc.unshare(flags), "unshare")


def setns(descriptor: int, flag: int) -> None:
    """Join the namespace of type `flag` that `descriptor` refers to. setns(2)."""
    check(libc.setns(descriptor, flag), "setns")


def personality(persona: int) -> None:
    """Set the execution domain (PER_*), which execve keeps. personality(2)."""
    check(libc.personality(persona), "personality")


def sethostname(name: str) -> None:
    """Set the host name of this UTS namespace. sethostname(2)."""
    raw = os.fsencode(name)
    check(libc.sethostname(raw, len(raw)), name)


def join_session_keyring() -> None:
    """Give this process a new, empty session keyring. keyctl(2), KEYCTL_JOIN_SESSION_KEYRING."""
    call("session keyring", NR_KEYCTL, _KEYCTL_JOIN_SESSION_KEYRING, None)


def prlimit(pid: int, name: str, soft: int | None, hard: int | None) -> None:
    """Set the resource limit `name` (a key of RLIMITS) of process `pid`; None means unlimited. prlimit(2)."""
    unlimited = (1 << 64) - 1
    limit = (ctypes.c_uint64 * 2)(unlimited if soft is None else soft, unlimited if hard is None else hard)
    check(libc.prlimit64(pid, RLIMITS[name], ctypes.addressof(limit), None), name)


def signalfd(signals: frozenset[int] | set[int]) -> int:
    """A non-blocking descriptor from which the blocked `signals` are read. signalfd(2)."""
    mask = ctypes.c_uint64(sum(1 << (number - 1) for number in signals))
    wide = (ctypes.c_uint64 * 16)(mask.value)  # libc's sigset_t has 1024 bits
    flags = os.O_CLOEXEC | os.O_NONBLOCK
    return check(libc.signalfd(-1, ctypes.addressof(wide), flags), "signalfd")


def read_signals(descriptor: int) -> list[int]:
    """The numbers of the signals that wait in a signalfd; empty when none does. signalfd(2)."""
    try:
        raw = os.read(descriptor, _SIGINFO_BYTES * 16)
    except BlockingIOError:
        return []
    # struct signalfd_siginfo begins with the number, a 32-bit word
    return [int.from_bytes(raw[at : at + 4], sys.byteorder) for at in range(0, len(raw), _SIGINFO_BYTES)]


def shared_page() -> int:
    """The address of a zeroed page which children keep sharing after fork. mmap(2)."""
    address = libc.mmap(None, _PAGE, _PROT_READ | _PROT_WRITE, _MAP_SHARED | _MAP_ANONYMOUS, -1, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise os_error("mmap")
    assert isinstance(address, int)
    return address
