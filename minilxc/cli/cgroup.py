"""minilxc cgroup: read or write a file of a container's control groups."""

from __future__ import annotations

from minilxc.cli import common, options
from minilxc.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND = options.Command(
    "cgroup",
    "read or write a file of a container's control groups",
    common.ONE,
    words=f"{common.NAMED} FILE [VALUE]",
)


def run(words: Sequence[str]) -> int:
    """Print the content of a file, or write it."""
    return common.run(COMMAND, words, _run)


def _run(given: options.Given) -> int:
    container, words = common.container(COMMAND, given)
    if not words:
        raise UsageError("which file?", hint=COMMAND.usage())
    file, *values = words
    if len(values) > 1:
        raise UsageError(f"unexpected word '{values[1]}'", hint=COMMAND.usage())
    if values:
        container.set_cgroup(file, values[0])
    else:
        print(container.cgroup(file).rstrip("\n"))
    return 0
