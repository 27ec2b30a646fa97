"""What a policy means, a third time: straight from its lines, call by call, with no tables and no programs.

Written to be read beside the description of the language, not to be fast, and sharing nothing with
`minilxc.seccomp.rules`, which it judges. Of minilxc it uses the parsed lines, the names of calls and
the table of architectures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minilxc.seccomp import calls
from minilxc.seccomp.actions import ALLOW, ERRNO, KILL_THREAD, LOG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minilxc.seccomp.arch import Abi, Machine
    from minilxc.seccomp.policy import Filter, Line, Newer, Policy

X32_BIT = 0x40000000


class Reference:
    """A policy on a machine; `answers` says what a call gets."""

    def __init__(self, policy: Policy, machine: Machine, newer: Newer | None = None) -> None:
        self.machine = machine
        self.policy = policy._replace(
            default=_action(policy, policy.default, machine),
            lines=tuple(line._replace(action=_action(line, line.action, machine)) for line in policy.lines),
        )
        self.newer = newer and newer._replace(action=_action(newer, newer.action, machine))
        self.abis = {abi: _OfAbi(self, abi) for abi in machine.abis}
        self.sharing = {
            abi.audit: [each for each in machine.abis if each.audit == abi.audit] for abi in machine.abis
        }

    def answers(self, audit: int, number: int, args: Sequence[int]) -> set[int]:
        """The action; several where rules with filters overlap, as it is libseccomp's to choose among them."""
        abi = self.abi(audit, number)
        return {KILL_THREAD} if abi is None else self.abis[abi].answers(number, args)

    def abi(self, audit: int, number: int) -> Abi | None:
        """Whose call it is. x32 has x86_64's audit value and a bit of its own in its numbers."""
        sharing = self.sharing.get(audit, [])
        for abi in sharing:
            if abi.name == "x32" and number >= X32_BIT:
                return abi
        for abi in sharing:
            if abi.name != "x32":
                return abi
        return None

    def lines(self, audit: int, number: int) -> list[Line]:
        """The lines about a call, its parts included where it is a multiplexer."""
        abi = self.abi(audit, number)
        return [] if abi is None else self.abis[abi].about(number)


class _OfAbi:
    """What the policy says on one ABI."""

    def __init__(self, reference: Reference, abi: Abi) -> None:
        self.abi = abi
        self.policy = reference.policy
        self.default = reference.policy.default
        self.newer = reference.newer
        self.name_of = calls.names(abi)
        self.number_of = calls.table(abi)
        self.top = 2**64 - 1 if abi.wide else 2**32 - 1
        mine = [line for line in self.policy.lines if self.is_for_us(line, reference.machine)]
        self.named: dict[str, list[Line]] = {}  # a section of our own, by its name or as [native]
        self.general: dict[str, list[Line]] = {}  # [all], and what stands before any section
        self.numbered: dict[int, Line] = {}  # version 1
        for line in mine:
            if self.policy.version == 1:
                self.numbered.setdefault(line.number, line)
            elif line.section in (abi.name, "native"):
                self.named.setdefault(line.call, []).append(line)
            else:
                self.general.setdefault(line.call, []).append(line)
        self.highest = self.highest_named()

    def is_for_us(self, line: Line, machine: Machine) -> bool:
        native = self.abi is machine.abis[0]
        match line.section:
            case "all":
                return True
            case "native":
                return native
            case "":
                return native or self.policy.kind == "denylist"
        return line.section == self.abi.name

    def about(self, number: int) -> list[Line]:
        name = self.name_of.get(number, "")
        names = {name, *self.parts(name)}
        return [
            line for scope in (self.named, self.general) for each in names for line in scope.get(each, [])
        ]

    def parts(self, name: str) -> dict[str, int]:
        """The calls behind a multiplexer; none for another call."""
        if not self.abi.multiplexed:
            return {}
        return {"socketcall": calls.SOCKETCALL_PARTS, "ipc": calls.IPC_PARTS}.get(name, {})

    # Answers

    def answers(self, number: int, args: Sequence[int]) -> set[int]:
        words = [word & self.top for word in args]
        if number in self.numbered:
            return {self.numbered[number].action}
        name = self.name_of.get(number, "")
        parts = self.parts(name)
        if parts:
            # the bits that the kernel looks at: "int call", and of ipc's the version stands above
            answer = self.multiplexed(name, parts, 0xFFFF if name == "ipc" else 0xFFFFFFFF, words)
        else:
            answer = self.said(self.named.get(name) or self.general.get(name, []), words)
        if answer is not None:
            return answer
        if self.is_newer(number) and not self.is_named(name):
            assert self.newer is not None
            return {self.newer.action}
        return {self.default}

    def said(self, lines: Sequence[Line], words: Sequence[int]) -> set[int] | None:
        """What the lines of one scope say of a call; None: nothing, so the default counts."""
        for line in lines:
            if self.is_unconditional(line):
                return {line.action}
        matching = {line.action for line in lines if all(_holds(test, words) for test in line.filters)}
        # A filtered rule that says what the default says is as if it were not there.
        return matching - {self.default} or None

    def multiplexed(
        self, name: str, parts: dict[str, int], mask: int, words: Sequence[int]
    ) -> set[int] | None:
        """What socketcall(2) or ipc(2) gets: its own rules, then its parts', in our section, then elsewhere."""
        own = self.said(self.named.get(name, []), words)
        if own is not None:
            return own
        for scope in (self.named, self.general):
            if scope is self.general and name not in self.named:
                own = self.said(self.general.get(name, []), words)
                if own is not None:
                    return own
            if any(self.is_unconditional(line) for line in scope.get(name, [])) and (
                scope is self.named or name not in self.named
            ):
                return None
            denied, allowed = {}, {}
            for call, part in parts.items():
                if call in scope and not (scope is self.general and call in self.named):
                    action = self.part(scope[call], scope is self.named)
                    if action is not None:
                        (allowed if action in (ALLOW, LOG) else denied)[part] = action
            # What denies holds for every spelling of the part, what allows for the plain one.
            if words[0] & mask in denied:
                return {denied[words[0] & mask]}
            if words[0] in allowed:
                return {allowed[words[0]]}
        return None

    def part(self, lines: Sequence[Line], ours: bool) -> int | None:
        """What a part gets, whose arguments no filter can see; None: nothing is said."""
        for line in lines:
            if self.is_unconditional(line):
                return line.action
        for line in lines:
            deny = line.action not in (ALLOW, LOG) and line.action != self.default
            if deny and not any(self.is_impossible(test) for test in line.filters):
                return line.action
        return self.default if ours and self.default not in (ALLOW, LOG) else None

    # Filters that always hold, or never, for words of this size

    def is_unconditional(self, line: Line) -> bool:
        return all(self.is_certain(test) for test in line.filters)

    def is_certain(self, test: Filter) -> bool:
        match test.op:
            case "<":
                return self.top < test.value
            case "<=":
                return self.top <= test.value
            case ">=":
                return test.value == 0
            case "!=":
                return test.value > self.top
            case "&=":
                return test.mask & self.top == 0 and test.value == 0
        return False

    def is_impossible(self, test: Filter) -> bool:
        match test.op:
            case "<":
                return test.value == 0
            case ">":
                return test.value >= self.top
            case "==" | ">=":
                return test.value > self.top
            case "&=":
                return test.value > self.top
        return False

    # Calls newer than the policy

    def is_named(self, name: str) -> bool:
        return any(
            each in scope for each in (name, *self.parts(name)) for scope in (self.named, self.general)
        )

    def highest_named(self) -> int | None:
        """The highest number that the policy names here, of those that the kernel gives in order."""
        numbers = set(self.numbered)
        for name in (*self.named, *self.general):
            if name in self.number_of:
                numbers.add(self.number_of[name])
            if self.abi.multiplexed and name in calls.SOCKETCALL_PARTS:
                numbers.add(self.number_of["socketcall"])
            if self.abi.multiplexed and name in calls.IPC_PARTS:
                numbers.add(self.number_of["ipc"])
        return max((number for number in numbers if not self.is_apart(number)), default=None)

    def is_apart(self, number: int) -> bool:
        """A number out of the kernel's order: arm's private calls, x32's own from 512 on."""
        if self.abi.name == "x32":
            return 512 <= number - X32_BIT < 548
        return self.abi.name == "arm" and 0xF0001 <= number <= 0xF0006

    def is_newer(self, number: int) -> bool:
        if self.newer is None or self.highest is None or number <= self.highest or self.is_apart(number):
            return False
        return number < (2 * X32_BIT if self.abi.name == "x32" else X32_BIT)


def _action(said: Line | Newer | Policy, action: int, machine: Machine) -> int:
    """ENOSYS, by its name, is another number on mips and on parisc."""
    moved = {"mips": 89, "parisc": 251}.get(machine.errnos)
    return ERRNO + moved if said.errno_name == "ENOSYS" and moved else action


def _holds(test: Filter, words: Sequence[int]) -> bool:
    word = words[test.arg]
    match test.op:
        case "==":
            return word == test.value
        case "!=":
            return word != test.value
        case "<":
            return word < test.value
        case "<=":
            return word <= test.value
        case ">":
            return word > test.value
        case ">=":
            return word >= test.value
    return word & test.mask == test.value
