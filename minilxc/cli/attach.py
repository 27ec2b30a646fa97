"""minilxc attach: run a program in a container that runs."""

from __future__ import annotations

import _signal
import posix

from minilxc.cli import common, options
from minilxc.config.values import Invalid, architecture
from minilxc.container import Container
from minilxc.errors import UsageError
from minilxc.launch.enter import Request
from minilxc.launch.terminal import Console
from minilxc.linux import process
from minilxc.linux.files import decode
from minilxc.monitor import attach, client, session
from minilxc.monitor.console_log import ConsoleLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minilxc.launch.enter import Record

ELEVATED = options.Option(
    "e",
    "elevated-privileges",
    "LIST",
    "do not take over what LIST names: CGROUP|CAP|LSM (without it: all three); the filter always is",
    optional=True,
)
SPACES = options.Option(
    "s",
    "namespaces",
    "LIST",
    "join these alone: MOUNT|PID|UTSNAME|IPC|USER|NETWORK|CGROUP|TIME; implies no -R",
)
ARCH = options.Option("a", "arch", "ARCH", "the architecture that the program sees")
UID = options.Option("u", "uid", "UID", "user id of the program, as seen inside (default: root)")
GID = options.Option("g", "gid", "GID", "group id of the program, as seen inside (default: root's)")
SET = options.Option("v", "set-var", "NAME=VALUE", "set a variable of the program", many=True)
KEEP = options.Option(
    "", "keep-var", "NAME", "with --clear-env: keep this variable of the caller's", many=True
)
CLEAR_ENV = options.Option("", "clear-env", "", "leave the caller's variables out")
KEEP_ENV = options.Option("", "keep-env", "", "keep the caller's variables (the default)")
REMOUNT = options.Option(
    "R",
    "remount-sys-proc",
    "",
    "without MOUNT in -s: have /proc and /sys show the namespaces that are joined",
)
LOG = options.Option("L", "pty-log", "FILE", "append what the program writes to its terminal to FILE")
COMMAND = options.Command(
    "attach",
    "run a program in a container that runs",
    (
        *(
            options.NAME,
            options.FILE,
            options.PATH,
            ELEVATED,
            SPACES,
            ARCH,
            UID,
            GID,
            SET,
            KEEP,
            CLEAR_ENV,
            KEEP_ENV,
        ),
        *(REMOUNT, LOG),
    ),
    named=True,
    runs=True,
)
_KINDS = {
    "MOUNT": "mnt",
    "PID": "pid",
    "UTSNAME": "uts",
    "IPC": "ipc",
    "USER": "user",
    "NETWORK": "net",
    "CGROUP": "cgroup",
    "TIME": "time",
}
_PRIVILEGES = ("CGROUP", "CAP", "LSM")


def run(words: Sequence[str]) -> int:
    """The program's exit status, 128 + N when signal N has ended it; 127 or 126 when it cannot be executed."""
    return common.run(COMMAND, words, _run)


def _run(given: options.Given) -> int:
    name = given.get(options.NAME)
    if name is None:
        raise UsageError("no container is named (-n NAME)", hint=COMMAND.usage())
    found = Container(name, common.path(given))
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # ignored, the program's status would be lost
    log = _log(given, found.name)
    terminal = tuple(descriptor for descriptor in range(3) if posix.isatty(descriptor))
    with client.demand(found.path, found.name) as connection:
        record, data, pidfd = attach.record_of(connection)
    request = Request(
        record=data,
        arguments=tuple(given.words) or (attach.shell_of(pidfd, _id(given, UID) or 0),),
        environment=_environment(given, record),
        directory="/",
        namespaces=attach.namespaces(found.name, pidfd, _namespaces(given)),
        user=_id(given, UID),
        group=_id(given, GID),
        personality=_personality(given),
        privileged=_privileged(given),
        remount=REMOUNT in given,
        terminal=terminal,
        size=session.size_of(terminal),
    )
    entered = attach.enter(found.name, pidfd, request)
    begin = None
    if entered.master >= 0:

        def begin() -> session.Carrier:
            return session.Carrier(entered.master, session.callers_peer(terminal, log))

    session.stay(entered.pidfd, begin=begin, forward=entered.send_signal)
    status = entered.wait()
    assert status is not None
    return status if status >= 0 else 128 - status


def _log(given: options.Given, name: str) -> ConsoleLog | None:
    path = given.get(LOG)
    if path is None:
        return None
    return ConsoleLog(Console(path=None, where=None, log=path, limit=0, rotate=False), name)


def _environment(given: options.Given, record: Record) -> tuple[str, ...]:
    if CLEAR_ENV in given and KEEP_ENV in given:
        raise UsageError("--clear-env and --keep-env exclude each other", hint=COMMAND.usage())
    extra = []
    for word in given.all(SET):
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise UsageError(f"--set-var: '{word}' is not NAME=VALUE")
        extra.append((name, value))
    caller = {decode(name): decode(value) for name, value in posix.environ.items()}
    return attach.environment(
        record, caller, clear=CLEAR_ENV in given, keep=frozenset(given.all(KEEP)), extra=extra
    )


def _namespaces(given: options.Given) -> list[str] | None:
    text = given.get(SPACES)
    if text is None:
        return None
    kinds = []
    for word in text.replace(",", "|").split("|"):
        kind = _KINDS.get(word.strip().upper())
        if kind is None:
            raise UsageError(f"--namespaces: unknown namespace '{word}'", hint="|".join(_KINDS))
        kinds.append(kind)
    return kinds


def _privileged(given: options.Given) -> tuple[str, ...]:
    if ELEVATED not in given:
        return ()
    words = [word.upper() for word in (given.get(ELEVATED) or "|".join(_PRIVILEGES)).split("|")]
    for word in words:
        if word not in _PRIVILEGES:
            raise UsageError(f"--elevated-privileges: unknown privilege '{word}'", hint="|".join(_PRIVILEGES))
    return tuple(word.lower() for word in words)


def _personality(given: options.Given) -> int | None:
    word = given.get(ARCH)
    if word is None:
        return None
    try:
        kind = architecture(word)
    except Invalid as error:
        raise UsageError(f"--arch: {error.what}", hint=error.hint) from None
    return process.PER_LINUX32 if kind == "linux32" else process.PER_LINUX


def _id(given: options.Given, option: options.Option) -> int | None:
    text = given.get(option)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and int(text) < 2**32 - 1):
        raise UsageError(f"--{option.long}: '{text}' is no id")
    return int(text)
