"""Programs that libseccomp makes, asked for so that the caller goes on whatever libseccomp does.

libseccomp 2.5.4 loops for ever over some rules for one call of which one looks at several arguments.
Where one does, all are given to it in a process of its own, which is ended when it has had more than
enough time on a processor. That is the process's own time: neither the caller's limits nor the load of
the machine count. Any other end of the process is an error. What remains is that a machine fifty times
slower than one of today may take rules that need long for rules that need for ever.
"""

from __future__ import annotations

import _signal
import errno
import marshal
import os
import select
import time
from contextlib import suppress
from itertools import count
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

import _prctl

from minilxc.errors import MinilxcError

from . import calls

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BufferedWriter
    from typing import NoReturn

    from .policy import Filter

_CPU_SECONDS: Final = 5.0  # for each hundred rules, or part of it; a hundred need 10 ms, a thousand a second
_POLL_MS: Final = 50
_IDLE_POLLS: Final = 600  # of a process that cannot go on, as one whose threads were forked with a lock held


class Rule(NamedTuple):
    """A rule as libseccomp takes it; `call` by name."""

    action: int
    call: str
    filters: tuple[Filter, ...]


class Wanted(NamedTuple):
    """What to say on the ABI with this token, in this order."""

    token: int
    rules: tuple[Rule, ...]


class Exported(NamedTuple):
    """A program, an array of struct sock_filter.

    Where libseccomp takes rules for contradictions of earlier ones there is none, and `refused` has their
    places, counted over all ABIs.
    """

    data: bytes
    refused: tuple[int, ...]


class EndlessError(Exception):
    """libseccomp comes to no end over the rules."""


def export(default: int, abis: Sequence[Wanted], optimize: int = 1) -> Exported:
    """libseccomp's program for one byte order. `optimize` is its CTL_OPTIMIZE: 1 a list, 2 a binary tree.

    Raises EndlessError; OSError where it refuses the rules otherwise; MinilxcError where it cannot be
    asked, or its process is ended by others.
    """
    if any(_may_loop(wanted.rules) for wanted in abis):
        return _export_in_child(default, abis, optimize)
    return _export(default, abis, optimize)


def _may_loop(rules: Sequence[Rule]) -> bool:
    """True when one of several rules looks at several arguments. (Which calls share rules is libseccomp's to say.)"""
    return len(rules) > 1 and any(len(rule.filters) > 1 for rule in rules)


def _export(default: int, abis: Sequence[Wanted], optimize: int) -> Exported:
    lib = calls.library()
    whole = None
    refused = []
    places = count()
    for wanted in abis:
        context = lib.SyscallFilter(default)
        if wanted.token != lib.system_arch():
            context.remove_arch(lib.system_arch())  # first: two byte orders cannot be in one context
            context.add_arch(wanted.token)
        context.set_attr(lib.Attr.CTL_OPTIMIZE, optimize)
        for rule, place in zip(wanted.rules, places):  # noqa: B905  places have no end
            try:
                context.add_rule(rule.action, rule.call, *map(_argument, rule.filters))
            except FileExistsError:  # the rules before it stay as they were
                refused.append(place)
        if whole is None:
            whole = context
        else:
            whole.merge(context)
    if refused:
        return Exported(b"", tuple(refused))
    assert whole is not None  # a machine has an ABI
    with open(os.memfd_create("minilxc-filter", os.MFD_CLOEXEC), "r+b", buffering=0) as file:
        whole.export_bpf(file)
        file.seek(0)
        return Exported(file.read(), ())


def _argument(test: Filter) -> object:
    """A filter in libseccomp's form."""
    lib = calls.library()
    if test.op == "&=":
        return lib.Arg(test.arg, lib.MASKED_EQ, test.mask, test.value)
    operators = {"==": lib.EQ, "!=": lib.NE, "<": lib.LT, "<=": lib.LE, ">": lib.GT, ">=": lib.GE}
    return lib.Arg(test.arg, operators[test.op], test.value)


# --- in a process of its own


def _export_in_child(default: int, abis: Sequence[Wanted], optimize: int) -> Exported:
    """As `_export`, in a process that is ended after a while. Raises what `export` does."""
    calls.library()
    patience = _CPU_SECONDS * ceil(sum(len(wanted.rules) for wanted in abis) / 100)
    try:
        receive, send = os.pipe2(os.O_CLOEXEC)
        with open(receive, "rb", buffering=0) as answer, open(send, "wb") as report:
            pid = os.fork()
            if not pid:
                _report(report, default, abis, optimize)
            report.close()
            told = _wait(answer.fileno(), pid, patience)
    except OSError as error:
        raise MinilxcError(
            f"libseccomp needs a process of its own for these filters: {error.strerror}"
        ) from None
    kind, *rest = marshal.loads(told)
    if kind == "exported":
        return Exported(*rest)
    if kind == "refused":
        raise OSError(rest[0], os.strerror(rest[0]))
    raise MinilxcError(f"libseccomp could not be asked about these filters: {rest[0]}")


def _wait(answer: int, pid: int, patience: float) -> bytes:
    """What the child `pid` writes. Raises EndlessError when that takes it too long; the child ends in any case."""
    poll = select.poll()
    poll.register(answer, select.POLLIN)
    told = b""
    spent = 0.0
    idle = 0
    ended = False
    status = 0
    try:
        while not ended:
            if poll.poll(_POLL_MS):
                more = os.read(answer, 1 << 16)
                told += more
                ended = not more
                continue
            before, spent = spent, _cpu_seconds(pid)
            idle = 0 if spent > before else idle + 1
            if spent > patience:
                raise EndlessError
            if idle > _IDLE_POLLS:
                raise MinilxcError("libseccomp gives no answer about these filters: its process stands still")
    finally:
        if not ended:
            os.kill(pid, _signal.SIGKILL)
        with suppress(ChildProcessError):  # the caller may ignore SIGCHLD
            status = os.waitpid(pid, 0)[1]
    if not told:
        how = f" by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else ""
        raise MinilxcError(
            f"libseccomp gave no answer about these filters: its process was ended{how}",
            hint="it needs some seconds on a processor, see 'ulimit -t'" if how else None,
        )
    return told


def _cpu_seconds(pid: int) -> float:
    """The time that a process has had on a processor; 0 where it has just ended. clock_getcpuclockid(3)."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def _report(report: BufferedWriter, default: int, abis: Sequence[Wanted], optimize: int) -> NoReturn:
    """In the child: export, and write what came of it."""
    try:
        _prctl.prctl(_prctl.PR_SET_PDEATHSIG, _signal.SIGKILL)  # nobody else would end a loop
        try:
            told: tuple[str | int | bytes | tuple[int, ...], ...] = (
                "exported",
                *_export(default, abis, optimize),
            )
        except OSError as error:
            told = ("refused", error.errno or errno.EIO)
        except Exception as error:  # noqa: BLE001  it is the caller's to raise
            told = ("failed", repr(error))
        report.write(marshal.dumps(told))
        report.flush()
    finally:
        os._exit(0)  # whatever happens, the caller's code must not go on here
