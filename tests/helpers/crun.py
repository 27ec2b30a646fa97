"""crun as an oracle: the filter that it builds, with libseccomp, from an OCI profile."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path

from minilxc.seccomp.program import Program

# crun does not start where both versions of cgroups are mounted
CREATE = """
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
crun --root "$1" --cgroup-manager=disabled create --bundle "$2" "$3" || exit
cp "$1/$3/seccomp.bpf" "$1/filter" # it is there only while there is a container
crun --root "$1" --cgroup-manager=disabled delete --force "$3"
"""
_numbers = itertools.count(1)


class CrunError(Exception):
    """crun refuses the profile; the text is what it says."""


def filter_of(profile: dict, folder: Path) -> Program:
    """The filter of a container with the `linux.seccomp` `profile`, which is created and deleted, never started.

    `folder` is for crun's state and the bundle. The filter is what crun wrote for the process to load.
    """
    bundle = folder / "bundle"
    for name in ("dev", "proc", "sys"):
        (bundle / "rootfs" / name).mkdir(parents=True, exist_ok=True)
    (bundle / "rootfs" / "never").touch(mode=0o755)  # crun wants to see a program
    sets = ("bounding", "effective", "permitted", "inheritable", "ambient")
    config = {
        "ociVersion": "1.0.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/never"],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": {name: [] for name in sets},
        },
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("mount", "pid", "ipc", "uts")],
            "seccomp": profile,
        },
    }
    (bundle / "config.json").write_text(json.dumps(config))
    name = f"minilxc-{next(_numbers)}"
    # in namespaces that end with it, and with them whatever crun leaves
    done = subprocess.run(
        [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "sh",
            "-c",
            CREATE,
            "sh",
            folder / "state",
            bundle,
            name,
        ],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise CrunError(done.stderr.strip())
    program = Program.decode((folder / "state" / "filter").read_bytes(), big=False)
    program.validate()
    return program
