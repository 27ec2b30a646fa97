"""Renaming so that nothing is lost."""

from __future__ import annotations

import errno
import os

from minilxc.linux.files import encode
from minilxc.linux.mount import AT_FDCWD
from minilxc.linux.native import c_char_p, c_int, function
from minilxc.linux.syscalls import check

_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2

_renameat2 = function("renameat2", c_int, c_char_p, c_int, c_char_p, c_int)


def rename_to_free(source: str, target: str) -> None:
    """Rename `source` to `target`, which must not exist: FileExistsError. renameat2(2), RENAME_NOREPLACE.

    A file system without the flag (NFS) is asked before; then nobody but the caller may make `target`.
    """
    try:
        check(_renameat2(AT_FDCWD, encode(source), AT_FDCWD, encode(target), _RENAME_NOREPLACE), target)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        os.rename(source, target)


def exchange(one: str, other: str) -> None:
    """Give each of two files the name of the other, in one step. renameat2(2), RENAME_EXCHANGE.

    A file system without the flag gets there in three.
    """
    try:
        check(_renameat2(AT_FDCWD, encode(one), AT_FDCWD, encode(other), _RENAME_EXCHANGE), one)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        aside = f"{other}-"
        os.rename(one, aside)
        os.rename(other, one)
        os.rename(aside, other)
