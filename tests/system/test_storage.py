"""Root file systems of layers and images, mounts with mapped ids, ephemeral containers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.helpers import machine
from tests.helpers.ordinary import own

BOTH = pytest.mark.parametrize("verb", ["execute", "start"])
FIRST = 700000
MAPPED = (f"lxc.idmap = u 0 {FIRST} 65536", f"lxc.idmap = g 0 {FIRST} 65536")
TYPE_OF_ROOT = "while read a b c d; do if [ $b = / ]; then echo $c $d; fi; done </proc/mounts"


def root_mount(box, **more):
    """The root's (type, options) in the container."""
    kind, options = box.read("sh", "-c", TYPE_OF_ROOT, **more).split()[:2]
    return kind, options.split(",")


def attached() -> set[str]:
    """The files that lie behind loop devices."""
    found = set()
    for device in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found.add(device.read_text().strip())
        except OSError:
            continue
    return found


# --- layers


@pytest.fixture
def layers(container):
    """A container whose root is a layer of its own over the usual one."""

    def make(*lines, owner=0, upper="upper", lowers=()):
        box = container(base=False)
        own(box.root, owner)
        box.upper = box.folder / "layers" / upper
        box.upper.mkdir(parents=True)
        os.chown(box.upper, owner, owner)
        lower = ":".join([*map(str, lowers), str(box.root)])
        box.line = f"lxc.rootfs.path = overlay:{lower}:{box.upper}"
        box.configure(box.line, *lines, rootfs=False)
        return box

    return make


@BOTH
@pytest.mark.parametrize(("lines", "owner"), [((), 0), (MAPPED, FIRST)], ids=["root", "mapped"])
def test_what_an_overlay_writes_goes_to_the_upper_layer_alone(layers, verb, lines, owner):
    box = layers(*lines, owner=owner)
    box.remember_files()
    script = "echo new >/etc/passwd; mkdir /tmp/made; rm /bin/tty; cat /etc/passwd"
    assert box.read("sh", "-c", script, verb=verb) == "new\n"
    assert (box.root / "etc/passwd").read_text().startswith("root:")
    assert (box.root / "bin/tty").is_symlink()
    made = sorted(str(path.relative_to(box.upper)) for path in box.upper.rglob("*"))
    assert made == ["bin", "bin/tty", "etc", "etc/passwd", "tmp", "tmp/made"]
    assert os.listdir(box.upper.parent) == ["upper"]  # LXC leaves its work folder
    assert (box.upper / "tmp/made").stat().st_uid == owner
    assert root_mount(box, verb=verb)[0] == "overlay"
    box.may_make |= {str(path) for path in box.upper.rglob("*")}


def test_word_overlayfs_and_several_lower_layers(layers, container):
    box = layers()
    second = box.folder / "second"
    (second / "etc").mkdir(parents=True)
    (second / "etc/own").write_text("second\n")
    box.configure(f"lxc.rootfs.path = overlayfs:{second}:{box.root}:{box.upper}", rootfs=False)
    assert box.read("cat", "/etc/own") == "second\n"


@pytest.mark.parametrize("name", ["a b", "back\\slash", "com,ma", "quo'te", "käse", "{}$x"])
def test_layer_may_have_any_name(layers, name):
    box = layers(upper=name)
    box.allow("tmp/x")
    assert box.read("sh", "-c", "echo kept >/tmp/x; cat /tmp/x") == "kept\n"
    assert (box.upper / "tmp/x").read_text() == "kept\n"
    box.may_make |= {str(path) for path in box.upper.rglob("*")}


def test_read_only_overlay_stays_as_it_is(layers):
    box = layers("lxc.rootfs.options = ro")
    assert box.calls("mkdir", "/tmp/x", "0755") == ["EROFS"]
    assert os.listdir(box.upper) == []


def test_mount_entries_and_devices_lie_on_an_overlay(layers):
    box = layers("lxc.mount.entry = none srv/x tmpfs create=dir")
    box.may_make |= {str(box.upper / name) for name in ("srv", "srv/x")}
    assert box.read("sh", "-c", "stat -c %t,%T /dev/null; mount | grep -c /srv/x") == "1,3\n1\n"


@pytest.mark.parametrize("missing", ["lower", "upper"])
def test_missing_layer_is_refused(layers, missing):
    box = layers()
    gone = f"{box.folder}/gone"
    lower, upper = (gone, box.upper) if missing == "lower" else (box.root, gone)
    line = f"lxc.rootfs.path = overlay:{lower}:{upper}"
    box.configure(line, rootfs=False)
    what = f"lxc.rootfs.path: layer '{gone}': No such file or directory"
    assert box.run("true") == (1, "", f"minilxc: {box.line_of(line)}: {what}\n")


def test_work_folder_that_was_there_stays(layers):
    """LXC uses it too."""
    box = layers()
    work = box.upper.parent / "work"
    work.mkdir()
    box.may_make |= {f"{work}/work"}
    assert box.read("true") == ""
    assert work.is_dir()


def test_work_folder_that_is_a_link_is_refused(layers):
    box = layers()
    victim = box.folder / "victim"
    victim.mkdir()
    (box.upper.parent / "work").symlink_to(victim)
    result = box.run("true")
    what = f"rootfs: {box.upper.parent}/work: the work folder of the overlay is no folder"
    assert result == (1, "", f"minilxc: {box.name}: {what} ({box.line_of(box.line)})\n")
    assert os.listdir(victim) == []


def test_overlay_that_cannot_be_mounted_leaves_no_work_folder(layers):
    """The kernel takes no upper layer on a file system that cannot hold one, such as procfs."""
    box = layers()
    line = f"lxc.rootfs.path = overlay:{box.upper}:{box.root}"
    box.configure(line, "lxc.rootfs.options = nonsense=1", rootfs=False)
    result = box.run("true")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith(f"minilxc: {box.name}: rootfs: {box.root}: option 'nonsense=1': ")


def test_second_overlay_with_the_same_work_folder_is_refused(layers, container):
    """Undefined in the kernel's own words."""
    box = layers()
    process = box.popen("sh", "-c", "echo ready; read line", stdin=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    other = box.upper.parent / "other"
    other.mkdir()
    box.configure(f"lxc.rootfs.path = overlay:{box.root}:{other}", rootfs=False)
    first, box.name = box.name, f"{box.name}-2"
    result = box.run("true")
    box.name = first
    assert result.status == 1
    assert f"{box.upper.parent}/work: another container has it as its overlay's work folder" in result.err
    process.communicate("\n")
    assert process.returncode == 0
    shutil.rmtree(other)


def test_mapped_ids_of_an_overlay_are_refused_where_the_kernel_has_none(layers):
    box = layers(*MAPPED, "lxc.rootfs.options = idmap=container")
    result = box.run("id", "-u")
    assert (result.status, result.err.count("\n")) in ((0, 0), (1, 1))
    if result.status:
        assert "cannot map the ids of a mount of its file system (idmap=)" in result.err


# --- images and devices


@pytest.fixture
def image(container):
    def make(*lines, owner=0, kind="loop:"):
        box = container(base=False)
        own(box.root, owner)
        box.image = box.folder / "image"
        with box.image.open("wb") as empty:
            empty.truncate(32 << 20)
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-d", str(box.root), str(box.image)], check=True)
        box.configure(f"lxc.rootfs.path = {kind}{box.image}", *lines, rootfs=False)
        return box

    return make


@BOTH
@pytest.mark.parametrize("kind", ["", "loop:"])
@pytest.mark.parametrize(("lines", "owner"), [((), 0), (MAPPED, FIRST)], ids=["root", "mapped"])
def test_image_becomes_the_root_and_is_let_go_of(image, verb, kind, lines, owner):
    box = image(*lines, owner=owner, kind=kind)
    assert root_mount(box, verb=verb)[0] == "ext4"
    assert box.read("sh", "-c", "echo kept >/tmp/kept; stat -c %u /tmp/kept", verb=verb) == "0\n"
    assert box.read("cat", "/tmp/kept") == "kept\n"
    assert str(box.image) not in attached()


def test_image_of_real_ids_is_shown_through_the_map(image):
    box = image(*MAPPED, "lxc.rootfs.options = idmap=container")
    assert box.read("stat", "-c", "%u", "/etc/passwd") == "0\n"
    assert box.read("sh", "-c", "echo x >/x; stat -c %u /x") == "0\n"
    assert str(box.image) not in attached()


def test_type_dir_takes_no_image(image):
    box = image(kind="dir:")
    what = f"lxc.rootfs.path: '{box.image}': is not a folder"
    assert box.run("true") == (
        1,
        "",
        f"minilxc: {box.line_of(f'lxc.rootfs.path = dir:{box.image}')}: {what}\n",
    )


@pytest.fixture
def device(image):
    box = image()
    ran = subprocess.run(
        ["losetup", "--find", "--show", str(box.image)], capture_output=True, text=True, check=True
    )
    box.device = ran.stdout.strip()
    yield box
    subprocess.run(["losetup", "--detach", box.device], check=True)


def test_block_device_becomes_the_root(device):
    device.configure(f"lxc.rootfs.path = {device.device}", rootfs=False)
    assert root_mount(device)[0] == "ext4"
    device.configure(f"lxc.rootfs.path = {device.device}", "lxc.rootfs.options = ro", rootfs=False)
    assert device.calls("mkdir", "/tmp/x", "0755") == ["EROFS"]


def test_squashfs_is_a_read_only_root(container):
    box = container(base=False)
    squashed = box.folder / "squashed"
    subprocess.run(["mksquashfs", str(box.root), str(squashed), "-quiet", "-no-progress"], check=True)
    box.configure(f"lxc.rootfs.path = loop:{squashed}", rootfs=False)
    kind, options = root_mount(box)
    assert (kind, options[0]) == ("squashfs", "ro")
    assert box.calls("open", "/x", "0101", "0644") == ["EROFS"]
    assert str(squashed) not in attached()


def test_image_on_a_medium_that_cannot_be_written_is_mounted_read_only(image):
    box = image()
    box.remember_files()
    script = f'mount --bind {box.image} {box.image}; mount -o remount,bind,ro {box.image}; exec "$@"'
    command = box.command("sh", "-c", f"{TYPE_OF_ROOT}; touch /x")
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, "sh", *command], capture_output=True, text=True
    )
    assert ran.stdout.startswith("ext4 ro,")
    assert "Read-only file system" in ran.stderr
    assert str(box.image) not in attached()


@pytest.mark.parametrize("kind", ["btrfs", "zfs", "lvm", "nbd", "rbd"])
def test_type_that_minilxc_does_not_know_is_refused_with_what_to_write(container, kind):
    line = f"lxc.rootfs.path = {kind}:/srv/x"
    box = container(line, rootfs=False)
    result = box.run("true")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith(f"minilxc: {box.line_of(line)}: lxc.rootfs.path: '{kind}' is refused: ")


# --- mounts with mapped ids


def test_folder_of_real_ids_is_the_containers_root(container):
    """With idmap=container the tree belongs to root on the host, wherever it lies."""
    box = container(*MAPPED, "lxc.rootfs.options = idmap=container")
    own(box.root, 0)
    box.folder.chmod(0o700)
    box.allow("tmp/made")
    assert box.read("sh", "-c", "stat -c %u /etc/passwd; touch /tmp/made; stat -c %u /tmp/made") == "0\n0\n"
    assert (box.root / "tmp/made").stat().st_uid == 0
    box.folder.chmod(0o755)


@BOTH
@pytest.mark.parametrize("bind", ["bind", "rbind"])
def test_bind_with_mapped_ids_is_the_containers_roots(container, verb, bind):
    box = container(base=False)
    own(box.root, FIRST)
    data = box.folder / "data"
    (data / "sub").mkdir(parents=True)
    (data / "file").write_text("content\n")
    data.chmod(0o700)
    lines = (
        "lxc.mount.entry = /nowhere root none bind,idmap=container,optional",
        f"lxc.mount.entry = {data} tmp none {bind},ro,idmap=container",
        f"lxc.mount.entry = {data}/file root/f none bind,idmap=container,create=file",
        "lxc.mount.entry = none tmp/sub tmpfs mode=700",
    )
    box.configure(*MAPPED, *lines)
    box.allow("root/f")
    script = "cat /tmp/file /root/f; stat -c '%u %g' /tmp/file; mount | grep -c ' /tmp/sub '"
    assert box.read("sh", "-c", script, verb=verb) == "content\ncontent\n0 0\n1\n"
    assert box.calls("mkdir", "/tmp/x", "0755") == ["EROFS"]


@pytest.fixture
def other_namespace():
    """The path of a user namespace in which the host's root is user 5000."""
    process = subprocess.Popen(["unshare", "-U", "sleep", "1000"])
    try:
        while os.readlink(f"/proc/{process.pid}/ns/user") == os.readlink("/proc/self/ns/user"):
            pass
        Path(f"/proc/{process.pid}/uid_map").write_text("0 5000 10\n")
        Path(f"/proc/{process.pid}/gid_map").write_text("0 6000 10\n")
        yield f"/proc/{process.pid}/ns/user"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("lines", [(), MAPPED], ids=["root", "mapped"])
def test_ids_may_be_those_of_another_user_namespace(container, other_namespace, lines):
    box = container(base=False)
    data = box.folder / "data"
    data.mkdir()
    (data / "file").touch()
    line = f"lxc.mount.entry = {data} tmp none bind,idmap={other_namespace}"
    box.configure(line, *lines)
    assert box.read("stat", "-c", "%u %g", "/tmp/file") == ("65534 65534\n" if lines else "5000 6000\n")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("bind,idmap=container", "mount option 'idmap=container': the container has no id map (lxc.idmap)"),
        ("bind,idmap=/nowhere", "mount option 'idmap=/nowhere': No such file or directory"),
        (
            "bind,idmap=/proc/self/ns/net",
            "mount option 'idmap=/proc/self/ns/net': is not a user namespace (container, or /proc/PID/ns/user)",
        ),
        (
            "bind,idmap=/etc/passwd",
            "mount option 'idmap=/etc/passwd': is not a user namespace (container, or /proc/PID/ns/user)",
        ),
        ("bind,idmap=", "mount option 'idmap=' names no map (container, or a path)"),
        ("idmap=container", "'idmap=' is for bind mounts of the host's folders and files"),
        ("bind,relative,idmap=container", "'idmap=' is for bind mounts of the host's folders and files"),
        ("remount,bind,idmap=container", "'idmap=' is for bind mounts of the host's folders and files"),
    ],
)
def test_map_that_cannot_be_is_refused_with_its_line(container, options, why):
    line = f"lxc.mount.entry = /srv tmp tmpfs {options}"
    box = container(line)
    assert box.run("true") == (1, "", f"minilxc: {box.line_of(line)}: {why}\n")


def test_file_system_without_mapped_ids_is_told_with_the_entrys_line(container):
    line = "lxc.mount.entry = /proc tmp none bind,idmap=container"
    box = container(*MAPPED, line)
    why = "mounts: /proc: this kernel cannot map the ids of a mount of its file system (idmap=)"
    hint = f"({box.line_of(line)}; 'optional' would skip it)"
    assert box.run("true") == (1, "", f"minilxc: {box.name}: {why} {hint}\n")
    box.configure(*MAPPED, f"{line},optional")
    assert box.read("true") == ""


def test_missing_source_with_mapped_ids_is_told_with_the_entrys_line(container):
    line = "lxc.mount.entry = /nowhere tmp none bind,idmap=container"
    box = container(*MAPPED, line)
    hint = f"({box.line_of(line)}; 'optional' would skip it)"
    assert box.run("true") == (
        1,
        "",
        f"minilxc: {box.name}: mounts: /nowhere: No such file or directory {hint}\n",
    )


# --- ephemeral containers


@pytest.fixture
def ephemeral(container):
    """A container that lies in PATH/NAME with its config and root file system, as LXC's do; beside it a witness."""

    def make(*lines, rootfs="{folder}/rootfs", own_config=True, base=("lxc.ephemeral = 1",)):
        box = container(base=False)
        box.path = box.folder / "lxc"
        box.place = box.path / box.name
        box.place.mkdir(parents=True)
        os.rename(box.root, box.place / "rootfs")
        box.root.mkdir()
        box.root = box.place / "rootfs"
        (box.path / "witness").mkdir()
        (box.path / "witness" / "file").write_text("kept\n")
        if own_config:
            box.file = box.place / "config"
        path = [f"lxc.rootfs.path = {rootfs.format(folder=box.place)}"] if rootfs else []
        box.configure(*path, *lines, *base, rootfs=False)
        box.gone = lambda: not box.place.exists()
        box.go = lambda *words, **more: box.run(*words, options=("-P", str(box.path)), **more)
        box.remember_files()
        box.may_make |= {str(box.place)} | {str(path) for path in box.place.rglob("*")}
        return box

    return make


def kept(box):
    return (box.path / "witness" / "file").read_text() == "kept\n"


@BOTH
@pytest.mark.parametrize("lines", [(), MAPPED], ids=["root", "mapped"])
def test_ephemeral_container_is_removed_when_it_has_run(ephemeral, verb, lines):
    box = ephemeral(*lines)
    own(box.root, FIRST if lines else 0)
    assert box.go("sh", "-c", "mkdir -p /tmp/a/b; touch /tmp/a/b/c; exit 5", verb=verb) == (5, "", "")
    assert box.gone()
    assert kept(box)


def test_reboot_removes_nothing(ephemeral):
    """As LXC, which starts it again; when it has run for the last time it goes."""
    box = ephemeral()
    again = "if test -e /again; then exit 3; fi; touch /again; busybox reboot -f"
    assert box.go("sh", "-c", again, verb="start").status == 3
    assert box.gone()


def test_start_that_fails_removes_nothing(ephemeral):
    """LXC removes it, and what could say why with it (tested)."""
    box = ephemeral("lxc.mount.entry = /nowhere tmp none bind")
    assert box.go("true").status == 1
    assert box.go("/nothing").status != 0
    assert not box.gone()


def test_program_that_cannot_be_executed_removes_nothing(ephemeral):
    box = ephemeral()
    assert box.go("/nothing").status == 127
    assert not box.gone()


def test_killed_minilxc_removes_nothing(ephemeral):
    box = ephemeral()
    process = box.popen(
        "sh", "-c", "echo ready; read line", options=("-P", str(box.path)), stdin=subprocess.PIPE
    )
    assert process.stdout.readline() == "ready\n"
    below = machine.descendants(process.pid)
    process.kill()
    process.wait()
    machine.wait_until_gone(*below)
    assert not box.gone()


def test_links_of_an_ephemeral_container_are_removed_and_not_followed(ephemeral):
    box = ephemeral()
    witness = box.path / "witness"
    script = (
        f"ln -s {witness} /tmp/l; ln -s {witness}/file /l; ln -s ../../../witness /rel; ln -s / /root/r;"
        f"ln -s {witness} /tmp/a; mkdir /tmp/d; ln -s ../../../../../witness /tmp/d/x"
    )
    assert box.go("sh", "-c", script) == (0, "", "")
    assert box.gone()
    assert kept(box)


def test_mount_of_the_host_in_an_ephemeral_container_is_not_entered(ephemeral):
    """Also a bind mount of the same file system, which has the same device number."""
    box = ephemeral()
    (box.root / "srv").mkdir()
    (box.root / "opt").mkdir()
    script = (
        f"mount --bind {box.path}/witness {box.root}/srv; mount -t tmpfs x {box.root}/opt;"
        f' touch {box.root}/opt/f; "$@"; ls {box.root}/opt'
    )
    command = box.command("true", options=("-P", str(box.path)))
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, "sh", *command], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (0, "f\n")
    assert sorted(path.name for path in box.root.iterdir()) == ["opt", "srv"]
    assert kept(box)
    shutil.rmtree(box.place)


def test_deep_tree_is_removed(ephemeral):
    """Deeper than a path can be long, a process can recurse, or have descriptors."""
    box = ephemeral()
    script = "cd /tmp; i=0; while [ $i -lt 3000 ]; do mkdir d; cd d; i=$((i+1)); done"
    assert box.go("sh", "-c", script).status == 0
    assert box.gone()


def test_folder_that_nobody_may_read_is_removed(ephemeral):
    box = ephemeral()
    assert box.go("sh", "-c", "mkdir -p /tmp/a/b; touch /tmp/a/b/c; chmod 0 /tmp/a/b /tmp/a") == (0, "", "")
    assert box.gone()


def test_upper_layer_goes_and_the_lower_ones_stay(ephemeral):
    box = ephemeral(rootfs=None)
    lower = box.folder / "lower"
    os.rename(box.root, lower)
    box.root.mkdir()
    (box.place / "delta").mkdir()
    box.configure(f"lxc.rootfs.path = overlay:{lower}:{box.place}/delta", "lxc.ephemeral = 1", rootfs=False)
    assert box.go("sh", "-c", "rm -r /etc /tmp; touch /x") == (0, "", "")
    assert box.gone()
    assert (lower / "etc" / "passwd").exists()
    shutil.rmtree(lower)
    box._files = None


def test_root_file_system_elsewhere_is_refused(ephemeral):
    """LXC removes it, wherever it is (tested)."""
    box = ephemeral(rootfs=None)
    other = box.path / "other"
    os.rename(box.root, other)
    box.configure(f"lxc.rootfs.path = {other}", "lxc.ephemeral = 1", rootfs=False)
    what = f"lxc.ephemeral: the root file system '{other}' is not in '{box.place}' and would have to go too"
    hint = "(lxc.rootfs.managed = 0 keeps it)"
    assert box.go("true") == (1, "", f"minilxc: {box.line_of('lxc.ephemeral = 1')}: {what} {hint}\n")
    box.configure(f"lxc.rootfs.path = {other}", "lxc.ephemeral = 1", "lxc.rootfs.managed = 0", rootfs=False)
    assert box.go("true") == (0, "", "")
    assert box.gone()
    assert (other / "etc" / "passwd").exists()
    shutil.rmtree(other)
    box._files = None


@pytest.mark.parametrize("spelling", ["{folder}/link", "{folder}/rootfs/../../other", "{folder}/../other"])
def test_root_file_system_that_only_seems_to_lie_there_is_refused(ephemeral, spelling):
    box = ephemeral(rootfs=spelling)
    other = box.path / "other"
    other.mkdir()
    (box.place / "link").symlink_to(other)
    result = box.go("true")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert "and would have to go too" in result.err
    assert other.exists()
    other.rmdir()
    (box.place / "link").unlink()


def test_config_elsewhere_is_refused(ephemeral):
    """-f FILE with the name of a container that has nothing to do with it."""
    box = ephemeral(own_config=False)
    what = f"lxc.ephemeral: would remove '{box.place}', but the config '{box.file}' is not its own ({box.place}/config)"
    assert box.go("true") == (1, "", f"minilxc: {box.line_of('lxc.ephemeral = 1')}: {what}\n")
    assert not box.gone()


def test_container_without_a_folder_is_refused(container):
    box = container("lxc.ephemeral = 1")
    result = box.run("true")
    where = box.line_of("lxc.ephemeral = 1")
    what = f"lxc.ephemeral: '/var/lib/lxc/{box.name}', which it would remove: No such file or directory"
    assert result == (1, "", f"minilxc: {where}: {what}\n")


def test_folder_that_is_a_link_is_refused(ephemeral):
    box = ephemeral()
    real = box.path / "real"
    os.rename(box.place, real)
    box.place.symlink_to(real)
    result = box.go("true")
    assert result.status == 1
    assert "is no folder, and what a link leads to is not removed" in result.err
    assert (real / "rootfs" / "etc").exists()
    box.place.unlink()
    os.rename(real, box.place)


def test_folder_that_was_exchanged_meanwhile_is_left_alone(ephemeral):
    box = ephemeral()
    process = box.popen(
        "sh", "-c", "echo ready; read line", options=("-P", str(box.path)), stdin=subprocess.PIPE
    )
    assert process.stdout.readline() == "ready\n"
    away = box.path / "away"
    os.rename(box.place, away)
    shutil.copytree(box.path / "witness", box.place)
    process.communicate("\n")
    assert process.returncode == 0
    assert (box.place / "file").read_text() == "kept\n"
    shutil.rmtree(box.place)
    os.rename(away, box.place)


@pytest.mark.parametrize("kind", ["copies", "snapshots"])
def test_container_that_others_need_is_refused(ephemeral, kind):
    """LXC notes overlay copies of a container in its folder."""
    box = ephemeral()
    if kind == "copies":
        (box.place / "lxc_snapshots").write_text("1")
    else:
        (box.place / "snaps" / "snap0").mkdir(parents=True)
    box.may_make |= {str(path) for path in box.place.rglob("*")}
    what = f"lxc.ephemeral: there are copies and snapshots that need '{box.place}'"
    assert box.go("true") == (1, "", f"minilxc: {box.line_of('lxc.ephemeral = 1')}: {what}\n")


def test_kept_root_file_system_in_the_folder_is_refused(ephemeral):
    box = ephemeral("lxc.rootfs.managed = 0")
    what = "lxc.ephemeral: would remove the root file system, which lxc.rootfs.managed = 0 keeps"
    assert box.go("true") == (1, "", f"minilxc: {box.line_of('lxc.ephemeral = 1')}: {what}\n")


def test_what_cannot_be_removed_is_told_and_the_rest_goes(ephemeral):
    box = ephemeral()
    fixed = box.place / "fixed"
    fixed.mkdir()
    (fixed / "file").touch()
    subprocess.run(["chattr", "+i", str(fixed)], check=True)
    log = box.folder / "log"
    try:
        result = box.run("true", options=("-P", str(box.path), "-o", str(log), "-l", "WARN"))
        assert result == (0, "", "minilxc: ephemeral: file: Operation not permitted\n")
    finally:
        subprocess.run(["chattr", "-i", str(fixed)], check=True)
    assert os.listdir(box.place) == ["fixed"]
    assert "ephemeral" in log.read_text()
    box.may_make |= {str(log)}
    shutil.rmtree(box.place)


def test_dry_run_and_check_remove_nothing(ephemeral):
    box = ephemeral()
    ran = subprocess.run(
        [box.command()[0], "checkconfig", "-n", box.name, "-P", str(box.path)], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"{box.place} is removed when it has run" in ran.stdout
    ran = subprocess.run(
        [box.command()[0], "execute", "--dry-run", "-n", box.name, "-P", str(box.path), "true"],
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert not box.gone()
