"""A root file system on a block device, or in an image: a file that is made one. loop(4)."""

from __future__ import annotations

import posix

from minilxc.linux import loop
from minilxc.linux import mount as kernel
from minilxc.linux.files import S_IFBLK, S_IFMT
from minilxc.linux.syscalls import EINVAL, EROFS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.launch.rootfs import Rootfs


def mount(rootfs: Rootfs) -> int:
    """The file system at `rootfs.path`, detached: a descriptor. As LXC, whichever type the kernel takes.

    What the medium lets nobody write, a squashfs or a file on one, is mounted read-only.
    """
    assert rootfs.path is not None
    read_only = bool(rootfs.attr_set & kernel.MOUNT_ATTR_RDONLY)
    if posix.stat(rootfs.path).st_mode & S_IFMT == S_IFBLK:
        return _mount(rootfs.path, rootfs, read_only)
    try:
        device, name = loop.attach(rootfs.path, read_only=read_only)
    except OSError as error:
        if error.errno != EROFS:
            raise
        read_only = True
        device, name = loop.attach(rootfs.path, read_only=True)
    try:
        return _mount(name, rootfs, read_only)
    finally:
        posix.close(device)


def _mount(device: str, rootfs: Rootfs, read_only: bool) -> int:
    options = (f"source={device}", *rootfs.options, *(("ro",) if read_only else ()))
    thing = rootfs.path or device
    for fstype in _types_on_devices():
        try:
            return kernel.mount_filesystem(fstype, options, thing=thing)
        except OSError:
            continue  # of another type; which error a type gives for that is its own affair
    raise OSError(EINVAL, "no file system that this kernel can mount", thing)


def _types_on_devices() -> list[str]:
    """The types of file systems on block devices that the kernel has. proc_filesystems(5)."""
    with open("/proc/filesystems", encoding="ascii") as file:
        return [line.strip() for line in file if not line.startswith("nodev")]
