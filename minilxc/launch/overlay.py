"""A root file system of layers: what the container writes goes to the upper one, the lower ones stay as they are.

The kernel's overlayfs wants a work folder on the file system of the upper layer: `work` beside it, as LXC has it.
"""

from __future__ import annotations

import fcntl
import posix

from minilxc.errors import ConfigError
from minilxc.launch.removal import identity_of, remove
from minilxc.linux import mount as kernel
from minilxc.linux.files import absolute, exists, is_directory, is_folder
from minilxc.linux.syscalls import EBUSY, ENOTDIR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minilxc.launch.rootfs import Rootfs


def layers(text: str, where: str) -> tuple[str, ...]:
    """The layers of LOWER[:LOWER...]:UPPER, from the root on. Raises ConfigError for one that is missing."""
    found = tuple(text.split(":"))
    for path in found:
        if not is_folder(path):
            reason = "is not a folder" if exists(path) else "No such file or directory"
            raise ConfigError(f"lxc.rootfs.path: layer '{path}': {reason}", where)
    return tuple(map(absolute, found))


def work_folder(upper: str) -> str:
    """Where the work folder of the layer `upper` is."""
    return f"{upper.rpartition('/')[0]}/work"


def prepare(rootfs: Rootfs, ends: list[tuple[str, Callable[[], object]]]) -> None:
    """Parent, as root: make the work folder, the upper layer's owner's, and see that no other container uses it.

    An overlay whose work folder two use is undefined (Documentation/filesystems/overlayfs.rst).
    """
    upper = rootfs.layers[-1]
    work = work_folder(upper)
    made = _make(work)
    held = posix.open(work, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC)
    ends.append(("work folder", lambda: _let_go(work, held, made)))
    if made:
        owner = posix.stat(upper)
        posix.chown(held, owner.st_uid, owner.st_gid)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(EBUSY, "another container has it as its overlay's work folder", work) from None


def _let_go(work: str, held: int, made: bool) -> None:
    """Take the work folder away if it came with this start, with what the kernel has left there."""
    try:
        if made:
            place, _, name = work.rpartition("/")
            folder = posix.open(place or "/", posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
            try:
                remove(folder, name, identity_of(held))
            finally:
                posix.close(folder)
    finally:
        posix.close(held)


def _make(work: str) -> bool:
    """Make the work folder unless it is there; whether it was made."""
    try:
        posix.mkdir(work, 0o755)
    except FileExistsError:
        if not is_directory(posix.lstat(work)):
            raise OSError(ENOTDIR, "the work folder of the overlay is no folder", work) from None
        return False
    return True


def mount(rootfs: Rootfs) -> int:
    """The layers as one tree, detached: a descriptor. Raises OSError."""
    *lowers, upper = rootfs.layers
    work = work_folder(upper)
    _make(work)  # for an ordinary user as who is root inside, and who must own it
    options = (
        "source=overlay",
        f"lowerdir={':'.join(map(_escaped, lowers))}",
        f"upperdir={_escaped(upper)}",
        f"workdir={_escaped(work)}",
        *rootfs.options,
    )
    if rootfs.mapped and not rootfs.by_parent:
        options += ("userxattr",)  # those that only root may write are out of reach. Linux 5.11
    return kernel.mount_filesystem("overlay", options, thing=upper)


def _escaped(path: str) -> str:
    """`path` as overlayfs reads it: there a backslash takes the meaning from what follows."""
    return path.replace("\\", "\\\\").replace(",", "\\,")
