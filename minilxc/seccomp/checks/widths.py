"""Comparisons of more bits than the kernel looks at, or than an ABI has.

A filter sees 64 bits of each argument. Where the kernel's parameter is an int it never sees the upper
32 of them, and a caller may put there what it likes (CVE-2019-10063: the ioctl TIOCSTI with a bit set
above got past a filter for equality).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .. import actions
from ..wording import filter_text, number_text
from .flags import is_loose
from .pointers import moved
from .subject import Found, gathered, holds_at, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..policy import Filter, Line
    from .flags import is_loose
from .subject import Context, Subject

_FD: Final = "unsigned int fd"
_INT_FD: Final = "int fd"
_DFD: Final = "int dfd"
_MODE: Final = "umode_t mode"
_FLAGS: Final = "int flags"
_UFLAGS: Final = "unsigned int flags"
_CLOCK: Final = "clockid_t which_clock"
_PID: Final = "pid_t pid"
_UID: Final = "uid_t uid"
_GID: Final = "gid_t gid"

CUT: Final[Mapping[str, Mapping[int, str]]] = {
    "accept": {0: _INT_FD},
    "accept4": {0: _INT_FD, 3: _FLAGS},
    "access": {1: "int mode"},
    "add_key": {4: "key_serial_t ringid"},
    "arch_prctl": {0: "int option"},
    "bind": {0: _INT_FD, 2: "int addrlen"},
    "bpf": {0: "int cmd", 2: "unsigned int size"},
    "chmod": {1: _MODE},
    "chown": {1: _UID, 2: _GID},
    "clock_adjtime": {0: _CLOCK},
    "clock_adjtime64": {0: _CLOCK},
    "clock_getres": {0: _CLOCK},
    "clock_gettime": {0: _CLOCK},
    "clock_nanosleep": {0: _CLOCK, 1: _FLAGS},
    "clock_settime": {0: _CLOCK},
    "clock_settime64": {0: _CLOCK},
    # unsigned long, of which kernel/fork.c takes lower_32_bits(); before Linux 5.7 the others meant nothing
    "clone": {0: "the lower 32 bits of unsigned long clone_flags"},
    "close": {0: _FD},
    "close_range": {0: _FD, 1: "unsigned int max_fd", 2: _UFLAGS},
    "connect": {0: _INT_FD, 2: "int addrlen"},
    "copy_file_range": {0: "int fd_in", 2: "int fd_out", 5: _UFLAGS},
    "creat": {1: _MODE},
    "delete_module": {1: _UFLAGS},
    "dup": {0: _FD},
    "dup2": {0: "unsigned int oldfd", 1: "unsigned int newfd"},
    "dup3": {0: "unsigned int oldfd", 1: "unsigned int newfd", 2: _FLAGS},
    "epoll_create1": {0: _FLAGS},
    "epoll_ctl": {0: "int epfd", 1: "int op", 2: _INT_FD},
    "eventfd2": {0: "unsigned int count", 1: _FLAGS},
    "execveat": {0: _INT_FD, 4: _FLAGS},
    "faccessat": {0: _DFD, 2: "int mode"},
    "faccessat2": {0: _DFD, 2: "int mode", 3: _FLAGS},
    "fallocate": {0: _INT_FD, 1: "int mode"},
    "fanotify_init": {0: _UFLAGS, 1: "unsigned int event_f_flags"},
    "fanotify_mark": {0: "int fanotify_fd", 1: _UFLAGS},
    "fchmod": {0: _FD, 1: _MODE},
    "fchmodat": {0: _DFD, 2: _MODE},
    "fchmodat2": {0: _DFD, 2: _MODE, 3: _UFLAGS},
    "fchown": {0: _FD, 1: _UID, 2: _GID},
    "fchownat": {0: _DFD, 2: _UID, 3: _GID, 4: "int flag"},
    "fcntl": {0: _FD, 1: "unsigned int cmd"},
    "fcntl64": {0: _FD, 1: "unsigned int cmd"},
    "finit_module": {0: _INT_FD, 2: _FLAGS},
    "flock": {0: _FD, 1: "unsigned int cmd"},
    "fsconfig": {0: _INT_FD, 1: "unsigned int cmd", 4: "int aux"},
    "fsmount": {0: "int fs_fd", 1: _UFLAGS, 2: "unsigned int attr_flags"},
    "fsopen": {1: _UFLAGS},
    "fspick": {0: _DFD, 2: _UFLAGS},
    "futex": {1: "int op", 2: "u32 val", 5: "u32 val3"},
    "getpriority": {0: "int which", 1: "int who"},
    "getrandom": {2: _UFLAGS},
    "getrlimit": {0: "unsigned int resource"},
    "getsockopt": {0: _INT_FD, 1: "int level", 2: "int optname"},
    "inotify_init1": {0: _FLAGS},
    "io_uring_enter": {0: _FD, 1: "u32 to_submit", 2: "u32 min_complete", 3: "u32 flags"},
    "io_uring_register": {0: _FD, 1: "unsigned int opcode"},
    "io_uring_setup": {0: "u32 entries"},
    "ioctl": {0: _FD, 1: "unsigned int cmd"},
    "ioperm": {2: "int turn_on"},
    "iopl": {0: "unsigned int level"},
    "ioprio_get": {0: "int which", 1: "int who"},
    "ioprio_set": {0: "int which", 1: "int who", 2: "int ioprio"},
    "ipc": {0: "unsigned int call"},
    "kcmp": {2: "int type"},
    "kexec_file_load": {0: "int kernel_fd", 1: "int initrd_fd"},
    "keyctl": {0: "int option"},
    "kill": {0: _PID, 1: "int sig"},
    "lchown": {1: _UID, 2: _GID},
    "linkat": {0: "int olddfd", 2: "int newdfd", 4: _FLAGS},
    "listen": {0: _INT_FD, 1: "int backlog"},
    "lseek": {0: _FD, 2: "unsigned int whence"},
    "madvise": {2: "int behavior"},
    "membarrier": {0: "int cmd", 1: _UFLAGS},
    "memfd_create": {1: _UFLAGS},
    "memfd_secret": {0: _UFLAGS},
    "mkdir": {1: _MODE},
    "mkdirat": {0: _DFD, 2: _MODE},
    "mknod": {1: _MODE, 2: "unsigned int dev"},
    "mknodat": {0: _DFD, 2: _MODE, 3: "unsigned int dev"},
    "mlock2": {2: _FLAGS},
    "mlockall": {0: _FLAGS},
    "modify_ldt": {0: "int func"},
    "mount_setattr": {0: _DFD, 2: _UFLAGS},
    "move_mount": {0: "int from_dfd", 2: "int to_dfd", 4: _UFLAGS},
    "mq_open": {1: "int oflag", 2: _MODE},
    "msgctl": {1: "int cmd"},
    "msgget": {0: "key_t key", 1: "int msgflg"},
    "msync": {2: _FLAGS},
    "name_to_handle_at": {0: _DFD, 4: "int flag"},
    "nice": {0: "int increment"},
    "open": {1: _FLAGS, 2: _MODE},
    "open_by_handle_at": {0: "int mountdirfd", 2: _FLAGS},
    "open_tree": {0: _DFD, 2: _UFLAGS},
    "openat": {0: _DFD, 2: _FLAGS, 3: _MODE},
    "openat2": {0: _DFD},
    "perf_event_open": {1: _PID, 2: "int cpu", 3: "int group_fd"},
    "personality": {0: "unsigned int personality"},
    "pidfd_getfd": {0: "int pidfd", 1: _INT_FD, 2: _UFLAGS},
    "pidfd_open": {0: _PID, 1: _UFLAGS},
    "pidfd_send_signal": {0: "int pidfd", 1: "int sig", 3: _UFLAGS},
    "pipe2": {1: _FLAGS},
    "prctl": {0: "int option"},
    "prlimit64": {0: _PID, 1: "unsigned int resource"},
    "process_madvise": {0: "int pidfd", 3: "int behavior", 4: _UFLAGS},
    "quotactl": {0: "unsigned int cmd"},
    "quotactl_fd": {0: _FD, 1: "unsigned int cmd"},
    "reboot": {0: "int magic1", 1: "int magic2", 2: "unsigned int cmd"},
    "recvfrom": {0: _INT_FD, 3: _UFLAGS},
    "recvmsg": {0: _INT_FD, 2: _UFLAGS},
    "renameat2": {0: "int olddfd", 2: "int newdfd", 4: _UFLAGS},
    "sched_setattr": {0: _PID, 2: _UFLAGS},
    "sched_setscheduler": {0: _PID, 1: "int policy"},
    "seccomp": {0: "unsigned int op", 1: _UFLAGS},
    "semctl": {0: "int semid", 1: "int semnum", 2: "int cmd"},
    "semget": {0: "key_t key", 1: "int nsems", 2: "int semflg"},
    "send": {0: _INT_FD, 3: _UFLAGS},
    "sendmsg": {0: _INT_FD, 2: _UFLAGS},
    "sendto": {0: _INT_FD, 3: _UFLAGS},
    "set_mempolicy": {0: "int mode"},
    "setgid": {0: _GID},
    "setitimer": {0: "int which"},
    "setns": {0: _INT_FD, 1: _FLAGS},
    "setpriority": {0: "int which", 1: "int who", 2: "int niceval"},
    "setresgid": {0: _GID, 1: _GID, 2: _GID},
    "setresuid": {0: _UID, 1: _UID, 2: _UID},
    "setreuid": {0: _UID, 1: _UID},
    "setregid": {0: _GID, 1: _GID},
    "setrlimit": {0: "unsigned int resource"},
    "setsockopt": {0: _INT_FD, 1: "int level", 2: "int optname", 4: "int optlen"},
    "setuid": {0: _UID},
    "setxattr": {4: _FLAGS},
    "shmat": {0: "int shmid", 2: "int shmflg"},
    "shmctl": {0: "int shmid", 1: "int cmd"},
    "shmget": {0: "key_t key", 2: "int shmflg"},
    "shutdown": {0: _INT_FD, 1: "int how"},
    "signalfd4": {0: "int ufd", 3: _FLAGS},
    "socket": {0: "int family", 1: "int type", 2: "int protocol"},
    "socketcall": {0: "int call"},
    "socketpair": {0: "int family", 1: "int type", 2: "int protocol"},
    "splice": {0: "int fd_in", 2: "int fd_out", 5: _UFLAGS},
    "statx": {0: _DFD, 2: "unsigned int flags", 3: "unsigned int mask"},
    "swapon": {1: "int swap_flags"},
    "symlinkat": {1: "int newdfd"},
    "syslog": {0: "int type"},
    "tgkill": {0: "pid_t tgid", 1: _PID, 2: "int sig"},
    "timer_create": {0: _CLOCK},
    "timerfd_create": {0: "int clockid", 1: _FLAGS},
    "tkill": {0: _PID, 1: "int sig"},
    "umask": {0: "int mask"},
    "umount2": {1: _FLAGS},
    "unlinkat": {0: _DFD, 2: "int flag"},
    "userfaultfd": {0: _FLAGS},
    "utimensat": {0: _DFD, 3: _FLAGS},
    "wait4": {0: _PID, 2: "int options"},
    "waitid": {0: "int which", 1: _PID, 3: "int options"},
}
"""Call, argument: the kernel's declaration (SYSCALL_DEFINE, Linux 6.1), which is the reason: it is cut."""

_TYPE_BITS: Final = {"umode_t": 16}
"""Bits of the declared types which are not ints; the others in the table have 32."""


def cut(subject: Subject) -> Iterator[Found]:
    """A comparison of bits that the kernel does not look at, with the line that leaves them out."""

    def careless() -> Iterator[tuple[Line, Context]]:
        for context in subject.contexts:
            for line in context.rules:
                if _careless(line, context):
                    yield line, context

    for line, contexts in gathered(careless()).items():
        found = {test for context in contexts for test in _careless(line, context)}
        tests = [test for test in line.filters if test in found]
        kinds = [f"argument {test.arg} of {line.call} is '{CUT[line.call][test.arg]}'" for test in tests]
        bits = _bits(line.call, tests[0])
        yield Found(
            line.where,
            f"{' and '.join(kinds)}: the kernel does not look above {bits} bits, this rule does:"
            f" {_consequence(tests[0], line.action, subject.policy.default)} (on {subject.names(contexts)})",
            _cure(line, tests),
            subject.on(contexts),
        )


def constant(subject: Subject) -> Iterator[Found]:
    """A filter that every argument of an ABI passes, or none."""

    def decided() -> Iterator[tuple[tuple[Line, Filter, bool], Context]]:
        for context in subject.contexts:
            for line in context.rules:
                for test in line.filters:
                    held = holds_at(test, context.bits)
                    if held is not None:
                        yield (line, test, held), context

    for (line, test, held), contexts in gathered(decided()).items():
        names = subject.names(contexts)
        bits = min(context.bits for context in contexts)
        what = "always holds, so it is no filter" if held else "never holds, so the rule does nothing there"
        yield Found(
            line.where,
            f"{line.call}: {filter_text(test)} {what}: an argument has {bits} bits on {names}",
            on=subject.on(contexts),
        )


def _bits(call: str, test: Filter) -> int:
    """How many bits the kernel looks at."""
    return _TYPE_BITS.get(CUT[call][test.arg].split()[0], 32)


def _careless(line: Line, context: Context) -> list[Filter]:
    """The line's filters that look at more bits than the kernel does."""
    found = []
    bits = context.bits
    kept, _ = moved(line.call, context)
    for test in line.filters:
        if test.arg in CUT.get(line.call, ()) and test.arg < kept and _bits(line.call, test) < bits:
            ours = (1 << _bits(line.call, test)) - 1
            looks = test.op != "&=" or test.mask & ~ours & (1 << bits) - 1
            if looks and holds_at(test, bits) is None and not is_loose(line, test, context):
                found.append(test)  # a mask alone would not help where flags can be added
    return found


def _consequence(test: Filter, action: int, default: int) -> str:
    """What bits above do to a rule."""
    misses = test.op in ("==", "<", "<=", "&=")  # a bit set above makes the filter fail
    if actions.runs(action) and not actions.runs(default):
        if misses:
            return "a caller that leaves something there is denied by chance"
        return "a caller that sets a bit there is let through"
    if misses:
        return "a caller that sets a bit there gets around it"
    return "a caller that leaves something there meets it by chance"


def _cure(line: Line, tests: list[Filter]) -> str:
    """The line with masks, or how to come by lines that have them."""
    masked = {test: _masked(test, (1 << _bits(line.call, test)) - 1) for test in tests}
    filters = [masked.get(test, test) for test in line.filters]
    if None not in filters:
        return f"write '{written(line, [test for test in filters if test])}'"
    test = next(test for test, found in masked.items() if found is None)
    mask = number_text((1 << _bits(line.call, test)) - 1)
    action = written(line, ())
    return (
        f"no mask can say '{test.op} {number_text(test.value)}': name the values,"
        f" each by a line '{action} [{test.arg},VALUE,&=,{mask}]'"
    )


def _masked(test: Filter, ours: int) -> Filter | None:
    """The filter that is the same for the bits in `ours` and blind for others; None where no mask can say it."""
    value = test.value & ours
    match test.op:
        case "==":
            return test._replace(op="&=", value=value, mask=ours)
        case "&=":
            return test._replace(value=value, mask=test.mask & ours)
        case "<" | "<=":
            end = test.value + (test.op == "<=")  # below a power of two: no bit of it or above is set
            if end <= ours and end & end - 1 == 0:
                return test._replace(op="&=", value=0, mask=ours & ~(end - 1))
        case ">" | ">=":
            start = test.value + (test.op == ">")
            if start == (ours >> 1) + 1:  # at least the highest bit
                return test._replace(op="&=", value=start, mask=start)
    return None
