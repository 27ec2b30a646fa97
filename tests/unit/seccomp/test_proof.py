"""The proof: the policy's lines, the rules and the compiled program say the same of every call.

Every shipped policy and some hundreds of generated ones, every ABI of every machine, every call number
from 0 to 1023 (with x32's bit, too) and the values around each comparison of arguments. The kernel's
own answers are asked in tests/system/test_proof.py. MINILXC_PROOF=20 takes twenty times as long.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from minilxc.errors import PolicyError
from minilxc.seccomp import actions, policy
from minilxc.seccomp.build import build

from . import proof
from .reference import Reference

if TYPE_CHECKING:
    from minilxc.seccomp.arch import Machine
    from minilxc.seccomp.policy import Newer

MACHINES = proof.machines()
ROUNDS = range(int(3 * proof.SCALE))  # of ten generated policies for each machine
NEWER = ("amd64", "arm64", "ppc64")  # with an answer for newer calls, too


def compare(text: bytes, machine: Machine, newer: Newer | None) -> int:
    """Assert that reference and program agree; how many questions were asked."""
    built = build(text, "p", machine, notify=True, newer=newer)
    reference = Reference(policy.parse(text, "p"), machine, newer)
    shuffle = random.Random(text)
    count = 0
    for audit, abi in proof.audits(machine):
        for number in proof.numbers(abi):
            for args in proof.arguments(reference, audit, number, shuffle):
                answer, _ = built.program.simulate(audit, number, args)
                wanted = reference.answers(audit, number, args)
                if answer not in wanted:
                    call = (
                        f"{number:#x}({', '.join(map(hex, args))}) of {reference.abi(audit, number) or abi}"
                    )
                    said = f"{actions.name(answer)}, not {' or '.join(map(actions.name, wanted))}"
                    pytest.fail(f"{call} is answered {said}, by {machine.name}'s program of\n{text.decode()}")
                count += 1
    return count


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_shipped_policies_mean_what_their_lines_say(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    count = sum(
        compare(path.read_bytes(), machine, newer)
        for path in proof.SHIPPED
        for newer in (None, policy.newer("errno ENOSYS", "--newer"))
        if newer is None
        or (machine.name in NEWER and not actions.runs(policy.parse(path.read_bytes(), "p").default))
    )
    told(f"{machine.name}: {count} answers of {len(proof.SHIPPED)} shipped policies compared", capsys)
    assert count > 2048 * len(proof.SHIPPED)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_generated_policies_mean_what_their_lines_say(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    compared: list[int] = []
    refused: list[str] = []

    def agree(generated: proof.Generated) -> None:
        try:
            compared.append(compare(generated.text.encode(), machine, generated.newer))
        except PolicyError as error:  # libseccomp takes no two rules of which one begins with the other
            if "with another action" not in error.what and "contradict" not in error.what:
                raise
            refused.append(error.what)

    proof.ask_of_generated(machine, ROUNDS, agree)
    told(f"{machine.name}: {sum(compared)} answers of {len(compared)} generated policies compared", capsys)
    assert len(compared) > 5 * len(ROUNDS)
    assert len(refused) * 4 <= len(compared)
    assert min(compared) >= 2048


def told(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Show `line` although pytest keeps what tests print."""
    with capsys.disabled():
        print(f"\nproof: {line}", end="")
