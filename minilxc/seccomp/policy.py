"""Policy text to lines: the grammar of LXC's seccomp policies, versions 1 and 2.

A policy is checked whole, sections of other machines included, and nothing in it is dropped in
silence: what LXC skips (an unknown call, a tab, junk after a number) is an error here. Each line
keeps its place, so that every later message can point at it. What the lines mean on a machine is
decided in `rules`.
"""

from __future__ import annotations

import errno
import re
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from minilxc.errors import SHORT, PolicyError, suggestion

from . import calls
from .actions import ALLOW, ERRNO, KILL_THREAD, MAX_ERRNO, NOTIFY, WORDS
from .arch import abi_by_section, section_words

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILTERS = 6
"""Arguments of a system call, so tests in a rule."""

MAX_NUMBER = 0x3FFFFFFF
"""The largest number of version 1: any above is an x32 call, another ABI's."""

_KINDS: Final = {
    "allowlist": "allowlist",
    "whitelist": "allowlist",
    "denylist": "denylist",
    "blacklist": "denylist",
}
_OPERATORS: Final = {
    **{op: op for op in ("!=", "<", "<=", "==", ">=", ">", "&=")},
    "SCMP_CMP_NE": "!=",
    "SCMP_CMP_LT": "<",
    "SCMP_CMP_LE": "<=",
    "SCMP_CMP_EQ": "==",
    "SCMP_CMP_GE": ">=",
    "SCMP_CMP_GT": ">",
    "SCMP_CMP_MASKED_EQ": "&=",
}
_BLANKS = " \t"
_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_WORD = re.compile(r"[^ \t\[]+")
_HEX = re.compile(r"0[xX][0-9a-fA-F]+")
_OCTAL = re.compile(r"0[0-7]*")
_DECIMAL = re.compile(r"[1-9][0-9]*")
_DIGITS = re.compile(r"[0-9]+")


class Filter(NamedTuple):
    """One test of argument `arg`, 0 to 5; it holds when `argument op value`, all unsigned 64-bit.

    `op` is "!=", "<", "<=", "==", ">=", ">" or "&=", which holds when (argument & mask) == value.
    `mask` is 0 for every other operator.
    """

    arg: int
    op: str
    value: int
    mask: int


class Line(NamedTuple):
    """One rule of a policy, as it stands there.

    section     name of an ABI, "all", "native", or "" before the first section
    call        a name (version 2), or "" where `number` counts (version 1)
    number      a native call number (version 1), or -1
    action      the kernel's value (`actions`)
    errno_name  set when the errno was given by name: its number depends on the architecture
    filters     all of them must hold
    where       "file:line"
    """

    section: str
    call: str
    number: int
    action: int
    errno_name: str
    filters: tuple[Filter, ...]
    where: str


class Policy(NamedTuple):
    """A whole policy; `path` is the file's name as messages show it.

    `kind` is "allowlist" or "denylist", `default` the action for calls without a rule, `where` the
    place of the line that sets both.
    """

    path: str
    version: int
    kind: str
    default: int
    errno_name: str
    where: str
    lines: tuple[Line, ...]


class Newer(NamedTuple):
    """What calls newer than an allowlist are answered, which the policy itself cannot say.

    action      the kernel's value
    errno_name  set when the errno was given by name, as in a `Line`
    where       the place that says so: "file:line" of a config, or an option
    """

    action: int
    errno_name: str
    where: str


def newer(text: str, where: str) -> Newer:
    """The action `text`, written as in a rule ("errno ENOSYS"). Raises PolicyError with `where`."""
    if not text.strip(_BLANKS):
        raise PolicyError("an action is missing", where, "as in 'errno ENOSYS'")
    action, errno_name, junk = _action(text.strip(_BLANKS), where)
    if junk:
        raise PolicyError(f"'{junk}' after the action", where)
    return Newer(action, errno_name, where)


def parse(text: bytes, path: str) -> Policy:
    """The policy in `text`; `path` is what messages call it. Raises PolicyError for the first wrong line."""
    policy = None
    lines = []
    for item in _items(text, path):
        if isinstance(item, PolicyError):
            raise item
        if isinstance(item, Policy):
            policy = item
        else:
            lines.append(item)
    assert policy is not None  # the first item is a Policy or an error
    return policy._replace(lines=tuple(lines))


def errors(text: bytes, path: str, at_most: int | None = None) -> tuple[PolicyError, ...]:
    """Every error in `text`, one for each wrong line; a wrong version or kind hides all after it.

    `at_most` is how many the caller wants: a suggestion for a wrong name takes milliseconds.
    """
    wrong = (item for item in _items(text, path) if isinstance(item, PolicyError))
    return tuple(islice(wrong, at_most))


def _items(text: bytes, path: str) -> Iterator[Policy | Line | PolicyError]:
    """First the policy without its lines, then its lines; an error in the place of what is wrong."""
    rows = [(f"{path}:{number}", row) for number, row in enumerate(text.split(b"\n"), 1)]
    try:
        policy, rest = _header(path, rows)
    except PolicyError as error:
        yield error
        return
    yield policy
    section = ""
    for where, row in rest:
        try:
            content = _content(row, where)
            if not content:
                continue
            if content.startswith("["):
                section = _section(content, where, policy.version)
            elif policy.version == 1:
                yield _number(content, where)
            else:
                yield _rule(content, where, section, policy.kind)
        except PolicyError as error:
            yield error


# --- the first two lines


def _header(path: str, rows: list[tuple[str, bytes]]) -> tuple[Policy, list[tuple[str, bytes]]]:
    """The policy that version and kind describe, and the rows after them."""
    at = 0
    while at < len(rows) - 1 and not _raw(*rows[at]):
        at += 1
    where, row = rows[at]
    version, _, rest = _raw(where, row).replace("\t", " ").partition(" ")
    if version not in ("1", "2"):
        if not version and at + 1 == len(rows):
            where = f"{path}:1"
        raise PolicyError("the first line of a policy is its version, 1 or 2", where)
    rest = rest.strip(_BLANKS)
    if not rest:
        at += 1
        while at < len(rows) and not _raw(*rows[at]):
            at += 1
        if at == len(rows):
            raise PolicyError("after the version comes 'allowlist' or 'denylist'", where)
        where, row = rows[at]
        rest = _raw(where, row)
    words = rest.partition("#")[0].split()
    if not words or words[0] not in _KINDS:
        raise PolicyError(
            "after the version comes 'allowlist' or 'denylist'" + (f", not '{words[0]}'" if words else ""),
            where,
            suggestion(words[0].lower(), _KINDS) if words else None,
        )
    kind = _KINDS[words[0]]
    default = KILL_THREAD if kind == "allowlist" else ALLOW
    errno_name = ""
    if int(version) == 1:
        if kind != "allowlist":
            raise PolicyError("a policy of version 1 is an allowlist", where, "version 2 has denylists")
        if len(words) > 1:
            raise PolicyError(f"'{words[1]}' after the kind: version 1 has no actions", where)
    elif len(words) > 1:
        default, errno_name, junk = _action(" ".join(words[1:]), where)
        if junk:
            raise PolicyError(f"'{junk}' after the default action", where)
        if default == NOTIFY:
            raise PolicyError("'notify' cannot be the default action", where)
    return Policy(path, int(version), kind, default, errno_name, where, ()), rows[at + 1 :]


# --- one line


def _raw(where: str, row: bytes) -> str:
    """`row` as text, without line end and outer blanks."""
    if b"\0" in row:
        raise PolicyError("a NUL byte", where)
    return row.decode("utf-8", "surrogateescape").removesuffix("\r").strip(_BLANKS)


def _content(row: bytes, where: str) -> str:
    """`row` without comment, line end and outer blanks."""
    return _raw(where, row).partition("#")[0].strip(_BLANKS)


def _section(content: str, where: str, version: int) -> str:
    """The section that `[word]` opens: an ABI's name, "all" or "native"."""
    if version == 1:
        raise PolicyError("version 1 has no sections: its numbers are the native ABI's", where)
    word, closed, junk = content[1:].partition("]")
    word = word.strip(_BLANKS)
    if not closed:
        raise PolicyError("a section without ']'", where)
    if junk.strip(_BLANKS):
        raise PolicyError(f"'{junk.strip(_BLANKS)}' after a section", where)
    if not word:
        raise PolicyError("a section without a name", where)
    if word.lower() in ("all", "native"):
        return word.lower()
    abi = abi_by_section(word)
    if abi is None:
        raise PolicyError(
            f"unknown section [{word}]", where, suggestion(word.lower(), section_words(), SHORT)
        )
    return abi.name


def _number(content: str, where: str) -> Line:
    """A line of version 1: one decimal number."""
    if not _DIGITS.fullmatch(content):
        raise PolicyError(
            f"'{content}' is no system call number: version 1 has one decimal number a line", where
        )
    number = _decimal(content, MAX_NUMBER)
    if number > MAX_NUMBER:
        raise PolicyError(f"{content} is too large for a system call number", where)
    return Line("", "", number, ALLOW, "", (), where)


def _rule(content: str, where: str, section: str, kind: str) -> Line:
    """A line of version 2: a name, an action, filters; the last two may be left out."""
    name, rest = _name(content, where)
    if name == "reject_force_umount":
        if rest:
            raise PolicyError(f"'{rest}' after reject_force_umount, which takes no action", where)
        mnt_force = (Filter(1, "&=", 1, 1),)
        return Line(section, "umount2", -1, ERRNO + errno.EACCES, "", mnt_force, where)
    action = ALLOW if kind == "allowlist" else KILL_THREAD
    errno_name = ""
    if rest and not rest.startswith("["):
        action, errno_name, rest = _action(rest, where)
    return Line(section, name, -1, action, errno_name, _filters(rest, where), where)


def _name(content: str, where: str) -> tuple[str, str]:
    """The system call that a line begins with, and what stands behind it."""
    found = _WORD.match(content)
    assert found is not None  # content begins with neither a blank nor a bracket
    name = found[0]
    if not _NAME.fullmatch(name):
        if _DIGITS.fullmatch(name):
            raise PolicyError(f"'{name}': version 2 names system calls, it has no numbers", where)
        if _NAME.fullmatch(name.lower()):
            raise PolicyError(f"{name}: names of system calls are lower case", where, calls.suggest(name))
        raise PolicyError(f"'{name}' is no name of a system call", where)
    if name != "reject_force_umount" and not calls.known(name):
        raise PolicyError(f"{name}: no architecture has this system call", where, calls.suggest(name))
    return name, content[found.end() :].strip(_BLANKS)


def _action(text: str, where: str) -> tuple[int, str, str]:
    """The action that `text` begins with, the errno's name if it has one, and the rest of `text`."""
    found = _WORD.match(text)
    word = found[0] if found else text
    rest = text[len(word) :].strip(_BLANKS)
    if word in WORDS:
        return WORDS[word], "", rest
    if word == "errno":
        found = _WORD.match(rest)
        word = found[0] if found else ""
        number, errno_name = _errno(word, where)
        return ERRNO + number, errno_name, rest[len(word) :].strip(_BLANKS)
    if word.startswith("errno") and (word[5].isdecimal() or word[5] == "E"):  # glued, as LXC reads it too
        number, errno_name = _errno(word[5:], where)
        return ERRNO + number, errno_name, rest
    raise PolicyError(f"unknown action '{word}'", where, suggestion(word.lower(), (*WORDS, "errno")))


def _errno(word: str, where: str) -> tuple[int, str]:
    """The number that `word` stands for, and `word` itself where it is a name."""
    if not word:
        raise PolicyError("'errno' needs a number or a name, as EPERM", where)
    if _DIGITS.fullmatch(word):
        number = _decimal(word, MAX_ERRNO)
        if number > MAX_ERRNO:
            raise PolicyError(f"errno {word} is above {MAX_ERRNO}", where)
        return number, ""
    named = getattr(errno, word, None) if word[0] == "E" else None
    if not isinstance(named, int):
        if word[0] == "E":
            raise PolicyError(f"unknown errno '{word}'", where)
        raise PolicyError(
            f"'{word}' is no errno: a decimal number from 0 to {MAX_ERRNO}, or a name, as EPERM", where
        )
    return named, word


def _decimal(digits: str, most: int) -> int:
    """`digits` as a number, `most` + 1 for all larger ones: of very long ones python makes no number."""
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= len(str(most)) else most + 1


# --- argument filters


def _filters(text: str, where: str) -> tuple[Filter, ...]:
    """All filters in `text`, which is the end of a rule."""
    filters: list[Filter] = []
    while text:
        if not text.startswith("["):
            what = "the filters" if filters else "the action"
            raise PolicyError(f"'{text}' after {what}", where)
        inside, closed, text = text[1:].partition("]")
        if not closed or "[" in inside:
            raise PolicyError("a filter without ']'", where)
        if len(filters) == MAX_FILTERS:
            raise PolicyError(f"more than {MAX_FILTERS} filters in a rule", where)
        new = _filter([part.strip(_BLANKS) for part in inside.split(",")], where)
        if any(new.arg == old.arg for old in filters):
            raise PolicyError(f"two filters on argument {new.arg} in one rule", where)
        filters.append(new)
        text = text.strip(_BLANKS)
    return tuple(filters)


def _filter(parts: list[str], where: str) -> Filter:
    """The filter `[index,value,op]` or `[index,value,op,mask]`."""
    if len(parts) not in (3, 4):
        raise PolicyError("a filter is [index,value,op] or [index,value,&=,mask]", where)
    if len(parts[0]) > 8 or (index := _uint(parts[0], "index", where)) >= MAX_FILTERS:
        raise PolicyError(f"argument index '{parts[0]}' is not from 0 to 5", where)
    value = _uint(parts[1], "value", where)
    op = _OPERATORS.get(parts[2])
    if op is None:
        raise PolicyError(
            f"unknown operator '{parts[2]}'", where, "one of != < <= == >= > &= or SCMP_CMP_..."
        )
    if op != "&=":
        if len(parts) == 4:
            raise PolicyError(f"a mask with '{parts[2]}': only '&=' takes one", where)
        return Filter(index, op, value, 0)
    if len(parts) == 3:
        raise PolicyError("'&=' needs a mask", where, f"as [{index},{parts[1]},&=,{parts[1]}]")
    mask = _uint(parts[3], "mask", where)
    if value & ~mask:
        raise PolicyError(
            f"value {parts[1]} has bits outside mask {parts[3]}, so the filter never holds", where
        )
    return Filter(index, op, value, mask)


def _uint(text: str, what: str, where: str) -> int:
    """`text` as C reads it: decimal, 0x hexadecimal or 0 octal, at most 64 bits."""
    if len(text) > 100:
        number = 1 << 64
    elif _HEX.fullmatch(text):
        number = int(text, 16)
    elif _OCTAL.fullmatch(text):
        number = int(text, 8)
    elif _DECIMAL.fullmatch(text):
        number = int(text)
    else:
        raise PolicyError(f"{what} '{text}' is no number: decimal, 0x hexadecimal or 0 octal, from 0", where)
    if number >= 1 << 64:
        raise PolicyError(f"{what} '{text}' is larger than 64 bits", where)
    return number
