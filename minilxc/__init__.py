"""minilxc: an LXC-like container launcher whose seccomp stage is first class.

`Policy` is loaded when it is first asked for: importing the package costs nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.seccomp.api import Policy

__all__ = ["Policy"]


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def __getattr__(name: str) -> object:
    if name == "Policy":
        from minilxc.seccomp.api import Policy

        return Policy
    raise AttributeError(f"module 'minilxc' has no attribute '{name}'")
