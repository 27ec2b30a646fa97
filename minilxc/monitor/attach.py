"""Running a program in a container that runs: the caller's part. `minilxc.launch.enter` is the other one."""

from __future__ import annotations

import _signal
import fcntl
import posix
import select
import sys
import time

from minilxc.errors import StartError, UsageError
from minilxc.launch import channel
from minilxc.launch.enter import CHANNEL, Record, Request
from minilxc.linux import mount, process
from minilxc.linux.files import decode, exists, is_regular
from minilxc.linux.names import NAMESPACES
from minilxc.linux.syscalls import EINVAL, ENOENT, os_error
from minilxc.monitor import client, protocol
from minilxc.monitor.client import NotRunning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from minilxc.monitor.client import Connection

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of a program for which nobody has set one, as LXC has it."""
_STATUS_NOT_FOUND, _STATUS_NOT_EXECUTABLE = 127, 126
_SHELL = "/bin/sh"
_MOST_PASSWD = 2**20
_RESOLVE = mount.RESOLVE_IN_ROOT | mount.RESOLVE_NO_MAGICLINKS
_PATIENCE = 1.0  # seconds that the end of what has been killed is waited for
_MFD_EXEC = 0x10  # memfd_create(2), Linux 6.3
_PROGRAM = "import sys; sys.path[:0] = {places!r}; from minilxc.launch import enter; enter.main()"


class Entered:
    """A program that runs inside: a pidfd of it, a child of ours, and its terminal's master, -1 without one."""

    __slots__ = ("master", "pidfd")

    def __init__(self, pidfd: int, master: int) -> None:
        self.pidfd = pidfd
        self.master = master

    def send_signal(self, number: int) -> None:
        """Send it a signal; nothing happens when it has ended."""
        try:
            process.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            pass

    def wait(self, timeout: float | None = None) -> int | None:
        """Its exit status, minus N when signal N has ended it; None after `timeout` seconds."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(process.poll_ms(timeout)):
            return None
        try:
            ended = posix.waitid(posix.P_PIDFD, self.pidfd, posix.WEXITED)
        except ChildProcessError:
            return 0  # somebody else has collected it; as subprocess.Popen has it
        assert ended is not None
        return ended.si_status if ended.si_code == posix.CLD_EXITED else -ended.si_status

    def close(self) -> None:
        """Let go of it."""
        posix.close(self.pidfd)
        if self.master >= 0:
            posix.close(self.master)


def environment(
    record: Record,
    caller: Mapping[str, str],
    *,
    clear: bool = False,
    keep: Iterable[str] = (),
    extra: Iterable[tuple[str, str]] = (),
) -> tuple[str, ...]:
    """The variables of a program inside: the caller's, or with `clear` only those to `keep`; then the container's own,
    which begin with container=lxc, then the `extra` ones."""
    variables = {name: value for name, value in caller.items() if not clear or name in keep}
    if "PATH" not in variables:
        variables["PATH"] = DEFAULT_PATH
    variables["container"] = "lxc"
    for word in record.environment:
        name, _, value = word.partition("=")
        variables[name] = value
    variables.update(extra)
    return tuple(f"{name}={value}" for name, value in variables.items())


def record_of(connection: Connection) -> tuple[Record, bytes, int]:
    """A container's confinement, the same as bytes, and a pidfd of its process 1. Raises MinilxcError."""
    _, (pidfd, file) = connection.ask("join")
    data = client.read_file(file)
    return Record(data), data, pidfd


def enter(
    name: str,
    pidfd: int,
    request: Request,
    stdio: Sequence[int] = (0, 1, 2),
    timeout: float | None = None,
) -> Entered:
    """Run a program as `request` says in the container `name` whose process 1 is `pidfd`.

    `stdio` are the descriptors that become its standard ones, but for those that become a new terminal.
    Raises StartError when it could not be executed; TimeoutError when it is not after `timeout` seconds, as who
    is root inside may stop what joins.
    """
    _check(request)
    opened: list[int] = []
    try:
        opened += (posix.memfd_create("minilxc"), posix.memfd_create("minilxc"))
        page_file, asked = opened
        posix.ftruncate(page_file, 4096)
        data = request.to_bytes()
        while data:
            data = data[posix.write(asked, data) :]
        page = channel.Page(page_file)
        try:
            return _enter(name, request, stdio, timeout, page, (asked, page_file, pidfd))
        finally:
            page.unmap()
    except TimeoutError:
        raise
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
        raise _error(f"attach: {what}", name, "attach", error.errno or 0) from None
    finally:
        for descriptor in opened:
            posix.close(descriptor)


def _check(request: Request) -> None:
    """Raises UsageError for a command, or variables, that no program can be given."""
    if not request.arguments:
        raise UsageError("there is no command to execute")
    if any("\0" in word for word in (*request.arguments, *request.environment, request.directory)):
        raise UsageError("a NUL, where a word of a command or of its variables ends")


def _enter(
    name: str,
    request: Request,
    stdio: Sequence[int],
    timeout: float | None,
    page: channel.Page,
    sent: tuple[int, ...],
) -> Entered:
    ours, theirs = channel.pair()
    try:
        helper = _spawn(theirs.fileno(), stdio)
        theirs.close()
        ended = False
        try:
            ours.send(channel.REQUEST, "", sent)
            entered = _listen(name, ours, request, page, timeout)
            ended = True
        finally:
            _collect(helper, kill=not ended)
    finally:
        ours.close()
        theirs.close()
    return entered


def _collect(helper: int, *, kill: bool) -> None:
    """Wait for the end of the process that enters; with `kill` end it. Frozen, it does not before it is let go on."""
    if not kill:
        process.wait_for_end(helper)
        return
    try:
        pidfd = posix.pidfd_open(helper)
    except OSError:
        return  # somebody waits for every child
    try:
        Entered(pidfd, -1).send_signal(_signal.SIGKILL)
        Entered(pidfd, -1).wait(_PATIENCE)
    finally:
        posix.close(pidfd)


def _spawn(theirs: int, stdio: Sequence[int]) -> int:
    """Start the program that enters, in a copy of the interpreter; its pid."""
    copy = _copy_of(sys.executable)
    places = [place for place in sys.path if place and exists(f"{place}/minilxc/launch/enter.py")][:1]
    places += [place for place in sys.path if place not in places and exists(place)]
    words = [sys.executable, "-IS", "-X", "utf8", "-c", _PROGRAM.format(places=places)]
    # Numbers that nobody uses: what is put in its place must not go before it has been copied.
    spare = max(CHANNEL, *stdio, theirs, copy) + 1
    actions: list[tuple[int, ...]] = []
    for number, descriptor in enumerate((*stdio, theirs)):
        actions.append((posix.POSIX_SPAWN_DUP2, descriptor, spare + number))
    for number in range(3):
        actions.append((posix.POSIX_SPAWN_DUP2, spare + number, number))
    actions.append((posix.POSIX_SPAWN_DUP2, spare + 3, CHANNEL))
    actions += [(posix.POSIX_SPAWN_CLOSE, spare + number) for number in range(4)]
    try:
        return posix.posix_spawn(
            f"/proc/self/fd/{copy}",
            words,
            {},
            file_actions=actions,
            setsigmask=(),
            setsigdef=_signal.valid_signals() - {_signal.SIGKILL, _signal.SIGSTOP},
        )
    finally:
        posix.close(copy)


def _copy_of(path: str) -> int:
    """A descriptor of a copy in memory of an executable file, which nobody can change. Raises OSError."""
    flags = posix.MFD_CLOEXEC | posix.MFD_ALLOW_SEALING
    try:
        copy = posix.memfd_create("minilxc", flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != EINVAL:  # older kernels do not know it, and always mean it
            raise
        copy = posix.memfd_create("minilxc", flags)
    source = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        size = posix.fstat(source).st_size
        done = 0
        while done < size:
            count = posix.sendfile(copy, source, done, size - done)
            if count == 0:
                break
            done += count
    finally:
        posix.close(source)
    fcntl.fcntl(
        copy,
        fcntl.F_ADD_SEALS,
        fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL,
    )
    return copy


def _listen(
    name: str, ours: channel.Channel, request: Request, page: channel.Page, timeout: float | None
) -> Entered:
    master = pidfd = -1
    deadline = None if timeout is None else time.monotonic() + timeout
    poll = select.poll()
    poll.register(ours.fileno(), select.POLLIN)
    try:
        while True:
            if not poll.poll(process.poll_ms(None if deadline is None else deadline - time.monotonic())):
                raise TimeoutError
            kind, text, descriptors = ours.receive()
            if kind == channel.TERMINALS and len(descriptors) == 1 and master < 0:
                (master,) = descriptors
            elif kind == channel.BORN and len(descriptors) == 1 and pidfd < 0:
                (pidfd,) = descriptors
            elif kind == channel.FAILED and text.count("\0") >= 3:
                step, code, thing, reason = text.split("\0", 3)
                what = f"{step}: {thing}: {reason}" if thing else f"{step}: {reason}"
                raise _error(what, name, step, int(code) if code.isdecimal() else 0)
            elif kind:
                protocol.close(descriptors)
                raise _error("attach: the process that enters does not say what it should", name, "attach", 0)
            else:
                break
        if page.execve_errno:
            number = page.execve_errno
            what = f"execve: {request.arguments[0]}: {posix.strerror(number)}"
            raise _error(what, name, "execve", number)
        if pidfd < 0:
            raise _error("attach: the process that enters has ended", name, "attach", 0)
    except BaseException:
        if pidfd >= 0:
            try:
                process.pidfd_send_signal(pidfd, _signal.SIGKILL)
            except ProcessLookupError:
                pass
            Entered(pidfd, -1).wait(_PATIENCE)  # who is frozen does not end before it is let go on
            posix.close(pidfd)
        if master >= 0:
            posix.close(master)
        raise
    return Entered(pidfd, master)


def _error(what: str, name: str, step: str, number: int) -> StartError:
    error = StartError(what, name, step=step, errno=number)
    if step in ("program", "interpreters", "execve"):
        error.status = _STATUS_NOT_FOUND if number == ENOENT else _STATUS_NOT_EXECUTABLE
    return error


def shell_of(pidfd: int, uid: int) -> str:
    """The shell of a user in a container whose process 1 is `pidfd`, by its /etc/passwd; else /bin/sh."""
    try:
        root = posix.open(f"/proc/{client.pid_of(pidfd)}/root", posix.O_PATH | posix.O_CLOEXEC)
    except OSError:
        return _SHELL
    try:
        shell = _shell_in(_read_inside(root, "etc/passwd"), uid)
        # It may be that of a distribution which this image has only a part of.
        posix.close(mount.openat2(root, shell, posix.O_PATH, _RESOLVE))
        return shell
    except OSError:
        return _SHELL
    finally:
        posix.close(root)


def _shell_in(passwd: str, uid: int) -> str:
    """The shell of a user, as passwd(5) has it."""
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) == 7 and fields[2] == str(uid) and fields[6].startswith("/"):
            return fields[6]
    return _SHELL


def _read_inside(root: int, path: str) -> str:
    """The beginning of a regular file of the container's, read without leaving its root. Raises OSError."""
    # Looked at before it is opened: a device does something when that is done.
    place = mount.openat2(root, path, posix.O_PATH, _RESOLVE)
    try:
        if not is_regular(posix.fstat(place)):
            raise os_error(path, EINVAL)
        file = posix.open(f"/proc/self/fd/{place}", posix.O_RDONLY | posix.O_CLOEXEC)
    finally:
        posix.close(place)
    try:
        return decode(posix.read(file, _MOST_PASSWD))
    finally:
        posix.close(file)


def namespaces(name: str, pidfd: int, wanted: Iterable[str] | None = None) -> tuple[str, ...]:
    """The kinds of namespaces to join of the container `name` whose process 1 is `pidfd`: those that it does not
    share with us, of `wanted` (None: of all). Raises UsageError for an unknown kind, NotRunning."""
    kinds = NAMESPACES if wanted is None else tuple(wanted)
    for kind in kinds:
        if kind not in NAMESPACES:
            raise UsageError(f"unknown namespace '{kind}'", hint=", ".join(NAMESPACES))
    pid = client.pid_of(pidfd)
    try:
        found = tuple(
            kind
            for kind in kinds
            if exists(f"/proc/self/ns/{kind}")
            and posix.readlink(f"/proc/{pid}/ns/{kind}") != posix.readlink(f"/proc/self/ns/{kind}")
        )
    except OSError:
        pid = 0
    # A process that has ended is in none any more: nothing may run outside of them for that.
    if not pid or client.pid_of(pidfd) != pid:
        raise NotRunning("is not running", name)
    return found
