"""minilxc create: make a container by a template."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from minilxc.cli import common, options
from minilxc.errors import SHORT, MinilxcError, UsageError, suggestion
from minilxc.launch import lock
from minilxc.store.create import Request, create
from minilxc.store.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minilxc.store.templates import Template

BASE = options.Option("f", "config", "FILE", "config whose lines come first in the container's")
TEMPLATE = options.Option("t", "template", "TEMPLATE", "what to make it of: busybox, debian, oci or none")
PLACE = options.Option(
    "", "dir", "DIR", "where its root file system is to be (default: rootfs in its folder)"
)
COMMAND = options.Command(
    "create",
    "make a container",
    (options.NAME, TEMPLATE, BASE, options.PATH, PLACE, options.BACKING),
    words="-n NAME -t TEMPLATE [-- TEMPLATE-OPTION...]",
    common=options.TELLING,
)

BUSYBOX = options.Option("", "busybox-path", "FILE", "the static busybox to take (default: the host's)")
RELEASE = options.Option("r", "release", "NAME", "the release (default: the host's own, or stable)")
ARCH = options.Option("a", "arch", "ARCH", "the architecture, as Debian calls it (default: the host's)")
MIRROR = options.Option("", "mirror", "URL", "where packages come from (default: the tool's own)")
PACKAGES = options.Option("", "packages", "LIST", "more packages, with commas between them")
VARIANT = options.Option(
    "", "variant", "NAME", "which set of packages, as the tool calls it (default: minbase)"
)
URL = options.Option(
    "u", "url", "IMAGE", "path of a layout or an archive, or oci:PATH:TAG, docker-archive:FILE..."
)


def _template(name: str, *own: options.Option, words: str = "") -> options.Command:
    return options.Command(
        f"create -t {name}", f"the options of the template {name}", own, words=words, common=(options.HELP,)
    )


TEMPLATES = {
    "busybox": _template("busybox", BUSYBOX),
    "debian": _template("debian", RELEASE, ARCH, MIRROR, PACKAGES, VARIANT),
    "oci": _template("oci", URL, words="-- [IMAGE]"),
    "none": _template("none"),
}


def run(words: Sequence[str]) -> int:
    """Make a container."""
    # What follows the first -- is the template's own.
    at = words.index("--") if "--" in words else len(words)
    given = options.read(COMMAND, words[:at])
    if options.HELP in given:
        print("\n\n".join([COMMAND.help(), *(each.help() for each in TEMPLATES.values())]))
        return 0
    if options.show_about(COMMAND, given):
        return 0
    try:
        return _create(given, words[at + 1 :])
    except MinilxcError as error:
        if options.QUIET in given:
            return error.status
        raise


def _create(given: options.Given, rest: Sequence[str]) -> int:
    name, kind = common.only_name(COMMAND, given), given.get(TEMPLATE)
    common.check_backing(given)
    if kind is None:
        raise UsageError("what to make it of? (-t TEMPLATE)", hint=f"there are {', '.join(TEMPLATES)}")
    if kind not in TEMPLATES:
        hint = suggestion(kind, TEMPLATES, SHORT) or f"there are {', '.join(TEMPLATES)}"
        raise UsageError(f"unknown template '{kind}'", hint=hint)
    own = options.read(TEMPLATES[kind], rest)
    if options.HELP in own:
        print(TEMPLATES[kind].help())
        return 0
    place = given.get(PLACE)
    request = Request(
        name,
        os.path.abspath(given.get(options.PATH) or lock.default_path()),
        _MAKERS[kind](own),
        given.get(BASE),
        os.path.abspath(place) if place is not None else None,
    )
    create(request, Report(name, verbose=options.VERBOSE in given, quiet=options.QUIET in given))
    return 0


def _busybox(own: options.Given) -> Template:
    from minilxc.store.templates.busybox import Busybox

    return Busybox(own.get(BUSYBOX) or "")


def _debian(own: options.Given) -> Template:
    from minilxc.store.templates.debian import Debian

    release, arch, mirror, packages, variant = (
        own.get(option) or "" for option in (RELEASE, ARCH, MIRROR, PACKAGES, VARIANT)
    )
    return Debian(release=release, arch=arch, mirror=mirror, packages=packages, variant=variant)


def _oci(own: options.Given) -> Template:
    from minilxc.store.templates.oci import Oci

    images = [*own.all(URL), *own.words]
    if len(images) != 1:
        what = "which image?" if not images else f"one image, not {len(images)}"
        raise UsageError(what, hint=TEMPLATES["oci"].usage())
    return Oci(images[0])


def _none(_: options.Given) -> Template:
    from minilxc.store.templates.empty import Empty

    return Empty()


_MAKERS: dict[str, Callable[[options.Given], Template]] = {
    "busybox": _busybox,
    "debian": _debian,
    "oci": _oci,
    "none": _none,
}
