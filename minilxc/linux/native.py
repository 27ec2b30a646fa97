"""C functions and values, through `_ctypes`, the extension that the package `ctypes` wraps.

The wrapper takes 1.5 ms to import (a start has 8 for everything, see benchmarks/start), for types
that are not needed here. What is, is declared below in the wrapper's own way.
"""

from __future__ import annotations

import _ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    _Number = _ctypes._SimpleCData[int]
    _Address = _ctypes._SimpleCData[int | None]
    _Text = _ctypes._SimpleCData[bytes | None]
else:
    _Number = _Address = _Text = _ctypes._SimpleCData

addressof = _ctypes.addressof
get_errno = _ctypes.get_errno
set_errno = _ctypes.set_errno


class c_int(_Number):
    """int."""

    _type_ = "i"


class c_long(_Number):
    """long, a word of the machine."""

    _type_ = "l"


class c_void_p(_Address):
    """void *; as an argument it takes an address, bytes, an object of C, or None."""

    _type_ = "P"


class c_char_p(_Text):
    """char *: the bytes up to the first NUL."""

    _type_ = "z"


class c_uint64(_Number):
    """uint64_t."""

    _type_ = "Q"


class _Function(_ctypes.CFuncPtr):
    """A function of libc that returns int and sets errno; Python's other threads run meanwhile."""

    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = c_int


class _HeldFunction(_ctypes.CFuncPtr):
    """As `_Function`, with the interpreter's lock held: nothing happens but the call itself."""

    _flags_ = _ctypes.FUNCFLAG_PYTHONAPI | _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = c_int


# libc and the interpreter itself; RTLD_NOW | RTLD_GLOBAL, dlopen(3)
_PROGRAM = _ctypes.dlopen(None, 0x102)  # type: ignore[arg-type]


def function(name: str, *arguments: Any, result: Any = c_int, held: bool = False) -> Callable[..., int]:
    """The C function `name` with the types of its `arguments` and of its `result`.

    `held`: the interpreter's lock is not given up during the call. Raises OSError when there is none.
    """
    found = (_HeldFunction if held else _Function)(_ctypes.dlsym(_PROGRAM, name))
    found.argtypes = arguments
    found.restype = result
    return found


def words(*values: int) -> _ctypes.Array[c_uint64]:
    """An array of uint64_t, which most structures of the kernel's newer calls are."""
    return (c_uint64 * len(values))(*values)


def string_array(strings: Sequence[bytes]) -> _ctypes.Array[c_char_p]:
    """A NULL-terminated array of strings, as execve(2) takes."""
    return (c_char_p * (len(strings) + 1))(*strings, None)


def bytes_address(data: bytes) -> int:
    """Where the bytes of `data` lie in memory, for as long as somebody holds it."""
    address = c_void_p.from_buffer(c_char_p(data)).value
    assert address is not None
    return address
