"""A start either succeeds or leaves nothing behind: each step fails in turn, stops in turn, dies in turn.

The fixture `nothing_is_left` looks at the machine after each test.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.helpers import machine
from tests.helpers.container import CHECKOUT, Result

SABOTAGE = Path(machine.__file__).with_name("sabotage.py")
POLICY = "2\ndenylist\nmkdir errno ECONNREFUSED\n"
# A container that takes every step there is.
LINES = (
    "lxc.uts.name = inside",
    "lxc.net.0.type = empty",
    "lxc.net.0.flags = up",
    "lxc.net.1.type = veth",
    "lxc.mount.entry = none tmp tmpfs defaults",
    "lxc.pty.max = 4",
    "lxc.tty.max = 2",
    "lxc.sysctl.net.ipv4.ip_forward = 1",
    "lxc.arch = x86_64",
    "lxc.prlimit.nofile = 64",
    "lxc.proc.oom_score_adj = 100",
    "lxc.mount.auto = cgroup:mixed:force",
    "lxc.cgroup2.devices.allow = c *:* rwm",
    "lxc.idmap = u 0 200000 65536",
    "lxc.idmap = g 0 300000 65536",
)

STEPS = {
    "parent": ("lock", "cgroup", "clone", "id maps", "proc", "network", "go"),
    "child": (
        "cgroup",
        "inherited descriptors",
        "time namespace",
        "id maps",
        "death signal",
        "session",
        "mount propagation",
        "rootfs",
        "host name",
        "keyring",
        "network",
        "system mounts",
        "mounts",
        "cgroup mounts",
        "devices",
        "device links",
        "terminal",
        "sysctl",
        "pivot root",
        "boot id",
        "personality",
        "limits",
        "device rules",
    ),
    "last": (
        "working directory",
        "interpreters",
        "capabilities",
        "credentials",
        "death signal",
        "stdio",
        "program",
        "init",
        "descriptors",
        "umask",
        "signals",
    ),
}
TALKS = (
    "terminal",
    "limits",
    "device rules",
)  # the child's steps that need an answer or an ear of the parent's
EACH = [(side, number) for side, names in STEPS.items() for number in range(len(names))]
IDS = [f"{side}-{STEPS[side][number]}" for side, number in EACH]
EACH_STEP = pytest.mark.parametrize(("side", "number"), EACH, ids=IDS)
CHILDS_STEP = pytest.mark.parametrize(
    ("side", "number"),
    [each for each in EACH if each[0] != "parent"],
    ids=[name for name in IDS if not name.startswith("parent")],
)


def interfaces():
    """Those of the host. The kernel takes some away with their namespace, in its own time."""
    return set(os.listdir("/sys/class/net"))


def command(box, *words, side, number=0, how="fail", verb="execute"):
    """The command line of a start with one step replaced."""
    python = str(CHECKOUT / ".venv/bin/python3")
    return [
        python,
        "-IS",
        "-Xutf8",
        str(SABOTAGE),
        str(CHECKOUT),
        side,
        str(number),
        how,
        *box.arguments(*words, verb=verb),
    ]


def run(box, *words, **how):
    box.remember_files()
    ran = subprocess.run(
        command(box, *words, **how), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return Result(ran.returncode, ran.stdout, ran.stderr)


def run_until_stopped(box, *words, **how):
    """Start, and wait until the replaced step says that it was reached."""
    box.remember_files()
    process = subprocess.Popen(
        command(box, *words, **how),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    box.look_after(process)
    assert process.stderr.readline() == "STOPPED\n"
    return process


@pytest.mark.parametrize("verb", ["execute", "start"])
def test_list_of_steps_below_is_whole(container, verb):
    """A new step must be added to STEPS, so that the tests here make it fail too."""
    told = run(container(*LINES, policy=POLICY), "true", side="names", verb=verb).err.splitlines()
    wanted = [
        f"{side}:{name}"
        for side, names in STEPS.items()
        for name in names
        if verb == "execute" or name != "init"
    ]
    assert sorted(set(told)) == sorted(set(wanted))
    assert [line for line in told if line.startswith("parent:")] == [
        line for line in wanted if line.startswith("parent:")
    ]


@EACH_STEP
def test_failed_step_is_told_on_one_line_and_leaves_nothing(container, side, number):
    name = STEPS[side][number]
    box = container(*LINES, policy=POLICY)
    result = run(box, "touch", "/tmp/ran", side=side, number=number)
    hint = r"(?: \([^\n]*\))?"  # the line of the config that asks for it
    assert re.fullmatch(f"minilxc: {box.name}: {name}: the thing: Exchange full{hint}\n", result.err)
    assert (result.status, result.out) == (126 if name in ("interpreters", "program") else 1, "")
    assert box.run("sh", "-c", "exit 7") == (7, "", "")  # the name is free again


@CHILDS_STEP
def test_step_that_dies_is_named(container, side, number):
    """Killed by the kernel for want of memory, say: nothing can be sent, the shared page tells where it was."""
    box = container(*LINES, policy=POLICY)
    process = run_until_stopped(box, "true", side=side, number=number, how="stop-before")
    below = machine.descendants(process.pid)
    os.kill(below[-1], signal.SIGKILL)
    line = f"{STEPS[side][number]}: the container ended before its program was executed"
    assert process.communicate()[1] == f"minilxc: {box.name}: {line}\n"
    assert process.returncode == 1
    machine.wait_until_gone(*below)


@CHILDS_STEP
def test_step_with_a_bug_is_told_on_one_line(container, side, number):
    box = container(*LINES, policy=POLICY)
    result = run(box, "true", side=side, number=number, how="bug")
    assert (result.status, result.out) == (1, "")
    assert result.err.count("\n") == 1
    assert result.err.startswith(f"minilxc: {box.name}: ")
    assert result.err.endswith("LookupError: a bug in the step\n")


@pytest.mark.parametrize("how", ["stop-before", "stop-after"])
@EACH_STEP
def test_killed_parent_leaves_nothing_and_the_name_is_free_at_once(container, side, number, how):
    """SIGKILL cannot be handled: the lock, the child and all of its namespaces must go by themselves.

    Where the child is not killed at once, it goes on with its steps when its parent has gone, and must notice.
    """
    before = interfaces()
    lines, names = LINES, STEPS[side]
    if names[number] not in TALKS:
        # As quiet as can be: a step that talks to the parent would notice that it is gone.
        quieter = ("lxc.pty", "lxc.tty", "lxc.prlimit", "lxc.cgroup2.devices")
        lines = [line for line in LINES if not line.startswith(quieter)]
        lines.append("lxc.console.path = none")
        number -= sum(name in TALKS for name in names[:number])
    box = container(*lines, "lxc.init.uid = 1000", "lxc.init.gid = 1000", policy=POLICY)
    process = run_until_stopped(box, "sleep", "1000", side=side, number=number, how=how)
    below = machine.descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert box.run("sh", "-c", "exit 7") == (7, "", "")
    machine.wait_until_gone(*below)
    machine.wait_for(lambda: interfaces() == before, "the end of the interfaces")


@CHILDS_STEP
def test_interrupted_start_leaves_nothing(container, side, number):
    """^C or SIGTERM while the child is at work."""
    box = container(*LINES, policy=POLICY)
    process = run_until_stopped(box, "true", side=side, number=number, how="stop-before")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert (process.returncode, err) == (
        128 + signal.SIGTERM,
        f"minilxc: {box.name}: interrupted by signal 15\n",
    )


@pytest.mark.parametrize("verb", ["execute", "start"])
@pytest.mark.parametrize(
    "lines", [(), LINES, ("lxc.init.uid = 1000", "lxc.init.gid = 1000")], ids=["plain", "all", "user"]
)
def test_killed_minilxc_takes_a_running_container_along(container, verb, lines):
    before = interfaces()
    box = container(*lines, policy=POLICY)
    process = box.popen("sh", "-c", "sh -c 'echo ready; read line'; true", verb=verb, stdin=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    below = machine.descendants(process.pid)
    assert len(below) == (3 if verb == "execute" else 2)
    process.kill()
    process.wait()
    assert box.run("sh", "-c", "exit 7") == (7, "", "")
    machine.wait_until_gone(*below)
    machine.wait_for(lambda: interfaces() == before, "the end of the interfaces")


@pytest.mark.parametrize("victim", ["init", "payload"])
def test_killed_process_of_a_container_ends_it(container, victim):
    box = container()
    process = box.popen("sh", "-c", "echo ready; read line", stdin=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    init, payload = machine.descendants(process.pid)
    subprocess.run(["kill", "-9", str(init if victim == "init" else payload)], check=True)
    assert process.wait() == 128 + signal.SIGKILL
    machine.wait_until_gone(init, payload)


@pytest.mark.parametrize(
    "lines",
    [(), ("lxc.namespace.keep = pid", "lxc.monitor.signal.pdeath = 0")],
    ids=["own pids", "host's pids"],
)
def test_payload_never_runs_when_its_init_could_not_be_confined(container, lines):
    """The payload's process waits for its init's word. That init has gone is not that word.

    A process closes its descriptors before its pid namespace is ended (do_exit in the kernel), so the end of
    a pipe is seen by a process that still lives; in the host's pid namespace nothing ends it at all.
    """
    box = container(*lines, policy=POLICY)
    python = str(CHECKOUT / ".venv/bin/python3")
    script = (
        f"import sys; sys.path[:0] = ['{CHECKOUT}', '{sysconfig.get_path('purelib')}']\n"
        "from minilxc.launch import init, credentials\n"
        "def fail(plan, inside, filter): raise OSError(54, 'Exchange full', 'the thing')\n"
        "init._confine = fail\n"
        "from minilxc.cli import main\n"
        f"main({box.arguments('touch', '/tmp/ran')!r})\n"
    )
    box.remember_files()
    box.allow("tmp/ran")
    for _ in range(5):  # two processes run side by side
        ran = subprocess.run([python, "-IS", "-c", script], capture_output=True, text=True)
        machine.wait_until_gone(*machine.descendants())  # an orphaned payload's process has nobody but us
        assert (ran.returncode, ran.stdout) == (1, "")
        assert ran.stderr == f"minilxc: {box.name}: init: the thing: Exchange full\n"
        assert not (box.root / "tmp" / "ran").exists()


# --- one container of a name


def test_of_two_starts_of_one_name_exactly_one_wins(container):
    box = container()
    first, second = (box.popen("sh", "-c", "echo ready; read line", stdin=subprocess.PIPE) for _ in range(2))
    outputs = [process.stdout.readline() for process in (first, second)]
    assert sorted(outputs) == ["", "ready\n"]
    loser = (first, second)[outputs.index("")]
    assert loser.wait() == 1
    assert loser.stderr.read() == f"minilxc: {box.name}: is running already\n"
    winner = (first, second)[outputs.index("ready\n")]
    winner.communicate("\n")
    assert winner.returncode == 0


def test_one_name_in_two_places_is_two_containers(container):
    box = container()
    other = box.folder / "elsewhere"
    other.mkdir()
    process = box.popen("sh", "-c", "echo ready; read line", stdin=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    assert box.run("true", options=("-P", str(other))) == (0, "", "")


def test_place_is_the_same_however_it_is_spelled(container):
    box = container()
    (box.folder / "place").mkdir()
    (box.folder / "link").symlink_to("place")
    process = box.popen(
        "sh", "-c", "echo ready; read line", stdin=subprocess.PIPE, options=("-P", f"{box.folder}/place")
    )
    assert process.stdout.readline() == "ready\n"
    for spelling in ("place", "./place/", f"{box.folder}/link", f"{box.folder}//place/."):
        assert box.run("true", options=("-P", spelling)) == (
            1,
            "",
            f"minilxc: {box.name}: is running already\n",
        )


def test_refused_second_start_does_not_let_go_of_the_firsts_name(container):
    """A record lock goes with any descriptor of its file: the loser's must not be the winner's."""
    box = container()
    process = box.popen("sh", "-c", "echo ready; read line", stdin=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    for _ in range(3):
        assert box.run("true").err == f"minilxc: {box.name}: is running already\n"


def pivots() -> set[Path]:
    """The groups that LXC's monitor ends in, which LXC leaves."""
    return {*Path("/sys/fs/cgroup").glob("lxc.pivot"), *Path("/sys/fs/cgroup").glob("*/lxc.pivot")}


@pytest.mark.parametrize("spelling", ["{}", "{}/", "{}/./", "lxc"])
def test_name_that_lxc_runs_is_refused(container, spelling):
    """Design 8: existing containers are started where LXC has them, so LXC may be running this one."""
    box = container(base=False)
    place = box.folder / "lxc"
    (place / box.name).mkdir(parents=True)
    (place / box.name / "config").write_text(
        f"lxc.rootfs.path = dir:{box.root}\nlxc.init.cmd = /bin/sleep 1000\nlxc.net.0.type = empty\n"
    )
    there = pivots()
    subprocess.run(["lxc-start", "-P", str(place), "-n", box.name, "-d"], check=True)
    try:
        result = box.run("true", options=("-P", spelling.format(place)))
    finally:
        below = machine.descendants()
        subprocess.run(["lxc-stop", "-P", str(place), "-n", box.name, "-k"], check=True)
        machine.wait_until_gone(*below)
        for group in pivots() - there:
            group.rmdir()
        for path in (box.root / ".lxc", place):
            box.may_make |= {str(found) for found in path.rglob("*")} | {str(path)}
    assert result == (1, "", f"minilxc: {box.name}: is running already, under LXC\n")


@pytest.mark.parametrize(
    ("entries", "blamed"),
    [
        (("/tmp mnt none bind", "/tmpnope opt none bind"), 1),
        (("tmpfs opt tmpfs create=dir", "/tmp optnope none bind"), 1),
        (("/nope mnt none bind,optional", "/nope mnt none bind"), 1),
    ],
)
def test_line_that_failed_is_blamed_and_not_one_that_begins_alike(container, entries, blamed):
    lines = [f"lxc.mount.entry = {entry}" for entry in entries]
    box = container(*lines)
    for name in ("mnt", "opt", "optnone"):
        (box.root / name).mkdir(exist_ok=True)
    box.remember_files()
    result = box.run("true")
    assert result.status == 1
    assert result.err.endswith(f"({box.line_of(lines[blamed])}; 'optional' would skip it)\n")


def test_log_of_the_config_tells_why_a_start_has_failed(container):
    box = container()
    log = box.folder / "log"
    log.touch()
    box.remember_files()
    box.configure(
        "lxc.mount.entry = /nope nowhere none bind", f"lxc.log.file = {log}", "lxc.log.level = WARN"
    )
    result = box.run("true")
    assert result.status == 1
    assert "mounts: nowhere: No such file or directory" in log.read_text()
