"""Keys of the console, of the monitor, of labels and of the processor, as the payload and the host see them."""

from __future__ import annotations

import os
import subprocess

import pytest

from minilxc.launch.labels import Modules
from minilxc.linux import core_scheduling

MODULES = Modules.of_this_kernel()


def has_core_scheduling():
    try:
        core_scheduling.probe()
    except OSError:
        return False
    return True


# --- console


def fill_console(lines=2000):
    return ("sh", "-c", f"i=0; while [ $i -lt {lines} ]; do echo line $i >/dev/console; i=$((i+1)); done")


@pytest.mark.parametrize("verb", ["execute", "start"])
def test_full_console_log_is_kept_as_1_and_a_new_one_begun(container, verb):
    box = container()
    box.file.write_text(
        box.file.read_text()
        + f"lxc.console.logfile = {box.folder}/log\nlxc.console.size = 4KB\nlxc.console.rotate = 1\n"
    )
    box.may_make |= {f"{box.folder}/log", f"{box.folder}/log.1"}
    assert box.run(*fill_console(), verb=verb).status == 0
    last, first = ((box.folder / name).read_bytes() for name in ("log", "log.1"))
    assert len(first) == 4096
    assert len(last) <= 4096
    everything = "".join(f"line {number}\r\n" for number in range(2000)).encode()
    assert everything.endswith(first + last)


def test_full_console_log_that_is_not_rotated_is_emptied(container):
    box = container()
    box.file.write_text(
        box.file.read_text() + f"lxc.console.logfile = {box.folder}/log\nlxc.console.size = 4KB\n"
    )
    box.may_make.add(f"{box.folder}/log")
    assert box.run(*fill_console()).status == 0
    assert 0 < (box.folder / "log").stat().st_size <= 4096
    assert (box.folder / "log").read_bytes().endswith(b"line 1999\r\n")


def test_console_log_of_a_size_that_is_no_file_is_refused(container):
    box = container("lxc.console.logfile = /dev/null", "lxc.console.size = 4KB")
    line = (
        f"minilxc: {box.name}: console: /dev/null: no regular file, so lxc.console.size cannot hold for it\n"
    )
    assert box.run("true") == (1, "", line)


def test_console_log_that_is_a_pipe_without_a_reader_holds_nothing(container):
    box = container()
    os.mkfifo(box.folder / "pipe")
    box.file.write_text(box.file.read_text() + f"lxc.console.logfile = {box.folder}/pipe\n")
    assert box.run(*fill_console(20000), verb="start").status == 0


def test_terminals_below_a_folder_have_links_at_the_usual_places(container):
    """As LXC makes them."""
    box = container("lxc.tty.max = 2", "lxc.tty.dir = a/b", "lxc.pty.max = 4")
    script = (
        "for n in 1 2; do readlink /dev/tty$n; done; stat -c %t /dev/a/b/tty1 /dev/a/b/console /dev/console"
    )
    assert box.read("sh", "-c", script, verb="start") == "a/b/tty1\na/b/tty2\n88\n88\n88\n"


def test_links_to_terminals_take_the_place_of_an_images_own_nodes(container):
    """What an image has as /dev/tty1 is a terminal of the host."""
    box = container("lxc.autodev = 0", "lxc.tty.max = 1", "lxc.tty.dir = lxc", "lxc.pty.max = 4")
    (box.root / "dev" / "tty1").write_text("")
    box.allow("dev/lxc", "dev/lxc/tty1", "dev/lxc/console", "dev/console", "dev/ptmx", "dev/pts")
    box.allow("dev/fd", "dev/stdin", "dev/stdout", "dev/stderr")
    assert box.read("readlink", "/dev/tty1", verb="start") == "lxc/tty1\n"


# --- the monitor


@pytest.mark.parametrize("value", ["1", "5"])
def test_monitor_has_mounts_of_its_own(container, value):
    box = container(f"lxc.monitor.unshare = {value}")
    running = box.popen("sh", "-c", "echo up; read line", stdin=subprocess.PIPE)
    assert running.stdout.readline() == "up\n"
    own = os.readlink(f"/proc/{running.pid}/ns/mnt")
    running.communicate("\n")
    assert own != os.readlink("/proc/self/ns/mnt")
    assert running.returncode == 0


def test_monitor_shares_the_hosts_mounts_without_the_key(container):
    box = container()
    running = box.popen("sh", "-c", "echo up; read line", stdin=subprocess.PIPE)
    assert running.stdout.readline() == "up\n"
    own = os.readlink(f"/proc/{running.pid}/ns/mnt")
    running.communicate("\n")
    assert own == os.readlink("/proc/self/ns/mnt")


# --- processor, labels


def test_own_core_is_taken_or_refused(container):
    box = container("lxc.sched.core = 1")
    if has_core_scheduling():
        assert box.read("echo", "ran") == "ran\n"
    else:
        result = box.run("echo", "ran")
        assert (result.status, result.out) == (1, "")
        assert result.err.startswith(f"minilxc: {box.file}:4: lxc.sched.core: no core scheduling: ")


@pytest.mark.skipif(MODULES.apparmor, reason="this kernel has AppArmor")
def test_profile_is_never_dropped_in_silence(container):
    """LXC ignores it on a kernel without AppArmor."""
    box = container("lxc.apparmor.profile = of-my-own")
    why = "this kernel has no AppArmor, so the container would be confined less than asked"
    cure = "lxc.apparmor.allow_incomplete = 1 starts without it"
    assert box.run("true") == (1, "", f"minilxc: {box.file}:4: lxc.apparmor.profile: {why} ({cure})\n")
    box = container("lxc.apparmor.profile = generated", "lxc.apparmor.allow_incomplete = 1")
    log = box.folder / "log"
    box.may_make.add(str(log))
    assert box.run("true", options=("-l", "WARN", "-o", str(log))) == (0, "", "")
    assert why in log.read_text()


@pytest.mark.skipif(not MODULES.apparmor, reason="this kernel has no AppArmor")
def test_profile_that_is_not_loaded_is_an_error(container):
    box = container("lxc.apparmor.profile = no-such-profile", "lxc.apparmor.allow_incomplete = 1")
    result = box.run("true")
    assert (result.status, result.out) == (1, "")
    assert "no-such-profile" in result.err


@pytest.mark.skipif(MODULES.selinux, reason="this kernel has SELinux")
@pytest.mark.parametrize("key", ["lxc.selinux.context", "lxc.selinux.context.keyring"])
def test_context_is_never_dropped_in_silence(container, key):
    box = container(f"{key} = a_u:a_r:a_t:s0")
    why = "this kernel has no SELinux, so the container would be confined less than asked"
    assert box.run("true") == (1, "", f"minilxc: {box.file}:4: {key}: {why}\n")


def test_no_label_and_what_asks_for_none_start(container):
    lines = (
        "lxc.apparmor.profile = unconfined",
        "lxc.apparmor.allow_nesting = 1",
        "lxc.selinux.context = unconfined_t",
    )
    assert container(*lines).read("echo", "ran") == "ran\n"


# --- signals, environment, clocks


@pytest.mark.parametrize(
    "value", ["SIGTERM", "sigterm", "15", "0xf", "SIGRTMIN+3", "SIGRTMAX-1", "sigrtmin+3"]
)
def test_signals_are_written_in_each_way(container, value):
    box = container(*(f"lxc.signal.{kind} = {value}" for kind in ("halt", "reboot", "stop")))
    assert box.read("echo", "ran") == "ran\n"


@pytest.mark.parametrize(
    "value", ["TERM", "SIGNONE", "0", "65", "-1", "SIGRTMIN+99", "SIGRTMIN-1", "SIGRTMAX+1", "RTMIN+1"]
)
def test_signals_that_there_are_not_are_refused(container, value):
    box = container(f"lxc.signal.halt = {value}")
    result = box.run("echo", "ran")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"minilxc: {box.file}:4: lxc.signal.halt: ")


def test_variables_of_hooks_are_not_the_payloads(container):
    box = container("lxc.environment = A=1", "lxc.environment.runtime = A=2", "lxc.environment.hooks = A=3")
    assert "A=2\n" in box.read("env")
    assert "A=3" not in box.read("env")


@pytest.mark.parametrize(
    ("word", "machine_name"),
    [(word, "i686") for word in "x86 i386 i486 i586 i686 athlon linux32".split()]
    + [(word, "x86_64") for word in "x86_64 amd64 linux64".split()],
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the words of a PC")
def test_architecture_is_what_uname_says(container, word, machine_name):
    assert container(f"lxc.arch = {word}").read("uname", "-m") == f"{machine_name}\n"


# --- control groups


def version_1_has(controller):
    """Whether a controller belongs to version 1 here. cgroups(7), /proc/cgroups: the hierarchy's number is not 0."""
    with open("/proc/cgroups") as file:
        return any(line.split()[0] == controller and line.split()[1] != "0" for line in file)


@pytest.mark.skipif(not version_1_has("memory"), reason="the controller is version 2's")
def test_line_of_version_2_is_never_dropped_in_silence(container):
    """LXC ignores it where version 1 has the controller."""
    box = container("lxc.cgroup2.memory.max = 64M")
    result = box.run("true")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert "lxc.cgroup2.memory.max" in result.err
    assert f"{box.file}:4" in result.err
