"""The way into the kernel: libc, system call numbers, and errors as OSError.

Every wrapper of this package goes through `call` or a libc function declared here once, so that
argument widths are right everywhere: what is not declared would be passed as a 32-bit int.
"""

from __future__ import annotations

import posix
import sys

from minilxc.linux.native import c_int, c_long, c_void_p, function, get_errno

# Since Linux 5.1 new calls have one number on all architectures (syscall.tbl of the kernel).
NR_PIDFD_SEND_SIGNAL = 424
NR_OPEN_TREE = 428
NR_MOVE_MOUNT = 429
NR_FSOPEN = 430
NR_FSCONFIG = 431
NR_FSMOUNT = 432
NR_CLONE3 = 435
NR_CLOSE_RANGE = 436
NR_OPENAT2 = 437
NR_MOUNT_SETATTR = 442

# errno(3); the module `errno` takes 0.1 ms to make its 130 names
EPERM, ENOENT, ESRCH, ENOEXEC, EACCES, EBUSY, ENODEV, ENOTDIR = 1, 2, 3, 8, 13, 16, 19, 20
EINVAL, ENFILE, EMFILE, EROFS, ENOSYS, ELOOP = 22, 23, 24, 30, 38, 40

# What is older and has no wrapper in glibc: seccomp, pivot_root, keyctl.
_OLDER_NUMBERS = {
    "x86_64": (317, 155, 250),
    "i386": (354, 217, 288),
    "arm": (383, 218, 311),
    "aarch64": (277, 41, 219),
    "ppc": (358, 203, 271),
    "s390": (348, 217, 280),
    "riscv64": (277, 41, 219),
    "loongarch64": (277, 41, 219),
}


def _own_machine() -> str:
    """The row of `_OLDER_NUMBERS` for this very process: a 32-bit Python makes 32-bit calls."""
    machine = posix.uname().machine
    wide = sys.maxsize > 1 << 32
    if machine == "x86_64":
        return machine if wide else "i386"
    if machine == "aarch64":
        return machine if wide else "arm"
    if machine.startswith("i") and machine.endswith("86"):
        return "i386"
    for family in ("arm", "ppc", "s390"):
        if machine.startswith(family):
            return family
    return machine


MACHINE = _own_machine()
"""Whose system call numbers this process uses, as a row of a table has it."""

try:
    NR_SECCOMP, NR_PIVOT_ROOT, NR_KEYCTL = _OLDER_NUMBERS[MACHINE]
except KeyError:
    raise ImportError(f"minilxc does not know the system call numbers of {posix.uname().machine}") from None

_syscall = function("syscall", c_long, *(c_void_p,) * 6, result=c_long)
ioctl = function("ioctl", c_int, c_long, c_void_p)


def os_error(thing: object, number: int | None = None) -> OSError:
    """The OSError subclass that fits `number` (default: the errno of the last call), about `thing`."""
    if number is None:
        number = get_errno()
    return OSError(number, posix.strerror(number), str(thing))


def call(thing: object, number: int, *arguments: int | bytes | None) -> int:
    """Make system call `number`; `thing` is what an error is about. Raises OSError. syscall(2).

    Integers are passed as 64-bit words on a 64-bit machine, bytes as a pointer to them, None as 0.
    """
    result = _syscall(number, *arguments, *(None,) * (6 - len(arguments)))
    if result == -1:
        raise os_error(thing)
    return result


def check(result: int, thing: object) -> int:
    """`result` of a libc function, or the OSError that its errno stands for when it is -1."""
    if result == -1:
        raise os_error(thing)
    return result
