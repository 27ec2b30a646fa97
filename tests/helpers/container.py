"""A container of a test: its folder, its root file system, its config, and the commands that start it."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

from minilxc.container import Container
from minilxc.errors import MinilxcError
from tests.helpers import machine
from tests.helpers.gate import Gate

CHECKOUT = Path(__file__).resolve().parents[2]
ENTRY = CHECKOUT / "scripts" / "minilxc"
MINILXC = os.environ.get("MINILXC", str(ENTRY))

_APPLETS = (
    "sh cat ls true false echo env pwd id hostname mount umount mkdir mknod rm touch stat sleep kill readlink stty tty "
    "uname date test wc head grep sort printf ln chmod"
).split()
_FOLDERS = "dev etc proc sys tmp root".split()


class Result(NamedTuple):
    """How a command ended: its exit status (minus N when signal N killed it) and what it said."""

    status: int
    out: str
    err: str


def make_rootfs(root: Path, programs: dict[str, Path]) -> None:
    """A root file system with busybox under each of its names, the helper programs, and nothing else."""
    for name in ["bin", *_FOLDERS]:
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for name, path in {"busybox": Path("/bin/busybox"), **programs}.items():
        try:
            os.link(path, root / "bin" / name)
        except OSError:  # not on the same file system
            shutil.copy(path, root / "bin" / name)
    for name in _APPLETS:
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")


class Box:
    """One container: `root` is its root file system, `folder` the test's own folder beside it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.root = folder / "root"
        self.file = folder / "config"
        self.policy_file = folder / "policy"
        self.base = ["lxc.mount.auto = proc:mixed sys:ro", "lxc.environment = PATH=/bin"]
        self.may_make: set[str] = set()
        self._files: set[str] | None = None
        self._running: list[subprocess.Popen[str]] = []
        self._in_background = False
        self._gates: list[Gate] = []

    def configure(
        self, *lines: str, policy: str | None = None, rootfs: bool = True, base: bool = True
    ) -> None:
        """Write the config (and a policy): the root file system, the usual lines, then `lines`."""
        text = [f"lxc.rootfs.path = dir:{self.root}"] if rootfs else []
        text += self.base if base else []
        if policy is not None:
            self.policy_file.write_text(policy)
            text.append(f"lxc.seccomp.profile = {self.policy_file}")
        text += lines
        self.file.write_text("".join(f"{line}\n" for line in text), errors="surrogateescape")

    def line_of(self, text: str) -> str:
        """The place of a config line in messages: "FILE:LINE"."""
        return f"{self.file}:{self.file.read_text().splitlines().index(text) + 1}"

    def command(self, *words: str, verb: str = "execute", options: tuple[str, ...] = ()) -> list[str]:
        """The command line that runs `words` in the container; verb "start" stays in the foreground."""
        return [MINILXC, *self.arguments(*words, verb=verb, options=options)]

    def arguments(self, *words: str, verb: str = "execute", options: tuple[str, ...] = ()) -> list[str]:
        """The same without the program's name."""
        foreground = ["-F"] if verb == "start" else []
        return [verb, "-n", self.name, *foreground, "-f", str(self.file), *options, "--", *words]

    def run(
        self,
        *words: str,
        verb: str = "execute",
        options: tuple[str, ...] = (),
        wrap: tuple[str, ...] = (),
        **more,
    ) -> Result:
        """Run `words` in the container to its end. `wrap` is a command that runs minilxc."""
        self.remember_files()
        more = {"capture_output": True, "stdin": subprocess.DEVNULL, "cwd": self.folder, **more}
        if "input" in more:
            del more["stdin"]
        ran = subprocess.run(
            [*wrap, *self.command(*words, verb=verb, options=options)],
            encoding="utf-8",
            errors="surrogateescape",
            timeout=60,
            **more,
        )
        return Result(ran.returncode, ran.stdout, ran.stderr)

    def read(self, *words: str, **more) -> str:
        """What `words` print in the container, which must end well and say nothing else."""
        result = self.run(*words, **more)
        assert (result.status, result.err) == (0, ""), result
        return result.out

    def popen(
        self, *words: str, verb: str = "execute", options: tuple[str, ...] = (), **more
    ) -> subprocess.Popen[str]:
        """Start `words` in the container and leave it running; the test's end kills what is left."""
        self.remember_files()
        pipe = subprocess.PIPE
        more = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, "cwd": self.folder, **more}
        process = subprocess.Popen(self.command(*words, verb=verb, options=options), text=True, **more)
        self._running.append(process)
        return process

    def look_after(self, process: subprocess.Popen[str]) -> None:
        """End this process, and what it started, with the test."""
        self._running.append(process)

    # Hooks

    def hook(self, kind: str, text: str) -> str:
        """The config line of a hook with this shell text."""
        path = self.folder / f"hook-{len(list(self.folder.glob('hook-*')))}"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return f"lxc.hook.{kind} = {path}"

    def gate(self, name: str = "gate") -> Gate:
        """A place for a script to wait at; the test's end opens it."""
        gate = Gate(self.folder, name)
        self._gates.append(gate)
        return gate

    def open_gates(self) -> None:
        """Let everybody go on who waits at a gate."""
        for gate in self._gates:
            for _ in range(10):
                gate.open()

    # In the background

    @property
    def container(self) -> Container:
        """The same container, as Python programs have it; the test's end ends it."""
        self._in_background = True
        return Container(self.name, config_file=self.file)

    def minilxc(self, verb: str, *words: str, wrap: tuple[str, ...] = (), **more) -> Result:
        """Run another command on this container, to its end."""
        self.remember_files()
        more = {"stdin": subprocess.DEVNULL, "cwd": self.folder, "timeout": 60, **more}
        if "input" in more:
            del more["stdin"]
        ran = subprocess.run(
            [*wrap, MINILXC, verb, "-n", self.name, *words],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            **more,
        )
        return Result(ran.returncode, ran.stdout, ran.stderr)

    def start(self, *words: str, options: tuple[str, ...] = (), **more) -> Result:
        """Start it in the background; the test's end ends it."""
        self._in_background = True
        return self.minilxc("start", "-f", str(self.file), *options, "--", *words, **more)

    def starting(self, *words: str, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """The same, while it goes on."""
        self.remember_files()
        self._in_background = True
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [MINILXC, "start", "-n", self.name, "-f", str(self.file), *options, "--", *words],
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            cwd=self.folder,
            text=True,
        )
        self._running.append(process)
        return process

    def up(self, *words: str, **more) -> Container:
        """As `start`, which must succeed in silence."""
        assert self.start(*words, **more) == (0, "", "")
        return self.container

    def monitors(self) -> list[int]:
        """The processes that live the life of this container in the background."""
        title = f"minilxc monitor {self.name} ".encode()
        found = []
        for pid in machine.descendants():
            try:
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(title):
                    found.append(pid)
            except OSError:
                pass  # it has just ended
        return found

    def _end_background(self) -> None:
        try:
            self.container.stop(kill=True)
        except MinilxcError:
            pass  # it does not run
        known = {process.pid for process in self._running}
        machine.wait_for(lambda: not self.monitors() and machine.collect(known), "the end of the monitors")

    def calls(self, *words: str, program: str = "try-syscall", **more) -> list[str]:
        """What the kernel answered to each call (of `try-syscall`): the errno's name, or the result."""
        return answers(self.read(program, *words, **more))

    def remember_files(self) -> None:
        """Take the files that are there now as the test's own."""
        if self._files is None:
            self._files = self._listing()

    def allow(self, *names: str) -> None:
        """These files below the root file system may come into being."""
        self.may_make |= {str(self.root / name) for name in names}

    def close(self) -> list[str]:
        """End what runs; the files that came or went since the first start although the test did not say so."""
        if self._in_background:
            self._end_background()
        for process in self._running:
            if process.poll() is None:
                below = machine.descendants(process.pid)
                process.kill()
                process.communicate()
                machine.wait_until_gone(*below)
            if process.returncode == -signal.SIGKILL:
                machine.remove_what_is_left(self.name)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe and not pipe.closed:
                    pipe.close()
        for gate in self._gates:
            gate.close()
        if self._files is None:
            return []
        own = {str(path) for path in (self.file, self.policy_file)}
        return sorted((self._files ^ self._listing()) - self.may_make - own)

    def _listing(self) -> set[str]:
        found = set()
        for place, folders, files in os.walk(self.folder):
            found |= {f"{place}/{name}" for name in folders + files}
        return found


def answers(output: str) -> list[str]:
    """Lines of `try-syscall` with names for errnos: "-14" is EFAULT."""
    return [errno.errorcode[-int(line)] if line.startswith("-") else line for line in output.split()]
