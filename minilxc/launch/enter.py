"""Joining a container that runs: a short program of its own, from the host's namespaces to execve inside.

It is a fresh interpreter, which has nothing of its caller in memory, executed from a copy of itself in a
sealed file in memory: what the container's root gets hold of by way of /proc/PID/exe, in the moment before
execve, is that copy and not the host's file (CVE-2019-5736). It never is dumpable, has no descriptor of the
host's when it gets visible inside, and is confined by all that confines init before its program runs: the
same groups, limits, namespaces, capabilities, labels and filter, from the record that the monitor keeps.

Two processes: the first changes everything that can be changed outside, and is not in the container's pid
namespace, so nobody inside sees it. Its child is born there, a child of the one who asked.
"""

from __future__ import annotations

import gc
import marshal
import posix

from minilxc.launch import channel, credentials, limits, program
from minilxc.launch.channel import BORN, REQUEST, TERMINALS, Channel, Page, fail
from minilxc.launch.credentials import Credentials
from minilxc.linux import mount as kernel
from minilxc.linux import process
from minilxc.linux.files import read_text, write_text
from minilxc.linux.names import NAMESPACES
from minilxc.linux.syscalls import EBUSY, ESRCH, os_error
from minilxc.linux.terminal import open_peer, set_controlling_terminal, set_window_size, unlock_pty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from minilxc.launch.labels import Labels

CHANNEL = 3
"""The descriptor through which the program hears what to do."""

_PTMX = posix.O_RDWR | posix.O_NOCTTY | posix.O_CLOEXEC
_DEVPTS_MAGIC = 0x1CD1  # statfs(2)
_QUIET = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV | kernel.MOUNT_ATTR_NOEXEC


class Record:
    """A container's confinement, as minilxc.launch.record has written it. Immutable.

    `namespaces` are the kinds that it has of its own or shares with others; `root` is (uid, gid) of its
    root; `groups` are its control groups; `filter` is the program that init got, None without a policy.
    """

    __slots__ = (
        "credentials",
        "environment",
        "filter",
        "groups",
        "keeps_groups",
        "keyring",
        "labels",
        "limits",
        "mapped",
        "namespaces",
        "own_core",
        "personality",
        "root",
        "umask",
    )

    def __init__(self, data: bytes) -> None:
        """Read it. Raises ValueError, TypeError or EOFError when it is something else."""
        (
            self.namespaces,
            self.root,
            self.mapped,
            self.keeps_groups,
            self.groups,
            self.environment,
            self.personality,
            self.limits,
            self.umask,
            self.keyring,
            self.own_core,
            self.credentials,
            self.labels,
            self.filter,
        ) = marshal.loads(data)


class Request:
    """What to run, and as whom. Immutable. It travels as bytes.

    `record` is the container's; `namespaces` are the kinds to join; `user` and `group` are None for the
    container's root; `personality` takes the place of the record's where it is no None; `privileged` are
    what is not taken over: "cgroup", "cap", "lsm"; `remount`: /proc and /sys show the namespaces that are
    joined, in a tree of our own; `terminal` are the standard descriptors that become a new terminal's, of this `size`.
    """

    __slots__ = (
        "arguments",
        "directory",
        "environment",
        "group",
        "namespaces",
        "personality",
        "privileged",
        "record",
        "remount",
        "size",
        "terminal",
        "user",
    )

    def __init__(
        self,
        *,
        record: bytes,
        arguments: tuple[str, ...],
        environment: tuple[str, ...],
        directory: str,
        namespaces: tuple[str, ...],
        user: int | None = None,
        group: int | None = None,
        personality: int | None = None,
        privileged: tuple[str, ...] = (),
        remount: bool = False,
        terminal: tuple[int, ...] = (),
        size: int = 0,
    ) -> None:
        self.record = record
        self.arguments = arguments
        self.environment = environment
        self.directory = directory
        self.namespaces = namespaces
        self.user = user
        self.group = group
        self.personality = personality
        self.privileged = privileged
        self.remount = remount
        self.terminal = terminal
        self.size = size

    def to_bytes(self) -> bytes:
        """The request as `from_bytes` reads it."""
        return marshal.dumps({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def from_bytes(cls, data: bytes) -> Request:
        """The request that `to_bytes` has written."""
        return cls(**marshal.loads(data))


class _Joining:
    """What the process holds on its way in."""

    __slots__ = ("channel", "page", "path", "pidfd", "proc", "program", "record", "request", "slave", "spare")

    def __init__(self, channel: Channel, request: Request, page: Page, pidfd: int) -> None:
        self.channel = channel
        self.request = request
        self.record = Record(request.record)
        self.page = page
        self.pidfd = pidfd
        self.program = program.Program(request.arguments, request.environment, request.directory)
        self.path = ""
        self.proc = -1  # the host's /proc, where labels are written
        self.spare = -1  # a new terminal of the host's, for a container without its own
        self.slave = -1

    @property
    def labels(self) -> Labels | None:
        """The labels to take over."""
        if self.record.labels is None or "lsm" in self.request.privileged:
            return None
        from minilxc.launch.labels import Labels

        apparmor, selinux, keyring = self.record.labels
        return Labels(apparmor=apparmor, selinux=selinux, keyring=keyring)

    @property
    def credentials(self) -> Credentials:
        """Who the program will be."""
        _, _, _, dropped, last, no_new_privs = self.record.credentials
        uid, gid = self.record.root if "user" in self.request.namespaces else (0, 0)
        return Credentials(
            uid if self.request.user is None else self.request.user,
            gid if self.request.group is None else self.request.group,
            None if self.record.keeps_groups else (),
            () if "cap" in self.request.privileged else dropped,
            last,
            no_new_privs,
        )


def main() -> NoReturn:
    """Be the program. Its request comes through CHANNEL. Never returns."""
    gc.disable()
    program.close_descriptors((CHANNEL,))  # the caller's own, which nobody inside may get hold of
    ours = channel.inherited(CHANNEL)
    try:
        kind, _, descriptors = ours.receive()
        if kind != REQUEST:
            posix._exit(1)
        request, page, pidfd = descriptors
        size = posix.fstat(request).st_size
        joining = _Joining(ours, Request.from_bytes(posix.pread(request, size, 0)), Page(page), pidfd)
        posix.close(request)
        posix.close(page)
        _enter(joining)
    except BaseException as error:  # noqa: BLE001  no exception may run on in this copy of the interpreter
        fail(ours, "bug", error)


def _enter(joining: _Joining) -> NoReturn:
    from minilxc.seccomp.loader import Load

    record = joining.record
    load = Load(record.filter) if record.filter is not None else None
    _go_through(OUTSIDE, joining)
    try:
        pid, pidfd = process.fork_into(process.CLONE_PARENT)
    except OSError as error:
        fail(joining.channel, "clone", error)
    if pid:
        joining.channel.send(BORN, "", (pidfd,))
        posix._exit(0)
    _go_through(INSIDE, joining)
    joining.page.step = -1
    try:
        program.execute(joining.path, joining.program, load, joining.page)
    except OSError as error:
        fail(joining.channel, "seccomp", error)
    posix._exit(127)


def _go_through(steps: tuple[tuple[str, Callable[[_Joining], object]], ...], joining: _Joining) -> None:
    for name, act in steps:
        try:
            act(joining)
        except OSError as error:
            fail(joining.channel, name, error)


# Outside


def _join_core(joining: _Joining) -> None:
    if joining.record.own_core:
        from minilxc.linux.core_scheduling import join_core

        join_core(_pid(joining.pidfd))


def _pid(pidfd: int) -> int:
    """The number of the process of a pidfd, here. proc_pid_fdinfo(5)."""
    for line in read_text(f"/proc/self/fdinfo/{pidfd}").splitlines():
        if line.startswith("Pid:") and int(line.split()[1]) > 0:
            return int(line.split()[1])
    raise os_error("process 1", ESRCH)


def _open_proc(joining: _Joining) -> None:
    if joining.labels is not None:
        joining.proc = joining.labels.open_proc()
        joining.labels.for_keyring(joining.proc)


def _join_groups(joining: _Joining) -> None:
    if "cgroup" in joining.request.privileged:
        return
    for group in joining.record.groups:
        # One thread alone may move by `tasks` in version 1, which does not stop all others meanwhile.
        version_1 = posix.access(f"{group}/tasks", posix.F_OK)
        try:
            write_text(f"{group}/{'tasks' if version_1 else 'cgroup.procs'}", "0")
        except OSError as error:
            if error.errno != EBUSY:
                raise
            # The container has made groups in it and given them controllers: then processes are in those alone.
            write_text(f"{_group_of_init(joining, group)}/cgroup.procs", "0")


def _group_of_init(joining: _Joining, group: str) -> str:
    """The group of version 2 that init is in, at or below `group`."""
    for line in read_text(f"/proc/{_pid(joining.pidfd)}/cgroup").splitlines():
        if line.startswith("0::"):
            path = line[3:]
            name = group.rpartition("/")[2]
            _, found, below = f"{path}/".partition(f"/{name}/")
            if found:
                return f"{group}/{below}".rstrip("/")
    return group


def _make_spare_terminal(joining: _Joining) -> None:
    if joining.request.terminal:
        joining.spare = posix.open("/dev/ptmx", _PTMX)


def _join_namespaces(joining: _Joining) -> None:
    flags = sum(NAMESPACES[kind] for kind in joining.request.namespaces)
    if flags:
        process.setns(joining.pidfd, flags, "the container's namespaces")
    posix.close(joining.pidfd)


def _be_root_inside(joining: _Joining) -> None:
    if "user" in joining.request.namespaces:
        uid, gid = joining.record.root
        if not joining.record.keeps_groups:
            posix.setgroups(())
        posix.setresgid(gid, gid, gid)
        posix.setresuid(uid, uid, uid)


def _remount(joining: _Joining) -> None:
    """Let /proc and /sys show what has been joined, in a copy of the tree that nobody else sees."""
    if not joining.request.remount or "mnt" in joining.request.namespaces:
        return
    process.unshare(NAMESPACES["mnt"])
    kernel.set_propagation("/", kernel.MS_SLAVE)
    for kind, place in (("proc", "/proc"), ("sysfs", "/sys")):
        mount = kernel.mount_filesystem(kind, (f"source={kind}",), _QUIET)
        target = posix.open(place, posix.O_PATH | posix.O_CLOEXEC)
        kernel.move_mount(mount, target, place)
        posix.close(mount)
        posix.close(target)


def _make_terminal(joining: _Joining) -> None:
    """A terminal of the container's, where it has some, which its programs then know by name."""
    if not joining.request.terminal:
        return
    master = joining.spare
    slaves = "/dev/pts"
    folder = -1
    try:
        folder = kernel.openat2(
            kernel.AT_FDCWD, slaves, posix.O_PATH | posix.O_DIRECTORY, kernel.RESOLVE_NO_SYMLINKS
        )
        if kernel.filesystem_magic(folder) == _DEVPTS_MAGIC:
            # Neither a link nor something that was mounted over it: a terminal, and nothing else.
            resolve = kernel.RESOLVE_NO_SYMLINKS | kernel.RESOLVE_NO_XDEV
            inside = kernel.openat2(folder, "ptmx", _PTMX, resolve)
            posix.close(joining.spare)
            master = inside
    except OSError:
        pass  # the host's will do
    if folder >= 0:
        posix.close(folder)
    unlock_pty(master)
    joining.slave = open_peer(master)
    if joining.request.size:
        set_window_size(master, joining.request.size)
    if joining.credentials.uid != joining.record.root[0]:
        try:
            posix.fchown(joining.slave, joining.credentials.uid, -1)
        except PermissionError:
            pass  # the host's, in a user namespace of the container's: nobody can open it by a name there anyway
    joining.channel.send(TERMINALS, "", (master,))
    posix.close(master)
    for descriptor in joining.request.terminal:
        posix.dup2(joining.slave, descriptor)


# Inside


def _take_terminal(joining: _Joining) -> None:
    if joining.slave >= 0:
        set_controlling_terminal(joining.slave)


def _take_personality(joining: _Joining) -> None:
    persona = joining.request.personality
    persona = joining.record.personality if persona is None else persona
    if persona is not None:
        process.personality(persona)


def _find(joining: _Joining) -> None:
    joining.path = program.find(joining.program)
    program.check(joining.path)


def _label(joining: _Joining) -> None:
    if joining.labels is not None:
        joining.labels.for_program(joining.proc)


OUTSIDE: tuple[tuple[str, Callable[[_Joining], object]], ...] = (
    # First of all: from here on nobody without power over the host looks into this process.
    ("dumpable", lambda joining: credentials.hide_from_tracers()),
    # What takes the host's own power, or its files.
    ("core scheduling", _join_core),
    ("limits", lambda joining: limits.apply(joining.record.limits, 0)),
    ("labels", _open_proc),
    ("cgroup", _join_groups),
    ("terminal", _make_spare_terminal),
    ("namespaces", _join_namespaces),
    ("id maps", _be_root_inside),
    # The caller's has the caller's keys.
    ("keyring", lambda joining: process.join_session_keyring()),
    # A session of its own, here already: who gets into it, however briefly, reaches no terminal of the caller's,
    # neither by /dev/tty nor by /proc/PID/fd (TIOCSTI).
    ("session", lambda joining: posix.setsid()),
    ("terminal", _make_terminal),
    # A change of ids may have made it dumpable again (fs.suid_dumpable).
    ("dumpable", lambda joining: credentials.hide_from_tracers()),
)
"""What is done before anybody inside can see this process, in order: names, which errors bear, and what."""

INSIDE: tuple[tuple[str, Callable[[_Joining], object]], ...] = (
    # Who leads a session may have a controlling terminal.
    ("session", lambda joining: posix.setsid()),
    ("terminal", _take_terminal),
    # Here, as procfs shows the pid namespace of who mounts it.
    ("remount", _remount),
    ("personality", _take_personality),
    ("working directory", lambda joining: program.enter_directory(joining.program)),
    ("interpreters", lambda joining: program.check_beforehand(joining.program)),
    ("capabilities", lambda joining: credentials.limit_capabilities(joining.credentials)),
    ("credentials", lambda joining: credentials.become(joining.credentials)),
    ("dumpable", lambda joining: credentials.hide_from_tracers()),
    ("program", _find),
    ("labels", _label),
    # Whoever wanted it may have gone.
    ("caller", lambda joining: joining.channel.end_without_parent()),
    ("descriptors", lambda joining: program.close_descriptors((joining.channel.fileno(),))),
    ("umask", lambda joining: posix.umask(joining.record.umask)),
    ("signals", lambda joining: process.reset_signals()),
)
"""What is done inside, in order; the filter and execve follow."""
