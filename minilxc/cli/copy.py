"""minilxc copy, minilxc rename: a container once more, or under another name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from minilxc.cli import common, options
from minilxc.errors import MinilxcError, UsageError
from minilxc.launch import lock
from minilxc.launch.lock import check_name
from minilxc.store import copying
from minilxc.store.report import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

NEW_NAME = options.Option("N", "newname", "NEWNAME", "name of the new container, or the container's new one")
NEW_PATH = options.Option(
    "p", "newpath", "NEWPATH", "where the copy is to be (default: where the original is)"
)
RENAME = options.Option("R", "rename", "", "rename the container, and copy nothing")
KEEP_NAME = options.Option("K", "keepname", "", "leave the host name as it is")
KEEP_MAC = options.Option("M", "keepmac", "", "leave the hardware addresses as they are")
COPY = options.Command(
    "copy",
    "copy a container",
    (options.NAME, NEW_NAME, options.PATH, NEW_PATH, RENAME, KEEP_NAME, KEEP_MAC, options.BACKING),
    words="-n NAME -N NEWNAME [-- HOOK-ARGUMENT...]",
    common=options.TELLING,
)
RENAMING = options.Command(
    "rename",
    "give a container another name",
    (options.NAME, NEW_NAME, options.PATH, KEEP_NAME),
    words="-n NAME -N NEWNAME",
    common=options.TELLING,
)


def run(words: Sequence[str]) -> int:
    """Copy a container, or rename it."""
    return _run(COPY, words)


def rename(words: Sequence[str]) -> int:
    """Rename a container."""
    return _run(RENAMING, words)


def _run(command: options.Command, words: Sequence[str]) -> int:
    # What follows the first -- is for clone hooks.
    at = words.index("--") if "--" in words else len(words)
    given = options.read(command, words[:at])
    if options.show_about(command, given):
        return 0
    try:
        _act(command, given, tuple(words[at + 1 :]))
    except MinilxcError as error:
        if options.QUIET in given:
            return error.status
        raise
    return 0


def _act(command: options.Command, given: options.Given, arguments: tuple[str, ...]) -> None:
    renames = command is RENAMING or RENAME in given
    name, new_path = given.get(options.NAME), given.get(NEW_PATH)
    common.check_backing(given)
    new_name = given.get(NEW_NAME) or (name if new_path is not None else None)
    if name is None or new_name is None:
        what = "no container is named (-n NAME)" if name is None else "there is no new name (-N NEWNAME)"
        raise UsageError(what, hint=command.usage())
    if renames and new_path is not None:
        raise UsageError("a container is renamed where it is, without -p", hint=command.usage())
    unexpected = [*given.words, *(arguments if renames else ())]
    if unexpected:
        raise UsageError(f"unexpected word '{unexpected[0]}'", hint=command.usage())
    lxcpath = os.path.abspath(given.get(options.PATH) or lock.default_path())
    request = copying.Request(
        check_name(name),
        lxcpath,
        check_name(new_name),
        os.path.abspath(new_path) if new_path is not None else lxcpath,
        keep_name=KEEP_NAME in given,
        keep_addresses=renames or KEEP_MAC in given,
        arguments=arguments,
    )
    report = Report(name, verbose=options.VERBOSE in given, quiet=options.QUIET in given)
    (copying.rename if renames else copying.copy)(request, report)
