"""Containers for tests, and the inventory that each test is held to."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from tests.helpers import machine, programs
from tests.helpers.background import Place
from tests.helpers.container import Box, make_rootfs

HERE = Path(__file__).parent
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.system)
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="starts containers, which takes root"))


@pytest.fixture(scope="session")
def session_folder():
    """A folder that every user may pass through: payloads are not always root."""
    folder = Path(tempfile.mkdtemp(prefix="minilxc-tests-"))
    folder.chmod(0o755)
    (folder / "tmp").mkdir()
    os.environ["TMPDIR"] = str(folder / "tmp")  # where minilxc leaves the tracebacks of its bugs
    yield folder
    del os.environ["TMPDIR"]
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def helpers(session_folder):
    """The helper programs by name."""
    folder = session_folder / "programs"
    folder.mkdir()
    return programs.build(folder)


@pytest.fixture(scope="session", autouse=True)
def orphans_come_to_us():
    machine.adopt_orphans()


@pytest.fixture(autouse=True)
def no_test_hangs():
    """A payload that waits for ever must not stop the suite. Not a measure of speed: a hundred times the usual."""

    def give_up(*_):
        raise TimeoutError("the test hangs")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    yield
    signal.alarm(0)


@pytest.fixture(autouse=True)
def nothing_is_left(orphans_come_to_us, session_folder):
    """Each test leaves the machine as it was: a start either succeeds or leaves nothing behind."""
    before = machine.inventory()
    yield
    after = machine.inventory()
    machine.end_all()  # after the look: what is still there must not disturb the next test
    assert machine.differences(before, after) == {}


@pytest.fixture
def container(session_folder, helpers, nothing_is_left, no_test_hangs):
    """Makes containers: container(LINE..., policy=TEXT) is a Box with its own root file system and config."""
    boxes = []

    def make(*lines, policy=None, rootfs=True, base=True):
        number = next(_numbers)
        folder = session_folder / f"box{number}"
        folder.mkdir()
        box = Box(folder, f"t{os.getpid()}-{number}")
        make_rootfs(box.root, helpers)
        box.configure(*lines, policy=policy, rootfs=rootfs, base=base)
        boxes.append(box)
        return box

    yield make
    for box in boxes:
        box.open_gates()
    strange = [path for box in boxes for path in box.close()]
    for box in boxes:
        shutil.rmtree(box.folder)
    assert strange == []


@pytest.fixture
def place(container):
    """A folder of containers, which run in the background; those that still run are killed at the end."""
    box = container()
    made = Place(box)
    box.remember_files()
    yield made
    made.close()
    box.may_make |= {str(path) for path in (made.path, *made.path.rglob("*"))}
