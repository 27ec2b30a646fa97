"""The last steps of every program that is started inside: find it, close descriptors, filter, execve.

Between the load of the filter and execve the process makes no system call at all, so a policy needs
to allow execve and what the payload itself does, and nothing for the launcher. Everything that
execve takes lies in memory beforehand, and its errno is stored in a shared page afterwards:
with the filter in place there may be no way left to write it to a pipe.
"""

from __future__ import annotations

import posix

from minilxc.errors import UsageError
from minilxc.linux.files import decode, encode, is_file, is_regular
from minilxc.linux.mount import AT_FDCWD, RESOLVE_NO_MAGICLINKS, openat2
from minilxc.linux.native import addressof, c_char_p, c_void_p, function, get_errno, string_array
from minilxc.linux.process import close_range
from minilxc.linux.syscalls import EACCES, ELOOP, ENOENT, ENOEXEC, os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minilxc.config.parse import Config
    from minilxc.launch.channel import Page
    from minilxc.seccomp.loader import Load

# What execvp(3) searches when PATH is unset.
_DEFAULT_PATH = "/bin:/usr/bin"


class Program:
    """What becomes the payload. Immutable.

    `arguments` is its argv, `environment` "NAME=VALUE" words, `directory` where it starts. `key` is
    the config key that named it, for messages ("" for the command line).
    """

    __slots__ = ("arguments", "directory", "environment", "key")

    def __init__(
        self, arguments: tuple[str, ...], environment: tuple[str, ...], directory: str, key: str = ""
    ) -> None:
        self.arguments = arguments
        self.environment = environment
        self.directory = directory
        self.key = key

    def describe(self) -> str:
        """The command, on one line."""
        return " ".join(repr(word) if not word or " " in word else word for word in self.arguments)


def from_config(config: Config, command: Sequence[str], with_init: bool) -> Program:
    """What to execute: `command`, or what the config has for execute (`with_init`) or start. Raises UsageError."""
    key = ""
    if not command:
        key = "lxc.execute.cmd" if with_init else "lxc.init.cmd"
        command = config.get(key)
        if not command:
            raise UsageError(
                "there is no command to execute", config.source, "-- COMMAND, or lxc.execute.cmd"
            )
    variables = {}
    for name, value in (*config.get("lxc.environment"), *config.get("lxc.environment.runtime")):
        variables[name] = value
    variables["container"] = "lxc"
    environment = tuple(f"{name}={value}" for name, value in variables.items())
    return Program(tuple(command), environment, config.get("lxc.init.cwd"), key)


def _head(path: str) -> bytes:
    """The first bytes of an executable file; empty for one that cannot be read, or is no regular file."""
    try:
        # A pipe, or a device, must neither block nor become anybody's terminal.
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY)
    except OSError:
        return b""  # one may execute what one may not read
    try:
        return posix.read(descriptor, 256) if is_regular(posix.fstat(descriptor)) else b""
    except OSError:
        return b""
    finally:
        posix.close(descriptor)


def _is_shell_script(path: str) -> bool:
    """Whether the kernel will not know how to run `path`, and execvp(3) would give it to the shell."""
    head = _head(path)
    return bool(head) and not head.startswith((b"#!", b"\x7fELF"))


_SHELL = "/bin/sh"
_MOST_INTERPRETERS = 8  # the kernel follows five, and the shell may be the last


def enter_directory(program: Program) -> None:
    """Make the program's directory the working directory. Raises OSError, ELOOP where it lies outside.

    A link of procfs can lead out of the root (CVE-2024-21626); getcwd(3) then finds no path.
    """
    posix.chdir(program.directory)
    try:
        posix.getcwd()
    except FileNotFoundError:
        raise os_error(program.directory, ELOOP) from None


def _refuse_link_of_procfs(path: str) -> None:
    try:
        posix.close(openat2(AT_FDCWD, path, posix.O_PATH, RESOLVE_NO_MAGICLINKS))
    except OSError as error:
        # What is missing, or closed to the user, is told by execve; a limit of three descriptors leaves none.
        if error.errno == ELOOP:
            raise


def check(path: str) -> None:
    """Refuse a program that is a link of procfs, or leads to one by its interpreters: /proc/self/exe is ours.

    Executed, it would be the host's interpreter, with the container's dynamic loader (CVE-2019-5736). What
    leads to what is read as the kernel reads it (binfmt_script); what is no program goes to /bin/sh, as
    execvp(3) has it. Raises OSError (ELOOP).
    """
    for _ in range(_MOST_INTERPRETERS):
        _refuse_link_of_procfs(path)
        head = _head(path)
        if head.startswith(b"#!"):
            line = head[2:].partition(b"\n")[0].strip(b" \t")
            path = decode(_first_word(line))
        elif head and not head.startswith(b"\x7fELF") and path != _SHELL:
            path = _SHELL
        else:
            return


def _first_word(line: bytes) -> bytes:
    """The first word of a script's first line: the kernel ends it at a blank, a tab or a NUL."""
    return line.replace(b"\t", b" ").replace(b"\0", b" ").partition(b" ")[0]


def check_beforehand(program: Program) -> None:
    """`check` what the program is for root, where there is one."""
    try:
        path = find(program)
    except OSError:
        return  # told as the payload's user
    check(path)


def find(program: Program) -> str:
    """The path of the program to execute, as execvp(3) finds it in the payload's own PATH."""
    name = program.arguments[0]
    if "/" in name:
        return name
    path = _DEFAULT_PATH
    for word in program.environment:
        if word.startswith("PATH="):
            path = word[len("PATH=") :]
    problem = ENOENT
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        if is_file(candidate):
            if posix.access(candidate, posix.X_OK):
                return candidate
            problem = EACCES
    raise os_error(name, problem)


def close_descriptors(keep: tuple[int, ...]) -> None:
    """Close every descriptor but the standard ones and those to `keep`, which execve closes."""
    first = 3
    for descriptor in sorted(descriptor for descriptor in keep if descriptor >= 3):
        if descriptor > first:
            close_range(first, descriptor - 1)
        first = descriptor + 1
    close_range(first, 0xFFFFFFFF)


_execve = function("execve", c_char_p, c_void_p, c_void_p, held=True)


def execute(path: str, program: Program, filter: Load | None, page: Page) -> None:
    """Load `filter` and become the program. Returns only when execve failed; its errno is in `page`.

    Raises OSError when the filter cannot be loaded: nothing is executed without it. As execvp(3) does, a
    script without `#!` is given to the shell.
    """
    # Kept in variables to the end: the call takes addresses.
    name = c_char_p(encode(path))
    words = [encode(word) for word in program.arguments]
    argv = string_array(words)
    envp = string_array([encode(word) for word in program.environment])
    arguments = (name, c_void_p(addressof(argv)), c_void_p(addressof(envp)))
    shell = string_array([encode(_SHELL), encode(path), *words[1:]])
    as_script = (c_char_p(encode(_SHELL)), c_void_p(addressof(shell)), arguments[2])
    script = _is_shell_script(path)
    if filter is not None and filter() != 0:
        raise os_error("seccomp filter")
    _execve(*arguments)
    number = get_errno()
    if script and number == ENOEXEC:
        _execve(*as_script)
    page.execve_errno = number
