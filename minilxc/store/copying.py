"""Copying and renaming a container: the folder, and what its config says of the folder and of the name."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from minilxc.config.moving import Move, is_own, left_behind, rewrite, rewrite_paths
from minilxc.config.parse import Config
from minilxc.config.writing import line
from minilxc.errors import ConfigError, MinilxcError, Refused
from minilxc.launch.removal import lies_in
from minilxc.linux.files import decode, encode
from minilxc.linux.rename import exchange, rename_to_free
from minilxc.store import folder, hooks, ids, inside, interrupts
from minilxc.store.destroy import refuse_needed
from minilxc.store.names import find, locked, refuse_taken
from minilxc.store.tools import Tools
from minilxc.store.tools import find as find_tool

if TYPE_CHECKING:
    from minilxc.launch.idmap import IdMaps
    from minilxc.store.report import Report

_CONFIG = "config"
_NOT_COPIED = {_CONFIG, "snaps", "lxc_snapshots", "lxc_rdepends", "partial"}
"""What is in a container's folder and belongs to the one container alone; the config is written anew."""
_MODES = 0o7777


class Request(NamedTuple):
    """The container `name` of `lxcpath` is to be there as `new_name` in `new_path`.

    `arguments` are for clone hooks.
    """

    name: str
    lxcpath: str
    new_name: str
    new_path: str
    keep_name: bool = False
    keep_addresses: bool = False
    arguments: tuple[str, ...] = ()


class _Original(NamedTuple):
    """A container as it is: its folder, its config as bytes and as what they say, and what is to change in it."""

    path: str
    text: bytes
    config: Config
    maps: IdMaps | None
    move: Move

    def rootfs(self) -> tuple[str, str | None]:
        """Where the root file system is, and where below the folder (None: not there); "" when there is none.

        Of an overlay the upper layer counts, which is the container's own.
        """
        value = self.config.get("lxc.rootfs.path")
        if value is None:
            return "", None
        path, real = _own_part(value)[1], os.path.realpath(self.path)
        return path, os.path.realpath(path).removeprefix(f"{real}/") if lies_in(path, real) else None


def _own_part(value: tuple[str, str]) -> tuple[str, str]:
    """What stands before the container's own path in an lxc.rootfs.path, and that path."""
    if value[0] == "overlay":
        lower, colon, upper = value[1].rpartition(":")
        return f"overlay:{lower}{colon}", upper
    return f"{value[0] or 'dir'}:", value[1]


def copy(request: Request, report: Report) -> None:
    """Make a copy of a container that does not run. Raises MinilxcError, and then it has left nothing."""
    before = os.umask(0o022)
    try:
        with interrupts.kept() as signals:
            _copy(request, report, signals)
    except OSError as error:
        raise MinilxcError(folder.reason(error), request.new_name) from None
    finally:
        os.umask(before)


def rename(request: Request, report: Report) -> None:
    """Give a container that does not run another name. Raises MinilxcError; then it has the old one."""
    try:
        with interrupts.kept():
            _rename(request, report)
    except OSError as error:
        raise MinilxcError(folder.reason(error), request.name) from None


def _copy(request: Request, report: Report, signals: int) -> None:
    name, new = request.name, request.new_name
    find(request.lxcpath, name)
    with ExitStack() as stack:
        stack.enter_context(folder.making(request.new_path))
        _lock_both(request, stack)
        original = _read(request)
        rootfs, below = original.rootfs()
        _refuse_copy(request, original)
        staging = stack.enter_context(folder.staging(request.new_path, new, report.log))
        tools = Tools(new, signals, report, "", staging.descriptor)
        for each in sorted(set(os.listdir(original.path)) - _NOT_COPIED):
            _cp(tools, f"{original.path}/{each}", staging.take(each))
        if rootfs and below is None:
            below = "rootfs"
            if os.path.lexists(staging.take(below)):
                raise MinilxcError(
                    f"the root file system '{rootfs}' would become '{below}', which is taken", new
                )
            _cp(tools, rootfs, staging.take(below))
        config = staging.take(_CONFIG)
        for each, text in {_CONFIG: _new_text(original, below), **_new_fstab(original)}.items():
            _write_new(staging.take(each), text, f"{original.path}/{each}")
        copied = staging.take(below) if below else None
        if not request.keep_name and copied and os.path.isdir(copied):
            _rename_inside(original, copied, request)
        told = {"LXC_CONFIG_FILE": config, "LXC_SRC_NAME": name}
        told |= {"LXC_ROOTFS_PATH": copied} if copied else {}
        hooks.run(
            "clone",
            original.config,
            new,
            signals,
            report.log,
            rootfs=copied,
            environment=told,
            arguments=request.arguments,
        )
        os.chmod(staging.path, os.stat(original.path).st_mode & _MODES)
        interrupts.check(signals, new)
        staging.commit(f"{request.new_path}/{new}")


def _rename(request: Request, report: Report) -> None:
    find(request.lxcpath, request.name)
    with ExitStack() as stack:
        _lock_both(request, stack)
        folder.sweep(request.lxcpath, request.name, report.log)
        original = _read(request)
        refuse_needed(original.path, request.name)
        folder.refuse_mounts(original.path, request.name)
        _, below = original.rootfs()
        target = f"{request.lxcpath}/{request.new_name}"
        files = {_CONFIG: _new_text(original, below), **_new_fstab(original)}
        undo = stack.enter_context(ExitStack())
        # What may fail comes first, and under names that nobody looks at.
        for name, text in files.items():
            undo.callback(_forget, f"{original.path}/{_beside(name)}")
            _write_new(f"{original.path}/{_beside(name)}", text, f"{original.path}/{name}")
        rename_to_free(original.path, target)
        undo.callback(os.rename, target, original.path)
        for name in files:
            exchange(f"{target}/{name}", f"{target}/{_beside(name)}")
            undo.callback(exchange, f"{target}/{name}", f"{target}/{_beside(name)}")
        if not request.keep_name and below and os.path.isdir(f"{target}/{below}"):
            _rename_inside(original, f"{target}/{below}", request)
        undo.pop_all()
        for name in files:
            _forget(f"{target}/{_beside(name)}")


def _beside(name: str) -> str:
    """Where the other one of two files is while a container is renamed."""
    folder, _, last = name.rpartition("/")
    return f"{folder}/.{last}.minilxc" if folder else f".{last}.minilxc"


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _lock_both(request: Request, stack: ExitStack) -> None:
    stack.enter_context(locked(request.lxcpath, request.name, "is running"))
    stack.enter_context(
        locked(request.new_path, request.new_name, "is being made by another command, or is running")
    )
    refuse_taken(request.new_path, request.new_name)


def _read(request: Request) -> _Original:
    """The container. Raises MinilxcError for a config that could not be made right."""
    path = f"{request.lxcpath}/{request.name}"
    source = f"{path}/{_CONFIG}"
    with open(source, "rb") as file:
        text = file.read()
    config = Config.from_text(text, source)
    spellings = dict.fromkeys(
        (path, os.path.realpath(path), f"{os.path.realpath(request.lxcpath)}/{request.name}")
    )
    move = Move(
        tuple(spellings),
        f"{request.new_path}/{request.new_name}",
        None if request.keep_name else request.new_name,
        not request.keep_addresses,
    )
    for where, key in left_behind(config, move):
        what = f"{key}: leads into '{path}', and a file that is included is not rewritten"
        raise ConfigError(what, where, f"say it in {source}")
    return _Original(path, text, config, ids.of_config(config), move)


def _refuse_copy(request: Request, original: _Original) -> None:
    where = original.config.where("lxc.rootfs.path")
    value = original.config.get("lxc.rootfs.path")
    rootfs, below = original.rootfs()
    if value and (value[0] == "overlay" or (below is None and not os.path.isdir(rootfs))):
        raise Refused(f"a root file system like '{rootfs}' cannot be copied", where, "one in a folder can")
    if os.geteuid() != 0 and original.maps is not None and any(original.maps.programs):
        raise MinilxcError("only root can copy a container with other ids than one's own", request.name)


def _cp(tools: Tools, source: str, target: str) -> None:
    """Copy with owners, modes, times, links, attributes, holes and devices; what is mounted below stays out."""
    tools.report.progress(f"copying {source}")
    tools.run(
        [find_tool("cp") or "cp", "-a", "-x", "--reflink=auto", "--sparse=auto", "-T", "--", source, target]
    )


def _new_text(original: _Original, below: str | None) -> bytes:
    """The config for the new place; `below` is where the root file system is then, seen from the folder."""
    config, move = original.config, original.move
    text = rewrite(original.text, config.source, move)
    more = []
    value = config.get("lxc.rootfs.path")
    if value is not None and below is not None:
        before, path = _own_part(value)
        written = decode(rewrite_paths(encode(path), move))
        if not is_own(config.where("lxc.rootfs.path") or "", config) or not written.startswith(
            f"{move.new}/"
        ):
            more.append(("lxc.rootfs.path", f"{before}{move.new}/{below}"))
        if original.rootfs()[1] is None and not config.get("lxc.rootfs.managed"):
            more.append(("lxc.rootfs.managed", "1"))
    if move.hostname is not None and config.get("lxc.uts.name") is not None:
        if not is_own(config.where("lxc.uts.name") or "", config):
            more.append(("lxc.uts.name", move.hostname))
    if more:
        text += b"" if text.endswith((b"\n", b"\r")) else b"\n"
        text += encode("".join(line(key, value) for key, value in more))
    return text


def _write_new(path: str, text: bytes, like: str) -> None:
    """Write a file with the mode and the owner of another."""
    status = os.stat(like)
    with open(path, "wb") as file:
        os.fchmod(file.fileno(), status.st_mode & _MODES)
        if os.geteuid() == 0:
            os.fchown(file.fileno(), status.st_uid, status.st_gid)
        file.write(text)


def _new_fstab(original: _Original) -> dict[str, bytes]:
    """The fstab of a container that has one in its folder: where below it, and its text for the new place.

    Raises MinilxcError for one in the root file system, where the container's own root may have it be a link.
    """
    fstab, real = original.config.get("lxc.mount.fstab"), os.path.realpath(original.path)
    rootfs, _ = original.rootfs()
    if fstab is not None and rootfs and lies_in(os.path.dirname(fstab), os.path.realpath(rootfs)):
        raise MinilxcError(
            "the fstab lies in the root file system, so it cannot be given the new paths",
            original.config.where("lxc.mount.fstab"),
        )
    if fstab is None or not lies_in(fstab, real) or not os.path.isfile(fstab):
        return {}
    with open(fstab, "rb") as file:
        lines = file.read().splitlines(keepends=True)
    below = os.path.realpath(fstab).removeprefix(f"{real}/")
    return {below: b"".join(rewrite_paths(each, original.move) for each in lines)}


def _rename_inside(original: _Original, root: str, request: Request) -> None:
    """Change the name in the root file system's /etc/hostname, if it is the container's."""

    def act() -> None:
        if (inside.read(root, "etc/hostname") or "").strip() == request.name:
            inside.write(root, "etc/hostname", f"{request.new_name}\n")

    ids.act_as_root(original.maps, act)
