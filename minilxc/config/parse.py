"""A container's config: text to `Config`.

One pass, top to bottom; each line takes effect at once, an `lxc.include` where it stands, and a
later line can take back an earlier one. So whether the keys fit together, and whether minilxc
supports them, is judged at the end, on what is then in force.
"""

from __future__ import annotations

import posix

from minilxc.config.keys import GROUPS, KEYS, NETWORK, NO_VALUE, TABLE, Key
from minilxc.config.values import LOG_LEVELS, IdMap, Invalid, Value, path, quoted
from minilxc.errors import ConfigError, suggestion
from minilxc.linux.files import decode, encode, is_directory, is_fifo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

NOTICE = LOG_LEVELS["notice"]
WARN = LOG_LEVELS["warn"]

MOST_BYTES = 2**20
"""The largest file that is taken for a config."""
DEEPEST_INCLUDE = 32
MOST_FILES = 4096
"""How many files a config may be made of: a few that include each other twice would take for ever."""
MOST_RANGES = 340
"""How many lines the kernel takes in a map of user or group ids (user_namespaces(7))."""

_PREFIXES = ("lxc.", "minilxc.")


class Entry(Value):
    """A value in force and where it stands: "file:line", or "-s KEY=VALUE". Immutable.

    `text` is the value as it is written, without the quotes; it plays no part in comparisons.
    """

    __slots__ = ("text", "value", "where")

    def __init__(self, value: Any, where: str, text: str = "") -> None:
        self.value = value
        self.where = where
        self.text = text

    def _parts(self) -> tuple[object, ...]:
        return (self.value, self.where)


class Note(Value):
    """Something that the user should know about a config: `level` is NOTICE or WARN. Immutable."""

    __slots__ = ("level", "where", "text")

    def __init__(self, level: int, where: str, text: str) -> None:
        self.level = level
        self.where = where
        self.text = text

    def __iter__(self) -> Iterator[Any]:
        return iter((self.level, self.where, self.text))


class Settings:
    """Keys and their entries in force, under the names that `rows` has. Immutable."""

    __slots__ = ("_rows", "_entries")

    def __init__(self, rows: dict[str, Key], entries: dict[str, list[Entry]]) -> None:
        self._rows = rows
        self._entries = {name: tuple(found) for name, found in entries.items()}

    def get(self, name: str) -> Any:
        """The value in force, or the default. Of a key that repeats: all its values, in order."""
        key = self._rows[name]
        entries = self._entries.get(name)
        if entries is None:
            return key.default
        if not key.many:
            return entries[0].value
        values = tuple(entry.value for entry in entries)
        return key.merge(values) if key.merge else values

    def where(self, name: str) -> str | None:
        """Where the (last) line of a key in force stands, None when there is none."""
        entries = self._entries.get(name)
        return entries[-1].where if entries else None

    def entries(self, name: str) -> tuple[Entry, ...]:
        """The lines of a key in force, in order. Of a group such as lxc.proc: values are (NAME, value)."""
        return self._entries.get(name, ())

    def names(self) -> tuple[str, ...]:
        """The keys that have a line in force."""
        return tuple(self._entries)


class Network(Settings):
    """The keys of one interface, under what follows `lxc.net.I.`. Immutable."""

    __slots__ = ("index",)

    def __init__(self, index: int, entries: dict[str, list[Entry]]) -> None:
        super().__init__(NETWORK, entries)
        self.index = index


class Config(Settings):
    """What a container's config says. Immutable.

    `source` is the name of the file; `notes` are the parser's warnings and notices.
    """

    __slots__ = ("source", "notes", "_networks")

    def __init__(
        self,
        source: str,
        entries: dict[str, list[Entry]],
        networks: dict[int, dict[str, list[Entry]]],
        notes: tuple[Note, ...],
    ) -> None:
        super().__init__(KEYS, entries)
        self.source = source
        self.notes = notes
        self._networks = {index: Network(index, networks[index]) for index in sorted(networks)}

    @classmethod
    def read(cls, path: str, defines: Sequence[str] = ()) -> Config:
        """The config in the file `path`, with the KEY=VALUE of `-s` on top; raises the first ConfigError."""
        reader = _Reader(collect=False)
        reader.main_file(path)
        return reader.finish(path, defines)

    @classmethod
    def from_text(cls, text: bytes, name: str, defines: Sequence[str] = ()) -> Config:
        """As `read`, with the bytes of a file whose name is `name`."""
        reader = _Reader(collect=False)
        reader.text(text, name)
        return reader.finish(name, defines)

    @classmethod
    def examine(
        cls, path: str, defines: Sequence[str] = ()
    ) -> tuple[Config, tuple[ConfigError, ...], tuple[Note, ...]]:
        """The config without its wrong lines, and everything that is wrong or doubtful: for a check of it."""
        reader = _Reader(collect=True)
        reader.main_file(path)
        config = reader.finish(path, defines)
        return config, tuple(reader.errors), tuple(reader.notes)

    @classmethod
    def old_names(cls, text: bytes, name: str) -> tuple[tuple[str, str, str], ...]:
        """The keys of before LXC 3.0 in the bytes of the file `name` and of what it includes.

        Each as (where, name, today's name), in order. Raises ConfigError for a line that cannot be read;
        whether the lines fit together, and whether they are supported, is not asked.
        """
        reader = _Reader(collect=False)
        reader.text(text, name)
        return tuple(reader.renamed)

    def group(self, name: str) -> dict[str, Entry]:
        """The members of a group such as lxc.prlimit in force: NAME to its last line, in order."""
        return {
            entry.value[0]: Entry(entry.value[1], entry.where, entry.text) for entry in self.entries(name)
        }

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """All lines in force, in their order, those of interfaces last: (key, value as written, where)."""
        for name in self.names():
            for entry in self.entries(name):
                yield f"{name}.{entry.value[0]}" if name in GROUPS else name, entry.text, entry.where
        for index, network in self.networks().items():
            for name in network.names():
                for entry in network.entries(name):
                    yield f"lxc.net.{index}.{name}", entry.text, entry.where

    def networks(self) -> dict[int, Network]:
        """The interfaces by number, ascending."""
        return dict(self._networks)

    def conflicts(self) -> tuple[ConfigError, ...]:
        """What cannot stand together. A config from `read` or `from_text` has none."""
        found = []
        for one, other in (("lxc.cap.keep", "lxc.cap.drop"), ("lxc.namespace.keep", "lxc.namespace.clone")):
            here, there = self.where(one), self.where(other)
            if here and there:
                found.append(ConfigError(f"{one}: cannot stand together with {other} ({there})", here))
        found += _idmap_conflicts(self.entries("lxc.idmap"))
        for index, network in self._networks.items():
            found += _network_conflicts(f"lxc.net.{index}.", network)
        return tuple(found)

    def unsupported(self) -> tuple[ConfigError, ...]:
        """What is in force but not supported, so that a start without it would not be what was asked for.

        A config from `read` or `from_text` has none.
        """
        found = []
        for name, entries in self._entries.items():
            key = GROUPS.get(name) or KEYS[name]
            for entry in entries:
                if why := key.refusal(entry.value[1] if key.group else entry.value):
                    full = f"{name}.{entry.value[0]}" if key.group else name
                    found.append(ConfigError(f"{full}: {why}", entry.where))
        for index, network in self._networks.items():
            # The type first: that it is not supported says more than that its keys are not.
            for name in sorted(network.names(), key=lambda name: name != "type"):
                for entry in network.entries(name):
                    if why := NETWORK[name].refusal(entry.value):
                        found.append(ConfigError(f"lxc.net.{index}.{name}: {why}", entry.where))
        return tuple(found)


def _open_included(name: str) -> int:
    """Open a file or folder to include. What would be waited for is refused: nobody is there to write to it."""
    file = posix.open(name, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC)
    if is_fifo(posix.fstat(file)):
        posix.close(file)
        raise Invalid(f"{quoted(name)}: is a pipe")
    return file


def _idmap_conflicts(entries: tuple[Entry, ...]) -> Iterator[ConfigError]:
    for kind in ("u", "g"):
        ranges = [entry for entry in entries if entry.value.kind == kind]
        if entries and not ranges:
            yield ConfigError(f"lxc.idmap: there is no line for '{kind}'", entries[-1].where)
        if len(ranges) > MOST_RANGES:
            yield ConfigError(f"lxc.idmap: the kernel takes {MOST_RANGES} lines at most", entries[-1].where)
            return
        for position, entry in enumerate(ranges):
            for earlier in ranges[:position]:
                if _overlap(entry.value, earlier.value):
                    yield ConfigError(f"lxc.idmap: overlaps the range at {earlier.where}", entry.where)


def _overlap(one: IdMap, other: IdMap) -> bool:
    return any(
        first < second + other.count and second < first + one.count
        for first, second in ((one.inside, other.inside), (one.outside, other.outside))
    )


def _network_conflicts(prefix: str, network: Network) -> Iterator[ConfigError]:
    kind = network.get("type")
    if kind is None:
        name = network.names()[0]
        yield ConfigError(
            f"{prefix}{name}: the interface has no type", network.where(name), f"set {prefix}type"
        )
        return
    for name in network.names():
        needed = NETWORK[name].net_type
        if needed and needed != kind:
            what = f"{prefix}{name}: is for type '{needed}', but {prefix}type is '{kind}'"
            yield ConfigError(f"{what} ({network.where('type')})", network.where(name))


class _Reader:
    """Reads lines and keeps what is in force."""

    __slots__ = (
        "entries",
        "networks",
        "notes",
        "errors",
        "collect",
        "open_files",
        "files",
        "last_network",
        "renamed",
    )

    def __init__(self, collect: bool) -> None:
        self.entries: dict[str, list[Entry]] = {}
        self.networks: dict[int, dict[str, list[Entry]]] = {}
        self.notes: list[Note] = []
        self.errors: list[ConfigError] = []
        self.collect = collect
        self.open_files: list[tuple[int, int, str]] = []  # device, inode and name, to see a cycle
        self.files = 0
        self.last_network: int | None = None  # that lxc.network.KEY without a number means
        self.renamed: list[tuple[str, str, str]] = []  # where, old name, today's

    def fail(self, error: ConfigError) -> None:
        """Ends the reading with `error`, or notes it where all errors are wanted."""
        if not self.collect:
            raise error
        self.errors.append(error)

    def warn(self, where: str, text: str) -> None:
        """Notes something doubtful."""
        self.notes.append(Note(WARN, where, text))

    def finish(self, source: str, defines: Sequence[str]) -> Config:
        """The config, with the definitions of the command line; judged as a whole."""
        for define in defines:
            self.define(define)
        config = Config(source, self.entries, self.networks, tuple(self.notes))
        for error in config.conflicts():
            self.fail(error)
        for error in config.unsupported():
            self.fail(error)
        return config

    # Files

    def main_file(self, name: str) -> None:
        """Reads the config itself."""
        try:
            file = posix.open(name, posix.O_RDONLY | posix.O_CLOEXEC)
        except (OSError, ValueError) as error:
            self.fail(ConfigError(_reason(error), name))
            return
        try:
            if is_directory(posix.fstat(file)):
                self.fail(ConfigError("is a folder, not a config", name))
            else:
                self.file(file, name)
        finally:
            posix.close(file)

    def include(self, text: str) -> None:
        """Reads the file or the folder of an lxc.include."""
        name = path(text)
        try:
            file = _open_included(name)
        except FileNotFoundError as error:
            if name.endswith("/"):
                return
            hint = None if name.startswith("/") else f"a relative path starts at {_here()}"
            raise Invalid(f"{quoted(name)}: {_reason(error)}", hint) from None
        except (OSError, ValueError) as error:
            raise Invalid(f"{quoted(name)}: {_reason(error)}") from None
        try:
            if not is_directory(posix.fstat(file)):
                self.file(file, name)
                return
            for member in sorted(posix.listdir(file), key=encode):
                # ".conf" alone is a hidden file without a name, not a config.
                if member.endswith(".conf") and len(member) > len(".conf"):
                    self.folder_member(f"{name.removesuffix('/')}/{member}")
        finally:
            posix.close(file)

    def folder_member(self, name: str) -> None:
        """Reads a file of a folder that is included; folders in it are left out."""
        try:
            file = _open_included(name)
        except OSError as error:
            raise Invalid(f"{quoted(name)}: {_reason(error)}") from None
        try:
            if not is_directory(posix.fstat(file)):
                self.file(file, name)
        finally:
            posix.close(file)

    def file(self, file: int, name: str) -> None:
        """Reads the lines of an open file."""
        status = posix.fstat(file)
        for depth, (device, inode, _) in enumerate(self.open_files):
            if (device, inode) == (status.st_dev, status.st_ino):
                cycle = " -> ".join([*(known for _, _, known in self.open_files[depth:]), name])
                raise Invalid(f"the files include each other: {cycle}")
        if len(self.open_files) > DEEPEST_INCLUDE:
            raise Invalid(f"files are included more than {DEEPEST_INCLUDE} deep")
        self.files += 1
        if self.files > MOST_FILES:
            raise Invalid(f"more than {MOST_FILES} files are included")
        data = b""
        try:
            # In pieces: to set aside room for the largest config would cost more than to read a usual one.
            while len(data) <= MOST_BYTES and (chunk := posix.read(file, 2**15)):
                data += chunk
        except OSError as error:
            self.fail(ConfigError(f"cannot be read: {_reason(error)}", name))
            return
        self.open_files.append((status.st_dev, status.st_ino, name))
        self.text(data, name)
        self.open_files.pop()

    def text(self, data: bytes, name: str) -> None:
        """Reads the lines of a file with this content."""
        if len(data) > MOST_BYTES:
            self.fail(ConfigError(f"is larger than {MOST_BYTES >> 20} MiB, so no config", name))
            return
        if data.startswith(b"\xef\xbb\xbf"):
            self.fail(ConfigError("a byte order mark, which would make LXC ignore the line", f"{name}:1"))
            data = data[3:]
        # LF, CR and CRLF end a line, as LXC has it; str.splitlines would split at others too. The file
        # system's encoding, so that what becomes a path or an argument again has the same bytes.
        lines = decode(data).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for number, line in enumerate(lines, 1):
            if "\0" in line:
                self.fail(
                    ConfigError("a NUL byte, after which LXC would ignore the rest", f"{name}:{number}")
                )
                return
            stripped = line.strip(" \t")
            if stripped and stripped[0] != "#":
                self.line(stripped, f"{name}:{number}")

    # Lines

    def line(self, line: str, where: str) -> None:
        """Takes a line that is not empty, without blanks around it."""
        if not line.startswith(_PREFIXES):
            unseen = {c for c in line if not c.isascii() and (c.isspace() or not c.isprintable())}
            visible = line.lstrip("".join(unseen))
            if visible != line and visible.startswith(_PREFIXES):
                self.fail(
                    ConfigError(f"something that cannot be seen stands before the key: {line[:20]!a}", where)
                )
            elif line.lower().startswith(_PREFIXES):
                self.fail(ConfigError(f"keys are written in lower case, not {quoted(line)}", where))
            elif line.strip("\f \t"):
                self.warn(where, f"ignored, because it does not begin with 'lxc.': {quoted(line)}")
            return
        name, equals, value = line.partition("=")
        if not equals:
            self.fail(ConfigError(f"expected KEY = VALUE, not {quoted(line)}", where))
            return
        name = name.rstrip(" \t")
        value = value.lstrip(" \t")
        if value.endswith("\\"):
            self.warn(where, f"{name}: the backslash is a part of the value, the line does not go on")
        if len(value) > 1 and value[0] in "'\"" and value[-1] == value[0]:
            value = value[1:-1]
        if "#" in value and (" #" in value or "\t#" in value):
            self.warn(where, f"{name}: the '#' is a part of the value, it begins no comment")
        try:
            self.assign(name, value, where)
        except Invalid as error:
            self.fail(ConfigError(f"{name}: {error.what}", where, error.hint))

    def define(self, text: str) -> None:
        """Takes a KEY=VALUE of the command line."""
        line = text.strip(" \t\n")
        where = f"-s {text}"
        if not line.startswith(_PREFIXES) or "=" not in line:
            self.fail(ConfigError("expected lxc.KEY=VALUE", where))
            return
        self.line(line, where)

    def assign(self, name: str, value: str, where: str) -> None:
        """Takes a key and its value without the quotes."""
        key = KEYS.get(name)
        if key is not None:
            if name == "lxc.include":
                if value:
                    self.include(value)
            elif name == "lxc.net" and not value:
                self.networks.clear()
                self.last_network = None
            else:
                _put(self.entries, name, key, value, where)
        elif name.startswith("lxc.net."):
            self.network(name[8:], value, where)
        else:
            parts = name.split(".", 3)
            for depth in (2, 3):
                group = ".".join(parts[:depth])
                if group in GROUPS:
                    self.member(GROUPS[group], name[len(group) :], value, where)
                    return
            self.old(name, value, where)

    def member(self, key: Key, suffix: str, value: str, where: str) -> None:
        """Takes a key that matches by prefix; `suffix` is the rest of the name, with its dot."""
        entries = self.entries.get(key.group, [])
        if not suffix:
            if value:
                raise Invalid(f"takes only an empty value, which clears; a name is missing ({key.name})")
            entries = []
        else:
            assert key.member is not None
            name = key.member(suffix[1:])
            if not value:
                entries = [entry for entry in entries if entry.value[0] != name]
            else:
                entry = Entry((name, key.parse(value)), where, value)
                known = [old.value[0] for old in entries]
                if key.many or name not in known:
                    entries.append(entry)
                else:
                    entries[known.index(name)] = entry
        if entries:
            self.entries[key.group] = entries
        else:
            self.entries.pop(key.group, None)

    def network(self, name: str, value: str, where: str) -> None:
        """Takes a key of an interface; `name` is what follows `lxc.net.`."""
        number, dot, subkey = name.partition(".")
        if not (number.isascii() and number.isdecimal() and len(number) < 10):
            raise Invalid("the number of the interface is missing", "as in lxc.net.0.type")
        index = int(number)
        if not dot:
            if value:
                raise Invalid("takes only an empty value, which takes the interface back")
            self.networks.pop(index, None)
            return
        key = NETWORK.get(subkey)
        if key is None:
            raise Invalid("unknown key", suggestion(subkey, NETWORK))
        entries = self.networks.get(index, {})
        if subkey == "type" and value and "type" in entries:
            entries = {}  # as in LXC: another type is another interface
        _put(entries, subkey, key, value, where)
        if entries:
            self.networks[index] = entries
        else:
            self.networks.pop(index, None)

    def old(self, name: str, value: str, where: str) -> None:
        """Takes a key of before LXC 3.0, or says that nobody knows it."""
        from minilxc.config import legacy

        new = self.old_network(name, value) if name.startswith("lxc.network.") else legacy.new_name(name)
        if new is None:
            raise Invalid("unknown key", suggestion(name, [key.name for key in TABLE]))
        self.notes.append(Note(NOTICE, where, f"{name} is an old name of {new}"))
        self.renamed.append((where, name, new))
        self.assign(new, value, where)

    def old_network(self, name: str, value: str) -> str:
        """Today's name of an lxc.network.KEY or lxc.network.I.KEY."""
        from minilxc.config import legacy

        first, dot, rest = name[len("lxc.network.") :].partition(".")
        if first.isascii() and first.isdecimal():
            return f"lxc.net.{first}.{legacy.network_subkey(rest)}" if dot else f"lxc.net.{first}"
        if name == "lxc.network.type":
            if not value:
                return "lxc.net"
            self.last_network = max(self.networks, default=-1) + 1
        elif self.last_network is None:
            raise Invalid("stands before any lxc.network.type")
        subkey = legacy.network_subkey(name[len("lxc.network.") :])
        if subkey not in NETWORK:
            raise Invalid("unknown key", suggestion(subkey, NETWORK))
        return f"lxc.net.{self.last_network}.{subkey}"


def _put(entries: dict[str, list[Entry]], name: str, key: Key, value: str, where: str) -> None:
    """Takes a value for a key, or what an empty one means."""
    if not value:
        if key.empty is None:
            for cleared in key.clears or (name,):
                entries.pop(cleared, None)
            return
        if key.empty == NO_VALUE:
            raise Invalid("needs a value")
        value = key.empty
    entry = Entry(key.parse(value), where, value)
    if key.many:
        entries.setdefault(name, []).append(entry)
    else:
        entries.pop(name, None)  # so that the order of names is that of the lines in force
        entries[name] = [entry]


def _here() -> str:
    try:
        return quoted(posix.getcwd())
    except OSError:
        return "a current directory that is gone"


def _reason(error: OSError | ValueError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
