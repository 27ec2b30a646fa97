"""The console's log file: limited, emptied or rotated as LXC 5.0.2 does it."""

from __future__ import annotations

import os

import pytest

from minilxc.config.parse import Config
from minilxc.errors import StartError
from minilxc.launch.terminal import Console, console_from_config
from minilxc.monitor.console_log import ConsoleLog


def log(path, limit=0, rotate=False):
    return ConsoleLog(Console(path=None, where=None, log=str(path), limit=limit, rotate=rotate), "c1")


@pytest.mark.parametrize(
    ("size", "limit"),
    [
        ("0", 0),
        ("1", 4096),
        ("4096", 4096),
        ("5000", 8192),
        ("64KB", 65536),
        ("auto", 131072),
        ("65537", 131072),
    ],
)
def test_size_is_at_least_a_page_and_a_power_of_two(size, limit):
    assert console_from_config(Config.from_text(f"lxc.console.size = {size}".encode(), "c")).limit == limit


def test_without_a_size_all_is_kept(tmp_path):
    one = log(tmp_path / "l", rotate=True)
    for _ in range(100):
        one.write(b"x" * 1000)
    assert (tmp_path / "l").stat().st_size == 100_000
    assert os.listdir(tmp_path) == ["l"]


def test_a_log_goes_on_where_an_earlier_one_ended(tmp_path):
    (tmp_path / "l").write_bytes(b"old ")
    log(tmp_path / "l").write(b"new")
    assert (tmp_path / "l").read_bytes() == b"old new"


@pytest.mark.parametrize(
    ("writes", "now", "old"),
    [
        ([b"12345678"], b"12345678", None),
        ([b"123456789"], b"9", b"12345678"),
        ([b"123456", b"789abc"], b"9abc", b"12345678"),
        ([b"12345678", b"9"], b"9", b"12345678"),
        ([b"1234567890abcdefXY"], b"XY", b"90abcdef"),
        ([], b"", None),
    ],
)
def test_a_full_log_is_kept_once_or_emptied(tmp_path, writes, now, old):
    rotated, emptied = log(tmp_path / "r", 8, True), log(tmp_path / "e", 8)
    for data in writes:
        rotated.write(data)
        emptied.write(data)
    assert (tmp_path / "r").read_bytes() == (tmp_path / "e").read_bytes() == now
    kept = tmp_path / "r.1"
    assert (kept.read_bytes() if kept.exists() else None) == old
    assert not (tmp_path / "e.1").exists()


def test_a_new_log_is_its_owners_alone_and_stays_out_of_programs(tmp_path):
    one = log(tmp_path / "l", 8, True)
    one.write(b"123456789")
    assert (tmp_path / "l").stat().st_mode & 0o777 == 0o600
    found = [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
    ours = [fd for fd in found if os.path.realpath(f"/proc/self/fd/{fd}") == str(tmp_path / "l")]
    assert [os.get_inheritable(int(fd)) for fd in ours] == [False]


def test_a_log_that_cannot_be_rotated_ends_nothing(tmp_path):
    one = log(tmp_path / "l", 8, True)
    (tmp_path / "l.1").mkdir()
    one.write(b"123456789")
    assert (tmp_path / "l").read_bytes() == b"12345678"


def test_a_size_holds_for_regular_files_alone(tmp_path):
    os.mkfifo(tmp_path / "p")
    with pytest.raises(StartError) as caught:
        log(tmp_path / "p", 8)
    path = tmp_path / "p"
    assert (
        str(caught.value) == f"c1: console: {path}: no regular file, so lxc.console.size cannot hold for it"
    )


def test_a_pipe_without_a_reader_holds_nobody(tmp_path):
    os.mkfifo(tmp_path / "p")
    one = log(tmp_path / "p")
    for _ in range(50):
        one.write(b"x" * 4096)


def test_a_place_that_there_is_not_is_told(tmp_path):
    with pytest.raises(StartError) as caught:
        log(tmp_path / "no" / "l")
    assert str(caught.value) == f"c1: console: {tmp_path}/no/l: No such file or directory"
