"""minilxc freeze, minilxc unfreeze: stop all that runs in a container, and let it go on."""

from __future__ import annotations

from minilxc.cli import common, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FREEZE = options.Command("freeze", "stop all that runs in a container", common.ONE, words=common.NAMED)
UNFREEZE = options.Command("unfreeze", "let a frozen container go on", common.ONE, words=common.NAMED)


def freeze(words: Sequence[str]) -> int:
    """Freeze a container, and return when all of it stands still."""

    def act(given: options.Given) -> int:
        common.only_container(FREEZE, given).freeze()
        return 0

    return common.run(FREEZE, words, act)


def unfreeze(words: Sequence[str]) -> int:
    """Let it go on."""

    def act(given: options.Given) -> int:
        common.only_container(UNFREEZE, given).unfreeze()
        return 0

    return common.run(UNFREEZE, words, act)
