"""The id maps of a user namespace: who is who inside."""

from __future__ import annotations

import posix

from minilxc.errors import ConfigError
from minilxc.linux.files import write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.config.parse import Config
    from minilxc.launch.channel import Channel
    from minilxc.launch.namespaces import Namespaces


class IdMaps:
    """The id maps of a user namespace as the kernel reads them, and who the child becomes in it. Immutable."""

    __slots__ = ("gid", "gid_map", "uid", "uid_map")

    def __init__(self, uid_map: str, gid_map: str, uid: int, gid: int) -> None:
        self.uid_map = uid_map
        self.gid_map = gid_map
        self.uid = uid
        self.gid = gid

    def describe(self) -> str:
        """The maps, on one line."""
        return "; ".join(
            f"{kind} {line}"
            for kind, text in (("u", self.uid_map), ("g", self.gid_map))
            for line in text.splitlines()
        )


def write(maps: IdMaps, pid: int) -> None:
    """Parent: give the child's user namespace its maps. user_namespaces(7).

    Written by us, not by newuidmap(1): root needs no grant of /etc/subuid for ids of its own machine.
    """
    for name, text in (("uid_map", maps.uid_map), ("gid_map", maps.gid_map)):
        write_text(f"/proc/{pid}/{name}", text)


def enter(maps: IdMaps | None, channel: Channel) -> None:
    """Child: wait for the parent's go; then be root of the new user namespace, without groups."""
    channel.wait_to_go_on()
    if maps is not None:
        posix.setgroups(())
        posix.setresgid(maps.gid, maps.gid, maps.gid)
        posix.setresuid(maps.uid, maps.uid, maps.uid)


def from_config(config: Config, namespaces: Namespaces) -> IdMaps | None:
    """The id maps, with the first user inside: root, or the one that init shall be where root is not mapped."""
    if "user" not in namespaces.new:
        return None
    ranges = config.get("lxc.idmap")
    texts, first = {}, {}
    for kind, key in (("u", "lxc.init.uid"), ("g", "lxc.init.gid")):
        own = [entry for entry in ranges if entry.kind == kind]
        texts[kind] = "".join(f"{entry.inside} {entry.outside} {entry.count}\n" for entry in own)
        wanted = config.get(key)
        mapped = [
            n for n in (0, wanted) if any(entry.inside <= n < entry.inside + entry.count for entry in own)
        ]
        if wanted not in mapped:
            where = config.where(key) or config.where("lxc.idmap")
            raise ConfigError(f"{key}: {wanted} has no place in the id map", where)
        first[kind] = mapped[0]
    return IdMaps(texts["u"], texts["g"], first["u"], first["g"])
