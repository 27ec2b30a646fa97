"""What a start gets: programs, or one line that says why not; and at what price."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minilxc.errors import PolicyError
from minilxc.seccomp import cache
from minilxc.seccomp.arch import machine_by_word
from minilxc.seccomp.prepare import INIT_CALLS, Prepared, prepare
from minilxc.seccomp.program import Program

ROOT = Path(__file__).parents[3]
CONFIGS = sorted((ROOT / "configs").glob("*.seccomp"))
ALLOW, KILL = 0x7FFF0000, 0


def policy(folder: Path, text: str) -> str:
    path = folder / "p.seccomp"
    path.write_text(text)
    return str(path)


def test_a_second_start_finds_the_programs(tmp_path: Path) -> None:
    path = policy(tmp_path, "2\nallowlist\nexecve\nread\n")
    heard: list[str] = []
    first = prepare(path, machine="amd64", cache_dir=str(tmp_path / "cache"), debug=heard.append)
    assert heard == [f"{path}:3: execve: allow on x86_64", f"{path}:4: read: allow on x86_64"]
    second = prepare(path, machine="amd64", cache_dir=str(tmp_path / "cache"), debug=heard.append)
    assert len(heard) == 2
    uncached = prepare(path, machine="amd64", cache_dir=None)
    assert first.payload == second.payload == uncached.payload
    assert first.init == second.init == uncached.init
    assert len(os.listdir(tmp_path / "cache")) == 1


def test_a_changed_policy_is_compiled_anew(tmp_path: Path) -> None:
    folder = str(tmp_path / "cache")
    before = prepare(policy(tmp_path, "2\ndenylist\nmknod errno 1\n"), machine=None, cache_dir=folder)
    after = prepare(policy(tmp_path, "2\ndenylist\nmknod errno 2\n"), machine=None, cache_dir=folder)
    assert before.payload != after.payload


def test_a_cache_that_is_not_private_is_left_alone(tmp_path: Path) -> None:
    path = policy(tmp_path, "2\ndenylist\n")
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o755)
    heard: list[str] = []
    assert prepare(path, machine=None, cache_dir=str(folder), debug=heard.append).payload
    assert heard == [f"{path}: no usable cache in {folder}"]
    assert os.listdir(folder) == []


def test_a_bad_entry_is_rebuilt(tmp_path: Path) -> None:
    path = policy(tmp_path, "2\ndenylist\nmknod errno 1\n")
    folder = tmp_path / "cache"
    good = prepare(path, machine="amd64", cache_dir=str(folder))
    (entry,) = folder.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(whole[:-8])
    assert prepare(path, machine="amd64", cache_dir=str(folder)).payload == good.payload
    assert entry.read_bytes() == whole


def test_an_entry_of_another_shape_is_rebuilt(tmp_path: Path) -> None:
    path = policy(tmp_path, "2\ndenylist\n")
    folder = str(tmp_path / "cache")
    good = prepare(path, machine="amd64", cache_dir=folder)
    cache.store(folder, os.listdir(folder)[0], (good.payload,))
    assert prepare(path, machine="amd64", cache_dir=folder).init == good.init


@pytest.mark.parametrize(
    ("text", "where", "machine", "abi"),
    [
        ("2\nallowlist\nread\n", 2, "amd64", "x86_64"),
        ("2 allowlist\nread\n", 1, "amd64", "x86_64"),
        ("2\n\n\nallowlist errno 1\nread\n[x86]\nexecve\n", 4, "amd64", "x86_64"),
        ("2\ndenylist\nmknod errno 1\nexecve errno 1\n", 4, "arm64", "aarch64"),
        ("2\ndenylist\nexecve trap\nexecve allow\n", 3, "ppc64", "ppc64"),
        ("2\ndenylist\n[all]\nexecve allow\n[s390x]\nexecve kill\n", 6, "s390x", "s390x"),
        ("2\nallowlist\nexecve allow [0,0,==]\n", 2, "riscv64", "riscv64"),
        ("2\ndenylist\nread\nexecve errno 5 [1,0,!=]\n", 4, "mips64", "mips64"),
        ("1\nallowlist\n0\n", 2, "amd64", "x86_64"),
    ],
)
def test_a_policy_under_which_nothing_could_start(
    text: str, where: int, machine: str, abi: str, tmp_path: Path
) -> None:
    path = policy(tmp_path, text)
    for _ in range(2):  # an error is not cached
        with pytest.raises(PolicyError) as caught:
            prepare(path, machine=machine, cache_dir=str(tmp_path / "cache"))
        assert str(caught.value) == (
            f"{path}:{where}: the policy does not allow execve on {abi}, so no program could start"
        )
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "text", ["2\nallowlist\nexecve log\n", "2\nallowlist\nexecve allow [1,0,!=]\n", "2\ndenylist log\n"]
)
def test_execve_may_be_logged_or_filtered(text: str, tmp_path: Path) -> None:
    assert prepare(policy(tmp_path, text), machine="amd64", cache_dir=None).payload


def test_notify_is_refused_unless_somebody_answers(tmp_path: Path) -> None:
    path = policy(tmp_path, "2\ndenylist\nmknod notify\n")
    folder = str(tmp_path / "cache")
    assert prepare(path, machine="amd64", cache_dir=folder, notify=True).payload
    with pytest.raises(PolicyError, match=f"^{path}:3: 'notify' without anybody to answer it"):
        prepare(path, machine="amd64", cache_dir=folder)


def test_init_may_wait_whatever_the_policy_says(tmp_path: Path) -> None:
    prepared = prepare(
        policy(tmp_path, "2\nallowlist\nexecve\n[x86]\nwait4 errno 1\n"), machine="amd64", cache_dir=None
    )
    payload, init = (Program.decode(data, big=False) for data in (prepared.payload, prepared.init))
    wait4, read = 61, 0
    assert (payload.simulate(0xC000003E, wait4)[0], init.simulate(0xC000003E, wait4)[0]) == (KILL, ALLOW)
    assert (payload.simulate(0xC000003E, read)[0], init.simulate(0xC000003E, read)[0]) == (KILL, KILL)
    assert init.simulate(0x40000003, 114)[0] == 0x00050001
    from minilxc.seccomp import calls

    native = calls.table(machine_by_word("amd64").native)
    assert all(init.simulate(0xC000003E, native[name])[0] == ALLOW for name in INIT_CALLS)


def test_init_keeps_what_else_the_policy_denies(tmp_path: Path) -> None:
    path = policy(tmp_path, "2\ndenylist\nmknodat errno 1\nkill errno 2\nptrace kill\n")
    init = Program.decode(prepare(path, machine="arm64", cache_dir=None).init, big=False)
    aarch64 = 0xC00000B7
    assert [init.simulate(aarch64, number)[0] for number in (33, 129, 117)] == [0x00050001, ALLOW, KILL]


@pytest.mark.parametrize(
    "machine", ["amd64", "arm64", "ppc64el", "s390x", "riscv64", "mips64", "armhf", "i386"]
)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_every_policy_that_ships_serves_every_machine(config: Path, machine: str) -> None:
    if config.name == "seed-example.seccomp":
        with pytest.raises(PolicyError, match=":2: the policy does not allow execve"):
            prepare(str(config), machine=machine, cache_dir=None)
        return
    prepared = prepare(str(config), machine=machine, cache_dir=None)
    assert isinstance(prepared, Prepared)
    Program.decode(prepared.payload, machine_by_word(machine).big).validate()


WARM = """
import os, sys
before = set(sys.modules)
from minilxc.seccomp import loader
from minilxc.seccomp.prepare import prepare
path, folder = sys.argv[1:]
loader.Load(prepare(path, machine=None, cache_dir=folder).payload)
print("\\n".join(sorted(set(sys.modules) - before)))
"""
MAY_BE_IMPORTED = {
    *("minilxc", "minilxc.errors", "minilxc.linux"),
    *(f"minilxc.linux.{name}" for name in ("files", "native", "syscalls")),
    *("minilxc.seccomp", *(f"minilxc.seccomp.{name}" for name in ("cache", "loader", "prepare", "source"))),
    *("__future__", "_blake2", "_ctypes", "_struct"),
}


def test_a_warm_start_imports_next_to_nothing(tmp_path: Path) -> None:
    """Neither pyseccomp nor anything that reads policies, nor a module that costs milliseconds."""
    path = policy(tmp_path, "2\ndenylist\n")
    prepare(path, machine=None, cache_dir=str(tmp_path / "cache"))
    done = subprocess.run(
        [sys.executable, "-S", "-c", WARM, path, str(tmp_path / "cache")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) <= MAY_BE_IMPORTED
