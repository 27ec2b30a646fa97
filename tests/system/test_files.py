"""The container's tree: root file system, /dev, mounts, and the ways out of it that are none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

BOTH = pytest.mark.parametrize("verb", ["execute", "start"])
MAPPED = ("lxc.idmap = u 0 200000 65536", "lxc.idmap = g 0 300000 65536")


def mounted(box, place, **more):
    """The mount at `place`: (its flags, type, the file system's options)."""
    rows = [line.split() for line in box.read("cat", "/proc/self/mountinfo", **more).splitlines()]
    found = [row for row in rows if row[4] == place]
    assert found, (place, rows)
    row = found[-1]
    dash = row.index("-")
    return set(row[5].split(",")), row[dash + 1], set(row[dash + 3].split(","))


# --- root file system


@BOTH
def test_payload_sees_its_root_file_system_and_nothing_of_the_hosts(container, verb):
    box = container()
    shown = box.read("sh", "-c", "ls -a /; cat /proc/self/mountinfo", verb=verb)
    assert shown.split()[:9] == [".", "..", "bin", "dev", "etc", "proc", "root", "sys", "tmp"]
    places = [line.split()[4] for line in shown.splitlines() if " - " in line]
    assert all(place == "/" or place.startswith(("/dev", "/proc", "/sys")) for place in places)


@BOTH
def test_root_file_system_is_read_only_when_asked(container, verb):
    box = container("lxc.rootfs.options = ro")
    assert box.calls("open", "/x", "0101", "0644", "+", "mkdir", "/tmp/x", "0755", verb=verb) == [
        "EROFS",
        "EROFS",
    ]


def test_root_file_system_has_the_flags_that_the_options_say(container):
    assert mounted(container("lxc.rootfs.options = nodev,nosuid,noatime"), "/")[0] >= {
        "nodev",
        "nosuid",
        "noatime",
        "rw",
    }


def test_root_file_system_on_a_mount_point_elsewhere(container):
    box = container(base=False)
    place = box.folder / "place"
    place.mkdir()
    box.configure(f"lxc.rootfs.mount = {place}", "lxc.mount.entry = tmpfs " + f"{place}/tmp tmpfs defaults")
    assert mounted(box, "/tmp")[1] == "tmpfs"


def test_without_a_root_file_system_the_hosts_is_shared(container):
    box = container(rootfs=False, base=False)
    assert box.read("/bin/cat", __file__) == Path(__file__).read_text()


def test_mounts_without_a_root_file_system_stay_inside(container):
    box = container(base=False)
    box.configure(f"lxc.mount.entry = tmpfs {box.root}/tmp tmpfs defaults", rootfs=False, base=False)
    shown = box.read("/bin/sh", "-c", f"touch {box.root}/tmp/hidden; ls {box.root}/tmp")
    assert shown == "hidden\n"
    assert os.listdir(box.root / "tmp") == []


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("dir:/nowhere", "lxc.rootfs.path: '/nowhere': No such file or directory"),
        ("dir:/bin/busybox", "lxc.rootfs.path: '/bin/busybox': is not a folder"),
        ("dir:/", "lxc.rootfs.path: '/' is the host's own root (leave the key out to share it)"),
    ],
)
def test_root_file_system_that_cannot_be_is_refused_with_its_line(container, value, why):
    box = container(f"lxc.rootfs.path = {value}", rootfs=False)
    assert box.run("true") == (1, "", f"minilxc: {box.line_of(f'lxc.rootfs.path = {value}')}: {why}\n")


# --- /dev, /proc, /sys


@BOTH
def test_dev_is_a_small_tmpfs_with_the_usual_nodes(container, verb):
    box = container("lxc.autodev.tmpfs.size = 100000")
    shown = box.read(
        "sh", "-c", "cd /dev; ls; stat -c '%n %A %t,%T' full null random tty urandom zero", verb=verb
    )
    names, nodes = shown.split("full crw")[0].split(), shown.splitlines()[-6:]
    assert names == "console fd full null pts random stderr stdin stdout tty urandom zero".split()
    assert nodes == [
        "full crw-rw-rw- 1,7",
        "null crw-rw-rw- 1,3",
        "random crw-rw-rw- 1,8",
        "tty crw-rw-rw- 5,0",
        "urandom crw-rw-rw- 1,9",
        "zero crw-rw-rw- 1,5",
    ]
    assert mounted(box, "/dev", verb=verb)[1:] == ("tmpfs", {"rw", "size=100k", "mode=755"})
    assert list((box.root / "dev").iterdir()) == []


def test_dev_is_the_images_own_without_autodev(container):
    box = container("lxc.autodev = 0")
    (box.root / "dev" / "own").touch()
    box.allow("dev/console", "dev/fd", "dev/stdin", "dev/stdout", "dev/stderr")
    assert box.read("ls", "/dev") == "console\nfd\nown\nstderr\nstdin\nstdout\n"  # what LXC adds, too


def test_dev_links_lead_to_the_payloads_descriptors(container):
    assert container().read(
        "sh", "-c", "echo x >/dev/stdout; for n in fd stdin; do readlink /dev/$n; done"
    ) == ("x\n/proc/self/fd\n/proc/self/fd/0\n")


@BOTH
def test_proc_is_whole_with_the_dangerous_parts_read_only(container, verb):
    """lxc-keys.md 4.5: proc:mixed."""
    box = container()
    assert mounted(box, "/proc", verb=verb)[0] >= {"rw", "nosuid", "nodev", "noexec"}
    assert mounted(box, "/proc/sys")[0] >= {"ro"}
    assert mounted(box, "/proc/sys/net")[0] >= {"rw"}
    assert box.calls("open", "/proc/sys/kernel/msgmax", "1") == ["EROFS"]
    if os.path.exists("/proc/sysrq-trigger"):  # a kernel may be built without
        assert "ro" in mounted(box, "/proc/sysrq-trigger")[0]


def test_proc_sys_net_is_read_only_without_the_right_to_change_it(container):
    box = container("lxc.cap.drop = net_admin")
    assert box.calls("open", "/proc/sys/net/ipv4/ip_forward", "1") == ["EROFS"]


def test_proc_shows_the_containers_processes(container):
    assert container().read("sh", "-c", "cd /proc; echo [0-9]*").split() == ["1", "2"]


def test_sys_words_say_what_is_writable(container):
    box = container()
    assert "ro" in mounted(box, "/sys")[0]
    box.configure("lxc.mount.auto = sys:mixed")
    assert "ro" in mounted(box, "/sys")[0]
    assert "rw" in mounted(box, "/sys/devices/virtual/net")[0]
    box.configure("lxc.mount.auto = sys:rw")
    assert "rw" in mounted(box, "/sys")[0]


def test_boot_id_is_the_containers_own(container):
    box = container()
    first, second = (box.read("cat", "/proc/sys/kernel/random/boot_id") for _ in range(2))
    assert len({first, second, Path("/proc/sys/kernel/random/boot_id").read_text()}) == 3


def test_folder_bound_over_dev_is_refused_and_left_as_it_was(container):
    """It is the host's, perhaps the host's own /dev: no node, no link, no boot id must be left in it."""
    box = container(base=False)
    shared = box.folder / "shared"
    shared.mkdir()
    box.configure(f"lxc.mount.entry = {shared} dev none bind")
    result = box.run("true")
    assert (result.status, result.err) == (
        1,
        f"minilxc: {box.name}: devices: /dev: another mount covers it (lxc.autodev = 0 leaves /dev alone)\n",
    )
    assert os.listdir(shared) == []


# --- mount entries


def test_bind_mount_shows_the_hosts_folder(container):
    box = container(base=False)
    (box.folder / "data").mkdir()
    (box.folder / "data" / "file").write_text("content\n")
    box.configure(f"lxc.mount.entry = {box.folder}/data srv none bind,create=dir")
    box.allow("srv")
    assert box.read("cat", "/srv/file") == "content\n"


@BOTH
def test_read_only_bind_mount_is_read_only(container, verb):
    """bind,ro takes two mount(2) calls; the second must not get lost."""
    box = container(base=False)
    (box.folder / "data").mkdir()
    box.configure(f"lxc.mount.entry = {box.folder}/data tmp none bind,ro,nosuid,nodev")
    assert box.calls("mkdir", "/tmp/x", "0755", verb=verb) == ["EROFS"]
    assert mounted(box, "/tmp")[0] >= {"ro", "nosuid", "nodev"}


def test_recursive_bind_takes_the_mounts_below_along_and_makes_them_all_read_only(container):
    """`ro` on the top alone leaves what is mounted below writable (CVE-2021-21334's sort of surprise)."""
    box = container(base=False)
    (box.folder / "data" / "sub").mkdir(parents=True)
    box.configure(f"lxc.mount.entry = {box.folder}/data tmp none rbind,ro")
    script = f'mount -t tmpfs none {box.folder}/data/sub && exec "$@"'
    box.remember_files()
    command = box.command("try-syscall", "mkdir", "/tmp/sub/x", "0755")
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *command], capture_output=True, text=True
    )
    assert (ran.stdout, ran.stderr) == ("-30\n", "")  # EROFS


@pytest.mark.parametrize(("word", "kind"), [("dir", "directory"), ("file", "regular empty file")])
def test_missing_target_is_made_when_asked(container, word, kind):
    box = container(base=False)
    source = box.folder / "source"
    source.mkdir() if word == "dir" else source.touch()
    box.configure(f"lxc.mount.entry = {source} a/b/c none bind,create={word}")
    box.allow("a", "a/b", "a/b/c")
    assert box.read("stat", "-c", "%F", "/a/b/c") == f"{kind}\n"
    assert (box.root / "a" / "b").stat().st_mode & 0o7777 == 0o755


def test_missing_target_is_told_with_the_entrys_line(container):
    line = "lxc.mount.entry = tmpfs nowhere tmpfs defaults"
    box = container(line)
    where = box.line_of(line)
    why = f"mounts: nowhere: No such file or directory ({where}; 'optional' would skip it)"
    assert box.run("true") == (1, "", f"minilxc: {box.name}: {why}\n")


def test_missing_source_is_told_with_the_entrys_line(container):
    line = "lxc.mount.entry = /nowhere tmp none bind"
    box = container(line)
    where = box.line_of(line)
    why = f"mounts: /nowhere: No such file or directory ({where}; 'optional' would skip it)"
    assert box.run("true") == (1, "", f"minilxc: {box.name}: {why}\n")


@pytest.mark.parametrize(
    "entry",
    [
        "/nowhere tmp none bind,optional",
        "tmpfs nowhere tmpfs optional",
        "tmpfs tmp tmpfs size=junk,optional",
        "x tmp nosuchfs optional",
    ],
)
def test_optional_mount_that_fails_is_skipped(container, entry):
    assert container(f"lxc.mount.entry = {entry}").read("true") == ""


@pytest.mark.parametrize("option", ["bogus", "create=socket", "idmap=container"])
def test_unknown_mount_word_is_refused_with_its_line(container, option):
    """LXC 5.0.2 takes any word (lxc-keys.md 10, number 10)."""
    line = f"lxc.mount.entry = tmpfs tmp tmpfs {option}"
    box = container(line)
    result = box.run("true")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"minilxc: {box.line_of(line)}: ")
    assert option.split("=")[0] in result.err


def test_word_that_only_contains_optional_is_not_optional(container):
    """LXC searches the option string for the word (lxc-keys.md 4.5)."""
    box = container("lxc.mount.entry = /nowhere tmp none bind,rootcontext=optional")
    result = box.run("true")
    assert (result.status, result.err.count("\n")) == (1, 1)


def test_file_system_gets_its_options(container):
    box = container("lxc.mount.entry = mine tmp tmpfs size=64k,mode=700,noexec")
    flags, kind, options = mounted(box, "/tmp")
    assert kind == "tmpfs"
    assert {"noexec"} <= flags
    assert {"size=64k", "mode=700"} <= options


def test_file_system_that_refuses_an_option_is_told_in_the_kernels_words(container):
    line = "lxc.mount.entry = none tmp tmpfs size=junk"
    box = container(line)
    result = box.run("true")
    assert result.status == 1
    assert result.err.startswith(
        f"minilxc: {box.name}: mounts: tmpfs on tmp: option 'size=junk': Invalid argument"
    )
    assert f"({box.line_of(line)}; 'optional' would skip it)\n" in result.err


def test_read_only_file_system_is_read_only(container):
    assert container("lxc.mount.entry = none tmp tmpfs ro").calls("mkdir", "/tmp/x", "0755") == ["EROFS"]


def test_relative_source_lies_below_the_root_file_system(container):
    box = container("lxc.mount.entry = /etc/passwd tmp/passwd none bind,relative,create=file")
    box.allow("tmp/passwd")
    assert box.read("cat", "/tmp/passwd").startswith("root:x:0:0::/root:")


def test_fstab_comes_before_the_entries(container):
    box = container(base=False)
    (box.folder / "fstab").write_text(
        "# a comment\n\nfirst tmp tmpfs mode=700 0 0\nsecond root tmpfs defaults\n"
    )
    box.configure(f"lxc.mount.fstab = {box.folder}/fstab", "lxc.mount.entry = third tmp tmpfs mode=711")
    rows = [line.split() for line in box.read("cat", "/proc/self/mountinfo").splitlines()]
    sources = [row[row.index("-") + 2] for row in rows if row[4] in ("/tmp", "/root")]
    assert sources == ["first", "second", "third"]


def test_mistake_in_the_fstab_is_told_with_its_line(container):
    box = container(base=False)
    (box.folder / "fstab").write_text("none tmp tmpfs defaults\nnone tmp tmpfs bogus\n")
    box.configure(f"lxc.mount.fstab = {box.folder}/fstab")
    result = box.run("true")
    assert result == (1, "", f"minilxc: {box.folder}/fstab:2: mount option 'bogus' is unknown\n")


def test_blank_in_a_path_is_written_as_octal(container):
    box = container(base=False)
    (box.folder / "a b").mkdir()
    (box.folder / "a b" / "file").touch()
    box.configure(f"lxc.mount.entry = {box.folder}/a\\040b tmp none bind")
    assert box.read("ls", "/tmp") == "file\n"


@BOTH
def test_nothing_mounted_inside_shows_outside(container, verb):
    """mount_namespaces(7): the tree is a slave before the first mount. (The inventory looks at the host's table.)"""
    box = container("lxc.mount.entry = none tmp tmpfs shared")
    assert box.read("sh", "-c", "mount -t tmpfs none /root && mount | grep -c ' /root '", verb=verb) == "1\n"


def test_device_entry_is_kept(container):
    """An entry may bring a device of its own over the new /dev."""
    box = container("lxc.mount.entry = /dev/zero dev/own none bind,create=file")
    assert box.read("stat", "-c", "%t,%T", "/dev/own") == "1,5\n"


# --- ways out that are none


def outside(box):
    """A folder of the host, beside the root file system, and an absolute link's way to it."""
    folder = box.folder / "outside"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("options", ["bind,create=dir", "bind,create=file", "bind"])
@pytest.mark.parametrize("target", ["../outside/made", "tmp/../../outside/made", "a/../../outside"])
def test_target_with_dot_dot_is_refused(container, target, options):
    """LXC 5.0.2 makes the folder on the host (lxc-keys.md 4.5, tested)."""
    box = container(base=False)
    outside(box)
    line = f"lxc.mount.entry = /bin {target} none {options}"
    box.configure(line)
    why = f"mount target '{target}' must not contain '..'"
    assert box.run("true") == (1, "", f"minilxc: {box.line_of(line)}: {why}\n")


LINKS = {
    "an absolute link": lambda box: str(box.folder / "outside"),
    "a relative link": lambda box: "../../../../../.." + str(box.folder / "outside"),
    "a magic link to the root": lambda box: "/proc/self/root" + str(box.folder / "outside"),
    "a magic link of process 1": lambda box: "/proc/1/root" + str(box.folder / "outside"),
    "a magic link to the folder": lambda box: "/proc/1/cwd" + str(box.folder / "outside"),
}


@pytest.mark.parametrize("options", ["bind,create=dir", "bind,create=file", "bind"])
@pytest.mark.parametrize("link", LINKS)
def test_link_in_the_image_does_not_lead_a_mount_out(container, link, options):
    """CVE-2015-1335 (LXC), CVE-2021-30465 (runc): a target through a link of the image's."""
    box = container(base=False)
    folder = outside(box)
    (box.root / "link").symlink_to(LINKS[link](box))
    box.configure(f"lxc.mount.entry = /bin link/made none {options}")
    box.remember_files()
    result = box.run("true")
    assert os.listdir(folder) == []
    assert result.err.count("\n") == result.status  # one line, or it was contained
    _forget_what_was_made_inside(box)


@pytest.mark.parametrize("options", ["bind,create=dir", "bind,create=file", "bind"])
@pytest.mark.parametrize("link", LINKS)
def test_target_that_is_itself_a_link_does_not_lead_a_mount_out(container, link, options):
    box = container(base=False)
    folder = outside(box)
    (box.root / "link").symlink_to(LINKS[link](box))
    box.configure(f"lxc.mount.entry = /bin link none {options}")
    result = box.run("true")
    assert os.listdir(folder) == []
    assert result.err.count("\n") == result.status
    _forget_what_was_made_inside(box)


def _forget_what_was_made_inside(box):
    for place, folders, files in os.walk(box.root):
        box.may_make |= {f"{place}/{name}" for name in folders + files}


@pytest.mark.parametrize("lines", [(), MAPPED], ids=["root", "mapped"])
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
def test_system_folder_of_the_image_that_is_a_link_is_refused(container, name, link, lines):
    """CVE-2019-16884, CVE-2019-19921 (runc): an image whose /proc or /dev is a link to somewhere else."""
    box = container(*lines)
    folder = outside(box)
    (box.root / name).rmdir()
    (box.root / name).symlink_to(LINKS[link](box))
    result = box.run("true")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith(
        f"minilxc: {box.name}: system mounts: {name}: Too many levels of symbolic links"
    )
    assert os.listdir(folder) == []


@pytest.mark.parametrize("name", ["dev", "proc"])
def test_failed_system_mount_blames_the_line_that_asks_for_it(container, name):
    """No line of the config asks for /dev: it comes with lxc.autodev, the default."""
    box = container()
    (box.root / name).rmdir()
    (box.root / name).symlink_to("/tmp")
    why = f"system mounts: {name}: Too many levels of symbolic links"
    hint = f" ({box.line_of('lxc.mount.auto = proc:mixed sys:ro')})" if name == "proc" else ""
    assert box.run("true") == (1, "", f"minilxc: {box.name}: {why}{hint}\n")


@pytest.mark.parametrize("link", LINKS)
def test_source_below_the_root_does_not_lead_out_through_a_link(container, link):
    box = container(base=False)
    (outside(box) / "secret").touch()
    (box.root / "link").symlink_to(LINKS[link](box))
    box.configure("lxc.mount.entry = link tmp none bind,relative")
    result = box.run("ls", "/tmp")
    assert "secret" not in result.out
    assert result.err.count("\n") == result.status


@pytest.mark.parametrize("name", ["console", "tty1", "pts", "ptmx"])
def test_terminal_of_an_image_that_is_a_link_does_not_lead_out(container, name):
    """With lxc.autodev = 0 the folder /dev is the image's, links and all."""
    box = container("lxc.autodev = 0", "lxc.tty.max = 1", "lxc.pty.max = 8")
    victim = outside(box) / "victim"
    victim.write_text("kept\n")
    (box.root / "dev" / name).symlink_to(victim)
    result = box.run("true", verb="start")
    assert victim.read_text() == "kept\n"
    assert result.err.count("\n") == result.status
    _forget_what_was_made_inside(box)


def test_image_whose_proc_is_no_procfs_is_not_taken_for_one(container):
    """CVE-2019-19921: files of the image in the place of the kernel's must not be written in its stead."""
    box = container("lxc.sysctl.kernel.msgmax = 4321", base=False)
    fake = box.root / "proc" / "sys" / "kernel"
    fake.mkdir(parents=True)
    (fake / "msgmax").write_text("untouched\n")
    assert box.read("/bin/cat", "/proc/sys/kernel/msgmax") == "untouched\n"


@BOTH
def test_old_root_cannot_be_reached(container, verb):
    """After pivot_root the host's tree is gone, also for `..` and for chroot(2) into nowhere and out."""
    box = container()
    marker = f"{box.folder}/config"
    assert (
        box.run("sh", "-c", f"cd /; cd ../../../..; ls -d .{marker} /proc/1/root{marker}", verb=verb).out
        == ""
    )


@pytest.mark.parametrize("verb", ["execute", "start"])
def test_working_directory_does_not_lead_out_through_a_link_of_procfs(container, verb):
    """CVE-2024-21626 (runc): a directory that the caller has left open, reached through /proc/self/fd."""
    box = container("lxc.init.cwd = /place")
    (box.root / "place").symlink_to("/proc/self/fd/7")
    words = " ".join(box.command("ls", ".", verb=verb))
    ran = subprocess.run(["sh", "-c", f"exec 7</; exec {words}"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"minilxc: {box.name}: working directory: /place: ")


@pytest.mark.parametrize("verb", ["execute", "start"])
def test_program_that_is_minilxcs_own_interpreter_is_refused(container, verb):
    """CVE-2019-5736 (runc): executed with the image's dynamic loader it would be open to be written."""
    box = container()
    (box.root / "bin" / "self").symlink_to("/proc/self/exe")
    script = box.root / "bin" / "script"
    script.write_text("#!/bin/self\n")
    script.chmod(0o755)
    for program in ("/bin/self", "/bin/script"):
        result = box.run(program, verb=verb)
        assert (result.status, result.out) == (126, "")
        assert result.err.startswith(
            f"minilxc: {box.name}: interpreters: /bin/self: Too many levels of symbolic links"
        )


@pytest.mark.parametrize("verb", ["execute", "start"])
@pytest.mark.parametrize(
    ("text", "mode", "owner", "link"),
    [
        ("#!/bin/two\n", 0o755, 0, "self"),  # an interpreter that is a script itself
        ("no script\n", 0o755, 0, "sh"),  # what the kernel does not know is given to the shell
        ("#!/bin/self\n", 0o111, 5, "self"),  # the kernel reads what its user may not
        ("#!/bin/odd\v\n", 0o755, 0, "odd\v"),  # for the kernel only blanks and tabs end a name
        ("#! \t/bin/self \t-x\n", 0o755, 0, "self"),
    ],
)
def test_interpreter_that_leads_to_minilxcs_own_is_refused(container, verb, text, mode, owner, link):
    """Capabilities that read everything are dropped, so that only the look beforehand sees it all."""
    box = container("lxc.cap.drop = dac_override dac_read_search")
    (box.root / "bin" / link).unlink(missing_ok=True)
    (box.root / "bin" / link).symlink_to("/proc/self/exe")
    (box.root / "bin" / "two").write_text("#!/bin/self\n")
    (box.root / "bin" / "two").chmod(0o755)
    script = box.root / "bin" / "script"
    script.write_text(text)
    script.chmod(mode)
    os.chown(script, owner, owner)
    result = box.run("/bin/script", verb=verb)
    assert (result.status, result.out) == (126, "")
    assert ": Too many levels of symbolic links\n" in result.err


@pytest.mark.parametrize("target", ["/", ".", "link"])
def test_mount_over_the_root_itself_is_refused(container, target):
    """It would lie over what becomes the root, and its flags would count for nothing."""
    box = container(base=False)
    (box.root / "link").symlink_to("/")
    target = str(box.root) if target == "/" else target
    box.configure(f"lxc.mount.entry = tmpfs {target} tmpfs ro 0 0")
    result = box.run("true")
    assert result.status == 1
    assert "is the root itself (lxc.rootfs.options sets its flags)" in result.err


def test_read_only_root_is_so_below_the_hosts_mounts_too(container):
    box = container("lxc.rootfs.options = ro")
    (box.root / "srv").mkdir(exist_ok=True)
    script = f'mount -t tmpfs none {box.root}/srv && exec "$@"'
    command = box.command("try-syscall", "mkdir", "/srv/x", "0755")
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *command], capture_output=True, text=True
    )
    assert (ran.stdout, ran.stderr) == ("-30\n", "")  # EROFS


def test_fifo_as_a_program_does_not_hang(container):
    box = container()
    os.mkfifo(box.root / "bin" / "fifo", 0o755)
    assert box.run("/bin/fifo").status == 126


def test_lines_of_the_fstab_end_at_newlines_alone(container):
    """What looks like a comment in an editor must not mount anything."""
    box = container(base=False)
    (box.folder / "fstab").write_text("# a note\u2028none tmp tmpfs mode=700\n", encoding="utf-8")
    box.configure(f"lxc.mount.fstab = {box.folder}/fstab")
    assert "/tmp " not in box.read("cat", "/proc/mounts") if (box.root / "proc").exists() else True
