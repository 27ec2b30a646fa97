"""What a policy's program costs: its size, the way of its calls through it, building and loading it.

Beside it stand the programs that libseccomp makes of the same rules, unoptimised (CTL_OPTIMIZE 1: a
list) and optimised (2: a binary tree).
"""

from __future__ import annotations

import os
import resource
import signal
import struct
import time
from contextlib import suppress
from functools import partial
from mmap import mmap
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

import _prctl

from . import calls, policy, rules
from .arch import this_machine
from .compiler import compile_rules, endless, forget_decisions
from .libseccomp import EndlessError, Rule, Wanted, export
from .loader import Load
from .program import Program
from .rules import Conditions
from .samples import arguments
from .verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

    from .arch import Abi, Machine
    from .policy import Newer
    from .rules import AbiRules, Rules

OURS: Final = "minilxc"
LIBRARY: Final = {1: "libseccomp, list", 2: "libseccomp, tree"}
"""What the library's programs are called, by CTL_OPTIMIZE."""

_TIMED = struct.Struct("=qq")
_RUNS = 7
_LOADS = 15
_LONGEST_S = 2


class Paths(NamedTuple):
    """Instructions that the calls of one ABI's table take, each call's longest way counted."""

    abi: Abi
    longest: int
    median: float


class Measured(NamedTuple):
    """One program. Times are the least of several runs, in ms.

    maker         who made it: OURS, or one of LIBRARY
    instructions  of the whole program, all ABIs
    paths         for each ABI of the machine
    compile_ms    from the policy's text to the program, without verification
    load_ms       what the kernel takes to check and translate it; None for another machine's, and
                  where it refuses
    """

    maker: str
    instructions: int
    paths: tuple[Paths, ...]
    compile_ms: float
    load_ms: float | None


class Stats(NamedTuple):
    """All programs of a policy, ours first; `verify_ms` is what its verification takes."""

    machine: Machine
    programs: tuple[Measured, ...]
    verify_ms: float


def measure(text: bytes, path: str, machine: Machine, newer: Newer | None = None) -> Stats:
    """Build, count, load and time the programs of the policy `text`. The loads are made in children.

    libseccomp's programs are left out where it refuses the rules or comes to no end over them. What it
    does not know (calls newer than itself, or than the policy) is not in them. Raises PolicyError.
    """

    def ruled() -> Rules:
        return rules.build(policy.parse(text, path), machine, notify=True, newer=newer)

    def ours() -> Program:
        forget_decisions()  # each run asks libseccomp about the filters anew
        return compile_rules(ruled())

    def again(optimize: int) -> None:
        library_program(ruled(), optimize)

    wanted = ruled()
    program = ours()
    measured = [_measured(OURS, program, ours, wanted)]
    for optimize, maker in LIBRARY.items() if not endless(wanted) else ():
        theirs = library_program(wanted, optimize)
        if theirs is None:
            break
        measured.append(_measured(maker, theirs, partial(again, optimize), wanted))
    return Stats(machine, tuple(measured), least_ms(lambda: verify(program, wanted)))


def _measured(maker: str, program: Program, make: Callable[[], object], ruled: Rules) -> Measured:
    load_ms = load_time_ms(program) if ruled.machine is this_machine() else None
    return Measured(maker, len(program), paths(program, ruled), least_ms(make), load_ms)


def library_program(ruled: Rules, optimize: int) -> Program | None:
    """libseccomp's program for the same rules, as far as it can say them; None where it refuses or comes to no end."""
    wanted = [
        Wanted(
            each.abi.token,
            tuple(rule for rule in _library_rules(each) if _sayable(rule, each.abi, ruled.default)),
        )
        for each in ruled.abis
    ]
    try:
        data, refused = export(ruled.default, wanted, optimize)
    except (OSError, EndlessError):
        return None
    return None if refused else Program.decode(data, ruled.machine.big)


def _sayable(rule: Rule, abi: Abi, default: int) -> bool:
    """True when libseccomp takes the rule for what it is: not for the default, nor for another call."""
    lib = calls.library()
    return (
        rule.action != default
        and lib.resolve_syscall(lib.Arch.NATIVE, rule.call) != -1
        and lib.resolve_syscall(abi.token, rule.call) > -1000
    )


def _library_rules(each: AbiRules) -> Iterator[Rule]:
    """Each rule. One for a call is, to the library, one for its part too."""
    direct = {entry.name for entry in each.entries.values()}
    names = {
        multiplexer: {number: name for name, number in parts.items()}
        for multiplexer, parts in calls.MULTIPLEXERS.items()
    }
    for entry in each.entries.values():
        for stage in entry.stages:
            if isinstance(stage, Conditions):
                for rule in stage.rules:
                    yield Rule(rule.action, entry.name, rule.filters)
            else:
                for number, part in stage.by_number.items():
                    if (name := names[entry.name][number]) not in direct:
                        yield Rule(part.action, name, ())
        if entry.where:
            yield Rule(entry.action, entry.name, ())


def paths(program: Program, ruled: Rules) -> tuple[Paths, ...]:
    """How many instructions the calls of each ABI's table take, with those arguments that take the most."""
    found = []
    for abi, entries, _ in ruled.abis:
        taken = []
        for number in calls.names(abi):
            entry = entries.get(number)
            asked = arguments(entry) if entry and entry.stages else [()]
            taken.append(max(program.simulate(abi.audit, number, args)[1] for args in asked))
        found.append(Paths(abi, max(taken), median(taken)))
    return tuple(found)


def least_ms(work: Callable[[], object]) -> float:
    """Milliseconds of the quickest of several runs."""
    best = float("inf")
    for _ in range(_RUNS):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best * 1000


def load_time_ms(program: Program) -> float | None:
    """Milliseconds that seccomp(2) takes, the least of several children; None where it refuses."""
    load = Load(program.encode())
    best = None
    for _ in range(_LOADS):
        with mmap(-1, _TIMED.size) as shared:  # the program may forbid the child to write anywhere else
            pid = os.fork()
            if not pid:
                _load_and_die(load, shared)
            with suppress(ChildProcessError):  # the caller may ignore SIGCHLD
                os.waitpid(pid, 0)
            took, status = _TIMED.unpack(shared[:])
        if took and not status:
            best = min(took / 1e6, best or took / 1e6)
    return best


def _load_and_die(load: Load, shared: mmap) -> NoReturn:
    """Load in this process, a child, and leave (nanoseconds, result) in `shared`.

    The end comes in any case: where exit_group(2) is killed by SIGSYS, where it fails by the trap that
    libc has behind it, and otherwise by the timer. None of these signals may have a handler, which could
    not even return (rt_sigreturn(2)).
    """
    try:
        for number in (signal.SIGSEGV, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(_LONGEST_S)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _prctl.prctl(_prctl.PR_SET_NO_NEW_PRIVS, 1)
        start = time.perf_counter_ns()
        status = load()
        shared[:] = _TIMED.pack(time.perf_counter_ns() - start, status)
    finally:
        os._exit(0)
