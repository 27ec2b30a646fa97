"""Seccomp profiles of Docker and of the OCI runtime specification, and what they mean here.

A profile is JSON: Docker's (moby's) with its conditions on capabilities, architecture and kernel, or
the `linux.seccomp` of an OCI bundle, alone or within its config.json. Its meaning is what runc and
crun make of it with libseccomp, which in places is not what it looks like:

- An architecture that is not listed is killed; the machine's own is always listed.
- A rule is for every listed architecture; one whose action is the default is no rule. Names that no
  architecture has are ignored. (Names newer than the installed libseccomp are not: see `calls`.)
- The comparisons of a rule must all hold. But where two of them are for the same argument, each
  comparison of that rule is a rule of its own (runc issue 2735; crun does the same).
- Of SCMP_CMP_MASKED_EQ, `value` is the mask and `valueTwo` is compared, as far as the mask goes.
- On architectures of 32-bit words, for libseccomp x32 and n32 too, only the low halves are compared.
- Where calls are multiplexed (socketcall, ipc), comparisons of a rule for a part are made with the
  multiplexer's arguments, the first one aside. So they open more than they say, or nothing.

Two mistakes of libseccomp 2.5.4 are not kept, both in favour of a rule that denies: ipc(2) parts in
another spelling, and parts of a multiplexer on whose pointer a comparison is made; they are denied.
"""

from __future__ import annotations

import errno
import json
import os
import re
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from minilxc.errors import PolicyError, suggestion

from . import actions, calls, rules
from .arch import ABIS, X32_BIT
from .policy import Filter, Line, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from .arch import Abi, Machine
    from .rules import Rules

ACTIONS: Final[Mapping[str, int]] = {
    "SCMP_ACT_ALLOW": actions.ALLOW,
    "SCMP_ACT_KILL": actions.KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": actions.KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": actions.KILL_PROCESS,
    "SCMP_ACT_TRAP": actions.TRAP,
    "SCMP_ACT_ERRNO": actions.ERRNO,
    "SCMP_ACT_TRACE": actions.TRACE,
    "SCMP_ACT_LOG": actions.LOG,
    "SCMP_ACT_NOTIFY": actions.NOTIFY,
}
"""The actions of a profile; to ERRNO and TRACE their number is added."""

OPERATORS: Final[Mapping[str, str]] = {
    "SCMP_CMP_NE": "!=",
    "SCMP_CMP_LT": "<",
    "SCMP_CMP_LE": "<=",
    "SCMP_CMP_EQ": "==",
    "SCMP_CMP_GE": ">=",
    "SCMP_CMP_GT": ">",
    "SCMP_CMP_MASKED_EQ": "&=",
}

# What moby calls the machine in `arches` (its name for GOARCH); elsewhere, the machine's own name.
_MOBY: Final = {
    "i386": "x86",
    "armhf": "arm",
    "ppc64el": "ppc64le",
    "powerpc": "ppc",
    "mipsel64n32": "mips3l64n32",
    "loongarch64": "loong64",
}
# Of machines that no minilxc runs on.
_OTHER_TOKENS: Final = ("SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB")

_EPERM: Final = errno.EPERM
_WITH_NUMBER: Final = (actions.ERRNO, actions.TRACE)
_MAX_DATA = 0xFFFF  # SECCOMP_RET_DATA, for the tracer
_ALL_BITS = (1 << 64) - 1
_LOW = 0xFFFFFFFF
_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})(?:\.([0-9]{1,9}))?")
_HARMLESS_FLAGS: Final = ("SECCOMP_FILTER_FLAG_TSYNC",)  # of a process with one thread
_MOST_ALTERNATIVES = 256  # lines for one rule


class Loss(NamedTuple):
    """Something that the other language cannot say: its place, what it is, and what is done instead."""

    where: str
    what: str
    instead: str


class Condition(NamedTuple):
    """When a group of rules counts (moby's includes or excludes); empty parts ask for nothing.

    `arches` are moby's names of machines, `kernel` is the least version.
    """

    arches: tuple[str, ...]
    caps: tuple[str, ...]
    kernel: tuple[int, ...]


class Group(NamedTuple):
    """An entry of `syscalls`. `alternatives` are the rules that it makes of each name: filters that must all hold."""

    where: str
    names: tuple[str, ...]
    action: int
    alternatives: tuple[tuple[Filter, ...], ...]
    includes: Condition
    excludes: Condition
    comment: str


class Profile(NamedTuple):
    """A profile as it is written; `at` is where it stands: with "/defaultAction" behind it, a place.

    `architectures` are libseccomp's tokens; `by_native` has them by the machine's own (moby's archMap)
    and is None where the profile has no such map. `losses` are what no policy can say of it, `notes`
    what its reader should know (place and text).
    """

    path: str
    at: str
    default: int
    architectures: tuple[str, ...]
    by_native: Mapping[str, tuple[str, ...]] | None
    groups: tuple[Group, ...]
    losses: tuple[Loss, ...]
    notes: tuple[tuple[str, str], ...]


class Host(NamedTuple):
    """Where a profile is to count: the machine, the container's capabilities (CAP_…), the kernel's version."""

    machine: Machine
    caps: frozenset[str]
    kernel: tuple[int, ...]


class Said(NamedTuple):
    """One rule as it counts on an ABI."""

    action: int
    filters: tuple[Filter, ...]
    where: str


def token(abi: Abi) -> str:
    """The name of an ABI in a profile."""
    return f"SCMP_ARCH_{abi.name.upper()}"


def is_profile(text: bytes) -> bool:
    """True when `text` is JSON rather than a policy."""
    return text.lstrip()[:1] in (b"{", b"[")


def this_host(machine: Machine, caps: Iterable[str] = ()) -> Host:
    """A container with the capabilities `caps` on `machine`, under this kernel."""
    return Host(machine, frozenset(caps), this_kernel())


def this_kernel() -> tuple[int, ...]:
    """The version of the running kernel."""
    return version(os.uname().release)


def read_profile(text: bytes, path: str, machine: Machine, host: Host | None = None) -> Rules:
    """The rules of the profile `text` on `machine`, as runc and crun make them; their `where` is the place.

    Without `host` the container has no capabilities and the kernel is this one. Raises PolicyError for
    what is no profile.
    """
    return profile_rules(parse(text, path), host or this_host(machine))


def profile_rules(profile: Profile, host: Host) -> Rules:
    """The rules of `profile` on `host`."""
    said = meaning(profile, host)
    lines = tuple(
        Line(abi.name, call, -1, each.action, "", each.filters, each.where)
        for abi, by_call in said.items()
        for call, found in by_call.items()
        for each in found
    )
    kind = "denylist" if actions.runs(profile.default) else "allowlist"
    policy = Policy(profile.path, 2, kind, profile.default, "", f"{profile.at}/defaultAction", lines)
    built = rules.build(policy, host.machine, notify=True)
    return built._replace(
        abis=tuple(
            each if each.abi in said else each._replace(spans=(_killed(profile, each.abi),))
            for each in built.abis
        )
    )


def _killed(profile: Profile, abi: Abi) -> rules.Span:
    """All numbers of an ABI that is not listed. (libseccomp leaves -1 to x32's sibling, x86_64.)"""
    numbers = range(X32_BIT, _LOW) if abi.base == X32_BIT else range(_LOW + 1)
    return rules.Span(numbers, actions.KILL_THREAD, f"{profile.at}/architectures")


# --- what counts on a machine


def left_out(group: Group, host: Host) -> str:
    """Why the rules of `group` do not count on `host`: what they are for; "" when they do."""
    arch = _MOBY.get(host.machine.name, host.machine.name)
    if arch in group.excludes.arches:
        return f"not for {arch}"
    for cap in group.excludes.caps:
        if cap in host.caps:
            return f"not with {cap}"
    if group.excludes.kernel and host.kernel >= group.excludes.kernel:
        return f"not for Linux {written(group.excludes.kernel)} or later"
    if group.includes.arches and arch not in group.includes.arches:
        return f"for {', '.join(group.includes.arches)}"
    for cap in group.includes.caps:
        if cap not in host.caps:
            return f"with {cap}"
    if group.includes.kernel and host.kernel < group.includes.kernel:
        return f"for Linux {written(group.includes.kernel)} or later"
    return ""


def listed(profile: Profile, machine: Machine) -> tuple[Abi, ...]:
    """The machine's ABIs that are not killed."""
    native = token(machine.native)
    if profile.by_native is None:
        tokens: Iterable[str] = profile.architectures
    else:
        tokens = profile.by_native.get(native, ())
    found = {native, *tokens}
    return tuple(abi for abi in machine.abis if token(abi) in found)


def meaning(
    profile: Profile, host: Host, lost: Callable[[Loss], None] | None = None
) -> dict[Abi, dict[str, tuple[Said, ...]]]:
    """ABI, for those that are listed, to call to the rules for it that libseccomp makes.

    Only calls that the ABI has are there, and only rules that count: one without filters stands alone.
    `lost` is told where rules of filters cannot say what libseccomp makes of a rule.
    """
    tell = lost or _silent
    found = {}
    for abi in listed(profile, host.machine):
        table = calls.table(abi)
        multiplexed = _multiplexed(abi)
        plain: dict[str, Said] = {}
        written: dict[str, list[Said]] = {}
        by_call: dict[str, list[Said]] = {}
        certain: set[str] = set()
        for name, group, filters in _wanted(profile, host):
            ruled = [(name, filters)] if name in table or name in multiplexed else []
            if name in multiplexed and filters and actions.runs(group.action):
                # libseccomp opens the part as far as the comparisons hold for the multiplexer's own arguments
                multiplexer, part = multiplexed[name]
                others = tuple(test for test in filters if test.arg != 0)
                ruled.append((multiplexer, (Filter(0, "==", part, 0), *others)))
            for call, tests in ruled:
                if not tests:
                    plain.setdefault(call, Said(group.action, (), group.where))
                    continue
                written.setdefault(call, []).append(Said(group.action, tests, group.where))
                made = narrowed(abi, tests, group.where, tell)
                by_call.setdefault(call, []).extend(Said(group.action, each, group.where) for each in made)
                if any(len(each) < len(tests) for each in made):
                    certain.add(call)
        for call, as_written in written.items():
            masks = abi.wide and abi.bits == 32 and by_call[call] != as_written
            if call not in plain and (masks or call in certain) and _may_collide(by_call[call]):
                what = f"{call}: which of several rules answers on {abi.name} is up to libseccomp"
                instead = (
                    "a comparison that always holds is left out"
                    if call in certain
                    else f"64 bits are compared on {abi.name}"
                )
                tell(Loss(as_written[-1].where, what, instead))
                by_call[call] = as_written
        # A rule without filters replaces all others, before and after it.
        found[abi] = {call: _in_force(said) for call, said in by_call.items() if said} | {
            call: (said,) for call, said in plain.items()
        }
    return found


def _may_collide(said: Sequence[Said]) -> bool:
    """True when two rules with different actions may hold for one call; of their tests only masks are looked at."""
    tests = [(each.action, {test.arg: test for test in each.filters if test.op == "&="}) for each in said]
    return any(
        action != other and not any(_exclude(mine[arg], yours[arg]) for arg in mine.keys() & yours.keys())
        for place, (action, mine) in enumerate(tests)
        for other, yours in tests[:place]
    )


def _exclude(one: Filter, other: Filter) -> bool:
    """True for masked values that no word has both."""
    return bool((one.value ^ other.value) & one.mask & other.mask)


def _wanted(profile: Profile, host: Host) -> Iterator[tuple[str, Group, tuple[Filter, ...]]]:
    """Every rule that counts: name, group, and what must hold."""
    for group in profile.groups:
        if group.action != profile.default and not left_out(group, host):
            for name in group.names:
                for filters in group.alternatives:
                    yield name, group, filters


def _multiplexed(abi: Abi) -> Mapping[str, tuple[str, int]]:
    """Call to the multiplexer that it is a part of on `abi`, and its number there."""
    if not abi.multiplexed:
        return {}
    return {name: ("socketcall", part) for name, part in calls.SOCKETCALL_PARTS.items()} | {
        name: ("ipc", part) for name, part in calls.IPC_PARTS.items()
    }


def _in_force(said: Sequence[Said]) -> tuple[Said, ...]:
    """The rules of one call that have an effect: the first without filters, or else each once."""
    for each in said:
        if not each.filters:
            return (each,)
    found: dict[tuple[frozenset[Filter], int], Said] = {}
    for each in said:
        found.setdefault((frozenset(each.filters), each.action), each)
    return tuple(found.values())


def _silent(_: Loss) -> None:
    """For callers who do not listen."""


# --- comparisons of 32 bits


def narrowed(
    abi: Abi, filters: tuple[Filter, ...], where: str, lost: Callable[[Loss], None] | None = None
) -> list[tuple[Filter, ...]]:
    """Filters for `abi` that hold, any one of them, where libseccomp's of `filters` do."""
    if abi.bits == 64:
        return [tuple(test for test in filters if not _always(test, _ALL_BITS))]
    ways = [_low_half(test, abi.wide) for test in filters]
    if prod(map(len, ways)) > _MOST_ALTERNATIVES:
        # on x32 and n32: many lines for calls that hardly a kernel has
        what = f"{len(ways)} comparisons of 32 bits on {abi.name}, which would take too many lines"
        (lost or _silent)(Loss(where, what, "they are made with 64 bits"))
        return [filters]
    return [tuple(test for each in chosen for test in each) for chosen in product(*ways)]


def _always(test: Filter, top: int) -> bool:
    """True when the filter holds for every word up to `top`."""
    match test.op:
        case "&=":
            return not test.mask
        case ">=":
            return test.value == 0
        case "<=":
            return test.value == top
    return False


def _low_half(test: Filter, wide: bool) -> list[tuple[Filter, ...]]:
    """What compares the low half of an argument as libseccomp does: one way, several, or none; () always holds.

    A word of 64 bits (`wide`) needs masks for that: one for each bit in which it may differ.
    """
    arg, op, value, mask = test.arg, test.op, test.value & _LOW, test.mask & _LOW
    if _always(Filter(arg, op, value, mask), _LOW):
        return [()]
    if (op == "<" and value == 0) or (op == ">" and value == _LOW):
        return []
    if not wide:
        return [(Filter(arg, op, value, mask),)]
    if op in ("==", "&="):
        return [(Filter(arg, "&=", value, mask if op == "&=" else _LOW),)]
    if op == "<=":
        op, value = "<", value + 1
    elif op == ">=":
        op, value = ">", value - 1
    ways: list[tuple[Filter, ...]] = []
    for bit in (1 << place for place in reversed(range(32))):
        # the words that are as `value` above this bit, and other in it
        above = _LOW & ~(2 * bit - 1)
        if op == "!=":
            ways.append((Filter(arg, "&=", ~value & bit, bit),))
        elif bool(value & bit) == (op == "<"):
            ways.append((Filter(arg, "&=", value & above | ~value & bit, above | bit),))
    return ways


# --- JSON to a profile


class _Wrong(Exception):
    """Something is wrong at a place (JSON pointer) of the document."""

    def __init__(self, pointer: str, what: str, hint: str | None = None) -> None:
        super().__init__(pointer, what, hint)
        self.pointer = pointer
        self.what = what
        self.hint = hint


def parse(text: bytes, path: str) -> Profile:
    """The profile in `text`. Raises PolicyError, whose `where` is "path: /json/pointer" or "path:line"."""
    try:
        document = json.loads(text.decode("utf-8-sig"), object_pairs_hook=_object)
    except UnicodeDecodeError:
        raise PolicyError("this is not UTF-8", path) from None
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:]
        raise PolicyError(
            f"this is not JSON: {what} (column {error.colno})", f"{path}:{error.lineno}"
        ) from None
    except RecursionError:
        raise PolicyError("this is nested too deeply for a profile", path) from None
    except _Wrong as wrong:
        raise PolicyError(wrong.what, path) from None
    except ValueError as error:  # a number with thousands of digits
        raise PolicyError(f"this is not JSON: {error}", path) from None
    try:
        return _Parser(path).document(document)
    except _Wrong as wrong:
        raise PolicyError(wrong.what, f"{path}: {wrong.pointer or '/'}", wrong.hint) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. The runtimes do not agree which of two values counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Wrong("", f"an object has the key {next(n for n in names if names.count(n) > 1)!r} twice")
    return found


class _Parser:
    """Reads one document; `losses` and `notes` gather on the way."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.losses: list[Loss] = []
        self.notes: list[tuple[str, str]] = []

    def place(self, pointer: str) -> str:
        return f"{self.path}: {pointer or '/'}"

    def document(self, value: Any) -> Profile:
        """A profile, or a bundle's config with one in it."""
        found = _is(dict, value, "")
        if "linux" in found or "ociVersion" in found:
            linux = _is(dict, found.get("linux"), "/linux")
            if linux.get("seccomp") is None:
                raise _Wrong("/linux/seccomp", "there is no seccomp profile")
            return self.profile(_is(dict, linux["seccomp"], "/linux/seccomp"), "/linux/seccomp")
        return self.profile(found, "")

    def profile(self, found: dict[str, Any], at: str) -> Profile:
        self.known(
            found,
            at,
            "defaultAction defaultErrnoRet defaultErrno architectures archMap flags listenerPath "
            "listenerMetadata syscalls",
        )
        default = self.action(found, at, "defaultAction", "defaultErrnoRet", "defaultErrno")
        if default == actions.NOTIFY:
            raise _Wrong(f"{at}/defaultAction", "SCMP_ACT_NOTIFY cannot be the default")
        architectures = tuple(_each(str, found, "architectures", at, _check_token))
        by_native = None
        if found.get("archMap"):
            if architectures:
                raise _Wrong(f"{at}/archMap", "stands beside 'architectures': only one of them may be there")
            by_native = self.arch_map(found, at)
        for place, flag in _items(str, found, "flags", at):
            if flag not in _HARMLESS_FLAGS:
                self.losses.append(
                    Loss(self.place(place), f"{flag}: a policy has no flags", "it is left out")
                )
        for key in ("listenerPath", "listenerMetadata"):
            if found.get(key):
                what = f"a policy does not name who answers SCMP_ACT_NOTIFY ({key})"
                self.losses.append(Loss(self.place(f"{at}/{key}"), what, "it is left out"))
        groups = tuple(self.group(group, place) for place, group in _items(dict, found, "syscalls", at))
        return Profile(
            self.path,
            f"{self.path}: {at}",
            default,
            architectures,
            by_native,
            groups,
            tuple(self.losses),
            tuple(self.notes),
        )

    def known(self, found: dict[str, Any], at: str, names: str) -> None:
        """Note keys that mean nothing to anybody."""
        for key in found:
            if key not in names.split():
                hint = suggestion(key, names.split())
                text = f"the key is ignored, as the runtimes do{f' ({hint})' if hint else ''}"
                self.notes.append((self.place(f"{at}/{_escaped(key)}"), text))

    def arch_map(self, found: dict[str, Any], at: str) -> dict[str, tuple[str, ...]]:
        """Native token to all that are listed with it; of two entries for one, the first counts."""
        by_native: dict[str, tuple[str, ...]] = {}
        for place, entry in _items(dict, found, "archMap", at):
            self.known(entry, place, "architecture subArchitectures")
            native = _check_token(
                _is(str, entry.get("architecture"), f"{place}/architecture"), f"{place}/architecture"
            )
            others = _each(str, entry, "subArchitectures", place, _check_token)
            by_native.setdefault(native, (native, *others))
        return by_native

    def group(self, found: dict[str, Any], at: str) -> Group:
        self.known(found, at, "name names action errnoRet errno args comment includes excludes")
        names = tuple(name for _, name in _items(str, found, "names", at))
        if found.get("name"):
            if names:
                raise _Wrong(f"{at}/name", "stands beside 'names': only one of them may be there")
            names = (_is(str, found["name"], f"{at}/name"),)
        comment = found.get("comment")
        return Group(
            self.place(at),
            names,
            self.action(found, at, "action", "errnoRet", "errno"),
            self.alternatives(found, at),
            self.condition(found, at, "includes"),
            self.condition(found, at, "excludes"),
            "" if comment is None else _is(str, comment, f"{at}/comment"),
        )

    def action(self, found: dict[str, Any], at: str, key: str, number_key: str, name_key: str) -> int:
        """The kernel's value of an action; without a number, ERRNO and TRACE have EPERM's."""
        word = found.get(key)
        if word is None:
            raise _Wrong(f"{at}/{key}", "is missing")
        action = ACTIONS.get(_is(str, word, f"{at}/{key}"))
        if action is None:
            raise _Wrong(f"{at}/{key}", f"unknown action '{word}'", suggestion(word, ACTIONS))
        number = _EPERM
        if found.get(number_key) is not None:
            number = _uint(found[number_key], f"{at}/{number_key}")
        if found.get(name_key):  # containers/common, where it wins
            number = _errno(_is(str, found[name_key], f"{at}/{name_key}"), f"{at}/{name_key}")
        if action not in _WITH_NUMBER:
            return action
        top = actions.MAX_ERRNO if action == actions.ERRNO else _MAX_DATA
        if number > top:
            raise _Wrong(f"{at}/{number_key}", f"{number} is above {top}")
        return action + number

    def alternatives(self, found: dict[str, Any], at: str) -> tuple[tuple[Filter, ...], ...]:
        """The rules that the comparisons of an entry make."""
        tests = tuple(self.comparison(arg, place) for place, arg in _items(dict, found, "args", at))
        if len({test.arg for test in tests}) < len(tests):
            text = "an argument is compared more than once, so each comparison is a rule of its own"
            self.notes.append((self.place(f"{at}/args"), text))
            return tuple((test,) for test in tests)
        return (tests,)

    def comparison(self, found: dict[str, Any], at: str) -> Filter:
        self.known(found, at, "index value valueTwo op")
        for key in ("index", "value", "op"):
            if found.get(key) is None:
                raise _Wrong(f"{at}/{key}", "is missing")
        index = _uint(found["index"], f"{at}/index")
        if index > 5:
            raise _Wrong(f"{at}/index", f"{index} is not from 0 to 5")
        op = OPERATORS.get(_is(str, found["op"], f"{at}/op"))
        if op is None:
            raise _Wrong(f"{at}/op", f"unknown operator '{found['op']}'", suggestion(found["op"], OPERATORS))
        value = _uint(found["value"], f"{at}/value")
        second = _uint(found.get("valueTwo") or 0, f"{at}/valueTwo")
        if op == "&=":
            return Filter(index, op, second & value, value)
        return Filter(index, op, value, 0)

    def condition(self, found: dict[str, Any], at: str, key: str) -> Condition:
        value = found.get(key)
        if value is None:
            return Condition((), (), ())
        place = f"{at}/{key}"
        _is(dict, value, place)
        self.known(value, place, "arches caps minKernel")
        kernel: tuple[int, ...] = ()
        if value.get("minKernel"):
            word = _is(str, value["minKernel"], f"{place}/minKernel")
            kernel = version(word)
            if not kernel:
                raise _Wrong(f"{place}/minKernel", f"'{word}' is no version, such as 4.8")
        arches = tuple(word for _, word in _items(str, value, "arches", place))
        caps = tuple(word for _, word in _items(str, value, "caps", place))
        return Condition(arches, caps, kernel)


def version(word: str) -> tuple[int, ...]:
    """The numbers of a kernel's version at the beginning of "6.1.0-13-amd64"; () when `word` has none."""
    found = _VERSION.match(word)
    return tuple(int(number or 0) for number in found.groups()) if found else ()


def written(kernel: tuple[int, ...]) -> str:
    """A version as it is written: 4.8."""
    return ".".join(map(str, kernel[:2] if not any(kernel[2:]) else kernel))


def _escaped(key: str) -> str:
    """`key` as a part of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


_KINDS: Final[Mapping[type, str]] = {dict: "an object", list: "a list", str: "a text"}


def _is(kind: type, value: Any, at: str) -> Any:
    """`value`, which must be of a kind."""
    if not isinstance(value, kind):
        raise _Wrong(at, "is missing" if value is None else f"is not {_KINDS[kind]}")
    return value


def _items(kind: type, found: dict[str, Any], key: str, at: str) -> list[tuple[str, Any]]:
    """The members of the list `key`, each with its place; [] where there is no list."""
    if found.get(key) is None:
        return []
    place = f"{at}/{key}"
    return [
        (f"{place}/{number}", _is(kind, item, f"{place}/{number}"))
        for number, item in enumerate(_is(list, found[key], place))
    ]


def _each(
    kind: type, found: dict[str, Any], key: str, at: str, check: Callable[[Any, str], Any]
) -> list[Any]:
    return [check(item, place) for place, item in _items(kind, found, key, at)]


def _check_token(word: str, at: str) -> str:
    """`word`, the name of an architecture."""
    tokens = (*map(token, ABIS), *_OTHER_TOKENS)
    if word not in tokens:
        raise _Wrong(at, f"unknown architecture '{word}'", suggestion(word, tokens))
    return word


def _uint(value: Any, at: str) -> int:
    """`value`, a number of at most 64 bits."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Wrong(at, "is no whole number")
    if not 0 <= value <= _ALL_BITS:
        raise _Wrong(at, f"{value} is negative" if value < 0 else "is larger than 64 bits")
    return value


def _errno(word: str, at: str) -> int:
    number = getattr(errno, word, None) if word.startswith("E") else None
    if not isinstance(number, int):
        raise _Wrong(at, f"unknown errno '{word}'")
    return number
