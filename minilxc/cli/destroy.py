"""minilxc destroy: remove a container."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from minilxc.cli import options
from minilxc.container import Container
from minilxc.errors import MinilxcError, UsageError
from minilxc.launch import lock
from minilxc.launch.lock import check_name
from minilxc.store.destroy import destroy
from minilxc.store.report import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

FORCE = options.Option("f", "force", "", "stop the container first if it runs")
COMMAND = options.Command(
    "destroy", "remove a container", (options.NAME, options.PATH, FORCE), named=True, common=options.TELLING
)


def run(words: Sequence[str]) -> int:
    """Remove a container."""
    given = options.read(COMMAND, words)
    if options.show_about(COMMAND, given):
        return 0
    try:
        name = given.get(options.NAME)
        if name is None:
            raise UsageError("no container is named (-n NAME)", hint=COMMAND.usage())
        check_name(name)
        lxcpath = os.path.abspath(given.get(options.PATH) or lock.default_path())
        if FORCE in given and lock.holder(lxcpath, name):
            Container(name, lxcpath).stop(kill=True)
        destroy(lxcpath, name, Report(name, verbose=options.VERBOSE in given, quiet=options.QUIET in given))
    except MinilxcError as error:
        if options.QUIET in given:
            return error.status
        raise
    return 0
