"""A root file system in an image: lxc.rootfs.path = loop:FILE."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def attached() -> set[str]:
    """The files that lie behind loop devices."""
    found = set()
    for device in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found.add(device.read_text().strip())
        except OSError:
            continue  # it has just been let go of
    return found


@pytest.fixture
def image(container):
    """A container whose root file system is a copy, in an image, of what every test has."""
    box = container(base=False)
    file = box.folder / "root.img"
    with file.open("wb") as empty:
        empty.truncate(32 << 20)
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-d", str(box.root), str(file)], check=True)
    box.image = file
    return box


def test_container_in_an_image_writes_there_and_lets_go_of_it(image):
    image.configure(f"lxc.rootfs.path = loop:{image.image}")
    assert (
        image.read(
            "sh",
            "-c",
            "echo kept >/kept; while read a b c d; do if [ $b = / ]; then echo $c; fi; done </proc/mounts",
        )
        == "ext4\n"
    )
    assert str(image.image) not in attached()
    assert image.read("cat", "/kept") == "kept\n"


def test_read_only_image_stays_as_it_is(image):
    image.configure(f"lxc.rootfs.path = loop:{image.image}", "lxc.rootfs.options = ro")
    before = image.image.read_bytes()
    assert image.run("touch", "/kept").status == 1
    assert image.image.read_bytes() == before


def test_file_that_is_no_image_is_refused_and_let_go_of(container):
    box = container(base=False)
    file = box.folder / "no.img"
    file.write_bytes(b"x" * 65536)
    box.configure(f"lxc.rootfs.path = loop:{file}")
    result = box.run("true")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith(
        f"minilxc: {box.name}: rootfs: {file}: no file system that this kernel can mount ("
    )
    assert str(file) not in attached()


def test_image_that_is_missing_or_a_folder_is_refused_before_anything_exists(container):
    box = container(base=False)
    for path, why in ((box.folder / "none", "No such file or directory"), (box.root, "is not a file")):
        box.configure(f"lxc.rootfs.path = loop:{path}")
        result = box.run("true")
        assert (result.status, result.out) == (1, "")
        assert result.err.endswith(f": lxc.rootfs.path: '{path}': {why}\n")
