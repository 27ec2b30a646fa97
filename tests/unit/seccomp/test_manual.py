"""The examples in the manual show what the commands say."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import pytest

from .commands import ROOT, seccomp

LINES = [
    line.removeprefix("    ")
    for line in (ROOT / "docs" / "man" / "minilxc-seccomp.md").read_text().splitlines()
]
COMMANDS = [
    (
        line.removeprefix("$ minilxc seccomp ").split(),
        "\n".join(takewhile(str.strip, LINES[at + 1 :])).split("\n$ ")[0] + "\n",
    )
    for at, line in enumerate(LINES)
    if re.match(r"\$ minilxc seccomp (explain|simulate|diff) ", line)
]
POLICY = (
    "\n".join(takewhile(str.strip, LINES[LINES.index("With this policy in `web.seccomp`:") + 2 :])) + "\n"
)


def test_there_are_examples() -> None:
    assert {words[0] for words, _ in COMMANDS} == {"explain", "simulate", "diff"}


@pytest.mark.parametrize(("words", "shown"), COMMANDS)
def test_an_example(words: list[str], shown: str, tmp_path: Path) -> None:
    (tmp_path / "web.seccomp").write_text(POLICY)
    new = POLICY.replace(" [0,16,==]", "").replace("0x10000000]", "0x30000000]")
    (tmp_path / "new.seccomp").write_text(new)
    assert seccomp(*words, cwd=tmp_path) == (int(words[0] == "diff"), shown, "")
