"""Handing a program to the kernel: seccomp(2), prepared so that the call itself is all that is left.

Between the load and execve(2) a start makes no system call. So all memory is laid out beforehand:
`Load` keeps the program, the structure that points to it, and the arguments as C values.
"""

from __future__ import annotations

import _struct

from minilxc.linux.native import bytes_address, c_long, c_void_p, function
from minilxc.linux.syscalls import NR_SECCOMP

SECCOMP_SET_MODE_FILTER = 1

_INSTRUCTION = 8
_MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS

_syscall = function("syscall", c_long, c_long, c_long, c_void_p, result=c_long, held=True)


class Load:
    """A program, ready to be loaded into the calling thread, for a start that has nothing else to do.

    `arguments` are those of syscall(2), C values that live as long as this object:
    seccomp(SECCOMP_SET_MODE_FILTER, flags, &program). Calling the object makes that one call and
    nothing else: it returns 0, a listener's descriptor where the flags ask for one, or -1 with the
    reason in `minilxc.linux.native.get_errno()`. Loading needs no_new_privs, or CAP_SYS_ADMIN in the
    caller's user namespace (EACCES).
    """

    __slots__ = ("arguments", "_program", "_fprog")

    def __init__(self, program: bytes, flags: int = 0) -> None:
        """`program` is an array of struct sock_filter; ValueError when its size cannot be right."""
        count, rest = divmod(len(program), _INSTRUCTION)
        if rest or not 1 <= count <= _MAX_INSTRUCTIONS:
            raise ValueError(f"{len(program)} bytes are no seccomp program")
        self._program = program
        # struct sock_fprog: unsigned short len; struct sock_filter *filter
        self._fprog = _struct.pack("HP", count, bytes_address(program))
        self.arguments = (
            c_long(NR_SECCOMP),
            c_long(SECCOMP_SET_MODE_FILTER),
            c_long(flags),
            c_void_p(bytes_address(self._fprog)),
        )

    def __call__(self) -> int:
        return _syscall(*self.arguments)
