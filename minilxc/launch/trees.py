"""Trees that only the parent can make: mounts whose ids are mapped, and root file systems that no
user namespace may mount. Made detached, and handed to the child as descriptors when it asks.

The parent opens the sources itself, so that a folder need not be reachable by the mapped ids.
"""

from __future__ import annotations

import fcntl
import posix

from minilxc.errors import ConfigError, Refused
from minilxc.launch import rootfs as root_file_system
from minilxc.launch.channel import TREES
from minilxc.linux import mount as kernel
from minilxc.linux.names import NAMESPACES
from minilxc.linux.syscalls import EINVAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.config.parse import Config
    from minilxc.launch.channel import Channel
    from minilxc.launch.mounts import Mount
    from minilxc.launch.rootfs import Rootfs

CONTAINER = -1
"""Stands for the container's own user namespace, which does not exist yet."""

_MOST = 200  # descriptors in one message, unix(7): SCM_MAX_FD is 253
_NS_GET_NSTYPE = 0xB703  # ioctl_ns(2)


class Trees:
    """What the parent makes for the child. Immutable.

    `rootfs`: whether it makes the root file system; `root_ids` is the user namespace (a descriptor or
    CONTAINER) through which that one shows its ids, None for as they are. `mounts` are (place among
    the plan's mounts, user namespace) of each bind mount with mapped ids.
    """

    __slots__ = ("mounts", "root_ids", "rootfs")

    def __init__(self, rootfs: bool, root_ids: int | None, mounts: tuple[tuple[int, int], ...]) -> None:
        self.rootfs = rootfs
        self.root_ids = root_ids
        self.mounts = mounts

    def descriptors(self) -> tuple[int, ...]:
        """The user namespaces that are open for it."""
        found = {namespace for _, namespace in self.mounts} | {self.root_ids}
        return tuple(descriptor for descriptor in found if descriptor not in (None, CONTAINER))

    def send_rootfs(self, rootfs: Rootfs, pid: int, channel: Channel) -> None:
        """Parent: make the root file system and hand it to the child `pid`. Raises OSError."""
        tree = root_file_system.make(rootfs)
        try:
            if self.root_ids is not None:
                _map_ids(tree, rootfs.path or "", self.root_ids, True, pid)
            channel.send(TREES, "", (tree,))
        finally:
            posix.close(tree)

    def send_mounts(self, mounts: tuple[Mount, ...], pid: int, channel: Channel) -> None:
        """Parent: make the mounts with mapped ids and hand them to the child `pid`, but for optional ones that fail."""
        made: list[tuple[int, int]] = []
        try:
            for number, namespace in self.mounts:
                mount = mounts[number]
                try:
                    tree = kernel.open_tree_clone(kernel.AT_FDCWD, mount.source, mount.recursive)
                    made.append((number, tree))
                    _map_ids(tree, mount.source, namespace, mount.recursive, pid)
                except OSError:
                    if not mount.optional:
                        raise
                    if made and made[-1][0] == number:
                        posix.close(made.pop()[1])
            channel.send(TREES, " ".join(str(number) for number, _ in made), [tree for _, tree in made])
        finally:
            for _, tree in made:
                posix.close(tree)

    def receive_rootfs(self, channel: Channel) -> int:
        """Child: the root file system that the parent makes."""
        return channel.ask_for_trees("rootfs")[1][0]

    def receive_mounts(self, channel: Channel) -> dict[int, int]:
        """Child: the mounts that the parent makes, by their place among the plan's."""
        text, descriptors = channel.ask_for_trees("mounts")
        return dict(zip(map(int, text.split()), descriptors, strict=True))


def from_config(config: Config, rootfs: Rootfs, mounts: tuple[Mount, ...]) -> Trees | None:
    """What the parent has to make, None when that is nothing. Raises ConfigError or Refused."""
    mapped = bool(config.get("lxc.idmap"))
    root_ids = None
    if rootfs.idmap:
        where = config.where("lxc.rootfs.options") or ""
        root_ids = _namespace(rootfs.idmap, mapped, f"lxc.rootfs.options: 'idmap={rootfs.idmap}'", where)
    found = tuple(
        (number, _namespace(mount.idmap, mapped, f"mount option 'idmap={mount.idmap}'", mount.where))
        for number, mount in enumerate(mounts)
        if mount.idmap
    )
    if len(found) > _MOST:
        raise ConfigError(f"more than {_MOST} mounts with 'idmap='", mounts[found[_MOST][0]].where)
    if not (found or rootfs.by_parent):
        return None
    return Trees(rootfs.by_parent, root_ids, found)


def _namespace(word: str, mapped: bool, what: str, where: str) -> int:
    """The user namespace that `word`, container or a path, stands for."""
    if posix.geteuid() != 0:
        raise Refused(f"{what} takes root: it needs power over the file system itself", where)
    if word == "container":
        if not mapped:
            raise ConfigError(f"{what}: the container has no id map (lxc.idmap)", where)
        return CONTAINER
    try:
        # Not to be held up by a fifo; nothing is read of it.
        descriptor = posix.open(word, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{what}: {error.strerror}", where) from None
    try:
        kind = fcntl.ioctl(descriptor, _NS_GET_NSTYPE)
    except OSError:
        kind = 0
    if kind != NAMESPACES["user"]:
        raise ConfigError(f"{what}: is not a user namespace", where, "container, or /proc/PID/ns/user")
    return descriptor


def _map_ids(tree: int, path: str, namespace: int, recursive: bool, pid: int) -> None:
    own = namespace == CONTAINER
    descriptor = posix.open(f"/proc/{pid}/ns/user", posix.O_RDONLY | posix.O_CLOEXEC) if own else namespace
    try:
        kernel.map_ids(tree, path, descriptor, recursive)
    except OSError as error:
        if error.errno != EINVAL:
            raise
        what = "this kernel cannot map the ids of a mount of its file system (idmap=)"
        raise OSError(EINVAL, what, path) from None
    finally:
        if own:
            posix.close(descriptor)
