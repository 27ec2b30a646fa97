"""Mounts of a container: what an entry of a config means, and making it below the root file system.

Targets are resolved with the container's root as "/" and without magic links, so no link that lies
in the root file system leads out of it; the mount is attached to the descriptor that was found.
"""

from __future__ import annotations

import posix

from minilxc.errors import ConfigError
from minilxc.linux import mount as kernel
from minilxc.linux.files import decode
from minilxc.linux.syscalls import EBUSY
from minilxc.log import WARN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from minilxc.config.parse import Config
    from minilxc.config.values import MountEntry
    from minilxc.launch.rootfs import Rootfs

# mount(8) words that are a flag of the mount: (flags to set, flags to clear). A word that only says
# what is the default ("rw", "suid") takes back an earlier word but no flag of a bind's source:
# the kernel locks those in a user namespace.
_FLAGS = {
    "ro": (kernel.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, kernel.MOUNT_ATTR_RDONLY),
    "nosuid": (kernel.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, kernel.MOUNT_ATTR_NOSUID),
    "nodev": (kernel.MOUNT_ATTR_NODEV, 0),
    "dev": (0, kernel.MOUNT_ATTR_NODEV),
    "noexec": (kernel.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, kernel.MOUNT_ATTR_NOEXEC),
    "nodiratime": (kernel.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, kernel.MOUNT_ATTR_NODIRATIME),
    "noatime": (kernel.MOUNT_ATTR_NOATIME, kernel.MOUNT_ATTR_ATIME),
    "strictatime": (kernel.MOUNT_ATTR_STRICTATIME, kernel.MOUNT_ATTR_ATIME),
    "norelatime": (kernel.MOUNT_ATTR_STRICTATIME, kernel.MOUNT_ATTR_ATIME),
    "relatime": (0, kernel.MOUNT_ATTR_ATIME),
    "nostrictatime": (0, kernel.MOUNT_ATTR_ATIME),
    "atime": (0, kernel.MOUNT_ATTR_ATIME),
}
# Words that are a flag of the file system as a whole; None: the default, nothing to ask for.
_SUPERBLOCK = {
    "sync": "sync",
    "dirsync": "dirsync",
    "lazytime": "lazytime",
    "mand": "mand",
    "async": None,
    "nomand": None,
    "defaults": None,
}
_PROPAGATION = {
    "private": kernel.MS_PRIVATE,
    "shared": kernel.MS_SHARED,
    "slave": kernel.MS_SLAVE,
    "unbindable": kernel.MS_UNBINDABLE,
}


class Mount:
    """One mount to make, decided. Immutable.

    `source` is a path of the host (for a bind, below the root file system when `relative`) or the
    name that the mount table shows; `fstype` is None for a bind. `target` is relative to the root.
    `idmap`: whose ids a bind shows, container or the path of a user namespace ("": as they are).
    `inside` are mounts below this one, their paths relative to it: they are found through its own
    descriptor, so nobody who changes the root file system meanwhile can put them elsewhere.
    """

    __slots__ = (
        "attr_clr",
        "attr_set",
        "create",
        "fstype",
        "inside",
        "follow",
        "idmap",
        "optional",
        "options",
        "propagation",
        "propagation_recursive",
        "recursive",
        "relative",
        "remount",
        "skip_missing",
        "source",
        "target",
        "where",
    )

    def __init__(
        self,
        source: str,
        target: str,
        fstype: str | None,
        *,
        options: tuple[str, ...] = (),
        attr_set: int = 0,
        attr_clr: int = 0,
        propagation: int = 0,
        propagation_recursive: bool = False,
        recursive: bool = False,
        relative: bool = False,
        remount: bool = False,
        create: str = "",
        optional: bool = False,
        skip_missing: bool = False,
        follow: bool = True,
        idmap: str = "",
        where: str = "",
        inside: tuple[Mount, ...] = (),
    ) -> None:
        self.source = source
        self.target = target
        self.fstype = fstype
        self.options = options
        self.attr_set = attr_set
        self.attr_clr = attr_clr
        self.propagation = propagation
        self.propagation_recursive = propagation_recursive
        self.recursive = recursive
        self.relative = relative
        self.remount = remount
        self.create = create
        self.optional = optional
        self.skip_missing = skip_missing
        self.follow = follow
        self.idmap = idmap
        self.where = where
        self.inside = inside

    def lines(self, below: str = "") -> Iterator[str]:
        """This mount and those inside it, one line each; `below` is the path of the mount around it."""
        yield self.describe(below)
        for mount in self.inside:
            yield from mount.lines(f"{below}{self.target}/")

    def describe(self, below: str = "") -> str:
        """What is mounted where, on one line."""
        what = "remount" if self.remount else f"bind {self.source}" if self.fstype is None else self.fstype
        marks = [word for word in ("recursive", "relative", "optional") if getattr(self, word)]
        marks += [f"create={self.create}"] if self.create else []
        marks += [f"idmap={self.idmap}"] if self.idmap else []
        marks += self.options
        return f"{what} on /{below}{self.target}" + (f" [{', '.join(marks)}]" if marks else "")


class Flags:
    """The options of a mount entry, sorted by who acts on them."""

    __slots__ = (
        "attr_clr",
        "attr_set",
        "bind",
        "create",
        "idmap",
        "optional",
        "options",
        "propagation",
        "propagation_recursive",
        "recursive",
        "relative",
        "remount",
    )

    def __init__(self) -> None:
        self.attr_set = self.attr_clr = self.propagation = 0
        self.bind = self.recursive = self.remount = self.optional = self.relative = False
        self.propagation_recursive = False
        self.create = self.idmap = ""
        self.options: tuple[str, ...] = ()


def read_options(words: Iterable[str], where: str, *, entry: bool) -> Flags:
    """Sort the option `words`; `entry` allows the words that only a mount entry may carry.

    Raises ConfigError for a word that is neither known nor of the form key=value.
    """
    flags = Flags()
    for word in words:
        if word in _FLAGS:
            set_bits, clear_bits = _FLAGS[word]
            flags.attr_set = flags.attr_set & ~clear_bits | set_bits
            if clear_bits & kernel.MOUNT_ATTR_ATIME or word == "dev":
                flags.attr_clr |= clear_bits
            if set_bits & kernel.MOUNT_ATTR_NODEV:
                flags.attr_clr &= ~kernel.MOUNT_ATTR_NODEV
        elif word in _SUPERBLOCK:
            option = _SUPERBLOCK[word]
            flags.options += (option,) if option else ()
        elif word.removeprefix("r") in _PROPAGATION:
            flags.propagation = _PROPAGATION[word.removeprefix("r")]
            flags.propagation_recursive = word.startswith("r")
        elif word in ("bind", "rbind"):
            flags.bind = True
            flags.recursive = word == "rbind"
        elif word == "remount":
            flags.remount = True
        elif entry and word in ("create=dir", "create=file"):
            flags.create = word[len("create=") :]
        elif entry and word == "optional":
            flags.optional = True
        elif entry and word == "relative":
            flags.relative = True
        elif word.startswith("idmap="):
            flags.idmap = word[len("idmap=") :]
            if not flags.idmap:
                raise ConfigError("mount option 'idmap=' names no map", where, "container, or a path")
        elif word.startswith("create="):
            raise ConfigError(f"mount option '{word}' is unknown", where, "create=dir or create=file")
        elif "=" in word and not word.startswith("="):
            flags.options += (word,)
        elif word:
            raise ConfigError(f"mount option '{word}' is unknown", where)
    return flags


def from_entry(entry: MountEntry, where: str, prefixes: tuple[str, ...]) -> Mount | None:
    """The mount that an entry asks for, or None for one whose target lies outside of the container.

    `prefixes` are the paths of the root file system on the host: an absolute target below one of
    them is meant relative to it. Raises ConfigError.
    """
    flags = read_options(entry.options, where, entry=True)
    target = _inside(entry.target, prefixes)
    if target is None:
        return None
    if ".." in target.split("/"):
        raise ConfigError(f"mount target '{entry.target}' must not contain '..'", where)
    fstype: str | None = entry.fstype
    if flags.bind or flags.remount:
        fstype = None
        # A bind has no file system of its own to give options to, as mount(8) says of most of them.
        if flags.options:
            raise ConfigError(f"a bind mount takes no option '{flags.options[0]}'", where)
    elif entry.fstype in ("none", "bind") and not flags.propagation:
        raise ConfigError(f"file system type '{entry.fstype}' without 'bind' in the options", where)
    if flags.idmap and (not flags.bind or flags.remount or flags.relative):
        # As in LXC. What lies in the root file system, the parent could reach through its links only.
        raise ConfigError("'idmap=' is for bind mounts of the host's folders and files", where)
    options = flags.options
    if fstype is not None:
        options = (f"source={entry.source}", *options)
        if flags.attr_set & kernel.MOUNT_ATTR_RDONLY:
            options += ("ro",)
    return Mount(
        entry.source,
        target,
        fstype,
        options=options,
        attr_set=flags.attr_set,
        attr_clr=flags.attr_clr,
        propagation=flags.propagation,
        propagation_recursive=flags.propagation_recursive,
        recursive=flags.recursive,
        relative=flags.relative,
        remount=flags.remount,
        create=flags.create,
        optional=flags.optional,
        idmap=flags.idmap,
        where=where,
    )


def _inside(target: str, prefixes: tuple[str, ...]) -> str | None:
    """`target` relative to the container's root; None when it names a place of the host's own tree."""
    if not target.startswith("/"):
        return target
    for prefix in prefixes:
        if target == prefix or target.startswith(prefix.rstrip("/") + "/"):
            return target[len(prefix) :].strip("/")
    return None


def from_config(config: Config, rootfs: Rootfs, debug: Callable[[int, str, str], None]) -> tuple[Mount, ...]:
    """The mounts of the fstab file and of the entries, the fstab file's first."""
    prefixes: tuple[str, ...] = ("/",)
    if rootfs.path is not None:
        prefixes = (rootfs.path, rootfs.mountpoint, config.get("lxc.rootfs.path")[1])
    found = []
    written = [(entry.value, entry.where) for entry in config.entries("lxc.mount.entry")]
    for entry, where in (*_fstab(config), *written):
        mount = from_entry(entry, where, prefixes)
        if mount is None:
            # What LXC does too: such a target names a place of the host's tree, which is left behind.
            text = f"{where}: ignored: target {entry.target} is not in the root file system"
            debug(WARN, "mounts", text)
        else:
            found.append(mount)
    return tuple(found)


def _fstab(config: Config) -> Iterator[tuple[MountEntry, str]]:
    """The entries of the fstab file, with where they stand."""
    path = config.get("lxc.mount.fstab")
    if path is None:
        return
    from minilxc.config.values import Invalid, mount_entry

    where = config.where("lxc.mount.fstab")
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"lxc.mount.fstab: '{path}': {error.strerror}", where) from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"lxc.mount.fstab: '{path}': is larger than 1 MiB, so no fstab", where)
    for number, written in enumerate(decode(data).split("\n"), 1):
        line = written.strip(" \t\r")
        if "\0" in line:
            raise ConfigError("has a NUL byte", f"{path}:{number}")
        if line and not line.startswith("#"):
            try:
                yield mount_entry(line), f"{path}:{number}"
            except Invalid as error:
                raise ConfigError(error.what, f"{path}:{number}", error.hint) from None


_MOST_BYTES = 1 << 20


def perform(mounts: Iterable[Mount], root: int, made: dict[int, int] | None = None) -> None:
    """Make `mounts`, in order, below the directory `root`. Raises OSError about a mount not optional.

    `made` are those that the parent has made already, detached, by their place in the order.
    """
    for number, mount in enumerate(mounts):
        tree = made.get(number) if made else None
        if mount.idmap and tree is None:
            continue  # optional, and the parent could not make it
        try:
            _make(mount, root, tree)
        except OSError:
            if not mount.optional:
                raise


def _make(mount: Mount, root: int, tree: int | None) -> None:
    try:
        target = open_target(root, mount.target, mount.create, follow=mount.follow)
    except FileNotFoundError:
        if mount.skip_missing:
            return
        raise
    try:
        if not mount.remount and _same_directory(target, root):
            raise OSError(EBUSY, "is the root itself (lxc.rootfs.options sets its flags)", "/")
        new = target if mount.remount else _detached(mount, root) if tree is None else tree
        try:
            thing = mount.target or "/"
            if mount.fstype is None and (mount.attr_set or mount.attr_clr):
                kernel.mount_setattr(
                    new, thing, attr_set=mount.attr_set, attr_clr=mount.attr_clr, recursive=mount.recursive
                )
            if not mount.remount:
                kernel.move_mount(new, target, thing)
            perform(mount.inside, new)
            if mount.propagation:
                kernel.mount_setattr(
                    new, thing, propagation=mount.propagation, recursive=mount.propagation_recursive
                )
        finally:
            if new != target:
                posix.close(new)
    finally:
        posix.close(target)


def _same_directory(one: int, other: int) -> bool:
    first, second = posix.fstat(one), posix.fstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _detached(mount: Mount, root: int) -> int:
    """The mount, not attached to anything yet: a descriptor."""
    if mount.fstype is not None:
        return kernel.mount_filesystem(
            mount.fstype, mount.options, mount.attr_set, f"{mount.fstype} on {mount.target}"
        )
    if not mount.relative:
        return kernel.open_tree_clone(kernel.AT_FDCWD, mount.source, mount.recursive)
    source = open_in_root(root, mount.source.lstrip("/"))
    try:
        return kernel.open_tree_clone(source, "", mount.recursive)
    finally:
        posix.close(source)


def open_in_root(root: int, path: str, flags: int = posix.O_PATH, *, follow: bool = True) -> int:
    """Open `path` with the directory `root` as "/": links cannot lead out of it. openat2(2).

    Without `follow`, a symbolic link anywhere in `path` is refused (ELOOP).
    """
    resolve = kernel.RESOLVE_IN_ROOT | kernel.RESOLVE_NO_MAGICLINKS
    return kernel.openat2(
        root, path or ".", flags, resolve if follow else resolve | kernel.RESOLVE_NO_SYMLINKS
    )


def open_target(root: int, path: str, create: str, *, follow: bool = True) -> int:
    """Open the mount point `path` below `root`; where it is missing, make it as `create` says (dir, file)."""
    try:
        return open_in_root(root, path, follow=follow)
    except FileNotFoundError:
        if not create:
            raise
    names = [name for name in path.split("/") if name not in ("", ".")]
    for depth, name in enumerate(names, 1):
        parent = open_in_root(
            root, "/".join(names[: depth - 1]), posix.O_PATH | posix.O_DIRECTORY, follow=follow
        )
        try:
            _make_node(parent, name, is_file=create == "file" and depth == len(names))
        finally:
            posix.close(parent)
    return open_in_root(root, path, follow=follow)


def _make_node(parent: int, name: str, *, is_file: bool) -> None:
    """Make an empty file or a directory `name` in `parent` unless something of that name is there."""
    try:
        if is_file:
            flags = posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_WRONLY | posix.O_CLOEXEC
            posix.close(posix.open(name, flags, 0o644, dir_fd=parent))
        else:
            posix.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        pass
