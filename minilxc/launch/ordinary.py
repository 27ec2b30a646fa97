"""What a start by an ordinary user cannot do, whatever its user namespace: told before anything exists."""

from __future__ import annotations

from minilxc.errors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.config.parse import Config


def refuse(config: Config) -> None:
    """Raise Refused for what takes power over the machine itself."""
    for index, network in config.networks().items():
        kind = network.get("type")
        if kind not in (None, "empty", "none"):
            what = f"lxc.net.{index}.type: only root can give a container an interface of type '{kind}'"
            raise Refused(what, network.where("type"), "empty, or none to share the host's network")
