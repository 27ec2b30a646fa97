"""What `minilxc.Policy` is: a seccomp policy, and everything that can be asked of it, for Python.

from minilxc import Policy
policy = Policy.read("web.seccomp")
policy.answer("x86_64", "clone", [0x10000000])        # "errno 1"
policy.answer("x86_64", "clone")                      # None: it depends on the arguments
for found in policy.explain("clone", arch="arm64"):
    print(found.abi.name, found.reasons)
policy.program("ppc64el").encode()                    # the bytes that the kernel takes
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minilxc.errors import UsageError

from . import actions, policy, rules
from . import arch as architectures
from .build import build_rules
from .explain import explain, explain_abi
from .source import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .arch import Machine
    from .explain import Explanation
    from .policy import Newer
    from .program import Program
    from .rules import Rules


class Policy:
    """A policy that has been read and is right in itself. Immutable.

    Machines (`arch`) are words as `--arch` takes them, None is this machine. Rules that answer
    `notify` count as answered. Every method raises PolicyError for what is wrong on that machine.

    name   what messages call it, the file's path
    lines  what it says, one value a line
    """

    __slots__ = ("name", "lines", "_newer", "_rules", "_programs")

    def __init__(self, lines: policy.Policy, newer: Newer | None = None) -> None:
        """Of parsed `lines`; `newer` answers calls newer than the policy (minilxc.seccomp.newer)."""
        self.name = lines.path
        self.lines = lines
        self._newer = newer
        self._rules: dict[Machine, Rules] = {}
        self._programs: dict[Machine, Program] = {}

    @classmethod
    def read(cls, path: str, *, newer: str | None = None) -> Policy:
        """The policy in the file `path`. `newer` is an action, as "errno ENOSYS". Raises PolicyError."""
        return cls.from_text(read(path), path, newer=newer)

    @classmethod
    def from_text(cls, text: str | bytes, name: str = "<policy>", *, newer: str | None = None) -> Policy:
        """The policy in `text`, which messages call `name`. Raises PolicyError."""
        content = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        return cls(policy.parse(content, name), None if newer is None else policy.newer(newer, "newer"))

    def rules(self, arch: str | None = None) -> Rules:
        """What the policy says on a machine: for each ABI the answers by call number."""
        return self._rules_on(_machine(arch))

    def program(self, arch: str | None = None) -> Program:
        """The program for a machine, verified: `encode()` gives the kernel's bytes, `simulate()` runs it."""
        return self._program_on(_machine(arch))

    def explain(
        self, call: str | int, args: Sequence[int | None] = (), arch: str | None = None
    ) -> tuple[Explanation, ...]:
        """What each ABI of a machine answers to a call, and which lines say so.

        `call` is a name, or a number of the machine's own ABI; `args` are words, None where not known.
        """
        return explain(self.rules(arch), call, args)

    def answer(
        self, abi: str, call: str | int, args: Sequence[int | None] = (), arch: str | None = None
    ) -> str | None:
        """The action for a call of `abi`, as a policy writes it: "allow", "errno 1".

        `abi` is a word as in a section, `call` a name or a number of that ABI. None where the answer
        depends on arguments that are not given. Without `arch` this machine is asked, or where it does
        not have the ABI, the one whose own it is; an ABI that the machine does not have is killed.
        Raises UsageError for a name that the ABI does not have.
        """
        made_by = architectures.abi_by_section(abi)
        if made_by is None:
            raise UsageError(f"unknown ABI '{abi}'")
        machine = _machine(arch)
        if arch is None and made_by not in machine.abis:
            machine = next(each for each in architectures.MACHINES if each.native is made_by)
        if made_by not in machine.abis:
            return actions.word(actions.KILL_THREAD)
        action = explain_abi(self._rules_on(machine), made_by, call, args).action
        return None if action is None else actions.word(action)

    def _rules_on(self, machine: Machine) -> Rules:
        if machine not in self._rules:
            self._rules[machine] = rules.build(self.lines, machine, notify=True, newer=self._newer)
        return self._rules[machine]

    def _program_on(self, machine: Machine) -> Program:
        if machine not in self._programs:
            self._programs[machine] = build_rules(self._rules_on(machine)).program
        return self._programs[machine]

    def __repr__(self) -> str:
        return f"Policy({self.name!r})"


def _machine(word: str | None) -> Machine:
    return architectures.this_machine() if word is None else architectures.machine_by_word(word)
