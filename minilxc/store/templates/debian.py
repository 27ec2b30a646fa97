"""The template debian: a system made by mmdebstrap, or by debootstrap where that is what is installed."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from minilxc.config.values import PERSONALITIES
from minilxc.errors import MinilxcError, UsageError
from minilxc.store import inside, tools
from minilxc.store.templates import CAPABILITIES, NETWORK, TERMINALS, Section, Template, mounts

if TYPE_CHECKING:
    from minilxc.store.templates import Site

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~:=/-]*")
_SYSTEMD = "lib/systemd/systemd"
_POWER = "p0::powerfail:/sbin/init 0\n"


class Debian(Template):
    """A Debian system with an init. What is "" has a default."""

    name = "debian"

    def __init__(
        self, *, release: str = "", arch: str = "", mirror: str = "", packages: str = "", variant: str = ""
    ) -> None:
        for option, value in (
            ("release", release),
            ("arch", arch),
            ("variant", variant),
            *(("packages", word) for word in packages.split(",")),
        ):
            if value and value != "-" and not _WORD.fullmatch(value):
                raise UsageError(f"--{option}: '{value}' is no word for it")
        if mirror and not mirror[0].isalpha():
            raise UsageError(f"--mirror: '{mirror}' is no address")
        self._release = release or _own_release()
        self._arch = arch
        self._mirror = mirror
        # init asks for one that boots: systemd-sysv, unless another is among the packages.
        self._packages = ",".join(dict.fromkeys(("init", *filter(None, packages.split(",")))))
        self._variant = variant or "minbase"
        self._command: list[str] = []

    def prepare(self) -> None:
        """Find the tool."""
        options = [f"--variant={self._variant}", f"--include={self._packages}"]
        if tool := tools.find("mmdebstrap"):
            own = [
                "--format=directory",
                "--mode=root",
                *([f"--architectures={self._arch}"] if self._arch else []),
            ]
        elif tool := tools.find("debootstrap"):
            own = [f"--arch={self._arch}"] if self._arch else []
        else:
            raise MinilxcError(
                "neither mmdebstrap nor debootstrap is installed", hint="Debian's packages are called so"
            )
        self._command = [tool, *options, *own]

    def sections(self) -> tuple[Section, ...]:
        """The config's lines."""
        arch = self._arch or os.uname().machine
        return (
            Section("The architecture.", (("lxc.arch", arch),) if arch in PERSONALITIES else ()),
            NETWORK,
            mounts("proc:mixed sys:mixed cgroup:mixed"),
            TERMINALS,
            CAPABILITIES,
            Section(
                "Of the caller's environment nothing is left (`attach` keeps it, without --clear-env).",
                (("lxc.environment", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),),
            ),
        )

    def fill(self, site: Site) -> tuple[Section, ...]:
        """Have the tool make the system; then give it its name."""
        mirror = [self._mirror] if self._mirror else []
        site.tools.run([*self._command, self._release, site.root, *mirror], alone=True)
        inside.write(site.root, "etc/hostname", f"{site.name}\n")
        if inside.exists(site.root, _SYSTEMD):
            return (Section("How systemd is told to halt.", (("lxc.signal.halt", "SIGRTMIN+3"),)),)
        inittab = inside.read(site.root, "etc/inittab")
        if inittab is not None:  # SIGPWR, which asks for a halt, reads to init as a lack of power
            inside.write(site.root, "etc/inittab", inittab.rstrip("\n") + "\n" + _POWER)
        return ()


def _own_release() -> str:
    """The host's release where that is Debian's, else the stable one."""
    try:
        with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
            found = dict(line.strip().split("=", 1) for line in file if "=" in line)
    except OSError:
        return "stable"
    codename = found.get("VERSION_CODENAME", "").strip("\"'")
    return (
        codename if found.get("ID", "").strip("\"'") == "debian" and _WORD.fullmatch(codename) else "stable"
    )
