"""Findings as text: for people and editors, for programs, and for two kinds of CI."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

from minilxc.errors import printable

from .checks import CATALOGUE, ERROR, NOTE, WARNING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .check import Finding

_COLOURS: Final = {ERROR: "\033[1;31m", WARNING: "\033[1;33m", NOTE: "\033[1;36m"}
_PLAIN: Final = "\033[0m"
_SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_COMMANDS: Final = {ERROR: "error", WARNING: "warning", NOTE: "notice"}


def as_text(findings: Sequence[Finding], *, colour: bool = False) -> str:
    """A line each: FILE:LINE: SEVERITY: TEXT (FIX) [CHECK], as compilers write and editors read."""
    lines = []
    for each in findings:
        start, end = (_COLOURS[each.severity], _PLAIN) if colour else ("", "")
        lines.append(
            f"{printable(each.where)}: {start}{each.severity}:{end} {_message(each)} [{each.check}]\n"
        )
    return "".join(lines)


def as_json(findings: Sequence[Finding]) -> str:
    """One document: the findings with the attributes of `Finding`, and how many there are of each severity."""
    document = {
        "findings": [each._asdict() for each in findings],
        **{f"{severity}s": _count(findings, severity) for severity in (ERROR, WARNING, NOTE)},
    }
    return json.dumps(document, indent=2) + "\n"


def as_sarif(findings: Sequence[Finding]) -> str:
    """SARIF 2.1.0, one run; its rules are the catalogue."""
    index = {check.id: number for number, check in enumerate(CATALOGUE)}
    rules: list[dict[str, Any]] = [
        {
            "id": check.id,
            "shortDescription": {"text": check.about},
            "defaultConfiguration": {"level": check.severity},
        }
        for check in CATALOGUE
    ]
    results = []
    for each in findings:
        place: dict[str, Any] = {"artifactLocation": {"uri": _uri(each.path)}}
        if each.line:
            place["region"] = {"startLine": each.line}
        results.append(
            {
                "ruleId": each.check,
                "ruleIndex": index[each.check],
                "level": each.severity,
                "message": {"text": _message(each)},
                "locations": [{"physicalLocation": place}],
            }
        )
    run = {
        "tool": {"driver": {"name": "minilxc", "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def as_github(findings: Sequence[Finding]) -> str:
    """Commands for GitHub's workflows, which show each finding beside its line."""
    lines = []
    for each in findings:
        # bytes that are no text cannot be printed; the runner could not find such a file anyway
        path = os.fsencode(each.path).decode("utf-8", "replace")
        place = f"file={_property(path)}"
        if each.line:
            place += f",line={each.line}"
        command = _COMMANDS[each.severity]
        lines.append(f"::{command} {place},title={_property(each.check)}::{_data(_message(each))}\n")
    return "".join(lines)


FORMATS: Final[dict[str, Callable[[Sequence[Finding]], str]]] = {
    "text": as_text,
    "json": as_json,
    "sarif": as_sarif,
    "github": as_github,
}
"""What `--format` takes."""


def _message(finding: Finding) -> str:
    return printable(f"{finding.text} ({finding.fix})" if finding.fix else finding.text)


def _count(findings: Sequence[Finding], severity: str) -> int:
    return sum(each.severity == severity for each in findings)


def _uri(path: str) -> str:
    """A path as a URI reference (RFC 3986), its bytes percent-encoded."""
    from urllib.parse import quote  # costs 10 ms, for this format alone

    quoted = quote(os.fsencode(path))
    return f"file://{quoted}" if path.startswith("/") else quoted


def _data(text: str) -> str:
    """Escaped as the runner undoes it in a message (actions/toolkit, command.ts)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escaped as the runner undoes it in a property."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
