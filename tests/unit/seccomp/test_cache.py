"""The cache: what is not certainly ours and whole is as if it were not there."""

from __future__ import annotations

import os
import posix
from multiprocessing import get_context
from typing import TYPE_CHECKING

import pytest

from minilxc.seccomp import cache

if TYPE_CHECKING:
    from pathlib import Path

PARTS = (b"payload\0\n\n1", b"", b"init" * 1000)
NAME = "00ff"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "state" / "cache"
    assert cache.store(str(folder), NAME, PARTS)
    return folder


def fetched(folder: Path) -> tuple[bytes, ...] | None:
    return cache.fetch(str(folder), NAME)


def test_what_was_stored_comes_back(folder: Path) -> None:
    assert fetched(folder) == PARTS
    assert cache.fetch(str(folder), "other") is None
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / NAME).stat().st_mode & 0o777 == 0o600
    assert os.listdir(folder) == [NAME]


def test_a_later_store_replaces(folder: Path) -> None:
    assert cache.store(str(folder), NAME, (b"new",))
    assert fetched(folder) == (b"new",)


@pytest.mark.parametrize("place", [0, 31, 32, 40, -1])
def test_a_damaged_entry(folder: Path, place: int) -> None:
    data = bytearray((folder / NAME).read_bytes())
    data[place] ^= 1
    (folder / NAME).write_bytes(data)
    assert fetched(folder) is None
    assert cache.store(str(folder), NAME, PARTS)
    assert fetched(folder) == PARTS


@pytest.mark.parametrize("size", [0, 1, 31, 32, 100])
def test_a_truncated_entry(folder: Path, size: int) -> None:
    os.truncate(folder / NAME, size)
    assert fetched(folder) is None


def test_an_entry_with_something_behind_it(folder: Path) -> None:
    with open(folder / NAME, "ab") as file:
        file.write(b"x")
    assert fetched(folder) is None


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o604, 0o640, 0o666])
def test_an_entry_that_is_open_to_others(folder: Path, mode: int) -> None:
    (folder / NAME).chmod(mode)
    assert fetched(folder) is None


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o755, 0o1777])
def test_a_directory_that_is_open_to_others_is_not_used_at_all(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    assert fetched(folder) is None
    assert not cache.store(str(folder), "other", PARTS)
    assert os.listdir(folder) == [NAME]


def test_a_directory_or_an_entry_of_somebody_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posix, "geteuid", lambda: os.getuid() + 1)
    assert fetched(folder) is None
    assert not cache.store(str(folder), "other", PARTS)


def test_symbolic_links(folder: Path, tmp_path: Path) -> None:
    (folder / NAME).rename(folder / "real")
    (folder / NAME).symlink_to("real")
    assert fetched(folder) is None
    (tmp_path / "link").symlink_to(folder)
    assert cache.fetch(str(tmp_path / "link"), "real") is None
    assert cache.fetch(str(folder), "real") == PARTS


def test_a_store_replaces_a_link_and_leaves_its_target(folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder / NAME).unlink()
    (folder / NAME).symlink_to(victim)
    assert cache.store(str(folder), NAME, PARTS)
    assert fetched(folder) == PARTS
    assert victim.read_text() == "precious"


def test_what_is_no_file(folder: Path) -> None:
    (folder / NAME).unlink()
    os.mkfifo(folder / NAME)
    assert fetched(folder) is None
    (folder / NAME).unlink()
    (folder / NAME).mkdir()
    assert fetched(folder) is None
    assert not cache.store(str(folder), NAME, PARTS)
    assert os.listdir(folder) == [NAME]  # the temporary file is gone


def test_a_place_where_nothing_can_be_stored(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert cache.fetch(str(tmp_path / "missing"), NAME) is None
    assert not cache.store(str(tmp_path / "file"), NAME, PARTS)
    assert not cache.store(str(tmp_path / "file" / "below"), NAME, PARTS)
    assert not cache.store("/proc/minilxc", NAME, PARTS)


def test_an_entry_that_would_be_too_big(tmp_path: Path) -> None:
    assert not cache.store(str(tmp_path / "cache"), NAME, (bytes(1 << 20),))


def test_a_full_disk_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posix, "write", lambda _fd, data: len(data) - 1)
    assert not cache.store(str(folder), "other", PARTS)
    assert os.listdir(folder) == [NAME]


def test_the_oldest_entries_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_ENTRIES", 5)
    os.utime(folder / NAME, (1, 1))
    for number in range(6):
        assert cache.store(str(folder), f"{number}", PARTS)
        os.utime(folder / f"{number}", (number + 2, number + 2))
    assert sorted(os.listdir(folder)) == ["1", "2", "3", "4", "5"]


def write_often(folder: str, letter: bytes) -> None:
    for _ in range(200):
        assert cache.store(folder, NAME, (letter * 5000,))


def test_writers_at_once_do_not_disturb(tmp_path: Path) -> None:
    """A reader sees one writer's entry or the other's, never a mixture, never nothing."""
    folder = str(tmp_path / "cache")
    assert cache.store(folder, NAME, (b"a" * 5000,))
    context = get_context("spawn")
    writers = [context.Process(target=write_often, args=(folder, letter)) for letter in (b"a", b"b", b"c")]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        found = cache.fetch(folder, NAME)
        assert found is not None
        assert found[0] in (b"a" * 5000, b"b" * 5000, b"c" * 5000)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert os.listdir(folder) == [NAME]


def test_everything_that_programs_depend_on_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {
        cache.key(b"2\ndenylist\n", "p", "amd64", False),
        cache.key(b"2\ndenylist", "p", "amd64", False),
        cache.key(b"2\ndenylist\n", "q", "amd64", False),
        cache.key(b"2\ndenylist\n", "p", "arm64", False),
        cache.key(b"2\ndenylist\n", "p", "amd64", True),
        cache.key(b"2\ndenylist\np", "", "amd64", False),
    }
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    keys.add(cache.key(b"2\ndenylist\n", "p", "amd64", False))
    assert len(keys) == 7


def test_a_changed_libseccomp_changes_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absent, there, longer, replaced by another of the same size and time."""
    monkeypatch.setattr(cache, "_FOLDERS", (str(tmp_path / "none"), str(tmp_path)))
    monkeypatch.setattr("sys.implementation._multiarch", "none")
    library = tmp_path / "libseccomp.so.2"
    keys = [cache.key(b"", "p", "amd64", False)]
    for content in ("one", "three"):
        library.write_text(content)
        os.utime(library, (1, 1))
        keys.append(cache.key(b"", "p", "amd64", False))
    (tmp_path / "new").write_text("other")
    os.utime(tmp_path / "new", (1, 1))
    (tmp_path / "new").rename(library)
    keys.append(cache.key(b"", "p", "amd64", False))
    os.utime(library, (2, 2))
    keys.append(cache.key(b"", "p", "amd64", False))
    assert len(set(keys)) == 5
