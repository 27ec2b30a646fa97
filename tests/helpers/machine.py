"""The machine around a test: what a start might leave behind, and the processes that a test started."""

from __future__ import annotations

import ctypes
import os
import re
import select
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PR_SET_CHILD_SUBREAPER = 36
_LXC_CGROUP = re.compile(r"/lxc\.(?:payload|monitor)\.(?:t(\d+)-)?")
_PATIENCE = 20  # seconds; a state that has not come by then does not come


def adopt_orphans() -> None:
    """Become the parent of every orphaned descendant, so that none of them can hide."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def children(pid: int) -> list[int]:
    """The children of a process."""
    try:
        return [
            int(word)
            for task in os.listdir(f"/proc/{pid}/task")
            for word in Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        ]
    except FileNotFoundError:
        return []


def descendants(pid: int | None = None) -> list[int]:
    """All processes below `pid`, the test process by default; parents first."""
    found = children(os.getpid() if pid is None else pid)
    for child in found:
        found += children(child)
    return found


def describe(pid: int) -> str:
    """A process as a test report shows it."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return f"{pid} (gone)"
    return f"{pid} {command or stat[: stat.index(')') + 3]}"


def wait_until_gone(*pids: int) -> None:
    """Wait until these processes have ended, and collect those that are ours."""
    deadline = time.monotonic() + _PATIENCE
    for pid in pids:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if not select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"still there: {describe(pid)}")
        finally:
            os.close(pidfd)
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass  # somebody else's child


def collect(but: set[int]) -> bool:
    """Wait for those of our children that have ended already, `but` these: orphans, which nobody else waits for.

    Whether nobody is left who is about to end, and has let go of his memory.
    """
    done = True
    for pid in set(children(os.getpid())) - but:
        try:
            if os.waitpid(pid, os.WNOHANG) == (0, 0) and not Path(f"/proc/{pid}/cmdline").read_bytes():
                done = False
        except (ChildProcessError, FileNotFoundError):
            pass
    return done


def end_all() -> None:
    """Kill every descendant, and wait until it is gone."""
    for pid in descendants():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_until_gone(*descendants())


def wait_for(condition, what: str):
    """Wait until `condition()` is true; its value. For states that have no descriptor to wait on."""
    deadline = time.monotonic() + _PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen: {what}")
        time.sleep(0.002)
    return value


def remove_what_is_left(name: str) -> None:
    """Remove groups and folder of a container whose monitor was killed: the next command on the name would."""
    for folder in Path("/run/minilxc").glob(f"*/{name}"):
        shutil.rmtree(folder)
        try:
            folder.parent.rmdir()
        except OSError:
            pass  # others are in it
    for folder, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
        if f"/lxc.payload.{name}/" in f"{folder}/":
            wait_for(lambda folder=folder: not Path(folder, "cgroup.procs").read_text(), f"{folder} is empty")
            os.rmdir(folder)


def inventory() -> dict[str, frozenset[str]]:
    """What a start might leave on the machine, by subject. (Files of a test's own are looked after by its box.)"""
    # The host's own services come and go meanwhile, and so may somebody else's LXC: what counts has "lxc" in
    # its name (minilxc's has), and of LXC's own the tests' containers, which have this process's number.
    cgroups = set(_groups("/sys/fs/cgroup"))
    cgroups = {
        path for path in cgroups if not (found := _LXC_CGROUP.search(path)) or found[1] == str(os.getpid())
    }
    abstract = {
        line.split()[-1]
        for line in Path("/proc/net/unix").read_text().splitlines()
        if "@" in line and f"t{os.getpid()}-" in line
    }
    state = {str(path) for path in _state(Path("/run/minilxc"))}
    return {
        "mounts": frozenset(Path("/proc/self/mountinfo").read_text().splitlines()),
        "interfaces": frozenset(os.listdir("/sys/class/net")),
        "cgroups": frozenset(cgroups),
        "processes": frozenset(describe(pid) for pid in descendants()),
        "descriptors": frozenset(_descriptors()),
        "devices": frozenset(_listing("/dev")),
        "sockets": frozenset(abstract),
        "state": frozenset(state),
        "bugs": frozenset(
            name for name in os.listdir(os.environ["TMPDIR"]) if name.startswith("minilxc-bug-")
        ),
        "host name": frozenset({os.uname().nodename}),
    }


def _state(folder: Path) -> Iterator[Path]:
    """What is kept of the tests' own containers, and what is nobody's: folders without a container, other files."""
    for path in folder.glob("*"):
        if path.is_dir() and path.name != "seccomp":
            inside = list(path.glob("*"))
            yield from [found for found in inside if f"t{os.getpid()}-" in found.name]
            if not inside:
                yield path
        elif path.name not in ("seccomp", "locks"):
            yield path


def _groups(folder: str) -> Iterator[str]:
    """The control groups with "lxc" in their names: what is below them goes with them, however deep it is."""
    for name in os.listdir(folder):
        path = f"{folder}/{name}"
        if "lxc" in name and os.path.isdir(path):
            yield path
        elif os.path.isdir(path) and not os.path.islink(path):
            yield from _groups(path)


def _descriptors() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(f"{name} -> {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            pass  # the listing's own
    return found


def _listing(folder: str) -> list[str]:
    return [f"{entry.name} {entry.stat(follow_symlinks=False).st_mode:o}" for entry in os.scandir(folder)]


def differences(
    before: dict[str, frozenset[str]], after: dict[str, frozenset[str]]
) -> dict[str, tuple[list, list]]:
    """Subject to (what is missing now, what is new)."""
    return {
        subject: (sorted(before[subject] - after[subject]), sorted(after[subject] - before[subject]))
        for subject in before
        if before[subject] != after[subject]
    }
