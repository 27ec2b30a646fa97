"""Pseudo terminals and terminal modes."""

from __future__ import annotations

import posix

from minilxc.linux.native import addressof, c_int, c_long, c_void_p, function, words
from minilxc.linux.syscalls import check, ioctl, os_error

# <asm-generic/ioctls.h>, and what powerpc has instead; mips and sparc have other values still
_TIOCSCTTY = 0x540E
_POWER = posix.uname().machine.startswith("ppc")
_TIOCGWINSZ = 0x40087468 if _POWER else 0x5413
_TIOCSWINSZ = 0x80087467 if _POWER else 0x5414

_TIOCGPTPEER = 0x20005441 if _POWER else 0x5441

_unlockpt = function("unlockpt", c_int)
_ptsname_r = function("ptsname_r", c_int, c_void_p, c_long)


def unlock_pty(master: int) -> None:
    """Allow the slave of `master` to be opened. unlockpt(3)."""
    check(_unlockpt(master), "pseudo terminal")


def pty_number(master: int) -> int:
    """The number of the slave of `master` in its instance of devpts. ptsname_r(3)."""
    name = words(*(0,) * 8)
    number = _ptsname_r(master, addressof(name), 8 * len(name))
    if number != 0:
        raise os_error("pseudo terminal", number)
    return int(bytes(name).partition(b"\0")[0].rpartition(b"/")[2])


def open_peer(master: int) -> int:
    """The other end of `master`, opened wherever its devpts is. TIOCGPTPEER of ioctl_tty(2), Linux 4.13."""
    flags = posix.O_RDWR | posix.O_NOCTTY | posix.O_CLOEXEC
    return check(ioctl(master, _TIOCGPTPEER, flags), "pseudo terminal")


def set_controlling_terminal(slave: int) -> None:
    """Make `slave` the controlling terminal of this session, of which we are the leader. ioctl_tty(2)."""
    check(ioctl(slave, _TIOCSCTTY, None), "controlling terminal")


def window_size(terminal: int) -> int:
    """The size of a terminal's window: struct winsize, its 8 bytes as one number. TIOCGWINSZ(2const)."""
    size = words(0)
    check(ioctl(terminal, _TIOCGWINSZ, addressof(size)), "window size")
    return size[0]


def set_window_size(terminal: int, size: int) -> None:
    """Give a terminal's window the size that `window_size` has told of another. TIOCSWINSZ(2const)."""
    check(ioctl(terminal, _TIOCSWINSZ, addressof(words(size))), "window size")
