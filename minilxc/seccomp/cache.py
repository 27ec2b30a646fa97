"""Compiled programs, kept from one start to the next. On the path of every start.

An entry is a file whose name is its key: a digest of all that the programs depend on. What is read is
trusted only as far as nobody else can have written it: the directory is ours and closed to others, so
is the file, and its length and digest are right. Anything else is as if it were not there; nothing
here ever raises for a bad cache, and a start goes on without one.
"""

from __future__ import annotations

import posix
import sys
from _blake2 import blake2b  # hashlib would cost 3 ms to import

from minilxc.linux.files import encode, is_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = 2
"""Part of each key. Raise it with every change of what a policy compiles to, or of an entry's form."""

MAX_ENTRIES = 256
"""Beyond, a store removes the oldest."""

_MAX_SIZE = 1 << 20
_DIGEST_SIZE = 32
_FOLDERS = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64")
_SERIAL = [0]


def key(text: bytes, path: str, machine: str, notify: bool, newer: str = "") -> str:
    """The name of the entry for a policy: whatever changes its programs changes the key.

    `text` is the policy, `path` its name in messages, `machine` what the programs are for, `newer`
    the action for calls newer than the policy as it is written, "" without one. The installed
    libseccomp is identified by its file, without opening it.
    """
    digest = blake2b(digest_size=20)
    for part in (
        b"%d" % FORMAT,
        text,
        encode(path),
        machine.encode("utf-8", "surrogateescape"),
        b"%d" % notify,
        encode(newer),
        _library().encode(),
    ):
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()


def fetch(folder: str, name: str) -> tuple[bytes, ...] | None:
    """What was stored under the key `name`, or None."""
    try:
        folder_fd = _open_folder(folder)
        try:
            return _read(folder_fd, name)
        finally:
            posix.close(folder_fd)
    except OSError:
        return None


def store(folder: str, name: str, parts: Sequence[bytes]) -> bool:
    """Keep `parts` under the key `name`; False when that was not possible.

    The entry appears whole or not at all; of two writers at once the last one's stays, which says the
    same. `folder` is made, with mode 0700, when it does not exist.
    """
    body = b"".join(b"%d\n" % len(part) for part in parts) + b"\n" + b"".join(parts)
    entry = blake2b(body, digest_size=_DIGEST_SIZE).digest() + body
    if len(entry) > _MAX_SIZE:
        return False
    try:
        try:
            folder_fd = _open_folder(folder)
        except FileNotFoundError:
            from os import makedirs

            makedirs(folder, 0o700, exist_ok=True)
            folder_fd = _open_folder(folder)
        try:
            _write(folder_fd, name, entry)
            _evict(folder_fd)
        finally:
            posix.close(folder_fd)
    except OSError:
        return False
    return True


def _library() -> str:
    """The identity of the installed libseccomp: device, inode, size and time of its file; "" without one."""
    triplet = getattr(sys.implementation, "_multiarch", "")
    folders = (f"/lib/{triplet}", f"/usr/lib/{triplet}", *_FOLDERS) if triplet else _FOLDERS
    for folder in folders:
        try:
            found = posix.stat(folder + "/libseccomp.so.2")
        except OSError:
            continue
        return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns}"
    return ""


def _private(found: posix.stat_result) -> bool:
    """True when nobody but us can have changed it, root aside."""
    return found.st_uid == posix.geteuid() and not found.st_mode & 0o077


def _open_folder(folder: str) -> int:
    """A descriptor of the cache's directory; PermissionError when others may write or read there."""
    fd = posix.open(folder, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC)
    try:
        if not _private(posix.fstat(fd)):
            raise PermissionError(folder)
    except BaseException:
        posix.close(fd)
        raise
    return fd


def _read(folder_fd: int, name: str) -> tuple[bytes, ...] | None:
    """The parts of an entry, or None for one that is not ours, not regular or not whole."""
    fd = posix.open(
        name, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC, dir_fd=folder_fd
    )
    try:
        found = posix.fstat(fd)
        if not is_regular(found) or not _private(found) or found.st_size > _MAX_SIZE:
            return None
        entry = posix.read(fd, found.st_size + 1)
    finally:
        posix.close(fd)
    body = entry[_DIGEST_SIZE:]
    if (
        len(entry) != found.st_size
        or blake2b(body, digest_size=_DIGEST_SIZE).digest() != entry[:_DIGEST_SIZE]
    ):
        return None
    lengths, _, content = body.partition(b"\n\n")
    parts = []
    for length in lengths.split(b"\n"):
        parts.append(content[: int(length)])
        content = content[int(length) :]
    return tuple(parts)


def _write(folder_fd: int, name: str, entry: bytes) -> None:
    """Write an entry beside its place and move it there."""
    _SERIAL[0] += 1
    temporary = f"{name}.{posix.getpid()}.{_SERIAL[0]}.{posix.urandom(4).hex()}"
    fd = posix.open(
        temporary,
        posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC,
        0o600,
        dir_fd=folder_fd,
    )
    try:
        try:
            if posix.write(fd, entry) != len(entry):
                raise OSError("short write")
        finally:
            posix.close(fd)
        posix.rename(temporary, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    except BaseException:
        posix.unlink(temporary, dir_fd=folder_fd)
        raise


def _evict(folder_fd: int) -> None:
    """Remove the oldest entries above MAX_ENTRIES; what a killed writer left behind goes the same way."""
    names = posix.listdir(folder_fd)
    if len(names) <= MAX_ENTRIES:
        return
    aged = []
    for name in names:
        try:
            aged.append((posix.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mtime_ns, name))
        except FileNotFoundError:
            continue  # another writer was quicker
    for _, name in sorted(aged)[: len(names) - MAX_ENTRIES]:
        try:
            posix.unlink(name, dir_fd=folder_fd)
        except FileNotFoundError:
            continue
