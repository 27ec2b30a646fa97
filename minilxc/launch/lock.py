"""One container of a name at a time.

A lock is a record lock (fcntl(2)) on one byte of a file that all containers share; the byte is the
hash of the container's path. The kernel drops it with its process, however that ends, so there is
never a stale lock and never a file to clean up; and it tells who holds it.
"""

from __future__ import annotations

import _socket
import _struct
import fcntl
import posix
from _blake2 import blake2b

from minilxc.errors import StartError, UsageError
from minilxc.linux.files import canonical, decode, encode, exists, is_directory, is_folder, normalized

DEFAULT_PATH = "/var/lib/lxc"
"""Where root's containers are looked for, as LXC does."""

ROOTS_DIRECTORY = "/run/minilxc"
"""Where what runs is kept of root's."""

_NAME_BYTES = 64
_SEEK_SET = 0
_FLOCK = "hhqqi4x"  # struct flock: l_type, l_whence, l_start, l_len, l_pid


class Running(StartError):
    """Somebody else has the container of this name."""


def check_name(name: str) -> str:
    """`name` if it can be a container's. Raises UsageError.

    It becomes a part of paths and of one line in logs, so it is kept simpler than LXC keeps it.
    """
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not (name.isascii() and plain.isalnum()) or name[0] in ".-" or len(name) > _NAME_BYTES:
        raise UsageError(
            f"'{name}' cannot be a container's name",
            hint="letters, digits, '.', '_' and '-', not beginning with '.' or '-', up to 64",
        )
    return name


def default_path() -> str:
    """Where the caller's containers are looked for, as LXC does: lxc.lxcpath of lxc.conf, or else /var/lib/lxc, of a
    user ~/.local/share/lxc. Raises StartError, ConfigError.
    """
    file = system_file()
    if exists(file):
        from minilxc.config import system

        path = system.read(file).get("lxc.lxcpath")
        if path is not None:
            return path
    return DEFAULT_PATH if posix.geteuid() == 0 else f"{_home()}/.local/share/lxc"


def system_file() -> str:
    """Where the caller's lxc.conf is: lxc.system.conf(5). Raises StartError."""
    return "/etc/lxc/lxc.conf" if posix.geteuid() == 0 else f"{_home()}/.config/lxc/lxc.conf"


def _home() -> str:
    """The home of an ordinary user. Raises StartError."""
    home = decode(posix.environ.get(b"HOME", b""))
    if not home.startswith("/"):
        raise StartError("no home folder", hint="HOME is not set", step="lock")
    return home.rstrip("/")


def state_directory() -> str:
    """Where what runs is kept: /run/minilxc; for an ordinary user minilxc in $XDG_RUNTIME_DIR.

    That is unset where no session was begun, as under su(1) and in a cron job: then it is in /run/user/UID if
    that is there, else ~/.cache/minilxc. Raises StartError when there is no home either.
    """
    user = posix.geteuid()
    if user == 0:
        return ROOTS_DIRECTORY
    runtime = decode(posix.environ.get(b"XDG_RUNTIME_DIR", b""))
    if runtime:
        return f"{runtime.rstrip('/')}/minilxc"
    return f"/run/user/{user}/minilxc" if is_folder(f"/run/user/{user}") else f"{_home()}/.cache/minilxc"


def open_state_directory() -> str:
    """The state directory, made if missing (mode 0700) and checked to be ours. Raises StartError."""
    path = state_directory()
    try:
        try:
            status = posix.lstat(path)
        except FileNotFoundError:
            if path.endswith("/.cache/minilxc"):
                _make_folder(path[: -len("/minilxc")])
            _make_folder(path)
            status = posix.lstat(path)
    except OSError as error:
        hint = None if posix.geteuid() == 0 else "XDG_RUNTIME_DIR must be a folder of the user's own"
        raise StartError(
            f"{path}: {error.strerror}", None, hint, step="lock", errno=error.errno or 0
        ) from None
    if status.st_uid != posix.geteuid() or status.st_mode & 0o022 or not is_directory(status):
        raise StartError(f"{path}: not a directory of our own that nobody else may write to", step="lock")
    return path


def _make_folder(path: str) -> None:
    try:
        posix.mkdir(path, 0o700)
    except FileExistsError:
        pass  # another start has just made it


def _byte(lxcpath: str, name: str) -> int:
    digest = blake2b(encode(f"{canonical(lxcpath)} {name}"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2  # l_start is signed, and l_start + l_len must fit


def _file() -> int:
    path = f"{open_state_directory()}/locks"
    return posix.open(path, posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW, 0o600)


def take(lxcpath: str, name: str) -> int:
    """Lock the container; the descriptor holds the lock as long as this process keeps it open.

    Raises Running when it is running already, under minilxc or under LXC.
    """
    descriptor = _file()
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _byte(lxcpath, name))
    except (BlockingIOError, PermissionError):
        posix.close(descriptor)
        raise Running("is running already", name, step="lock") from None
    if _lxc_runs(lxcpath, name):
        posix.close(descriptor)
        raise Running("is running already, under LXC", name, step="lock")
    return descriptor


def holder(lxcpath: str, name: str) -> int:
    """The pid of the process that holds the container's lock, 0 when nobody does."""
    descriptor = _file()
    try:
        asked = _struct.pack(_FLOCK, fcntl.F_WRLCK, _SEEK_SET, _byte(lxcpath, name), 1, 0)
        kind, _, _, _, pid = _struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
        return int(pid) if kind != fcntl.F_UNLCK else 0
    finally:
        posix.close(descriptor)


def _lxc_runs(lxcpath: str, name: str) -> bool:
    """Whether LXC's own monitor answers on the abstract socket of this container.

    Its name has the path as LXC was given it, so the path is tried as it is written here, and in full.
    """
    for path in {lxcpath.rstrip("/"), normalized(lxcpath)}:
        probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        probe.setblocking(False)  # anybody can take such a name, and leave us waiting
        try:
            probe.connect(b"\0" + encode(f"{path}/{name}/command"))
            credentials = probe.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 3 * 4)
        except OSError:
            continue
        finally:
            probe.close()
        # Anybody can take such a name; LXC's monitor is root's, or our own.
        if _struct.unpack("3i", credentials)[1] in (0, posix.geteuid()):
            return True
    return False
