"""Profiles for tests, and what libseccomp makes of them as runc and crun use it."""

from __future__ import annotations

import itertools
import os
import random
from typing import TYPE_CHECKING, Any

import pyseccomp

from minilxc.seccomp import actions, calls, rules, samples
from minilxc.seccomp import profile as written
from minilxc.seccomp.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minilxc.seccomp.arch import Abi, Machine
    from minilxc.seccomp.rules import Rules

# Some that stand alone, some that not all ABIs have, many that are multiplexed, two that nobody has.
NAMES = """
    read write open openat mknod mkdir ioctl personality waitpid umount umount2 clone clone3 socket bind accept
    accept4 recv send recvfrom shmget shmat semop semtimedop msgget socketcall ipc ftruncate prctl arch_prctl execve
    futex_requeue fchmodat2 stat64 set_thread_area cachestat preadv2 rt_sigaction arm_bogus bogus
""".split()
WORDS = (0, 1, 2, 7, 8, 9, 40, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
WORDS += (1 << 32, (1 << 32) + 8, 1 << 63, (1 << 64) - 1)
ACTIONS = [
    word
    for word in written.ACTIONS
    if word not in ("SCMP_ACT_TRACE", "SCMP_ACT_NOTIFY", "SCMP_ACT_KILL_THREAD")
]
_OPERATORS = {"!=": 1, "<": 2, "<=": 3, "==": 4, ">=": 5, ">": 6}
_MOST_VECTORS = 300


def generated(seed: int) -> dict[str, Any]:
    """An OCI profile, the same for the same seed."""
    choose = random.Random(seed)
    profile: dict[str, Any] = {"defaultAction": choose.choice(ACTIONS)}
    if profile["defaultAction"] == "SCMP_ACT_ERRNO" and choose.random() < 0.7:
        profile["defaultErrnoRet"] = choose.choice([1, 38, 0, 4000])
    how = choose.random()
    if how < 0.7:
        profile["architectures"] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    elif how < 0.9:
        others = choose.sample(["SCMP_ARCH_X86", "SCMP_ARCH_X32"], choose.randint(0, 1))
        profile["architectures"] = ["SCMP_ARCH_X86_64", *others]
    few = choose.sample(ACTIONS, 2) if choose.random() < 0.6 else ACTIONS
    profile["syscalls"] = [_group(choose, few) for _ in range(choose.randint(1, 6))]
    return profile


def _group(choose: random.Random, few: list[str]) -> dict[str, Any]:
    group: dict[str, Any] = {
        "names": choose.sample(NAMES, choose.randint(1, 6)),
        "action": choose.choice(few),
    }
    if group["action"] == "SCMP_ACT_ERRNO" and choose.random() < 0.7:
        group["errnoRet"] = choose.choice([1, 2, 5, 38])
    if choose.random() < 0.5:
        indices = choose.sample(range(6), choose.randint(1, 2))
        if choose.random() < 0.15:
            indices = [choose.randint(0, 1) for _ in range(choose.randint(2, 4))]
        group["args"] = [_comparison(choose, index) for index in indices]
    return group


def _comparison(choose: random.Random, index: int) -> dict[str, Any]:
    found = {"index": index, "value": choose.choice(WORDS), "op": choose.choice(list(written.OPERATORS))}
    if found["op"] == "SCMP_CMP_MASKED_EQ":
        found["valueTwo"] = choose.choice(WORDS)
    return found


def built_by_libseccomp(profile: dict[str, Any], machine: Machine) -> Program:
    """The program of an OCI profile, whose rules are added as runc and crun do.

    For machines of this one's byte order. Raises FileExistsError where the library takes no such rules.
    """
    tokens = {written.token(abi): abi.token for abi in machine.abis}
    default = _action(profile, "defaultAction", "defaultErrnoRet")
    context = pyseccomp.SyscallFilter(default)
    native, wanted = pyseccomp.system_arch(), machine.native.token
    if native != wanted:
        context.remove_arch(native)
        context.add_arch(wanted)
    for word in profile.get("architectures", ()):
        if tokens[word] != wanted:
            context.add_arch(tokens[word])
    for group in profile["syscalls"]:
        action = _action(group, "action", "errnoRet")
        if action == default:
            continue
        args = [_argument(found) for found in group.get("args", ())]
        apart = len({found["index"] for found in group.get("args", ())}) < len(args)
        for name in group["names"]:
            if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) == -1:
                continue
            for each in [[arg] for arg in args] if apart else [args]:
                context.add_rule(action, name, *each)
    with open(os.memfd_create("oracle"), "r+b", buffering=0) as file:
        context.export_bpf(file)
        file.seek(0)
        return Program.decode(file.read(), machine.big)


def _action(found: dict[str, Any], key: str, number: str) -> int:
    action = written.ACTIONS[found[key]]
    return action + found.get(number, 1) if action == actions.ERRNO else action


def _argument(found: dict[str, Any]) -> pyseccomp.Arg:
    op = written.OPERATORS[found["op"]]
    if op == "&=":
        return pyseccomp.Arg(found["index"], pyseccomp.MASKED_EQ, found["value"], found["valueTwo"])
    return pyseccomp.Arg(found["index"], _OPERATORS[op], found["value"])


def questions(meant: Rules) -> Iterator[tuple[Abi, int, tuple[int, ...]]]:
    """ABI, call number and arguments: every call, and what the rules with filters are about."""
    plain = (0,) * 6
    for each in meant.abis:
        table = calls.names(each.abi)
        for number in sorted({*range(each.abi.base, each.abi.base + 480), *table, *each.entries}):
            yield each.abi, number, plain
        for number, entry in each.entries.items():
            for stage in entry.stages:
                if isinstance(stage, rules.Conditions):
                    for args in itertools.islice(samples.condition_arguments(stage), _MOST_VECTORS):
                        yield each.abi, number, tuple(args)
                else:
                    for part in stage.by_number:
                        yield each.abi, number, (part, 0, 0, 0, 0, 0)


def is_stricter_by_intent(meant: Rules, abi: Abi, number: int, ours: int) -> bool:
    """True where a multiplexer denies what libseccomp 2.5.4 lets by (see `oci`)."""
    name = calls.names(abi).get(number)
    return abi.multiplexed and name in ("socketcall", "ipc") and not actions.runs(ours)
