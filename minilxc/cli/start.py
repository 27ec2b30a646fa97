"""minilxc start, minilxc execute: start a container and stay with it."""

from __future__ import annotations

from minilxc.cli import options
from minilxc.errors import ConfigError, MinilxcError, UsageError
from minilxc.linux.files import exists
from minilxc.log import DEBUG, ERROR, NAMES, Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minilxc.config.parse import Config
    from minilxc.launch.plan import Plan
    from minilxc.seccomp.prepare import Prepared

_CONFIG = (options.NAME, options.FILE, options.PATH, options.DEFINE)
_SHARED = (options.UID, options.GID, *options.SHARES, options.DRY_RUN)
START = options.Command(
    "start",
    "start a container",
    (
        *_CONFIG,
        options.FOREGROUND,
        options.DAEMON,
        options.CONSOLE,
        options.CONSOLE_LOG,
        options.CLOSE_ALL,
        *_SHARED,
    ),
    runs=True,
)
EXECUTE = options.Command("execute", "run a command in a container", (*_CONFIG, *_SHARED), runs=True)


def start(words: Sequence[str]) -> int:
    """Start a container; the exit status is that of its first process, or 128 + signal."""
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
        log = _open_log(given, config)
        return _start(command, given, name, lxcpath, config, log)
    except MinilxcError as error:
        (log or _open_log(given, None, quiet=True)).write(ERROR, "start", str(error))
        if options.QUIET in given:
            return error.status
        raise


def _read(command: options.Command, given: options.Given) -> tuple[str, str, Config]:
    """Name, path and config of the container to start."""
    from minilxc.launch import lock
    from minilxc.launch import plan as planning

    name = given.get(options.NAME)
    if name is None:
        raise UsageError("the container has no name (-n NAME)", hint=command.usage())
    planning.check_name(name)
    if command is START and options.FOREGROUND not in given and options.DRY_RUN not in given:
        raise UsageError("a start in the background is not supported yet", hint="use -F")
    lxcpath = given.get(options.PATH) or lock.default_path()
    return name, lxcpath, read_config(given, command, lxcpath, name)


def _start(
    command: options.Command, given: options.Given, name: str, lxcpath: str, config: Config, log: Log
) -> int:
    for level, where, text in config.notes:
        log.write(level, "config", f"{where}: {text}")
    plan = make_plan(config, name, lxcpath, given.words, command is EXECUTE, log)
    if options.DRY_RUN in given:
        for subject, text in plan.lines():
            print(f"{subject:12} {text}")
        return 0
    from minilxc.monitor import foreground

    return foreground.run(plan, log)


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


def make_plan(config: Config, name: str, lxcpath: str, words: list[str], with_init: bool, log: Log) -> Plan:
    """The plan of a start, with its policy compiled or taken from the cache."""
    from minilxc.launch import plan as planning

    def prepare(path: str, newer: tuple[str, str] | None) -> Prepared:
        from minilxc.launch.lock import open_state_directory
        from minilxc.seccomp.prepare import prepare

        cache = f"{open_state_directory()}/seccomp"
        return prepare(
            path,
            machine=None,
            cache_dir=cache,
            newer=newer,
            debug=lambda text: log.write(DEBUG, "seccomp", text),
        )

    return planning.make(
        config,
        name,
        lxcpath,
        words,
        with_init=with_init,
        prepare=prepare,
        debug=log.write,
        log_level=log.asked,
    )


def _open_log(given: options.Given, config: Config | None, *, quiet: bool = False) -> Log:
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
