"""The root file system: put in place at the beginning, made "/" at the end."""

from __future__ import annotations

import posix

from minilxc.errors import ConfigError
from minilxc.launch import mounts
from minilxc.linux import mount as kernel
from minilxc.linux.files import absolute, exists, is_file, is_folder, read_text, same
from minilxc.linux.syscalls import EBUSY, EINVAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.config.parse import Config


class Rootfs:
    """What becomes "/", and how. Immutable; `path` None: the host's own root is shared.

    `image`: `path` is a file with a file system in it, mounted with `options` through a loop device.
    """

    __slots__ = (
        "attr_clr",
        "attr_set",
        "image",
        "mountpoint",
        "options",
        "path",
        "propagation",
        "propagation_recursive",
    )

    def __init__(
        self,
        path: str | None,
        mountpoint: str,
        image: bool = False,
        options: tuple[str, ...] = (),
        attr_set: int = 0,
        attr_clr: int = 0,
        propagation: int = 0,
        propagation_recursive: bool = False,
    ) -> None:
        self.path = path
        self.mountpoint = mountpoint
        self.image = image
        self.options = options
        self.attr_set = attr_set
        self.attr_clr = attr_clr
        self.propagation = propagation
        self.propagation_recursive = propagation_recursive

    def describe(self) -> str:
        """Which tree the container gets, on one line."""
        return f"{self.path} on {self.mountpoint}" if self.path else "the host's own root is shared"


# There from the lock on, and nothing that a mount entry would have as its source is hidden by it.
_IMAGE_MOUNTPOINT = "/run/minilxc"


def from_config(config: Config) -> Rootfs:
    """The root file system that the config names. Raises ConfigError."""
    value = config.get("lxc.rootfs.path")
    if value is None:
        if config.get("lxc.rootfs.options"):
            raise ConfigError(
                "lxc.rootfs.options: there is no lxc.rootfs.path to mount with them",
                config.where("lxc.rootfs.options"),
            )
        return Rootfs(None, "/")
    image, path = value[0] == "loop", value[1]
    where = config.where("lxc.rootfs.path") or ""
    if not (is_file(path) if image else is_folder(path)):
        kind = "a file" if image else "a folder"
        reason = f"is not {kind}" if exists(path) else "No such file or directory"
        raise ConfigError(f"lxc.rootfs.path: '{path}': {reason}", where)
    if image and config.get("lxc.idmap"):
        raise ConfigError("lxc.rootfs.path: an image with lxc.idmap is not supported yet", where)
    if same(path, "/"):
        raise ConfigError(
            "lxc.rootfs.path: '/' is the host's own root", where, "leave the key out to share it"
        )
    mountpoint = config.get("lxc.rootfs.mount")
    if mountpoint is not None and not is_folder(mountpoint):
        raise ConfigError(
            f"lxc.rootfs.mount: '{mountpoint}': is not a folder", config.where("lxc.rootfs.mount")
        )
    words = config.get("lxc.rootfs.options")
    flags = mounts.read_options(words, config.where("lxc.rootfs.options") or "", entry=False)
    if flags.options and not image:
        raise ConfigError(
            f"lxc.rootfs.options: a folder takes no option '{flags.options[0]}'",
            config.where("lxc.rootfs.options"),
        )
    return Rootfs(
        absolute(path),
        # A folder is mounted on itself: no other place needs to exist, or to be cleaned up.
        absolute(mountpoint or (_IMAGE_MOUNTPOINT if image else path)),
        image,
        flags.options,
        flags.attr_set,
        flags.attr_clr,
        flags.propagation,
        flags.propagation_recursive,
    )


def attach(rootfs: Rootfs) -> int:
    """Bind the root file system on its mount point; a descriptor of its root. Raises OSError.

    The copy is recursive, as LXC's, and its top is private: what is mounted on the host below the
    directory later does not appear inside.
    """
    if rootfs.path is None:
        return posix.open("/", posix.O_PATH | posix.O_DIRECTORY)
    if rootfs.image:
        tree = _mount_image(rootfs.path, rootfs)
    else:
        tree = kernel.open_tree_clone(kernel.AT_FDCWD, rootfs.path, recursive=True)
    kernel.mount_setattr(tree, rootfs.path, propagation=kernel.MS_PRIVATE)
    if rootfs.attr_set or rootfs.attr_clr:
        # With what the host has mounted below it, or "ro" would leave places that can be written.
        kernel.mount_setattr(
            tree, rootfs.path, attr_set=rootfs.attr_set, attr_clr=rootfs.attr_clr, recursive=True
        )
    target = posix.open(rootfs.mountpoint, posix.O_PATH | posix.O_DIRECTORY)
    kernel.move_mount(tree, target, rootfs.mountpoint)
    posix.close(target)
    return tree


def _mount_image(path: str, rootfs: Rootfs) -> int:
    """The file system in the image `path`, detached: a descriptor. As LXC, whichever type the kernel takes."""
    from minilxc.linux import loop

    read_only = bool(rootfs.attr_set & kernel.MOUNT_ATTR_RDONLY)
    device, name = loop.attach(path, read_only=read_only)
    options = (f"source={name}", *rootfs.options, *(("ro",) if read_only else ()))
    try:
        for fstype in _types_on_devices():
            try:
                return kernel.mount_filesystem(fstype, options, thing=path)
            except OSError:
                continue  # of another type; which error a type gives for that is its own affair
    finally:
        posix.close(device)
    raise OSError(EINVAL, "no file system that this kernel can mount", path)


def _types_on_devices() -> list[str]:
    """The types of file systems on block devices that the kernel has. proc_filesystems(5)."""
    with open("/proc/filesystems", encoding="ascii") as file:
        return [line.strip() for line in file if not line.startswith("nodev")]


def refuse_covered(rootfs: Rootfs, root: int) -> None:
    """Raises OSError when something is mounted over the root file system, whose root is `root`."""
    if rootfs.path is None:
        return
    top = posix.open(rootfs.mountpoint, posix.O_PATH | posix.O_DIRECTORY)
    try:
        if _mount_id(top) != _mount_id(root):
            raise OSError(EBUSY, "another mount covers it", rootfs.mountpoint)
    finally:
        posix.close(top)


def _mount_id(descriptor: int) -> str:
    """Which mount a file was opened on. proc_pid_fdinfo(5)."""
    lines = read_text(f"/proc/self/fdinfo/{descriptor}").splitlines()
    return next(line for line in lines if line.startswith("mnt_id:"))


def enter(rootfs: Rootfs, root: int) -> None:
    """Make `root` the "/" of this mount namespace and let go of the host's tree. pivot_root(2).

    The tree is then made shared, as LXC leaves it, so that namespaces made inside follow it.
    """
    posix.fchdir(root)
    if rootfs.path is not None:
        kernel.pivot_root_here()
        kernel.detach(".")
        posix.chdir("/")
    kernel.set_propagation("/", kernel.MS_SHARED)
    if rootfs.propagation:
        kernel.set_propagation("/", rootfs.propagation, rootfs.propagation_recursive)
