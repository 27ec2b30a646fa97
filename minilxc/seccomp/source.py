"""Reading a policy file. On the path of every start: imports nothing that costs."""

from __future__ import annotations

import posix

from minilxc.errors import PolicyError

MAX_SIZE = 1 << 20
"""Bytes in a policy; the largest real ones have a few thousand."""


def read(path: str) -> bytes:
    """The content of the policy file `path`; PolicyError when it cannot be read or is above MAX_SIZE."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            return drain(fd, path)
        finally:
            posix.close(fd)
    except OSError as error:
        raise PolicyError(error.strerror or str(error), where=path) from None
    except ValueError:
        raise PolicyError("a file name has no NUL byte", where=path) from None


def drain(fd: int, path: str) -> bytes:
    """All that can be read from `fd`, which messages call `path`; PolicyError above MAX_SIZE bytes."""
    text = posix.read(fd, 65536)
    chunk = text
    while chunk and len(text) <= MAX_SIZE:
        chunk = posix.read(fd, 65536)
        text += chunk
    if len(text) > MAX_SIZE:
        raise PolicyError("too big for a policy (the limit is 1 MiB)", where=path)
    return text
