"""The command line: options in, a call of the layers below, output and exit status out."""

from __future__ import annotations

import posix
import sys

from minilxc.errors import SHORT, MinilxcError, UsageError, suggestion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

VERSION = "0.1.0"
LXC = "lxc-"
"""What the names of LXC's commands begin with."""

# Command: (module of this package, its function, summary). Only the chosen module is imported.
COMMANDS = {
    "start": ("start", "start", "start a container"),
    "execute": ("start", "execute", "run a command in a container"),
    "stop": ("stop", "run", "end a container"),
    "attach": ("attach", "run", "run a program in a container that runs"),
    "console": ("console", "run", "connect to a terminal of a container"),
    "create": ("create", "run", "make a container"),
    "destroy": ("destroy", "run", "remove a container"),
    "copy": ("copy", "run", "copy a container"),
    "rename": ("copy", "rename", "give a container another name"),
    "checkconfig": ("checkconfig", "run", "check a config and its policy without starting"),
    "config": ("config", "run", "show what is in force in a config, or give it today's names"),
    "usernsexec": ("usernsexec", "run", "run a program as root of a user namespace"),
    "keys": ("keys", "run", "explain the keys of a config"),
    "info": ("info", "run", "show what a container is, has and uses"),
    "ls": ("ls", "run", "list containers"),
    "wait": ("wait", "run", "wait until a container has come to a state"),
    "freeze": ("freeze", "freeze", "stop all that runs in a container"),
    "unfreeze": ("freeze", "unfreeze", "let a frozen container go on"),
    "monitor": ("monitor", "run", "tell the states that containers go through"),
    "cgroup": ("cgroup", "run", "read or write a file of a container's control groups"),
    "autostart": ("autostart", "run", "start or stop the containers that start at boot"),
    "top": ("top", "run", "show what the containers that run use, again and again"),
    "links": ("links", "run", "make links with the names of LXC's commands"),
    "seccomp": ("seccomp", "run", "work with seccomp policies"),
}
# Those whose modules are worth keeping in one file (see minilxc.bundle).
_QUICK = (["start"], ["execute"])


def main(argv: Sequence[str] | None = None, finish: Callable[[], None] | None = None) -> NoReturn:
    """Run one command and end the process with its exit status. What ends it is printed here.

    `finish` is called after a command that is meant to be quick.

    Leaves by posix._exit: taking the interpreter apart costs milliseconds and frees nothing of use.
    """
    words = _command_line() if argv is None else list(argv)
    _fill_standard_descriptors()
    try:
        status = run(words)
    except MinilxcError as error:
        status = error.status
        _tell(f"minilxc: {error}")
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        status = 141
    except Exception as error:  # noqa: BLE001  the one place: a bug becomes a line, too
        status = 1
        _tell(f"minilxc: a bug: {type(error).__name__}: {error} ({_write_traceback()})")
    if finish and words[:1] in _QUICK:
        finish()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = status or 141
    except OSError as error:
        _tell(f"minilxc: standard output: {error.strerror}")
        status = status or 1
    posix._exit(status)


def _command_line() -> list[str]:
    """The words of the command line; those of a link named lxc-start (minilxc.cli.links) begin with `start`."""
    name = sys.argv[0].rpartition("/")[2]
    return [name[len(LXC) :], *sys.argv[1:]] if name.startswith(LXC) else sys.argv[1:]


def _fill_standard_descriptors() -> None:
    """Open /dev/null where the caller has closed 0, 1 or 2: nothing else may come to lie there."""
    for descriptor in range(3):
        try:
            posix.fstat(descriptor)
        except OSError:
            posix.open("/dev/null", posix.O_RDWR)  # the lowest number that is free: this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # Python makes no stream of a closed descriptor
            setattr(sys, name, open("/dev/null", mode))  # noqa: SIM115  it stays open to the end


def run(words: list[str]) -> int:
    """Run the command that `words` name; its exit status."""
    command = words[0] if words else "--help"
    if command in ("--help", "-h", "help"):
        print(overview())
        return 0 if words else 2
    if command == "--version":
        print(VERSION)
        return 0
    if command not in COMMANDS:
        hint = suggestion(command, COMMANDS, SHORT) or f"there are {', '.join(COMMANDS)}"
        raise UsageError(f"unknown command '{command}'", hint=hint)
    name, function, _ = COMMANDS[command]
    module = __import__(f"minilxc.cli.{name}", fromlist=[function])
    status: int = getattr(module, function)(words[1:])
    return status


def overview() -> str:
    """What `minilxc --help` prints."""
    rows = "\n".join(f"  {name:12} {summary}" for name, (*_, summary) in COMMANDS.items())
    return f"usage: minilxc COMMAND [OPTION]... [ARG]...\n\n{rows}\n\nminilxc COMMAND --help tells more."


def _tell(line: str) -> None:
    try:
        posix.write(2, line.encode(errors="backslashreplace") + b"\n")
    except OSError:
        pass


def _write_traceback() -> str:
    """Keep the traceback of a bug in a file; where it is, in words."""
    import tempfile
    import traceback

    try:
        descriptor, path = tempfile.mkstemp(prefix="minilxc-bug-", suffix=".txt")
        with open(descriptor, "w") as file:
            traceback.print_exc(file=file)
    except OSError:
        return "the traceback could not be written"
    return f"the traceback is in {path}"
