"""What the commands for containers share: their options, the name, the log, numbers in words."""

from __future__ import annotations

import posix

from minilxc.cli import options
from minilxc.container import Container
from minilxc.errors import MinilxcError, UsageError, printable
from minilxc.launch import lock
from minilxc.launch.lock import check_name
from minilxc.log import ERROR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAMED = "-n NAME"
"""Before the words in the usage of a command for one container."""
ONE = (options.NAME, options.FILE, options.PATH)

_KIB = 1024
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def run(command: options.Command, words: Sequence[str], act: Callable[[options.Given], int]) -> int:
    """Read the words of a command and `act`; its exit status. An error goes to the log, too, if one is asked for."""
    from minilxc.cli.start import open_log

    given = options.read(command, words)
    if options.show_about(command, given):
        return 0
    log = open_log(given, None)
    try:
        return act(given)
    except MinilxcError as error:
        log.write(ERROR, command.name, str(error))
        if options.QUIET in given:
            return error.status
        raise


def path(given: options.Given) -> str:
    """The folder of containers."""
    return given.get(options.PATH) or lock.default_path()


def container(command: options.Command, given: options.Given) -> tuple[Container, list[str]]:
    """The container that the line is about, by -n NAME or its first word, and the words behind that.

    Raises UsageError.
    """
    name, words = given.get(options.NAME), given.words
    if name is None:
        if not words:
            raise UsageError("no container is named (-n NAME)", hint=command.usage())
        name, *words = words
    return Container(name, path(given), config_file=given.get(options.FILE)), words


def only_container(command: options.Command, given: options.Given) -> Container:
    """As `container`, where nothing may follow. Raises UsageError."""
    found, words = container(command, given)
    if words:
        raise UsageError(f"unexpected word '{words[0]}'", hint=command.usage())
    return found


def only_name(command: options.Command, given: options.Given) -> str:
    """The name of a container that need not exist, by -n NAME or as the only word. Raises UsageError."""
    words = [*given.all(options.NAME)[-1:], *given.words]
    if not words:
        raise UsageError("no container is named (-n NAME)", hint=command.usage())
    name, *rest = words
    if rest:
        raise UsageError(f"unexpected word '{rest[0]}'", hint=command.usage())
    return check_name(name)


def check_backing(given: options.Given) -> None:
    """Refuse a kind of storage that there is not. Raises UsageError."""
    kind = given.get(options.BACKING)
    if kind not in (None, "dir", "best"):
        raise UsageError(f"--bdev: there is no storage of the kind '{kind}'", hint="dir")


def seconds(text: str, option: options.Option, command: options.Command) -> float:
    """The number that an option for a time has. Raises UsageError."""
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if number != number or number in (float("inf"), float("-inf")):
        shown = f"-{option.letter}" if option.letter else f"--{option.long}"
        raise UsageError(f"{shown} takes a number of seconds, not '{text}'", hint=command.usage())
    return number


def tell(error: str, given: options.Given) -> None:
    """Tell an error that does not end the command."""
    import sys

    from minilxc.cli.start import open_log

    log = open_log(given, None)
    log.write(ERROR, "error", error)
    for descriptor in log.descriptors():
        posix.close(descriptor)
    if options.QUIET not in given:
        print(f"minilxc: {error}", file=sys.stderr, flush=True)


def size(number: int) -> str:
    """Bytes as people read them, as LXC writes them: 1.14 KiB."""
    if number < _KIB:
        return f"{number} bytes"
    power = min((number.bit_length() - 1) // 10, len(_UNITS))
    return f"{number / _KIB**power:.2f} {_UNITS[power - 1]}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lines of columns; the first row has their titles."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        " ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
