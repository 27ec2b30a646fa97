"""Files of a root file system that nobody vouches for: no link in it leads out of it."""

from __future__ import annotations

import os
import secrets
import stat

from minilxc.linux.mount import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

_RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_MOST_BYTES = 2**20


def _open(root: str, path: str, flags: int) -> int:
    """Open `path` of the root file system in the folder `root`. Raises OSError."""
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return openat2(top, path, flags, _RESOLVE)
    finally:
        os.close(top)


def exists(root: str, path: str) -> bool:
    """Whether `path` is there, its links followed inside."""
    try:
        os.close(_open(root, path, os.O_PATH))
    except OSError:
        return False
    return True


def read(root: str, path: str) -> str | None:
    """The text of a small file; None when there is none that can be read."""
    try:
        # What would be waited for, or would become our terminal, is no such file.
        descriptor = _open(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(_MOST_BYTES).decode(errors="surrogateescape")
    finally:
        os.close(descriptor)


def write(root: str, path: str, text: str) -> None:
    """Put a file with `text` at `path`, whatever was there; its folder must exist. Raises OSError."""
    folder, _, name = path.rpartition("/")
    directory = _open(root, folder or "/", os.O_PATH | os.O_DIRECTORY)
    temporary = f".minilxc-{secrets.token_hex(4)}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(temporary, flags, 0o644, dir_fd=directory), "w", errors="surrogateescape") as file:
            file.write(text)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.close(directory)


def make_folder(root: str, path: str) -> None:
    """Make the folder `path` and those above it, as far as they are missing. Raises OSError."""
    above = "/"
    for name in path.split("/"):
        if not name or exists(root, f"{above}{name}"):
            above += f"{name}/" if name else ""
            continue
        directory = _open(root, above, os.O_PATH | os.O_DIRECTORY)
        try:
            os.mkdir(name, 0o755, dir_fd=directory)
        finally:
            os.close(directory)
        above += f"{name}/"
