"""What `minilxc.Policy` is: a seccomp policy, and everything that can be asked of it, for Python.

from minilxc import Policy
policy = Policy.read("web.seccomp")
policy.answer("x86_64", "clone", [0x10000000])        # "errno 1"
policy.answer("x86_64", "clone")                      # None: it depends on the arguments
for found in policy.explain("clone", arch="arm64"):
    print(found.abi.name, found.reasons)
policy.program("ppc64el").encode()                    # the bytes that the kernel takes
policy.check("amd64", "arm64")                        # findings, as `seccomp check` has them
policy.diff(Policy.read("old.seccomp")).differences   # the calls that the two answer otherwise
Policy.from_profile(json_text).to_oci().text          # Docker's and OCI's profiles
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minilxc.errors import PolicyError, UsageError

from . import actions, policy, rules
from . import arch as architectures
from .build import build_rules
from .explain import explain, explain_abi, explain_all
from .source import read

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from .arch import Machine
    from .check import Finding
    from .convert import Converted
    from .diff import Comparison
    from .disassemble import Listed
    from .explain import Explanation
    from .policy import Newer
    from .program import Program
    from .rules import Rules
    from .stats import Stats


class Policy:
    """A policy that has been read and is right in itself. Immutable.

    Machines (`arch`) are words as `--arch` takes them, None is this machine. Rules that answer
    `notify` count as answered. Every method raises PolicyError for what is wrong on that machine.

    name   what messages call it, the file's path
    text   what it was read from
    lines  what it says, one value a line
    """

    __slots__ = ("name", "text", "lines", "_newer", "_rules", "_programs")

    def __init__(self, text: bytes, name: str, newer: str | None = None) -> None:
        """Of `text`, which messages call `name`; `newer` is an action, as "errno ENOSYS". Raises PolicyError."""
        self.name = name
        self.text = text
        self.lines = policy.parse(text, name)
        self._newer: Newer | None = None if newer is None else policy.newer(newer, "newer")
        self._rules: dict[Machine, Rules] = {}
        self._programs: dict[Machine, Program] = {}

    @classmethod
    def read(cls, path: str, *, newer: str | None = None) -> Policy:
        """The policy in the file `path`. `newer` is an action, as "errno ENOSYS". Raises PolicyError."""
        return cls(read(path), path, newer)

    @classmethod
    def from_text(cls, text: str | bytes, name: str = "<policy>", *, newer: str | None = None) -> Policy:
        """The policy in `text`, which messages call `name`. Raises PolicyError."""
        return cls(_bytes(text), name, newer)

    @classmethod
    def from_profile(
        cls,
        text: str | bytes,
        name: str = "<profile>",
        *,
        arch: str | None = None,
        capabilities: Collection[str] = (),
        kernel: tuple[int, ...] | None = None,
    ) -> Policy:
        """The policy that means on a machine what a profile of Docker or OCI (JSON) does there.

        `capabilities` ("CAP_SYS_ADMIN") and `kernel` ((6, 1); None: this one) are what its rules may depend
        on. Raises PolicyError for a wrong profile, and with the first thing that a policy cannot say.
        """
        from . import oci, profile
        from .profile_to_policy import to_policy

        host = oci.Host(_machine(arch), frozenset(capabilities), kernel or oci.this_kernel())
        converted = to_policy(profile.parse(_bytes(text), name), [host])
        _refuse_losses(converted)
        return cls(converted.text.encode(), name)

    def to_oci(self, *archs: str) -> Converted:
        """The `linux.seccomp` of an OCI bundle that means the same on the machines `archs` (none: this one).

        Raises PolicyError with the first thing that it cannot say.
        """
        from .policy_to_profile import to_oci

        converted = to_oci(self.text, self.name, _machines(archs), self._newer)
        _refuse_losses(converted)
        return converted

    def check(self, *archs: str) -> tuple[Finding, ...]:
        """What is wrong or doubtful on the machines `archs` (none: this one), by line, as `seccomp check` has it."""
        from .check import check

        return check(self.text, self.name, _machines(archs), newer=self._newer)

    def diff(self, other: Policy | Program, arch: str | None = None) -> Comparison:
        """The calls that `other`, a policy or a program of the same byte order, answers otherwise on a machine."""
        from .diff import compare

        machine = _machine(arch)
        theirs = other._program_on(machine) if isinstance(other, Policy) else other
        return compare(self._program_on(machine), theirs, machine)

    def stats(self, arch: str | None = None) -> Stats:
        """Sizes, ways and times of the policy's program, and of those that libseccomp makes; it takes a while."""
        from .stats import measure

        return measure(self.text, self.name, _machine(arch), self._newer)

    def listing(self, arch: str | None = None) -> tuple[Listed, ...]:
        """The program for a machine, an instruction each, as `seccomp disasm` shows it."""
        from .disassemble import listing

        return listing(self.program(arch))

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

        `call` is a name, a number of the machine's own ABI, or "all" for every call; `args` are words, None
        where not known. Raises UsageError for what is none of these.
        """
        if call == "all":
            return tuple(explain_all(self.rules(arch)))
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


def _bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


def _refuse_losses(converted: Converted) -> None:
    for loss in converted.losses:
        raise PolicyError(loss.what, loss.where)


def _machines(words: Sequence[str]) -> tuple[Machine, ...]:
    return tuple(dict.fromkeys(map(_machine, words or (None,))))


def _machine(word: str | None) -> Machine:
    return architectures.this_machine() if word is None else architectures.machine_by_word(word)
