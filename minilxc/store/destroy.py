"""Removing a container: its folder with all that is in it, and nothing else."""

from __future__ import annotations

import os
from contextlib import suppress

from minilxc.config.parse import Config
from minilxc.errors import MinilxcError, Refused
from minilxc.launch.removal import is_needed, lies_in
from minilxc.store import folder, hooks, interrupts
from minilxc.store.names import find, locked
from minilxc.store.report import Report


def destroy(lxcpath: str, name: str, report: Report) -> None:
    """Remove the container. Raises MinilxcError; then it is still there."""
    try:
        with interrupts.kept() as signals:
            _destroy(lxcpath, name, report, signals)
    except OSError as error:
        raise MinilxcError(folder.reason(error), name) from None


def _destroy(lxcpath: str, name: str, report: Report, signals: int) -> None:
    with locked(lxcpath, name, "is running"):
        with suppress(FileNotFoundError):  # there are no containers at all
            folder.sweep(lxcpath, name, report.log)
        path = find(lxcpath, name)
        config = Config.read(f"{path}/config")
        _refuse(path, name, config)
        value = config.get("lxc.rootfs.path")
        hooks.run("destroy", config, name, signals, report.log, rootfs=value and value[1])
        interrupts.check(signals, name)
        folder.refuse_mounts(path, name)
        report.progress(f"removing {path}")
        try:
            folder.remove(lxcpath, name, name)
        finally:
            report.clear()


def _refuse(path: str, name: str, config: Config) -> None:
    """Raise what speaks against removing the folder `path`, and all of it."""
    refuse_needed(path, name)
    value = config.get("lxc.rootfs.path")
    if value is None:
        return
    where = config.where("lxc.rootfs.path")
    # Of an overlay the upper layer is the container's own.
    rootfs = value[1].rpartition(":")[2] if value[0] == "overlay" else value[1]
    inside, managed = lies_in(rootfs, os.path.realpath(path)), config.get("lxc.rootfs.managed")
    if managed and not inside:
        what = f"the root file system '{rootfs}' is not in '{path}', and only that is removed"
        raise Refused(what, where, "lxc.rootfs.managed = 0 keeps it")
    if inside and not managed:
        what = "the root file system is in the container's folder, and lxc.rootfs.managed = 0 keeps it"
        raise Refused(what, config.where("lxc.rootfs.managed"))


def refuse_needed(path: str, name: str) -> None:
    """Raise Refused when there are containers that this one needs to know of, or that need it."""
    if is_needed(path):
        raise Refused(f"there are copies and snapshots that need '{path}'", name)
    if os.path.lexists(f"{path}/lxc_rdepends"):
        raise Refused(
            "is a snapshot that LXC has made, and its original counts those", name, "lxc-destroy does"
        )
