"""What the commands on a container have in common: `-n NAME`, or the name as a word, as LXC has it."""

from __future__ import annotations

from minilxc.cli import options
from minilxc.container import Container
from minilxc.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.cli.options import Command, Given


def container(command: Command, given: Given, *, words: bool = True) -> Container:
    """The container that the command line names. Raises UsageError. `words`: the name may stand as a word."""
    name = given.get(options.NAME)
    rest = list(given.words) if words else []
    if name is None and rest:
        name = rest.pop(0)
    if rest:
        raise UsageError(f"unexpected word '{rest[0]}'", hint=command.usage())
    if name is None:
        raise UsageError("which container? (-n NAME)", hint=command.usage())
    return Container(name, given.get(options.PATH))
