"""minilxc links: links with the names of LXC's commands, so that what calls those calls minilxc."""

from __future__ import annotations

import os
import sys

from minilxc.cli import LXC, options
from minilxc.errors import MinilxcError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Not lxc-checkconfig: it judges the kernel, and who calls it would not get what they expect.
NAMES = (
    "attach", "autostart", "cgroup", "config", "console", "copy", "create", "destroy", "execute", "freeze",
    "info", "ls", "monitor", "start", "stop", "top", "unfreeze", "usernsexec", "wait",
)  # fmt: skip
COMMAND = options.Command(
    "links", "make links with the names of LXC's commands", (), words="DIR", common=options.ABOUT
)
_PROGRAM = "minilxc"


def run(words: Sequence[str]) -> int:
    """Make the links in a folder. What else lies there under such a name stays, and nothing is made then."""
    given = options.read(COMMAND, words)
    if options.show_about(COMMAND, given):
        return 0
    if len(given.words) != 1:
        raise UsageError("which folder? (one DIR)", hint=COMMAND.usage())
    program = os.path.realpath(sys.argv[0])
    if os.path.basename(program) != _PROGRAM or not os.access(program, os.X_OK):
        raise MinilxcError(f"{program} is not the program {_PROGRAM}", hint="call it by its path")
    make(given.words[0], program)
    return 0


def make(folder: str, program: str) -> None:
    """Make the links in `folder`. Raises MinilxcError."""
    paths = [f"{folder}/{LXC}{name}" for name in NAMES]
    for path in paths:
        if os.path.lexists(path) and not _is_ours(path):
            raise MinilxcError("is there already, and no link to minilxc; nothing was made", path)
    for path in paths:
        temporary = f"{path}.{os.getpid()}"
        try:
            os.symlink(program, temporary)
            os.rename(temporary, path)
        except OSError as error:
            if os.path.lexists(temporary):
                os.unlink(temporary)
            raise MinilxcError(error.strerror or str(error), path) from None


def _is_ours(path: str) -> bool:
    return os.path.islink(path) and os.path.basename(os.readlink(path)) == _PROGRAM
