"""What this kernel can do, asked of the kernel itself."""

from __future__ import annotations

import os

from minilxc.linux import syscalls
from minilxc.linux.syscalls import ENOSYS

# Calls that a start makes and that are younger than Linux 5.0, with the version that brought them.
_CALLS = (
    ("pidfd_send_signal", syscalls.NR_PIDFD_SEND_SIGNAL, "5.1"),
    ("open_tree", syscalls.NR_OPEN_TREE, "5.2"),
    ("move_mount", syscalls.NR_MOVE_MOUNT, "5.2"),
    ("fsopen", syscalls.NR_FSOPEN, "5.2"),
    ("clone3", syscalls.NR_CLONE3, "5.3"),
    ("openat2", syscalls.NR_OPENAT2, "5.6"),
    ("close_range", syscalls.NR_CLOSE_RANGE, "5.9"),
    ("mount_setattr", syscalls.NR_MOUNT_SETATTR, "5.12"),
)


def missing_calls() -> list[str]:
    """The system calls that a start needs and this kernel lacks, as "name (Linux x.y)".

    Each is made with arguments that no kernel accepts, so nothing happens.
    """
    lacking = []
    for name, number, version in _CALLS:
        try:
            # No descriptor, no pointer, no size, no flag is all ones.
            syscalls.call(name, number, -1, -1, -1, -1, -1, -1)
        except OSError as error:
            if error.errno == ENOSYS:
                lacking.append(f"{name} (Linux {version})")
    return lacking


def has_filesystem(name: str) -> bool:
    """Whether this kernel has the file system `name`, or a module for it. proc_filesystems(5).

    What follows a dot is the file system's own affair ("fuse.sshfs"). mount(2)
    """
    kind = name.partition(".")[0]
    try:
        with open("/proc/filesystems", encoding="ascii") as file:
            if any(line.split()[-1] == kind for line in file):
                return True
        # The kernel asks modprobe for this name.
        with open(f"/lib/modules/{os.uname().release}/modules.alias", encoding="utf-8") as file:
            return any(line.split()[:2] == ["alias", f"fs-{kind}"] for line in file)
    except OSError:
        return False


def seccomp_actions() -> frozenset[str]:
    """The actions that this kernel's filters know, by the kernel's names; empty without filters. seccomp(2)."""
    try:
        with open("/proc/sys/kernel/seccomp/actions_avail", encoding="ascii") as file:
            return frozenset(file.read().split())
    except OSError:
        return frozenset()


def user_namespaces_allowed() -> bool:
    """Whether another user namespace may be made. /proc/sys/user/max_user_namespaces, namespaces(7)."""
    try:
        with open("/proc/sys/user/max_user_namespaces", encoding="ascii") as file:
            return int(file.read()) > 0
    except OSError:
        return False
