"""What a start by an ordinary user cannot do, whatever its user namespace: told before anything exists."""

from __future__ import annotations

from minilxc.errors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.config.parse import Config


def refuse(config: Config) -> None:
    """Raise Refused for what takes power over the machine itself."""
    if config.get("lxc.monitor.unshare"):
        what = "lxc.monitor.unshare: only root can give the monitor a mount namespace of its own"
        raise Refused(what, config.where("lxc.monitor.unshare"))
    for kind, entry in config.group("lxc.namespace.share").items():
        what = f"lxc.namespace.share.{kind}: only root can join the namespaces of others"
        raise Refused(what, entry.where)
    for index, network in config.networks().items():
        kind = network.get("type")
        if kind not in (None, "empty", "none"):
            what = f"lxc.net.{index}.type: only root can give a container an interface of type '{kind}'"
            raise Refused(what, network.where("type"), "empty, or none to share the host's network")
        for key in ("script.up", "script.down"):
            if network.get(key):
                raise Refused(
                    f"lxc.net.{index}.{key}: only root's interfaces have scripts", network.where(key)
                )
