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
from minilxc.launch import mapped
from minilxc.launch.removal import is_needed, lies_in, remove
from minilxc.linux.files import is_directory

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
        inside, managed = lies_in(rootfs.path, folder), config.get("lxc.rootfs.managed")
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


def _refuse_copies(folder: str, where: str) -> None:
    if is_needed(folder):
        raise Refused(f"{_KEY}: there are copies and snapshots that need '{folder}'", where)


def _destroy(ephemeral: Ephemeral, maps: IdMaps | None) -> None:
    """Remove the folder. What cannot be removed stays, and the first reason is raised at the end: OSError."""
    where = "lxc.ephemeral"
    _refuse_copies(f"{ephemeral.place}/{ephemeral.name}", where)
    place = posix.open(ephemeral.place, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        if maps is not None and posix.geteuid() != 0:
            mapped.run(maps, "ephemeral", lambda: remove(place, ephemeral.name, ephemeral.identity))
        else:
            remove(place, ephemeral.name, ephemeral.identity)
    finally:
        posix.close(place)
