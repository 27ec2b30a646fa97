"""The names that keys had before LXC 3.0. Loaded only when a config has one."""

from __future__ import annotations

from minilxc.config.keys import NETWORK, TABLE

DROPPED = {
    "lxc.rootfs.backend": "the type now stands before the path, as in lxc.rootfs.path = overlay:LOWER:UPPER",
    "lxc.pivotdir": "it has no effect, and LXC refuses the line today",
    "lxc.kmsg": "it has no effect, and LXC refuses the line today",
}
"""Keys of before LXC 3.0 that have no name today, and what a user should know of each."""


def new_name(old: str) -> str | None:
    """Today's name of a key, None when it never had the name `old`. For all but lxc.network.*."""
    for key in TABLE:
        for known in key.old:
            if known == old:
                return key.name
            if key.group:
                base = known.removesuffix(key.name[len(key.group) :])
                if old == base or old.startswith(base + "."):
                    return key.group + old[len(base) :]
    return None


def network_subkey(old: str) -> str:
    """What follows `lxc.net.I.` today, for what followed `lxc.network.` or `lxc.network.I.`."""
    for subkey, key in NETWORK.items():
        if f"lxc.network.{old}" in key.old:
            return subkey
    return old
