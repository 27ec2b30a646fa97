"""What a start calls: a policy's path in, the bytes for the kernel out. On the path of every start.

The second start of a policy finds its programs in the cache and imports neither pyseccomp nor
anything that reads policies; this module and the three that it imports stay free of such.
"""

from __future__ import annotations

import posix

from . import cache
from .source import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .build import Built

INIT_CALLS = (
    *("wait4", "waitid", "rt_sigtimedwait", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "kill"),
    *("exit", "exit_group", "close", "brk", "mmap", "munmap", "futex", "restart_syscall"),
)
"""What minilxc's own process 1 needs to wait for its children, whatever the policy says."""

_POINTER = 0x7F0000001000  # execve's arguments are pointers; a filter may look at them


class Prepared:
    """The programs of a policy, ready for `loader`. Immutable.

    payload  for what runs in the container
    init     for minilxc's process 1 of `execute`: the same policy, and INIT_CALLS are allowed natively
    path     the policy's file
    """

    __slots__ = ("payload", "init", "path")

    def __init__(self, payload: bytes, init: bytes, path: str) -> None:
        self.payload = payload
        self.init = init
        self.path = path


def prepare(
    path: str,
    *,
    machine: str | None,
    cache_dir: str | None,
    notify: bool = False,
    newer: tuple[str, str] | None = None,
    debug: Callable[[str], None] | None = None,
) -> Prepared:
    """Read the policy `path` and get its programs, from the cache where they are there.

    `machine` is a word as `arch.machine_by_word` takes it, None for this machine. `cache_dir` None
    means no cache; one that is not private to us is not used. `notify`: somebody will answer the
    policy's notify rules. `newer` is the action for calls newer than the policy, as it is written, and
    where it is. `debug` is told what the lines mean when they are read, not when the cache
    has the programs.
    Raises PolicyError for a policy that is wrong or under which nothing could start; MinilxcError
    when libseccomp is missing or does not know the machine.
    """
    text = read(path)
    if cache_dir is None:
        return Prepared(*_build(text, path, machine, notify, newer, debug), path)
    name = cache.key(text, path, machine or posix.uname().machine, notify, newer[0] if newer else "")
    found = cache.fetch(cache_dir, name)
    if found is not None and len(found) == 2:
        return Prepared(found[0], found[1], path)
    programs = _build(text, path, machine, notify, newer, debug)
    if not cache.store(cache_dir, name, programs) and debug:
        debug(f"{path}: no usable cache in {cache_dir}")
    return Prepared(*programs, path)


def _build(
    text: bytes,
    path: str,
    machine: str | None,
    notify: bool,
    newer: tuple[str, str] | None,
    debug: Callable[[str], None] | None,
) -> tuple[bytes, bytes]:
    """Compile and verify both programs."""
    from .arch import machine_by_word, this_machine
    from .build import build, build_rules
    from .policy import newer as newer_action
    from .rules import allowing

    target = this_machine() if machine is None else machine_by_word(machine)
    payload = build(
        text, path, target, notify=notify, newer=newer_action(*newer) if newer else None, debug=debug
    )
    _demand_execve(payload)
    init = build_rules(allowing(payload.rules, INIT_CALLS))
    return payload.program.encode(), init.program.encode()


def _demand_execve(built: Built) -> None:
    """Refuse a policy whose program stops the execve(2) that a start ends with."""
    from minilxc.errors import PolicyError

    from . import actions, calls
    from .rules import verdicts

    abi = built.rules.machine.native
    number = calls.table(abi)["execve"]
    args = tuple(_POINTER * (place + 1) for place in range(3)) + (0, 0, 0)
    answer, _ = built.program.simulate(abi.audit, number, args)
    if actions.runs(answer) or answer == actions.NOTIFY:
        return
    where = next(each.where for each in verdicts(built.rules, abi, number, args) if each.action == answer)
    raise PolicyError(f"the policy does not allow execve on {abi.name}, so no program could start", where)
