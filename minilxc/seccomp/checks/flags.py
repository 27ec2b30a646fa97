"""Comparisons for equality of arguments that are sets of flags: one flag more, and they do not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ..wording import filter_text
from .pointers import moved
from .subject import Found, gathered, lets_through, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..policy import Filter, Line
    from .subject import Context, Subject

_LOW: Final = 0xFFFFFFFF


class Flags(NamedTuple):
    """What an argument's flags are, and the bits that are one value beside them.

    That value is a part of what is denied when there are no flags in it, or always (`counts`).
    """

    reason: str
    value: int = 0
    counts: bool = False


_OPEN: Final = Flags("O_CREAT, O_TRUNC, O_CLOEXEC and others beside the access mode")
_PROTECTION: Final = Flags("PROT_READ, PROT_WRITE, PROT_EXEC")
_MAPPING: Final = Flags("MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED and others")
_AT: Final = Flags("AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW and others")
_MESSAGE: Final = Flags("MSG_DONTWAIT, MSG_NOSIGNAL and others")
_TYPE: Final = Flags("SOCK_CLOEXEC and SOCK_NONBLOCK beside the type", 0xF, counts=True)
_MODULE: Final = Flags("MODULE_INIT_IGNORE_MODVERSIONS and others")

FLAGS: Final[Mapping[str, Mapping[int, Flags]]] = {
    "accept4": {3: Flags("SOCK_CLOEXEC and SOCK_NONBLOCK")},
    "clone": {0: Flags("CLONE_... beside the signal that tells of the end", 0xFF)},
    "delete_module": {1: Flags("O_NONBLOCK and O_TRUNC")},
    "execveat": {4: _AT},
    "faccessat2": {3: _AT},
    "fanotify_init": {0: Flags("FAN_CLOEXEC, FAN_NONBLOCK and others beside the class")},
    "fanotify_mark": {1: Flags("FAN_MARK_ADD, FAN_MARK_ONLYDIR and others")},
    "fchmodat2": {3: _AT},
    "fchownat": {4: _AT},
    "finit_module": {2: _MODULE},
    "fsmount": {2: Flags("MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID and others")},
    "kexec_file_load": {4: Flags("KEXEC_FILE_UNLOAD, KEXEC_FILE_NO_INITRAMFS and others")},
    "linkat": {4: Flags("AT_EMPTY_PATH and AT_SYMLINK_FOLLOW")},
    "memfd_create": {1: Flags("MFD_CLOEXEC, MFD_ALLOW_SEALING and others")},
    "mlockall": {0: Flags("MCL_CURRENT, MCL_FUTURE and MCL_ONFAULT")},
    "mmap": {2: _PROTECTION, 3: _MAPPING},
    "mmap2": {2: _PROTECTION, 3: _MAPPING},
    "mount": {3: Flags("MS_RDONLY, MS_REMOUNT, MS_BIND and others")},
    "mount_setattr": {2: Flags("AT_RECURSIVE, AT_EMPTY_PATH and others")},
    "move_mount": {4: Flags("MOVE_MOUNT_F_EMPTY_PATH and others")},
    "mprotect": {2: _PROTECTION},
    "mremap": {3: Flags("MREMAP_MAYMOVE, MREMAP_FIXED and MREMAP_DONTUNMAP")},
    "open": {1: _OPEN},
    "open_by_handle_at": {2: _OPEN},
    "open_tree": {2: Flags("OPEN_TREE_CLONE, AT_RECURSIVE and others")},
    "openat": {2: _OPEN},
    "perf_event_open": {4: Flags("PERF_FLAG_FD_CLOEXEC and others")},
    "personality": {0: Flags("ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC and others beside the personality", 0xFF)},
    "pipe2": {1: Flags("O_CLOEXEC, O_DIRECT and O_NONBLOCK")},
    "pkey_mprotect": {2: _PROTECTION},
    "recvfrom": {3: _MESSAGE},
    "recvmsg": {2: _MESSAGE},
    "renameat2": {4: Flags("RENAME_NOREPLACE, RENAME_EXCHANGE and RENAME_WHITEOUT")},
    "seccomp": {1: Flags("SECCOMP_FILTER_FLAG_TSYNC and others")},
    "sendmsg": {2: _MESSAGE},
    "sendto": {3: _MESSAGE},
    "setns": {1: Flags("CLONE_NEW..., several with a pidfd")},
    "shmat": {2: Flags("SHM_RDONLY, SHM_EXEC and others")},
    "socket": {1: _TYPE},
    "socketpair": {1: _TYPE},
    "splice": {5: Flags("SPLICE_F_MOVE, SPLICE_F_NONBLOCK and others")},
    "statx": {2: _AT},
    "swapon": {1: Flags("SWAP_FLAG_DISCARD and others beside the priority")},
    "umount2": {1: Flags("MNT_FORCE, MNT_DETACH, MNT_EXPIRE and UMOUNT_NOFOLLOW")},
    "unlinkat": {2: Flags("AT_REMOVEDIR")},
    "unshare": {0: Flags("CLONE_NEW... and others")},
    "userfaultfd": {0: Flags("O_CLOEXEC, O_NONBLOCK and UFFD_USER_MODE_ONLY")},
}
"""Call, argument: the flags that it is a set of (the kernel's headers), any of which a caller can add."""


def exact(subject: Subject) -> Iterator[Found]:
    """A rule that denies one set of flags alone, or allows all but one: with a flag more there is a way around."""

    def loose() -> Iterator[tuple[tuple[Line, Filter], Context]]:
        for context in subject.contexts:
            for line in context.rules:
                for test in line.filters:
                    if is_loose(line, test, context):
                        yield (line, test), context

    for (line, test), contexts in gathered(loose()).items():
        yield Found(
            line.where,
            f"argument {test.arg} of {line.call} is a set of flags ({FLAGS[line.call][test.arg].reason}):"
            f" a caller that adds one gets around {filter_text(test)} (on {subject.names(contexts)})",
            _cure(line, test),
            subject.on(contexts),
        )


def is_loose(line: Line, test: Filter, context: Context) -> bool:
    """True when a flag more makes the filter fail where it is to deny, or hold where it is to allow."""
    if test.arg not in FLAGS.get(line.call, ()) or test.arg >= moved(line.call, context)[0]:
        return False
    entry = context.entry(line.call)
    if entry is None or test.value & _LOW in (0, _LOW):  # no flags, or the question what they are
        return False
    if lets_through(line.action):
        return test.op == "!=" and not lets_through(entry.action)
    whole = test.op == "==" or (test.op == "&=" and test.mask & _LOW == _LOW)
    return whole and lets_through(entry.action)


def _cure(line: Line, test: Filter) -> str:
    """The line that looks at the flags which were meant, whatever else is set."""
    row = FLAGS[line.call][test.arg]
    value = test.value & _LOW
    mask = value & ~row.value
    if row.counts or not mask:
        mask |= row.value
    if lets_through(line.action):  # whatever has not all of them: none of one flag, or none of another
        bits = [1 << place for place in range(32) if mask >> place & 1] if not row.counts else []
        tests = [test._replace(op="&=", value=0, mask=bit) for bit in bits]
    else:
        tests = [test._replace(op="&=", value=value & mask, mask=mask)]
    lines = [f"'{written(line, [new if each is test else each for each in line.filters])}'" for new in tests]
    return f"write {' and '.join(lines)}" if lines else ""
