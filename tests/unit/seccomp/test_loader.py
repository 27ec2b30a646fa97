"""The load itself, in a child: the filter is in place and nothing else was called."""

from __future__ import annotations

import ctypes
import errno
import os

import pytest

from minilxc.seccomp.loader import Load

from .helpers import compiled

PR_SET_NO_NEW_PRIVS = 38


def in_child(policy: str, flags: int = 0) -> int:
    """Load `policy` in a child that then calls mkdir: its errno, or 200 + that of a failed load."""
    load = Load(compiled(policy, os.uname().machine).program.encode(), flags)
    libc = ctypes.CDLL(None, use_errno=True)
    pid = os.fork()
    if pid == 0:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if load() < 0:
            os._exit(200 + ctypes.get_errno())
        libc.mkdir(b"/proc/minilxc/nowhere", 0)
        os._exit(ctypes.get_errno())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_loaded_filter_answers() -> None:
    """ECONNREFUSED is an errno that mkdir never gives."""
    assert in_child("2\ndenylist\nmkdir errno ECONNREFUSED\n") == errno.ECONNREFUSED
    assert in_child("2\ndenylist\nrmdir errno ECONNREFUSED\n") == errno.ENOENT


def test_a_refused_load_says_why() -> None:
    assert in_child("2\ndenylist\n", flags=1 << 20) == 200 + errno.EINVAL


@pytest.mark.parametrize("size", [0, 7, 9, 4097 * 8])
def test_what_cannot_be_a_program(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes are no seccomp program"):
        Load(bytes(size))
