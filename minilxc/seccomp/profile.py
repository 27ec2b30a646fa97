"""Seccomp profiles of Docker and of the OCI runtime specification: JSON to values.

A profile is Docker's (moby's), with its conditions on capabilities, architecture and kernel, or the
`linux.seccomp` of an OCI bundle, alone or within its config.json. What one means is decided in `oci`.
"""

from __future__ import annotations

import errno
import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from minilxc.errors import PolicyError, suggestion

from . import actions
from .arch import ABIS
from .policy import Filter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .arch import Abi

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

# Of machines that no minilxc runs on.
_OTHER_TOKENS: Final = ("SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB")

_EPERM: Final = errno.EPERM
_WITH_NUMBER: Final = (actions.ERRNO, actions.TRACE)
_MAX_DATA = 0xFFFF  # SECCOMP_RET_DATA, for the tracer
_ALL_BITS = (1 << 64) - 1
_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})(?:\.([0-9]{1,9}))?")
_RUNTIME: Final = ("flags", "listenerPath", "listenerMetadata")
_HARMLESS_FLAGS: Final = ("SECCOMP_FILTER_FLAG_TSYNC",)  # of a process with one thread


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
    and is None where the profile has no such map. `runtime` are the keys that are about how the filter is
    loaded, as they are written. `losses` are what no policy can say of it, `notes` what its reader should
    know (place and text).
    """

    path: str
    at: str
    default: int
    architectures: tuple[str, ...]
    by_native: Mapping[str, tuple[str, ...]] | None
    groups: tuple[Group, ...]
    runtime: Mapping[str, Any]
    losses: tuple[Loss, ...]
    notes: tuple[tuple[str, str], ...]


def token(abi: Abi) -> str:
    """The name of an ABI in a profile."""
    return f"SCMP_ARCH_{abi.name.upper()}"


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
        for key in _RUNTIME[1:]:
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
            {key: found[key] for key in _RUNTIME if found.get(key)},
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
        raise _Wrong(at, "is missing" if value is None and at else f"is not {_KINDS[kind]}")
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
