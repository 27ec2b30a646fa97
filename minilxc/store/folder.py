"""Folders that come into being whole, or not at all.

A container is made in a hidden folder beside its place and renamed when it is ready, and renamed into one before
it is removed. An open descriptor with a lock says that somebody works there; what nobody holds was left by a
command that was killed, and the next one for the same name removes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from minilxc.errors import MinilxcError
from minilxc.launch.removal import identity_of
from minilxc.linux.rename import rename_to_free
from minilxc.store import ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minilxc.log import Log

_MODE_OF_PATH = 0o711  # anybody may pass through to what is his: mapped ids have to
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


def _hidden(name: str) -> str:
    return f".{name}.minilxc-{secrets.token_hex(4)}"


@contextmanager
def making(path: str) -> Iterator[None]:
    """Make the folder `path`, which shall hold containers, if it is missing; it goes again when this fails."""
    made: list[str] = []
    descriptor = _open_or_make(path, made)
    try:
        yield
    except BaseException:
        _take_back(descriptor, made)
        raise
    finally:
        os.close(descriptor)


def _open_or_make(path: str, made: list[str]) -> int:
    while True:
        missing = []
        parent = path
        while not os.path.lexists(parent):
            missing.append(parent)
            parent = os.path.dirname(parent)
        for folder in reversed(missing):
            try:
                os.mkdir(folder)
            except FileExistsError:
                continue
            os.chmod(folder, _MODE_OF_PATH)
            made.append(folder)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        try:
            if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                return descriptor
        except FileNotFoundError:
            pass  # who had made it has failed, and taken it back
        os.close(descriptor)


def _take_back(descriptor: int, made: list[str]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for folder in reversed(made):
            os.rmdir(folder)
    except OSError:
        pass  # others use it


class Staging:
    """A hidden folder in `place`, ours alone until it is renamed or removed.

    `path` is where it is, and `descriptor` holds its lock.
    """

    def __init__(self, place: str, name: str) -> None:
        self._place = place
        self.path = f"{place.rstrip('/')}/{_hidden(name)}"
        os.mkdir(self.path, 0o700)
        self.descriptor = os.open(self.path, _OPEN)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        self._there = True

    def take(self, name: str) -> str:
        """The path of `name` in it."""
        return f"{self.path}/{name}"

    def commit(self, target: str) -> None:
        """Rename it to `target`, where nothing may be. Raises FileExistsError."""
        rename_to_free(self.path, target)
        self._there = False

    def close(self, log: Log) -> None:
        """Remove it, unless it was renamed; what stays is told."""
        if self._there:
            _remove(self._place, os.path.basename(self.path), self.descriptor, log)
        os.close(self.descriptor)


@contextmanager
def staging(place: str, name: str, log: Log) -> Iterator[Staging]:
    """A hidden folder of the container `name` in `place`, gone at the end if it was not committed.

    Those that are left of earlier commands for this name are removed first: its lock must be ours.
    """
    sweep(place, name, log)
    found = Staging(place, name)
    try:
        yield found
    finally:
        found.close(log)


def sweep(place: str, name: str, log: Log) -> None:
    """Remove the hidden folders of this name in `place` that nobody holds."""
    pattern = re.compile(rf"\.{re.escape(name)}\.minilxc-[0-9a-f]{{8}}")
    for each in sorted(filter(pattern.fullmatch, os.listdir(place))):
        try:
            descriptor = os.open(f"{place}/{each}", _OPEN)
        except OSError:
            continue  # no folder, so none of ours
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(place, each, descriptor, log)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)


def remove(place: str, name: str, where: str) -> None:
    """Remove the folder `name` of `place` in one step for all who look: it is hidden, and then removed.

    What cannot be removed stays under its name. Raises MinilxcError.
    """
    folder = f"{place.rstrip('/')}/{name}"
    aside = f"{place.rstrip('/')}/{_hidden(name)}"
    try:
        descriptor = os.open(folder, _OPEN)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(folder, aside)
            try:
                _remove_open(place, os.path.basename(aside), descriptor)
            except OSError:
                os.rename(aside, folder)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise MinilxcError(f"could not be removed: {reason(error)}", where) from None


def _remove(place: str, name: str, descriptor: int, log: Log) -> None:
    try:
        _remove_open(place, name, descriptor)
    except OSError as error:
        log.complain(f"{place.rstrip('/')}/{name}", f"could not be removed: {reason(error)}")


def _remove_open(place: str, name: str, descriptor: int) -> None:
    directory = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        ids.remove_tree(directory, name, identity_of(descriptor))
    finally:
        os.close(directory)


def refuse_mounts(folder: str, where: str) -> None:
    """Raise MinilxcError when something is mounted below `folder`: it would neither go nor come along."""
    below = f"{os.path.realpath(folder)}/"
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            point = os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), line.split()[4]))
            if f"{point}/".startswith(below):
                raise MinilxcError(f"'{point}' is a mount", where, "umount it first")


def reason(error: OSError) -> str:
    """What went wrong with which file."""
    what = error.strerror or os.strerror(error.errno or errno.EIO)
    return f"{error.filename}: {what}" if error.filename else what
