"""Small questions about files, as `os.path` answers them; importing `os` takes a start 2 ms.

The hot path uses the built-in module `posix`, which has the same calls under the same names.
"""

from __future__ import annotations

import posix
import sys

# inode(7)
S_IFMT, S_IFIFO, S_IFCHR, S_IFDIR, S_IFBLK, S_IFREG = (
    0o170000, 0o010000, 0o020000, 0o040000, 0o060000, 0o100000,
)  # fmt: skip


def encode(text: str) -> bytes:
    """The bytes that a path or an argument stands for, as os.fsencode."""
    return text.encode(sys.getfilesystemencoding(), "surrogateescape")


def decode(raw: bytes) -> str:
    """The text of a path or an argument, as os.fsdecode."""
    return raw.decode(sys.getfilesystemencoding(), "surrogateescape")


def _format(path: str) -> int:
    """The type bits of the file at `path`, links followed; 0 when there is none."""
    try:
        return posix.stat(path).st_mode & S_IFMT
    except (OSError, ValueError):
        return 0


def is_regular(status: posix.stat_result) -> bool:
    """Whether `status` is that of a regular file."""
    return status.st_mode & S_IFMT == S_IFREG


def is_directory(status: posix.stat_result) -> bool:
    """Whether `status` is that of a folder."""
    return status.st_mode & S_IFMT == S_IFDIR


def is_fifo(status: posix.stat_result) -> bool:
    """Whether `status` is that of a pipe, with a name or without."""
    return status.st_mode & S_IFMT == S_IFIFO


def exists(path: str) -> bool:
    """Whether something is at `path`, links followed."""
    return _format(path) != 0


def is_folder(path: str) -> bool:
    """Whether a folder is at `path`, links followed."""
    return _format(path) == S_IFDIR


def is_file(path: str) -> bool:
    """Whether a regular file is at `path`, links followed."""
    return _format(path) == S_IFREG


def is_block_device(path: str) -> bool:
    """Whether a block device is at `path`, links followed."""
    return _format(path) == S_IFBLK


def same(one: str, other: str) -> bool:
    """Whether two paths lead to the same file; both must exist."""
    first, second = posix.stat(one), posix.stat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def absolute(path: str) -> str:
    """`path` from the root on, without a slash at its end; links and dots stay as they are."""
    if not path.startswith("/"):
        path = f"{posix.getcwd()}/{path}"
    return path.rstrip("/") or "/"


def normalized(path: str) -> str:
    """`path` from the root on, with its dots worked out as text, as os.path.abspath does it."""
    names: list[str] = []
    for name in absolute(path).split("/"):
        if name == "..":
            names[-1:] = []
        elif name not in ("", "."):
            names.append(name)
    return "/" + "/".join(names)


def canonical(path: str) -> str:
    """`path` with its links followed, as os.path.realpath; what is not there yet is worked out as text."""
    try:
        folder = posix.open(path, posix.O_PATH | posix.O_CLOEXEC)
    except OSError:
        return normalized(path)
    try:
        return posix.readlink(f"/proc/self/fd/{folder}")
    except OSError:
        return normalized(path)
    finally:
        posix.close(folder)


def read_text(path: str) -> str:
    """The content of a small file of procfs or sysfs. Raises OSError."""
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.read(descriptor, 65536).decode()
    finally:
        posix.close(descriptor)


def write_text(path: str, text: str) -> None:
    """Write `text` to a file of procfs or sysfs, which must be there, in one write(2). Raises OSError."""
    try:
        descriptor = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)
        try:
            posix.write(descriptor, encode(text))
        finally:
            posix.close(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
