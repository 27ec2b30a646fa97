"""The template busybox: a small system of the host's own static busybox, with its init."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

from minilxc.config.values import PERSONALITIES
from minilxc.errors import MinilxcError
from minilxc.store import ids, tools
from minilxc.store.templates import (
    CAPABILITIES,
    NETWORK,
    SHARED_MEMORY,
    TERMINALS,
    Section,
    Template,
    mounts,
)

if TYPE_CHECKING:
    from minilxc.store.templates import Site

_PACKAGE = "Debian's package busybox-static has one"
_FOLDERS = "bin dev etc/init.d home mnt proc run sbin sys usr/bin usr/sbin usr/share/udhcpc var/log".split()
_INITTAB = """\
# What busybox's init runs: a script first, and then, for who presses Enter there, a shell on each terminal.
::sysinit:/etc/init.d/rcS
console::askfirst:-/bin/sh
"""
_RCS = """\
#!/bin/sh
# What busybox's init runs first; the container's own mounts are there already.
mount -a
if [ -e /sys/class/net/eth0 ] && ! ip -4 addr show dev eth0 | grep -q inet; then
    udhcpc -b -i eth0 -s /usr/share/udhcpc/default.script >/dev/null 2>&1 &
fi
"""
_UDHCPC = """\
#!/bin/sh
# What udhcpc(1) calls when it has got, or lost, an address.
case $1 in
    deconfig) ip addr flush dev "$interface" ;;
    bound | renew)
        ip addr replace "$ip/$mask" dev "$interface"
        for gateway in $router; do ip route replace default via "$gateway"; done
        for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
        ;;
esac
"""
_PROFILE = """\
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PS1='\\u@\\h:\\w\\$ '
"""
_FILES = {
    # Nobody can log in with a password; the shells on the terminals are for who is root on the host.
    "etc/passwd": ("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0o644),
    "etc/group": ("root:x:0:\ntty:x:5:\nnogroup:x:65534:\n", 0o644),
    "etc/shadow": ("root:*:::::::\nnobody:*:::::::\n", 0o600),
    "etc/fstab": ("", 0o644),
    "etc/hosts": ("127.0.0.1 localhost\n::1 localhost\n", 0o644),
    "etc/resolv.conf": ("", 0o644),
    "etc/profile": (_PROFILE, 0o644),
    "etc/init.d/rcS": (_RCS, 0o755),
    "usr/share/udhcpc/default.script": (_UDHCPC, 0o755),
}


class Busybox(Template):
    """A system of one program. `program`: which busybox; "" looks for one."""

    name = "busybox"
    ordinary = True

    def __init__(self, program: str = "") -> None:
        self._program = program
        self._applets: tuple[str, ...] = ()

    def prepare(self) -> None:
        """Find the program, and ask it for its commands."""
        program = self._program or tools.find("busybox")
        if program is None:
            raise MinilxcError("busybox is not installed", hint=_PACKAGE)
        try:
            if not is_static(program):
                raise MinilxcError(
                    f"'{program}' is not static: it would miss the host's libraries", hint=_PACKAGE
                )
            ran = subprocess.run(
                [program, "--list-full"], stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
        except OSError as error:
            raise MinilxcError(f"'{program}': {error.strerror}") from None
        applets = tuple(os.fsdecode(line) for line in ran.stdout.split())
        if ran.returncode or not {"bin/sh", "sbin/init"} <= set(applets):
            raise MinilxcError(f"'{program}' has no shell and no init", hint=_PACKAGE)
        self._program, self._applets = program, applets

    def sections(self) -> tuple[Section, ...]:
        """The config's lines."""
        machine = os.uname().machine
        return (
            Section("The architecture.", (("lxc.arch", machine),) if machine in PERSONALITIES else ()),
            NETWORK,
            mounts("proc:mixed sys:ro", SHARED_MEMORY),
            TERMINALS,
            Section(
                "How busybox's init is told to halt and to reboot.",
                (("lxc.signal.halt", "SIGUSR1"), ("lxc.signal.reboot", "SIGTERM")),
            ),
            CAPABILITIES,
            Section(
                "Of the caller's environment nothing is left (`attach` keeps it, without --clear-env).",
                (("lxc.environment", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"),),
            ),
        )

    def fill(self, site: Site) -> tuple[Section, ...]:
        """Copy the program and give it its names."""
        files = {**_FILES, "etc/hostname": (f"{site.name}\n", 0o644)}
        ttys = "".join(f"tty{n + 1}::askfirst:-/bin/sh\n" for n in range(site.config.get("lxc.tty.max")))
        files["etc/inittab"] = (_INITTAB + ttys, 0o644)
        ids.act_as_root(site.maps, lambda: _build(site.root, self._program, self._applets, files))
        return ()


def _build(root: str, program: str, applets: tuple[str, ...], files: dict[str, tuple[str, int]]) -> None:
    for name in _FOLDERS:
        os.makedirs(f"{root}/{name}", 0o755)
    for name, mode in (("root", 0o700), ("tmp", 0o1777), ("var/tmp", 0o1777)):
        os.mkdir(f"{root}/{name}")
        os.chmod(f"{root}/{name}", mode)
    os.symlink("../run", f"{root}/var/run")
    for name, (text, mode) in files.items():
        with open(f"{root}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(f"{root}/{name}", mode)
    shutil.copyfile(program, f"{root}/bin/busybox")
    os.chmod(f"{root}/bin/busybox", 0o755)
    for applet in filter(lambda name: "/" in name, applets):
        path = f"{root}/{applet}"
        if os.path.isdir(os.path.dirname(path)) and not os.path.lexists(path):
            os.symlink(os.path.relpath(f"{root}/bin/busybox", os.path.dirname(path)), path)


_PT_INTERP = 3


def is_static(path: str) -> bool:
    """Whether a program asks for no dynamic loader. elf(5). Raises OSError."""
    with open(path, "rb") as file:
        head = file.read(64)
        if head[:4] != b"\x7fELF" or len(head) < 64:
            return False
        order = "<" if head[5] == 1 else ">"
        offset, size, count = (
            struct.unpack_from(f"{order}Q14x2H", head, 32)
            if head[4] == 2
            else struct.unpack_from(f"{order}I10x2H", head, 28)
        )
        file.seek(offset)
        table = file.read(size * count)
    return all(
        struct.unpack_from(f"{order}I", table, at)[0] != _PT_INTERP
        for at in range(0, len(table) - 3, size or 1)
    )
