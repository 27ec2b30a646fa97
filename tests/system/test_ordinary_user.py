"""A container of an ordinary user, end to end: as far as the kernel allows, and clear words where it does not."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.helpers import container as containers
from tests.helpers import machine
from tests.helpers.ordinary import ALONE, COUNT, FIRST, MAPPED, NAME, UID, User, own

BOTH = pytest.mark.parametrize("verb", ["execute", "start"])
POLICY = "2\ndenylist\nmkdir errno ECONNREFUSED\n"
NET = "lxc.net.0.type = empty"


@pytest.fixture
def users(container, monkeypatch):
    """users(LINE..., owner=UID): a container of the ordinary user's, whose root file system `owner` owns."""
    monkeypatch.setattr(containers, "MINILXC", str(containers.ENTRY))  # nobody else may write coverage data

    def make(*lines, owner=FIRST, **more):
        box = container(NET, *lines, **more)
        box.user = User(box.folder)
        own(box.root, owner)
        real = box.run
        box.as_root = real
        box.run = lambda *words, wrap=None, **how: real(*words, wrap=wrap or box.user.wrap(), **how)
        runtime = box.user.runtime / "minilxc"
        box.may_make |= {str(runtime), str(runtime / "locks"), str(runtime / "seccomp")}
        return box

    return make


def forget_the_cache(box):
    """Compiled policies lie in the user's runtime directory."""
    box.may_make |= {str(path) for path in box.user.runtime.rglob("*")}


# --- what works


@BOTH
def test_container_with_granted_ids_runs_as_its_root(users, verb):
    box = users(*MAPPED, "lxc.uts.name = mine")
    script = "id -u; id -g; id -G; hostname; cat /proc/self/uid_map /proc/self/gid_map; touch /tmp/made"
    shown = box.read("sh", "-c", script, verb=verb).split()
    assert shown == ["0", "0", "0", "mine", "0", str(FIRST), str(COUNT), "0", str(FIRST), str(COUNT)]
    status = (box.root / "tmp" / "made").stat()
    assert (status.st_uid, status.st_gid) == (FIRST, FIRST)
    box.allow("tmp/made")


@BOTH
def test_container_with_the_users_own_id_alone_needs_no_grant_and_no_program(users, verb):
    box = users(*ALONE, owner=UID)
    box.user.grant("")
    box.allow("tmp/made")
    without = "mount --bind /dev/null /usr/bin/newuidmap; mount --bind /dev/null /usr/bin/newgidmap"
    script = "id -u; id -g; cat /proc/self/uid_map /proc/self/setgroups; touch /tmp/made"
    shown = box.read("sh", "-c", script, verb=verb, wrap=box.user.wrap(without)).split()
    assert shown == ["0", "0", "0", str(UID), "1", "deny"]
    assert (box.root / "tmp" / "made").stat().st_uid == UID


def test_supplementary_groups_are_gone_where_they_can_be_dropped(users):
    """With the own group alone nobody may change groups in there (CVE-2014-8989): they stay, without a name."""
    groups = "cat /proc/self/status | grep ^Groups"
    assert users(*MAPPED).read("sh", "-c", groups).split() == ["Groups:"]
    assert users(*ALONE, owner=UID).read("sh", "-c", groups).split() == ["Groups:", "65534", "0"]


@BOTH
@pytest.mark.parametrize(
    ("lines", "effective", "bounding"),
    [
        ((), None, None),
        (("lxc.cap.drop = sys_admin mknod",), ~(1 << 21 | 1 << 27), ~(1 << 21 | 1 << 27)),
        (("lxc.cap.keep = chown kill",), 1 << 0 | 1 << 5, 1 << 0 | 1 << 5),
        (("lxc.cap.keep = none",), 0, 0),
        (("lxc.init.uid = 7", "lxc.init.gid = 7"), 0, None),
    ],
)
@pytest.mark.parametrize("nnp", [0, 1])
def test_capabilities_policy_and_privileges_are_exactly_as_asked(
    users, verb, lines, effective, bounding, nnp
):
    box = users(*MAPPED, *lines, f"lxc.no_new_privs = {nnp}", policy=POLICY)
    own(box.root, FIRST)
    everything = (1 << int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1) - 1
    names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters")
    shown = box.read("cat", "/proc/self/status", verb=verb)
    found = dict(line.split(":\t") for line in shown.splitlines() if ":\t" in line)
    effective = everything if effective is None else effective & everything
    bounding = everything if bounding is None else bounding & everything
    assert [int(found[name], 16) for name in names] == [0, effective, effective, bounding, 0, nnp, 2, 1]
    assert box.calls("mkdir", "/tmp/x", "0755", verb=verb) == ["ECONNREFUSED"]
    forget_the_cache(box)


def test_user_without_a_mapped_root_runs_as_who_it_is(users):
    lines = (f"lxc.idmap = u {UID} {UID} 1", f"lxc.idmap = g {UID} {UID} 1")
    box = users(*lines, f"lxc.init.uid = {UID}", f"lxc.init.gid = {UID}", owner=UID, policy=POLICY)
    assert box.read("id", "-u") == f"{UID}\n"
    assert box.calls("mkdir", "/tmp/x", "0755") == ["ECONNREFUSED"]
    forget_the_cache(box)


@BOTH
def test_kernels_file_systems_devices_terminals_and_clocks_are_there(users, verb):
    box = users(
        *MAPPED,
        "lxc.pty.max = 4",
        "lxc.tty.max = 2",
        "lxc.time.offset.boot = 1000000s",
        "lxc.mount.entry = none tmp tmpfs size=64k",
        "lxc.sysctl.net.ipv4.ip_forward = 1",
        "lxc.proc.oom_score_adj = 500",
        "lxc.prlimit.nofile = 60:70",
        "lxc.arch = i686",
    )
    script = (
        "echo x >/dev/null; head -c 3 /dev/zero | wc -c; cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj;"
        "uname -m; ls /dev/pts; stat -c %t,%T /dev/null /dev/urandom; ls -d /sys/kernel; touch /tmp/x; ulimit -n"
    )
    shown = box.read("sh", "-c", script, verb=verb).split()
    assert shown[:4] == ["3", "1", "500", "i686"]
    assert {"ptmx", "1,3", "1,9", "/sys/kernel", "60"} <= set(shown[4:])


def test_host_network_is_shared_when_asked(users):
    box = users(*MAPPED, base=False)
    box.configure(
        "lxc.net.0.type = none", "lxc.mount.auto = proc", "lxc.environment = PATH=/bin", *MAPPED, base=False
    )
    assert box.read("readlink", "/proc/self/ns/net") == os.readlink("/proc/self/ns/net") + "\n"


@BOTH
def test_exit_status_and_signals_are_the_payloads(users, verb):
    box = users(*MAPPED)
    assert box.run("sh", "-c", "exit 7", verb=verb) == (7, "", "")
    assert box.run("sh", "-c", "kill -9 $$; exit 3", verb="execute").status == 128 + signal.SIGKILL


@BOTH
def test_killed_minilxc_takes_the_container_along(users, verb):
    box = users(*MAPPED)
    process = subprocess.Popen(
        [*box.user.wrap(), *box.command("sh", "-c", "echo ready; sleep 1000", verb=verb)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    box.remember_files()
    box.look_after(process)
    assert process.stdout.readline() == "ready\n"
    below = machine.descendants(process.pid)
    process.kill()
    process.wait()
    machine.wait_until_gone(*below)
    result = box.run("true", wrap=box.user.wrap(), verb=verb)
    assert result == (0, "", "")  # which also cleans up


@BOTH
def test_signal_reaches_the_payload_and_its_end_the_caller(users, verb):
    box = users(*MAPPED)
    box.remember_files()
    script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"
    process = subprocess.Popen(
        [*box.user.wrap(), *box.command("sh", "-c", script, verb=verb)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    box.look_after(process)
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait() == 9


def test_name_is_taken_once(users):
    box = users(*MAPPED)
    box.remember_files()
    process = subprocess.Popen(
        [*box.user.wrap(), *box.command("sh", "-c", "echo ready; read line")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    box.look_after(process)
    assert process.stdout.readline() == "ready\n"
    assert box.run("true") == (1, "", f"minilxc: {box.name}: is running already\n")
    process.communicate("\n")
    assert process.returncode == 0


def test_overlay_is_the_users_too(users):
    box = users(*MAPPED)
    place = box.folder / "layers"
    (place / "upper").mkdir(parents=True)
    own(place, FIRST)
    box.configure(f"lxc.rootfs.path = overlay:{box.root}:{place}/upper", NET, *MAPPED, rootfs=False)
    script = "rm /etc/passwd; mkdir /tmp/made; ls /etc; ls -d /tmp/made"
    box.may_make |= {f"{place}/{name}" for name in ("work", "work/work", "upper/etc", "upper/etc/passwd")}
    box.may_make |= {f"{place}/upper/tmp", f"{place}/upper/tmp/made"}
    assert box.read("sh", "-c", script) == "/tmp/made\n"
    assert (box.root / "etc" / "passwd").exists()
    box.may_make |= {str(path) for path in (place / "work").rglob("*")}  # the kernel's own, for the next time


def test_containers_are_looked_for_in_the_home(users):
    box = users(*MAPPED)
    folder = box.user.home / ".local/share/lxc" / box.name
    folder.mkdir(parents=True)
    (folder / "config").write_text(box.file.read_text())
    ran = subprocess.run(
        [*box.user.wrap(), str(containers.ENTRY), "execute", "-n", box.name, "--", "id", "-u"],
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "0\n", "")


@pytest.mark.parametrize(("lines", "owner"), [(MAPPED, FIRST), (ALONE, UID)], ids=["granted", "alone"])
def test_ephemeral_container_goes_with_all_its_ids(users, lines, owner):
    box = users(*lines, owner=owner)
    place = box.user.home / ".local/share/lxc"
    folder = place / box.name
    folder.mkdir(parents=True)
    os.rename(box.root, folder / "rootfs")
    for path in (place, folder):
        os.chown(path, UID, UID)
    folder.chmod(0o711)
    config = [NET, *lines, *box.base, f"lxc.rootfs.path = dir:{folder}/rootfs", "lxc.ephemeral = 1"]
    (folder / "config").write_text("\n".join(config))
    script = "mkdir -p /tmp/a/b; touch /tmp/a/b/c; chmod 0 /tmp/a/b /tmp/a"
    script += "; chown 7:7 /tmp/a/b" if lines == MAPPED else ""
    ran = subprocess.run(
        [*box.user.wrap(), str(containers.ENTRY), "execute", "-n", box.name, "--", "sh", "-c", script],
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert list(place.iterdir()) == []
    box.root.mkdir()


# --- where what runs is kept


def test_without_a_runtime_directory_the_state_lies_in_the_home(users):
    box = users(*MAPPED)
    cache = box.user.home / ".cache"
    box.may_make |= {str(path) for path in (cache, cache / "minilxc", cache / "minilxc" / "locks")}
    assert box.run("true", wrap=box.user.wrap(XDG_RUNTIME_DIR=None)) == (0, "", "")
    for path in (cache, cache / "minilxc"):
        status = path.stat()
        assert (status.st_uid, status.st_mode & 0o7777) == (UID, 0o700)


def test_state_directory_that_others_may_write_to_is_refused(users):
    box = users(*MAPPED)
    (box.user.runtime / "minilxc").mkdir()
    os.chown(box.user.runtime / "minilxc", UID, UID)
    (box.user.runtime / "minilxc").chmod(0o777)
    result = box.run("true")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert "not a directory of our own that nobody else may write to" in result.err


def test_runtime_directory_of_another_user_is_told(users):
    """su(1) leaves the variable as it was."""
    box = users(*MAPPED)
    result = box.run("true", wrap=box.user.wrap(XDG_RUNTIME_DIR="/root"))
    hint = "(XDG_RUNTIME_DIR must be a folder of the user's own)"
    assert result == (1, "", f"minilxc: /root/minilxc: Permission denied {hint}\n")


# --- what does not work is told while nothing exists


def test_config_without_an_id_map_is_told_what_to_add(users):
    box = users()
    what = "a container of an ordinary user needs an id map"
    lines = " and ".join(MAPPED)
    assert box.run("true") == (1, "", f"minilxc: {box.file}: {what} (add {lines})\n")
    box.user.grant("")
    assert box.run("true") == (1, "", f"minilxc: {box.file}: {what} (add {' and '.join(ALONE)})\n")


@pytest.mark.parametrize("number", [0, 1])
def test_ids_that_are_not_granted_are_told_with_their_line(users, number):
    lines = [
        line.replace(f"{COUNT}", f"{COUNT + 1}") if n == number else line for n, line in enumerate(MAPPED)
    ]
    box = users(*lines)
    file, ids = (("/etc/subuid", "user ids"), ("/etc/subgid", "group ids"))[number]
    what = f"lxc.idmap: {file} does not grant {NAME} the {ids} {FIRST} to {FIRST + COUNT}"
    hint = f"(it grants {FIRST} to {FIRST + COUNT - 1})"
    assert box.run("true") == (1, "", f"minilxc: {box.line_of(lines[number])}: {what} {hint}\n")


@pytest.mark.parametrize(
    "lines",
    [
        ("lxc.idmap = u 0 0 1", "lxc.idmap = g 0 0 1"),
        ("lxc.idmap = u 0 0 4294967294", "lxc.idmap = g 0 0 4294967294"),
        (f"lxc.idmap = u 0 {UID} 2", f"lxc.idmap = g 0 {UID} 2"),
        (f"lxc.idmap = u 0 {FIRST - 1} 2", f"lxc.idmap = g 0 {FIRST} 1"),
        (f"lxc.idmap = u 0 {FIRST} 1", "lxc.idmap = g 0 20 1"),
    ],
)
def test_ids_of_others_are_never_mapped(users, lines):
    box = users(*lines)
    result = box.run("true")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert " does not grant " in result.err


def test_grants_that_adjoin_are_one_and_may_go_by_number(users):
    box = users(*MAPPED)
    box.user.grant(f"someone:0:5\n{NAME}:{FIRST}:1000\nbroken line\n{UID}:{FIRST + 1000}:{COUNT - 1000}\n")
    assert box.read("id", "-u") == "0\n"


def test_own_id_may_stand_beside_granted_ones(users):
    lines = (
        f"lxc.idmap = u 0 {FIRST} 1000",
        f"lxc.idmap = u 1000 {UID} 1",
        f"lxc.idmap = g 0 {FIRST} 1000",
        f"lxc.idmap = g 1000 {UID} 1",
    )
    box = users(*lines)
    home = box.folder / "data"
    home.mkdir()
    os.chown(home, UID, UID)
    box.configure(NET, *lines, f"lxc.mount.entry = {home} tmp none bind")
    assert box.read("stat", "-c", "%u %g", "/tmp") == "1000 1000\n"


@pytest.mark.parametrize("program", ["newuidmap", "newgidmap"])
def test_missing_program_is_told(users, program):
    box = users(*MAPPED)
    result = box.run(
        "true", wrap=box.user.wrap(f"mount --bind /dev/null /usr/bin/{program}", PATH="/usr/sbin:/usr/bin")
    )
    line = MAPPED[0] if program == "newuidmap" else MAPPED[1]
    what = f"lxc.idmap: takes {program}(1), which is not installed (package uidmap)"
    hint = "(a map of one's own id alone does without)"
    assert result == (1, "", f"minilxc: {box.line_of(line)}: {what} {hint}\n")


def test_refusal_of_the_program_is_one_line_and_leaves_nothing(users):
    """The grants come from a service here, so that only newuidmap knows them."""
    lines = ("lxc.idmap = u 0 5 10", "lxc.idmap = g 0 5 10")
    box = users(*lines)
    (box.user.folder / "nss").write_text("subid: other\n")
    (box.user.folder / "false").write_text(
        "#!/bin/sh\necho one >&2\necho 'newuidmap: not for you' >&2\nexit 1\n"
    )
    (box.user.folder / "false").chmod(0o755)
    before = f"mount --bind {box.user.folder}/nss /etc/nsswitch.conf; "
    before += f"mount --bind {box.user.folder}/false /usr/bin/newuidmap"
    result = box.run("true", wrap=box.user.wrap(before))
    hint = f"({box.line_of(lines[0])})"
    assert result == (1, "", f"minilxc: {box.name}: id maps: newuidmap: not for you {hint}\n") or (
        result.err.startswith(f"minilxc: {box.name}: id maps: newuidmap: not for you (")
    )


@pytest.mark.parametrize(
    ("path", "value", "cure"),
    [("/proc/sys/user/max_user_namespaces", "0", "must not be 0")],
)
def test_machine_without_user_namespaces_for_users_is_told(users, path, value, cure):
    box = users(*MAPPED)
    (box.user.folder / "value").write_text(f"{value}\n")
    result = box.run("true", wrap=box.user.wrap(f"mount --bind {box.user.folder}/value {path}"))
    assert (result.status, result.out) == (1, "")
    assert result.err.endswith(f"this machine lets no ordinary user make user namespaces ({path} {cure})\n")


def test_sysfs_without_a_network_of_its_own_is_refused(users):
    box = users(*MAPPED, base=False)
    line = "lxc.mount.auto = sys:ro"
    box.configure("lxc.net.0.type = none", line, *MAPPED, base=False)
    what = "lxc.mount.auto: 'sys' with lxc.idmap takes a network namespace of the container's own"
    hint = "(lxc.net.0.type = empty)"
    assert box.run("true") == (1, "", f"minilxc: {box.line_of(line)}: {what} {hint}\n")
    # The kernel does not let root's mapped containers do it either, and LXC fails halfway.
    assert box.as_root("true") == (1, "", f"minilxc: {box.line_of(line)}: {what} {hint}\n")


@pytest.mark.parametrize("kind", ["", "loop:"])
def test_image_takes_root(users, kind):
    box = users(*MAPPED)
    image = box.folder / "image"
    image.touch()
    line = f"lxc.rootfs.path = {kind}{image}"
    box.configure(line, NET, *MAPPED, rootfs=False)
    what = f"lxc.rootfs.path: '{image}': only root can mount an image or a device"
    assert box.run("true") == (1, "", f"minilxc: {box.line_of(line)}: {what}\n")


@pytest.mark.parametrize("word", ["idmap=container", "idmap=/proc/self/ns/user"])
def test_mapped_ids_of_a_mount_take_root(users, word):
    box = users(*MAPPED)
    for line, what in (
        (f"lxc.mount.entry = {box.folder} tmp none bind,{word}", f"mount option '{word}'"),
        (f"lxc.rootfs.options = {word}", f"lxc.rootfs.options: '{word}'"),
    ):
        box.configure(NET, *MAPPED, line)
        why = f"{what} takes root: it needs power over the file system itself"
        assert box.run("true") == (1, "", f"minilxc: {box.line_of(line)}: {why}\n")


def test_file_system_that_users_may_not_mount_is_refused_with_its_line(users):
    box = users(*MAPPED, "lxc.mount.entry = /dev/vda tmp ext4 defaults")
    result = box.run("true")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert (
        f"({box.line_of('lxc.mount.entry = /dev/vda tmp ext4 defaults')}; 'optional' would skip it)"
        in result.err
    )


def test_limit_above_the_users_own_is_refused_with_its_line(users):
    line = "lxc.prlimit.nofile = 5000000"
    box = users(*MAPPED, line)
    wrap = (*box.user.wrap("ulimit -n 1000"),)
    what = "limits: nofile: Operation not permitted"
    assert box.run("true", wrap=wrap) == (1, "", f"minilxc: {box.name}: {what} ({box.line_of(line)})\n")


def test_root_file_system_that_the_mapped_ids_cannot_reach_is_told(users):
    box = users(*MAPPED)
    box.root.chmod(0o700)
    os.chown(box.root, 0, 0)
    result = box.run("true")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert "Permission denied" in result.err
