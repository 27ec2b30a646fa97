"""Arguments whose value says nothing to a filter, or says something else on another ABI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..wording import filter_text
from .subject import Found, gathered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..policy import Filter, Line
    from .subject import Context, Subject

_PATH: Final = "a path"
_ADDRESS: Final = "a struct sockaddr"
_MESSAGE: Final = "a struct msghdr"
_TIME: Final = "a struct timespec"

POINTERS: Final[Mapping[str, Mapping[int, str]]] = {
    "accept": {1: _ADDRESS, 2: "a length"},
    "accept4": {1: _ADDRESS, 2: "a length"},
    "access": {0: _PATH},
    "acct": {0: _PATH},
    "bind": {1: _ADDRESS},
    "bpf": {1: "a union bpf_attr"},
    "capset": {0: "a header", 1: "capability sets"},
    "chdir": {0: _PATH},
    "chmod": {0: _PATH},
    "chown": {0: _PATH},
    "chroot": {0: _PATH},
    "clock_nanosleep": {2: _TIME},
    "clock_settime": {1: _TIME},
    "clone3": {0: "a struct clone_args, the flags among it"},
    "connect": {1: _ADDRESS},
    "creat": {0: _PATH},
    "execve": {0: _PATH, 1: "the arguments", 2: "the environment"},
    "execveat": {1: _PATH, 2: "the arguments", 3: "the environment"},
    "faccessat": {1: _PATH},
    "faccessat2": {1: _PATH},
    "fchmodat": {1: _PATH},
    "fchmodat2": {1: _PATH},
    "fchownat": {1: _PATH},
    "fsopen": {0: "the file system's name"},
    "getrandom": {0: "a buffer"},
    "init_module": {0: "the module", 2: "its parameters"},
    "io_uring_setup": {1: "a struct io_uring_params"},
    "landlock_create_ruleset": {0: "a struct landlock_ruleset_attr"},
    "lchown": {0: _PATH},
    "link": {0: _PATH, 1: _PATH},
    "linkat": {1: _PATH, 3: _PATH},
    "lstat": {0: _PATH},
    "memfd_create": {0: "a name"},
    "mkdir": {0: _PATH},
    "mkdirat": {1: _PATH},
    "mknod": {0: _PATH},
    "mknodat": {1: _PATH},
    "mount": {0: "the source", 1: _PATH, 2: "the file system's name", 4: "options"},
    "mount_setattr": {1: _PATH, 3: "a struct mount_attr, the flags among it"},
    "move_mount": {1: _PATH, 3: _PATH},
    "name_to_handle_at": {1: _PATH},
    "newfstatat": {1: _PATH},
    "open": {0: _PATH},
    "open_by_handle_at": {1: "a struct file_handle"},
    "open_tree": {1: _PATH},
    "openat": {1: _PATH},
    "openat2": {1: _PATH, 2: "a struct open_how, the flags among it"},
    "perf_event_open": {0: "a struct perf_event_attr, the type among it"},
    "pivot_root": {0: _PATH, 1: _PATH},
    "read": {1: "a buffer"},
    "readlink": {0: _PATH},
    "readlinkat": {1: _PATH},
    "recvfrom": {1: "a buffer", 4: _ADDRESS},
    "recvmsg": {1: _MESSAGE},
    "rename": {0: _PATH, 1: _PATH},
    "renameat": {1: _PATH, 3: _PATH},
    "renameat2": {1: _PATH, 3: _PATH},
    "rmdir": {0: _PATH},
    "rt_sigaction": {1: "a struct sigaction"},
    "sched_setattr": {1: "a struct sched_attr, the policy among it"},
    "sched_setparam": {1: "a struct sched_param"},
    "sched_setscheduler": {2: "a struct sched_param"},
    "sendmsg": {1: _MESSAGE},
    "sendto": {1: "a buffer", 4: _ADDRESS},
    "setdomainname": {0: "the name"},
    "sethostname": {0: "the name"},
    "setsockopt": {3: "the option's value"},
    "setxattr": {0: _PATH, 1: "the attribute's name"},
    "stat": {0: _PATH},
    "statx": {1: _PATH},
    "swapon": {0: _PATH},
    "symlink": {0: _PATH, 1: _PATH},
    "symlinkat": {0: _PATH, 2: _PATH},
    "truncate": {0: _PATH},
    "umount": {0: _PATH},
    "umount2": {0: _PATH},
    "unlink": {0: _PATH},
    "unlinkat": {1: _PATH},
    "utimensat": {1: _PATH, 2: _TIME},
    "write": {1: "a buffer"},
}
"""Call, argument: what it points to. Programs run from memory a filter cannot read (seccomp(2))."""

OTHER: Final[Mapping[str, Mapping[str, tuple[int, str]]]] = {
    "mmap": dict.fromkeys(
        ("x86", "s390"), (0, "has one argument there, a pointer to all six (old_mmap); programs use mmap2")
    ),
    "select": {"x86": (0, "has one argument there, a pointer to all five (old_select)")},
    "clone": dict.fromkeys(
        ("s390", "s390x"), (0, "has the stack as argument 0 there, its flags are argument 1")
    ),
}
"""Call, ABI: the first argument that is another there, and why (the ABI's own entry in the kernel)."""

_SPLIT: Final[Mapping[str, int]] = {
    "fadvise64": 1,
    "fadvise64_64": 1,
    "fallocate": 2,
    "fanotify_mark": 2,
    "ftruncate64": 1,
    "lookup_dcookie": 0,
    "pread64": 3,
    "pwrite64": 3,
    "readahead": 1,
    "sync_file_range": 1,
    "truncate64": 1,
}
"""Call: its first argument of 64 bits, which takes two words, on some ABIs from an even one on (syscall(2))."""


def pointer(subject: Subject) -> Iterator[Found]:
    """A filter on a pointer; whether there is one at all (0) can be asked."""
    for line in subject.policy.lines:
        for test in line.filters:
            behind = POINTERS.get(line.call, {}).get(test.arg)
            if behind and not (test.op in ("==", "!=") and test.value == 0):
                yield Found(
                    line.where,
                    f"{line.call}: argument {test.arg} points to {behind}; a filter sees the address alone,"
                    f" so {filter_text(test)} means nothing",
                    f"the whole call can be answered: '{line.call} errno ENOSYS' sends callers to an older one"
                    if line.call in ("clone3", "openat2")
                    else "",
                )


def moved(call: str, context: Context) -> tuple[int, str]:
    """The first argument of `call` that is another one in `context`, and why; 6 where none is."""
    if context.bits == 32 and call in _SPLIT:
        first = _SPLIT[call]
        return first, f"has 64 bits as argument {first}, which take two words there and move those after"
    return OTHER.get(call, {}).get(context.abi.name, (6, ""))


def other_argument(subject: Subject) -> Iterator[Found]:
    """A filter on an argument that is another one on some ABI."""

    def meant_otherwise() -> Iterator[tuple[tuple[Line, Filter, str], Context]]:
        for context in subject.contexts:
            for line in context.rules:
                if line.call not in context.table or line.section == context.abi.name:
                    continue  # in the ABI's own section the filters are its own
                first, why = moved(line.call, context)
                for test in line.filters:
                    if test.arg >= first:
                        yield (line, test, why), context

    for (line, test, why), contexts in gathered(meant_otherwise()).items():
        names = subject.names(contexts)
        yield Found(
            line.where,
            f"{line.call} {why}: {filter_text(test)} looks at something else on {names}",
            "give each ABI a section with its own filters",
            subject.on(contexts),
        )
