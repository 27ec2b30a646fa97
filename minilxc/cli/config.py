"""minilxc config: what is in force in a config and where it stands; and today's names for an old one."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from minilxc.cli import options, start
from minilxc.config import system
from minilxc.config.keys import GROUPS, KEYS, NETWORK, TABLE
from minilxc.config.parse import Config
from minilxc.config.reference import default_text
from minilxc.config.writing import written
from minilxc.errors import SHORT, MinilxcError, UsageError, suggestion
from minilxc.launch import lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VALUES = options.Option("", "values", "", "print the values alone, for scripts")
UPGRADE = options.Option(
    "", "upgrade", "", "give the config FILE today's names, in place (- is standard input)"
)
LIST = options.Option("l", "list", "", "list the settings of lxc.conf(5)")
OUTPUT = options.Option("", "output", "FILE", "with --upgrade: write to FILE instead (- is standard output)")
COMMAND = options.Command(
    "config",
    "show what is in force in a config, or give it today's names",
    (
        options.NAME,
        options.FILE,
        options.PATH,
        options.DEFINE,
        options.JSON,
        VALUES,
        UPGRADE,
        OUTPUT,
        LIST,
    ),
    words="get KEY | list | show | --upgrade FILE | SETTING",
    common=options.ABOUT,
)
_DEFAULT = "default"


class Line(NamedTuple):
    """A value in force, as a config has it, and where it stands ("default": nowhere)."""

    key: str
    value: str
    where: str


def run(words: Sequence[str]) -> int:
    """Print values, or rewrite a file. 1 when a key has no value, or the config has a wrong line."""
    given = options.read(COMMAND, words)
    if options.show_about(COMMAND, given):
        return 0
    if UPGRADE in given:
        return _upgrade(given)
    if LIST in given:
        print("\n".join(system.DEFAULTS))
        return 0
    action, *rest = given.words or [""]
    if action.startswith("lxc.") and not rest:
        return _print_setting(action)
    wanted = 1 if action == "get" else 0
    if action not in ("get", "list", "show") or OUTPUT in given:
        hint = suggestion(action, ("get", "list", "show"), SHORT) or COMMAND.usage()
        raise UsageError(f"unknown action '{action}'" if action else "what to do?", hint=hint)
    if len(rest) != wanted:
        raise UsageError(
            "get takes one key" if wanted else f"unexpected word '{rest[0]}'", hint=COMMAND.usage()
        )
    config, good = _read(given)
    if action == "get":
        lines = list(_of(config, rest[0]))
    else:
        lines = list(_in_force(config)) + (list(_defaults(config)) if action == "show" else [])
    _print(lines, given)
    return 0 if good and (lines or action != "get") else 1


def _print_setting(name: str) -> int:
    """Print a setting of lxc.conf, as lxc-config does. Raises MinilxcError for one that there is not."""
    if name not in system.DEFAULTS:
        hint = suggestion(name, system.DEFAULTS) or f"config get {name}, for a container's key"
        raise MinilxcError(f"{name}: unknown setting", hint=hint)
    default = lock.default_path() if name == "lxc.lxcpath" else system.DEFAULTS[name]
    value = system.read(lock.system_file()).get(name, default)
    print(f"{name} is not set." if value is None else value)
    return 0


def _read(given: options.Given) -> tuple[Config, bool]:
    """The config without its wrong lines, which are told, and whether it has none."""
    name = given.get(options.NAME)
    if name is None and given.get(options.FILE) is None:
        raise UsageError("which config? (-f FILE, or -n NAME)", hint=COMMAND.usage())
    if name is not None:
        lock.check_name(name)
    path = start.config_path(given, given.get(options.PATH) or lock.default_path(), name or "-")
    config, wrong, _ = Config.examine(path, given.all(options.DEFINE))
    for error in wrong:
        print(f"minilxc: {error}", file=sys.stderr)
    return config, not wrong


def _print(lines: list[Line], given: options.Given) -> None:
    if options.JSON in given:
        print(json.dumps([line._asdict() for line in lines], indent=2))
        return
    for line in lines:
        text = line.value if VALUES in given else f"{line.where}: {line.key} = {written(line.value)}"
        os.write(1, os.fsencode(text) + b"\n")


def _in_force(config: Config) -> Iterator[Line]:
    """All lines in force, in their order; those of interfaces last."""
    return (Line(*line) for line in config.lines())


def _defaults(config: Config) -> Iterator[Line]:
    """What the keys without a line come to, where that is a value."""
    for key in TABLE:
        if key.name in KEYS and not config.where(key.name):
            yield from _default(key.name)


def _default(name: str) -> Iterator[Line]:
    value = default_text(KEYS[name])
    if value is not None:
        yield Line(name, value, _DEFAULT)


def _of(config: Config, key: str) -> list[Line]:
    """The lines in force of a key, of a group such as lxc.prlimit, or of an interface; else the default.

    Raises MinilxcError for a key that there is not.
    """
    found = [line for line in _in_force(config) if line.key == key or line.key.startswith(f"{key}.")]
    # lxc.hook and lxc.environment are keys, and other keys begin with their names.
    exact = [line for line in found if line.key == key]
    if exact or (key in KEYS and not found):
        return exact or list(_default(key))
    if not found and not is_known(key):
        raise MinilxcError(f"{key}: unknown key", hint=suggestion(key, [row.name for row in TABLE]))
    return found


def is_known(key: str) -> bool:
    """Whether a config can have the key, or keys below it."""
    words = key.split(".")
    if words[:2] == ["lxc", "net"]:
        rest = ".".join(words[3:])
        return words[2].isdecimal() and (
            not rest or any(f"{name}.".startswith(f"{rest}.") for name in NETWORK)
        )
    if any(key == group or key.startswith(f"{group}.") for group in GROUPS):
        return True
    return any(name.startswith(f"{key}.") for name in KEYS)


# Today's names


def _upgrade(given: options.Given) -> int:
    """Rewrite the config that is named, and say what has changed."""
    from minilxc.config.upgrade import upgrade

    if len(given.words) != 1 or any(option in given for option in (options.NAME, options.FILE, options.JSON)):
        raise UsageError("--upgrade takes one FILE, and no other option but --output", hint=COMMAND.usage())
    source = given.words[0]
    target = given.get(OUTPUT) or source
    try:
        with open(0 if source == "-" else source, "rb", closefd=source != "-") as file:
            text = file.read()
    except OSError as error:
        raise MinilxcError(error.strerror or str(error), where=source) from None
    result = upgrade(text, "<stdin>" if source == "-" else source)
    for where, doubt in result.doubts:
        print(f"minilxc: {where}: {doubt}", file=sys.stderr)
    if target == "-":
        sys.stdout.buffer.write(result.text)
        return 0
    if result.renamed or target != source:
        try:
            _replace(os.path.realpath(target), result.text)
        except OSError as error:
            raise MinilxcError(error.strerror or str(error), where=target) from None
    for where, old, new in result.renamed:
        print(f"{where}: {old} -> {new}")
    return 0


def _replace(path: str, text: bytes) -> None:
    """Put a file with `text` in the place of `path` in one step; mode and owner stay. Raises OSError."""
    descriptor, temporary = tempfile.mkstemp(prefix=".minilxc-", dir=os.path.dirname(path))
    try:
        with open(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            try:
                status = os.stat(path)
            except FileNotFoundError:
                os.fchmod(descriptor, 0o644)
            else:
                os.fchown(descriptor, status.st_uid, status.st_gid)
                os.fchmod(descriptor, status.st_mode & 0o7777)
            os.fsync(descriptor)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
