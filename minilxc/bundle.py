"""The modules of a start, compiled, in one file: loading them takes half the time that importing takes.

A start needs some forty small modules, and finding, opening, reading and registering each of them
takes longer than running most. So the entry script loads a file with the code objects of all of them,
in an order in which each finds those that it imports. The file lies in __pycache__ beside the .pyc
files and is trusted just as far. If one source has changed since (size or time, as for a .pyc), or if
there is no such file, the modules are imported in the usual way, and a new file is written at the end.

    magic number of this Python's bytecode, "bndl" | length of the index | index | code objects

The index is a marshalled tuple of (name, file, size, time in ns, is a package, length of the code), in
the order of the code objects; an extension module has none.
"""

import _signal
import gc
import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import NoReturn

    Index = tuple[tuple[str, str, int, int, bool, int], ...]

# What a start may need, whatever its config says; with all that these import.
STARTS = (
    "minilxc.cli.start",
    "minilxc.config.parse",
    "minilxc.launch.plan",
    "minilxc.launch.terminal",
    "minilxc.monitor.background",
    "minilxc.monitor.planning",
    "minilxc.seccomp.loader",
    "minilxc.seccomp.prepare",
)

_PACKAGE = __file__.rpartition("/")[0]
_FOLDER = f"{_PACKAGE}/__pycache__"
_HEAD = 8 + 4  # bytes: the magic number with "bndl", and the length of the index
_SEEK_CUR = 1
_PATH = f"{_FOLDER}/start.{sys.implementation.cache_tag}.bundle"
# What importlib.machinery and importlib.util offer, without importing them.
_machinery = sys.modules["_frozen_importlib_external"]
_MAGIC: bytes = _machinery.MAGIC_NUMBER + b"bndl"
_new_spec: "Callable[..., ModuleSpec]" = sys.modules["_frozen_importlib"].ModuleSpec


def run(places: "list[str]") -> "NoReturn":
    """Be the program minilxc: what an entry script calls.

    `places` are the folders that it has put in front of sys.path to find this module. They go to the
    end: nothing that lies there shall hide a module of Python's own.
    """
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        # Nothing is there yet that an end could leave behind; Python's own handler would print a traceback.
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    del sys.path[: len(places)]
    sys.path.extend(places)
    gc.disable()  # a start makes little garbage, and looking for it takes a millisecond
    loaded = load()
    from minilxc.cli import main

    main(finish=None if loaded else rebuild)


def load() -> bool:
    """Load the modules of a start from their file; whether it was there and right."""
    try:
        descriptor = posix.open(_PATH, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return False
    try:
        index = _index(descriptor)
        before = set(sys.modules)
        for name, file, _, _, package, length in index:
            # One after the other: the memory of one serves the next, and new memory costs more than a read.
            raw = posix.read(descriptor, length)
            if name not in sys.modules:
                _load_module(name, file, package, raw)
    except (EOFError, MemoryError, TypeError, ValueError):  # damaged
        for name in set(sys.modules) - before:
            del sys.modules[name]
        return False
    finally:
        posix.close(descriptor)
    return bool(index)


def _index(descriptor: int) -> "Index":
    """The index of the file; empty when it is damaged, or a source is not as it was."""
    try:
        head = posix.read(descriptor, _HEAD)
        size_of_index = int.from_bytes(head[8:], "little")
        if head[:8] != _MAGIC or size_of_index > posix.fstat(descriptor).st_size:
            return ()
        index: Index = marshal.loads(posix.read(descriptor, size_of_index))
        # A copy of the package must not run the modules of the place that it was copied from.
        if index[0][:2] != ("minilxc", f"{_PACKAGE}/__init__.py"):
            return ()
        for _, file, size, time_ns, _, _ in index:
            status = posix.stat(file)
            if status.st_size != size or status.st_mtime_ns != time_ns:
                return ()
        if posix.fstat(descriptor).st_size != posix.lseek(descriptor, 0, _SEEK_CUR) + sum(
            entry[5] for entry in index
        ):
            return ()
    except (OSError, EOFError, IndexError, MemoryError, TypeError, ValueError):
        return ()
    return index


def _load_module(name: str, file: str, package: bool, raw: bytes) -> None:
    """Make a module and run its code, as the import system does."""
    spec = _new_spec(name, None, origin=file, is_package=package)
    if raw:
        module = _new_module(name, file, spec, package)
        sys.modules[name] = module
        exec(marshal.loads(raw), module.__dict__)  # noqa: S102  what importing is
    else:
        import _imp

        module = _imp.create_dynamic(spec)
        sys.modules[name] = module
        _imp.exec_dynamic(module)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


def _new_module(name: str, file: str, spec: "ModuleSpec", package: bool) -> "ModuleType":
    """A module with the attributes that the import system gives one. types.ModuleType."""
    module = type(sys)(name)
    module.__file__ = file
    module.__spec__ = spec
    module.__package__ = name if package else name.rpartition(".")[0]
    if package:
        module.__path__ = [file.rpartition("/")[0]]
        spec.submodule_search_locations = list(module.__path__)
    return module


def rebuild() -> None:
    """Write the file anew, in a fresh interpreter, which has imported nothing else. Never raises OSError."""
    if not posix.access(_FOLDER, posix.W_OK):
        return
    program = f"import sys; sys.path[:0] = {sys.path!r}; from minilxc import bundle; bundle.build()"
    try:
        child = posix.posix_spawn(sys.executable, [sys.executable, "-ISXutf8", "-c", program], posix.environ)
        posix.waitpid(child, 0)
    except OSError:
        pass


def build() -> None:
    """Import what a start needs, and write what was imported for it. Never raises OSError."""
    recorder = _Recorder()
    sys.meta_path.insert(0, recorder)
    for name in STARTS:
        __import__(name)
    sys.meta_path.remove(recorder)
    modules = [_compiled(name) for name in recorder.finished]
    index = marshal.dumps(tuple((*stamp, len(code)) for stamp, code in modules))
    head = _MAGIC + len(index).to_bytes(_HEAD - len(_MAGIC), "little")
    temporary = f"{_PATH}.{posix.getpid()}"
    try:
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
        with open(posix.open(temporary, flags, 0o644), "wb") as file:
            file.writelines((head, index, *(code for _, code in modules)))
        posix.rename(temporary, _PATH)
    except OSError:
        try:
            posix.unlink(temporary)
        except OSError:
            pass


def _compiled(name: str) -> tuple[tuple[str, str, int, int, bool], bytes]:
    """What the file has of a module that is imported: its stamp, its code."""
    spec = sys.modules[name].__spec__
    assert spec is not None
    assert spec.origin is not None
    code = b""
    if spec.origin.endswith(".py"):
        with open(spec.origin, "rb") as source:
            # Without docstrings and assertions: nobody looks at them here, and they take memory.
            code = marshal.dumps(compile(source.read(), spec.origin, "exec", dont_inherit=True, optimize=2))
    status = posix.stat(spec.origin)
    package = spec.submodule_search_locations is not None
    return (name, spec.origin, status.st_size, status.st_mtime_ns, package), code


class _Recorder:
    """Notes the order in which modules are finished. An entry of sys.meta_path."""

    def __init__(self) -> None:
        # Imported before this could look on, and the first that all others need.
        self.finished = ["minilxc"]

    def find_spec(self, name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        """What the usual finder finds, with a note at the end of the module's execution."""
        spec: ModuleSpec | None = _machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: "ModuleType") -> None:
                run(module)
                self.finished.append(name)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
