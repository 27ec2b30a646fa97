"""The ids that an ordinary user may map: an own one, and those that /etc/subuid and /etc/subgid grant.

A map of the own id alone the kernel takes from the user itself (user_namespaces(7)); every other goes
through newuidmap(1) and newgidmap(1), which belong to root and look the grants up. They are looked up here
first, so that what is not granted is told with its line while nothing exists.
"""

from __future__ import annotations

import posix
import pwd

from minilxc.errors import ConfigError, Refused
from minilxc.linux.files import decode, encode, exists, read_text
from minilxc.linux.syscalls import EPERM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.config.parse import Config

_FILES = {"u": "/etc/subuid", "g": "/etc/subgid"}
_PROGRAMS = {"u": "newuidmap", "g": "newgidmap"}
_IDS = {"u": "user ids", "g": "group ids"}
_PLACES = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin"
_MOST_BYTES = 4096


def writers(config: Config) -> tuple[tuple[str, str], bool]:
    """The programs that write the maps of users and of groups ("" for this process itself), and whether the
    container keeps the user's supplementary groups, because nobody may drop them there.

    Raises ConfigError or Refused for a map that the user may not have.
    """
    _refuse_without_namespaces(config.where("lxc.idmap") or "")
    programs = {}
    keeps_groups = True
    for kind, own in (("u", posix.geteuid()), ("g", posix.getegid())):
        entries = [entry for entry in config.entries("lxc.idmap") if entry.value.kind == kind]
        if len(entries) == 1 and (entries[0].value.outside, entries[0].value.count) == (own, 1):
            programs[kind] = ""
            continue
        grants = granted(kind)
        for entry in entries:
            first, count = entry.value.outside, entry.value.count
            if (first, count) == (own, 1):
                continue
            if kind == "g":
                keeps_groups = False
            if grants is not None and not _covers(grants, first, first + count):
                what = (
                    f"{_FILES[kind]} does not grant {_user()} the {_IDS[kind]} {first} to {first + count - 1}"
                )
                raise ConfigError(f"lxc.idmap: {what}", entry.where, _granted_words(grants))
        programs[kind] = _find(_PROGRAMS[kind], entries[0].where)
    return (programs["u"], programs["g"]), keeps_groups


def proposal() -> str:
    """The lines that a config without an id map lacks for this user, in words."""
    return " and ".join(f"lxc.idmap = {value}" for value in proposed())


def proposed() -> list[str]:
    """The values of lxc.idmap that a config without one lacks for this user."""
    values = []
    for kind, own in (("u", posix.geteuid()), ("g", posix.getegid())):
        ranges = granted(kind) or []
        first, end = max(ranges, key=lambda each: each[1] - each[0], default=(own, own + 1))
        values.append(f"{kind} 0 {first} {end - first}")
    return values


def granted(kind: str) -> list[tuple[int, int]] | None:
    """The ranges (first, end) that the user is granted; None when another source than the file has them. subuid(5)."""
    if _elsewhere():
        return None
    names = {_user(), str(posix.getuid())}
    found = []
    try:
        with open(_FILES[kind], "rb") as file:
            lines = decode(file.read()).splitlines()
    except OSError:
        return []
    for line in lines:
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] in names and fields[1].isdecimal() and fields[2].isdecimal():
            found.append((int(fields[1]), int(fields[1]) + int(fields[2])))
    return sorted(found)


def run(program: str, pid: int, text: str) -> None:
    """Have `program`, newuidmap or newgidmap, write the map `text` for the process `pid`. Raises OSError."""
    ours, theirs = posix.pipe2(posix.O_CLOEXEC)
    actions = [(posix.POSIX_SPAWN_DUP2, theirs, descriptor) for descriptor in (1, 2)]
    try:
        arguments = [program, str(pid), *text.split()]
        child = posix.posix_spawn(program, arguments, posix.environ, file_actions=actions, setsigmask=())
    except BaseException:
        posix.close(ours)
        raise
    finally:
        posix.close(theirs)
    said = b""
    while data := posix.read(ours, _MOST_BYTES):
        said = (said + data)[-_MOST_BYTES:]
    posix.close(ours)
    if posix.waitpid(child, 0)[1]:
        name = program.rpartition("/")[2]
        last = decode(said).strip().rpartition("\n")[2].removeprefix(f"{name}: ")
        raise OSError(EPERM, last or "has failed", name)


def _user() -> str:
    """The user's name, or else number."""
    try:
        return pwd.getpwuid(posix.getuid()).pw_name
    except KeyError:
        return str(posix.getuid())


def _covers(ranges: list[tuple[int, int]], first: int, end: int) -> bool:
    """Whether all of `first` to `end` lies in the sorted `ranges`, which may adjoin."""
    for low, high in ranges:
        if low <= first < high:
            first = high
        if first >= end:
            return True
    return False


def _granted_words(ranges: list[tuple[int, int]]) -> str:
    text = ", ".join(f"{first} to {end - 1}" for first, end in ranges)
    return f"it grants {text}" if text else "it grants none; root can: usermod --add-subuids, --add-subgids"


def _elsewhere() -> bool:
    """Whether the grants are not in the files, but come from a service. nsswitch.conf(5)"""
    try:
        lines = read_text("/etc/nsswitch.conf").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    found = [line.split("#")[0].split()[1:] for line in lines if line.startswith("subid:")]
    return bool(found) and found[-1] != ["files"]


def _find(name: str, where: str) -> str:
    """The path of the program `name`."""
    path = decode(posix.environ.get(b"PATH", b"")) or _PLACES
    for folder in (*_PLACES.split(":"), *path.split(":")):
        if folder.startswith("/") and posix.access(encode(f"{folder}/{name}"), posix.X_OK):
            return f"{folder}/{name}"
    what = f"lxc.idmap: takes {name}(1), which is not installed (package uidmap)"
    raise ConfigError(what, where, "a map of one's own id alone does without")


def _refuse_without_namespaces(where: str) -> None:
    """Refuse where this machine lets only root make user namespaces."""
    for path, forbids, cure in (
        ("/proc/sys/user/max_user_namespaces", "0", "must not be 0"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "must be 1"),
    ):
        if exists(path) and read_text(path).strip() == forbids:
            raise Refused("this machine lets no ordinary user make user namespaces", where, f"{path} {cure}")
