"""An ordinary user of tests, who exists only in the mount namespace of the one command that is run as him."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

UID = 12345
NAME = "minilxc-tester"
FIRST, COUNT = 700000, 65536
GRANT = f"{NAME}:{FIRST}:{COUNT}\n"
MAPPED = (f"lxc.idmap = u 0 {FIRST} {COUNT}", f"lxc.idmap = g 0 {FIRST} {COUNT}")
ALONE = (f"lxc.idmap = u 0 {UID} 1", f"lxc.idmap = g 0 {UID} 1")

_AS_USER = f"""
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/subuid" /etc/subuid
mount --bind "$1/subgid" /etc/subgid
shift
eval "$1"
shift
exec setpriv --reuid {UID} --regid {UID} --groups 20,{UID} -- "$@"
"""


def own(root: Path, uid: int) -> None:
    """Give a tree to `uid`, without what it shares with the host: a hard link would take that along."""
    for place, folders, files in os.walk(root):
        for name in files:
            path = Path(place, name)
            if not path.is_symlink() and path.stat().st_nlink > 1:
                shutil.copy(path, f"{path}.copy")
                os.replace(f"{path}.copy", path)
        for name in [".", *folders, *files]:
            os.chown(f"{place}/{name}", uid, uid, follow_symlinks=False)


class User:
    """The user, with a home and a runtime directory below `folder`; `grants` are the lines of /etc/subuid."""

    def __init__(self, folder: Path, grants: str = GRANT) -> None:
        self.folder = folder / "user"
        self.home = self.folder / "home"
        self.runtime = self.folder / "run"
        for path in (self.folder, self.home, self.runtime):
            path.mkdir()
        for path in (self.home, self.runtime):
            os.chown(path, UID, UID)
            path.chmod(0o700)
        self.home.chmod(0o755)
        entry = f"{NAME}:x:{UID}:{UID}::{self.home}:/bin/sh\n"
        (self.folder / "passwd").write_text(Path("/etc/passwd").read_text() + entry)
        self.grant(grants)

    def grant(self, users: str, groups: str | None = None) -> None:
        """Write /etc/subuid and /etc/subgid as the user's commands see them."""
        (self.folder / "subuid").write_text(users)
        (self.folder / "subgid").write_text(users if groups is None else groups)

    def wrap(self, before: str = ":", **environment: str | None) -> tuple[str, ...]:
        """The command that runs another as the user; `before` is shell text that root runs in its mount namespace."""
        variables = {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.runtime), **environment}
        words = [word for name in variables for word in ("-u", name)]
        words += [f"{name}={value}" for name, value in variables.items() if value is not None]
        return ("env", *words, "unshare", "-m", "sh", "-ec", _AS_USER, "sh", str(self.folder), before)
