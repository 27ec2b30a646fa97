"""Making a container: its folder, its root file system, its config. All of it is there in the end, or nothing."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from minilxc.config.parse import MOST_BYTES, Config
from minilxc.config.writing import line
from minilxc.errors import ConfigError, MinilxcError
from minilxc.launch import subids
from minilxc.linux.files import encode
from minilxc.linux.rename import rename_to_free
from minilxc.store import folder, ids, interrupts
from minilxc.store.names import locked, refuse_taken
from minilxc.store.templates import Section, Site
from minilxc.store.tools import Tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minilxc.store.folder import Staging
    from minilxc.store.report import Report
    from minilxc.store.templates import Template

POLICY = "system.seccomp"
"""The policy that a container gets, in this package and in the container's folder."""


class Request(NamedTuple):
    """What is to be made: the container `name` in the folder `lxcpath`, as `template` makes it.

    `base` is a config whose lines come first (None: there is none). `rootfs` is where the root file system
    shall be (None: in the container's folder).
    """

    name: str
    lxcpath: str
    template: Template
    base: str | None = None
    rootfs: str | None = None


def create(request: Request, report: Report) -> None:
    """Make the container. Raises MinilxcError, and then it has left nothing."""
    before = os.umask(0o022)
    try:
        with interrupts.kept() as signals:
            _create(request, report, signals)
    except OSError as error:
        raise MinilxcError(folder.reason(error), request.name) from None
    finally:
        os.umask(before)


def _create(request: Request, report: Report, signals: int) -> None:
    name, template = request.name, request.template
    if os.geteuid() != 0 and not template.ordinary:
        raise MinilxcError(f"only root can make a container by the template '{template.name}'", name)
    try:
        template.prepare()
    except MinilxcError as error:
        raise MinilxcError(error.what, name, error.hint) from None
    base = _Base.read(request.base)
    with ExitStack() as stack:
        stack.enter_context(folder.making(request.lxcpath))
        stack.enter_context(locked(request.lxcpath, name, "is being made by another command, or is running"))
        refuse_taken(request.lxcpath, name)
        staging = stack.enter_context(folder.staging(request.lxcpath, name, report.log))
        root = _root(request, staging, stack, report)
        first = _config(request, base, root, template.sections())
        maps = ids.of_config(first)
        work = staging.take(".work")
        os.mkdir(work, 0o700)
        tools = Tools(name, signals, report, work, staging.descriptor)
        site = Site(name, root.path, work, first, maps, tools)
        asked = () if root.is_given else template.fill(site)
        interrupts.check(signals, name)
        shutil.rmtree(work)
        sections = (*asked, *template.sections())
        config = _config(request, base, root, sections)
        own_policy = config.get("lxc.seccomp.profile") == _policy(request)
        _write(staging, _text(request, base, root, sections), own_policy)
        os.chmod(staging.path, _MODE if maps is None else _MODE_OF_MAPPED)
        interrupts.check(signals, name)
        _commit(request, staging, root)


_MODE, _MODE_OF_MAPPED = 0o700, 0o711
"""Of a container's folder: a set-uid program in it is not for everybody, but root of a mapped one must get in."""


class _Base(NamedTuple):
    """A config to start from: its bytes, and what they say."""

    text: bytes
    config: Config

    @classmethod
    def read(cls, path: str | None) -> _Base:
        """The base in the file `path`, or an empty one. Raises ConfigError."""
        text = b""
        if path is not None:
            try:
                with open(path, "rb") as file:
                    text = file.read(MOST_BYTES + 1)
            except OSError as error:
                raise ConfigError(error.strerror or str(error), path) from None
        return cls(text, Config.from_text(text, path or "config"))

    def has(self, key: str, value: str) -> bool:
        """Whether it says something about a key, so that a template need not."""
        if key.startswith("lxc.net."):
            return bool(self.config.networks())
        if key == "lxc.mount.entry":
            return False
        if key == "lxc.environment":
            return value.partition("=")[0] in dict(self.config.get("lxc.environment"))
        keys = (key, "lxc.cap.keep") if key == "lxc.cap.drop" else (key,)
        return any(self.config.where(each) for each in keys)


class _Root(NamedTuple):
    """The root file system: `path` is where it is made, `final` where it shall be.

    `moves`: it is to be renamed by itself, as it is not in the container's folder. `is_given`: it is there already.
    """

    path: str
    final: str
    moves: bool = False
    is_given: bool = False

    def lines(self, base: _Base) -> Iterator[tuple[str, str]]:
        """The config's lines about it."""
        yield "lxc.rootfs.path", f"dir:{self.final}"
        if self.moves or self.is_given:
            yield "lxc.rootfs.managed", "0"
        if base.config.get("lxc.idmap") and os.geteuid() == 0 and not self.is_given:
            if not base.config.where("lxc.rootfs.options"):
                yield "lxc.rootfs.options", "idmap=container"


def _root(request: Request, staging: Staging, stack: ExitStack, report: Report) -> _Root:
    """Where the root file system is made. Raises MinilxcError when it cannot be where it shall."""
    own = f"{request.lxcpath}/{request.name}"
    final = request.rootfs or f"{own}/rootfs"
    if final.startswith(f"{own}/"):
        path = staging.take(final.removeprefix(f"{own}/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return _Root(path, final)
    if os.path.isdir(final) and request.template.name == "none":
        return _Root(final, final, is_given=True)
    if os.path.lexists(final):
        raise MinilxcError(f"'{final}' exists already", request.name)
    other = stack.enter_context(folder.staging(os.path.dirname(final), request.name, report.log))
    return _Root(other.take("rootfs"), final, moves=True)


def _sections(request: Request, base: _Base, root: _Root, given: tuple[Section, ...]) -> Iterator[Section]:
    """All sections of the config: those of the template, and what is the same in each."""
    own = (*root.lines(base), ("lxc.uts.name", request.name))
    yield Section("The root file system, and the host name.", own)
    if os.geteuid() != 0 and not base.config.get("lxc.idmap"):
        maps = tuple(("lxc.idmap", value) for value in subids.proposed())
        yield Section("Whose ids the container's are.", maps)
    profile = ("lxc.seccomp.profile", _policy(request))
    # A template's later sections have defaults for what its first ones may have said.
    said = set()
    for section in (*given, Section("What no program inside may call.", (profile,))):
        lines = tuple(each for each in section.lines if not (base.has(*each) or each[0] in said))
        if lines:
            yield Section(section.comment, lines)
        said |= {key for key, _ in lines} - _MANY


_MANY = {"lxc.environment", "lxc.mount.entry"}


def _policy(request: Request) -> str:
    return f"{request.lxcpath}/{request.name}/{POLICY}"


def _text(request: Request, base: _Base, root: _Root, given: tuple[Section, ...]) -> bytes:
    """The config, the lines of the base first."""
    pieces = [
        f"# The container that `minilxc create -t {request.template.name}` has made. LXC reads this file, too;\n"
    ]
    pieces.append("# `minilxc keys KEY` explains a line.\n")
    for section in _sections(request, base, root, given):
        pieces.append("\n")
        pieces += [f"# {section.comment}\n"] if section.comment else []
        pieces += [line(key, value) for key, value in section.lines]
    own = encode("".join(pieces))
    if not base.text:
        return own
    end = b"" if base.text.endswith((b"\n", b"\r")) else b"\n"
    return base.text + end + b"\n" + own


def _config(request: Request, base: _Base, root: _Root, given: tuple[Section, ...]) -> Config:
    """What the config says. Raises ConfigError."""
    name = f"{request.lxcpath}/{request.name}/config"
    return Config.from_text(_text(request, base, root, given), name)


def _write(staging: Staging, text: bytes, policy: bool) -> None:
    with open(staging.take("config"), "xb") as file:
        file.write(text)
    if policy:
        shutil.copyfile(os.path.join(os.path.dirname(__file__), POLICY), staging.take(POLICY))


def _commit(request: Request, staging: Staging, root: _Root) -> None:
    """Put everything in its place: from here on there is a container."""
    if root.moves:
        rename_to_free(root.path, root.final)
    try:
        staging.commit(f"{request.lxcpath}/{request.name}")
    except BaseException:
        if root.moves:
            os.rename(root.final, root.path)
        raise
