"""Control groups: where their hierarchies are mounted, and making, ending and removing a group.

A group is a folder of a hierarchy, and its settings are files there. cgroups(7), and
Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst of the kernel.
"""

from __future__ import annotations

import _signal
import posix
import select

from minilxc.linux.files import read_text, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Names of programs' own hierarchies, without a controller, have this before them.
NAMED = "name="

CLONE_NEWCGROUP = 0x02000000
_FOLDER = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_ROUND_MS = 20  # how long the end of killed processes is waited for before the groups are looked at again


class Hierarchy:
    """A hierarchy that is mounted with its top. Immutable.

    `version` is 1 or 2. `controllers` are those of version 1 by name (`name=systemd`: none, but a name);
    of version 2 it depends on the group which there are, so it is empty. `top` is where it is mounted.
    """

    __slots__ = ("controllers", "top", "version")

    def __init__(self, version: int, controllers: tuple[str, ...], top: str) -> None:
        self.version = version
        self.controllers = controllers
        self.top = top


def hierarchies() -> tuple[Hierarchy, ...]:
    """The hierarchies that this process sees mounted, in the order of /proc/self/mountinfo. Raises OSError."""
    named = [tuple(names.split(",")) for names in groups_of("self") if names]
    found: dict[tuple[str, ...], Hierarchy] = {}
    with open("/proc/self/mountinfo", "rb") as file:
        lines = [line for line in file.read().split(b"\n") if b" - cgroup" in line]
    for line in lines:
        place, _, system = line.decode(errors="surrogateescape").partition(" - ")
        fields = place.split(" ")
        kind, _, options = system.split(" ", 2)
        # Another root: somebody has bound a group in there, and what lies above it cannot be reached.
        if fields[3] != "/":
            continue
        words = set(options.split(","))
        controllers: tuple[str, ...] = ()
        if kind == "cgroup":
            controllers = next((names for names in named if words.issuperset(names)), ())
            if not controllers:
                continue
        found.setdefault(controllers, Hierarchy(1 if controllers else 2, controllers, _unescaped(fields[4])))
    return tuple(found.values())


def _unescaped(path: str) -> str:
    """A path of mountinfo with its octal escapes replaced. proc_pid_mountinfo(5)."""
    first, *rest = path.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)


def groups_of(process: str) -> dict[str, str]:
    """The groups that a process (its pid, or "self") is in: controllers, as /proc names them, to path.

    The key of version 2 is "". Raises OSError. cgroups(7), /proc/PID/cgroup.
    """
    found = {}
    for line in read_text(f"/proc/{process}/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        found[controllers] = path
    return found


def available(group: str) -> tuple[str, ...]:
    """The controllers that a group of version 2 has. Raises OSError."""
    return tuple(read_text(f"{group}/cgroup.controllers").split())


def enable(group: str, controllers: tuple[str, ...]) -> None:
    """Give the groups below `group`, of version 2, these `controllers`. Raises OSError; then none is given."""
    given = read_text(f"{group}/cgroup.subtree_control").split()
    wanted = [f"+{name}" for name in controllers if name not in given]
    if wanted:
        write_text(f"{group}/cgroup.subtree_control", " ".join(wanted))


def inherit_cpus(group: str) -> None:
    """Give a group of the version 1 `cpuset` its parent's processors and memory nodes, where it has none yet.

    No process can go into it before. Groups that are made in it then get its own. Raises OSError. cpuset(7).
    """
    if read_text(f"{group}/cpuset.cpus").strip():
        return
    parent = group.rpartition("/")[0]
    for name in ("cpuset.cpus", "cpuset.mems"):
        write_text(f"{group}/{name}", read_text(f"{parent}/{name}"))
    write_text(f"{group}/cgroup.clone_children", "1")


def _visit(group: str, act: Callable[[int], object] | None = None) -> None:
    """Go to `group` and all groups below it, however deep, those below first; without those that end meanwhile.

    Where there is an `act`, call it with a descriptor of each; else remove each: raises OSError then.
    """
    try:
        here = posix.open(group, _FOLDER)
    except OSError:
        return
    names: list[str] = []  # of the groups that we are in, below `group`
    open_names = [_below(here)]  # what is left to visit, for each of them and `group`
    try:
        while True:
            if open_names[-1]:
                name = open_names[-1].pop()
                try:
                    inner = posix.open(name, _FOLDER, dir_fd=here)
                except OSError:
                    continue  # it has just ended
                names.append(name)
                open_names.append(_below(inner))
                posix.close(here)
                here = inner
                continue
            if act is not None:
                act(here)
            open_names.pop()
            if not names:
                break
            above = posix.open("..", _FOLDER, dir_fd=here)
            posix.close(here)
            here = above
            name = names.pop()
            if act is None:
                try:
                    posix.rmdir(name, dir_fd=here)
                except FileNotFoundError:
                    pass
    finally:
        posix.close(here)
    if act is None:
        try:
            posix.rmdir(group)
        except FileNotFoundError:
            pass


def _below(descriptor: int) -> list[str]:
    """The names of the groups right below one."""
    try:
        with posix.scandir(descriptor) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def processes(group: str) -> set[int]:
    """The processes in `group` and below it. One whose namespace cannot be seen from here is 0."""
    found: set[int] = set()

    def note(descriptor: int) -> None:
        try:
            with open(
                posix.open("cgroup.procs", posix.O_RDONLY | posix.O_CLOEXEC, dir_fd=descriptor), "rb"
            ) as file:
                found.update(int(pid) for pid in file.read().split())
        except OSError:
            pass  # it has just ended; or its processes are those of the group above (threaded)

    _visit(group, note)
    return found


def remove(group: str) -> None:
    """Remove `group` and all below it, where no process is. Raises OSError (EBUSY: one is)."""
    try:
        posix.rmdir(group)
        return  # as a rule: there is nothing below it
    except FileNotFoundError:
        return
    except OSError:
        pass
    _visit(group)


def _write(descriptor: int, name: str, text: str) -> None:
    """Write a file of a group, where there is one: another hierarchy may have it."""
    try:
        file = posix.open(name, posix.O_WRONLY | posix.O_CLOEXEC, dir_fd=descriptor)
        try:
            posix.write(file, text.encode())
        finally:
            posix.close(file)
    except OSError:
        pass


def thaw(group: str) -> None:
    """Let go on what is frozen in `group` and below it. Never raises OSError."""

    def let_go(descriptor: int) -> None:
        _write(descriptor, "freezer.state", "THAWED")
        _write(descriptor, "cgroup.freeze", "0")

    _visit(group, let_go)


def end_processes(groups: list[str]) -> bool:
    """One round of ending what runs in `groups` and below: whether nothing does any more.

    Whoever calls this again and again reaches the end of processes that make others.
    """
    for group in groups:
        try:
            top = posix.open(group, _FOLDER)
        except OSError:
            continue
        _write(top, "cgroup.kill", "1")
        _write(top, "pids.max", "0")
        posix.close(top)
        # In a frozen group of version 1, also one that the container has made, nobody dies.
        thaw(group)
    poll = select.poll()
    opened = []
    for pid in set().union(*map(processes, groups)) - {0, posix.getpid()}:
        try:
            opened.append((pid, posix.pidfd_open(pid)))
        except OSError:
            pass  # it has ended
    # A number that is still listed belongs to the process that the descriptor holds.
    listed = set().union(*map(processes, groups))
    for pid, pidfd in opened:
        if pid in listed:
            try:
                _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
            except OSError:
                pass
            poll.register(pidfd, select.POLLIN)
    if opened:
        poll.poll(_ROUND_MS)
    for _, pidfd in opened:
        posix.close(pidfd)
    return not listed


def freeze(group: str) -> None:
    """Ask for all processes of `group` and below it to stop; `freezer_state` tells when they have.

    Raises OSError (FileNotFoundError: the group's hierarchy does not freeze).
    """
    if group_has(group, "cgroup.freeze"):
        write_text(f"{group}/cgroup.freeze", "1")
    else:
        write_text(f"{group}/freezer.state", "FROZEN")


def freezer_state(group: str) -> str | None:
    """FROZEN, FREEZING or THAWED; None where the group's hierarchy does not freeze.

    cgroup-v1/freezer-subsystem.rst; cgroup-v2.rst, cgroup.freeze.
    """
    try:
        if group_has(group, "cgroup.freeze"):
            if read_text(f"{group}/cgroup.freeze").strip() == "0":
                return "THAWED"
            return "FROZEN" if "\nfrozen 1" in f"\n{read_text(f'{group}/cgroup.events')}" else "FREEZING"
        return read_text(f"{group}/freezer.state").strip()
    except OSError:
        return None


def group_has(group: str, file: str) -> bool:
    """Whether a group has a file of this name."""
    return posix.access(f"{group}/{file}", posix.F_OK)
