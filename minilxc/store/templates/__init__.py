"""What a container can be made of: one module a template."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from minilxc.config.parse import Config
    from minilxc.launch.idmap import IdMaps
    from minilxc.store.tools import Tools


class Section(NamedTuple):
    """Lines of a config that belong together: what they are for, and (key, value) each."""

    comment: str
    lines: tuple[tuple[str, str], ...]


class Site(NamedTuple):
    """Where a container is made: `root` is to become its root file system; `work` is a folder that goes at the end.

    `config` and `maps` are what is known of it beforehand.
    """

    name: str
    root: str
    work: str
    config: Config
    maps: IdMaps | None
    tools: Tools


NETWORK = Section("No network but a loopback interface.", (("lxc.net.0.type", "empty"),))
TERMINALS = Section(
    "Terminals: the console, four more, and those that programs ask for.",
    (("lxc.tty.max", "4"), ("lxc.pty.max", "1024")),
)
CAPABILITIES = Section(
    "Powers over the machine rather than the container. Taken from the bounding set: no program gets them back.",
    (("lxc.cap.drop", "mac_admin mac_override sys_module sys_rawio sys_time"),),
)
SHARED_MEMORY = ("lxc.mount.entry", "shm dev/shm tmpfs nosuid,nodev,noexec,mode=1777,create=dir 0 0")


def mounts(words: str, *entries: tuple[str, str]) -> Section:
    """The section about mounts, with the words of lxc.mount.auto."""
    return Section("Mounts; /dev is a small tmpfs (lxc.autodev).", (("lxc.mount.auto", words), *entries))


class Template(ABC):
    """One way to fill a root file system. The methods are called in their order.

    `ordinary`: users who are not root can have it, too.
    """

    name = ""
    ordinary = False

    def prepare(self) -> None:  # noqa: B027  not every one needs something
        """Find what is needed, while nothing exists. Raises MinilxcError."""

    def sections(self) -> tuple[Section, ...]:
        """The config's lines, each of which a config to start from may have instead."""
        return (NETWORK, mounts("proc:mixed sys:ro"), TERMINALS, CAPABILITIES)

    @abstractmethod
    def fill(self, site: Site) -> tuple[Section, ...]:
        """Make the root file system, a folder that is not there yet; the lines that it asks for, first of all."""
