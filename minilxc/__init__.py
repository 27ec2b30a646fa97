"""minilxc: an LXC-like container launcher whose seccomp stage is first class.

What it offers is loaded when it is first asked for: importing the package costs nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.container import Container, list_containers
    from minilxc.errors import ConfigError, MinilxcError, PolicyError, Refused, StartError, UsageError
    from minilxc.monitor.client import Hangs, NotRunning
    from minilxc.seccomp.api import Policy

__all__ = [
    "ConfigError",
    "Container",
    "Hangs",
    "MinilxcError",
    "NotRunning",
    "Policy",
    "PolicyError",
    "Refused",
    "StartError",
    "UsageError",
    "list_containers",
]

_PLACES = {
    "Container": "minilxc.container",
    "Hangs": "minilxc.monitor.client",
    "NotRunning": "minilxc.monitor.client",
    "Policy": "minilxc.seccomp.api",
    "list_containers": "minilxc.container",
}


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def __getattr__(name: str) -> object:
    if name in __all__:
        found: object = getattr(__import__(_PLACES.get(name, "minilxc.errors"), fromlist=[name]), name)
        return found
    raise AttributeError(f"module 'minilxc' has no attribute '{name}'")
