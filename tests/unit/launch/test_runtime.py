"""The folder of what runs: made once, closed to others, and gone with the last."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from minilxc.launch import lock, runtime


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    folder = tmp_path / "state"
    monkeypatch.setattr(lock, "state_directory", lambda: str(folder))
    return folder


def modes(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_folder_is_its_owners_alone_and_goes_with_its_container(state):
    one = runtime.Runtime("/lxc", "c1")
    place = runtime.place("/lxc")
    assert [modes(path) for path in (state, place, f"{place}/c1")] == [0o700] * 3
    assert runtime.names("/lxc") == ["c1"]
    one.remove()
    assert runtime.names("/lxc") == []
    assert not os.path.exists(place)


def test_last_of_several_takes_the_place_along():
    first, second = runtime.Runtime("/lxc", "c1"), runtime.Runtime("/lxc", "c2")
    first.remove()
    assert runtime.names("/lxc") == ["c2"]
    second.remove()
    assert not os.path.exists(runtime.place("/lxc"))


def test_places_are_told_apart_by_where_they_are_and_not_by_how_that_is_written(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    monkeypatch.chdir(tmp_path)
    spellings = (
        "a",
        "./a/",
        str(tmp_path / "a"),
        str(tmp_path / "link"),
        f"{tmp_path}//a/.",
        "../" + tmp_path.name + "/a",
    )
    assert len({runtime.place(path) for path in spellings}) == 1
    assert runtime.place("b") != runtime.place("a")


def test_what_a_killed_monitor_has_left_is_found_and_removed():
    left = runtime.Runtime("/lxc", "c1")
    left.note_groups(["/sys/fs/cgroup/a", "/sys/fs/cgroup/\udcff b"])
    os.close(left.folder)
    assert runtime.groups("/lxc", "c1") == ["/sys/fs/cgroup/a", "/sys/fs/cgroup/\udcff b"]
    again = runtime.Runtime("/lxc", "c1")
    assert runtime.groups("/lxc", "c1") == []
    os.close(again.folder)
    runtime.clean_up("/lxc", "c1")
    assert runtime.names("/lxc") == []
    runtime.clean_up("/lxc", "c1")  # twice is once


def test_what_somebody_holds_is_not_removed(monkeypatch):
    one = runtime.Runtime("/lxc", "c1")
    monkeypatch.setattr(lock, "holder", lambda *_: 1)
    runtime.clean_up("/lxc", "c1")
    assert runtime.names("/lxc") == ["c1"]
    one.remove()


def test_nothing_is_there_of_who_never_ran():
    assert (runtime.names("/nowhere"), runtime.groups("/nowhere", "c1")) == ([], [])
    with pytest.raises(FileNotFoundError):
        runtime.open_folder("/nowhere", "c1")


def test_link_in_its_place_is_not_followed(tmp_path, state):
    runtime.Runtime("/lxc", "c1").remove()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").touch()
    os.mkdir(runtime.place("/lxc"))
    os.symlink(tmp_path / "elsewhere", f"{runtime.place('/lxc')}/c1")
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        runtime.Runtime("/lxc", "c1")
    runtime.clean_up("/lxc", "c1")
    assert (tmp_path / "elsewhere" / "file").exists()


def test_many_come_and_go_at_once():
    problems = []

    def come_and_go(name):
        try:
            for _ in range(50):
                runtime.Runtime("/lxc", name).remove()
        except BaseException as error:  # noqa: BLE001  told below
            problems.append(error)

    threads = [threading.Thread(target=come_and_go, args=(f"c{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert not os.path.exists(runtime.place("/lxc"))
