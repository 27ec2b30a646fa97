"""The template oci: the root file system of an image of Docker or OCI, by skopeo and umoci, and what it runs."""

from __future__ import annotations

import json
import os
import re
import tarfile
from typing import TYPE_CHECKING, Any

from minilxc.config.values import PERSONALITIES
from minilxc.config.writing import command
from minilxc.errors import MinilxcError
from minilxc.linux.names import SIGNALS
from minilxc.store import inside, tools
from minilxc.store.templates import CAPABILITIES, NETWORK, SHARED_MEMORY, TERMINALS, Section, Template, mounts

if TYPE_CHECKING:
    from minilxc.store.templates import Site

_TRANSPORT = re.compile(r"[a-z][a-z-]*:.+", re.DOTALL)
_MACHINES = {"386": "i386"}  # GOARCH where LXC has another word
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HOSTS = "127.0.0.1 localhost\n::1 localhost\n"


class Oci(Template):
    """A system of an image: the path of a layout or of an archive, or TRANSPORT:PLACE as skopeo(1) has it."""

    name = "oci"

    def __init__(self, image: str) -> None:
        self._image = image
        self._source = ""
        self._tools: list[str] = []

    def prepare(self) -> None:
        """Find the tools, and what the image is."""
        self._source = source(self._image)
        for name in ("skopeo", "umoci"):
            found = tools.find(name)
            if found is None:
                raise MinilxcError(f"{name} is not installed", hint=f"Debian's package is called {name}")
            self._tools.append(found)

    def sections(self) -> tuple[Section, ...]:
        """The config's lines that no image decides."""
        return (NETWORK, mounts("proc:mixed sys:ro", SHARED_MEMORY), TERMINALS, CAPABILITIES)

    def fill(self, site: Site) -> tuple[Section, ...]:
        """Unpack the image, and read what it runs."""
        skopeo, umoci = self._tools
        layout = f"oci:{site.work}/image:latest"
        site.tools.run([skopeo, "copy", self._source, layout], alone=True)
        described = f"{site.work}/image.json"
        site.tools.run([skopeo, "inspect", "--config", layout], alone=True, into=described)
        site.tools.run(
            [umoci, "raw", "unpack", "--image", f"{site.work}/image:latest", site.root], alone=True
        )
        with open(described, encoding="utf-8", errors="surrogateescape") as file:
            image = json.load(file)
        if inside.exists(site.root, "etc"):
            inside.write(site.root, "etc/hostname", f"{site.name}\n")
            if not inside.exists(site.root, "etc/hosts"):
                inside.write(site.root, "etc/hosts", _HOSTS)
        return translate(image, site.root)


def source(image: str) -> str:
    """An image as skopeo names it. Raises MinilxcError when `image` is neither a name nor the path of one."""
    if os.path.isdir(image):
        if not os.path.exists(f"{image}/oci-layout"):
            raise MinilxcError(f"'{image}' is a folder, but no OCI layout", hint="it has no file oci-layout")
        return f"oci:{image}"
    if os.path.isfile(image):
        return f"{_kind_of_archive(image)}:{image}"
    if _TRANSPORT.fullmatch(image):
        return image
    raise MinilxcError(
        f"'{image}': no such image", hint="the path of a layout or an archive, or oci:PATH:TAG"
    )


def _kind_of_archive(path: str) -> str:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if name == "oci-layout":
                    return "oci-archive"
                if name == "manifest.json":
                    return "docker-archive"
    except (OSError, tarfile.TarError, EOFError) as error:
        raise MinilxcError(f"'{path}': not an archive: {error}") from None
    raise MinilxcError(
        f"'{path}': an archive, but not of an image", hint="neither oci-layout nor manifest.json"
    )


def translate(image: dict[str, Any], root: str) -> tuple[Section, ...]:
    """The config's lines that an image's own description asks for (config.md of the image specification).

    `root` is the unpacked file system, where the names of users stand. Raises MinilxcError for what cannot be said.
    """
    wanted = image.get("config") or {}
    words = tuple((wanted.get("Entrypoint") or []) + (wanted.get("Cmd") or [])) or ("/bin/sh",)
    uid, gid = _ids(wanted.get("User") or "", root)
    directory = wanted.get("WorkingDir") or "/"
    inside.make_folder(root, directory)
    variables = list(wanted.get("Env") or [])
    if not any(variable.startswith("PATH=") for variable in variables):
        variables.insert(0, _PATH)
    machine = _MACHINES.get(image.get("architecture", ""), image.get("architecture", ""))
    return (
        Section("The architecture.", (("lxc.arch", machine),) if machine in PERSONALITIES else ()),
        Section(
            "What the image runs, as whom and where.",
            (
                ("lxc.init.cmd", command(words)),
                ("lxc.execute.cmd", command(words)),
                ("lxc.init.uid", str(uid)),
                ("lxc.init.gid", str(gid)),
                ("lxc.init.cwd", directory),
            ),
        ),
        # A variable without "=" would be copied from the caller's environment.
        Section("Its environment.", tuple(("lxc.environment", each) for each in variables if "=" in each)),
        Section("How it is told to end.", (("lxc.signal.halt", _signal(wanted.get("StopSignal") or "")),)),
    )


def _signal(word: str) -> str:
    """A signal as a config names it: the image has SIGTERM, TERM or a number."""
    name = word if word.startswith("SIG") else f"SIG{word}"
    if word.isdecimal() or name in SIGNALS or name.startswith("SIGRT"):
        return word if word.isdecimal() else name
    return "SIGTERM"


def _ids(user: str, root: str) -> tuple[int, int]:
    """The ids of USER[:GROUP], numbers or names of the image's own. Raises MinilxcError for an unknown name."""
    name, _, group = user.partition(":")
    people = _table(root, "etc/passwd", 4)
    uid, gid = 0, 0
    if name:
        found = next((row for row in people if name in (row[0], row[2])), None)
        if found is None and not name.isdecimal():
            raise MinilxcError(f"the image's user '{name}' is not in its /etc/passwd")
        uid = int(found[2] if found else name)
        gid = int(found[3]) if found else 0
    if group:
        row = next((row for row in _table(root, "etc/group", 3) if group == row[0]), None)
        if row is None and not group.isdecimal():
            raise MinilxcError(f"the image's group '{group}' is not in its /etc/group")
        gid = int(row[2] if row else group)
    return uid, gid


def _table(root: str, path: str, fields: int) -> list[list[str]]:
    """The lines of /etc/passwd or /etc/group with at least so many fields, all from the third on numbers."""
    rows = [line.split(":") for line in (inside.read(root, path) or "").splitlines()]
    return [row for row in rows if len(row) >= fields and all(field.isdecimal() for field in row[2:fields])]
