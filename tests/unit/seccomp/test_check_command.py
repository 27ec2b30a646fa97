"""minilxc seccomp check, as a user, an editor and two kinds of CI meet it."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minilxc.cli.seccomp import run
from minilxc.seccomp.check import Finding
from minilxc.seccomp.checks import CATALOGUE
from minilxc.seccomp.report import as_github, as_json, as_sarif, as_text

from .commands import ROOT, on_a_terminal, seccomp

D = b"2\ndenylist\n"
LINE = re.compile(r"(?P<where><stdin>(:[1-9][0-9]*)?): (error|warning|note): \S.* \[[a-z0-9-]+\]")


@pytest.fixture
def check_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run `check -` on bytes in this process: (exit status, lines of output)."""

    def checked(data: bytes, *options: str) -> tuple[int, list[str]]:
        (tmp_path / "input").write_bytes(data)
        with open(tmp_path / "input") as file:
            monkeypatch.setattr(sys, "stdin", file)
            status = run(["check", *options, "-"])
        out, err = capsys.readouterr()
        assert err == ""
        return status, out.splitlines()

    return checked


# input, and how many things are wrong in it
BROKEN = [
    # nothing, or not a policy at all
    (b"", 1), (b"\n", 1), (b"\n\n\n", 1), (b" ", 1), (b"\r\n", 1), (b"\0", 1), (b"\xff", 1),
    (b"\xef\xbb\xbf2\ndenylist\n", 1),
    (b"\x7fELF\x02\x01\x01" + bytes(64), 1), (b"\x1f\x8b\x08\0\0\0", 1), (bytes(range(256)), 1),
    (b"#!/bin/sh\necho\n", 1),
    (b'{"defaultAction": "SCMP_ACT_ERRNO"}', 1), (b"lxc.uts.name = x\n", 1), (b"\xfe\xff\0" + b"2\0\n", 1),
    (b"2" * 100000, 1), (b"\n" * 100000, 1), (random.Random(4).randbytes(5000), 1), (b"x" * (1 << 20), 1),
    (b"x" * ((1 << 20) + 1), 1), (bytes(2 << 20), 1), (b"\t2denylist", 1), (b"2\x0bdenylist", 1),
    (b"2\xc2\xa0denylist", 1),
    # the version
    (b"0\ndenylist\n", 1), (b"3\ndenylist\n", 1), (b"2.0\ndenylist\n", 1), (b"two\ndenylist\n", 1),
    (b"-2\ndenylist\n", 1),
    (b"02\ndenylist\n", 1), (b"2,\ndenylist\n", 1), (b"# policy\n2\ndenylist\n", 1), (b"denylist\n2\n", 1),
    (b"2denylist\n", 1),
    # the kind and the default
    (b"2", 1), (b"2\n", 1), (b"2\n\n\n", 1), (b"2\n# denylist\n", 1), (b"2\nmknod\n", 1), (b"2\nDenylist\n", 1),
    (b"2\ndenylists\n", 1), (b"2\ndenylist denylist\n", 1), (b"2\ndenylist frob\n", 1), (b"2\ndenylist errno\n", 1),
    (b"2\ndenylist errno 4095\n", 1), (b"2\ndenylist errno -1\n", 1), (b"2\ndenylist allow kill\n", 1),
    (b"2\ndenylist notify\n", 1), (b"2\nallowlist errno EFROB\n", 1), (b"2\n\0denylist\n", 1), (b"2\n\x1b[31m\n", 1),
    (b"1\ndenylist\n", 1), (b"1\nallowlist kill\n", 1), (b"2\ndenylist debug\n", 1),
    # version 1
    (b"1\nallowlist\nread\n", 1), (b"1\nallowlist\n0x10\n", 1), (b"1\nallowlist\n-1\n", 1),
    (b"1\nallowlist\n1 2\n", 1),
    (b"1\nallowlist\n99999999999999999999\n", 1), (b"1\nallowlist\n[x86]\n", 1), (b"1\nallowlist\n1.5\n1e3\n", 2),
    # names
    (D + b"mkmod\n", 1), (D + b"MKNOD\n", 1), (D + b"133\n", 1), (D + b"-\n", 1), (D + b"mk-nod\n", 1),
    (D + b"mknod,\n", 1),
    (D + b"mknod;mkdir\n", 1), (D + "mknöd\n".encode(), 1), (D + "mknód\n".encode("latin-1"), 1),
    (D + b"mkn\0od\n", 1),
    (D + b"x" * 70000 + b"\n", 1), (D + b"%s%n\n", 1), (D + b"::error::x\n", 1), (D + b"\x1b]0;title\x07\n", 1),
    # actions
    (D + b"mknod frob\n", 1), (D + b"mknod Kill\n", 1), (D + b"mknod killer\n", 1), (D + b"mknod errno\n", 1),
    (D + b"mknod errno 0x10\n", 1), (D + b"mknod errno 7junk\n", 1), (D + b"mknod errno=7\n", 1),
    (D + b"mknod errno E\n", 1),
    (D + b"mknod errno " + b"9" * 5000 + b"\n", 1), (D + b"mknod kill kill\n", 1), (D + b"mknod mkdir\n", 1),
    (D + b"reject_force_umount kill\n", 1), (D + b"mknod trace\n", 1),
    # sections
    (D + b"[\n", 1), (D + b"[]\n", 1), (D + b"[x68]\n", 1), (D + b"[x86\n", 1), (D + b"[x86] mknod\n", 1),
    (D + b"[x86][arm]\n", 1),
    (D + b"]\n", 1), (D + b"[[x86]]\n", 1),
    # filters
    (D + b"ioctl errno 1 [\n", 1), (D + b"ioctl errno 1 []\n", 1), (D + b"ioctl errno 1 [0,1]\n", 1),
    (D + b"ioctl errno 1 [6,1,==]\n", 1),
    (D + b"ioctl errno 1 [-1,1,==]\n", 1), (D + b"ioctl errno 1 [0,-1,==]\n", 1), (D + b"ioctl errno 1 [0,1,=]\n", 1),
    (D + b"ioctl errno 1 [0,0x,==]\n", 1), (D + b"ioctl errno 1 [0,09,==]\n", 1),
    (D + b"ioctl errno 1 [0," + b"9" * 9000 + b",==]\n", 1),
    (D + b"ioctl errno 1 [0,18446744073709551616,==]\n", 1), (D + b"ioctl errno 1 [0,1,==,1]\n", 1),
    (D + b"ioctl errno 1 [0,1,&=]\n", 1),
    (D + b"ioctl errno 1 [0,2,&=,1]\n", 1), (D + b"ioctl errno 1 [0,1,==]x\n", 1),
    (D + b"ioctl errno 1 [0,1,==][0,2,==]\n", 1),
    (D + b"ioctl errno 1 " + b"".join(b"[%d,1,==]" % n for n in (0, 1, 2, 3, 4, 5, 5)) + b"\n", 1),
    (D + b"ioctl errno 1 [0;1;==]\n", 1), (D + b"ioctl errno 1 [0,1,==] kill\n", 1),
    (D + b"ioctl [0,1,==] errno 1\n", 1),
    # what only compiling shows
    (D + b"lseek errno 1 [0,1,==]\nlseek errno 2 [0,1,==]\n", 1), (D + b"mknod errno EDEADLOCK\n", 1),
    # more than one thing
    (D + b"mkmod\r\nmknod frob\r\n", 2), (D + b"mkmod\n[x68]\nmknod errno 1\nioctl [\n", 3), (D + b"\0\n\0\n\0\n", 3),
    (D + b"[" * 300 + b"\n", 1), (D + b"frob\n" * 1200, 1001),
]  # fmt: skip


def test_there_are_a_hundred_kinds() -> None:
    assert len({data for data, _ in BROKEN}) == len(BROKEN) >= 100


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_broken_input_is_one_clear_line_each(check_stdin, number: int) -> None:
    data, wrong = BROKEN[number]
    status, lines = check_stdin(data)
    assert (status, len(lines)) == (1, wrong)
    for line in lines:
        assert line.isprintable()
        assert LINE.fullmatch(line), line
        assert len(line) < 600


@pytest.mark.parametrize("form", ["json", "sarif", "github"])
def test_broken_input_is_told_in_each_format(check_stdin, form: str) -> None:
    for data, wrong in BROKEN[::7]:
        status, lines = check_stdin(data, "--format", form)
        assert status == 1
        text = "\n".join(lines)
        if form == "json":
            assert json.loads(text)["errors"] == wrong
        elif form == "sarif":
            assert len(json.loads(text)["runs"][0]["results"]) == wrong
        else:
            assert len(lines) == wrong
            assert all(line.startswith("::error file=") for line in lines)


@pytest.mark.parametrize(
    "data",
    [
        D + b"read\r\nmknod errno 1\r\nmknodat errno 1\r\n",
        b"\r\n2\r\ndenylist",
        b" 2\tdenylist\n",
        b"1\nallowlist\n0\n0\n",
    ],
)
def test_odd_and_right_input_is_no_error(check_stdin, data: bytes) -> None:
    status, lines = check_stdin(data)
    assert status == 0
    assert [line for line in lines if " error: " in line] == []


# --- files and folders


def test_files_that_cannot_be_read_are_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.seccomp").write_text("3\n")
    (tmp_path / "sub" / "a.seccomp").write_text("2\ndenylist\ngetpid\n")
    (tmp_path / "sub" / "c.seccomp").symlink_to("nowhere")
    (tmp_path / "sub" / "d.seccomp").mkdir()
    (tmp_path / "sub" / "e.conf").write_text("lxc.uts.name = x\n")
    (tmp_path / "sub" / "d.seccomp" / "deep").mkdir()
    (tmp_path / "sub" / "d.seccomp" / "deep" / "f.seccomp").write_text("4\n")
    (tmp_path / "sub" / "d.seccomp" / "deep" / "up.seccomp").symlink_to("../..")
    (tmp_path / "sub" / "d.seccomp" / "g.seccomp").write_text("5\n")
    (tmp_path / "sub" / ".git").mkdir()
    (tmp_path / "sub" / ".git" / "h.seccomp").write_text("6\n")
    (tmp_path / "sub" / "loop.seccomp").symlink_to("loop.seccomp")
    os.mkfifo(tmp_path / "sub" / "pipe.seccomp")
    paths = ("empty", "sub", "missing", "nul\\0".replace("\\0", "\n"), "/proc/self/mem", "sub/e.conf")
    status, out, err = seccomp("check", *paths, cwd=tmp_path)
    assert (status, err) == (1, "")
    assert out.splitlines() == [
        "empty: error: no file in this folder or below has a name that ends in .seccomp [unreadable]",
        "sub/b.seccomp:1: error: the first line of a policy is its version, 1 or 2 [syntax]",
        "sub/c.seccomp: error: No such file or directory [unreadable]",
        "sub/loop.seccomp: error: Too many levels of symbolic links [unreadable]",
        "sub/pipe.seccomp: error: this is no regular file [unreadable]",
        "sub/d.seccomp/g.seccomp:1: error: the first line of a policy is its version, 1 or 2 [syntax]",
        "sub/d.seccomp/deep/f.seccomp:1: error: the first line of a policy is its version, 1 or 2 [syntax]",
        "missing: error: No such file or directory [unreadable]",
        "nul\\n: error: No such file or directory [unreadable]",
        "/proc/self/mem: error: Input/output error [unreadable]",
        "sub/e.conf:1: error: the first line of a policy is its version, 1 or 2 [syntax]",
    ]


def test_closed_standard_input(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; from minilxc.cli.seccomp import run; sys.exit(run(sys.argv[1:]))",
    ]
    ran = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *command, "check", "-"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    told = "<stdin>: error: standard input is closed [unreadable]\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, told, "")


def test_exit_status_and_strict(tmp_path: Path) -> None:
    for name, text in (
        ("good", "getpid"),
        ("noted", "getpid\ngetpid"),
        ("doubtful", "mknod errno 1"),
        ("wrong", "mkmod"),
    ):
        (tmp_path / name).write_text(f"2\ndenylist\n{text}\n")
    statuses = {
        name: [seccomp("check", *strict, name, cwd=tmp_path)[0] for strict in ((), ("--strict",))]
        for name in ("good", "noted", "doubtful", "wrong")
    }
    assert statuses == {"good": [0, 0], "noted": [0, 0], "doubtful": [0, 1], "wrong": [1, 1]}
    assert seccomp("check", "good", "wrong", "doubtful", cwd=tmp_path)[0] == 1


def test_a_wrong_command_line_is_told_and_is_2(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("2\ndenylist\n")
    for args, error in (
        (["--arch", "amd46", "p"], "minilxc: unknown architecture 'amd46' (did you mean 'amd64'?)\n"),
        (["--format", "xml", "p"], "minilxc: argument --format: invalid choice: 'xml' (choose from "),
        (
            [],
            "minilxc: the following arguments are required: POLICY (minilxc seccomp check --help tells more)\n",
        ),
    ):
        status, out, err = seccomp("check", *args, cwd=tmp_path)
        assert (status, out) == (2, "")
        assert err.startswith(error)
    status, _, err = seccomp("check", "--arch", "loongarch64", "p", cwd=tmp_path)
    assert status == 1
    assert (
        err
        == "minilxc: the installed libseccomp does not know loongarch64, so no filter can be built for it\n"
    )
    status, _, err = seccomp("check", "--newer", "frob", "p", cwd=tmp_path)
    assert (status, err) == (2, "minilxc: --newer: unknown action 'frob'\n")


def test_architectures_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("2\ndenylist\nwaitpid errno 1\n[mips]\nread\n")
    _, out, _ = seccomp("check", "--arch", "arm64", "--arch", "riscv64", "p", cwd=tmp_path)
    assert out.splitlines() == [
        "p:3: note: waitpid: the rule is skipped: aarch64, arm and riscv64 have no such call [absent]",
        "p:4: warning: section [mips] is not read on arm64 and riscv64 [unread-section]",
    ]
    assert seccomp("check", "p", cwd=tmp_path)[1].splitlines() == [
        "p:4: warning: section [mips] is not read on amd64, i386, arm64, armhf, ppc64el and powerpc [unread-section]"
    ]


# --- formats

SAMPLE = (
    Finding("error", "syntax", "a%b:c,d.seccomp", 7, "100% wrong, it says", "write 'x'", ()),
    Finding("warning", "twin", "/tmp/ö p.seccomp", 3, "mknod: one", "", ("x86_64", "x86")),
    Finding("note", "absent", "nul\n\udcff.seccomp", 0, "text", "", ()),
)


def test_text_is_what_editors_read() -> None:
    assert as_text(SAMPLE).splitlines() == [
        "a%b:c,d.seccomp:7: error: 100% wrong, it says (write 'x') [syntax]",
        "/tmp/ö p.seccomp:3: warning: mknod: one [twin]",
        "nul\\n\\xff.seccomp: note: text [absent]",
    ]


def test_json_has_the_attributes_of_a_finding() -> None:
    document = json.loads(as_json(SAMPLE))
    assert document["findings"][0] == {
        "severity": "error",
        "check": "syntax",
        "path": "a%b:c,d.seccomp",
        "line": 7,
        "text": "100% wrong, it says",
        "fix": "write 'x'",
        "architectures": [],
    }
    assert document["findings"][1]["architectures"] == ["x86_64", "x86"]
    assert (document["errors"], document["warnings"], document["notes"]) == (1, 1, 1)
    assert json.loads(as_json(())) == {"findings": [], "errors": 0, "warnings": 0, "notes": 0}


def test_sarif_has_what_2_1_0_asks_for() -> None:
    document = json.loads(as_sarif(SAMPLE))
    assert set(document) == {"$schema", "version", "runs"}
    assert document["version"] == "2.1.0"
    (one_run,) = document["runs"]
    driver = one_run["tool"]["driver"]
    assert driver["name"] == "minilxc"
    assert [rule["id"] for rule in driver["rules"]] == [check.id for check in CATALOGUE]
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
    for result, finding in zip(one_run["results"], SAMPLE, strict=True):
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == finding.check
        assert result["level"] == finding.severity
        assert result["message"]["text"]
        (place,) = result["locations"]
        assert set(place) == {"physicalLocation"}
    places = [result["locations"][0]["physicalLocation"] for result in one_run["results"]]
    assert [place["artifactLocation"]["uri"] for place in places] == [
        "a%25b%3Ac%2Cd.seccomp",
        "file:///tmp/%C3%B6%20p.seccomp",
        "nul%0A%FF.seccomp",
    ]
    assert [place.get("region") for place in places] == [{"startLine": 7}, {"startLine": 3}, None]


def test_github_commands_are_escaped() -> None:
    assert as_github(SAMPLE).split("\n") == [
        "::error file=a%25b%3Ac%2Cd.seccomp,line=7,title=syntax::100%25 wrong, it says (write 'x')",
        "::warning file=/tmp/ö p.seccomp,line=3,title=twin::mknod: one",
        "::notice file=nul%0A�.seccomp,title=absent::text",
        "",
    ]


def test_formats_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("2\ndenylist\nkexec_load errno 1\n")
    _, plain, _ = seccomp("check", "--format", "text", "p", cwd=tmp_path)
    assert plain == seccomp("check", "p", cwd=tmp_path)[1] != ""
    _, as_asked, _ = seccomp("check", "--json", "p", cwd=tmp_path)
    assert as_asked == seccomp("check", "--format", "json", "p", cwd=tmp_path)[1]
    assert json.loads(as_asked)["warnings"] == 1
    (command,) = seccomp("check", "--format", "github", "p", cwd=tmp_path)[1].splitlines()
    assert command.startswith("::warning file=p,line=3,title=twin::kexec_load is denied")


def test_colour_is_for_terminals_without_no_color(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("2\ndenylist\nkexec_load errno 1\n")
    plain = seccomp("check", "p", cwd=tmp_path)[1]
    assert "\033" not in plain
    status, coloured = on_a_terminal("check", "p", cwd=tmp_path, NO_COLOR="")
    assert status == 0
    assert "\033[1;33mwarning:\033[0m" in coloured
    assert re.sub("\033\\[[0-9;]*m", "", coloured) == plain
    assert on_a_terminal("check", "p", cwd=tmp_path, NO_COLOR="1") == (0, plain)
    assert "\033" not in on_a_terminal("check", "--json", "p", cwd=tmp_path, NO_COLOR="")[1]


# --- the manual


def test_the_manuals_table_is_the_catalogue() -> None:
    """Kind, severity and meaning of every check stand in minilxc-seccomp(1), in the catalogue's order."""
    manual = (ROOT / "docs" / "man" / "minilxc-seccomp.md").read_text()
    rows = re.findall(r"^- `([a-z0-9-]+)` \((error|warning|note)\): (.+)\.$", manual, re.MULTILINE)
    assert rows == [(check.id, check.severity, check.about) for check in CATALOGUE]


def test_the_manuals_example_is_true(tmp_path: Path) -> None:
    manual = (ROOT / "docs" / "man" / "minilxc-seccomp.md").read_text()
    example = r"(?s)`web.seccomp`:\n\n(.*?)\n\n.*?\$ minilxc seccomp check (.*?)\n\n"
    policy, shown = (re.sub("(?m)^    ", "", text) for text in re.findall(example, manual)[0])
    (tmp_path / "web.seccomp").write_text(policy + "\n")
    words, *lines = shown.splitlines()
    assert seccomp("check", *words.split(), cwd=tmp_path)[1].splitlines() == lines != []


# --- time


def test_a_large_policy_on_six_architectures_is_checked_at_once(tmp_path: Path) -> None:
    """The limit is 1.5 s from a cold start. Processor time, which other processes do not add to; usual: 0.35 s."""
    policy = (ROOT / "configs" / "docker-size-allowlist.seccomp").read_text()
    assert len([line for line in policy.splitlines() if line and line[0] != "#"]) > 330
    before = os.times()
    assert seccomp("check", str(ROOT / "configs" / "docker-size-allowlist.seccomp"), cwd=tmp_path) == (
        0,
        "",
        "",
    )
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 1.5
