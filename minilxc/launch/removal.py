"""Removing a folder with all that is in it, and nothing else.

No link is followed, no mount entered, and the walk goes by descriptors, so that nothing which somebody
renames meanwhile leads it elsewhere.
"""

from __future__ import annotations

import posix

from minilxc.linux import mount as kernel
from minilxc.linux.files import exists, is_directory, read_text
from minilxc.linux.syscalls import EBUSY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# A folder of the same file system, reached through neither a link nor a mount.
_RESOLVE = kernel.RESOLVE_NO_XDEV | kernel.RESOLVE_NO_SYMLINKS
_OPEN = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW


def lies_in(path: str, folder: str) -> bool:
    """Whether `path`, its links followed, is below `folder`, which has none."""
    from os.path import realpath  # an overlay's start, which also comes here, does without `os`

    return realpath(path).startswith(f"{folder}/")


def is_needed(folder: str) -> bool:
    """Whether other containers need the one in `folder`: LXC counts copies in a file, and has a folder of snapshots."""
    try:
        copies = int(read_text(f"{folder}/lxc_snapshots").strip("\0 \n") or "0")
    except (OSError, ValueError):
        copies = 0
    return copies > 0 or (exists(f"{folder}/snaps") and bool(posix.listdir(f"{folder}/snaps")))


def remove(place: int, name: str, identity: tuple[int, int]) -> None:
    """Remove the folder `name` of the directory `place` and all in it, if it has that device and inode.

    Neither the depth of the tree nor its links matter: one descriptor is open, and the way up is
    checked. What cannot be removed stays, with the folders above it; then the first error is raised.
    """
    here = kernel.openat2(place, name, _OPEN, _RESOLVE)
    problem: OSError | None = None
    try:
        if identity_of(here) != identity:
            raise OSError(EBUSY, "is another folder now", name)
        folders, problem = _empty(here)
        above = [(name, identity, folders)]
        while True:
            own, _, folders = above[-1]
            if folders:
                child = folders.pop()
                try:
                    below = kernel.openat2(here, child, _OPEN, _RESOLVE)
                except OSError as error:
                    problem = problem or error
                    continue
                posix.close(here)
                here = below
                inside, failed = _empty(here)
                problem = problem or failed
                above.append((child, identity_of(here), inside))
                continue
            above.pop()
            if not above:
                break
            up = kernel.openat2(here, "..", _OPEN, _RESOLVE)
            posix.close(here)
            here = up
            if identity_of(here) != above[-1][1]:
                raise OSError(EBUSY, "was moved while it was removed", own)
            failed = _try(posix.rmdir, own, here)
            problem = problem or failed
    finally:
        posix.close(here)
    problem = problem or _try(posix.rmdir, name, place)
    if problem is not None:
        raise problem


def _empty(folder: int) -> tuple[list[str], OSError | None]:
    """Remove what is no folder from a directory: the folders in it, and the first error."""
    folders, problem = [], None
    try:
        names = posix.listdir(folder)
    except OSError as error:
        return [], error
    for name in names:
        if is_directory(posix.stat(name, dir_fd=folder, follow_symlinks=False)):
            folders.append(name)
        else:
            failed = _try(posix.unlink, name, folder)
            problem = problem or failed
    return folders, problem


def identity_of(folder: int) -> tuple[int, int]:
    """Device and inode of an open folder."""
    status = posix.fstat(folder)
    return status.st_dev, status.st_ino


def _try(act: Callable[..., None], name: str, folder: int) -> OSError | None:
    """What speaks against it, if it is not gone already."""
    try:
        act(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        return error
    return None
