"""The settings of the machine, or of a user: lxc.conf, which says where containers are. lxc.system.conf(5)."""

from __future__ import annotations

import posix

from minilxc.errors import ConfigError
from minilxc.linux.files import decode

DEFAULTS: dict[str, str | None] = {
    "lxc.default_config": "/etc/lxc/default.conf",
    "lxc.lxcpath": "/var/lib/lxc",
    "lxc.bdev.lvm.vg": "lxc",
    "lxc.bdev.lvm.thin_pool": "lxc",
    "lxc.bdev.zfs.root": "lxc",
    "lxc.cgroup.use": None,
    "lxc.cgroup.pattern": None,
}
"""The settings that LXC has, and what root has without a line (None: nothing). minilxc acts on lxc.lxcpath alone."""

_MOST_BYTES = 2**16


def read(path: str) -> dict[str, str]:
    """The settings in the file at `path`: those that have a line; none where there is no file.

    As LXC has it, a line of something else is ignored. Raises ConfigError for a file that cannot be read.
    """
    try:
        file = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(error.strerror or str(error), path) from None
    try:
        text = decode(posix.read(file, _MOST_BYTES))
    except OSError as error:
        raise ConfigError(error.strerror or str(error), path) from None
    finally:
        posix.close(file)
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.strip() in DEFAULTS and value.strip():
            found[name.strip()] = value.strip()
    return found
