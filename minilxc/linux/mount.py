"""Mounts and paths by descriptor: the mount calls of Linux 5.2 and later, and openat2.

A mount is made detached, gets its flags, and is then attached to a descriptor that was opened
(and checked) before: no path is resolved twice, and none of it needs /proc.
"""

from __future__ import annotations

import posix

from minilxc.linux.files import encode
from minilxc.linux.native import addressof, c_char_p, c_int, c_long, c_void_p, function, words
from minilxc.linux.syscalls import (
    NR_FSCONFIG,
    NR_FSMOUNT,
    NR_FSOPEN,
    NR_MOUNT_SETATTR,
    NR_MOVE_MOUNT,
    NR_OPEN_TREE,
    NR_OPENAT2,
    NR_PIVOT_ROOT,
    call,
    check,
)

AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 0x04
_MOVE_MOUNT_T_EMPTY_PATH = 0x40
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 0, 1, 6
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_MNT_DETACH = 2

# mount_setattr(2), fsmount(2)
MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR_ATIME = 0x70
MOUNT_ATTR_RELATIME = 0x00
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
_MOUNT_ATTR_IDMAP = 0x00100000

# mount(2)
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

# openat2(2)
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_IN_ROOT = 0x10

# statfs(2)
PROC_SUPER_MAGIC = 0x9FA0


def openat2(directory: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    """Open `path` below `directory` with the RESOLVE_* restrictions; close-on-exec. openat2(2), Linux 5.6.

    Raises OSError, among them ELOOP for a link that `resolve` forbids and EXDEV for an escape.
    """
    how = words(flags | posix.O_CLOEXEC, mode, resolve)  # struct open_how
    return call(path, NR_OPENAT2, directory, encode(path), addressof(how), 8 * len(how))


def open_tree_clone(directory: int, path: str, recursive: bool) -> int:
    """A detached copy of the mount at `path`, a descriptor. open_tree(2), Linux 5.2.

    With `path` empty, of what `directory` itself refers to.
    """
    flags = _OPEN_TREE_CLONE | posix.O_CLOEXEC | _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    return call(path or "mount", NR_OPEN_TREE, directory, encode(path), flags)


def move_mount(mount: int, target: int, thing: str) -> None:
    """Attach the detached `mount` on top of what the descriptor `target` refers to. move_mount(2), Linux 5.2."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    call(thing, NR_MOVE_MOUNT, mount, b"", target, b"", flags)


def mount_setattr(
    mount: int,
    thing: str,
    *,
    attr_set: int = 0,
    attr_clr: int = 0,
    propagation: int = 0,
    recursive: bool = False,
) -> None:
    """Change flags (MOUNT_ATTR_*) or propagation (MS_*) of `mount`, a descriptor. mount_setattr(2), Linux 5.12."""
    attributes = words(attr_set, attr_clr, propagation, 0)  # struct mount_attr; 0: no user namespace
    call(
        thing,
        NR_MOUNT_SETATTR,
        mount,
        b"",
        _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0),
        addressof(attributes),
        8 * len(attributes),
    )


def map_ids(mount: int, thing: str, namespace: int, recursive: bool) -> None:
    """Let the detached `mount` show its files' owners through the user namespace `namespace`, a descriptor.

    mount_setattr(2), MOUNT_ATTR_IDMAP, Linux 5.12. Takes power over the file system itself, and one
    that knows idmapped mounts: EINVAL otherwise.
    """
    attributes = words(_MOUNT_ATTR_IDMAP, 0, 0, namespace)  # struct mount_attr
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    call(thing, NR_MOUNT_SETATTR, mount, b"", flags, addressof(attributes), 8 * len(attributes))


def mount_filesystem(fstype: str, options: tuple[str, ...], attributes: int = 0, thing: str = "") -> int:
    """A new, detached mount of a file system of `fstype`, a descriptor. fsopen(2), fsconfig(2), fsmount(2).

    `options` are `word` or `key=value` as mount(8) takes them, `source=…` among them; `attributes`
    are MOUNT_ATTR_*. Raises OSError about `thing`, with the kernel's own words when it gave some.
    """
    thing = thing or fstype
    context = call(thing, NR_FSOPEN, encode(fstype), _FSOPEN_CLOEXEC)
    try:
        try:
            for option in options:
                key, equals, value = option.partition("=")
                command = _FSCONFIG_SET_STRING if equals else _FSCONFIG_SET_FLAG
                text = encode(value) if equals else None
                call(f"{thing}: option '{option}'", NR_FSCONFIG, context, command, encode(key), text, 0)
            call(thing, NR_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        except OSError as error:
            raise _explained(error, context) from None
        return call(thing, NR_FSMOUNT, context, _FSMOUNT_CLOEXEC, attributes)
    finally:
        posix.close(context)


def _explained(error: OSError, context: int) -> OSError:
    """`error` with the message that the kernel left in the file system context, if any. fsopen(2)."""
    try:
        message = posix.read(context, 1024).decode(errors="replace").strip()
    except OSError:
        return error
    # "e tmpfs: Bad value for 'size'": one letter for the level, then the text
    return OSError(
        error.errno, f"{error.strerror}: {message[2:]}" if message[2:] else error.strerror, error.filename
    )


_mount = function("mount", c_char_p, c_char_p, c_char_p, c_long, c_void_p)
_umount2 = function("umount2", c_char_p, c_int)
_fstatfs = function("fstatfs", c_int, c_void_p)


def set_propagation(path: str, propagation: int, recursive: bool = True) -> None:
    """Set the propagation type (MS_SLAVE, …) of the mount at `path`. mount(2)."""
    ms_rec = 1 << 14
    flags = propagation | (ms_rec if recursive else 0)
    check(_mount(None, encode(path), None, flags, None), path)


def detach(path: str) -> None:
    """Take the mount at `path` out of the tree at once; it ends with its last user. umount2(2), MNT_DETACH."""
    check(_umount2(encode(path), _MNT_DETACH), path)


def pivot_root_here() -> None:
    """Make the working directory the root of this mount namespace, the old root on top of it. pivot_root(2).

    The old root is then the mount at "."; `detach(".")` takes it away. No directory is needed for it.
    """
    call("pivot_root", NR_PIVOT_ROOT, b".", b".")


def filesystem_magic(descriptor: int) -> int:
    """The type of the file system that `descriptor` lies on, as in statfs(2)'s f_type."""
    # struct statfs begins with f_type, a word of the machine; 256 bytes hold all of its variants.
    space = (c_long * 32)()
    check(_fstatfs(descriptor, addressof(space)), "fstatfs")
    return space[0]
