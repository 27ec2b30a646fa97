"""minilxc seccomp compile, as a user meets it: exit status, one line, whole files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .helpers import compiled

ROOT = Path(__file__).parents[3]
RUN = "import sys; from minilxc.cli import main; main(['seccomp', *sys.argv[1:]])"
POLICY = "2\ndenylist\nmknod errno 7\n"


def command(*args: str, stdin: str = "", cwd: Path = ROOT) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", RUN, *args],
        input=stdin.encode(),
        capture_output=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "p").write_text(POLICY)
    return tmp_path


@pytest.mark.parametrize(
    ("word", "machine"), [("ppc64el", "ppc64el"), ("S390X", "s390x"), ("aarch64", "arm64")]
)
def test_a_program_for_any_architecture(word: str, machine: str, here: Path) -> None:
    done = command("compile", "p", "--arch", word, "-o", "out", cwd=here)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (here / "out").read_bytes() == compiled(POLICY, machine).program.encode()


def test_this_machine_is_the_default(here: Path) -> None:
    assert command("compile", "p", "-o", "out", cwd=here).returncode == 0
    assert (here / "out").read_bytes() == compiled(POLICY, os.uname().machine).program.encode()


@pytest.mark.parametrize("out", ["-", "/dev/stdout"])
def test_from_standard_input_to_standard_output(out: str) -> None:
    done = command("compile", "-", "--arch", "amd64", "-o", out, stdin=POLICY)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == compiled(POLICY, "amd64").program.encode()


@pytest.mark.parametrize(
    ("args", "policy", "error"),
    [
        (
            ["p"],
            "2\ndenylist\nmkmod\n",
            "p:3: mkmod: no architecture has this system call (did you mean 'mknod'?)",
        ),
        (["-"], "3\n", "<stdin>:1: the first line of a policy is its version, 1 or 2"),
        (["missing"], "", "missing: No such file or directory"),
        (["."], "", ".: Is a directory"),
        (
            ["p", "--arch", "loongarch64"],
            POLICY,
            "minilxc: the installed libseccomp does not know loongarch64, so no filter can be built for it",
        ),
        (
            ["p"],
            "2\ndenylist\nmknod notify\n",
            (
                "p:3: 'notify' without anybody to answer it"
                " (lxc.seccomp.notify.proxy names who does; 'seccomp compile' takes --notify)"
            ),
        ),
    ],
)
def test_an_error_is_one_line(args: list[str], policy: str, error: str, tmp_path: Path) -> None:
    (tmp_path / "p").write_text(policy)
    done = command("compile", *args, "-o", "out", stdin=policy, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.decode()) == (1, b"", error + "\n")
    assert os.listdir(tmp_path) == ["p"]


def test_notify_where_the_user_says_that_somebody_answers(tmp_path: Path) -> None:
    assert (
        command(
            "compile", "-", "--notify", "-o", "out", stdin="2\ndenylist\nmknod notify\n", cwd=tmp_path
        ).returncode
        == 0
    )


def test_a_file_that_is_there_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    (tmp_path / "out").chmod(0o600)
    (tmp_path / "link").symlink_to("new")
    for name in ("out", "link"):
        assert command("compile", "-", "-o", name, stdin="2\nallowlist\nread\n", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new").read_bytes() == (tmp_path / "out").read_bytes()


def test_a_policy_that_stops_execve_can_be_compiled(tmp_path: Path) -> None:
    assert command("compile", "-", "-o", "out", stdin="2\nallowlist\nread\n", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ([], "usage: minilxc seccomp COMMAND ..."),
        (["complie"], "minilxc: unknown command 'seccomp complie' (did you mean 'compile'?)\n"),
        (
            ["compile", "p"],
            "minilxc: the following arguments are required: -o/--output (minilxc seccomp compile --help tells more)\n",
        ),
        (
            ["compile", "p", "-o", "out", "--arch", "amd46"],
            "minilxc: unknown architecture 'amd46' (did you mean 'amd64'?)",
        ),
    ],
)
def test_a_wrong_command_line(args: list[str], error: str, here: Path) -> None:
    done = command(*args, cwd=here)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.decode().startswith(error)


@pytest.mark.parametrize("args", [["--help"], ["compile", "--help"]])
def test_help(args: list[str]) -> None:
    done = command(*args)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"compile" in done.stdout


def test_an_output_that_cannot_be_written(here: Path) -> None:
    for out, why in [("missing/out", "No such file or directory"), (".", "Is a directory")]:
        done = command("compile", "p", "-o", out, cwd=here)
        assert (done.returncode, done.stderr.decode()) == (1, f"minilxc: {out}: {why}\n")
    assert os.listdir(here) == ["p"]


def test_an_error_leaves_the_old_output(here: Path) -> None:
    (here / "out").write_text("old")
    assert command("compile", "-", "-o", "out", stdin="2\n", cwd=here).returncode == 1
    assert (here / "out").read_text() == "old"


def test_an_output_behind_a_link_is_replaced_there(here: Path) -> None:
    (here / "real").write_text("old")
    (here / "link").symlink_to("real")
    assert command("compile", "p", "-o", "link", cwd=here).returncode == 0
    assert (here / "link").is_symlink()
    assert len((here / "real").read_bytes()) % 8 == 0


def test_an_output_that_the_shell_has_opened_is_appended_to(here: Path) -> None:
    with open(here / "out", "wb") as file:
        file.write(b"before")
        file.flush()
        subprocess.run(
            [sys.executable, "-c", RUN, "compile", str(here / "p"), "--arch", "amd64", "-o", "/dev/stdout"],
            stdout=file,
            cwd=ROOT,
            check=True,
        )
    assert (here / "out").read_bytes() == b"before" + compiled(POLICY, "amd64").program.encode()


def test_no_program_on_a_terminal(here: Path) -> None:
    master, terminal = os.openpty()
    done = subprocess.run(
        [sys.executable, "-c", RUN, "compile", str(here / "p"), "-o", "-"],
        stdout=terminal,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    os.close(terminal)
    os.close(master)
    assert (done.returncode, done.stderr) == (
        1,
        b"minilxc: <stdout>: a program is not written to a terminal\n",
    )
