"""Configs and root file systems that mean harm: each is refused in one line, or contained.

Beside the root file system lies a folder of the host's, `outside`: whatever a case tries, nothing in it may
change. The fixtures look for what else a start might leave.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import machine
from tests.helpers.ordinary import own

FIRST = 700000
MAPPED = (f"lxc.idmap = u 0 {FIRST} 65536", f"lxc.idmap = g 0 {FIRST} 65536")
IDS = pytest.mark.parametrize("ids", [(), MAPPED], ids=["root", "mapped"])


def picture(folder: Path) -> dict[str, tuple]:
    """Everything below a folder that can be seen to change."""
    seen = {}
    for place, folders, files in os.walk(folder):
        for name in [".", *folders, *files]:
            path = Path(place, name)
            status = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            seen[str(path)] = (
                status.st_mode,
                status.st_uid,
                status.st_gid,
                status.st_ino,
                status.st_mtime_ns,
                content,
            )
    return seen


@pytest.fixture
def hostile(container):
    """hostile(LINE...): a container with `outside`, a folder of the host's, beside it. `survive` runs and judges."""
    boxes = []

    def make(*lines, **more):
        box = container(*lines, **more)
        box.outside = box.folder / "outside"
        (box.outside / "folder").mkdir(parents=True)
        (box.outside / "file").write_text("kept\n")
        boxes.append((box, None))
        box.survive = lambda *words, **how: survive(box, *words, **how)
        return box

    return make


def survive(box, *words, verb="execute", refused=None):
    """Run; see that it was refused in one line (as `refused` says, unless None) and nothing outside changed."""
    before = picture(box.outside)
    result = box.run(*(words or ("true",)), verb=verb)
    after = picture(box.outside)
    assert after == before
    assert "Traceback" not in result.err
    assert result.err == "" or result.err.isprintable() or result.err.rstrip("\n").isprintable()
    if result.status == 0:
        assert result.err == ""
    else:
        assert result.err.startswith("minilxc: "), result
        assert result.err.count("\n") == 1, result
    if refused is not None:
        assert (result.status != 0) == refused, result
    for place, folders, files in os.walk(box.root):
        box.may_make |= {f"{place}/{name}" for name in folders + files}
    return result


# --- configs


HUGE = b"x" * (1 << 20)
CONFIGS = {
    "a megabyte in a line": (b"lxc.environment = A=" + HUGE, True),
    "a megabyte of comment": (b"# " + HUGE, True),
    "a long key": (b"lxc." + b"a" * 100000 + b" = 1", True),
    "a long unknown word": (b"x" * 100000, False),
    "a value of a million quotes": (b'lxc.uts.name = "' + b'"' * 900000, True),
    "many equal signs": (b"lxc.uts.name " + b"=" * 900000, True),
    "many entries": (b"lxc.mount.entry = none tmp tmpfs optional\n" * 200, False),
    "more variables than execve takes": (
        b"".join(b"lxc.environment = A%d=%s\n" % (n, b"y" * 900) for n in range(1000)),
        None,
    ),
    "an argument too long for execve": (b"lxc.environment = A=" + b"y" * 200000, True),
    "many capabilities": (b"lxc.cap.drop = " + b"chown " * 100000, False),
    "many namespaces": (b"lxc.namespace.keep = " + b"net " * 100000, False),
    "many groups": (b"lxc.init.groups = " + b",".join(b"%d" % n for n in range(70000)), True),
    "many id maps": (
        b"".join(b"lxc.idmap = %s %d %d 1\n" % (k, n, n + 100000) for k in (b"u", b"g") for n in range(400)),
        True,
    ),
    "many interfaces": (b"".join(b"lxc.net.%d.type = empty\n" % n for n in range(5000)), False),
    "a NUL first": (b"\0lxc.uts.name = a", True),
    "a NUL in a key": (b"lxc.uts\0.name = a", True),
    "a NUL in a value": (b"lxc.uts.name = a\0b", True),
    "a NUL in a comment": (b"# \0\nlxc.uts.name = a", True),
    "a NUL in a path": (b"lxc.mount.entry = /srv tmp\0/../.. none bind", True),
    "a NUL as an escape": (b"lxc.mount.entry = none tmp\\000x tmpfs defaults", True),
    "NULs alone": (b"\0" * 5000, True),
    "a byte order mark": (b"\xef\xbb\xbflxc.uts.name = a", True),
    "UTF-16": ("lxc.uts.name = a\n".encode("utf-16"), True),
    "bytes that are no text": (b"lxc.uts.name = \xff\xfe\x80", None),
    "bytes that are no text as a key": (b"lxc.\xff\xfe = 1", True),
    "an ELF program": (Path("/bin/busybox").read_bytes()[:50000], True),
    "an escape sequence in a key": (b"lxc.\x1b[2J\x1b]0;x\x07 = 1", True),
    "an escape sequence in a value": (b"lxc.rootfs.path = /\x1b[2Jnowhere", True),
    "a carriage return in a message": (b"lxc.rootfs.mount = /nowhere\rlxc.arch = \x08\x08bad", True),
    "a line separator of Unicode": ("lxc.uts.name = a\u2028lxc.arch = bad".encode(), None),
    "a right-to-left override": ("lxc.arch = \u202egnp.exe".encode(), True),
    "another script's digits": ("lxc.tty.max = \u0663".encode(), True),
    "another script's digits in an index": ("lxc.net.\u0663.type = empty".encode(), True),
    "an index beyond any number": (b"lxc.net.99999999999999999999999.type = empty", None),
    "a number beyond any number": (b"lxc.tty.max = " + b"9" * 100000, True),
    "a range beyond the last id": (b"lxc.idmap = u 0 4294967295 4294967295\nlxc.idmap = g 0 1 1", True),
    "a range that wraps": (b"lxc.idmap = u 4294967290 100000 65536\nlxc.idmap = g 0 100000 65536", True),
    "a negative number": (b"lxc.init.uid = -1", True),
    "the overflow of an id": (b"lxc.init.uid = 4294967295", True),
    "a tmpfs of nothing": (b"lxc.autodev.tmpfs.size = 1", None),
    "a device tmpfs beyond memory": (b"lxc.autodev.tmpfs.size = 9223372036854775807", None),
    "a host name with a newline of another kind": (b"lxc.uts.name = a\x0bb\x0cc", None),
    "a rootfs that is a character device": (b"lxc.rootfs.path = /dev/zero", True),
    "a rootfs with a type and nothing": (b"lxc.rootfs.path = dir:", True),
    "a rootfs of the process": (b"lxc.rootfs.path = /proc/self/root", True),
    "a rootfs of process 1": (b"lxc.rootfs.path = dir:/proc/1/root/", True),
    "a rootfs of dots": (b"lxc.rootfs.path = /tmp/../tmp/..", True),
    "a rootfs of the working directory's root": (b"lxc.rootfs.path = /proc/self/cwd/../../../../..", True),
    "a long path": (b"lxc.rootfs.path = /" + b"a/" * 3000, True),
    "a path of long names": (b"lxc.mount.entry = none " + b"a" * 300 + b" tmpfs create=dir", True),
    "a sysctl that climbs": (b"lxc.sysctl.net/../kernel/core_pattern = |/bin/false", True),
    "a sysctl that climbs in dots": (b"lxc.sysctl.net.....kernel.core_pattern = |/bin/false", True),
    "a sysctl of a folder": (b"lxc.sysctl.net = 1", True),
    "a file of proc that climbs": (b"lxc.proc.../../sys/kernel/core_pattern = |/bin/false", True),
    "a file of proc of another process": (b"lxc.proc.task.1.oom_score_adj = -1000", True),
    "a root that proc offers": (b"lxc.init.cwd = /proc/1/root/../..", None),
    "a cgroup that climbs": (b"lxc.cgroup.dir = ../../x", True),
    "a console that is a folder": (b"lxc.console.path = /", None),
    "a log in a folder that is a file": (b"lxc.console.logfile = /etc/passwd/x", None),
    "a namespace of nobody": (b"lxc.namespace.share.net = 999999999", True),
    "a namespace of a strange name": (b"lxc.namespace.share.net = ../../../../etc", True),
    "a namespace of a number too large": (b"lxc.namespace.share.net = " + b"9" * 5000, True),
    "a policy that is a device": (b"lxc.seccomp.profile = /dev/zero", True),
    "a policy that is a folder": (b"lxc.seccomp.profile = /", True),
    "an fstab that is a device": (b"lxc.mount.fstab = /dev/zero", True),
    "an fstab that is a folder": (b"lxc.mount.fstab = /", True),
    "an fstab that never ends": (b"lxc.mount.fstab = /dev/urandom", True),
    "an include of a device": (b"lxc.include = /dev/zero", True),
    "an include of random bytes": (b"lxc.include = /dev/urandom", True),
    "an include of memory": (b"lxc.include = /proc/self/mem", True),
    "an include of nothing": (b"lxc.include = /dev/null", False),
    "an include of a strange name": (b"lxc.include = /\x1b[2J", True),
}


@pytest.mark.parametrize("what", CONFIGS)
def test_config_that_means_harm_is_refused_in_one_line_or_harmless(hostile, what):
    text, refused = CONFIGS[what]
    box = hostile()
    # Before the usual lines are in force: one about the root file system is to be the one that counts.
    box.file.write_bytes(box.file.read_bytes() + text + b"\n")
    console = b"lxc.console" in text
    box.survive("true", verb="start" if console else "execute", refused=refused)


def includes(folder: Path, shape: str) -> Path:
    """A config that includes others in the named shape; the file to begin with."""
    names = [folder / f"i{n}.conf" for n in range(100)]
    lines = {
        "itself": {0: [0]},
        "each other": {0: [1], 1: [0]},
        "a long way round": {n: [(n + 1) % 100] for n in range(100)},
        "a chain that ends": {n: [n + 1] for n in range(99)},
        "twice at every level": {n: [n + 1, n + 1] for n in range(25)},
        "ten times at every level": {n: [n + 1] * 10 for n in range(10)},
    }[shape]
    for number, name in enumerate(names):
        name.write_text("".join(f"lxc.include = {names[next_]}\n" for next_ in lines.get(number, ())))
    return names[0]


@pytest.mark.parametrize(
    "shape",
    [
        "itself",
        "each other",
        "a long way round",
        "a chain that ends",
        "twice at every level",
        "ten times at every level",
    ],
)
def test_includes_that_do_not_end_are_refused(hostile, shape):
    box = hostile()
    folder = box.folder / "includes"
    folder.mkdir()
    box.configure(f"lxc.include = {includes(folder, shape)}")
    box.survive(refused=True)


@pytest.mark.parametrize("kind", ["fifo", "socket", "folder of itself", "link to itself", "link to a device"])
def test_include_that_is_no_file_does_not_hang(hostile, kind):
    box = hostile()
    place = box.folder / "place"
    place.mkdir()
    what = place / "x.conf"
    if kind == "fifo":
        os.mkfifo(what)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(what))
    elif kind == "folder of itself":
        what.write_text(f"lxc.include = {place}\n")
        what = place
    else:
        what.symlink_to(what if kind == "link to itself" else "/dev/zero")
    box.configure(f"lxc.include = {what}")
    box.survive(refused=True)


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "..", ".", "-x", "a\nb", "a b", "\x1b[2J", "é", "a" * 65, "", "@"]
)
def test_name_that_leads_elsewhere_is_refused(hostile, name):
    box = hostile()
    box.name = name
    before = picture(box.outside)
    result = box.run("true")
    assert result.status in (1, 2)
    assert (result.out, result.err.count("\n")) == ("", 1)
    assert picture(box.outside) == before


# --- what lies in the place of /dev, /proc and /sys


def _link(target):
    return lambda box, path: path.symlink_to(target(box))


KINDS = {
    "an absolute link": _link(lambda box: box.outside),
    "a relative link": _link(lambda box: "../outside"),
    "a link of many dots": _link(lambda box: "../" * 40 + str(box.outside)),
    "a link to a file": _link(lambda box: box.outside / "file"),
    "a link to nowhere": _link(lambda box: box.outside / "new"),
    "a link to itself": _link(lambda box: "dev"),
    "a link to the root": _link(lambda box: "/"),
    "a link upwards": _link(lambda box: ".."),
    "a link within": _link(lambda box: "tmp"),
    "a magic link to the root": _link(lambda box: f"/proc/self/root{box.outside}"),
    "a magic link of process 1": _link(lambda box: f"/proc/1/root{box.outside}"),
    "a magic link to a descriptor": _link(lambda box: "/proc/self/fd/3"),
    "a magic link to the working directory": _link(lambda box: "/proc/self/cwd"),
    "a file": lambda box, path: path.write_text("x"),
    "a hard link": lambda box, path: os.link(box.outside / "file", path),
    "a fifo": lambda box, path: os.mkfifo(path),
    "a device": lambda box, path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3)),
    "a block device": lambda box, path: os.mknod(path, stat.S_IFBLK | 0o666, os.makedev(7, 250)),
    "a folder that nobody may enter": lambda box, path: path.mkdir(mode=0),
    "nothing": lambda box, path: None,
}


@IDS
@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
@pytest.mark.parametrize("kind", KINDS)
def test_system_folder_that_is_something_else_is_refused_or_contained(hostile, name, kind, ids):
    box = hostile(*ids)
    if ids:
        own(box.root, FIRST)
    (box.root / name).rmdir()
    KINDS[kind](box, box.root / name)
    box.survive("/bin/true", refused=not kind.startswith(("nothing", "a folder")))


@pytest.mark.parametrize("verb", ["execute", "start"])
@pytest.mark.parametrize("name", ["console", "null", "tty1", "pts", "ptmx", "fd", "stdin", "shm", "lxc"])
@pytest.mark.parametrize(
    "kind",
    ["an absolute link", "a link to a file", "a link to nowhere", "a magic link of process 1", "a hard link"],
)
def test_image_with_a_dev_of_its_own_does_not_lead_out(hostile, name, kind, verb):
    box = hostile("lxc.autodev = 0", "lxc.tty.max = 1", "lxc.pty.max = 8", "lxc.tty.dir = lxc")
    KINDS[kind](box, box.root / "dev" / name)
    box.survive(verb=verb)


# --- targets and sources of mounts


TARGETS = {
    "dots first": "../outside/made",
    "dots in the middle": "tmp/../../outside/made",
    "dots last": "tmp/../..",
    "dots and an absolute path": "/../outside/made",
    "many dots": "../" * 50 + "tmp",
    "an absolute path of the host": "{outside}/made",
    "the root file system's sibling": "{root}/../outside/made",
    "a name like the root's": "{root}side/made",
    "through an absolute link": "absolute/made",
    "an absolute link itself": "absolute",
    "through a relative link": "relative/made",
    "through a link and dots": "up/outside/made",
    "through a magic link": "magic/made",
    "through a magic link of a descriptor": "descriptor/made",
    "a link to a file": "file",
    "through a file": "file/made",
    "a dangling link": "dangling",
    "through a dangling link": "dangling/made",
    "a loop of links": "loop",
    "through a chain of links": "chain0/made",
    "the root itself": ".",
    "the root by a link": "slash",
    "through the new proc": "proc/1/root/made",
    "the host's root through proc": "proc/self/root",
    "through the working directory of proc": "proc/self/cwd/made",
    "a descriptor of proc": "proc/self/fd/3",
    "a device": "dev/null",
    "the program": "bin/busybox",
    "a path with a newline": "tmp\\012x/made",
    "a path with an escape sequence": "tmp/\x1b[2J",
    "a long path": "a/" * 150,
}


def plant(box):
    """Links of every sort in the root file system."""
    links = {
        "absolute": box.outside,
        "relative": "../outside",
        "up": "..",
        "magic": f"/proc/1/root{box.outside}",
        "descriptor": "/proc/self/fd/3",
        "file": box.outside / "file",
        "dangling": box.outside / "new",
        "loop": "loop",
        "slash": "/",
        "chain39": box.outside,
    }
    for number in range(39):
        links[f"chain{number}"] = f"chain{number + 1}"
    for name, target in links.items():
        (box.root / name).symlink_to(target)


@pytest.mark.parametrize("options", ["bind,create=dir", "bind,create=file", "bind,optional"])
@pytest.mark.parametrize("target", TARGETS)
def test_target_of_a_mount_does_not_lead_out(hostile, target, options):
    box = hostile()
    plant(box)
    source = box.folder / ("folder" if "dir" in options else "plain")
    source.mkdir() if "dir" in options else source.write_text("source\n")
    place = TARGETS[target].format(outside=box.outside, root=box.root)
    # What is made in the container after the mount must not show outside either.
    box.configure(
        f"lxc.mount.entry = {source} {place} none {options}", "lxc.mount.entry = none etc tmpfs defaults"
    )
    box.survive("/bin/busybox", "true")


@pytest.mark.parametrize("target", TARGETS)
def test_target_of_a_file_system_with_mapped_ids_does_not_lead_out(hostile, target):
    box = hostile()
    plant(box)
    own(box.root, FIRST)
    place = TARGETS[target].format(outside=box.outside, root=box.root)
    box.configure(f"lxc.mount.entry = none {place} tmpfs create=dir", *MAPPED)
    box.survive("/bin/busybox", "true")


@pytest.mark.parametrize(
    "source",
    [
        "absolute",
        "relative",
        "up/outside",
        "magic",
        "descriptor",
        "file",
        "chain0",
        "../outside",
        "proc/1/root",
        "slash",
    ],
)
def test_source_in_the_root_file_system_does_not_lead_out(hostile, source):
    box = hostile()
    plant(box)
    box.configure(f"lxc.mount.entry = {source} tmp none rbind,relative")
    before = picture(box.outside)
    result = box.run("sh", "-c", "echo gone >/tmp/file; rm -r /tmp/folder; ls /tmp /tmp/outside")
    assert picture(box.outside) == before
    assert "Traceback" not in result.err


# --- what is to be executed


def script(text):
    return lambda path: (path.write_text(text), path.chmod(0o755))


PROGRAMS = {
    "minilxc's interpreter": lambda path: path.symlink_to("/proc/self/exe"),
    "a script of minilxc's interpreter": script("#!/proc/self/exe\n"),
    "a script of itself": script("#!/bin/program\n"),
    "a script of nothing": script("#!\n"),
    "a script of a folder": script("#!/tmp\n"),
    "a script of a long line": script("#!/" + "x" * 5000 + "\n"),
    "a descriptor": lambda path: path.symlink_to("/proc/self/fd/0"),
    "a link to itself": lambda path: path.symlink_to("program"),
    "a folder": lambda path: path.mkdir(),
    "a fifo": lambda path: os.mkfifo(path, 0o755),
    "a device": lambda path: os.mknod(path, stat.S_IFCHR | 0o755, os.makedev(1, 3)),
    "an empty file": script(""),
    "a text": script("no program\n"),
    "a broken program": lambda path: (path.write_bytes(b"\x7fELF" + b"\xff" * 200), path.chmod(0o755)),
    "a cut program": lambda path: (
        path.write_bytes(Path("/bin/busybox").read_bytes()[:100]),
        path.chmod(0o755),
    ),
    "a file that nobody may execute": lambda path: path.write_text("x"),
}


@pytest.mark.parametrize("verb", ["execute", "start"])
@pytest.mark.parametrize("what", PROGRAMS)
def test_program_that_is_none_is_told_in_one_line(hostile, what, verb):
    box = hostile()
    PROGRAMS[what](box.root / "bin" / "program")
    before = picture(box.outside)
    result = box.run("/bin/program", verb=verb)
    assert picture(box.outside) == before
    assert "Traceback" not in result.err
    assert result.status in (126, 127, 139) or what in ("an empty file", "a text", "a script of nothing"), (
        result
    )
    assert result.err.count("\n") <= 1


@pytest.mark.parametrize(
    "place", ["absolute", "relative", "magic", "descriptor", "loop", "file", "up", "nowhere"]
)
def test_working_directory_does_not_lead_out(hostile, place):
    box = hostile(f"lxc.init.cwd = /{place}")
    plant(box)
    result = box.survive("/bin/ls", ".")
    assert "outside" not in result.out.split()


# --- images and layers


IMAGES = {
    "nothing": b"",
    "zeros": b"\0" * (1 << 20),
    "text": b"no image\n" * 5000,
    "a head of ext4": b"\0" * 1080 + b"\x53\xef" + b"\xff" * 3000,
    "a head of squashfs": b"hsqs" + b"\xff" * 8000,
    "a head of xfs": b"XFSB" + b"\xff" * 8000,
    "a head of btrfs": b"\0" * 0x10040 + b"_BHRfS_M" + b"\xff" * 8000,
    "a head of erofs": b"\0" * 1024 + b"\xe2\xe1\xf5\xe0" + b"\xff" * 8000,
}


@IDS
@pytest.mark.parametrize("what", IMAGES)
def test_file_that_is_no_image_is_refused_and_let_go_of(hostile, what, ids):
    box = hostile()
    image = box.folder / "image"
    image.write_bytes(IMAGES[what])
    box.configure(f"lxc.rootfs.path = loop:{image}", *ids, rootfs=False)
    box.survive(refused=True)
    behind = [path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    assert str(image) not in behind


def test_image_without_end_is_refused(hostile):
    box = hostile()
    image = box.folder / "image"
    with image.open("wb") as sparse:
        sparse.truncate(1 << 43)
    box.configure(f"lxc.rootfs.path = loop:{image}", rootfs=False)
    box.survive(refused=True)


@IDS
@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("redirect", b"/../../../../../.."),
        ("redirect", b"../outside"),
        ("opaque", b"y"),
        ("origin", b"\xff" * 40),
        ("metacopy", b""),
    ],
)
def test_upper_layer_with_attributes_of_its_own_does_not_lead_out(hostile, attribute, value, ids):
    """overlayfs keeps where a folder came from in extended attributes; who makes a layer may write anything there."""
    box = hostile()
    upper = box.folder / "layers" / "upper"
    (upper / "tmp").mkdir(parents=True)
    (upper / "etc").mkdir()
    (upper / "etc" / "passwd").write_text("x")
    for place in (upper / "tmp", upper / "etc" / "passwd"):
        os.setxattr(place, f"trusted.overlay.{attribute}", value)
    for path in (box.root, upper):
        own(path, FIRST if ids else 0)
    box.configure(f"lxc.rootfs.path = overlay:{box.root}:{upper}", *ids, rootfs=False)
    before = picture(box.outside)
    result = box.run(
        "/bin/sh", "-c", "ls -R /tmp; echo gone >/tmp/file; cat /etc/passwd; echo new >/etc/passwd"
    )
    assert picture(box.outside) == before
    assert "folder" not in result.out.split()
    assert "Traceback" not in result.err
    for place in (upper, upper.parent):
        box.may_make |= {str(path) for path in place.rglob("*")}


# --- races


SWAP = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
one, other = (os.fsencode(word) for word in sys.argv[1:3])
while os.getppid() == int(sys.argv[3]):
    for _ in range(1000):
        libc.renameat2(-100, one, -100, other, 2)  # RENAME_EXCHANGE
"""


@pytest.fixture
def swapping():
    """swapping(one, other): the two change places, over and over, until the test ends."""
    running = []

    def begin(one, other):
        command = [sys.executable, "-c", SWAP, str(one), str(other), str(os.getpid())]
        running.append(subprocess.Popen(command))

    def end():
        while running:
            process = running.pop()
            process.kill()
            process.wait()

    begin.end = end
    yield begin
    end()


STARTS = 8


@IDS
@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
@pytest.mark.parametrize("kind", ["an absolute link", "a magic link of process 1", "a relative link"])
def test_system_folder_that_becomes_a_link_meanwhile_does_not_lead_out(hostile, swapping, name, kind, ids):
    box = hostile(*ids)
    if ids:
        own(box.root, FIRST)
    box.remember_files()
    box.may_make |= {str(box.root / "swap"), str(box.root / name)}
    KINDS[kind](box, box.root / "swap")
    swapping(box.root / name, box.root / "swap")
    for _ in range(STARTS):
        box.survive("/bin/true")


@pytest.mark.parametrize("options", ["bind,create=dir", "bind,create=file"])
@pytest.mark.parametrize("target", ["a/made", "a/b/made", "a", "a/b"])
@pytest.mark.parametrize("swapped", ["a", "a/b"])
def test_target_that_becomes_a_link_meanwhile_does_not_lead_out(hostile, swapping, target, swapped, options):
    """CVE-2021-30465 (runc): a target that is checked, exchanged, and mounted on."""
    box = hostile()
    source = box.folder / ("folder" if "dir" in options else "plain")
    source.mkdir() if "dir" in options else source.write_text("source\n")
    (box.root / "a" / "b").mkdir(parents=True)
    box.configure(f"lxc.mount.entry = {source} {target} none {options}")
    box.remember_files()
    (box.root / "swap").symlink_to(box.outside)
    swapping(box.root / swapped, box.root / "swap")
    for _ in range(STARTS):
        box.survive("/bin/true")
    box.may_make |= {
        str(box.root / name)
        for name in ("swap", "a", "a/b", "a/made", "a/b/made", "swap/made", "swap/b", "swap/b/made")
    }


@pytest.mark.parametrize("autodev", [0, 1])
def test_terminals_whose_folder_becomes_a_link_meanwhile_do_not_lead_out(hostile, swapping, autodev):
    box = hostile(f"lxc.autodev = {autodev}", "lxc.tty.max = 2", "lxc.pty.max = 4", "lxc.tty.dir = lxc")
    (box.root / "dev" / "lxc").mkdir()
    box.remember_files()
    # Places for the terminals, in an image's own /dev, wherever the folder was at that moment.
    box.allow(*(f"dev/{folder}/{name}" for folder in ("lxc", "swap") for name in ("console", "tty1", "tty2")))
    (box.root / "dev" / "swap").symlink_to(box.outside)
    swapping(box.root / "dev" / "lxc", box.root / "dev" / "swap")
    for _ in range(STARTS):
        box.survive("/bin/true", verb="start")


def test_folder_that_becomes_a_link_while_it_is_removed_does_not_lead_out(hostile, swapping):
    """lxc.ephemeral: what is removed is what lies in the folder, whoever moves links about in there."""
    box = hostile()
    place = box.folder / "lxc" / box.name
    for _ in range(6):
        for number in range(30):
            (place / "rootfs" / f"{number}" / "folder").mkdir(parents=True)
            (place / "rootfs" / f"{number}" / "file").touch()
            (place / "rootfs" / f"link{number}").symlink_to(box.outside)
        (place / "config").write_text(
            f"lxc.ephemeral = 1\nlxc.mount.auto = proc\nlxc.rootfs.managed = 0\nlxc.rootfs.path = {box.root}\n"
        )
        swapping(place / "rootfs" / "1", place / "rootfs" / "link1")
        swapping(place / "rootfs" / "20", place / "rootfs" / "link20")
        before = picture(box.outside)
        command = [box.command()[0], "execute", "-n", box.name, "-P", str(place.parent), "--", "/bin/true"]
        ran = subprocess.run(command, capture_output=True, text=True)
        # What the other one has put there meanwhile may be left, and that is told.
        assert ran.returncode == 0
        assert not ran.stderr or re.fullmatch(r"minilxc: ephemeral: \w+: [\w ]+\n", ran.stderr)
        assert picture(box.outside) == before
        swapping.end()
        subprocess.run(["rm", "-rf", str(place)], check=True)


def test_payload_that_moves_its_root_about_stays_inside(hostile):
    """The tree of a running container is its own business."""
    box = hostile("lxc.cap.drop = mknod")
    script = "exec 2>/dev/null; mv /tmp /x; ln -s /etc /tmp; umount /sys; rmdir /sys; ln -s ../outside /sys"
    assert box.survive("sh", "-c", f"{script}; ls /sys/folder; true", refused=False).out == ""
    assert machine.descendants() == []
