"""minilxc usernsexec: a program with a container's ids."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.helpers import ordinary
from tests.helpers.container import MINILXC, Result

MAP = ("-m", "b:0:100000:65536")


def run(*words, wrap=()):
    ran = subprocess.run([*wrap, MINILXC, "usernsexec", *words], capture_output=True, text=True, cwd="/")
    return Result(ran.returncode, ran.stdout, ran.stderr)


def test_program_is_root_of_the_ids_and_its_files_are_the_containers(session_folder):
    folder = session_folder / "mapped"
    folder.mkdir()
    os.chown(folder, 100000, 100000)
    result = run(*MAP, "--", "sh", "-c", f"id -u; touch {folder}/made; ls -ld {folder} | cut -d' ' -f3")
    assert result == (0, "0\nroot\n", "")
    assert ((folder / "made").stat().st_uid, (folder / "made").stat().st_gid) == (100000, 100000)


def test_supplementary_groups_are_left():
    assert run(*MAP, "--", "id", "-G", wrap=("setpriv", "--groups", "20")) == (0, "0\n", "")


def test_mounts_stay_inside(session_folder):
    words = f"mount -t tmpfs none {session_folder} && ls -A {session_folder} | wc -l"
    assert run(*MAP, "--", "sh", "-c", words) == (0, "0\n", "")
    assert os.listdir(session_folder)


@pytest.mark.parametrize(
    ("words", "status"), [(("sh", "-c", "exit 5"), 5), (("sh", "-c", "kill -9 $$"), 137)]
)
def test_status_is_the_programs(words, status):
    assert run(*MAP, "--", *words) == (status, "", "")


def test_program_that_is_not_there_is_told():
    assert run(*MAP, "--", "/no/such") == (127, "", "minilxc: /no/such: No such file or directory\n")


@pytest.mark.parametrize("word", ["x:0:1:1", "u:0:1", "", "b:0:1:1:1"])
def test_map_that_is_none_is_told(word):
    result = run("-m", word, "--", "true")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"minilxc: --map: '{word}' is not KIND:INSIDE:HOST:COUNT")


def test_ordinary_user_gets_the_ids_that_are_granted(session_folder):
    folder = session_folder / "usernsexec"
    folder.mkdir()
    user = ordinary.User(folder)
    result = run("--", "cat", "/proc/self/uid_map", wrap=user.wrap())
    assert (result.status, result.err) == (0, "")
    assert result.out.split()[:3] == ["0", str(ordinary.FIRST), str(ordinary.COUNT)]
