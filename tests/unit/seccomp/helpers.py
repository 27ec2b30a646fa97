"""What the tests of policies share: compile a text, ask its program a question in words."""

from __future__ import annotations

import re

from minilxc.seccomp import actions, calls
from minilxc.seccomp.arch import ABIS, machine_by_word
from minilxc.seccomp.build import Built, build

_ABIS = {abi.name: abi for abi in ABIS}
_QUESTION = re.compile(r"(\w+): (\w+)\((.*)\)")


def compiled(text: str, machine: str, *, notify: bool = False) -> Built:
    """`text` compiled for `machine` and verified."""
    return build(text.encode(), "p", machine_by_word(machine), notify=notify)


def ask(built: Built, question: str) -> str:
    """The program's answer to "abi: call(arguments)", the call by name or number: ALLOW, ERRNO(7)."""
    match = _QUESTION.fullmatch(question)
    assert match, question
    abi = _ABIS[match[1]]
    number = int(match[2], 0) if match[2][0].isdigit() else calls.table(abi)[match[2]]
    args = [int(word, 0) for word in match[3].split(",") if word.strip()]
    return actions.name(built.program.simulate(abi.audit, number, args)[0])
