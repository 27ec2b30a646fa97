"""Being told of changes in folders. inotify(7)."""

from __future__ import annotations

import posix

from minilxc.linux.files import encode
from minilxc.linux.native import c_char_p, c_int, function
from minilxc.linux.syscalls import check

IN_CREATE = 0x100
_IN_ONLYDIR = 0x01000000
_IN_CLOEXEC, _IN_NONBLOCK = posix.O_CLOEXEC, posix.O_NONBLOCK

_inotify_init1 = function("inotify_init1", c_int)
_inotify_add_watch = function("inotify_add_watch", c_int, c_char_p, c_int)


def new() -> int:
    """A descriptor that can be read from when something has changed. inotify_init(2). Raises OSError."""
    return check(_inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK), "inotify")


def watch(inotify: int, folder: str, events: int) -> None:
    """Have `inotify` tell of these `events` (IN_*) in `folder`; once more is no harm. inotify_add_watch(2).

    The watch goes with the folder. Raises OSError.
    """
    check(_inotify_add_watch(inotify, encode(folder), events | _IN_ONLYDIR), folder)


def drain(inotify: int) -> None:
    """Forget what was told."""
    try:
        while posix.read(inotify, 65536):
            pass
    except BlockingIOError:
        pass
