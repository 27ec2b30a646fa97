"""The container's /dev: device nodes, links, and the boot id."""

from __future__ import annotations

import posix

from minilxc.launch.mounts import Mount, open_in_root
from minilxc.linux import mount as kernel
from minilxc.linux.files import S_IFCHR, S_IFMT, S_IFREG, exists
from minilxc.linux.syscalls import EBUSY, EROFS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Those that every program may use: null(4), zero(4), full(4), random(4), tty(4).
_NODES = (("full", 1, 7), ("null", 1, 3), ("random", 1, 8), ("tty", 5, 0), ("urandom", 1, 9), ("zero", 1, 5))
_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
)
_BOOT_ID = ".lxc-boot-id"


def tmpfs(size: int) -> Mount:
    """The mount that becomes /dev; `size` in bytes."""
    return Mount(
        "none",
        "dev",
        "tmpfs",
        options=("source=none", f"size={size}", "mode=755"),
        create="dir",
        follow=False,
    )


def identity(root: int) -> int:
    """The number of the file system that is mounted on /dev below `root`."""
    dev = open_in_root(root, "dev", posix.O_PATH | posix.O_DIRECTORY, follow=False)
    try:
        return posix.fstat(dev).st_dev
    finally:
        posix.close(dev)


def populate(mapped: bool, root: int, fresh: int) -> None:
    """Fill the fresh /dev below `root`, the file system number `fresh`: nodes and the folder pts.

    Nothing but that is filled: a mount entry may have put a folder of the host in its place.

    Nodes are made; where that is not allowed (`mapped`: in a user namespace it never is) the host's
    are bound, after a look that they are what their name says.
    """
    dev = open_in_root(root, "dev", posix.O_PATH | posix.O_DIRECTORY, follow=False)
    try:
        if posix.fstat(dev).st_dev != fresh:
            raise OSError(EBUSY, "another mount covers it (lxc.autodev = 0 leaves /dev alone)", "/dev")
        for name, major, minor in _NODES:
            _node(dev, name, posix.makedev(major, minor), mapped)
        _unless_there(posix.mkdir, "pts", 0o755, dir_fd=dev)
    finally:
        posix.close(dev)


def link(root: int) -> None:
    """Make the links that shells expect in /dev, also in an image's own, unless that is missing or read-only."""
    try:
        dev = open_in_root(root, "dev", posix.O_PATH | posix.O_DIRECTORY, follow=False)
    except FileNotFoundError:
        return
    try:
        for name, target in _LINKS:
            _unless_there(posix.symlink, target, name, dir_fd=dev)
    except OSError as error:
        if error.errno != EROFS:
            raise
    finally:
        posix.close(dev)


def _unless_there(make: Callable[..., None], *arguments: str | int, dir_fd: int) -> None:
    """Call `make`; what a mount hook or entry has put there already stays."""
    try:
        make(*arguments, dir_fd=dir_fd)
    except FileExistsError:
        pass


def _node(dev: int, name: str, device: int, mapped: bool) -> None:
    if not mapped:
        try:
            posix.mknod(name, S_IFCHR | 0o666, device, dir_fd=dev)
            return
        except FileExistsError:
            return
        except PermissionError:
            pass
    host = posix.open(f"/dev/{name}", posix.O_PATH)
    status = posix.fstat(host)
    if status.st_mode & S_IFMT != S_IFCHR or status.st_rdev != device:
        raise FileNotFoundError(2, "is not the device of that name", f"/dev/{name}")
    _unless_there(posix.mknod, name, S_IFREG | 0o666, dir_fd=dev)
    target = open_in_root(dev, name, follow=False)
    copy = kernel.open_tree_clone(host, "", recursive=False)
    kernel.move_mount(copy, target, name)
    for descriptor in (host, target, copy):
        posix.close(descriptor)


def boot_id() -> None:
    """Give the container a boot id of its own, as LXC does: a file of /dev over the kernel's. random(4)."""
    target = "/proc/sys/kernel/random/boot_id"
    if not exists(target):
        return
    raw = bytearray(posix.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40  # a random UUID, RFC 9562 section 5.4
    raw[8] = raw[8] & 0x3F | 0x80
    word = raw.hex()
    text = f"{word[:8]}-{word[8:12]}-{word[12:16]}-{word[16:20]}-{word[20:]}\n"
    path = f"/dev/{_BOOT_ID}"
    descriptor = posix.open(path, posix.O_CREAT | posix.O_EXCL | posix.O_WRONLY | posix.O_NOFOLLOW, 0o444)
    posix.write(descriptor, text.encode())
    posix.close(descriptor)
    copy = kernel.open_tree_clone(kernel.AT_FDCWD, path, recursive=False)
    flags = (
        kernel.MOUNT_ATTR_RDONLY
        | kernel.MOUNT_ATTR_NOSUID
        | kernel.MOUNT_ATTR_NODEV
        | kernel.MOUNT_ATTR_NOEXEC
    )
    kernel.mount_setattr(copy, target, attr_set=flags)
    place = posix.open(target, posix.O_PATH)
    if kernel.filesystem_magic(place) == kernel.PROC_SUPER_MAGIC:
        kernel.move_mount(copy, place, target)
    posix.close(place)
    posix.close(copy)
