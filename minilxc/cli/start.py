"""minilxc start, minilxc execute: start a container, in the background or to stay with it."""

from __future__ import annotations

from minilxc.cli import options
from minilxc.errors import ConfigError, MinilxcError, UsageError
from minilxc.linux.files import exists
from minilxc.log import ERROR, NAMES, Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minilxc.config.parse import Config

_CONFIG = (options.NAME, options.FILE, options.PATH, options.DEFINE)
_SHARED = (options.UID, options.GID, *options.SHARES, options.DRY_RUN)
START = options.Command(
    "start",
    "start a container",
    (
        *_CONFIG,
        options.FOREGROUND,
        options.DAEMON,
        options.PIDFILE,
        options.CONSOLE,
        options.CONSOLE_LOG,
        options.CLOSE_ALL,
        *_SHARED,
    ),
    named=True,
    runs=True,
)
EXECUTE = options.Command(
    "execute", "run a command in a container", (*_CONFIG, options.DAEMON, *_SHARED), named=True, runs=True
)


def start(words: Sequence[str]) -> int:
    """Start a container. 0 when it runs in the background; with -F the status of process 1, or 128 + signal."""
    return _run(START, words)


def execute(words: Sequence[str]) -> int:
    """Run a command in a container; the exit status is that of the command, or 128 + signal."""
    return _run(EXECUTE, words)


def _run(command: options.Command, words: Sequence[str]) -> int:
    given = options.read(command, words)
    if options.show_about(command, given):
        return 0
    log = None
    try:
        name, lxcpath, config = _read(command, given)
        log = open_log(given, config)
        return _start(command, given, name, lxcpath, config, log)
    except MinilxcError as error:
        (log or open_log(given, None, quiet=True)).write(ERROR, "start", str(error))
        if options.QUIET in given:
            return error.status
        raise


def _read(command: options.Command, given: options.Given) -> tuple[str, str, Config]:
    """Name, path and config of the container to start."""
    from minilxc.launch import lock

    name = given.get(options.NAME)
    if name is None:
        raise UsageError("no container is named (-n NAME)", hint=command.usage())
    lock.check_name(name)
    lxcpath = given.get(options.PATH) or lock.default_path()
    return name, lxcpath, read_config(given, command, lxcpath, name)


def _start(
    command: options.Command, given: options.Given, name: str, lxcpath: str, config: Config, log: Log
) -> int:
    for level, where, text in config.notes:
        log.write(level, "config", f"{where}: {text}")
    from minilxc.monitor import planning

    in_background = options.DAEMON in given if command is EXECUTE else options.FOREGROUND not in given
    plan = planning.make(
        config,
        name,
        lxcpath,
        given.words,
        with_init=command is EXECUTE,
        background=in_background,
        log=log,
    )
    if options.DRY_RUN in given:
        for subject, text in plan.lines():
            print(f"{subject:12} {text}")
        return 0
    if in_background:
        from minilxc.monitor import background

        background.start(plan, log, given.get(options.PIDFILE))
        return 0
    from minilxc.monitor import life

    return life.run(plan, log)


def read_config(given: options.Given, command: options.Command, lxcpath: str, name: str) -> Config:
    """The container's config, with -s and what other options set on top. Raises ConfigError."""
    from minilxc.config.parse import Config

    defines = given.all(options.DEFINE) + given.defines(command.options)
    return Config.read(config_path(given, lxcpath, name), defines)


def config_path(given: options.Given, lxcpath: str, name: str) -> str:
    """Where the config is: -f FILE, or PATH/NAME/config. Raises ConfigError when there is neither."""
    path = given.get(options.FILE)
    if path is None:
        path = f"{lxcpath}/{name}/config"
        if not exists(path):
            raise ConfigError("there is no config", name, f"-f FILE, or {path}")
    return path


def open_log(given: options.Given, config: Config | None, *, quiet: bool = False) -> Log:
    """The log that the options, or else the config, ask for."""
    word = given.get(options.PRIORITY)
    level = config.get("lxc.log.level") if config else None
    if word is not None:
        if word.upper() in NAMES:
            level = NAMES.index(word.upper())
        elif word.isdecimal() and int(word) < len(NAMES):
            level = int(word)
        elif not quiet:
            raise UsageError(f"unknown log level '{word}'", hint=", ".join(NAMES))
    path = given.get(options.LOGFILE) or (config.get("lxc.log.file") if config else None)
    level = ERROR if level is None else level
    if path is None:
        return Log(level=level, quiet=options.QUIET in given)
    try:
        return Log.to_file(given.get(options.NAME) or "", path, level, quiet=options.QUIET in given)
    except OSError as error:
        if quiet:
            return Log()
        raise MinilxcError(f"{path}: {error.strerror}", hint="-o FILE or lxc.log.file") from None
