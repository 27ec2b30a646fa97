"""The root file system: put in place at the beginning, made "/" at the end."""

from __future__ import annotations

import posix

from minilxc.errors import ConfigError, Refused
from minilxc.launch import lock, mounts
from minilxc.linux import mount as kernel
from minilxc.linux.files import absolute, exists, is_block_device, is_file, is_folder, read_text, same
from minilxc.linux.syscalls import EBUSY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minilxc.config.parse import Config


class Rootfs:
    """What becomes "/", and how. Immutable; `path` None: the host's own root is shared.

    `mount` makes a detached tree of what is at `path`, with the file system's own `options`; None: `path`
    is a folder, taken as it is. `layers` are an overlay's, the upper one last, which is `path`.
    `idmap` is the word of the option (container, or a path). `by_parent`: the child, in its user
    namespace, could not make the tree, so the parent does. `prepare` makes what the tree needs on the
    host, and puts what takes it away on the list of ends.
    """

    __slots__ = (
        "attr_clr",
        "attr_set",
        "by_parent",
        "idmap",
        "layers",
        "mapped",
        "mount",
        "mountpoint",
        "options",
        "path",
        "prepare",
        "propagation",
        "propagation_recursive",
    )

    def __init__(
        self,
        path: str | None,
        mountpoint: str,
        mount: Callable[[Rootfs], int] | None = None,
        options: tuple[str, ...] = (),
        attr_set: int = 0,
        attr_clr: int = 0,
        propagation: int = 0,
        propagation_recursive: bool = False,
        layers: tuple[str, ...] = (),
        idmap: str = "",
        mapped: bool = False,
        by_parent: bool = False,
        prepare: Callable[[Rootfs, list[tuple[str, Callable[[], object]]]], None] | None = None,
    ) -> None:
        self.path = path
        self.mountpoint = mountpoint
        self.mount = mount
        self.options = options
        self.attr_set = attr_set
        self.attr_clr = attr_clr
        self.propagation = propagation
        self.propagation_recursive = propagation_recursive
        self.layers = layers
        self.idmap = idmap
        self.mapped = mapped
        self.by_parent = by_parent
        self.prepare = prepare

    def describe(self) -> str:
        """Which tree the container gets, on one line."""
        if self.path is None:
            return "the host's own root is shared"
        what = f"overlay {':'.join(self.layers)}" if self.layers else self.path
        return f"{what} on {self.mountpoint}" + (f" [idmap={self.idmap}]" if self.idmap else "")


def from_config(config: Config) -> Rootfs:
    """The root file system that the config names. Raises ConfigError or Refused."""
    value = config.get("lxc.rootfs.path")
    if value is None:
        if config.get("lxc.rootfs.options"):
            raise ConfigError(
                "lxc.rootfs.options: there is no lxc.rootfs.path to mount with them",
                config.where("lxc.rootfs.options"),
            )
        return Rootfs(None, "/")
    where = config.where("lxc.rootfs.path") or ""
    path, layers, mount = _source(value[0], value[1], where)
    mountpoint = config.get("lxc.rootfs.mount")
    if mountpoint is not None and not is_folder(mountpoint):
        raise ConfigError(
            f"lxc.rootfs.mount: '{mountpoint}': is not a folder", config.where("lxc.rootfs.mount")
        )
    words = config.get("lxc.rootfs.options")
    flags = mounts.read_options(words, config.where("lxc.rootfs.options") or "", entry=False)
    if flags.options and mount is None:
        raise ConfigError(
            f"lxc.rootfs.options: a folder takes no option '{flags.options[0]}'",
            config.where("lxc.rootfs.options"),
        )
    mapped = bool(config.get("lxc.idmap"))
    by_parent = bool(flags.idmap) or (mapped and mount is not None and posix.geteuid() == 0)
    prepare = None
    if layers and posix.geteuid() == 0:
        from minilxc.launch import overlay

        prepare = overlay.prepare
    if mountpoint is None:
        # A folder is mounted on itself: no other place needs to exist, or to be cleaned up. What the
        # parent makes may lie where the mapped ids cannot go: root's state directory is there from the
        # lock on, and nothing that a mount entry would have as its source is hidden by it.
        root = posix.geteuid() == 0
        mountpoint = lock.state_directory() if root and (by_parent or mount is not None) else path
    return Rootfs(
        absolute(path),
        absolute(mountpoint),
        mount,
        flags.options,
        flags.attr_set,
        flags.attr_clr,
        flags.propagation,
        flags.propagation_recursive,
        layers,
        flags.idmap,
        mapped,
        by_parent,
        prepare,
    )


def _source(kind: str, path: str, where: str) -> tuple[str, tuple[str, ...], Callable[[Rootfs], int] | None]:
    """What is to be the root: its path, layers, and what makes a tree of it if it is no folder."""
    if kind == "overlay":
        from minilxc.launch import overlay

        layers = overlay.layers(path, where)
        return layers[-1], layers, overlay.mount
    fits = {"dir": is_folder, "loop": is_file}.get(kind)
    if not (fits(path) if fits else is_folder(path) or is_file(path) or is_block_device(path)):
        wanted = {"dir": "a folder", "loop": "a file"}.get(kind, "a folder, an image or a block device")
        reason = f"is not {wanted}" if exists(path) else "No such file or directory"
        raise ConfigError(f"lxc.rootfs.path: '{path}': {reason}", where)
    if is_folder(path):
        if same(path, "/"):
            raise ConfigError(
                "lxc.rootfs.path: '/' is the host's own root", where, "leave the key out to share it"
            )
        return path, (), None
    if posix.geteuid() != 0:
        raise Refused(f"lxc.rootfs.path: '{path}': only root can mount an image or a device", where)
    from minilxc.launch import image

    return path, (), image.mount


def make(rootfs: Rootfs) -> int:
    """The root file system, detached: a descriptor. Raises OSError.

    The copy of a folder is recursive, as LXC's.
    """
    assert rootfs.path is not None
    if rootfs.mount is not None:
        return rootfs.mount(rootfs)
    return kernel.open_tree_clone(kernel.AT_FDCWD, rootfs.path, recursive=True)


def share() -> int:
    """A descriptor of the host's own root, for a container without a root file system."""
    return posix.open("/", posix.O_PATH | posix.O_DIRECTORY)


def attach(rootfs: Rootfs, tree: int) -> None:
    """Bind the root file system `tree` on its mount point. Raises OSError.

    Its top is private: what is mounted on the host below the directory later does not appear inside.
    """
    thing = rootfs.path or "/"
    kernel.mount_setattr(tree, thing, propagation=kernel.MS_PRIVATE)
    if rootfs.attr_set or rootfs.attr_clr:
        # With what the host has mounted below it, or "ro" would leave places that can be written.
        kernel.mount_setattr(tree, thing, attr_set=rootfs.attr_set, attr_clr=rootfs.attr_clr, recursive=True)
    target = posix.open(rootfs.mountpoint, posix.O_PATH | posix.O_DIRECTORY)
    kernel.move_mount(tree, target, rootfs.mountpoint)
    posix.close(target)


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
