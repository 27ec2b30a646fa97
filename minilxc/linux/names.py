"""Names that the kernel's interfaces have: capabilities, namespaces, signals, resource limits."""

from __future__ import annotations

import posix

from minilxc.linux.files import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal  # built in; `signal` would load `enum`

_CAPABILITIES = (
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable "
    "net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot "
    "sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease "
    "audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read "
    "perfmon bpf checkpoint_restore"
)
CAPABILITIES: dict[str, int] = {name: number for number, name in enumerate(_CAPABILITIES.split())}
"""Name without `CAP_`, lower case, to number (capabilities(7))."""

NAMESPACES: dict[str, int] = {
    "cgroup": 0x02000000,
    "ipc": 0x08000000,
    "mnt": 0x00020000,
    "net": 0x40000000,
    "pid": 0x20000000,
    "time": 0x00000080,
    "user": 0x10000000,
    "uts": 0x04000000,
}
"""Name as in /proc/PID/ns to its CLONE_NEW* flag (namespaces(7))."""

SIGNALS: dict[str, int] = {
    name: number
    for name, number in vars(_signal).items()
    if name.startswith("SIG") and name[3] != "_" and name[3:5] != "RT"
}
"""`SIGTERM` and so on to this machine's number (signal(7); mips and alpha number them differently)."""

# The C library's, which keeps the first few real-time signals for itself: LXC counts from these too.
SIGRTMIN = int(_signal.SIGRTMIN)
SIGRTMAX = int(_signal.SIGRTMAX)

RLIMITS: dict[str, int] = {
    "cpu": 0,
    "fsize": 1,
    "data": 2,
    "stack": 3,
    "core": 4,
    "rss": 5,
    "nproc": 6,
    "nofile": 7,
    "memlock": 8,
    "as": 9,
    "locks": 10,
    "sigpending": 11,
    "msgqueue": 12,
    "nice": 13,
    "rtprio": 14,
    "rttime": 15,
}
"""Name without `RLIMIT_`, lower case, to this machine's number (getrlimit(2))."""

# The three families whose asm/resource.h differs from asm-generic; the others share the numbers above.
_MACHINE = posix.uname().machine
if _MACHINE.startswith("mips"):
    RLIMITS.update({"nofile": 5, "as": 6, "rss": 7, "nproc": 8, "memlock": 9})
elif _MACHINE.startswith("sparc"):
    RLIMITS.update({"nofile": 6, "nproc": 7})
elif _MACHINE == "alpha":
    RLIMITS.update({"nofile": 6, "as": 7, "nproc": 8, "memlock": 9})


def last_capability() -> int:
    """The highest capability that the running kernel has (/proc/sys/kernel/cap_last_cap)."""
    return int(read_text("/proc/sys/kernel/cap_last_cap"))
