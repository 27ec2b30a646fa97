"""The types of the values in a config: what each accepts, what it makes of it, and how it says no.

A value type is a callable from text (never empty: an empty value is the table's business) to a
typed, immutable value; it raises `Invalid` in words that a user understands. The first line of its
`__doc__` is what the key reference says about the type.
"""

from __future__ import annotations

from minilxc.errors import suggestion
from minilxc.linux.files import encode
from minilxc.linux.names import CAPABILITIES, NAMESPACES, RLIMITS, SIGNALS, SIGRTMAX, SIGRTMIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

UNLIMITED = -1
"""No limit, in the two halves of a resource limit (RLIM_INFINITY, as Python's `resource` spells it)."""

LOG_LEVELS = {
    "trace": 0,
    "debug": 1,
    "info": 2,
    "notice": 3,
    "warn": 4,
    "error": 5,
    "crit": 6,
    "alert": 7,
    "fatal": 8,
}

_ARCHITECTURES_32 = "x86 i386 i486 i586 i686 athlon linux32 arm armel armhf armv7l mips mipsel ppc powerpc"
_ARCHITECTURES_64 = (
    "x86_64 amd64 linux64 aarch64 arm64 mips64 mips64el ppc64 ppc64el ppc64le powerpc64 riscv64 s390x "
    "loongarch64 loong64 x32"  # an x32 system sees x86_64 in uname(2), not i686
)
PERSONALITIES = {
    **dict.fromkeys(_ARCHITECTURES_32.split(), "linux32"),
    **dict.fromkeys(_ARCHITECTURES_64.split(), "linux"),
}
"""Word of lxc.arch: the personality that it means."""

ROOTFS_TYPES = ("dir", "overlay", "overlayfs", "loop", "nbd", "zfs", "lvm", "btrfs", "rbd")

MOUNT_AUTO = {
    "proc": ("mixed", ("mixed", "rw")),
    "sys": ("mixed", ("ro", "mixed", "rw")),
    "cgroup": ("", ("ro", "mixed", "rw")),
    "cgroup-full": ("", ("ro", "mixed", "rw")),
    "cgroup2": ("rw", ("ro",)),
}
"""Word of lxc.mount.auto: (mode when none is written, modes that can be written)."""

_BLANKS = " \t"
_SPACE = " \t\n\v\f\r"  # C's isspace(3); str.split without arguments would split at other scripts' too
_PATH_MAX = 4095  # bytes; the kernel's PATH_MAX counts the closing NUL
_UINT_MAX = 2**32 - 1
_INT64_MAX = 2**63 - 1
_TIME_UNITS = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}
_SIZE_UNITS = {"KB": 2**10, "MB": 2**20, "GB": 2**30}


class Invalid(Exception):
    """A value that its key does not take: `what` is wrong with it, and `hint` is the cure when it is sure."""

    def __init__(self, what: str, hint: str | None = None) -> None:
        super().__init__(what, hint)
        self.what = what
        self.hint = hint


class Value:
    """Base of the values with several parts: compared, hashed and shown by these parts. Immutable."""

    __slots__: tuple[str, ...] = ()

    def _parts(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and other._parts() == self._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._parts()))})"


class IdMap(Value):
    """A range of ids: `kind` is "u" or "g"; ids `inside`… are `outside`… on the host, `count` of them."""

    __slots__ = ("kind", "inside", "outside", "count")

    def __init__(self, kind: str, inside: int, outside: int, count: int) -> None:
        self.kind = kind
        self.inside = inside
        self.outside = outside
        self.count = count


class MountEntry(Value):
    """A line of an fstab, taken apart and unescaped; `options` are the words between commas, as written."""

    __slots__ = ("source", "target", "fstype", "options")

    def __init__(self, source: str, target: str, fstype: str, options: tuple[str, ...]) -> None:
        self.source = source
        self.target = target
        self.fstype = fstype
        self.options = options


class Address(Value):
    """An address of an interface with the length of its prefix; `broadcast` is "" where none is given."""

    __slots__ = ("address", "prefix", "broadcast")

    def __init__(self, address: str, prefix: int, broadcast: str = "") -> None:
        self.address = address
        self.prefix = prefix
        self.broadcast = broadcast


class Number:
    """A value type: a whole number in C's notation between two bounds."""

    def __init__(self, low: int, high: int, doc: str) -> None:
        self.low = low
        self.high = high
        self.__doc__ = doc

    def __call__(self, text: str) -> int:
        number = _whole(text.removeprefix("+"))
        if number is None and text[0] == "-":
            number = _whole(text[1:])
            number = None if number is None else -number
        if number is None:
            raise Invalid(f"expected a whole number, not {quoted(text)}")
        if not self.low <= number <= self.high:
            raise Invalid(f"expected a whole number from {self.low} to {self.high}, not {quoted(text)}")
        return number


class Word:
    """A value type: one of a few words."""

    def __init__(self, noun: str, words: tuple[str, ...], doc: str) -> None:
        self.noun = noun
        self.words = words
        self.__doc__ = doc

    def __call__(self, text: str) -> str:
        if text not in self.words:
            hint = suggestion(text, self.words) or f"known: {', '.join(self.words)}"
            raise Invalid(f"unknown {self.noun} {quoted(text)}", hint)
        return text


def quoted(text: str) -> str:
    """`text` in quotes for a message, cut where it is long."""
    return f"'{text}'" if len(text) <= 80 else f"'{text[:77]}...'"


def _fields(text: str) -> list[str]:
    """The words between the blanks of a value, at least one."""
    found = [word for word in text.replace("\t", " ").split(" ") if word]
    if not found:
        raise Invalid(f"expected a value, not {quoted(text)}")
    return found


# Numbers


def _whole(text: str) -> int | None:
    """What C's strtoul(3) with base 0 reads (decimal, 0x hexadecimal, 0 octal), None if that is not all."""
    # isascii: int() takes other scripts' digits; isalnum: it takes underscores and signs. The length
    # keeps int() from its own limit on digits; no key takes a number that long.
    if not text.isascii() or not text.isalnum() or len(text) > 100:
        return None
    try:
        if text[0] != "0":
            return int(text) if text.isdecimal() else None
        if text[1:2] in ("x", "X"):
            return int(text[2:], 16)
        return int(text, 8)
    except ValueError:
        return None


def boolean(text: str) -> bool:
    """0 or 1."""
    number = _whole(text)
    if number != 0 and number != 1:
        raise Invalid(f"expected 0 or 1, not {quoted(text)}")
    return number == 1


uint = Number(0, _UINT_MAX, "A whole number; decimal, hexadecimal after 0x, octal after 0.")
integer = Number(
    -(2**31),
    2**31 - 1,
    "A whole number, which may be negative; decimal, hexadecimal after 0x, octal after 0.",
)
# The last of the 32-bit numbers is -1, which means "no change" to setuid(2) and "none" to chown(2).
user_or_group_id = Number(0, _UINT_MAX - 1, "A user or group id, from 0 to 4294967294.")
byte_count = Number(0, _INT64_MAX, "A number of bytes.")
mtu = Number(68, 2**31 - 1, "A number of bytes, at least 68.")
queues = Number(1, _UINT_MAX, "A whole number, at least 1.")
vlan_id = Number(0, 4094, "A VLAN's number, from 0 to 4094.")


def switch(text: str) -> bool:
    """A whole number; all but 0 mean yes."""
    return uint(text) != 0


def version(text: str) -> int:
    """0 or 1."""
    return int(boolean(text))


def groups(text: str) -> tuple[int, ...]:
    """Group ids separated by commas."""
    return tuple([user_or_group_id(word.strip(_BLANKS) or " ") for word in text.split(",")])


def size(text: str) -> int:
    """A number of bytes, or of KB, MB or GB (powers of 1024); `auto` is 128 KiB."""
    if text == "auto":
        return 2**17
    digits, factor = text, 1
    if text[-2:].upper() in _SIZE_UNITS:
        digits, factor = text[:-2].rstrip(_BLANKS), _SIZE_UNITS[text[-2:].upper()]
    if not (digits.isascii() and digits.isdecimal()):
        raise Invalid(f"expected a size such as 65536, 64KB or 1MB, or 'auto', not {quoted(text)}")
    number = int(digits) * factor if len(digits) < 20 else _INT64_MAX + 1
    if number > _INT64_MAX:
        raise Invalid(f"{quoted(text)} is too large")
    return number


def time_offset(text: str) -> int:
    """A whole number with a unit: h, m, s, ms, us or ns; may be negative. In nanoseconds."""
    digits = text.rstrip("hmsun")
    unit = text[len(digits) :]
    digits = digits.rstrip(_BLANKS)
    number = digits[1:] if digits[:1] in ("-", "+") else digits
    if unit not in _TIME_UNITS or not (number.isascii() and number.isdecimal()):
        raise Invalid(f"expected a whole number and a unit (h, m, s, ms, us, ns), not {quoted(text)}")
    offset = int(digits) * _TIME_UNITS[unit] if len(digits) < 25 else _INT64_MAX + 1
    if abs(offset) > _INT64_MAX:
        raise Invalid(f"{quoted(text)} is too large")
    return offset


def log_level(text: str) -> int:
    """A number from 0 to 8, or trace, debug, info, notice, warn, error, crit, alert, fatal."""
    level = LOG_LEVELS.get(text.lower(), _whole(text))
    if level is None or level > 8:
        raise Invalid(f"unknown level {quoted(text)}", suggestion(text.lower(), LOG_LEVELS))
    return level


def signal(text: str) -> int:
    """A signal: SIGTERM, sigterm, SIGRTMIN+1, SIGRTMAX-1, or its number."""
    name = text.upper()
    number = SIGNALS.get(name)
    if number is None:
        number = _real_time_signal(name) if name[:5] == "SIGRT" else _whole(text)
    if number is None:
        raise Invalid(f"unknown signal {quoted(text)}", suggestion(f"SIG{name.removeprefix('SIG')}", SIGNALS))
    if not 1 <= number <= SIGRTMAX:
        raise Invalid(f"there is no signal {quoted(text)} (1 to {SIGRTMAX})")
    return number


def _real_time_signal(name: str) -> int | None:
    """The number of SIGRTMIN[+N] or SIGRTMAX[-N]; 0, which no signal has, when N leads out of the range."""
    for base, start, sign in (("SIGRTMIN", SIGRTMIN, "+"), ("SIGRTMAX", SIGRTMAX, "-")):
        if name == base:
            return start
        if name.startswith(base + sign):
            steps = _whole(name[9:])
            if steps is None:
                return None
            number = start + steps if sign == "+" else start - steps
            return number if SIGRTMIN <= number <= SIGRTMAX else 0
    return None


def signal_or_none(text: str) -> int:
    """A signal: SIGTERM, sigterm, SIGRTMIN+1, SIGRTMAX-1, or its number; 0 is none."""
    return 0 if _whole(text) == 0 else signal(text)


def resource_limit(text: str) -> tuple[int, int]:
    """SOFT[:HARD], each a decimal number or `unlimited`; one alone sets both."""
    soft, colon, hard = text.partition(":")
    low = _limit(soft.strip(_BLANKS), text)
    high = _limit(hard.strip(_BLANKS), text) if colon else low
    if high != UNLIMITED and (low == UNLIMITED or low > high):
        raise Invalid(f"the soft limit is above the hard limit in {quoted(text)}")
    return low, high


def _limit(word: str, text: str) -> int:
    if word == "unlimited":
        return UNLIMITED
    if not (word.isascii() and word.isdecimal()):
        raise Invalid(f"expected LIMIT or SOFT:HARD, numbers or 'unlimited', not {quoted(text)}")
    if len(word) > 20 or int(word) >= 2**64 - 1:  # 2**64-1 is the kernel's "unlimited"
        raise Invalid(f"{quoted(word)} is too large", "write 'unlimited' for no limit")
    return int(word)


# Text and paths


def nothing(text: str) -> None:
    """Only an empty value."""
    raise Invalid(f"takes only an empty value, which clears, not {quoted(text)}")


def string(text: str) -> str:
    """Any text."""
    return text


def words(text: str) -> tuple[str, ...]:
    """Words separated by blanks."""
    return tuple(_fields(text))


def host_name(text: str) -> str:
    """A host name, up to 64 bytes."""
    return _limited(text, 64)


def _limited(text: str, most: int) -> str:
    length = len(text) if text.isascii() else len(encode(text))
    if length > most:
        raise Invalid(f"is {length} bytes long, at most {most} are possible")
    return text


def path(text: str) -> str:
    """A path, up to 4095 bytes; repeated slashes count as one."""
    _limited(text, _PATH_MAX)
    while "//" in text:
        text = text.replace("//", "/")
    return text


def path_below_dev(text: str) -> str:
    """A folder below /dev, up to 255 bytes, without `..`."""
    return _limited(_no_dot_dot(path(text)), 255)


def cgroup_path(text: str) -> str:
    """A relative path without `..`."""
    if text.startswith("/"):
        raise Invalid(f"expected a relative path, not {quoted(text)}")
    return _no_dot_dot(path(text))


def folder_name(text: str) -> str:
    """The name of one folder."""
    if "/" in text or text in (".", ".."):
        raise Invalid(f"expected the name of one folder, not {quoted(text)}")
    return _limited(text, 255)


def _no_dot_dot(text: str) -> str:
    if ".." in text.split("/"):
        raise Invalid(f"expected a path without '..', not {quoted(text)}")
    return text


def command(text: str) -> tuple[str, ...]:
    """A command line, split at blanks; a word that begins with a quote goes to the next such quote."""
    # LXC's rules, which are not a shell's: no escapes, a quote inside of a word is an ordinary
    # character, and a closing quote ends the word even where the next one follows without a blank.
    found = []
    rest = text.lstrip(_SPACE)
    while rest:
        if rest[0] in "'\"":
            word, quote, rest = rest[1:].partition(rest[0])
            if not quote:
                raise Invalid(f"the quote before {quoted(word)} is not closed")
        else:
            end = 1
            while end < len(rest) and rest[end] not in _SPACE:
                end += 1
            word, rest = rest[:end], rest[end:]
        found.append(word)
        rest = rest.lstrip(_SPACE)
    if not found or not found[0]:
        raise Invalid("the name of the program is empty")
    return tuple(found)


def environment(text: str) -> tuple[str, str]:
    """NAME=VALUE, or NAME to copy it from the caller's environment."""
    name, equals, value = text.partition("=")
    if not name:
        raise Invalid(f"expected NAME=VALUE or NAME, not {quoted(text)}")
    if not equals:
        from os import environ  # 2 ms, for the few that copy one

        copied = environ.get(name)
        if copied is None:
            raise Invalid(f"{quoted(name)} is not in the environment, so it cannot be copied")
        value = copied
    return name, value


def architecture(text: str) -> str:
    """The name of an architecture, which says whether the container sees a 32-bit or 64-bit machine."""
    personality = PERSONALITIES.get(text)
    if personality is None:
        raise Invalid(f"unknown architecture {quoted(text)}", suggestion(text.lower(), PERSONALITIES))
    return personality


# Ids, capabilities, namespaces


def id_map(text: str) -> IdMap:
    """u|g FIRST HOSTFIRST COUNT: ids of users or groups inside, on the host, and how many."""
    fields = _fields(text)
    if len(fields) != 4 or fields[0] not in ("u", "g"):
        raise Invalid(f"expected u or g, first id inside, first id on the host, count, not {quoted(text)}")
    inside, outside, count = map(uint, fields[1:])
    if count == 0:
        raise Invalid("a range of 0 ids maps nothing")
    if max(inside, outside) + count > _UINT_MAX:
        raise Invalid(f"the range {quoted(text)} goes beyond the last id, {_UINT_MAX - 1}")
    return IdMap(fields[0], inside, outside, count)


NO_CAPABILITY = -1
"""Stands for `none` among the numbers of capabilities to keep."""


def capabilities(text: str) -> tuple[int, ...]:
    """Capabilities in lower case without `CAP_`, or their numbers, separated by blanks."""
    return tuple(map(_capability, _fields(text)))


def capabilities_or_none(text: str) -> tuple[int, ...]:
    """Capabilities in lower case without `CAP_`, or their numbers; `none` forgets those before it."""
    return tuple(NO_CAPABILITY if word == "none" else _capability(word) for word in _fields(text))


def _capability(word: str) -> int:
    number = CAPABILITIES.get(word)
    if number is not None:
        return number
    number = _whole(word)
    if number is None:
        known = word.lower().removeprefix("cap_")
        raise Invalid(f"unknown capability {quoted(word)}", suggestion(known, CAPABILITIES))
    from minilxc.linux.names import last_capability

    last = last_capability()
    if number > last:
        raise Invalid(f"there is no capability {number}, this kernel's last is {last}")
    return number


def namespaces(text: str) -> tuple[str, ...]:
    """Names of namespaces (cgroup ipc mnt net pid time user uts), separated by blanks."""
    return tuple(map(namespace, _fields(text.lower())))


def namespace(word: str) -> str:
    """The name of a namespace: cgroup, ipc, mnt, net, pid, time, user or uts."""
    if word not in NAMESPACES:
        hint = "did you mean 'mnt'?" if word == "mount" else suggestion(word, NAMESPACES)
        raise Invalid(f"unknown namespace {quoted(word)}", hint)
    return word


def limit_name(word: str) -> str:
    """The name of a resource limit (nofile, nproc, ...), or its number."""
    number = _whole(word)
    for name, known in RLIMITS.items():
        if name == word or known == number:
            return name
    raise Invalid(f"unknown resource limit {quoted(word)}", suggestion(word, RLIMITS))


def dotted_name(word: str) -> str:
    """The name of a file, dots instead of slashes."""
    if not word.strip("."):
        raise Invalid("names no file")
    return word


# Root file system and mounts


def rootfs(text: str) -> tuple[str, str]:
    """[TYPE:]PATH; types: dir, overlay (LOWER[:LOWER...]:UPPER), loop; "" where none is given, then PATH tells."""
    kind, colon, place = text.partition(":")
    if not colon:
        return "", path(text)
    if kind not in ROOTFS_TYPES:
        hint = "a path with a colon needs 'dir:' before it" if "/" in kind else suggestion(kind, ROOTFS_TYPES)
        raise Invalid(f"unknown type {quoted(kind)}", hint)
    if not place:
        raise Invalid(f"no path after '{kind}:'")
    kind = "overlay" if kind == "overlayfs" else kind
    if kind == "overlay" and not all(place.partition(":")):
        raise Invalid(f"an overlay has at least two layers, not {quoted(place)}", "overlay:LOWER:UPPER")
    return kind, path(place)


_NOT_OURS = {
    "btrfs": "a subvolume is a folder (dir:PATH)",
    "zfs": "zfs(8) mounts a dataset, which then is a folder (dir:PATH)",
    "lvm": "a volume is a block device, whose path alone says enough",
    "nbd": "qemu-nbd(8) makes a block device of the file, whose path alone says enough",
    "rbd": "rbd(8) makes a block device of it, whose path alone says enough",
}
"""Types of root file systems that minilxc does not know, and what to write instead."""


def rootfs_not_yet(value: tuple[str, str]) -> str | None:
    """Why a root file system is refused."""
    instead = _NOT_OURS.get(value[0])
    return f"'{value[0]}' is refused: {instead}" if instead else None


def rootfs_options(text: str) -> tuple[str, ...]:
    """Mount options, separated by commas."""
    options = _options(text)
    for option in options:
        if option in ("optional", "relative") or option.partition("=")[0] == "create":
            raise Invalid(f"{quoted(option)} is for lxc.mount.entry only")
        if option == "idmap=":
            raise Invalid("'idmap=' names no map")
    return options


def _options(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def mount_entry(text: str) -> MountEntry:
    """SOURCE TARGET TYPE [OPTIONS [FREQ PASS]], as in fstab(5); a blank in a path is written \\040."""
    fields = _fields(text)
    if len(fields) < 3:
        raise Invalid(f"expected SOURCE TARGET TYPE OPTIONS, not {quoted(text)}")
    if len(fields) > 6 or not all(field.isascii() and field.isdecimal() for field in fields[4:]):
        raise Invalid(
            f"expected at most two numbers after SOURCE TARGET TYPE OPTIONS, not {quoted(text)}",
            "a blank in a path is written \\040",
        )
    source, target, fstype, options = map(_unescaped, (*fields[:4], "")[:4])
    # The source may be a server's name with two slashes, or no path at all: it stays as it is.
    return MountEntry(_limited(source, _PATH_MAX), path(target), fstype, _options(options))


def _unescaped(field: str) -> str:
    """A field of an fstab with the escapes of getmntent(3) undone."""
    if "\\" not in field:
        return field
    first, *pieces = field.split("\\")
    text = first
    escaped = False  # the piece before was empty: it and this one stand around "\\\\"
    for piece in pieces:
        if escaped:
            text += piece
            escaped = False
        elif piece[:3] in ("040", "011", "012", "134"):
            text += chr(int(piece[:3], 8)) + piece[3:]
        else:
            text += "\\" + piece
            escaped = not piece
    return text


def mount_auto(text: str) -> tuple[tuple[str, str, bool], ...]:
    """Words: proc[:mixed|rw], sys[:mixed|ro|rw], cgroup[-full][:MODE][:force], cgroup2[:ro][:force]."""
    return tuple(map(_auto_word, _fields(text)))


def _auto_word(word: str) -> tuple[str, str, bool]:
    group, *rest = word.split(":")
    if group == "shmounts":
        if not 1 <= len(rest) <= 2 or not all(rest):
            raise Invalid(f"expected shmounts:HOST[:CONTAINER], not {quoted(word)}")
        return group, ":".join(rest), False
    if group not in MOUNT_AUTO:
        raise Invalid(f"unknown word {quoted(word)}", suggestion(group, MOUNT_AUTO))
    mode, modes = MOUNT_AUTO[group]
    force = rest[-1:] == ["force"] and group.startswith("cgroup")
    if force:
        rest.pop()
    if len(rest) > 1 or (rest and rest[0] not in modes):
        known = ", ".join(f"{group}:{known}" for known in modes)
        raise Invalid(f"unknown variant {quoted(word)}", f"there are {group}, {known}")
    return group, rest[0] if rest else mode, force


def mount_auto_not_yet(value: tuple[tuple[str, str, bool], ...]) -> str | None:
    """Why an automatic mount cannot be made now."""
    return "'shmounts' is not supported yet" if any(word[0] == "shmounts" for word in value) else None


# Network


net_type = Word(
    "type",
    ("empty", "veth", "macvlan", "ipvlan", "vlan", "phys", "none"),
    "empty, veth, macvlan, ipvlan, vlan, phys, or none (the host's network is shared).",
)
net_flags = Word("flag", ("up",), "up.")
veth_mode = Word("mode", ("bridge", "router"), "bridge or router.")
macvlan_mode = Word("mode", ("private", "vepa", "bridge", "passthru"), "private, vepa, bridge or passthru.")
ipvlan_mode = Word("mode", ("l3", "l3s", "l2"), "l3, l3s or l2.")
ipvlan_isolation = Word("isolation", ("bridge", "private", "vepa"), "bridge, private or vepa.")
syslog_facility = Word(
    "facility",
    ("daemon", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
    "daemon, or local0 to local7.",
)


def interface(text: str) -> str:
    """The name of an interface, up to 15 bytes."""
    if text in (".", "..") or "/" in text or ":" in text or len(text.split()) != 1:
        raise Invalid(f"{quoted(text)} cannot be the name of an interface")
    return _limited(text, 15)


def hardware_address(text: str) -> str:
    """Six pairs of hexadecimal digits with colons between; each x becomes a random digit."""
    pairs = text.split(":")
    if len(pairs) != 6 or not all(len(p) == 2 and not p.lower().strip("0123456789abcdefx") for p in pairs):
        raise Invalid(f"expected an address such as 00:16:3e:xx:xx:xx, not {quoted(text)}")
    return text


NO_VLAN = -1
"""`none` as the VLAN of a bridge's port."""


def vlan_id_or_none(text: str) -> int:
    """A VLAN's number, from 0 to 4094, or `none`."""
    return NO_VLAN if text == "none" else vlan_id(text)


def ipv4_address(text: str) -> Address:
    """A.B.C.D[/PREFIX] [BROADCAST]; without a prefix the class of the address decides."""
    fields = _fields(text)
    address, slash, prefix = fields[0].partition("/")
    if len(fields) > 2:
        raise Invalid(f"expected ADDRESS[/PREFIX] [BROADCAST], not {quoted(text)}")
    first = _ip(address, 4, text)[0]
    if slash:
        length = _prefix(prefix, 32)
    elif first < 224:
        length = 8 if first < 128 else 16 if first < 192 else 24
    else:
        raise Invalid(f"{quoted(text)} has no /PREFIX, and no class that would give it one")
    if len(fields) == 2:
        _ip(fields[1], 4, text)
    return Address(address, length, *fields[1:])


def ipv6_address(text: str) -> Address:
    """ADDRESS[/PREFIX]; without a prefix it is 64."""
    address, slash, prefix = text.partition("/")
    _ip(address, 6, text)
    return Address(address, _prefix(prefix, 128) if slash else 64)


def ipv4_route(text: str) -> Address:
    """A.B.C.D/PREFIX."""
    return _route(text, 4, 32)


def ipv6_route(text: str) -> Address:
    """ADDRESS/PREFIX."""
    return _route(text, 6, 128)


def _route(text: str, family: int, most: int) -> Address:
    address, slash, prefix = text.partition("/")
    _ip(address, family, text)
    if not slash:
        raise Invalid(f"expected ADDRESS/PREFIX, not {quoted(text)}")
    return Address(address, _prefix(prefix, most))


def ipv4_gateway(text: str) -> str:
    """An address, `auto` (that of the link) or `dev` (a route to the interface itself)."""
    return _gateway(text, 4)


def ipv6_gateway(text: str) -> str:
    """An address, `auto` (that of the link) or `dev` (a route to the interface itself)."""
    return _gateway(text, 6)


def _gateway(text: str, family: int) -> str:
    if text not in ("auto", "dev"):
        _ip(text, family, text)
    return text


def _ip(address: str, family: int, text: str) -> bytes:
    from _socket import AF_INET, AF_INET6, inet_pton  # a config without addresses does not load it

    try:
        return inet_pton(AF_INET if family == 4 else AF_INET6, address)
    except (OSError, UnicodeError):
        raise Invalid(f"{quoted(text)} has no valid IPv{family} address") from None


def _prefix(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 3 or int(text) > most:
        raise Invalid(f"expected a prefix from 0 to {most}, not {quoted(text)}")
    return int(text)


def notify_proxy(text: str) -> str:
    """unix:/PATH or unix:@NAME."""
    if not text.startswith(("unix:/", "unix:@")) or len(text) < 7:
        raise Invalid(f"expected unix:/PATH or unix:@NAME, not {quoted(text)}")
    return text


# What repeated lines come to


def flat(values: Iterable[tuple[object, ...]]) -> tuple[object, ...]:
    """The words of several lines as one list, each word once."""
    return tuple(dict.fromkeys(word for line in values for word in line))


def kept(values: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """Capabilities to keep: `none` forgets those before it."""
    keep: dict[int, None] = {}
    for line in values:
        for number in line:
            if number == NO_CAPABILITY:
                keep.clear()
            else:
                keep[number] = None
    return tuple(keep)


def auto_in_force(values: Iterable[tuple[tuple[str, str, bool], ...]]) -> tuple[tuple[str, str, bool], ...]:
    """Automatic mounts: a word takes the place of an earlier one for the same mount."""
    # cgroup, cgroup-full and cgroup2 all say what is mounted on /sys/fs/cgroup.
    force: dict[str, tuple[str, str, bool]] = {}
    for line in values:
        for word in line:
            force["cgroup" if word[0].startswith("cgroup") else word[0]] = word
    return tuple(force.values())
