"""Calls that do the same: denied one by one, the other remains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ..rules import Verdict
from ..wording import listed
from .needs import ESSENTIAL
from .pointers import moved
from .subject import Found, gathered, lets_through

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .subject import Context, Subject


class Alike(NamedTuple):
    """A call that does more than its twins, the filters with which it does the same, and arguments that pass them."""

    call: str
    filters: str
    args: tuple[int, ...]


class Twins(NamedTuple):
    """Calls that are usually denied together, successors behind what they succeed, and why.

    Not `filtered`: only where one is denied whole, as the other does not take what a filter would look at.
    `apart`: the later ones may well be denied alone. `alike` has the call that does more than the others.
    """

    calls: tuple[str, ...]
    reason: str
    filtered: bool = True
    apart: bool = False
    alike: Alike | None = None

    def args(self, call: str, context: Context) -> tuple[int, ...] | None:
        """Arguments with which `call` does what the row is about; None where it does nothing else."""
        if self.alike is None or self.alike.call != call or moved(call, context)[0] < len(self.alike.args):
            return None
        return self.alike.args


SUCCESSORS: Final = ("clone3", "openat2", "faccessat2", "fchmodat2")
"""Calls that take more than their elders: denied with ENOSYS they are an older kernel's, and their elders are meant."""

_AT: Final = "the ...at form does the same, and some ABIs have no other"
_TIME64: Final = "the same with times of 64 bits; C libraries of 32-bit ABIs call it first"
_IDS: Final = "the same with ids of 32 bits, which is the one that C libraries call"

TWINS: Final = (
    Twins(("mknod", "mknodat"), _AT),
    Twins(("mkdir", "mkdirat"), _AT),
    Twins(("rmdir", "unlinkat"), "unlinkat removes folders too",
          alike=Alike("unlinkat", "[2,0x200,&=,0x200]", (0, 0, 0x200))),  # AT_REMOVEDIR
    Twins(("unlink", "unlinkat"), _AT, alike=Alike("unlinkat", "[2,0,&=,0x200]", ())),
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
    Twins(("execve", "execveat"), "execveat runs programs too, by descriptor", apart=True),
    Twins(("mount", "fsmount", "move_mount"), "fsmount and move_mount together make the mounts that mount makes"),
    Twins(("mount", "mount_setattr"), "mount_setattr changes the flags of mounts as mount with MS_REMOUNT does"),
    Twins(("umount", "umount2"), "umount is umount2 without flags", filtered=False),
    # where clone has filters, clone3 is the business of checks of its own
    Twins(("fork", "vfork", "clone", "clone3"), "clone, which the fork of C libraries calls, and clone3 do the same",
          filtered=False, alike=Alike("clone", "[0,0,&=,0x10000]", (17,))),  # all but threads
    Twins(("kexec_load", "kexec_file_load"), "both put another kernel in the place of this one"),
    Twins(("init_module", "finit_module"), "both load a kernel module"),
    Twins(("settimeofday", "clock_settime", "stime"), "all set the clock"),
    Twins(("adjtimex", "clock_adjtime"), "both change the clock's pace"),
    Twins(("quotactl", "quotactl_fd"), "the same by descriptor (Linux 5.14)"),
    Twins(("setrlimit", "prlimit64"), "prlimit64 sets limits too, of other processes as well",
          alike=Alike("prlimit64", "[2,0,!=]", (0, 0, 1))),
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

    def pairs() -> Iterator[tuple[tuple[str, bool, str, Twins, tuple[str, ...], tuple[str, ...]], Context]]:
        for context in subject.contexts:
            for row in _ALL:
                open_ = [call for call in row.calls if _open(context, row, call)]
                closed: dict[str, Verdict] = {}
                remaining: dict[str, None] = {}
                for call in row.calls if open_ else ():
                    verdict = _closed(context, row, call)
                    if verdict is None:
                        continue
                    # without its successor, to callers the kernel is merely an older one
                    successor = call in SUCCESSORS or verdict.action == context.enosys
                    after = row.calls[row.calls.index(call) :]
                    meant = [twin for twin in open_ if twin in after or not (successor or row.apart)]
                    if meant:
                        closed[call] = verdict
                        remaining |= dict.fromkeys(meant)
                if closed:
                    first = next(iter(closed))
                    denied = context.answer(first) is not None
                    known = denied or row.args(first, context) is not None
                    answer = subject.words(closed[first]) if known else ""
                    yield (closed[first].where, denied, answer, row, tuple(closed), tuple(remaining)), context

    for (where, denied, answer, row, closed, remaining), contexts in gathered(pairs()).items():
        yield Found(
            where,
            f"{listed(closed)} {_be(closed)} {'denied' if denied else 'filtered'}, {listed(remaining)}"
            f" {_be(remaining)} let through: {row.reason} (on {subject.names(contexts)})",
            _cure(row, closed, remaining, answer),
            subject.on(contexts),
        )


def _cure(row: Twins, closed: tuple[str, ...], remaining: tuple[str, ...], answer: str) -> str:
    """What to add; without `answer` a filter stands there, which the twin may have no place for."""
    needed = [call for call in remaining if call in ESSENTIAL]
    if needed:
        return (
            f"programs cannot do without {listed(needed)}: filter all of them, or leave {listed(closed)} out"
        )
    if not answer:
        return "filter both, or deny the other"
    added = []
    for call in remaining:
        if call in SUCCESSORS:
            added.append(f"'{call} errno ENOSYS'")
        else:
            filters = f" {row.alike.filters}" if row.alike and row.alike.call == call else ""
            added.append(f"'{call} {answer}{filters}'")
    return f"add {', '.join(added)}"


def _be(names: tuple[str, ...]) -> str:
    return "is" if len(names) == 1 else "are"


def _open(context: Context, row: Twins, call: str) -> bool:
    """True when `call` exists and runs, whatever its arguments, or where it does what the row is about."""
    if call not in context.table:
        return False
    args = row.args(call, context)
    if args is not None:
        return lets_through(context.verdict(call, *args).action)
    answer = context.answer(call)
    return answer is not None and lets_through(answer)


def _closed(context: Context, row: Twins, call: str) -> Verdict | None:
    """What the rule that denies `call` says, always or for arguments that count in the row; None without one."""
    entry = context.entry(call)
    if entry is None:
        return None
    args = row.args(call, context)
    if args is not None:
        verdict = context.verdict(call, *args)
        return None if lets_through(verdict.action) else verdict
    rules = context.conditions(call)
    if rules and not row.filtered:
        return None
    for rule in rules:
        if not lets_through(rule.action):
            return Verdict(rule.action, rule.where)
    if lets_through(entry.action):
        return None
    return Verdict(entry.action, rules[0].where if rules else entry.where)
