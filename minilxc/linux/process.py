"""Processes: making one in new namespaces, its limits, personality, names and descriptors."""

from __future__ import annotations

import _signal
import posix
import sys

from minilxc.linux.files import encode, read_text
from minilxc.linux.names import RLIMITS
from minilxc.linux.native import (
    addressof,
    bytes_address,
    c_char_p,
    c_int,
    c_long,
    c_void_p,
    function,
    get_errno,
    words,
)
from minilxc.linux.syscalls import (
    NR_CLONE3,
    NR_CLOSE_RANGE,
    NR_KEYCTL,
    NR_PIDFD_SEND_SIGNAL,
    call,
    check,
    ioctl,
    os_error,
)

# clone(2)
CLONE_NEWTIME = 0x00000080
CLONE_PARENT = 0x00008000
CLONE_PIDFD = 0x00001000
CLONE_INTO_CGROUP = 0x200000000

PER_LINUX = 0x0000
PER_LINUX32 = 0x0008

_SIGCHLD = 17
_PROT_READ, _PROT_WRITE = 1, 2
_MAP_SHARED, _MAP_ANONYMOUS = 0x01, 0x20
_PAGE = 4096
_MAP_FAILED = c_void_p(-1).value
_SIGINFO_BYTES = 128
_KEYCTL_JOIN_SESSION_KEYRING = 1
_SIOCOUTQ = 0x40047473 if posix.uname().machine.startswith("ppc") else 0x5411
_MOST_MS = 2.0**31 - 1


_clone3 = function("syscall", c_long, c_void_p, c_long, result=c_long, held=True)
_before_fork = function("PyOS_BeforeFork", result=None, held=True)
_after_fork_in_parent = function("PyOS_AfterFork_Parent", result=None, held=True)
_after_fork_in_child = function("PyOS_AfterFork_Child", result=None, held=True)


def fork_into(flags: int, group: int | None = None) -> tuple[int, int]:
    """Fork with `flags` (CLONE_NEW*) and return (pid, pidfd); in the child (0, -1). clone3(2), Linux 5.7.

    `group` is a descriptor of a control group of version 2, for the child to be born in. With CLONE_PARENT
    it is the parent of this process that has a new child.

    The interpreter's own fork handlers run in both, as in os.fork(). The process must have one
    thread: the child of a raw clone may not wait for a lock of libc that another thread holds.
    Raises OSError.
    """
    pidfd = c_int(-1)
    # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls,
    # set_tid, set_tid_size, cgroup
    flags |= CLONE_PIDFD if group is None else CLONE_PIDFD | CLONE_INTO_CGROUP
    arguments = words(
        flags, addressof(pidfd), 0, 0, 0 if flags & CLONE_PARENT else _SIGCHLD, 0, 0, 0, 0, 0, group or 0
    )
    _before_fork()
    pid = _clone3(NR_CLONE3, addressof(arguments), 8 * len(arguments))
    if pid == 0:
        _after_fork_in_child()
        return 0, -1
    number = get_errno()
    _after_fork_in_parent()
    if pid == -1:
        raise os_error("clone3", number)
    return pid, pidfd.value


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """Send `signal` to the process that `pidfd` refers to. pidfd_send_signal(2), Linux 5.1.

    Safe against pid reuse: the descriptor names the process, not the number.
    Raises ProcessLookupError when it has ended, PermissionError when it is not ours.
    """
    call(f"signal {signal}", NR_PIDFD_SEND_SIGNAL, pidfd, signal, None, 0)


def wait_for_end(pid: int) -> None:
    """Wait until a child has ended, whose status nobody wants. waitpid(2)."""
    try:
        posix.waitpid(pid, 0)
    except ChildProcessError:
        pass  # where SIGCHLD is ignored, or somebody waits for every child, there is nothing left to collect


def close_range(first: int, last: int) -> None:
    """Close the descriptors `first` to `last`. close_range(2), Linux 5.9."""
    call(f"descriptors from {first}", NR_CLOSE_RANGE, first, last, 0)


def reset_signals() -> None:
    """Default actions and an empty mask, whatever the caller or the interpreter ignored. execve(2) keeps both."""
    for number in range(1, _signal.NSIG):
        if _signal.getsignal(number) == _signal.SIG_IGN:
            try:
                _signal.signal(number, _signal.SIG_DFL)
            except (OSError, ValueError):
                pass  # the two that libc keeps for itself
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


_unshare = function("unshare", c_int)
_setns = function("setns", c_int, c_int)
_personality = function("personality", c_long)
_sethostname = function("sethostname", c_char_p, c_long)
_prlimit64 = function("prlimit64", c_int, c_int, c_void_p, c_void_p)
_signalfd = function("signalfd", c_int, c_void_p, c_int)
_munmap = function("munmap", c_void_p, c_long)
_memset = function("memset", c_void_p, c_int, c_long, result=c_void_p)
_memcpy = function("memcpy", c_void_p, c_char_p, c_long, result=c_void_p)
_mmap = function("mmap", c_void_p, c_long, c_int, c_int, c_int, c_long, result=c_void_p)


def unshare(flags: int) -> None:
    """Move this process into new namespaces (CLONE_NEW*). unshare(2)."""
    check(_unshare(flags), "unshare")


def setns(descriptor: int, flag: int, thing: str) -> None:
    """Join the namespace of type `flag` that `descriptor` refers to; `thing` is what an error is about. setns(2)."""
    check(_setns(descriptor, flag), thing)


def personality(persona: int) -> None:
    """Set the execution domain (PER_*), which execve keeps. personality(2)."""
    check(_personality(persona), "personality")


def sethostname(name: str) -> None:
    """Set the host name of this UTS namespace. sethostname(2)."""
    raw = encode(name)
    check(_sethostname(raw, len(raw)), name)


def join_session_keyring() -> None:
    """Give this process a new, empty session keyring. keyctl(2), KEYCTL_JOIN_SESSION_KEYRING."""
    call("session keyring", NR_KEYCTL, _KEYCTL_JOIN_SESSION_KEYRING, None)


def prlimit(pid: int, name: str, soft: int | None, hard: int | None) -> None:
    """Set the resource limit `name` (a key of RLIMITS) of process `pid`; None means unlimited. prlimit(2)."""
    unlimited = (1 << 64) - 1
    limit = words(unlimited if soft is None else soft, unlimited if hard is None else hard)
    check(_prlimit64(pid, RLIMITS[name], addressof(limit), None), name)


def poll_ms(seconds: float | None) -> float | None:
    """A time to wait as poll(2) takes it, which is 24 days at most; None is for ever."""
    return None if seconds is None else min(max(seconds, 0.0) * 1000, _MOST_MS)


def signalfd(signals: frozenset[int] | set[int]) -> int:
    """A non-blocking descriptor from which the blocked `signals` are read. signalfd(2)."""
    mask = words(sum(1 << (number - 1) for number in signals), *(0,) * 15)  # libc's sigset_t has 1024 bits
    flags = posix.O_CLOEXEC | posix.O_NONBLOCK
    return check(_signalfd(-1, addressof(mask), flags), "signalfd")


def read_signals(descriptor: int) -> list[int]:
    """The numbers of the signals that wait in a signalfd; empty when none does. signalfd(2)."""
    try:
        raw = posix.read(descriptor, _SIGINFO_BYTES * 16)
    except BlockingIOError:
        return []
    # struct signalfd_siginfo begins with the number, a 32-bit word
    return [int.from_bytes(raw[at : at + 4], sys.byteorder) for at in range(0, len(raw), _SIGINFO_BYTES)]


def unread(socket: int) -> int:
    """How much of what was sent through a Unix socket the other end has not read, in bytes. SIOCOUTQ, unix(7)."""
    count = c_int(0)
    check(ioctl(socket, _SIOCOUTQ, addressof(count)), "socket")
    return count.value


def shared_page(file: int = -1) -> int:
    """The address of a zeroed page which children keep sharing after fork. mmap(2).

    With a `file`, a descriptor, it is the first page of that, which others can map too.
    """
    flags = _MAP_SHARED if file >= 0 else _MAP_SHARED | _MAP_ANONYMOUS
    address = _mmap(None, _PAGE, _PROT_READ | _PROT_WRITE, flags, file, 0)
    if address in (None, _MAP_FAILED):
        raise os_error("mmap")
    return address


def unmap_page(address: int) -> None:
    """Take the page at `address` out of this process's memory. munmap(2)."""
    check(_munmap(address, _PAGE), "munmap")


def command_line_area() -> tuple[int, int]:
    """Where in memory this process's command line begins and its environment ends. proc_pid_stat(5).

    The two lie one behind the other; /proc/PID/cmdline and /proc/PID/environ show what is there.
    """
    fields = read_text("/proc/self/stat").rpartition(")")[2].split()
    arg_start, env_end = int(fields[45]), int(fields[48])
    return arg_start, env_end


def set_title(title: str) -> None:
    """Have /proc/PID/cmdline, which ps(1) shows, say `title`, as far as there is room. proc_pid_stat(5)."""
    fields = read_text("/proc/self/stat").rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start, arg_end
    if start < end:
        text = encode(title)[: end - start - 1]
        _memset(start, 0, end - start)
        _memcpy(start, text, len(text))


def overwrite_command_line(area: tuple[int, int], title: bytes) -> None:
    """Put `title` in place of this process's command line and environment, as `command_line_area` gave them."""
    start, end = area
    for text in posix.environ.values():  # the interpreter's own copy
        _memset(bytes_address(text), 0, len(text))
    if start < end:
        _memset(start, 0, end - start)
        _memcpy(start, title, min(len(title), end - start - 1))
