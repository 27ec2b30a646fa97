"""The ids that files of containers belong to, and what it takes to touch them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from minilxc.config.parse import Config
from minilxc.errors import MinilxcError
from minilxc.launch import idmap, mapped, namespaces, subids
from minilxc.launch.removal import remove

if TYPE_CHECKING:
    from collections.abc import Callable

    from minilxc.launch.idmap import IdMaps


def of_config(config: Config) -> IdMaps | None:
    """The id maps of a container; None when it has none. Raises ConfigError or Refused for what may not be."""
    return idmap.from_config(config, namespaces.from_config(config))


def of_user() -> IdMaps | None:
    """A map of all ids that the calling user may map; None for root, and for a user who may map none.

    Whatever the containers of a user belong to, and the config of one that was half made is not there.
    """
    if os.geteuid() == 0:
        return None
    lines = []
    for kind, own in (("u", os.geteuid()), ("g", os.getegid())):
        inside = 0
        for first, end in subids.granted(kind) or [(own, own + 1)]:
            lines.append(f"lxc.idmap = {kind} {inside} {first} {end - first}\n")
            inside += end - first
    try:
        return of_config(Config.from_text("".join(lines).encode(), "the ids of this user"))
    except MinilxcError:
        return None


def remove_tree(place: int, name: str, identity: tuple[int, int]) -> None:
    """Remove the folder `name` of the directory `place`, whichever of the user's ids it belongs to. Raises OSError."""
    maps = of_user()
    if maps is None:
        remove(place, name, identity)
    else:
        mapped.run(maps, "remove", lambda: remove(place, name, identity))


def act_as_root(maps: IdMaps | None, act: Callable[[], object]) -> None:
    """Do something to a container's files as its root: root does it itself, and so does a user without a map."""
    if maps is None or os.geteuid() == 0:
        act()
    else:
        mapped.run(maps, "files", act, as_root=True)
