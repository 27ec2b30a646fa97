"""Control groups: made, set, seen from inside, and gone, on a machine with version 1, version 2, or both."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.helpers import machine

TOP = Path("/sys/fs/cgroup")
MAP = ("lxc.idmap = u 0 200000 65536", "lxc.idmap = g 0 300000 65536")
CONFIGS = Path("/usr/share/lxc/config")
# In a mount namespace of its own, with version 2 alone.
ONLY_2 = ("unshare", "-m", "sh", "-c", 'umount -l "$0" && mount -t cgroup2 none "$0" && exec "$@"', str(TOP))
needs_1 = pytest.mark.skipif(not (TOP / "memory").is_dir(), reason="cgroup version 1 is not mounted here")


def groups(box):
    """The folders of the container's groups."""
    return [Path(path) for path, _, _ in os.walk(TOP) if f"/lxc.payload.{box.name}" in f"{path}/"]


def running(box, *words, **more):
    """Start, and wait until the container says so; whoever closes its standard input ends it."""
    process = box.popen("sh", "-c", f"{' '.join(words)} echo ready; read line", stdin=subprocess.PIPE, **more)
    assert process.stdout.readline() == "ready\n", process.communicate()
    return process


def end(process):
    out, err = process.communicate("\n")
    assert (process.returncode, err) == (1, "") or (process.returncode, err) == (0, "")
    return out


def path_of(pid, controller):
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return path
    raise AssertionError(f"no {controller}")


# --- made, seen, gone


@pytest.mark.parametrize("lines", [(), MAP], ids=["plain", "mapped"])
@pytest.mark.parametrize("verb", ["execute", "start"])
def test_container_has_its_own_group_everywhere_and_it_goes_with_it(container, verb, lines):
    box = container(*lines)
    process = running(box, verb=verb)
    init = machine.descendants(process.pid)[0]
    inside = Path(f"/proc/{init}/cgroup").read_text().splitlines()
    assert all(line.endswith(f"/lxc.payload.{box.name}") for line in inside)
    assert len(groups(box)) == len(inside)
    end(process)
    assert groups(box) == []


@pytest.mark.parametrize("lines", [(), MAP], ids=["plain", "mapped"])
def test_group_is_the_top_of_what_the_container_sees(container, lines):
    out = container(*lines).read("cat", "/proc/self/cgroup")
    assert {line.rpartition(":")[2] for line in out.splitlines()} == {"/"}


def test_without_a_cgroup_namespace_the_path_is_seen(container):
    box = container("lxc.namespace.keep = cgroup time", "lxc.cgroup.dir = minilxc-test/a")
    out = box.read("cat", "/proc/self/cgroup")
    wanted = f"/minilxc-test/a/lxc.payload.{box.name}"
    assert {line.rpartition(":")[2] for line in out.splitlines()} == {wanted}
    assert [path for path in TOP.rglob("minilxc-test") if path.is_dir()] == []


def test_folder_of_others_stays_when_it_was_there(container):
    tops = [Path(folder) for folder in TOP.iterdir() if (folder / "cgroup.procs").exists()]
    for top in tops:
        (top / "minilxc-lxc-test").mkdir()
    try:
        assert container("lxc.cgroup.dir = minilxc-lxc-test").run("true").status == 0
        assert all((top / "minilxc-lxc-test").is_dir() for top in tops)
    finally:
        for top in tops:
            (top / "minilxc-lxc-test").rmdir()


@needs_1
def test_relative_groups_are_below_those_of_the_caller(container):
    own = TOP / "memory" / "minilxc-lxc-caller"
    own.mkdir()
    try:
        box = container("lxc.cgroup.relative = 1", "lxc.namespace.keep = cgroup time")
        enter = ("sh", "-c", f'echo 0 > {own}/tasks && exec "$@"', "sh")
        out = box.read("cat", "/proc/self/cgroup", wrap=enter)
        assert f":memory:/minilxc-lxc-caller/lxc.payload.{box.name}\n" in out
        box.configure("lxc.namespace.keep = cgroup time")
        assert f":memory:/lxc.payload.{box.name}\n" in box.read("cat", "/proc/self/cgroup", wrap=enter)
    finally:
        own.rmdir()


FORKS = "(while :; do sleep 0.01 & done) &"


@needs_1
def test_payload_that_leaves_processes_and_nested_groups_leaves_nothing(container):
    """In the host's pid namespace nothing else ends them: one has moved, one is frozen, one makes others."""
    box = container(
        "lxc.namespace.clone = mnt uts ipc net cgroup",
        "lxc.mount.auto = cgroup:rw:force",
        "lxc.console.path = none",
    )
    cg = "/sys/fs/cgroup"
    script = f"""
        mkdir -p {cg}/memory/a/b {cg}/freezer/f
        (echo 0 > {cg}/memory/a/b/tasks; echo moved > /tmp/one; exec sleep 1000) &
        (echo 0 > {cg}/freezer/f/tasks; exec sleep 1000) &
        {FORKS}
        while ! [ -s /tmp/one ] || ! grep -q . {cg}/freezer/f/tasks; do :; done
        echo FROZEN > {cg}/freezer/f/freezer.state
    """
    box.allow("tmp/one")
    assert (
        box.run("sh", "-c", script, verb="start", stdout=subprocess.DEVNULL, capture_output=False).status == 0
    )
    assert groups(box) == []
    left = [machine.describe(pid) for pid in machine.descendants()]
    assert [process for process in left if not process.endswith(" Z")] == []  # nobody has collected the dead
    machine.end_all()


@needs_1
def test_mapped_payload_makes_groups_of_its_own_and_they_go(container):
    box = container(*MAP, "lxc.mount.auto = cgroup:rw:force")
    cg = "/sys/fs/cgroup"
    script = f"mkdir {cg}/memory/a {cg}/memory/a/b && echo 0 > {cg}/memory/a/b/tasks && cat /proc/self/cgroup"
    assert ":memory:/a/b\n" in box.read("sh", "-c", script)
    result = box.run("sh", "-c", f"echo 1 > {cg}/memory/memory.limit_in_bytes")
    assert result.status != 0  # limits are not the container's to change


def test_killed_monitors_groups_are_taken_over(container):
    box = container()
    for _ in range(3):
        process = running(box)
        below = machine.descendants(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert groups(box) != []
        assert box.run("true").status == 0
        assert groups(box) == []
        machine.wait_until_gone(*below)


def test_name_that_another_container_uses_gets_a_number(container, tmp_path):
    """The same name below another path is another container."""
    box = container("lxc.namespace.keep = cgroup time")
    process = running(box)
    out = box.read("cat", "/proc/self/cgroup", options=("-P", str(tmp_path)))
    assert {line.rpartition("/")[2] for line in out.splitlines()} == {f"lxc.payload.{box.name}-1"}
    end(process)
    assert groups(box) == []


# --- settings


@needs_1
@pytest.mark.parametrize("lines", [(), MAP], ids=["plain", "mapped"])
def test_settings_of_version_1_are_in_force(container, lines):
    box = container(
        *lines,
        "lxc.cgroup.memory.limit_in_bytes = 64M",
        "lxc.cgroup.pids.max = 30",
        "lxc.cgroup.cpuset.cpus = 0",
    )
    process = running(box)
    init = machine.descendants(process.pid)[0]
    memory, pids = (TOP / name / path_of(init, name).strip("/") for name in ("memory", "pids"))
    assert (memory / "memory.limit_in_bytes").read_text() == "67108864\n"
    assert (pids / "pids.max").read_text() == "30\n"
    assert "Cpus_allowed_list:\t0\n" in Path(f"/proc/{init}/status").read_text()
    end(process)


@needs_1
def test_limit_of_processes_bites(container):
    box = container("lxc.cgroup.pids.max = 4")
    result = box.run("sh", "-c", "for i in 1 2 3 4 5 6; do sleep 0.2 & done; wait")
    assert "fork" in result.err


def test_core_settings_of_version_2_are_in_force_beside_version_1(container):
    box = container("lxc.cgroup2.cgroup.max.depth = 3", "lxc.mount.auto = cgroup2:force")
    assert box.read("cat", "/sys/fs/cgroup/cgroup.max.depth") == "3\n"
    assert box.read("cat", "/sys/fs/cgroup/cgroup.max.depth", wrap=ONLY_2) == "3\n"


@needs_1
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lxc.cgroup.memory.bogus = 1", "cgroup: memory.bogus = 1: No such file or directory"),
        ("lxc.cgroup.memory.limit_in_bytes = x", "cgroup: memory.limit_in_bytes = x: Invalid argument"),
        ("lxc.cgroup2.cgroup.bogus = 1", "cgroup: cgroup.bogus = 1: No such file or directory"),
        ("lxc.cgroup.devices.allow = x", "device rules: devices.allow = x: Invalid argument"),
    ],
)
def test_setting_that_the_kernel_refuses_ends_the_start_with_its_line(container, line, said):
    box = container("lxc.cgroup.memory.swappiness = 10", line)
    result = box.run("touch", "/tmp/ran")
    assert (result.status, result.err) == (1, f"minilxc: {box.name}: {said} ({box.line_of(line)})\n")


@needs_1
def test_version_2_setting_of_a_controller_of_version_1_is_refused(container):
    """Silent hole 5: LXC takes the line and does nothing."""
    line = "lxc.cgroup2.memory.max = 1M"
    box = container(line)
    said = "there is no controller 'memory' of cgroup version 2 here, but it is in version 1: lxc.cgroup"
    assert box.run("true").err == f"minilxc: {box.line_of(line)}: lxc.cgroup2.memory.max: {said}\n"


# --- devices

TRY = "for d in null zero full; do (: < /dev/$d) 2> /tmp/e && echo $d; done; rm /tmp/e"
ALLOWLIST = ("deny = a", "allow = c 1:3 rwm", "allow = c 1:7 r", "allow = c *:* m")


@pytest.mark.parametrize("version", ["cgroup", "cgroup2"])
@pytest.mark.parametrize("where", [(), ONLY_2], ids=["here", "only version 2"])
@pytest.mark.parametrize("lines", [(), MAP], ids=["plain", "mapped"])
def test_only_devices_of_the_rules_can_be_used(container, version, where, lines):
    box = container(*lines, *(f"lxc.{version}.devices.{rule}" for rule in ALLOWLIST))
    assert box.read("sh", "-c", TRY, wrap=where).split() == ["null", "full"]
    assert box.run("sh", "-c", ": > /dev/full", wrap=where).status != 0
    if not lines:
        assert box.read("sh", "-c", "mknod /tmp/d c 1 5 && rm /tmp/d && echo made", wrap=where) == "made\n"


def test_denied_devices_are_denied_and_others_are_not(container):
    box = container("lxc.cgroup2.devices.deny = c 1:5 r")
    assert box.read("sh", "-c", TRY).split() == ["null", "full"]
    assert box.run("sh", "-c", ": > /dev/zero").status == 0


def test_container_is_set_up_before_its_device_rules(container):
    """Not a device is left to it, and it starts all the same, with terminals."""
    box = container("lxc.cgroup2.devices.deny = a", "lxc.pty.max = 2", "lxc.tty.max = 1")
    assert box.read("sh", "-c", "ls /dev/null; (: < /dev/null) 2> /tmp/e || echo no; rm /tmp/e").split() == [
        "/dev/null",
        "no",
    ]


# --- mounts


@needs_1
@pytest.mark.parametrize("lines", [(), MAP], ids=["plain", "mapped"])
@pytest.mark.parametrize(
    ("auto", "keep", "own", "limits"),
    [
        ("cgroup:rw:force", False, True, ""),
        ("cgroup:mixed:force", False, True, ""),
        ("cgroup:ro:force", False, False, ""),
        ("cgroup-full:ro:force", False, False, ""),
        ("cgroup:rw", True, True, "lxc.payload.NAME"),
        ("cgroup:mixed", True, True, "lxc.payload.NAME"),
        ("cgroup:ro", True, False, "lxc.payload.NAME"),
        ("cgroup-full:mixed", True, True, "lxc.payload.NAME"),
        ("cgroup-full:ro", True, False, "lxc.payload.NAME"),
    ],
)
def test_what_can_be_written_is_what_the_word_says(container, auto, keep, own, limits, lines):
    box = container(f"lxc.mount.auto = {auto}", *lines, *(["lxc.namespace.keep = cgroup time"] * keep))
    group = "/sys/fs/cgroup/memory/" + limits.replace("NAME", box.name)
    out = box.read(
        "sh",
        "-c",
        f"mkdir {group}/in 2>/tmp/e && echo in; mkdir {group}/../up 2>/tmp/e && echo up; rm /tmp/e",
    )
    writable = ["in"] if own else []
    if auto in ("cgroup:rw:force", "cgroup:mixed:force", "cgroup:rw"):
        writable.append("up")  # in the tmpfs that holds the hierarchies
    assert out.split() == writable


def test_init_mounts_groups_itself_unless_forced(container):
    box = container("lxc.mount.auto = cgroup:mixed")
    assert " /sys/fs/cgroup" not in box.read("cat", "/proc/self/mounts")
    assert " /sys/fs/cgroup cgroup2 rw," in box.read("cat", "/proc/self/mounts", wrap=ONLY_2)


# --- real configs


@pytest.mark.skipif(not CONFIGS.is_dir(), reason="LXC's own configs are not installed")
@pytest.mark.parametrize("where", [(), ONLY_2], ids=["here", "only version 2"])
def test_common_conf_of_lxc_starts(container, where):
    box = container(f"lxc.include = {CONFIGS}/common.conf")
    assert box.read("sh", "-c", TRY, wrap=where).split() == ["null", "zero", "full"]
    assert (
        box.run("sh", "-c", "mknod /tmp/d b 1 0; (: < /tmp/d); rm /tmp/d", wrap=where).err.count(
            "not permitted"
        )
        == 1
    )


def test_groups_that_are_nested_deeply_are_removed(container):
    """Deeper than Python may call itself."""
    box = container("lxc.mount.auto = cgroup:rw:force")
    script = "i=0; while [ $i -lt 1500 ]; do mkdir n; cd n || exit 9; i=$((i+1)); done"
    result = box.run("sh", "-c", f"cd /sys/fs/cgroup/pids && {script}; exit 7")
    assert (result.status, result.err) == (7, "")


@needs_1
def test_device_rules_of_both_versions_are_in_force(container):
    """Where version 1 has its controller, a program of version 2 decides beside it when it says something else."""
    box = container(
        "lxc.cgroup.devices.allow = a",
        "lxc.cgroup2.devices.deny = a",
        "lxc.cgroup2.devices.allow = c 1:3 rwm",
    )
    script = "echo >/dev/null && echo null; head -c1 </dev/zero 2>&1 | grep -o 'not permitted'"
    assert box.run("sh", "-c", script + "; exec 3</dev/zero").out == "null\n"


@needs_1
def test_payload_that_has_frozen_something_can_be_ended(container):
    """Who is frozen in a group of version 1 does not die, and process 1 waits for it."""
    box = container("lxc.mount.auto = cgroup:rw:force")
    freezer = "/sys/fs/cgroup/freezer/f"
    freeze = f"echo $! > {freezer}/tasks; echo FROZEN > {freezer}/freezer.state"
    script = f"mkdir {freezer}; sleep 1000 & {freeze}; echo ready"
    process = box.popen("sh", "-c", script, verb="start")
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait(20) == 0
