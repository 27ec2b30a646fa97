"""Containers by name: whether there is one, and being alone with it."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from minilxc.errors import MinilxcError
from minilxc.launch import lock

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def locked(lxcpath: str, name: str, otherwise: str) -> Iterator[None]:
    """Be the only one who runs, makes or removes the container; `otherwise` is what to say when somebody does.

    Raises MinilxcError. While one is held no other name's lock may be given back: the kernel drops all that this
    process holds when it closes any of their descriptors.
    """
    try:
        descriptor = lock.take(lxcpath, name)
    except lock.Running as error:
        raise MinilxcError(otherwise + error.what.removeprefix("is running already"), name) from None
    try:
        yield
    finally:
        os.close(descriptor)


def find(lxcpath: str, name: str) -> str:
    """The folder of a container that exists. Raises MinilxcError."""
    path = f"{lxcpath.rstrip('/')}/{name}"
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise MinilxcError(f"'{path}' is no folder, and what a link leads to is not touched", name)
    except FileNotFoundError:
        raise MinilxcError("there is no such container", name, f"no '{path}'") from None
    if not os.path.lexists(f"{path}/config"):
        raise MinilxcError(f"'{path}' is no container's: it has no config", name)
    return path


def refuse_taken(lxcpath: str, name: str) -> None:
    """Raise MinilxcError when there is something of this name."""
    path = f"{lxcpath.rstrip('/')}/{name}"
    if os.path.lexists(path):
        raise MinilxcError(f"'{path}' exists already", name)
