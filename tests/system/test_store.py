"""From nothing to a running container and back: create, destroy, copy and rename, and what they leave."""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from minilxc.container import Container
from tests.helpers import machine
from tests.helpers.container import CHECKOUT, ENTRY, MINILXC, Result
from tests.helpers.ordinary import FIRST, UID, User

SABOTAGE = CHECKOUT / "tests" / "helpers" / "sabotage_store.py"
MIRROR = "http://deb.debian.org/debian"
_numbers = itertools.count(1)
STOPPING = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


class Store:
    """A folder for containers that is not there yet, and the commands that work in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "lxc"
        self.program = MINILXC
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}
        self.running: list[subprocess.Popen[str]] = []

    def words(self, command, *words, path=True):
        """The command line; `words` may hold what follows a --."""
        return [command, *(["-P", str(self.path)] if path else []), *words]

    def run(self, command, *words, wrap=(), **more) -> Result:
        more = {"stdin": subprocess.DEVNULL, "cwd": self.folder, "env": self.environment, **more}
        line = [*wrap, self.program, *self.words(command, *words)]
        ran = subprocess.run(line, capture_output=True, text=True, timeout=300, **more)
        return Result(ran.returncode, ran.stdout, ran.stderr)

    def sabotage(self, where: str, how: str) -> list[str]:
        return [sys.executable, "-ISXutf8", str(SABOTAGE), str(CHECKOUT), where, how]

    def run_sabotaged(self, where, how, command, *words) -> Result:
        ran = subprocess.run(
            [*self.sabotage(where, how), *self.words(command, *words)],
            capture_output=True,
            text=True,
            env=self.environment,
        )
        return Result(ran.returncode, ran.stdout, ran.stderr)

    def popen(self, command, *words, program=(MINILXC,), **more) -> subprocess.Popen[str]:
        more = {"stdin": subprocess.DEVNULL, "env": self.environment, **more}
        process = subprocess.Popen(
            [*program, *self.words(command, *words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )
        self.running.append(process)
        return process

    def good(self, command, *words, **more) -> str:
        """What a command prints that must end well, without a word on standard error."""
        result = self.run(command, *words, **more)
        assert (result.status, result.err) == (0, ""), result
        return result.out

    def tool(self, name: str, script: str) -> None:
        """A program that stands before the machine's own."""
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def root(self, name: str) -> Path:
        return self.path / name / "rootfs"

    def config(self, name: str) -> str:
        return (self.path / name / "config").read_text()

    def listing(self) -> list[str]:
        return sorted(os.listdir(self.path)) if self.path.exists() else []


@pytest.fixture
def store(session_folder, nothing_is_left):
    folder = session_folder / f"store{next(_numbers)}"
    folder.mkdir()
    made = Store(folder)
    yield made
    for process in made.running:
        if process.poll() is None:
            process.kill()
        process.communicate()
    shutil.rmtree(folder)


def init_of(process: subprocess.Popen[str], name: str) -> int:
    """Process 1 of the container, once it is the program `name`."""

    def found():
        return [pid for pid in machine.children(process.pid) if status_of(pid).startswith(f"Name:\t{name}\n")]

    return machine.wait_for(found, f"{name} runs")[0]


def status_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return ""


def heeds(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal, or waits for it."""
    masks = re.findall(r"^Sig(?:Cgt|Blk):\t([0-9a-f]+)$", status_of(pid), re.MULTILINE)
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


def wait_for_command(process: subprocess.Popen[str]) -> None:
    """Wait until execute has started its command: minilxc, its init, the command."""
    machine.wait_for(lambda: len(machine.descendants(process.pid)) == 2, "the command runs")


# --- from nothing


def test_busybox_runs_from_nothing(store):
    assert store.good("create", "-n", "c1", "-t", "busybox") == ""
    assert store.good("execute", "-n", "c1", "--", "sh", "-c", "hostname; id -u; ls /") == (
        "c1\n0\nbin\ndev\netc\nhome\nmnt\nproc\nroot\nrun\nsbin\nsys\ntmp\nusr\nvar\n"
    )
    assert "Seccomp:\t2" in store.good("execute", "-n", "c1", "--", "cat", "/proc/self/status")
    assert store.good("checkconfig", "-n", "c1", "-f", store.path / "c1" / "config").endswith("\n")
    assert store.good("destroy", "-n", "c1") == ""
    assert store.listing() == []


def test_busyboxs_init_boots_and_halts_when_it_is_told_as_the_config_says(store):
    store.good("create", "-n", "c1", "-t", "busybox")
    assert "lxc.signal.halt = SIGUSR1\n" in store.config("c1")
    process = store.popen("start", "-n", "c1", "-F")
    init = init_of(process, "init")
    machine.wait_for(lambda: heeds(init, signal.SIGUSR1), "init waits for signals")
    assert store.run("destroy", "-n", "c1") == (1, "", "minilxc: c1: is running\n")
    os.kill(init, signal.SIGUSR1)
    process.communicate()
    assert process.returncode == 0
    store.good("destroy", "-fn", "c1")


def test_container_that_runs_is_destroyed_by_force(store):
    store.good("create", "-n", "c1", "-t", "busybox")
    store.good("start", "-n", "c1")
    monitor = Container("c1", store.path).info().monitor
    store.good("destroy", "-fn", "c1")
    machine.wait_until_gone(monitor)
    assert store.listing() == []


def test_none_is_a_config_and_an_empty_folder(store):
    store.good("create", "-n", "c1", "-t", "none")
    assert os.listdir(store.root("c1")) == []
    assert f"lxc.rootfs.path = dir:{store.root('c1')}\nlxc.uts.name = c1\n" in store.config("c1")
    assert stat.S_IMODE((store.path / "c1").stat().st_mode) == 0o700
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o711


def test_config_to_start_from_comes_first_and_is_heeded(store):
    base = store.folder / "base"
    base.write_text(
        "# mine\nlxc.net.0.type = none\nlxc.cap.keep = chown\nlxc.tty.max = 1\nlxc.environment = PATH=/bin"
    )
    store.good("create", "-n", "c1", "-t", "busybox", "-f", base)
    text = store.config("c1")
    assert text.startswith(base.read_text() + "\n\n# The container that ")
    own = text.removeprefix(base.read_text())
    assert not re.search("lxc.net|lxc.cap|lxc.tty.max|lxc.environment", own)
    assert (store.root("c1") / "etc/inittab").read_text().count("tty") == 1
    assert store.good("execute", "-n", "c1", "--", "sh", "-c", "echo $PATH") == "/bin\n"


def test_config_to_start_from_that_is_wrong_makes_nothing(store):
    base = store.folder / "base"
    base.write_text("lxc.net.0.type = vethh\n")
    result = store.run("create", "-n", "c1", "-t", "busybox", "-f", base)
    assert result.status == 1
    assert result.err.startswith(f"minilxc: {base}:1: lxc.net.0.type: unknown type 'vethh'")
    missing = store.run("create", "-n", "c1", "-t", "busybox", "--config", "/nowhere")
    assert missing == (1, "", "minilxc: /nowhere: No such file or directory\n")
    assert not store.path.exists()


def test_mapped_container_of_root_sees_its_files_as_its_own(store):
    base = store.folder / "base"
    base.write_text(f"lxc.idmap = u 0 {FIRST} 65536\nlxc.idmap = g 0 {FIRST} 65536\n")
    store.good("create", "-n", "c1", "-t", "busybox", "-f", base)
    shown = store.good("execute", "-n", "c1", "--", "stat", "-c", "%u", "/etc/passwd")
    assert (shown, store.root("c1").stat().st_uid) == ("0\n", 0)


def test_root_file_system_may_be_elsewhere_and_stays_when_the_container_goes(store):
    place = store.folder / "elsewhere"
    store.good("create", "-n", "c1", "-t", "busybox", f"--dir={place}")
    assert store.good("execute", "-n", "c1", "--", "hostname") == "c1\n"
    assert store.run("create", "-n", "c2", "-t", "busybox", f"--dir={place}") == (
        1,
        "",
        f"minilxc: c2: '{place}' exists already\n",
    )
    store.good("destroy", "-n", "c1")
    assert (place / "bin" / "busybox").exists()
    store.good("create", "-n", "c2", "-t", "none", f"--dir={place}")
    assert store.good("execute", "-n", "c2", "--", "hostname") == "c2\n"
    assert sorted(os.listdir(store.folder)) == ["bin", "elsewhere", "lxc"]


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["-t", "busybox"], 2, "no container is named (-n NAME) (usage: minilxc create"),
        (["-n", "c1"], 2, "what to make it of? (-t TEMPLATE) (there are busybox, debian, oci, none)"),
        (["-n", "c1", "-t", "busibox"], 2, "unknown template 'busibox' (did you mean 'busybox'?)"),
        (["-n", "a/b", "-t", "none"], 2, "'a/b' cannot be a container's name ("),
        (["-n", "c1", "-t", "none", "--", "-x"], 2, "unknown option '-x' (usage: minilxc create -t none"),
        (["-n", "c1", "-t", "oci"], 2, "which image? ("),
        (["-n", "c1", "-t", "oci", "--", "/nowhere"], 1, "c1: '/nowhere': no such image ("),
        (["-n", "c1", "-t", "debian", "--", "-r", "-x"], 2, "--release: '-x' is no word for it"),
        (
            ["-n", "c1", "-t", "busybox", "--", "--busybox-path=/bin/ls"],
            1,
            "c1: '/bin/ls' is not static: it would miss the host's libraries (Debian's package busybox-static",
        ),
    ],
)
def test_create_that_cannot_be_is_told_in_a_line_and_makes_nothing(store, words, status, line):
    result = store.run("create", *words)
    assert (result.status, result.out) == (status, "")
    assert result.err.startswith(f"minilxc: {line}"), result.err
    assert result.err.count("\n") == 1
    assert not store.path.exists()
    assert store.run("create", "-q", *words) == (status, "", "")


def test_name_that_is_taken_stays_as_it_is(store):
    store.good("create", "-n", "c1", "-t", "none")
    before = store.config("c1")
    again = store.run("create", "-n", "c1", "-t", "busybox")
    assert again == (1, "", f"minilxc: c1: '{store.path}/c1' exists already\n")
    assert store.config("c1") == before
    assert os.listdir(store.root("c1")) == []


def test_name_of_a_container_that_runs_from_elsewhere_is_refused(store, container):
    store.path.mkdir()
    box = container()
    process = store.popen("execute", "-n", "c1", "-f", box.file, "--", "cat", stdin=subprocess.PIPE)
    wait_for_command(process)
    result = store.run("create", "-n", "c1", "-t", "none")
    assert result == (1, "", "minilxc: c1: is being made by another command, or is running\n")
    process.communicate("")
    assert store.listing() == []


# --- failures, and being told to stop

STAGES = [
    "create.folder.staging",
    "create._root",
    "create.ids.of_config",
    "templates.busybox.Busybox.fill",
    "templates.busybox._build",
    "create._write",
    "create._commit",
    "create.rename_to_free",
    "folder.rename_to_free",
]


def stages(*without):
    return [stage for stage in STAGES if stage not in without]


@pytest.mark.parametrize("how", ["fail", "bug"])
@pytest.mark.parametrize("stage", stages("create.rename_to_free"))
def test_create_that_fails_leaves_nothing(store, stage, how):
    result = store.run_sabotaged(stage, how, "create", "-n", "c1", "-t", "busybox")
    assert result.status == 1
    if how == "fail":
        assert result.err == "minilxc: c1: the thing: Exchange full\n"
    else:
        assert result.err.startswith("minilxc: a bug: LookupError: ")
        for path in Path(os.environ["TMPDIR"]).glob("minilxc-bug-*"):
            path.unlink()
    assert not store.path.exists()


@pytest.mark.parametrize("stage", ["create.rename_to_free", "folder.rename_to_free", "create._write"])
def test_create_that_fails_leaves_nothing_at_the_other_place_either(store, stage):
    store.path.mkdir()
    elsewhere = store.folder / "elsewhere"
    result = store.run_sabotaged(stage, "fail", "create", "-n", "c1", "-t", "busybox", f"--dir={elsewhere}")
    assert (result.status, result.err) == (1, "minilxc: c1: the thing: Exchange full\n")
    assert store.listing() == []
    assert sorted(os.listdir(store.folder)) == ["bin", "lxc"]


@STOPPING
@pytest.mark.parametrize("stage", stages("create._commit", "create.rename_to_free", "folder.rename_to_free"))
def test_create_that_is_told_to_stop_leaves_nothing(store, stage, number):
    command = ("create", "-n", "c1", "-t", "busybox")
    process = store.popen(*command, program=store.sabotage(stage, "stop"))
    assert process.stderr.readline() == "STOPPED\n"
    process.send_signal(number)
    _, err = process.communicate()
    assert (process.returncode, err) == (128 + number, f"minilxc: c1: interrupted by signal {int(number)}\n")
    assert not store.path.exists()


def test_create_that_is_told_to_stop_too_late_is_done(store):
    process = store.popen(
        "create", "-n", "c1", "-t", "none", program=store.sabotage("create._commit", "stop")
    )
    assert process.stderr.readline() == "STOPPED\n"
    process.send_signal(signal.SIGINT)
    assert (process.communicate()[1], process.returncode) == ("", 0)
    assert store.listing() == ["c1"]


# Leaves what a bootstrapper may: mounts, a process in a session of its own, files that nobody may read.
BUSY = """
for target; do case $target in */rootfs) root=$target;; esac; done
mkdir -p $root/proc $root/dev $root/locked/x; chmod 0 $root/locked
mount -t proc proc $root/proc; mount -t tmpfs none $root/dev
setsid sleep 1000 &
echo "I: working" >&2
echo $$ >$TMPDIR/here; touch {mark}
{end}
"""


def busy(store, tool="mmdebstrap", end="wait"):
    """A bootstrapper that makes a mess, says so by a file, and then does what `end` says."""
    mark = store.folder / "busy"
    store.tool(tool, BUSY.format(mark=mark, end=end))
    return mark


def parts(store):
    """The hidden folders."""
    return [name for name in store.listing() if name.startswith(".c1.minilxc-")]


@STOPPING
def test_tool_that_is_interrupted_goes_with_all_that_it_started_and_mounted(store, number):
    mark = busy(store)
    process = store.popen("create", "-n", "c1", "-t", "debian")
    machine.wait_for(mark.exists, "the tool is at work")
    process.send_signal(number)
    _, err = process.communicate()
    assert (process.returncode, err) == (128 + number, f"minilxc: c1: interrupted by signal {int(number)}\n")
    assert not store.path.exists()


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("exit 25", "ended with status 25: I: working"),
        ("echo 'E: no such suite' >&2; echo 'E: and so'; exit 1", "ended with status 1: no such suite"),
    ],
)
def test_tool_that_fails_leaves_nothing_and_says_why(store, end, why):
    busy(store, end=end)
    result = store.run("create", "-n", "c1", "-t", "debian")
    assert result == (1, "", f"minilxc: c1: mmdebstrap {why} (-v shows all that it says)\n")
    assert not store.path.exists()


def test_what_a_killed_create_leaves_goes_with_the_next_command(store):
    mark = busy(store)
    process = store.popen("create", "-n", "c1", "-t", "debian")
    machine.wait_for(mark.exists, "the tool is at work")
    below = machine.descendants(process.pid)
    assert len(below) >= 2
    process.kill()
    process.communicate()
    machine.wait_until_gone(*below, *machine.descendants())
    assert len(parts(store)) == 1
    # One that somebody holds, and one of another name, stay.
    held, other = store.path / ".c1.minilxc-00000000", store.path / ".c1.c.minilxc-00000000"
    held.mkdir()
    other.mkdir()
    descriptor = os.open(held, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    store.good("create", "-n", "c1", "-t", "none")
    assert store.listing() == [other.name, held.name, "c1"]
    os.close(descriptor)
    store.good("destroy", "-n", "c1")
    assert store.listing() == [other.name]


def test_of_creates_at_once_one_makes_the_container_and_the_others_nothing(store):
    together = [store.popen("create", "-n", "c1", "-t", "busybox") for _ in range(6)]
    ends = [(process.communicate()[1], process.returncode) for process in together]
    assert sorted(code for _, code in ends) == [0, 1, 1, 1, 1, 1]
    for line, code in ends:
        assert code == 0 or re.fullmatch(r"minilxc: c1: (is being made by .*|'.*' exists already)\n", line), (
            line
        )
    assert store.listing() == ["c1"]
    assert store.good("execute", "-n", "c1", "--", "hostname") == "c1\n"


def test_one_that_fails_does_not_take_the_path_from_one_that_works_there(store):
    mark = busy(store, end="exit 1")
    process = store.popen(
        "create", "-n", "c1", "-t", "busybox", program=store.sabotage("create._commit", "stop")
    )
    assert process.stderr.readline() == "STOPPED\n"
    assert store.run("create", "-n", "c2", "-t", "debian").status == 1
    assert mark.exists()
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert store.listing() == ["c1"]


# --- destroy


def test_destroy_of_nothing_is_told(store):
    assert store.run("destroy", "-n", "c1") == (
        1,
        "",
        f"minilxc: c1: there is no such container (no '{store.path}/c1')\n",
    )
    store.path.mkdir()
    (store.path / "c1").mkdir()
    assert (
        store.run("destroy", "-n", "c1").err
        == f"minilxc: c1: '{store.path}/c1' is no container's: it has no config\n"
    )
    (store.path / "c2").symlink_to("c1")
    assert "is no folder, and what a link leads to is not touched" in store.run("destroy", "-n", "c2").err


def test_destroy_takes_away_what_a_killed_one_has_left(store):
    (store.path / ".c1.minilxc-00000000" / "rootfs").mkdir(parents=True)
    assert store.run("destroy", "-n", "c1").status == 1  # there is no such container any more
    assert os.listdir(store.path) == []


def test_destroy_follows_no_link(store):
    outside = store.folder / "outside"
    outside.mkdir()
    (outside / "file").touch()
    store.good("create", "-n", "c1", "-t", "none")
    (store.root("c1") / "link").symlink_to(outside)
    (store.path / "c1" / "link").symlink_to(outside)
    deep = store.root("c1")
    for _ in range(300):
        deep /= "a" * 30
        try:
            deep.mkdir()
        except OSError:
            break
    store.good("destroy", "-n", "c1")
    assert os.listdir(outside) == ["file"]
    assert store.listing() == []


def test_destroy_runs_its_hooks_and_stays_where_one_fails(store):
    store.good("create", "-n", "c1", "-t", "none")
    config = store.path / "c1" / "config"
    said = store.folder / "said"
    with config.open("a") as file:
        file.write(f"lxc.hook.destroy = sh -c 'echo \"$@\" $LXC_NAME $LXC_ROOTFS_PATH >>{said}' hook own\n")
        file.write(f"lxc.hook.destroy = {store.folder}/may\n")
    (store.folder / "may").symlink_to("/bin/false")
    result = store.run("destroy", "-n", "c1")
    line = f"minilxc: c1: destroy hook: {store.folder}/may: ended with status 1 ({config}:"
    assert (result.status, result.err.startswith(line)) == (1, True), result
    assert store.listing() == ["c1"]
    (store.folder / "may").unlink()
    (store.folder / "may").symlink_to("/bin/true")
    store.good("destroy", "-n", "c1")
    assert said.read_text() == f"own c1 lxc destroy c1 {store.root('c1')}\n" * 2


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (
            "lxc.rootfs.path = dir:{outside}",
            "the root file system '{outside}' is not in '{own}', and only that is removed",
        ),
        (
            "lxc.rootfs.managed = 0",
            "the root file system is in the container's folder, and lxc.rootfs.managed = 0",
        ),
        ("lxc.rootfs.path = nope:/x", "lxc.rootfs.path: unknown type 'nope'"),
        ("", "'{own}/rootfs/mounted' is a mount (umount it first)"),
        ("snaps", "there are copies and snapshots that need '{own}'"),
        ("lxc_snapshots", "there are copies and snapshots that need '{own}'"),
        ("lxc_rdepends", "is a snapshot that LXC has made"),
    ],
)
def test_destroy_refuses_what_it_would_not_do_whole(store, lines, what):
    outside, own = store.folder / "outside", store.path / "c1"
    outside.mkdir()
    store.good("create", "-n", "c1", "-t", "none")
    if lines == "snaps":
        (own / "snaps" / "snap0").mkdir(parents=True)
    elif lines.startswith("lxc_"):
        (own / lines).write_text("2")
    elif lines:
        with (own / "config").open("a") as file:
            file.write(lines.format(outside=outside) + "\n")
    else:
        (own / "rootfs" / "mounted").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", own / "rootfs" / "mounted"], check=True)
    before = sorted(str(path) for path in own.rglob("*"))
    result = store.run("destroy", "-n", "c1")
    assert result.status == 1
    assert what.format(outside=outside, own=own) in result.err
    assert sorted(str(path) for path in own.rglob("*")) == before
    assert store.listing() == ["c1"]
    if not lines:
        subprocess.run(["umount", own / "rootfs" / "mounted"], check=True)


def test_destroy_that_fails_leaves_the_container_under_its_name(store):
    store.good("create", "-n", "c1", "-t", "none")
    locked = store.root("c1") / "immutable"
    locked.touch()
    subprocess.run(["chattr", "+i", locked], check=True)
    result = store.run("destroy", "-n", "c1")
    subprocess.run(["chattr", "-i", locked], check=True)
    assert result == (1, "", "minilxc: c1: could not be removed: immutable: Operation not permitted\n")
    assert store.listing() == ["c1"]


# --- copy and rename


def furnish(root: Path) -> None:
    """Fill a root file system with what a copy may lose."""
    (root / "etc").mkdir()
    (root / "etc" / "hostname").write_text("c1\n")
    (root / "owned").touch()
    os.chown(root / "owned", 1234, 2345)
    (root / "owned").chmod(0o4751)
    os.link(root / "owned", root / "second")
    os.mknod(root / "null", stat.S_IFCHR | 0o640, os.makedev(1, 3))
    os.mkfifo(root / "pipe", 0o604)
    (root / "link").symlink_to("/etc/shadow")
    with open(root / "sparse", "wb") as file:
        file.truncate(2**24)
    os.setxattr(root / "etc", "user.note", b"kept")
    os.setxattr(
        root / "etc" / "hostname", "security.capability", bytes.fromhex("0100000200040000") + bytes(12)
    )
    os.utime(root / "etc", (1, 1))


def looks(root: Path) -> dict:
    """What a copy must keep."""
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        found[str(path.relative_to(root))] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_rdev,
            status.st_nlink,
            int(status.st_mtime),
            {
                name: os.getxattr(path, name, follow_symlinks=False)
                for name in os.listxattr(path, follow_symlinks=False)
            },
            os.readlink(path) if path.is_symlink() else "",
        )
    return found


@pytest.mark.parametrize("verb", ["copy", "rename"])
def test_fstab_in_the_root_file_system_is_not_written(store, verb):
    """The container's own root may have it, or what is beside it, be a link."""
    store.good("create", "-n", "c1", "-t", "none")
    (store.root("c1") / "etc").mkdir()
    fstab = store.root("c1") / "etc" / "fstab"
    fstab.write_text("none tmp tmpfs\n")
    with (store.path / "c1" / "config").open("a") as file:
        file.write(f"lxc.mount.fstab = {fstab}\n")
    result = store.run(verb, "-n", "c1", "-N", "c2")
    assert (result.status, result.out) == (1, "")
    assert result.err.endswith(
        ": the fstab lies in the root file system, so it cannot be given the new paths\n"
    )
    assert store.listing() == ["c1"]


def test_copy_is_the_same_under_its_own_name(store):
    store.good("create", "-n", "c1", "-t", "none")
    own = store.path / "c1"
    furnish(own / "rootfs")
    (own / "fstab").write_text(f"{own}/data srv none bind,create=dir 0 0\n/proc x none bind 0 0\n")
    (own / "data").mkdir()
    with (own / "config").open("a") as file:
        file.write(f"lxc.mount.fstab = {own}/fstab\nlxc.hook.start-host = {own}/hook\n")
        file.write("lxc.net.0.type = veth\nlxc.net.0.hwaddr = 00:16:3e:01:02:03\n")
    before = looks(own / "rootfs")
    store.good("copy", "-n", "c1", "-N", "c2")
    assert store.listing() == ["c1", "c2"]
    after = looks(store.root("c2"))
    for name in ("etc", "etc/hostname"):
        before.pop(name), after.pop(name)
    assert after == before
    assert (store.root("c2") / "owned").stat().st_ino == (store.root("c2") / "second").stat().st_ino
    assert (store.root("c2") / "sparse").stat().st_blocks == 0
    assert (store.root("c2") / "etc" / "hostname").read_text() == "c2\n"
    assert (own / "rootfs" / "etc" / "hostname").read_text() == "c1\n"
    text = store.config("c2")
    assert "c1" not in text
    assert not re.search("hwaddr = 00:16:3e:01:02:03", text)
    assert (store.path / "c2" / "fstab").read_text().startswith(f"{store.path}/c2/data srv none bind")
    assert stat.S_IMODE((store.path / "c2").stat().st_mode) == 0o700


def test_copy_runs_and_so_does_the_original(store):
    store.good("create", "-n", "c1", "-t", "busybox")
    store.good("copy", "-n", "c1", "-N", "c2", "-p", store.folder / "other")
    assert store.good("execute", "-n", "c1", "--", "hostname") == "c1\n"
    elsewhere = Store.__new__(Store)
    elsewhere.__dict__.update(vars(store), path=store.folder / "other")
    assert (
        elsewhere.good("execute", "-n", "c2", "--", "cat", "/etc/hostname", "/proc/sys/kernel/hostname")
        == "c2\nc2\n"
    )
    store.good("copy", "-n", "c1", "-p", store.folder / "other", "-K", "-M")
    assert elsewhere.listing() == ["c1", "c2"]


def test_copy_takes_a_root_file_system_from_elsewhere_into_its_folder(store):
    place = store.folder / "elsewhere"
    store.good("create", "-n", "c1", "-t", "busybox", f"--dir={place}")
    store.good("copy", "-n", "c1", "-N", "c2")
    assert store.good("execute", "-n", "c2", "--", "hostname") == "c2\n"
    store.good("destroy", "-n", "c2")
    assert store.listing() == ["c1"]
    assert (place / "bin" / "sh").exists()


def test_clone_hook_is_told_what_lxc_tells_and_its_failure_leaves_nothing(store):
    store.good("create", "-n", "c1", "-t", "none")
    hook, said = store.folder / "hook", store.folder / "said"
    hook.write_text(
        f'#!/bin/sh\necho "$@" $LXC_SRC_NAME $LXC_NAME >{said}; touch $LXC_ROOTFS_MOUNT/made\n'
        f'grep -c c2 "$LXC_CONFIG_FILE" >>{said}; test $4 != bad\n'
    )
    hook.chmod(0o755)
    with (store.path / "c1" / "config").open("a") as file:
        file.write(f"lxc.hook.clone = {hook}\n")
    bad = store.run("copy", "-n", "c1", "-N", "c2", "--", "bad")
    assert bad.status == 1
    assert bad.err.startswith(f"minilxc: c2: clone hook: {hook}: ended with status 1 (")
    assert store.listing() == ["c1"]
    store.good("copy", "-n", "c1", "-N", "c2", "--", "fine")
    assert said.read_text() == "c2 lxc clone fine c1 c2\n3\n"
    assert os.listdir(store.root("c2")) == ["made"]


def test_copy_that_fails_or_is_told_to_stop_leaves_nothing(store):
    store.good("create", "-n", "c1", "-t", "busybox")
    for where in ("copying._cp", "copying._write_new", "copying.hooks.run", "folder.rename_to_free"):
        result = store.run_sabotaged(where, "fail", "copy", "-n", "c1", "-N", "c2")
        assert (result.status, result.err) == (1, "minilxc: c2: the thing: Exchange full\n")
        assert store.listing() == ["c1"]
        process = store.popen("copy", "-n", "c1", "-N", "c2", program=store.sabotage("copying._cp", "stop"))
        assert process.stderr.readline() == "STOPPED\n"
        process.send_signal(signal.SIGTERM)
        assert process.communicate()[1].endswith("minilxc: c2: interrupted by signal 15\n")
        assert process.returncode == 128 + 15
        assert store.listing() == ["c1"]


def test_rename_takes_everything_along(store):
    store.good("create", "-n", "c1", "-t", "busybox")
    address = "lxc.net.0.type = veth\nlxc.net.0.hwaddr = 00:16:3e:01:02:03\n"
    config = store.path / "c1" / "config"
    inode = config.parent.stat().st_ino
    with config.open("a") as file:
        file.write("lxc.net = \n" + address + "lxc.net =\n")
    store.good("rename", "-n", "c1", "-N", "c2")
    assert store.listing() == ["c2"]
    assert (store.path / "c2").stat().st_ino == inode
    assert sorted(os.listdir(store.path / "c2")) == ["config", "rootfs", "system.seccomp"]
    assert address in store.config("c2")
    assert "c1" not in store.config("c2")
    assert (
        store.good("execute", "-n", "c2", "--", "cat", "/etc/hostname", "/proc/sys/kernel/hostname")
        == "c2\nc2\n"
    )
    store.good("copy", "-n", "c2", "-N", "c3", "-R")
    assert store.listing() == ["c3"]


@pytest.mark.parametrize(
    "where", ["copying._write_new", "copying.rename_to_free", "copying.exchange", "copying._rename_inside"]
)
def test_rename_that_fails_is_undone(store, where):
    store.good("create", "-n", "c1", "-t", "busybox")
    before = store.config("c1")
    result = store.run_sabotaged(where, "fail", "rename", "-n", "c1", "-N", "c2")
    assert (result.status, result.err) == (1, "minilxc: c1: the thing: Exchange full\n")
    assert store.listing() == ["c1"]
    assert sorted(os.listdir(store.path / "c1")) == ["config", "rootfs", "system.seccomp"]
    assert store.config("c1") == before
    assert store.good("execute", "-n", "c1", "--", "hostname") == "c1\n"


@pytest.mark.parametrize("command", ["copy", "rename"])
def test_copy_and_rename_refuse_what_runs_what_is_taken_and_what_is_not_there(store, command):
    store.good("create", "-n", "c1", "-t", "busybox")
    store.good("create", "-n", "c2", "-t", "none")
    taken = store.run(command, "-n", "c1", "-N", "c2")
    assert taken.err == f"minilxc: c2: '{store.path}/c2' exists already\n"
    assert "there is no such container" in store.run(command, "-n", "c9", "-N", "c3").err
    assert store.run(command, "-n", "c1").status == 2
    process = store.popen("execute", "-n", "c1", "--", "cat", stdin=subprocess.PIPE)
    wait_for_command(process)
    assert store.run(command, "-n", "c1", "-N", "c3") == (1, "", "minilxc: c1: is running\n")
    process.communicate("")
    include = store.folder / "include"
    include.write_text(f"lxc.mount.entry = {store.path}/c1/data srv none bind\n")
    with (store.path / "c1" / "config").open("a") as file:
        file.write(f"lxc.include = {include}\n")
    result = store.run(command, "-n", "c1", "-N", "c3")
    assert result.status == 1
    assert result.err.startswith(
        f"minilxc: {include}:1: lxc.mount.entry: leads into '{store.path}/c1', and a file that"
    )
    assert store.listing() == ["c1", "c2"]


# --- images


def image(folder: Path) -> None:
    """An image in a layout, in an archive of it, and in one of Docker's."""
    layout = folder / "layout"
    for command in (
        f"umoci init --layout {layout}",
        f"umoci new --image {layout}:v1",
        f"umoci unpack --image {layout}:v1 {folder}/bundle",
    ):
        subprocess.run(command.split(), check=True, capture_output=True)
    root = folder / "bundle" / "rootfs"
    for name in ("bin", "etc", "dev", "proc", "sys"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin" / "busybox")
    (root / "bin" / "sh").symlink_to("busybox")
    (root / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\nweb:x:1000:1001::/:/bin/sh\n")
    (root / "etc" / "hostname").symlink_to(folder / "outside")  # must not be written through
    options = [f"--config.entrypoint={word}" for word in ("/bin/busybox", "sh", "-c")]
    options += ['--config.cmd=echo "it is $X"; pwd; id -u; id -g', "--config.env=X=a b", "--config.user=web"]
    options += ["--config.workingdir=/srv/data", "--config.stopsignal=SIGQUIT"]
    subprocess.run(
        ["umoci", "repack", "--image", f"{layout}:v1", folder / "bundle"], check=True, capture_output=True
    )
    subprocess.run(["umoci", "config", "--image", f"{layout}:v1", *options], check=True, capture_output=True)
    subprocess.run(["tar", "-C", layout, "-cf", folder / "oci.tar", "."], check=True)
    archive = f"docker-archive:{folder}/docker.tar:me/img:v1"
    subprocess.run(["skopeo", "copy", f"oci:{layout}:v1", archive], check=True, capture_output=True)


def test_image_runs_what_it_says_as_whom_and_where(store):
    image(store.folder)
    for name in ("layout", "oci.tar", "docker.tar", f"oci:{store.folder}/layout:v1"):
        store.good("create", "-n", "c1", "-t", "oci", "--", "-u", name)
        answer = "it is a b\n/srv/data\n1000\n1001\n"
        assert store.good("execute", "-n", "c1") == answer
        assert store.good("start", "-F", "-n", "c1") == answer
        assert "lxc.signal.halt = SIGQUIT\n" in store.config("c1")
        assert (store.root("c1") / "etc" / "hostname").read_text() == "c1\n"
        assert sorted(os.listdir(store.path / "c1")) == ["config", "rootfs", "system.seccomp"]
        store.good("destroy", "-n", "c1")
    assert not (store.folder / "outside").exists()
    shutil.rmtree(store.path)
    for name, what in (
        ("oci:layout:v2", "skopeo ended with status 1: "),
        ("bundle", "'bundle' is a folder, but no OCI"),
    ):
        result = store.run("create", "-n", "c1", "-t", "oci", "--", name)
        assert (result.status, result.err.count("\n")) == (1, 1)
        assert result.err.startswith(f"minilxc: c1: {what}")
    store.tool("umoci", "mkdir -p $6/etc; exit 3")
    assert "umoci ended with status 3" in store.run("create", "-n", "c1", "-t", "oci", "--", "layout").err
    assert not store.path.exists()


# --- Debian

BOOTSTRAPPER = """
for target; do case $target in */rootfs) root=$target;; esac; done
mkdir -p $root/etc $root/lib/systemd; echo "$0" "$@" >{said}; touch $root/lib/systemd/systemd
"""


@pytest.mark.parametrize("tool", ["mmdebstrap", "debootstrap"])
def test_bootstrapper_is_told_what_the_options_say(store, tool):
    said = store.folder / "said"
    store.tool(tool, BOOTSTRAPPER.format(said=said))
    own = [
        "-r",
        "trixie",
        "-a",
        "arm64",
        "--mirror=http://here/debian",
        "--packages=vim,less",
        "--variant=buildd",
    ]
    hide = f'mount --bind /dev/null $(command -v mmdebstrap); exec {MINILXC} "$@"'
    wrap = ("unshare", "-m", "sh", "-c", hide, "sh") if tool == "debootstrap" else ()
    words = store.words("create", "-n", "c1", "-t", "debian", "--", *own)
    command = [*wrap, *words] if wrap else [MINILXC, *words]
    ran = subprocess.run(command, capture_output=True, text=True, env=store.environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    heard = said.read_text().split()
    assert heard[0] == str(store.bin / tool)
    assert {"--variant=buildd", "--include=init,vim,less"} <= set(heard)
    assert heard[-3] == "trixie"
    assert heard[-1] == "http://here/debian"
    assert any(word.endswith("=arm64") for word in heard)
    assert "lxc.arch = arm64\n" in store.config("c1")
    assert "lxc.signal.halt = SIGRTMIN+3\n" in store.config("c1")


def test_verbose_shows_what_the_tool_says_and_a_terminal_its_last_line(store):
    store.tool("mmdebstrap", BOOTSTRAPPER.format(said="/dev/null") + "echo 'I: unpacking' >&2; sleep 0.1")
    shown = store.run("create", "-v", "-n", "c1", "-t", "debian")
    assert (shown.status, shown.err) == (0, "I: unpacking\n")
    ours, theirs = os.openpty()
    line = [MINILXC, *store.words("create", "-n", "c2", "-t", "debian")]
    assert (
        subprocess.run(line, env=store.environment, stdout=theirs, stderr=theirs, stdin=theirs).returncode
        == 0
    )
    os.close(theirs)
    assert os.read(ours, 4096) == b"\r\x1b[Kmmdebstrap: I: unpacking\r\x1b[K"
    os.close(ours)


def mirror_answers() -> bool:
    try:
        with urllib.request.urlopen(f"{MIRROR}/dists/stable/InRelease", timeout=10) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_debian_boots_and_halts(store):
    signal.alarm(600)  # it comes from the network, and is unpacked
    if not mirror_answers():
        pytest.skip(f"{MIRROR} does not answer")
    store.good("create", "-n", "c1", "-t", "debian")
    log = store.folder / "console"
    process = store.popen("start", "-F", "-n", "c1", "-L", log)
    machine.wait_for(lambda: log.exists() and b"Journal Service" in log.read_bytes(), "the journal")
    machine.wait_for(lambda: b"Multi-User System" in log.read_bytes(), "the last target")
    assert b"FAILED" not in log.read_bytes()
    os.kill(init_of(process, "systemd"), signal.SIGRTMIN + 3)
    process.communicate()
    assert process.returncode == 0
    store.good("destroy", "-n", "c1")


# --- an ordinary user


@pytest.fixture
def user(store):
    """The user with a path of his own for containers."""
    who = User(store.folder)
    store.path = who.home / "lxc"
    store.program = str(ENTRY)  # nobody else may write coverage data
    return who


def test_ordinary_user_comes_from_nothing_to_a_container_and_back(store, user):
    wrap = user.wrap()
    store.good("create", "-n", "c1", "-t", "busybox", wrap=wrap)
    assert store.root("c1").stat().st_uid == FIRST
    assert f"lxc.idmap = u 0 {FIRST} 65536\n" in store.config("c1")
    assert store.good(
        "execute", "-n", "c1", "--", "sh", "-c", "id -u; stat -c %u /etc/passwd; touch /x", wrap=wrap
    ) == ("0\n0\n")
    copied = store.run("copy", "-n", "c1", "-N", "c2", wrap=wrap)
    assert copied == (1, "", "minilxc: c1: only root can copy a container with other ids than one's own\n")
    store.good("rename", "-n", "c1", "-N", "c2", wrap=wrap)
    assert store.good("execute", "-n", "c2", "--", "cat", "/etc/hostname", wrap=wrap) == "c2\n"
    debian = store.run("create", "-n", "c3", "-t", "debian", wrap=wrap)
    assert debian == (1, "", "minilxc: c3: only root can make a container by the template 'debian'\n")
    store.good("destroy", "-n", "c2", wrap=wrap)
    assert store.listing() == []


def test_ordinary_user_without_a_grant_has_containers_of_his_own_id(store, user):
    user.grant("")
    wrap = user.wrap()
    store.good("create", "-n", "c1", "-t", "busybox", wrap=wrap)
    assert store.root("c1").stat().st_uid == UID
    store.good("copy", "-n", "c1", "-N", "c2", wrap=wrap)
    assert store.good("execute", "-n", "c2", "--", "hostname", wrap=wrap) == "c2\n"
    for name in ("c1", "c2"):
        store.good("destroy", "-n", name, wrap=wrap)
    assert store.listing() == []
