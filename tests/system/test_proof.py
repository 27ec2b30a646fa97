"""The proof, its third witness: the kernel gives the answers that lines and program say.

The questions are those of tests/unit/seccomp/test_proof.py, for the ABIs that this machine runs: x86_64
with x32's numbers, and i386. tests/helpers/answers.c asks them. MINILXC_PROOF=20 takes longer.
"""

from __future__ import annotations

import os
import platform
import random
import signal
import struct
import subprocess

import pytest

from minilxc.errors import PolicyError
from minilxc.seccomp import actions, policy
from minilxc.seccomp.arch import machine_by_word
from minilxc.seccomp.build import build
from tests.unit.seccomp import proof
from tests.unit.seccomp.reference import Reference

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="asks x86_64 and i386")

AMD64 = machine_by_word("amd64")
ASKED = {"answers": AMD64.abis[0], "answers-i386": AMD64.abis[1]}
# uretprobe (Linux 6.11) and uprobe (6.18), calls of breakpoints in user space. The kernel lets them pass whatever a
# filter says: uretprobe from 6.14 on, and in later releases of 6.12 and 6.13; uprobe from its beginning.
UNASKED = {("answers", 335), ("answers", 336)}
ROUNDS = range(1000, 1000 + int(2 * proof.SCALE))  # of ten generated policies

LET_THROUGH, ERRNO, TRAP, THREAD_DIED, PROCESS_DIED = range(5)


def seen(action):
    """What answers.c finds where the filter answers `action`. A call that is logged is let through."""
    if actions.runs(action):
        return LET_THROUGH, 0
    kinds = {
        actions.ERRNO: ERRNO,
        actions.TRAP: TRAP,
        actions.KILL_THREAD: THREAD_DIED,
        actions.KILL_PROCESS: PROCESS_DIED,
    }
    return kinds[action & 0xFFFF0000], action & 0xFFFF


def kernel(program, code, calls, folder):
    """The kernel's answers to `calls`, (number, arguments) each, under the filter `code`."""
    file = folder / "questions"
    with open(file, "wb") as out:
        out.write(struct.pack("=I", len(code)) + code.encode() + struct.pack("=I", len(calls)))
        out.writelines(struct.pack("=II6Q", number, 0, *args) for number, args in calls)
    done = subprocess.run([program, file], stdout=subprocess.PIPE, check=True)
    return list(struct.iter_unpack("=II", done.stdout))


def compare(text, newer, helpers, folder, programs=("answers", "answers-i386")):
    """Assert that reference, program and kernel agree; how many calls were made."""
    signal.alarm(120)  # thousands of threads and processes die, which takes its time
    code = build(text, "p", AMD64, newer=newer).program
    reference = Reference(policy.parse(text, "p"), AMD64, newer)
    shuffle = random.Random(text)
    count = 0
    for name in programs:
        abi = ASKED[name]
        calls = [
            (number, args)
            for number in proof.numbers(abi)
            if (name, number) not in UNASKED
            for args in proof.arguments(reference, abi.audit, number, shuffle)
        ]
        for (number, args), answer in zip(calls, kernel(helpers[name], code, calls, folder), strict=True):
            simulated, _ = code.simulate(abi.audit, number, args)
            what = f"{abi.name}: {number:#x}({', '.join(map(hex, args))}) under\n{text.decode()}"
            assert simulated in reference.answers(abi.audit, number, args), what
            assert answer == seen(simulated), what
        count += len(calls)
    return count


def told(line, capsys):
    with capsys.disabled():
        print(f"\nproof: {line}", end="")


@pytest.mark.parametrize("path", proof.SHIPPED, ids=lambda path: path.name)
def test_the_kernel_answers_shipped_policies_as_their_lines_say(path, helpers, tmp_path, capsys):
    text = path.read_bytes()
    count = compare(text, None, helpers, tmp_path)
    if not actions.runs(policy.parse(text, "p").default):
        count += compare(text, policy.newer("errno ENOSYS", "--newer"), helpers, tmp_path, ["answers"])
    told(f"{path.name}: {count} answers of the kernel compared", capsys)
    assert count > 4096


@pytest.mark.parametrize("number", ROUNDS)
def test_the_kernel_answers_generated_policies_as_their_lines_say(number, helpers, tmp_path, capsys):
    compared = []

    def agree(generated):
        try:
            compared.append(compare(generated.text.encode(), generated.newer, helpers, tmp_path))
        except PolicyError as error:
            assert "with another action" in error.what or "contradict" in error.what  # noqa: PT017

    proof.ask_of_generated(AMD64, [number], agree)
    told(f"{number}: {sum(compared)} answers of the kernel to {len(compared)} policies compared", capsys)
    assert len(compared) > 5
    assert min(compared) > 4000


def test_answers_of_the_kernel_are_told_apart(helpers, tmp_path):
    """The five answers, seen: a witness that sees just one would prove nothing."""
    text = b"2\ndenylist\nmkdir errno 4094\nrmdir trap\nmknod kill\nunlink kill_process\nrename errno 0\nlink log\n"
    code = build(text, "p", AMD64).program
    zeros = (0,) * 6
    numbers = {
        "answers": (83, 84, 133, 87, 82, 86, 39, 0x40000053),
        "answers-i386": (39, 40, 14, 10, 38, 9, 20, 39),
    }
    wanted = [
        (ERRNO, 4094),
        (TRAP, 0),
        (THREAD_DIED, 0),
        (PROCESS_DIED, 0),
        (ERRNO, 0),
        (LET_THROUGH, 0),
        (LET_THROUGH, 0),
        (ERRNO, 4094),
    ]
    for name, asked in numbers.items():
        assert kernel(helpers[name], code, [(number, zeros) for number in asked], tmp_path) == wanted
    assert os.listdir(tmp_path) == ["questions"]
