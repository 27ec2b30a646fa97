"""Pseudo terminals and terminal modes."""

from __future__ import annotations

import ctypes

from minilxc.linux.syscalls import check, libc

_TIOCSCTTY = 0x540E  # <asm-generic/ioctls.h>; mips and sparc have other values

libc.unlockpt.argtypes = [ctypes.c_int]
libc.ptsname_r.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]


def unlock_pty(master: int) -> None:
    """Allow the slave of `master` to be opened. unlockpt(3)."""
    check(libc.unlockpt(master), "pseudo terminal")


def pty_number(master: int) -> int:
    """The number of the slave of `master` in its instance of devpts. ptsname_r(3)."""
    name = ctypes.create_string_buffer(64)
    if libc.ptsname_r(master, ctypes.addressof(name), len(name)) != 0:
        check(-1, "pseudo terminal")
    return int(name.value.rpartition(b"/")[2])


def set_controlling_terminal(slave: int) -> None:
    """Make `slave` the controlling terminal of this session, of which we are the leader. ioctl_tty(2)."""
    check(libc.ioctl(slave, _TIOCSCTTY, None), "controlling terminal")
