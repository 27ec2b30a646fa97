"""What is wrong and what is doubtful in a policy, on any machines: policy text in, findings out.

A policy with errors gets these alone: what the rest means is not known before they are mended.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from minilxc.errors import PolicyError, printable

from . import actions
from . import policy as policies
from . import rules as ruling
from .arch import abi_by_section, machine_by_word
from .build import build_rules
from .checks import BY_ID, CATALOGUE, ERROR, NOTE, WARNING
from .checks.subject import Subject
from .compiler import MAX_FILTERED, refusals
from .inputs import expect_policy
from .wording import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .arch import Machine
    from .build import Built
    from .checks.subject import Found
    from .policy import Newer, Policy

MACHINES: Final = ("amd64", "i386", "arm64", "armhf", "ppc64el", "powerpc")
"""The machines that a policy is checked for unless the user says otherwise."""

MAX_ERRORS: Final = 1000
"""Wrong lines that are told of one file."""

_LONG: Final = 300
_EXCEPTION: Final = re.compile(r"#\s*check accepts\b\s*([^:]*)(?::\s*(\S.*))?")


class Finding(NamedTuple):
    """One thing that is wrong (error), doubtful (warning) or worth knowing (note) in a policy.

    severity       "error", "warning" or "note"
    check          the kind, an id of `checks.CATALOGUE`
    path, line     the place; line is 0 where a whole file is meant
    text           what is wrong, one printable line
    fix            what would be right, "" where that is not sure
    architectures  ABIs on which it holds (of an errno name: machines); empty where they do not matter
    """

    severity: str
    check: str
    path: str
    line: int
    text: str
    fix: str
    architectures: tuple[str, ...]

    @property
    def where(self) -> str:
        """ "file:line", or the file alone."""
        return f"{self.path}:{self.line}" if self.line else self.path


def check(
    text: bytes, path: str, machines: Sequence[Machine], *, newer: Newer | None = None
) -> tuple[Finding, ...]:
    """Everything to say about the policy `text`, which findings call `path`, by line.

    `machines` are those to judge for, `newer` is what calls newer than an allowlist are answered.
    Raises MinilxcError when libseccomp is missing or does not know a machine, PolicyError when `newer`
    has an errno whose number is not known for one.
    """
    try:
        policy = policies.parse(text, path)
    except PolicyError:
        try:
            expect_policy(text, path)
        except PolicyError as error:
            return (of_error(error, "syntax", path),)
        return _sorted(_syntax(text, path))
    wrong = [*_newer(policy, machines, newer), *_errno_names(policy, machines), *_too_many(policy)]
    if wrong:
        return _sorted(wrong)
    try:
        built = [_build(policy, machine, newer) for machine in machines]
    except PolicyError as error:
        return _sorted(_uncompilable(policy, machines)) or (of_error(error, "compile", path),)
    subject = Subject(policy, built, _sections(text, path), newer)
    found = [
        _finding(kind.id, policy, each)
        for kind in CATALOGUE
        if kind.find is not None
        for each in kind.find(subject)
    ]
    accepted, bad = _exceptions(text, path)
    left = [each for each in found if each.check not in accepted.get(each.line, ())]
    return _sorted([*bad, *left, *_unused(accepted, found, subject)])


def default_machines() -> tuple[Machine, ...]:
    """The machines of MACHINES."""
    return tuple(machine_by_word(word) for word in MACHINES)


def of_error(error: PolicyError, kind: str, path: str) -> Finding:
    """The finding that an error is. `path` is the file's, of which `error` names a line or the whole."""
    return Finding(
        ERROR, kind, path, _line(error.where or path, path), _clear(error.what), error.hint or "", ()
    )


def failed(findings: Iterable[Finding], *, strict: bool) -> bool:
    """Whether a check fails: any error does, with `strict` any warning; notes never do."""
    return any(each.severity == ERROR or (strict and each.severity == WARNING) for each in findings)


# --- errors


def _syntax(text: bytes, path: str) -> Iterator[Finding]:
    """What is wrong in a text that does not parse."""
    errors = policies.errors(text, path, MAX_ERRORS + 1)
    for error in errors[:MAX_ERRORS]:
        yield of_error(error, "syntax", path)
    if len(errors) > MAX_ERRORS:
        last = _line(errors[MAX_ERRORS].where or path, path)
        yield Finding(
            ERROR,
            "syntax",
            path,
            last,
            f"more than {MAX_ERRORS} wrong lines: this looks like no policy",
            "",
            (),
        )


def _newer(policy: Policy, machines: Sequence[Machine], newer: Newer | None) -> Iterator[Finding]:
    """That newer calls cannot have an answer of their own. Raises PolicyError for an errno without a number."""
    if newer is None:
        return
    plain = policy._replace(errno_name="", lines=())
    for machine in machines:
        ruling.build(plain._replace(default=actions.KILL_THREAD), machine, notify=True, newer=newer)
    try:
        ruling.build(plain, machines[0], notify=True, newer=newer)
    except PolicyError as error:
        line = _line(policy.where, policy.path)
        yield Finding(ERROR, "newer", policy.path, line, printable(f"{error.where}: {error.what}"), "", ())


def _errno_names(policy: Policy, machines: Sequence[Machine]) -> Iterator[Finding]:
    """The errno names whose numbers are not known, each once."""
    named = [line for line in policy.lines if line.errno_name]
    alone = [policy._replace(lines=()), *(policy._replace(errno_name="", lines=(line,)) for line in named)]
    for part in alone:
        on = []
        error = None
        for machine in machines:
            try:
                ruling.build(part, machine, notify=True)
            except PolicyError as caught:
                on.append(machine.name)
                error = caught
        if error is not None:
            name = part.lines[0].errno_name if part.lines else part.errno_name
            yield Finding(
                ERROR,
                "errno-name",
                policy.path,
                _line(error.where or policy.path, policy.path),
                f"errno {name} has its own number on {listed(on)}",
                error.hint or "",
                tuple(on),
            )


def _too_many(policy: Policy) -> Iterator[Finding]:
    """Calls with so many filtered rules that nobody would wait for the program."""
    count: dict[str, int] = {}
    for line in policy.lines:
        if line.filters:
            count[line.call] = count.get(line.call, 0) + 1
            if count[line.call] == MAX_FILTERED + 1:
                text = (
                    f"{line.call}: more than {MAX_FILTERED} rules with filters for one call are not checked"
                )
                yield Finding(ERROR, "compile", policy.path, _line(line.where, policy.path), text, "", ())


def _uncompilable(policy: Policy, machines: Sequence[Machine]) -> Iterator[Finding]:
    """The rules of which no program can be made, as a rule beside an earlier one; each once."""
    told: dict[tuple[str, str], list[str]] = {}
    for machine in machines:
        for abi, error in refusals(ruling.build(policy, machine, notify=True)):
            on = told.setdefault((error.where or "", error.what), [])
            if abi.name not in on:
                on.append(abi.name)
    for (where, what), on in told.items():
        yield Finding(ERROR, "compile", policy.path, _line(where, policy.path), what, "", tuple(on))


def _build(policy: Policy, machine: Machine, newer: Newer | None) -> Built:
    """The policy's program, verified. Raises PolicyError."""
    return build_rules(ruling.build(policy, machine, notify=True, newer=newer))


# --- findings


def _finding(kind: str, policy: Policy, found: Found) -> Finding:
    """What was found, at the line of the default where its place is none of the policy's (`newer`)."""
    line = _line(found.where, policy.path) or _line(policy.where, policy.path)
    text = printable(found.text)
    return Finding(BY_ID[kind].severity, kind, policy.path, line, text, found.fix, found.on)


def _clear(text: str) -> str:
    """An error's text as one line that can be read, whatever it quotes."""
    line = printable(text)
    return line if len(line) <= _LONG else f"{line[: _LONG // 2]}...{line[-_LONG // 3 :]}"


def _line(where: str, path: str) -> int:
    """The line of "file:line"; 0 for the file alone."""
    number = where.removeprefix(path).removeprefix(":")
    return int(number) if number.isdecimal() else 0


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """By line, the gravest of a line first; each once."""
    order = (ERROR, WARNING, NOTE)
    once = dict.fromkeys(findings)
    return tuple(
        sorted(once, key=lambda each: (each.line, order.index(each.severity), each.check, each.text))
    )


# --- exceptions


def _exceptions(text: bytes, path: str) -> tuple[dict[int, dict[str, int]], list[Finding]]:
    """Line to the kinds which a comment "check accepts ID: REASON" accepts there, and wrong such comments.

    Each kind comes with the comment's own line. A comment that stands alone on its line is for the next
    line with something else on it.
    """
    accepted: dict[int, dict[str, int]] = {}
    bad = []
    waiting: dict[str, int] = {}
    for number, row in enumerate(text.decode("utf-8", "surrogateescape").split("\n"), 1):
        content, mark, comment = row.partition("#")
        found = _EXCEPTION.match(mark + comment)
        if found:
            kinds = [word for word in re.split(r"[,\s]+", found[1]) if word]
            unknown = [kind for kind in kinds if kind not in BY_ID or BY_ID[kind].severity == ERROR]
            if unknown or not kinds or not found[2]:
                said = f"'{unknown[0]}' is no warning" if unknown else "it needs an id and a reason"
                bad.append(
                    Finding(
                        WARNING,
                        "exception",
                        path,
                        number,
                        printable(f"'check accepts' without effect: {said}"),
                        "write '# check accepts ID: REASON'",
                        (),
                    )
                )
            else:
                waiting |= dict.fromkeys(kinds, number)
        if content.strip():
            accepted[number] = waiting
            waiting = {}
    if waiting:
        accepted[0] = waiting  # nothing follows
    return accepted, bad


def _unused(
    accepted: dict[int, dict[str, int]], found: Iterable[Finding], subject: Subject
) -> Iterator[Finding]:
    """The exceptions of which nothing was found that they accept."""
    told = {(each.line, each.check) for each in found}
    for line, kinds in accepted.items():
        for kind, number in kinds.items():
            if (line, kind) not in told and kind != "unread-section":  # which hangs on the machines asked for
                machines = listed(machine.name for machine in subject.machines)
                what = f"'check accepts {kind}': on {machines} there is nothing to accept"
                yield Finding(NOTE, "unused-exception", subject.policy.path, number, what, "", ())


# --- sections


def _sections(text: bytes, path: str) -> Iterator[tuple[str, str]]:
    """The place and the name of each section in a text that is right: an ABI's, "all" or "native"."""
    for number, row in enumerate(text.decode("utf-8", "surrogateescape").split("\n"), 1):
        content = row.partition("#")[0].strip()
        if content.startswith("["):
            word = content[1:].partition("]")[0].strip()
            abi = abi_by_section(word)
            yield f"{path}:{number}", abi.name if abi else word.lower()
