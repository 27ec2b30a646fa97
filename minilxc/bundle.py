"""One file with the compiled modules of a start, so that importing them costs half as much.

A start imports some forty small modules, and finding, opening and reading each .pyc file takes longer
than running most of them. So the entry script asks here first: the bundle holds the code objects of
all of them, lies in the same __pycache__ folder, and is trusted just as far. A module whose
source has changed since (size or time, as for a .pyc) is imported in the usual way, and at the end of
the command the bundle is written anew. Without a bundle, or where it cannot be written, everything
works as ever.

    magic number of this Python's bytecode | length of the index | index | code objects

The index is a marshalled dictionary: module to (file, size, time in ns, is a package, offset, length).
An extension module has length 0: what the bundle spares is the search for its file.
"""

import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

    Stamp = tuple[str, int, int, bool]
    Index = dict[str, tuple[str, int, int, bool, int, int]]

_FOLDER = __file__.rpartition("/")[0] + "/__pycache__"
_PATH = f"{_FOLDER}/bundle.{sys.implementation.cache_tag}"
_HEAD = 4 + 8  # bytes: the magic number and the length of the index
# What importlib.machinery and importlib.util offer, without importing them.
_machinery = sys.modules["_frozen_importlib_external"]
_MAGIC: bytes = _machinery.MAGIC_NUMBER
_new_spec: "Callable[..., ModuleSpec]" = sys.modules["_frozen_importlib"].ModuleSpec


class Bundle:
    """Finds and runs the modules that the bundle has. An entry of sys.meta_path, and the modules' loader."""

    __slots__ = ("_descriptor", "_start", "index", "missed")

    def __init__(self, index: "Index", descriptor: int, start: int) -> None:
        self.index = index
        self._descriptor = descriptor
        self._start = start
        self.missed = False  # whether minilxc wanted a module that is not there as it is now

    def find_spec(self, name: str, *_where: object) -> "ModuleSpec | None":
        """The spec of a module whose file is as it was; None for any other."""
        found = self.index.get(name)
        if found is not None:
            file, size, time_ns, package, _, length = found
            try:
                status = posix.stat(file)
            except OSError:
                pass
            else:
                if status.st_size == size and status.st_mtime_ns == time_ns:
                    loader = self if length else _machinery.ExtensionFileLoader(name, file)
                    spec = _new_spec(name, loader, origin=file, is_package=package)
                    if package:
                        spec.submodule_search_locations = [file.rpartition("/")[0]]
                    spec.has_location = True
                    return spec
        if name.startswith("minilxc"):
            self.missed = True
            self.index.pop(name, None)
        return None

    def create_module(self, spec: "ModuleSpec") -> None:
        """The usual kind of module. importlib.abc.Loader."""

    def exec_module(self, module: "ModuleType") -> None:
        """Run the module's code in it. importlib.abc.Loader."""
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102  what importing is

    def get_code(self, name: str) -> "CodeType":
        """The code object of a module in the bundle. importlib.abc.InspectLoader."""
        code: CodeType = marshal.loads(self.code_bytes(name))
        return code

    def code_bytes(self, name: str) -> bytes:
        """The marshalled code object of a module in the bundle."""
        # Piece by piece: a page of memory that is touched first costs more than a read.
        offset, length = self.index[name][4:]
        return posix.pread(self._descriptor, length, self._start + offset)


def install() -> Bundle:
    """Put the bundle in front of the usual finders, empty where there is none that fits."""
    bundle = Bundle(*_read())
    sys.meta_path.insert(0, bundle)
    return bundle


def _read() -> "tuple[Index, int, int]":
    """The index, a descriptor of the file, and where the code objects begin in it."""
    nothing: tuple[Index, int, int] = ({}, -1, 0)
    try:
        descriptor = posix.open(_PATH, posix.O_RDONLY | posix.O_CLOEXEC)
        head = posix.read(descriptor, _HEAD)
        if head[:4] != _MAGIC:
            return nothing
        raw = posix.read(descriptor, int.from_bytes(head[4:], "little"))
        return marshal.loads(raw), descriptor, _HEAD + len(raw)
    except (OSError, EOFError, TypeError, ValueError):
        return nothing


def save(bundle: Bundle) -> None:
    """Write the bundle anew, with what is imported now, when something was missing. Never raises OSError."""
    if not bundle.missed or not posix.access(_FOLDER, posix.W_OK):
        return
    # What other commands have put there stays, or two of them would write in turn for ever.
    entries: dict[str, tuple[Stamp, bytes]] = {
        name: (entry[:4], bundle.code_bytes(name)) for name, entry in bundle.index.items()
    }
    entries.update(_imported())
    index: Index = {}
    offset = 0
    for name, (stamp, raw) in entries.items():
        index[name] = (*stamp, offset, len(raw))
        offset += len(raw)
    head = marshal.dumps(index)
    codes = [raw for _, raw in entries.values()]
    temporary = f"{_PATH}.{posix.getpid()}"
    try:
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
        with open(posix.open(temporary, flags, 0o644), "wb") as file:
            file.writelines((_MAGIC, len(head).to_bytes(8, "little"), head, *codes))
        posix.rename(temporary, _PATH)
    except OSError:
        try:
            posix.unlink(temporary)
        except OSError:
            pass


def _imported() -> "Iterator[tuple[str, tuple[Stamp, bytes]]]":
    """What is imported now from files: (name, (stamp, marshalled code))."""
    for name, module in sorted(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        file = getattr(spec, "origin", None)
        if spec is None or not file or not file.startswith("/"):
            continue
        raw = b""
        if file.endswith(".py"):
            with open(file, "rb") as source:
                # Without docstrings and assertions: nobody looks at them here, and they take memory.
                raw = marshal.dumps(compile(source.read(), file, "exec", dont_inherit=True, optimize=2))
        elif not file.endswith(".so"):
            continue
        status = posix.stat(file)
        yield (
            name,
            ((file, status.st_size, status.st_mtime_ns, spec.submodule_search_locations is not None), raw),
        )
