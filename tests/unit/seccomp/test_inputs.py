"""What a file is, by its content, and what is said when it is of the wrong kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from minilxc.seccomp.arch import machine_by_word
from minilxc.seccomp.build import build
from minilxc.seccomp.inputs import kind_of

from .commands import seccomp

if TYPE_CHECKING:
    from pathlib import Path

MARK = b"\xef\xbb\xbf"
JSON = b'{"defaultAction": "SCMP_ACT_ALLOW"}'
POLICY = b"2\ndenylist\nmknod errno 1\nmknodat errno 1\n"
PROGRAM = build(POLICY, "p", machine_by_word("powerpc")).program.encode()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (POLICY, "policy"),
        (b"\n\t 2 denylist", "policy"),
        (b"", "policy"),
        (MARK + POLICY, "policy"),
        (b"nullify", "policy"),
        (b"\f{}", "policy"),  # no blank of JSON's
        (JSON, "profile"),
        (b"\r\n\t " + JSON, "profile"),
        (MARK + b" " + JSON, "profile"),
        (b"[]", "profile"),
        (b"null\n", "profile"),
        (b' "2" ', "profile"),
        (PROGRAM, "program"),
    ],
)
def test_a_kind_is_told_by_the_content(content: bytes, kind: str) -> None:
    assert kind_of(content) == kind


SHOWS = "('minilxc seccomp disasm' shows it)"
CONVERTS = "('minilxc seccomp convert' makes a policy of a profile)"
SAVE = "f:1: a byte order mark before the version (save it as UTF-8 without one)"
WRONG = [
    (PROGRAM, f"f: this is a compiled program, and no policy {SHOWS}"),
    (JSON, f"f:1: this is JSON, and no policy {CONVERTS}"),
    (MARK + JSON, f"f:1: this is JSON, and no policy {CONVERTS}"),
    (b"null", f"f:1: this is JSON, and no policy {CONVERTS}"),
    (MARK + POLICY, SAVE),
    ("2\ndenylist\n".encode("utf-16"), SAVE),
    (b"\x7fELF" + bytes(60), "f:1: a NUL byte"),
]


@pytest.mark.parametrize("command", ["check", "stats", "compile -o x"])
@pytest.mark.parametrize(("content", "line"), WRONG)
def test_what_is_no_policy_is_told_what_it_is(
    content: bytes, line: str, command: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(content)
    status, out, err = seccomp(*command.split(), "f", cwd=tmp_path)
    if command == "check":
        where, _, what = line.partition(": ")
        assert (status, out, err) == (1, f"{where}: error: {what} [syntax]\n", "")
    else:
        assert (status, out, err) == (1, "", f"{line}\n")


def test_commands_that_take_other_kinds_too(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(POLICY)
    (tmp_path / "f").write_bytes(PROGRAM)
    assert seccomp("convert", "f", cwd=tmp_path) == (1, "", f"{WRONG[0][1]}\n")
    for content in (MARK + POLICY, "2\ndenylist\n".encode("utf-16")):
        (tmp_path / "f").write_bytes(content)
        assert seccomp("convert", "f", cwd=tmp_path) == (1, "", f"{SAVE}\n")
        assert seccomp("diff", "p", "f", cwd=tmp_path) == (2, "", f"{SAVE}\n")
    (tmp_path / "f").write_bytes(b"null")
    assert seccomp("convert", "f", cwd=tmp_path) == (1, "", "f: /: is not an object\n")
    (tmp_path / "f").write_bytes(MARK + JSON)
    assert seccomp("diff", "f", "f", cwd=tmp_path) == (0, "", "")
