"""The command as a user calls it, as far as that needs no container: words, help, names, statuses."""

from __future__ import annotations

import os
import subprocess

import pytest

from minilxc.cli import COMMANDS
from tests.helpers.container import MINILXC, Result

ALL = f"there are {', '.join(COMMANDS)}"


def minilxc(*words, **more):
    more = {"stdin": subprocess.DEVNULL, **more}
    ran = subprocess.run(
        [MINILXC, *words], capture_output=True, encoding="utf-8", errors="surrogateescape", **more
    )
    return Result(ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_lists_the_commands(word):
    result = minilxc(word)
    assert (result.status, result.err) == (0, "")
    for command in COMMANDS:
        assert f"\n  {command} " in result.out


def test_no_command_shows_the_help_and_is_wrong():
    result = minilxc()
    assert (result.status, result.out + result.err) == (2, minilxc("--help").out)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("exec", "did you mean 'execute'?"),
        ("strat", "did you mean 'start'?"),
        ("frobnicate", ALL),
        ("", ALL),
        ("--frobnicate", ALL),
    ],
)
def test_unknown_command_is_told_with_what_would_be_right(word, hint):
    assert minilxc(word) == (2, "", f"minilxc: unknown command '{word}' ({hint})\n")


@pytest.mark.parametrize(
    "words", [("--version",), ("start", "--version"), ("execute", "--version"), ("checkconfig", "--version")]
)
def test_version_is_one_line(words):
    result = minilxc(*words)
    assert (result.status, result.err, result.out.count("\n")) == (0, "", 1)
    assert result.out.strip().replace(".", "").isdigit()


@pytest.mark.parametrize("command", ["start", "execute", "checkconfig"])
@pytest.mark.parametrize("word", ["--help", "-h", "--usage"])
def test_help_of_a_command_is_an_answer_even_beside_other_options(command, word):
    result = minilxc(command, "-n", "c1", word)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"usage: minilxc {command} ")
    assert result.out.count("\n") == 1 or word != "--usage"


@pytest.mark.parametrize("verb", ["execute", "start"])
def test_missing_name_is_told(verb):
    result = minilxc(verb, "--", "true")
    usage = f"usage: minilxc {verb} -n NAME [OPTION]... [--] [COMMAND [ARG]...]"
    assert result == (2, "", f"minilxc: no container is named (-n NAME) ({usage})\n")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a/b", "a/b"),
        ("", ""),
        ("-x", "-x"),
        ("a" * 65, "a" * 65),
        ("a\nb", "a\\nb"),
        ("a\n", "a\\n"),
        (".", "."),
        ("..", ".."),
        (".hidden", ".hidden"),
        ("é", "é"),
        ("a b", "a b"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\udcff", "\\xff"),
        ("a\u202e", "a\\u202e"),
        ("\uff11", "\uff11"),
    ],
)
@pytest.mark.parametrize("verb", ["execute", "start"])
def test_bad_name_is_refused_on_one_line(verb, name, shown):
    """A name becomes a part of paths and of log lines; LXC checks nothing (lxc-keys.md 9)."""
    rule = "letters, digits, '.', '_' and '-', not beginning with '.' or '-', up to 64"
    line = f"minilxc: '{shown}' cannot be a container's name ({rule})\n"
    assert minilxc(
        verb, f"--name={name}", "-F" if verb == "start" else "-q", "-f", "/dev/null", "--", "true"
    ) == (
        2,
        "",
        line if verb == "start" else "",
    )


def test_word_too_many_is_told():
    result = minilxc("checkconfig", "-f", "/dev/null", "word")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("minilxc: unexpected word 'word' (usage: minilxc checkconfig ")


def test_closed_output_is_no_bug():
    """`minilxc --help >&-`: nothing to write to is a reason to say so, not a traceback."""
    for close in (">&-", "2>&-", "<&-", ">&- 2>&-"):
        ran = subprocess.run(["sh", "-c", f'"$0" --version {close}', MINILXC], capture_output=True, text=True)
        assert "Traceback" not in ran.stderr
        assert "bug" not in ran.stderr
        assert ran.returncode in (0, 1)


@pytest.mark.parametrize("close", [">&-", "<&-", ">&- 2>&-"])
@pytest.mark.parametrize(
    "command",
    ["check p", "explain p read", "disasm p", "simulate p read", "stats p", "diff p q", "compile p -o -"],
)
def test_closed_streams_are_no_bug_of_the_tools(command, close, tmp_path):
    (tmp_path / "p").write_text("2\ndenylist\nmknod errno 1\n")
    (tmp_path / "q").write_text("2\ndenylist\nmkdir errno 1\n")
    ran = subprocess.run(
        ["sh", "-c", f'"$0" seccomp {command} {close}', MINILXC], capture_output=True, cwd=tmp_path
    )
    assert (ran.returncode, ran.stderr) == (1 if command.startswith("diff") else 0, b"")


def test_pipe_that_nobody_reads_is_no_error_to_tell():
    """`minilxc ... | head -1` with less than a buffer of output: it is written at the very end."""
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run([MINILXC, "--help"], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (141, "")


def test_full_output_is_told():
    with open("/dev/full", "w") as full:
        ran = subprocess.run([MINILXC, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (ran.returncode, ran.stderr) == (1, "minilxc: standard output: No space left on device\n")


def test_reader_that_has_gone_ends_the_command_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        ran = subprocess.run([MINILXC, "--help"], stdout=pipe, stderr=subprocess.PIPE, text=True)
    assert ran.returncode != 0
    assert "Traceback" not in ran.stderr


def test_folder_is_no_config(tmp_path):
    """LXC reads a folder as an empty config, and shares the host's root (lxc-keys.md 10, number 3)."""
    result = minilxc("execute", "-n", "c1", "-f", str(tmp_path), "--", "true")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith(f"minilxc: {tmp_path}: ")
