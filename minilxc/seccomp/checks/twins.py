"""Calls that do the same: denied one by one, the other remains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from .. import actions
from ..rules import Conditions
from ..wording import listed
from .subject import Found, gathered, lets_through

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .subject import Context, Subject


class Twins(NamedTuple):
    """Calls that are usually denied together, successors behind what they succeed, and why.

    Not `filtered`: only where one is denied whole, as the other does not take what a filter would look at.
    """

    calls: tuple[str, ...]
    reason: str
    filtered: bool = True


_AT: Final = "the ...at form does the same, and some ABIs have no other"
_TIME64: Final = "the same with times of 64 bits; C libraries of 32-bit ABIs call it first"
_IDS: Final = "the same with ids of 32 bits, which is the one that C libraries call"

TWINS: Final = (
    Twins(("mknod", "mknodat"), _AT),
    Twins(("mkdir", "mkdirat"), _AT),
    Twins(("rmdir", "unlinkat"), "unlinkat removes folders too"),
    Twins(("unlink", "unlinkat"), _AT),
    Twins(("rename", "renameat", "renameat2"), _AT),
    Twins(("link", "linkat"), _AT),
    Twins(("symlink", "symlinkat"), _AT),
    Twins(("readlink", "readlinkat"), _AT),
    Twins(("access", "faccessat", "faccessat2"), _AT),
    Twins(("chmod", "fchmodat", "fchmodat2"), _AT),
    Twins(("chown", "lchown", "fchownat"), _AT),
    Twins(("utime", "utimes", "futimesat", "utimensat"), _AT),
    Twins(("open", "openat", "openat2"), "all open files; openat2 has its flags behind a pointer"),
    Twins(("open", "creat"), "creat is open with O_CREAT, O_WRONLY and O_TRUNC"),
    Twins(("execve", "execveat"), "execveat runs programs too, by descriptor"),
    Twins(("mount", "fsmount", "move_mount"), "fsmount and move_mount together make the mounts that mount makes"),
    Twins(("mount", "mount_setattr"), "mount_setattr changes the flags of mounts as mount with MS_REMOUNT does"),
    Twins(("umount", "umount2"), "umount is umount2 without flags", filtered=False),
    # where clone has filters, clone3 is the business of checks of its own
    Twins(("clone", "clone3"), "clone3 makes the same processes and namespaces", filtered=False),
    Twins(("fork", "vfork", "clone"), "the fork of C libraries calls clone", filtered=False),
    Twins(("kexec_load", "kexec_file_load"), "both put another kernel in the place of this one"),
    Twins(("init_module", "finit_module"), "both load a kernel module"),
    Twins(("settimeofday", "clock_settime", "stime"), "all set the clock"),
    Twins(("adjtimex", "clock_adjtime"), "both change the clock's pace"),
    Twins(("quotactl", "quotactl_fd"), "the same by descriptor (Linux 5.14)"),
    Twins(("setrlimit", "prlimit64"), "prlimit64 sets limits too, of other processes as well"),
    Twins(("setpriority", "nice"), "both change the priority"),
    Twins(("sched_setscheduler", "sched_setattr"), "sched_setattr sets the scheduling policy too, behind a pointer"),
    Twins(("iopl", "ioperm"), "both open the machine's ports"),
    Twins(("add_key", "request_key", "keyctl"), "each reaches the kernel's keys, which namespaces do not part"),
    Twins(("ptrace", "process_vm_readv", "process_vm_writev"), "all reach into the memory of other processes"),
    Twins(("process_vm_readv", "process_vm_writev"), "one reads, the other writes the memory of other processes"),
    Twins(("kill", "tkill", "tgkill", "pidfd_send_signal"), "all send signals"),
    Twins(("setxattr", "setxattrat"), "the ...at form does the same (Linux 6.13)"),
    Twins(("removexattr", "removexattrat"), "the ...at form does the same (Linux 6.13)"),
    Twins(("accept", "accept4"), "accept4 with flags 0 is accept", filtered=False),
    Twins(("semop", "semtimedop"), "semtimedop without a time is semop", filtered=False),
    *(Twins((old, f"{old}32"), _IDS) for old in (
        "chown", "fchown", "lchown", "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid",
        "setgroups", "setfsuid", "setfsgid",
    )),
    *(Twins((old, new), "the same with file sizes of 64 bits") for old, new in (
        ("truncate", "truncate64"), ("ftruncate", "ftruncate64"), ("fcntl", "fcntl64"), ("sendfile", "sendfile64"),
    )),
    Twins(("mmap", "mmap2"), "mmap2 counts the offset in pages; it is the one that C libraries call"),
)  # fmt: skip
"""Rows; on an ABI that lacks one of a row's calls, the others are meant."""

TIME64: Final = {
    "clock_adjtime": "clock_adjtime64",
    "clock_getres": "clock_getres_time64",
    "clock_gettime": "clock_gettime64",
    "clock_nanosleep": "clock_nanosleep_time64",
    "clock_settime": "clock_settime64",
    "futex": "futex_time64",
    "io_pgetevents": "io_pgetevents_time64",
    "mq_timedreceive": "mq_timedreceive_time64",
    "mq_timedsend": "mq_timedsend_time64",
    "ppoll": "ppoll_time64",
    "pselect6": "pselect6_time64",
    "recvmmsg": "recvmmsg_time64",
    "rt_sigtimedwait": "rt_sigtimedwait_time64",
    "sched_rr_get_interval": "sched_rr_get_interval_time64",
    "semtimedop": "semtimedop_time64",
    "timer_gettime": "timer_gettime64",
    "timer_settime": "timer_settime64",
    "timerfd_gettime": "timerfd_gettime64",
    "timerfd_settime": "timerfd_settime64",
    "utimensat": "utimensat_time64",
}
"""Calls of 32-bit ABIs with times of 32 bits, and their successors since Linux 5.1."""

_ALL: Final = (*TWINS, *(Twins(pair, _TIME64) for pair in TIME64.items()))


def twins(subject: Subject) -> Iterator[Found]:
    """Calls that rules deny, all of them or by their arguments, while one that does the same runs."""

    def pairs() -> Iterator[tuple[tuple[str, tuple[str, ...], tuple[str, ...], str], Context]]:
        for context in subject.contexts:
            for row in _ALL:
                open_ = [call for call in row.calls if _open(context, call)]
                closed: dict[str, str] = {}
                remaining: dict[str, None] = {}
                for call in row.calls if open_ else ():
                    where = _closed(context, call)
                    answer = context.answer(call) if where else None
                    if not where or (answer is None and not row.filtered):
                        continue
                    # without its successor, to callers the kernel is merely an older one
                    successor = call == "clone3" or answer == context.enosys
                    after = row.calls[row.calls.index(call) :]
                    meant = [twin for twin in open_ if twin in after or not successor]
                    if meant:
                        closed[call] = where
                        remaining |= dict.fromkeys(meant)
                if closed:
                    first = next(iter(closed.values()))
                    yield (first, tuple(closed), tuple(remaining), row.reason), context

    for (where, closed, remaining, reason), contexts in gathered(pairs()).items():
        answer = contexts[0].answer(closed[0])
        done = "filtered" if answer is None else "denied"
        fix = "" if answer is None else ", ".join(f"'{name} {actions.word(answer)}'" for name in remaining)
        yield Found(
            where,
            f"{listed(closed)} {_be(closed)} {done}, {listed(remaining)} {_be(remaining)} let through:"
            f" {reason} (on {subject.names(contexts)})",
            f"add {fix}" if fix else "filter both, or deny the other",
            subject.on(contexts),
        )


def _be(names: tuple[str, ...]) -> str:
    return "is" if len(names) == 1 else "are"


def _open(context: Context, call: str) -> bool:
    """True when `call` exists and runs whatever its arguments."""
    if call not in context.table:
        return False
    answer = context.answer(call)
    return answer is not None and lets_through(answer)


def _closed(context: Context, call: str) -> str:
    """The place of the rule that denies `call`, always or for some arguments; "" when none does."""
    entry = context.entry(call)
    if entry is None:
        return ""
    rules = [rule for stage in entry.stages if isinstance(stage, Conditions) for rule in stage.rules]
    for rule in rules:
        if not lets_through(rule.action):
            return rule.where
    if lets_through(entry.action):
        return ""
    return rules[0].where if rules else entry.where
