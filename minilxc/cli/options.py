"""The options of the commands on the hot path, read without argparse (which costs 10 ms to import).

One table for all of them: the reader, --help and --usage come from it, and a test compares the man
pages with it.
"""

from __future__ import annotations

from minilxc.errors import SHORT, UsageError, suggestion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Option:
    """One option: its letter ("" for none), its long name, the name of its value ("" for a switch), help.

    `key`: the config key that the option sets, as `-s` would. `optional`: the value may be left out, and
    otherwise stands in the same word.
    """

    __slots__ = ("help", "key", "letter", "long", "many", "optional", "value")

    def __init__(
        self,
        letter: str,
        long: str,
        value: str,
        help: str,
        *,
        many: bool = False,
        key: str = "",
        optional: bool = False,
    ) -> None:
        self.letter = letter
        self.long = long
        self.value = value
        self.help = help
        self.many = many
        self.key = key
        self.optional = optional


NAME = Option("n", "name", "NAME", "name of the container")
FILE = Option("f", "rcfile", "FILE", "config to read instead of PATH/NAME/config")
PATH = Option(
    "P",
    "lxcpath",
    "PATH",
    "where containers are (default: lxc.lxcpath of lxc.conf, or /var/lib/lxc)",
)
DEFINE = Option("s", "define", "KEY=VAL", "set a config key, on top of the config", many=True)
LOGFILE = Option("o", "logfile", "FILE", "append the log to FILE")
PRIORITY = Option("l", "logpriority", "LEVEL", "log what is at least as grave as LEVEL (default: ERROR)")
QUIET = Option("q", "quiet", "", "no errors on standard error")
VERBOSE = Option("v", "verbose", "", "show all that tools and hooks say")
HELP = Option("h", "help", "", "show this help")
USAGE = Option("", "usage", "", "show a short usage")
VERSION = Option("", "version", "", "show the version")
FOREGROUND = Option("F", "foreground", "", "stay with the container until it ends")
DAEMON = Option("d", "daemon", "", "run in the background")
PIDFILE = Option("p", "pidfile", "FILE", "write the monitor's pid to FILE while the container runs")
UID = Option("u", "uid", "UID", "user id of the command", key="lxc.init.uid")
GID = Option("g", "gid", "GID", "group id of the command", key="lxc.init.gid")
CONSOLE = Option("c", "console", "FILE", "what the console is connected to", key="lxc.console.path")
CONSOLE_LOG = Option(
    "L", "console-log", "FILE", "append what is written to the console to FILE", key="lxc.console.logfile"
)
SHARES = tuple(
    Option(
        "",
        f"share-{kind}",
        "NAME",
        f"join the {kind} namespace of a container or a pid",
        key=f"lxc.namespace.share.{kind}",
    )
    for kind in ("net", "ipc", "uts", "pid")
)
CLOSE_ALL = Option("C", "close-all-fds", "", "accepted; inherited descriptors are closed always")
DRY_RUN = Option("", "dry-run", "", "print what would be done, and do nothing")

BACKING = Option("B", "bdev", "TYPE", "dir or best, as LXC has them: there are folders alone")

JSON = Option("", "json", "", "one JSON document, for programs")

ABOUT = (HELP, USAGE, VERSION)
COMMON = (LOGFILE, PRIORITY, QUIET, *ABOUT)
TELLING = (VERBOSE, QUIET, *ABOUT)


class Command:
    """A command's line: its name, a summary, its options, and what else stands on it.

    `named`: the first word is the container's name where -n has not been given, as with LXC. `runs`: a command to
    run follows the options. `words`: what the usage calls other words, which
    may stand before, between and behind the options.
    """

    __slots__ = ("name", "named", "options", "runs", "summary", "words")

    def __init__(
        self,
        name: str,
        summary: str,
        options: tuple[Option, ...],
        *,
        named: bool = False,
        runs: bool = False,
        words: str = "",
        common: tuple[Option, ...] = COMMON,
    ) -> None:
        self.name = name
        self.summary = summary
        self.options = options + common
        self.named = named
        self.runs = runs
        self.words = words

    def usage(self) -> str:
        """One line."""
        words = ["[OPTION]..."]
        if self.words:
            before, dashes, behind = self.words.partition(" [--")
            words = [before, *words, *((f"[--{behind}",) if dashes else ())]
        elif NAME in self.options:
            words.insert(0, "-n NAME")
        if self.runs:
            words.append("[--] [COMMAND [ARG]...]")
        return f"usage: minilxc {self.name} {' '.join(words)}"

    def help(self) -> str:
        """The whole help."""
        rows = []
        for option in self.options:
            letter = f"-{option.letter}," if option.letter else "   "
            value = f"[={option.value}]" if option.optional else f"={option.value}"
            long = f"--{option.long}" + (value if option.value else "")
            rows.append(f"  {letter} {long:22} {option.help}")
        return "\n".join((self.usage(), "", f"{self.summary[0].upper()}{self.summary[1:]}.", "", *rows))


class Given:
    """The options that were given, by long name, and the words that follow them."""

    __slots__ = ("_values", "words")

    def __init__(self, values: dict[str, list[str]], words: list[str]) -> None:
        self._values = values
        self.words = words

    def __contains__(self, option: Option) -> bool:
        return option.long in self._values

    def get(self, option: Option) -> str | None:
        """The (last) value of an option, None when it was not given."""
        values = self._values.get(option.long)
        return values[-1] if values else None

    def defines(self, options: Sequence[Option]) -> list[str]:
        """KEY=VALUE of each of the `options` that was given and stands for a config key."""
        return [f"{option.key}={self.get(option)}" for option in options if option.key and option in self]

    def all(self, option: Option) -> list[str]:
        """All values of an option that may be repeated."""
        return self._values.get(option.long, [])


def show_about(command: Command, given: Given) -> bool:
    """Print what --help, --usage or --version ask for; whether one of them was given."""
    if VERSION in given:
        from minilxc import cli

        print(cli.VERSION)
    elif HELP in given:
        print(command.help())
    elif USAGE in given:
        print(command.usage())
    return any(option in given for option in ABOUT)


def read(command: Command, arguments: Sequence[str]) -> Given:
    """Sort `arguments` as getopt_long(3) does; for a command that takes no `words` of its own, the first
    word that is no option ends them.

    Raises UsageError.
    """
    by_letter = {option.letter: option for option in command.options if option.letter}
    by_letter["?"] = HELP  # as LXC has it
    by_long = {option.long: option for option in command.options}
    values: dict[str, list[str]] = {}
    rest = list(arguments)
    words: list[str] = []
    while rest:
        if not rest[0].startswith("-") or rest[0] == "-":
            if command.words:
                words.append(rest.pop(0))
            elif command.named and NAME.long not in values:
                values[NAME.long] = [rest.pop(0)]
            else:
                break
            continue
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            long, equals, value = word[2:].partition("=")
            option = by_long.get(long) or _abbreviated(long, by_long)
            if option is None:
                raise _unknown(command, f"--{long}", by_long)
            if equals and not option.value:
                raise UsageError(f"option --{option.long} takes no value", hint=command.usage())
            values.setdefault(option.long, []).append(
                value if equals else _value(option, rest, f"--{long}", command)
            )
            continue
        letters = word[1:]
        while letters:
            option = by_letter.get(letters[0])
            if option is None:
                raise _unknown(command, f"-{letters[0]}", by_long)
            letters = letters[1:]
            if option.value and letters:
                values.setdefault(option.long, []).append(letters)
                break
            values.setdefault(option.long, []).append(_value(option, rest, f"-{option.letter}", command))
    if rest and not (command.runs or command.words):
        raise UsageError(f"unexpected word '{rest[0]}'", hint=command.usage())
    return Given(values, words + rest)


def _value(option: Option, rest: list[str], shown: str, command: Command) -> str:
    if not option.value or option.optional:
        return ""
    if not rest:
        raise UsageError(f"option {shown} needs a value ({option.value})", hint=command.usage())
    return rest.pop(0)


def _abbreviated(long: str, by_long: dict[str, Option]) -> Option | None:
    """The one option that begins with `long`, as getopt_long(3) takes it."""
    found = [option for name, option in by_long.items() if long and name.startswith(long)]
    return found[0] if len(found) == 1 else None


def _unknown(command: Command, shown: str, by_long: dict[str, Option]) -> UsageError:
    hint = suggestion(shown, [f"--{name}" for name in by_long], SHORT) or command.usage()
    return UsageError(f"unknown option '{shown}'", hint=hint)
