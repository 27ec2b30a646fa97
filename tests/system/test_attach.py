"""Joining a container: what a program that is run inside sees, what confines it, and what a hostile container gains."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from minilxc.errors import StartError
from minilxc.launch import enter
from minilxc.monitor import attach
from minilxc.monitor.client import NotRunning
from tests.helpers import machine, ordinary
from tests.helpers.container import ENTRY, Result
from tests.helpers.screen import Screen

MAPPED = ("lxc.idmap = u 0 200000 65536", "lxc.idmap = g 0 300000 65536")
BOTH_MAPS = pytest.mark.parametrize("lines", [(), MAPPED], ids=["unmapped", "mapped"])
POLICY = "2\ndenylist\nmkdir errno ECONNREFUSED\n"
EVERYTHING = (1 << int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1) - 1


def inside(box, *words, options=(), **more):
    """Run words in the container that runs."""
    return box.minilxc("attach", *options, "--", *words, **more)


def read(box, *words, **more):
    result = inside(box, *words, **more)
    assert (result.status, result.err) == (0, ""), result
    return result.out


def up(box, *words):
    return box.up(*(words or ("sleep", "1000")))


def status_of(text):
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


# Where it is


@BOTH_MAPS
def test_program_is_in_the_namespaces_root_and_groups_of_init(container, lines):
    box = container("lxc.uts.name = inside", "lxc.net.0.type = empty", *lines)
    (box.root / "mark").touch()
    it = up(box)
    kinds = "mnt pid uts ipc net cgroup user".split()
    shown = read(
        box, "sh", "-c", f"cd /proc/self/ns; for k in {' '.join(kinds)}; do readlink $k; done"
    ).split()
    assert shown == [os.readlink(f"/proc/{it.init_pid}/ns/{kind}") for kind in kinds]
    assert read(box, "sh", "-c", "pwd; ls -d /mark; hostname; id -u; id -g") == "/\n/mark\ninside\n0\n0\n"
    # All of its own, as it sees the top of its own groups.
    groups = read(box, "cat", "/proc/self/cgroup").splitlines()
    assert len(groups) == len(Path("/proc/self/cgroup").read_text().splitlines())
    assert {line.rpartition(":")[2] for line in groups} == {"/"}
    outside = {}
    process = subprocess.Popen(["/bin/cat", f"/proc/{it.init_pid}/cgroup"], stdout=subprocess.PIPE, text=True)
    outside["init"] = process.communicate()[0]
    entered = it.attach(["sh", "-c", "echo $$; cat /proc/self/cgroup"], capture_output=True, text=True)
    assert entered.returncode == 0
    for group in it.groups():
        assert Path(group).is_dir()


def test_program_is_counted_in_every_group(container):
    box = container()
    it = up(box)
    gate = box.gate()
    os.mkfifo(box.root / "fifo", 0o666)
    process = subprocess.Popen(
        [str(ENTRY), "attach", "-n", box.name, "--", "sh", "-c", "echo here; read x </fifo"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    box.look_after(process)
    assert process.stdout.readline() == "here\n"
    (pid,) = [
        pid
        for pid in machine.descendants(process.pid)
        if b"fifo" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    groups = it.groups()
    assert len(groups) >= 2
    for group in groups:
        assert str(pid) in Path(group, "cgroup.procs").read_text().split()
    (box.root / "fifo").write_text("go\n")
    assert process.wait() == 0
    assert gate


def test_program_goes_where_init_is_when_the_container_has_made_groups_with_controllers(container):
    """Of version 2 a group that hands controllers down has no processes itself (cgroups(7))."""
    box = container("lxc.mount.auto = cgroup:rw:force")
    it = up(box)
    (group,) = [group for group in it.groups() if "/unified/" in group]
    inner = Path(group, "inner")
    inner.mkdir()
    (inner / "cgroup.procs").write_text(str(it.init_pid))
    available = Path(group, "cgroup.controllers").read_text().split()
    if not available:
        # All controllers are of version 1 here: threads are what is left to be handed down.
        pytest.skip("version 2 has no controller on this machine")
    Path(group, "cgroup.subtree_control").write_text(f"+{available[0]}")
    assert "0::/inner" in read(box, "cat", "/proc/self/cgroup")


@pytest.mark.parametrize("words", [(), ("-e",), ("-e=CGROUP",), ("-e=CAP|LSM",)], ids=" ".join)
def test_elevated_program_stays_out_of_what_is_named_but_never_of_the_filter(container, words):
    box = container("lxc.cap.drop = net_raw", policy=POLICY)
    it = up(box)
    shown = status_of(read(box, "cat", "/proc/self/status", options=words))
    keeps = words in (("-e",), ("-e=CAP|LSM",))
    assert int(shown["CapEff"], 16) == (EVERYTHING if keeps else EVERYTHING & ~(1 << 13))
    assert (shown["Seccomp"], shown["Seccomp_filters"]) == ("2", "1")
    outside = read(box, "cat", "/proc/self/cgroup", options=words)
    beside = words in (("-e",), ("-e=CGROUP",))
    assert ("0::/\n" not in outside) == beside
    assert it


def test_unknown_privilege_is_told(container):
    box = container()
    up(box)
    hint = "(CGROUP|CAP|LSM)"
    assert inside(box, "true", options=("-e=ALL",)) == (
        2, "", f"minilxc: --elevated-privileges: unknown privilege 'ALL' {hint}\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("word", "kinds"),
    [
        ("MOUNT", {"mnt"}),
        ("PID|UTSNAME", {"pid", "uts"}),
        ("NETWORK,IPC", {"net", "ipc"}),
        ("network", {"net"}),
    ],
)
def test_namespaces_that_are_named_are_joined_alone(container, word, kinds):
    box = container("lxc.net.0.type = empty")
    it = up(box)
    names = "mnt pid uts ipc net".split()
    program = ("/bin/sh", "-c", "cat /proc/1/comm >/dev/null; cd /proc/self/ns; ls -l " + " ".join(names))
    if "pid" in kinds:  # the host's /proc does not show the process then
        program = ("/bin/sh", "-c", "hostname; echo $$")
        shown = inside(box, *program, options=("-s", word))
        assert shown.status == 0
        assert int(shown.out.split()[1]) < 50
        return
    shown = inside(box, *program, options=("-s", word)).out
    found = dict(re.findall(r"(\w+) -> (\w+:\[\d+\])", shown))
    for kind in names:
        whose = it.init_pid if kind in kinds else "self"
        assert found[kind] == os.readlink(f"/proc/{whose}/ns/{kind}")


def test_proc_and_sys_show_what_is_joined_when_asked(container):
    box = container("lxc.net.0.type = empty")
    up(box)
    mounts = Path("/proc/self/mountinfo").read_text()
    shown = read(
        box, "/bin/sh", "-c", "cat /proc/1/comm; ls /sys/class/net", options=("-s", "PID|NETWORK", "-R")
    )
    assert shown == "sleep\nlo\n"
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_unknown_namespace_is_told(container):
    box = container()
    up(box)
    hint = "(MOUNT|PID|UTSNAME|IPC|USER|NETWORK|CGROUP|TIME)"
    expected = (2, "", f"minilxc: --namespaces: unknown namespace 'DISK' {hint}\n")
    assert inside(box, "true", options=("-s", "DISK")) == expected


def test_nothing_is_run_on_the_host_when_process_1_has_just_ended(container):
    """The namespaces of a process that has ended cannot be seen: that is no reason to stay out of them."""
    box = container()
    gate = box.gate()
    box.configure(box.hook("stop", gate.shell))
    it = up(box)
    with it._demand() as connection:
        record, data, pidfd = attach.record_of(connection)
    os.kill(it.init_pid, signal.SIGKILL)
    gate.wait()
    try:
        assert record.namespaces
        for wanted in (None, ("mnt",)):
            with pytest.raises(NotRunning):
                attach.namespaces(box.name, pidfd, wanted)
        request = enter.Request(
            record=data, arguments=("/bin/true",), environment=(), directory="/", namespaces=("mnt", "pid")
        )
        with pytest.raises(StartError) as caught:
            attach.enter(box.name, pidfd, request)
        assert caught.value.step == "namespaces"
    finally:
        os.close(pidfd)
    gate.open()


# What confines it


@BOTH_MAPS
@pytest.mark.parametrize("nnp", [0, 1])
@pytest.mark.parametrize(
    "caps",
    ["lxc.cap.drop = sys_module net_raw", "lxc.cap.keep = chown kill sys_chroot", "lxc.cap.keep = none"],
)
def test_program_is_confined_exactly_as_init(container, lines, nnp, caps):
    box = container(*lines, caps, f"lxc.no_new_privs = {nnp}", "lxc.prlimit.nofile = 100:200", policy=POLICY)
    it = up(box)
    names = (
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
        "Seccomp_filters",
        "Groups",
        "Uid",
        "Gid",
    )
    init = status_of(read(box, "cat", "/proc/1/status"))
    mine = status_of(read(box, "cat", "/proc/self/status"))
    assert {name: mine[name].strip() for name in names} == {name: init[name].strip() for name in names}
    assert read(box, "sh", "-c", "ulimit -n; ulimit -Hn") == "100\n200\n"
    assert read(box, "try-syscall", "mkdir", "/tmp/x", "0755") == f"{-111}\n"
    assert it


def test_filter_is_the_one_that_init_got_whatever_became_of_the_policy(container):
    box = container(policy=POLICY)
    up(box)
    call = ("try-syscall", "mkdir", "/nowhere/x", "0755", "+", "rmdir", "/nowhere/x")
    assert read(box, *call) == "-111\n-2\n"
    box.policy_file.write_text("2\ndenylist\nrmdir errno ECONNREFUSED\n")
    assert read(box, *call) == "-111\n-2\n"
    box.policy_file.unlink()
    box.file.write_text("nonsense\n")
    assert read(box, *call) == "-111\n-2\n"


def calls_by_process(box, trace, *words):
    wrap = ("strace", "-f", "-qq", "-o", str(trace))
    box.may_make.add(str(trace))
    result = inside(box, *words, wrap=wrap)
    assert result.status == 0, result
    found = {}
    for line in trace.read_text(errors="replace").splitlines():
        pid, call = line.split(maxsplit=1)
        if call.startswith("<...") and found.get(pid):
            found[pid][-1] += call.partition("resumed>")[2]
        elif not call.startswith(("+++", "---")):
            found.setdefault(pid, []).append(call.replace("<unfinished ...>", ""))
    return found


@BOTH_MAPS
def test_nothing_lies_between_the_load_of_the_filter_and_execve_and_nothing_is_read_inside(container, lines):
    box = container(*lines, policy=POLICY)
    up(box)
    found = calls_by_process(box, box.folder / "trace", "/bin/true")
    (calls,) = [
        calls for calls in found.values() if any(call.startswith('execve("/bin/true"') for call in calls)
    ]
    (load,) = [number for number, call in enumerate(calls) if "SECCOMP_SET_MODE_FILTER" in call]
    assert calls[load].endswith("= 0")
    assert calls[load + 1].startswith('execve("/bin/true"')
    # From the moment in which it is in the container's tree it loads no module and no library.
    (joining,) = [calls for calls in found.values() if any(call.startswith("setns(") for call in calls)]
    (joined,) = [number for number, call in enumerate(joining) if call.startswith("setns(")]
    after = joining[joined:] + calls[:load]
    assert [call for call in after if re.match(r'open(at2?)?\(.*"[^"]*\.(py|pyc|so|so\.\d+)"', call)] == []
    # Before that it has let go of what its caller had open, and nobody may look into it.
    before = joining[:joined]
    assert any(call.startswith("close_range(4, 4294967295") for call in before)
    assert any(
        call.startswith("prctl(PR_SET_DUMPABLE, 0") or "PR_SET_DUMPABLE, SUID_DUMP_DISABLE" in call
        for call in before
    )


def test_limits_and_umask_are_the_containers(container):
    box = container("lxc.prlimit.nofile = 50:60")
    box.start("sleep", "1000", umask=0o027)
    assert read(box, "sh", "-c", "umask; ulimit -n", umask=0o077) == "0027\n50\n"


def test_session_keyring_is_not_the_callers(container):
    box = container()
    up(box)
    libc = ctypes.CDLL(None, use_errno=True)
    get_id = 250, 0, -3  # keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING)
    ours = libc.syscall(*get_id, 0)
    assert ours > 0
    assert int(read(box, "try-syscall", "keyctl", "0", "-3", "0")) not in (ours, 0)


def test_program_leads_a_session_without_a_terminal_of_the_callers(container):
    """TIOCSTI on that would type into the caller's shell (CVE-2017-5226)."""
    box = container()
    up(box)
    screen = Screen(
        [str(ENTRY), "attach", "-n", box.name, "--", "sh", "-c", "cat /dev/tty 2>&1; cat /proc/$$/stat"]
    )
    try:
        text = screen.end()
    finally:
        screen.close()
    stat = text.splitlines()[-1].split()
    assert stat[4] == stat[5] == stat[0]
    script = "cat /proc/$$/stat; cat </dev/tty"
    result = inside(box, "sh", "-c", script)
    stat = result.out.split()
    assert (stat[5], stat[6]) == (stat[0], "0")
    assert "No such device or address" in result.err


def test_personality_is_the_containers_or_the_one_asked_for(container):
    box = container("lxc.arch = i686")
    up(box)
    assert read(box, "uname", "-m") == "i686\n"
    assert read(box, "uname", "-m", options=("-a", "x86_64")) == "x86_64\n"
    result = inside(box, "true", options=("-a", "vax"))
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert result.err.startswith("minilxc: --arch: ")


# As whom, with what


@BOTH_MAPS
def test_user_and_group_are_those_asked_for(container, lines):
    box = container(*lines, "lxc.cap.drop = net_raw")
    up(box)
    shown = status_of(read(box, "cat", "/proc/self/status", options=("-u", "1000", "-g", "100")))
    assert shown["Uid"].split() == ["1000"] * 4
    assert shown["Gid"].split() == ["100"] * 4
    assert shown["Groups"].split() == []
    assert int(shown["CapEff"], 16) == 0
    assert inside(box, "true", options=("-u", "x")) == (2, "", "minilxc: --uid: 'x' is no id\n")


CALLER = {**os.environ, "ONE": "1", "TWO": "2", "container": "x"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {"ONE": "1", "TWO": "2", "OF_IT": "x", "container": "lxc"}),
        (("--keep-env",), {"ONE": "1", "TWO": "2", "OF_IT": "x"}),
        (("--clear-env",), {"ONE": None, "OF_IT": "x", "container": "lxc"}),
        (("--clear-env", "--keep-var", "ONE", "--keep-var", "NONE"), {"ONE": "1", "TWO": None}),
        (("-v", "ONE=a=b", "-v", "THREE="), {"ONE": "a=b", "THREE": ""}),
        (("-v", "OF_IT=mine"), {"OF_IT": "mine"}),
    ],
)
def test_variables_are_the_callers_the_containers_and_those_asked_for(container, options, expected):
    box = container("lxc.environment = OF_IT=x", "lxc.environment.hooks = OF_HOOKS=1")
    up(box)
    shown = dict(line.split("=", 1) for line in read(box, "env", options=options, env=CALLER).splitlines())
    assert {name: shown.get(name) for name in expected} == expected
    assert "OF_HOOKS" not in shown
    assert shown["PATH"] == "/bin"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--clear-env", "--keep-env"), "--clear-env and --keep-env exclude each other"),
        (("-v", "NAME"), "--set-var: 'NAME' is not NAME=VALUE"),
        (("-v", "=x"), "--set-var: '=x' is not NAME=VALUE"),
    ],
)
def test_words_that_make_no_sense_are_told(container, options, error):
    box = container()
    up(box)
    result = inside(box, "true", options=options)
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith(f"minilxc: {error}")


# How it ends


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (("sh", "-c", "exit 7"), 7, ""),
        (("sh", "-c", "kill -9 $$"), 137, ""),
        (("sh", "-c", "kill -15 $$"), 143, ""),
        (("nowhere",), 127, "program: nowhere: No such file or directory"),
        (("/nowhere",), 127, "execve: /nowhere: No such file or directory"),
        (("/etc/passwd",), 126, "execve: /etc/passwd: Permission denied"),
        (("/proc/self/exe",), 126, "interpreters: /proc/self/exe: Too many levels of symbolic links"),
        (("/link",), 126, "interpreters: /link: Too many levels of symbolic links"),
        (("/script",), 126, "interpreters: /proc/self/exe: Too many levels of symbolic links"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else None,
)
def test_exit_status_is_the_programs_or_tells_why_there_was_none(container, words, status, error):
    box = container()
    (box.root / "link").symlink_to("/proc/self/exe")
    (box.root / "script").write_text("#!/proc/self/exe\n")
    (box.root / "script").chmod(0o755)
    up(box)
    assert inside(box, *words) == (status, "", error and f"minilxc: {box.name}: {error}\n")


def test_program_that_the_policy_kills_is_told_by_its_status(container):
    box = container(policy="2\ndenylist\nmkdir kill\n")
    up(box)
    assert inside(box, "try-syscall", "mkdir", "/x", "0755").status == 128 + signal.SIGSYS


def test_what_does_not_run_cannot_be_joined(container):
    box = container()
    assert inside(box, "true") == (1, "", f"minilxc: {box.name}: is not running\n")


def test_signals_of_the_caller_reach_the_program(container):
    box = container()
    up(box)
    process = subprocess.Popen(
        [str(ENTRY), "attach", "-n", box.name, "--", "signals"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    box.look_after(process)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGUSR2)
    assert process.stdout.readline() == f"{int(signal.SIGUSR2)}\n"
    process.terminate()
    assert process.wait() == 7
    process.stdout.close()


def test_program_ends_with_its_container(container):
    box = container()
    it = up(box)
    process = subprocess.Popen(
        [str(ENTRY), "attach", "-n", box.name, "--", "sh", "-c", "echo here; exec sleep 1000"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    box.look_after(process)
    assert process.stdout.readline() == "here\n"
    it.stop(kill=True)
    assert process.wait() == 137
    process.stdout.close()


def test_standard_descriptors_go_through(container):
    box = container()
    up(box)
    assert inside(box, "sh", "-c", "cat; echo err >&2", input="in\n") == (0, "in\n", "err\n")
    with open(os.devnull) as extra:
        shown = read(box, "ls", "/proc/self/fd", pass_fds=(extra.fileno(),)).split()
    assert set(shown) == {"0", "1", "2", "3"}  # the last is the listing's own


# On a terminal


@pytest.fixture
def screens():
    opened = []

    def run(box, *words, options=(), **more):
        box.remember_files()
        shown = Screen([str(ENTRY), "attach", "-n", box.name, *options, "--", *words], **more)
        opened.append(shown)
        return shown

    yield run
    for shown in opened:
        shown.close()


@pytest.mark.parametrize("lines", [("lxc.pty.max = 4",), ("lxc.pty.max = 0",), ("lxc.pty.max = 4", *MAPPED), ("lxc.pty.max = 0", *MAPPED)],
    ids=["own ptys", "none", "mapped", "mapped, none"])  # fmt: skip
@pytest.mark.parametrize("options", [(), ("-u", "1000")], ids=["root", "user"])
def test_program_on_a_terminal_has_one_of_its_own(container, screens, lines, options):
    box = container(*lines)
    up(box)
    script = "tty; stty size; echo typed >/dev/tty; cat /proc/$$/stat; exit 5"
    shown = screens(box, "sh", "-c", script, rows=33, columns=101, options=options)
    text = shown.end().replace("\r\n", "\n")
    assert shown.process.returncode == 5, text
    name, size, typed, stat = text.splitlines()
    assert (size, typed) == ("33 101", "typed")
    if "lxc.pty.max = 4" in lines:
        assert re.fullmatch("/dev/pts/[0-9]+", name)
    assert int(stat.split()[6]) >> 8 == 136


def test_terminal_follows_the_callers(container, screens):
    box = container("lxc.pty.max = 4")
    up(box)
    script = "trap 'stty size' WINCH; trap 'echo interrupted; exit 6' INT; echo ready; while :; do read line && echo got $line; done"
    shown = screens(box, "sh", "-c", script)
    shown.read_until("ready")
    shown.type("hello\r")
    shown.read_until("got hello")
    shown.resize(40, 90)
    shown.read_until("40 90")
    shown.type("\x03")
    shown.read_until("interrupted")
    shown.end()
    assert (shown.process.returncode, shown.modes_now()) == (6, shown.modes)


def test_end_of_input_on_a_terminal_ends_who_reads(container, screens):
    box = container("lxc.pty.max = 4")
    up(box)
    shown = screens(box, "sh", "-c", "echo ready; cat; echo end")
    shown.read_until("ready")
    shown.type("\x04")
    shown.read_until("end")
    shown.end()
    assert shown.process.returncode == 0


def test_what_is_written_to_the_terminal_is_logged_when_asked(container, screens):
    box = container("lxc.pty.max = 4")
    up(box)
    log = box.folder / "pty.log"
    box.may_make.add(str(log))
    shown = screens(box, "sh", "-c", "echo one; echo two", options=("-L", str(log)))
    shown.end()
    assert log.read_bytes() == b"one\r\ntwo\r\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_log_that_cannot_be_written_is_told(container):
    box = container()
    up(box)
    path = box.folder / "no" / "log"
    expected = f"minilxc: {box.name}: console: {path}: No such file or directory\n"
    assert inside(box, "true", options=("-L", str(path))) == (1, "", expected)


def test_long_output_on_a_terminal_is_whole(container, screens):
    box = container("lxc.pty.max = 4")
    up(box)
    shown = screens(box, "sh", "-c", "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done")
    assert shown.end().split() == [str(number) for number in range(2000)]


# The shell


def test_without_a_program_it_is_the_users_shell(container):
    box = container()
    (box.root / "bin" / "mine").symlink_to("busybox")
    for name, text in (("rootsh", "of root"), ("usersh", "of the user")):
        path = box.root / "bin" / name
        path.write_text(f"#!/bin/sh\necho {text}\n")
        path.chmod(0o755)
    (box.root / "etc" / "passwd").write_text(
        "root:x:0:0::/root:/bin/rootsh\nuser:x:1000:1000::/:/bin/usersh\nbad:x:7:7::/:/no/sh\n"
    )
    up(box)
    assert inside(box).out == "of root\n"
    assert inside(box, options=("-u", "1000")).out == "of the user\n"
    for uid in ("7", "8"):
        assert inside(box, options=("-u", uid), input="echo from sh\n") == (0, "from sh\n", "")


def spoil_passwd(box, how):
    path = box.root / "etc" / "passwd"
    path.unlink()
    if how == "fifo":
        os.mkfifo(path)
    elif how == "link":
        secret = box.folder / "secret"
        secret.write_text("root:x:0:0::/root:/bin/false\n")
        path.symlink_to(secret)
    elif how == "huge":
        with open(path, "wb") as file:
            file.truncate(1 << 40)
    elif how == "folder":
        path.mkdir()
    elif how == "binary":
        path.write_bytes(bytes(range(256)) * 10 + b"\nroot:x:0:0::/root:/bin/sh\n")
    elif how == "loop":
        path.symlink_to("passwd")
    elif how == "procfs":
        path.symlink_to("/proc/self/environ")
    elif how == "shell":
        path.write_text("root:x:0:0::/root:/proc/self/exe\n")
    elif how == "dots":
        path.write_text(f"root:x:0:0::/root:/../../../{box.folder}/../../bin/false\n")


@pytest.mark.parametrize(
    "how", ["fifo", "link", "huge", "folder", "binary", "loop", "procfs", "shell", "dots", "none"]
)
def test_hostile_passwd_neither_holds_nor_leads_anybody_astray(container, how):
    box = container()
    spoil_passwd(box, how)
    up(box)
    assert inside(box, input="echo from sh\n") == (0, "from sh\n", "")


def test_missing_shell_is_told(container):
    box = container()
    up(box, "busybox", "sleep", "1000")
    (box.root / "bin" / "sh").unlink()
    box.may_make.add(str(box.root / "bin" / "sh"))
    assert inside(box) == (127, "", f"minilxc: {box.name}: execve: /bin/sh: No such file or directory\n")


@pytest.mark.parametrize("how", ["fifo", "link", "file", "bound"])
def test_hostile_ptmx_gives_nothing_of_the_hosts(container, screens, how):
    """Who has replaced what a terminal is made from gets one that is of no use to him."""
    box = container("lxc.pty.max = 4")
    spoil = {
        "fifo": "busybox mkfifo /dev/pts/ptmx",
        "link": "ln -s /tmp/mine /dev/pts/ptmx",
        "file": "echo >/dev/pts/ptmx",
    }
    if how == "bound":
        script = "busybox mkfifo /tmp/mine; mount --bind /tmp/mine /dev/pts/ptmx"
    else:
        script = f"umount -l /dev/pts; mount -t tmpfs t /dev/pts; {spoil[how]}"
    box.allow("tmp/mine")
    it = up(box, "sh", "-c", f"{script}; touch /tmp/done; exec sleep 1000")
    box.allow("tmp/done")
    machine.wait_for((box.root / "tmp" / "done").exists, "the mount")
    shown = screens(box, "sh", "-c", "stat -Lc %t /proc/self/fd/0; exit 5")
    assert shown.end() == "88\r\n"
    assert shown.process.returncode == 5
    assert it.state == "RUNNING"


# What a hostile root inside gets hold of


@pytest.fixture
def interpreter(session_folder):
    """A copy of the interpreter that stands for the host's, so that a spoilt one does no harm."""
    path = session_folder / "python3"
    if not path.exists():
        shutil.copy(os.path.realpath(str(ENTRY.parents[1] / ".venv/bin/python3")), path)
    return path


def looks(path):
    status = path.stat()
    return path.read_bytes(), status.st_mode, status.st_mtime_ns, status.st_ctime_ns, status.st_size


@pytest.mark.parametrize(
    "lines",
    [(), ("lxc.pty.max = 4",), MAPPED, ("lxc.namespace.keep = pid",)],
    ids=["unmapped", "with ptys", "mapped", "host pids"],
)
def test_hosts_interpreter_is_out_of_reach_of_who_lies_in_wait_inside(container, interpreter, lines):
    """CVE-2019-5736: /proc/PID/exe of who joins is the host's, in the moment before execve."""
    box = container(*lines)
    it = up(box)
    before = looks(interpreter)
    words = ["grab"]
    grab = subprocess.Popen(
        [str(ENTRY), "attach", "-n", box.name, "--", "grab", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    box.look_after(grab)
    assert grab.stdout.readline() == "ready\n"
    command = [interpreter, "-IS", "-Xutf8", ENTRY, "attach", "-n", box.name, "--", "/bin/true"]
    for _ in range(30):
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    grab.terminate()
    shown = grab.communicate()[0].splitlines()
    assert grab.returncode == 0
    assert looks(interpreter) == before
    assert int(shown[-1].removeprefix("saw ")) > 0
    held = {line.split(maxsplit=1)[1] for line in shown[:-1]}
    if "lxc.namespace.keep = pid" in lines:
        held = {line for line in held if "memfd" in line}  # others of the host are in sight there
    assert {line for line in held if not line.startswith("exe /memfd:minilxc")} == set()
    if lines == ():
        assert held  # or the test would prove nothing
    assert it.state == "RUNNING"


def test_ordinary_users_container_is_joined_by_that_user(container, monkeypatch):
    box = container("lxc.net.0.type = empty", *ordinary.MAPPED, policy=POLICY)
    box.user = ordinary.User(box.folder)
    ordinary.own(box.root, ordinary.FIRST)

    def as_user(*words):
        ran = subprocess.run(
            [*box.user.wrap(), str(ENTRY), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=box.folder,
        )
        return Result(ran.returncode, ran.stdout, ran.stderr)

    box.container  # noqa: B018  its monitor is waited for
    runtime = box.user.runtime / "minilxc"
    box.remember_files()
    assert as_user("start", "-n", box.name, "-f", str(box.file), "--", "sleep", "1000") == (0, "", "")
    try:
        script = (
            "id -u; cat /proc/self/uid_map; grep Seccomp: /proc/self/status; try-syscall mkdir /tmp/x 0755"
        )
        shown = as_user("attach", "-n", box.name, "--", "sh", "-c", script)
        assert (shown.status, shown.err) == (0, "")
        assert shown.out.split() == [
            "0",
            "0",
            str(ordinary.FIRST),
            str(ordinary.COUNT),
            "Seccomp:",
            "2",
            "-111",
        ]
    finally:
        assert as_user("stop", "-k", "-n", box.name) == (0, "", "")
    assert not [path for path in runtime.glob("*/*") if path.name == box.name]
    box.may_make |= {str(path) for path in box.user.runtime.rglob("*")}
