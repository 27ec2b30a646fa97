"""lxc.ephemeral: a container whose folder is removed when it has run.

Only PATH/NAME is removed, and only what lies in it: no link is followed, no mount entered, and the walk
goes by descriptors, so nothing that somebody renames meanwhile leads it elsewhere. A start is refused
when the config or what the container writes to lies anywhere else. LXC removes the root file system
wherever it is, also after a start that has failed; here only a container that has run is removed.
"""

from __future__ import annotations

import posix
from os.path import realpath

from minilxc.errors import ConfigError, Refused
from minilxc.launch import channel, idmap
from minilxc.launch.removal import remove
from minilxc.linux import process
from minilxc.linux.files import exists, is_directory, read_text
from minilxc.linux.names import NAMESPACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minilxc.config.parse import Config
    from minilxc.launch.idmap import IdMaps
    from minilxc.launch.rootfs import Rootfs

_KEY = "lxc.ephemeral"


class Ephemeral:
    """The folder to remove: `name` in `place`, as long as it is the one of that device and inode. Immutable."""

    __slots__ = ("identity", "name", "place")

    def __init__(self, place: str, name: str, identity: tuple[int, int]) -> None:
        self.place = place
        self.name = name
        self.identity = identity

    def describe(self) -> str:
        """What becomes of the container, on one line."""
        return f"{self.place}/{self.name} is removed when it has run"

    def destroy_with(self, maps: IdMaps | None) -> Callable[[], None]:
        """What removes the folder of a container with these id maps."""
        return lambda: _destroy(self, maps)


def from_config(config: Config, name: str, lxcpath: str, rootfs: Rootfs) -> Ephemeral:
    """The folder that is to be removed. Raises ConfigError or Refused when more than that would have to go, or less."""
    where = config.where(_KEY) or ""
    place = realpath(lxcpath)
    folder = f"{place.rstrip('/')}/{name}"
    try:
        status = posix.lstat(folder)
    except OSError as error:
        raise ConfigError(f"{_KEY}: '{folder}', which it would remove: {error.strerror}", where) from None
    if not is_directory(status):
        raise Refused(f"{_KEY}: '{folder}' is no folder, and what a link leads to is not removed", where)
    if realpath(config.source) != f"{folder}/config":
        what = f"{_KEY}: would remove '{folder}', but the config '{config.source}' is not its own"
        raise Refused(what, where, f"{folder}/config")
    if rootfs.path is not None:
        inside, managed = _below(rootfs.path, folder), config.get("lxc.rootfs.managed")
        if managed and not inside:
            what = (
                f"{_KEY}: the root file system '{rootfs.path}' is not in '{folder}' and would have to go too"
            )
            raise Refused(what, where, "lxc.rootfs.managed = 0 keeps it")
        if inside and not managed:
            what = f"{_KEY}: would remove the root file system, which lxc.rootfs.managed = 0 keeps"
            raise Refused(what, where)
    _refuse_copies(folder, where)
    return Ephemeral(place, name, (status.st_dev, status.st_ino))


def _below(path: str, folder: str) -> bool:
    return realpath(path).startswith(f"{folder}/")


def _refuse_copies(folder: str, where: str) -> None:
    """Refuse when other containers need this one: LXC counts copies in a file, and has a folder of snapshots."""
    try:
        copies = int(read_text(f"{folder}/lxc_snapshots").strip("\0 \n") or "0")
    except (OSError, ValueError):
        copies = 0
    if copies > 0 or (exists(f"{folder}/snaps") and posix.listdir(f"{folder}/snaps")):
        raise Refused(f"{_KEY}: there are copies and snapshots that need '{folder}'", where)


def _destroy(ephemeral: Ephemeral, maps: IdMaps | None) -> None:
    """Remove the folder. What cannot be removed stays, and the first reason is raised at the end: OSError."""
    where = "lxc.ephemeral"
    _refuse_copies(f"{ephemeral.place}/{ephemeral.name}", where)
    place = posix.open(ephemeral.place, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        if maps is not None and posix.geteuid() != 0:
            _remove_as_mapped(place, ephemeral, maps)
        else:
            remove(place, ephemeral.name, ephemeral.identity)
    finally:
        posix.close(place)


def _remove_as_mapped(place: int, ephemeral: Ephemeral, maps: IdMaps) -> None:
    """Ordinary user: remove it in a user namespace with the container's ids, and our own, where all is ours."""
    ours, theirs = channel.pair()
    pid, pidfd = process.fork_into(NAMESPACES["user"])
    if pid == 0:
        try:
            ours.close()
            theirs.wait_to_go_on()
            remove(place, ephemeral.name, ephemeral.identity)
            posix._exit(0)
        except BaseException as error:  # noqa: BLE001  no exception may run the caller's code in this copy of it
            channel.fail(theirs, "ephemeral", error)
    theirs.close()
    try:
        idmap.write(maps.with_own_ids(), pid)
        ours.send(channel.GO)
        kind, text, _ = ours.receive()
    finally:
        ours.close()
        posix.waitpid(pid, 0)
        posix.close(pidfd)
    if kind == channel.FAILED:
        _, number, thing, reason = text.split("\0", 3)
        raise OSError(int(number), reason, thing)
