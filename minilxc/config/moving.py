"""The config of a container that is copied or renamed: paths into its folder, host name and addresses are changed.

Everything else stays as it is written, comments too. What an included file says is not the container's own
text: `left_behind` finds what it would leave wrong.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, NamedTuple

from minilxc.config.keys import HOOKS
from minilxc.config.parse import Config
from minilxc.config.upgrade import lines
from minilxc.config.writing import written
from minilxc.linux.files import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINE = re.compile(rb"([ \t]*)([^= \t]+)([ \t]*=[ \t]*)(.*)", re.DOTALL)
_NETWORK = re.compile(r"lxc\.net\.[0-9]+\.(.+)")
# Keys whose values have paths of the host in them; others' paths are the container's, or not paths at all.
_PATHS = {
    "lxc.rootfs.path",
    "lxc.rootfs.mount",
    "lxc.rootfs.options",
    "lxc.mount.fstab",
    "lxc.mount.entry",
    "lxc.include",
    "lxc.seccomp.profile",
    "lxc.console.path",
    "lxc.console.logfile",
    "lxc.log.file",
    *HOOKS,
}
_SCRIPTS = ("script.up", "script.down")
_VENDOR_BYTES = 3  # of a hardware address


class Move(NamedTuple):
    """What changes: the folder, `old` in each of its spellings; the host name and the hardware addresses."""

    old: tuple[str, ...]
    new: str
    hostname: str | None
    new_addresses: bool


def rewrite(text: bytes, name: str, move: Move) -> bytes:
    """The config `text` of the file `name` as the moved container needs it. Raises ConfigError for a wrong line."""
    today = {where: new for where, _, new in Config.old_names(text, name)}
    pieces = []
    for where, content, end in lines(text, name):
        found = _LINE.fullmatch(content)
        if found and not found[2].startswith(b"#"):
            key = today.get(where) or decode(found[2])
            pieces += [found[1], found[2], found[3], _value(key, found[4], move), end]
        else:
            pieces += [content, end]
    return b"".join(pieces)


def rewrite_paths(text: bytes, move: Move) -> bytes:
    """`text`, an fstab or a value, with the paths into the folder changed."""
    for old, new in _spellings(move):
        # A path begins behind a blank, a quote, or what separates paths, and goes to a slash or to such a place.
        pattern = rb"(?<![^\s:=,'\"])" + re.escape(encode(old)) + rb"(?=[/\s:,'\"]|\Z)"
        text = re.sub(pattern, encode(new).replace(b"\\", rb"\\"), text)
    return text


def left_behind(config: Config, move: Move) -> Iterator[tuple[str, str]]:
    """The lines of included files in force that name a path into the old folder: where they stand, and their keys."""
    for settings, prefix in (
        (config, ""),
        *((each, f"lxc.net.{i}.") for i, each in config.networks().items()),
    ):
        for name in settings.names():
            for entry in settings.entries(name):
                raw = encode(entry.text)
                if not is_own(entry.where, config) and _value(prefix + name, raw, _paths_of(move)) != raw:
                    yield entry.where, prefix + name


def is_own(where: str, config: Config) -> bool:
    """Whether a line stands in the config itself, and not in a file that it includes."""
    return where.rpartition(":")[0] == config.source


def _paths_of(move: Move) -> Move:
    return move._replace(hostname=None, new_addresses=False)


def _spellings(move: Move) -> Iterator[tuple[str, str]]:
    for old in move.old:
        yield old, move.new
        if " " in old:  # as an fstab has it
            yield old.replace(" ", "\\040"), move.new.replace(" ", "\\040")


def _value(key: str, value: bytes, move: Move) -> bytes:
    network = _NETWORK.fullmatch(key)
    if key in _PATHS or (network and network[1] in _SCRIPTS):
        return rewrite_paths(value, move)
    if key == "lxc.uts.name" and move.hostname is not None and value:
        return encode(written(move.hostname))
    if network and network[1] == "hwaddr" and move.new_addresses:
        return _address(value)
    return value


def _address(value: bytes) -> bytes:
    """Another hardware address of the same vendor; a pattern, which is another one at each start, as it is."""
    parts = value.split(b":")
    if b"x" in value.lower() or len(parts) <= _VENDOR_BYTES:
        return value
    own = [b"%02x" % byte for byte in secrets.token_bytes(len(parts) - _VENDOR_BYTES)]
    return b":".join(parts[:_VENDOR_BYTES] + own)
