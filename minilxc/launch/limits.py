"""Resource limits of the payload."""

from __future__ import annotations

from minilxc.errors import ConfigError
from minilxc.linux import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.config.parse import Config

    Limits = tuple[tuple[str, int | None, int | None], ...]


def from_config(config: Config) -> Limits:
    """(name as in lxc.prlimit.NAME, soft, hard) of each limit; None is unlimited. Raises ConfigError."""
    group = config.group("lxc.prlimit")
    if not group:
        return ()
    from minilxc.config.values import UNLIMITED

    found = []
    for name, entry in group.items():
        soft, hard = (None if limit == UNLIMITED else limit for limit in entry.value)
        if hard is not None and (soft is None or soft > hard):
            raise ConfigError(f"lxc.prlimit.{name}: the soft limit is above the hard limit", entry.where)
        found.append((name, soft, hard))
    return tuple(found)


def describe(limit: tuple[str, int | None, int | None]) -> str:
    """A limit, on one line."""
    name, *values = limit
    return f"{name} " + ":".join("unlimited" if value is None else str(value) for value in values)


def apply(limits: Limits, pid: int) -> None:
    """Parent: set the limits of the process `pid`; its children inherit them. Raises OSError about one's name."""
    for name, soft, hard in limits:
        process.prlimit(pid, name, soft, hard)
