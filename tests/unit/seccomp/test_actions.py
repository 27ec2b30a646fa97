"""Words and names of actions."""

from __future__ import annotations

import pytest

from minilxc.seccomp import actions


@pytest.mark.parametrize(
    ("action", "word", "name"),
    [
        (actions.ALLOW, "allow", "ALLOW"),
        (actions.KILL_THREAD, "kill", "KILL_THREAD"),
        (actions.ERRNO + 38, "errno 38", "ERRNO(38)"),
        (actions.TRACE + 7, "trace 7", "TRACE(7)"),
    ],
)
def test_words_and_names(action: int, word: str, name: str) -> None:
    assert (actions.word(action), actions.name(action)) == (word, name)


def test_what_is_no_action_has_no_word() -> None:
    assert actions.name(0x12345678) == "0x12345678"
    with pytest.raises(LookupError, match=r"^0x12345678 is no action$"):
        actions.word(0x12345678)
