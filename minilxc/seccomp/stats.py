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
from mmap import mmap
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

import _prctl

from . import calls, policy, rules
from .arch import this_machine
from .compiler import compile_rules, forget_decisions
from .loader import Load
from .program import Program
from .rules import Conditions
from .samples import arguments
from .verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

    from .arch import Abi, Machine
    from .policy import Filter, Newer
    from .rules import AbiRules, Rules

OURS: Final = "minilxc"
LIBRARY: Final = {1: "libseccomp, list", 2: "libseccomp, tree"}
"""What the library's programs are called, by CTL_OPTIMIZE."""

_TIMED = struct.Struct("=qq")
_RUNS = 7
_LOADS = 15
_LONGEST_S = 2
_CMP: Final = {"!=": 1, "<": 2, "<=": 3, "==": 4, ">=": 5, ">": 6}
"""enum scmp_compare."""


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

    libseccomp's programs are left out where it refuses the rules. What it does not know (calls newer
    than itself, or than the policy) is not in them. Raises PolicyError.
    """

    def ruled() -> Rules:
        return rules.build(policy.parse(text, path), machine, notify=True, newer=newer)

    def ours() -> Program:
        forget_decisions()  # each run asks libseccomp about the filters anew
        return compile_rules(ruled())

    wanted = ruled()
    program = ours()
    makers: list[tuple[str, Callable[[], Program]]] = [
        (OURS, ours),
        (LIBRARY[1], lambda: library_program(ruled(), 1)),
        (LIBRARY[2], lambda: library_program(ruled(), 2)),
    ]
    measured = tuple(found for maker, make in makers if (found := _measured(maker, make, wanted)) is not None)
    return Stats(machine, measured, least_ms(lambda: verify(program, wanted)))


def _measured(maker: str, make: Callable[[], Program], ruled: Rules) -> Measured | None:
    try:
        program = make()
    except OSError:
        return None
    load_ms = load_time_ms(program) if ruled.machine is this_machine() else None
    return Measured(maker, len(program), paths(program, ruled), least_ms(make), load_ms)


def library_program(ruled: Rules, optimize: int) -> Program:
    """libseccomp's program for the same rules, as far as it can say them. Raises OSError where it refuses."""
    lib = calls.library()
    whole = None
    for each in ruled.abis:
        context = lib.SyscallFilter(ruled.default)
        if each.abi.token != lib.system_arch():
            context.remove_arch(lib.system_arch())  # first: two byte orders cannot be in one context
            context.add_arch(each.abi.token)
        context.set_attr(lib.Attr.CTL_OPTIMIZE, optimize)
        for name, action, filters in _library_rules(each):
            # what the library lacks, here or on that ABI, it would take for another call
            if action != ruled.default and lib.resolve_syscall(lib.Arch.NATIVE, name) != -1:
                if lib.resolve_syscall(each.abi.token, name) > -1000:
                    context.add_rule(action, name, *map(_argument, filters))
        if whole is None:
            whole = context
        else:
            whole.merge(context)
    assert whole is not None  # a machine has an ABI
    with open(os.memfd_create("minilxc-filter", os.MFD_CLOEXEC), "r+b", buffering=0) as file:
        whole.export_bpf(file)
        file.seek(0)
        return Program.decode(file.read(), ruled.machine.big)


def _library_rules(each: AbiRules) -> Iterator[tuple[str, int, tuple[Filter, ...]]]:
    """Name, action and filters of each rule. A rule for a call is, to the library, one for its part too."""
    direct = {entry.name for entry in each.entries.values()}
    names = {
        multiplexer: {number: name for name, number in parts.items()}
        for multiplexer, parts in calls.MULTIPLEXERS.items()
    }
    for entry in each.entries.values():
        for stage in entry.stages:
            if isinstance(stage, Conditions):
                for rule in stage.rules:
                    yield entry.name, rule.action, rule.filters
            else:
                for number, part in stage.by_number.items():
                    if (name := names[entry.name][number]) not in direct:
                        yield name, part.action, ()
        if entry.where:
            yield entry.name, entry.action, ()


def _argument(test: Filter) -> object:
    """A filter in libseccomp's form."""
    lib = calls.library()
    if test.op == "&=":
        return lib.Arg(test.arg, lib.MASKED_EQ, test.mask, test.value)
    return lib.Arg(test.arg, _CMP[test.op], test.value)


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
