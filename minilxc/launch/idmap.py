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
    """The id maps of a user namespace as the kernel reads them, and who the child becomes in it. Immutable.

    `programs` write the maps of users and of groups; "" where this process itself may. With
    `keeps_groups` nobody in the namespace may change supplementary groups, so the caller's stay.
    """

    __slots__ = ("gid", "gid_map", "keeps_groups", "programs", "uid", "uid_map")

    def __init__(
        self,
        uid_map: str,
        gid_map: str,
        uid: int,
        gid: int,
        programs: tuple[str, str] = ("", ""),
        keeps_groups: bool = False,
    ) -> None:
        self.uid_map = uid_map
        self.gid_map = gid_map
        self.uid = uid
        self.gid = gid
        self.programs = programs
        self.keeps_groups = keeps_groups

    def with_own_ids(self) -> IdMaps:
        """The same with the caller's own ids too, where a program writes the map, as ids that nobody has inside."""
        texts = []
        maps = (self.uid_map, self.gid_map)
        for text, program, own in zip(maps, self.programs, (posix.geteuid(), posix.getegid()), strict=True):
            ranges = [tuple(map(int, line.split())) for line in text.splitlines()]
            if program and not any(first <= own < first + count for _, first, count in ranges):
                free = max(inside + count for inside, _, count in ranges)
                texts.append(f"{text}{free} {own} 1\n")
            else:
                texts.append(text)
        return IdMaps(texts[0], texts[1], self.uid, self.gid, self.programs, self.keeps_groups)

    def describe(self) -> str:
        """The maps, on one line."""
        return "; ".join(
            f"{kind} {line}"
            for kind, text in (("u", self.uid_map), ("g", self.gid_map))
            for line in text.splitlines()
        )


def write(maps: IdMaps, pid: int) -> None:
    """Parent: give the child's user namespace its maps. user_namespaces(7).

    Root writes them itself, not by newuidmap(1): it needs no grant of /etc/subuid for ids of its own machine.
    """
    for name, text, program in zip(
        ("uid_map", "gid_map"), (maps.uid_map, maps.gid_map), maps.programs, strict=True
    ):
        if program:
            from minilxc.launch import subids

            subids.run(program, pid, text)
            continue
        if name == "gid_map" and maps.keeps_groups:
            # Who may not change groups outside may not do so inside: a group can be what forbids. CVE-2014-8989
            write_text(f"/proc/{pid}/setgroups", "deny")
        write_text(f"/proc/{pid}/{name}", text)


def enter(maps: IdMaps | None, channel: Channel) -> None:
    """Child: wait for the parent's go; then be root of the new user namespace, without groups."""
    channel.wait_to_go_on()
    if maps is not None:
        if not maps.keeps_groups:
            posix.setgroups(())
        posix.setresgid(maps.gid, maps.gid, maps.gid)
        posix.setresuid(maps.uid, maps.uid, maps.uid)


def from_config(config: Config, namespaces: Namespaces) -> IdMaps | None:
    """The id maps, with the first user inside: root, or the one that init shall be where root is not mapped."""
    ordinary = posix.geteuid() != 0
    if "user" not in namespaces.new:
        if ordinary:
            from minilxc.launch import subids

            what = "a container of an ordinary user needs an id map"
            raise ConfigError(what, config.source, f"add {subids.proposal()}")
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
    programs, keeps_groups = ("", ""), False
    if ordinary:
        from minilxc.launch import subids

        programs, keeps_groups = subids.writers(config)
    return IdMaps(texts["u"], texts["g"], first["u"], first["g"], programs, keeps_groups)
