"""minilxc usernsexec: run a program as root of a user namespace, with a container's ids."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from minilxc.cli import options
from minilxc.config.parse import Config
from minilxc.errors import MinilxcError, StartError, UsageError
from minilxc.launch import idmap, mapped, namespaces, subids
from minilxc.linux import process
from minilxc.linux.names import NAMESPACES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minilxc.launch.idmap import IdMaps

MAP = options.Option(
    "m",
    "map",
    "KIND:INSIDE:HOST:COUNT",
    "map a range of ids: u (users), g (groups) or b (both); default: what /etc/subuid and /etc/subgid grant",
    many=True,
)
COMMAND = options.Command(
    "usernsexec", "run a program as root of a user namespace", (MAP,), runs=True, common=options.ABOUT
)
_SHELL = "/bin/sh"
_KINDS = {"u": "u", "g": "g", "b": "ug"}
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


def run(words: Sequence[str]) -> int:
    """The program's exit status, 128 + N when signal N has ended it; 127 or 126 when it cannot be executed."""
    given = options.read(COMMAND, words)
    if options.show_about(COMMAND, given):
        return 0
    program = given.words or [_SHELL]
    maps = _maps(given)

    def become() -> None:
        namespaces.isolate_mounts()  # what is mounted there shall not reach the host
        process.reset_signals()
        os.execvp(program[0], program)

    try:
        status = mapped.run(maps, "usernsexec", become, as_root=True, namespaces=NAMESPACES["mnt"])
    except OSError as error:
        told = MinilxcError(f"{error.filename or program[0]}: {error.strerror}")
        if error.filename in (None, "", program[0]):
            told.status = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
        raise told from None
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _maps(given: options.Given) -> IdMaps:
    lines = [f"lxc.idmap = {value}" for word in given.all(MAP) for value in _values(word)]
    if not lines:
        lines = [f"lxc.idmap = {value}" for value in subids.proposed()]
    config = Config.from_text("\n".join(lines).encode(), "--map")
    maps = idmap.from_config(config, namespaces.from_config(config))
    if maps is None:
        raise StartError("this kernel has no user namespaces", step="namespaces")
    return maps


def _values(word: str) -> list[str]:
    """The values of lxc.idmap that a map of the command line stands for."""
    kind, _, numbers = word.partition(":")
    if kind not in _KINDS or numbers.count(":") != 2:
        raise UsageError(
            f"--map: '{word}' is not KIND:INSIDE:HOST:COUNT", hint="u, g or b, as in b:0:100000:65536"
        )
    return [f"{each} {numbers.replace(':', ' ')}" for each in _KINDS[kind]]
