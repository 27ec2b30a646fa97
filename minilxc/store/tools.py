"""Running the tools that make root file systems, so that nothing of them stays: no process, no mount, no file."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
from typing import TYPE_CHECKING

from minilxc.errors import MinilxcError
from minilxc.launch import credentials
from minilxc.launch.namespaces import isolate_mounts
from minilxc.launch.program import close_descriptors
from minilxc.linux import mount as kernel
from minilxc.linux import process
from minilxc.linux.names import NAMESPACES
from minilxc.store.interrupts import Interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from minilxc.store.report import Report

_PLACES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_CHUNK = 2**16
_MOST_LINE = 4096  # bytes of a line that may become an error's text
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[a-zA-Z]")
_LOGGED = re.compile(r'.*\bmsg="((?:[^"\\]|\\.)*)"')  # of the loggers that Go programs use
_NOT_EXECUTED = 127


def find(name: str) -> str | None:
    """The path of a program. The caller's PATH may lack the folders of root's programs."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *_PLACES)))


class Tools:
    """Runs programs for the container `name`; a signal of `signals` ends them.

    What they keep for themselves goes to the folder `temporary`. The descriptor `held`, if there is one, stays
    open in them: its lock says that somebody is at work, for as long as one of them lives.
    """

    def __init__(
        self, name: str, signals: int, report: Report, temporary: str = "", held: int | None = None
    ) -> None:
        self.name = name
        self.signals = signals
        self.report = report
        self._temporary = temporary
        self._held = held

    def run(self, words: Sequence[str], *, alone: bool = False, into: str = "") -> None:
        """Run a program to its end. What it prints is progress; `into` is a file that its standard output goes to.

        `alone`: in mount and pid namespaces that end with it, whatever it leaves there. Raises MinilxcError with
        what it said when it fails, and Interrupted.
        """
        reading, writing = os.pipe2(os.O_CLOEXEC)
        flags = NAMESPACES["mnt"] | NAMESPACES["pid"] if alone else 0
        pid, pidfd = process.fork_into(flags)
        if pid == 0:
            self._become(words, writing, alone, into)
        os.close(writing)
        title = os.path.basename(words[0])
        said = _Said()
        try:
            self._follow(title, pidfd, reading, said)
        except BaseException:
            _kill_group(pid)
            raise
        finally:
            # Of a pid namespace the first process is reaped after all others.
            _, status = os.waitpid(pid, 0)
            os.close(pidfd)
            os.close(reading)
            self.report.clear()
        code = os.waitstatus_to_exitcode(status)
        if code:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
            why = said.reason()
            hint = None if self.report.verbose else "-v shows all that it says"
            raise MinilxcError(f"{title} {how}" + (f": {why}" if why else ""), self.name, hint)

    def _follow(self, title: str, pidfd: int, reading: int, said: _Said) -> None:
        os.set_blocking(reading, False)
        poll = select.poll()
        for descriptor in (pidfd, reading, self.signals):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self.signals in ready:
                for number in process.read_signals(self.signals):
                    raise Interrupted(number, self.name)
            while data := _read(reading):
                said.hear(data)
                self.report.tool(title, data)
            if data == b"" and reading in ready:  # the end, which would be ready for ever
                poll.unregister(reading)
            if pidfd in ready:
                return

    def _become(self, words: Sequence[str], output: int, alone: bool, into: str) -> NoReturn:
        """The child: become the program."""
        try:
            os.setsid()
            credentials.set_death_signal(signal.SIGKILL)
            os.dup2(output, 2)
            os.dup2(os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) if into else output, 1)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            poll = select.poll()
            poll.register(2, 0)
            if poll.poll(0):  # nobody reads: the parent died before its death would have told us
                os._exit(_NOT_EXECUTED)
            process.reset_signals()
            os.umask(0o022)
            if alone:
                isolate_mounts()
                target = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
                kernel.move_mount(kernel.mount_filesystem("proc", ()), target, "/proc")
            held = () if self._held is None else (self._held,)
            for descriptor in held:
                os.set_inheritable(descriptor, True)
            close_descriptors(held)
            os.execve(words[0], list(words), self._environment())
        except BaseException as error:  # noqa: BLE001  no exception may run the caller's code in this copy of it
            os.write(2, f"{error}\n".encode(errors="backslashreplace"))
        finally:
            os._exit(_NOT_EXECUTED)

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        environment["PATH"] = os.pathsep.join(filter(None, (os.environ.get("PATH", ""), *_PLACES)))
        if self._temporary:
            environment["TMPDIR"] = self._temporary
        return environment


class _Said:
    """What a tool has printed, as far as it may say why it failed."""

    def __init__(self) -> None:
        self._rest = b""
        self._last = ""
        self._marked = ""

    def hear(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        self._rest = rest[-_MOST_LINE:]
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        text = _ESCAPES.sub("", line[:_MOST_LINE].decode(errors="replace")).strip()
        self._last = text or self._last
        # The first that apt, or a bootstrapper, marks as an error: later ones are about its consequences.
        self._marked = self._marked or (text.removeprefix("E: ") if text.startswith("E: ") else "")

    def reason(self) -> str:
        """The line that says most."""
        self._take(self._rest)
        logged = _LOGGED.match(self._last)
        return self._marked or (logged[1].replace('\\"', '"') if logged else self._last)


def _read(descriptor: int) -> bytes | None:
    """What is there; None when nothing is yet, and empty at the end."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None


def _kill_group(pid: int) -> None:
    # Not waited for yet, so the number is still its own.
    for target in (-pid, pid):  # a process that has only just been born has no group of its own yet
        try:
            os.kill(target, signal.SIGKILL)
        except ProcessLookupError:
            pass
