"""Containers of tests that run in the background, in a folder of their own as /var/lib/lxc is one."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from minilxc import Container
from tests.helpers import machine
from tests.helpers.container import MINILXC, Result

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.container import Box


def minilxc(*words: object, **more) -> Result:
    """Run minilxc to its end."""
    more = {"stdin": subprocess.DEVNULL, **more}
    ran = subprocess.run(
        [MINILXC, *map(str, words)],
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=60,
        **more,
    )
    return Result(ran.returncode, ran.stdout, ran.stderr)


class Place:
    """A folder of containers: `box` gives them their root file system, and their names begin with its name."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.path: Path = box.folder / "lxc"
        self.path.mkdir()
        self._names: set[str] = set()

    def name(self, short: str) -> str:
        """A name that no other test has."""
        self._names.add(f"{self.box.name}-{short}")
        return f"{self.box.name}-{short}"

    def define(self, short: str, *lines: str) -> Container:
        """A container with a config in the folder, which sleeps where no line says otherwise."""
        name = self.name(short)
        base = [f"lxc.rootfs.path = dir:{self.box.root}", *self.box.base, "lxc.init.cmd = /bin/sleep 1000"]
        (self.path / name).mkdir()
        (self.path / name / "config").write_text("".join(f"{line}\n" for line in [*base, *lines]))
        return Container(name, self.path)

    def start(self, short: str, *lines: str) -> Container:
        """The same, and it runs."""
        container = self.define(short, *lines)
        assert self.run("start", "-n", container.name) == (0, "", "")
        return container

    def run(self, command: str, *words: object, **more) -> Result:
        """Run a command for this folder."""
        return minilxc(command, "-P", self.path, *words, **more)

    def popen(self, command: str, *words: object, **more) -> subprocess.Popen[str]:
        """Start a command for this folder; the test's end kills it."""
        process = subprocess.Popen(
            [MINILXC, command, "-P", str(self.path), *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )
        self.box.look_after(process)
        return process

    def close(self) -> None:
        """End what runs, and collect the monitors, whose parent is this process by now."""
        monitors = []
        for name in self._names:
            container = Container(name, self.path)
            info = container.info()
            if info.monitor is not None:
                monitors.append(info.monitor)
                container.stop(kill=True)
        machine.wait_until_gone(*monitors)


def collect(*containers: Container) -> None:
    """Stop containers, and collect their monitors."""
    for container in containers:
        monitor = container.info().monitor
        assert monitor is not None
        assert container.stop(kill=True)
        machine.wait_until_gone(monitor)
