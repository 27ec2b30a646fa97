"""What the key reference says beyond the rows of the table, by the name of the key.

Apart from the rows because only a reader has a use for it: every start loads the table.
"""

from __future__ import annotations

from typing import NamedTuple


class Note(NamedTuple):
    """What a key `needs` from the kernel, and how minilxc `differs` from LXC 5.0.2; "" for nothing to say."""

    needs: str = ""
    differs: str = ""


_USERNS = "User namespaces (CONFIG_USER_NS; Debian: kernel.unprivileged_userns_clone for ordinary users)."
_TIMENS = "Time namespaces (Linux 5.6, CONFIG_TIME_NS)."
_V1 = "The controller of FILE in a version 1 hierarchy."
_V2 = "The controller of FILE in the version 2 hierarchy, delegated to where minilxc runs."
_NOT_A_NUMBER = "A value that is no number is an error; LXC takes it for the default in silence."
_ROUTED = "Routes on the host for veth in router mode, proxy ARP where l2proxy asks for it."
_NEEDS_VLAN_FILTER = "A bridge with VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING)."
_HOOK = "A hook's standard output goes to the log at DEBUG, as in LXC."
_INSIDE_HOOK = (
    "It runs under exactly the confinement of process 1: capabilities, no_new_privs, seccomp filter."
)

NOTES: dict[str, Note] = {
    # The config itself
    "lxc.include": Note(
        differs="Files of a folder are read in byte order; LXC takes the folder's own order. Files that include "
        "each other are an error; LXC crashes. At most 32 deep and 4096 files."
    ),
    "lxc.arch": Note(
        needs="Nothing; that the machine can run such programs is not checked.",
        differs="The names of LXC 6 (x32, loongarch64, loong64) are known too.",
    ),
    "lxc.uts.name": Note(
        needs="UTS namespaces (CONFIG_UTS_NS).",
        differs="Without a UTS namespace of its own the start is refused; LXC renames the host.",
    ),
    # Root file system
    "lxc.rootfs.path": Note(
        needs="The file system of an image; loop devices for `loop:`, overlayfs for `overlay:`.",
        differs="An unknown type is an error; LXC takes it for a folder.",
    ),
    "lxc.rootfs.mount": Note(
        differs="Without the key, the root file system is mounted over its own folder, which is what hooks are told."
    ),
    "lxc.rootfs.options": Note(
        needs="mount_setattr (Linux 5.12); for `idmap=`, a file system that can be mapped.",
        differs="`ro` covers what is mounted below, too. An unknown word is an error; LXC hands it on.",
    ),
    "lxc.rootfs.managed": Note(),
    "lxc.rootfs.backend": Note(
        differs="`dir` is accepted, everything else refused; LXC 3.0 dropped the key."
    ),
    "lxc.pivotdir": Note(differs="Accepted without effect; LXC 3.0 dropped the key."),
    # Init, its environment and its credentials
    "lxc.init.cmd": Note(
        differs="Quotes hold words together, as in lxc.execute.cmd; LXC takes them for parts of the words. A link of "
        "procfs, such as /proc/self/exe, is refused as a program (CVE-2019-5736)."
    ),
    "lxc.execute.cmd": Note(
        differs="`execute` without this key and without a command is an error; LXC crashes."
    ),
    "lxc.init.uid": Note(differs=_NOT_A_NUMBER.replace("the default", "0, root,")),
    "lxc.init.gid": Note(differs=_NOT_A_NUMBER.replace("the default", "0, root,")),
    "lxc.init.groups": Note(differs="As LXC: with an id map it has no effect."),
    "lxc.init.cwd": Note(
        differs="A path that leads out of the root file system is refused (CVE-2024-21626)."
    ),
    "lxc.environment": Note(),
    "lxc.environment.runtime": Note(
        differs="Known here whatever the version of LXC; LXC has it from 7.0 on."
    ),
    "lxc.environment.hooks": Note(differs="Known here whatever the version of LXC; LXC has it from 7.0 on."),
    "lxc.cap.drop": Note(
        differs="As LXC: a capability that the kernel lacks is an error when it is a number."
    ),
    "lxc.cap.keep": Note(differs="As LXC: `none` forgets those before it and keeps none."),
    "lxc.no_new_privs": Note(
        needs="Linux 3.5.", differs="Never on unless the config says so; a seccomp filter does not need it."
    ),
    # Seccomp
    "lxc.seccomp.profile": Note(
        needs="Seccomp filters (CONFIG_SECCOMP_FILTER).",
        differs="The filter is loaded last, right before execve, so that a policy need allow nothing for the "
        "launcher. A section such as [x86] is for its own architecture alone; a system call that no architecture has "
        "is an error. A policy is never skipped.",
    ),
    "lxc.seccomp.allow_nesting": Note(
        differs="With 0 and a filter in force already, the start is refused; LXC skips the policy in silence. "
        + _NOT_A_NUMBER
    ),
    "lxc.seccomp.notify.proxy": Note(needs="Linux 5.0 (SECCOMP_RET_USER_NOTIF)."),
    "lxc.seccomp.notify.cookie": Note(),
    "minilxc.seccomp.newer": Note(differs="A key of minilxc's own. LXC ignores the line."),
    # Namespaces
    "lxc.idmap": Note(
        needs=_USERNS,
        differs="Root writes the maps itself; LXC goes through newuidmap, which refuses what /etc/subuid does "
        "not grant. Only `u` or only `g` lines, ranges that overlap and ranges of 0 ids are errors before the start.",
    ),
    "lxc.namespace.clone": Note(
        needs="The namespaces that it names.",
        differs="A list without `mnt` is refused: the container would change the host's mounts.",
    ),
    "lxc.namespace.keep": Note(
        differs="A user namespace is made only with lxc.idmap; LXC makes one without ids, and the start fails."
    ),
    "lxc.namespace.share.NS": Note(differs="`user` is not supported yet."),
    "lxc.time.offset.boot": Note(needs=_TIMENS, differs="May be negative in all units."),
    "lxc.time.offset.monotonic": Note(needs=_TIMENS, differs="May be negative in all units."),
    # Mounts and devices
    "lxc.mount.entry": Note(
        needs="The file system; openat2 (Linux 5.6) keeps the target below the root.",
        differs="Targets with `..` are refused; LXC makes folders on the host for them. An unknown word in the "
        "options is an error. `noexec`, `nosuid` and `nodev` of a bind take effect.",
    ),
    "lxc.mount.fstab": Note(differs="As for lxc.mount.entry."),
    "lxc.mount.auto": Note(
        needs="cgroup namespaces (Linux 4.6) for what `cgroup` leaves to the container's init.",
        differs="An unknown variant is an error.",
    ),
    "lxc.autodev": Note(differs="As LXC: an empty value means 0, unlike no line at all."),
    "lxc.autodev.tmpfs.size": Note(differs="A value that is no number, or below 0, is an error."),
    # Terminals
    "lxc.tty.max": Note(differs="As LXC: `execute` makes none."),
    "lxc.tty.dir": Note(differs="A path with `..` is an error."),
    "lxc.pty.max": Note(needs="CONFIG_UNIX98_PTYS.", differs="lxc.tty.max counts in addition, as in LXC."),
    "lxc.console.path": Note(
        differs="Without a terminal, the caller's standard input and output are handed through; of LXC's `start` only "
        "the log has the output then."
    ),
    "lxc.console.logfile": Note(
        differs="A pipe that takes no more does not hold the container; what it cannot take is lost. Standard output "
        "that is no terminal is handed through and so not in the log; what is written to /dev/console is."
    ),
    "lxc.console.size": Note(
        differs="A single letter as a unit, as in 64K, is an error; LXC reads 64 bytes. With a log that is no regular "
        "file the start is refused; LXC logs nothing."
    ),
    "lxc.console.buffer.size": Note(differs="A single letter as a unit is an error; LXC drops it."),
    "lxc.console.rotate": Note(
        differs="With a size, the log is rotated as soon as it is full, as LXC does; without one, nothing is rotated."
    ),
    "lxc.kmsg": Note(differs="Accepted without effect; LXC 3.0 dropped the key."),
    # Network
    "lxc.net": Note(),
    "lxc.net.I.type": Note(
        needs="Network namespaces; the driver of the type (veth, macvlan, ipvlan, 8021q).",
        differs="The order of an interface's lines does not matter; LXC forgets what stands before the type.",
    ),
    "lxc.net.I.flags": Note(differs="Only `up` is taken; for LXC every word, `down` too, means up."),
    "lxc.net.I.link": Note(differs="A name longer than 15 bytes is an error; LXC cuts it."),
    "lxc.net.I.name": Note(differs="A name longer than 15 bytes is an error; LXC cuts it."),
    "lxc.net.I.hwaddr": Note(differs="The form is checked when the config is read."),
    "lxc.net.I.mtu": Note(differs="The number is checked when the config is read."),
    "lxc.net.I.ipv4.address": Note(
        differs="The broadcast address follows from the prefix; LXC 5 sets a wrong one."
    ),
    "lxc.net.I.ipv4.gateway": Note(),
    "lxc.net.I.ipv6.address": Note(differs="A prefix above 128 is an error."),
    "lxc.net.I.ipv6.gateway": Note(),
    "lxc.net.I.l2proxy": Note(needs=_ROUTED),
    "lxc.net.I.script.up": Note(),
    "lxc.net.I.script.down": Note(),
    "lxc.net.I.veth.pair": Note(differs="A name longer than 15 bytes is an error; LXC cuts it."),
    "lxc.net.I.veth.mode": Note(),
    "lxc.net.I.veth.ipv4.route": Note(),
    "lxc.net.I.veth.ipv6.route": Note(),
    "lxc.net.I.veth.n_rxqueues": Note(),
    "lxc.net.I.veth.n_txqueues": Note(),
    "lxc.net.I.veth.vlan.id": Note(needs=_NEEDS_VLAN_FILTER),
    "lxc.net.I.veth.vlan.tagged.id": Note(needs=_NEEDS_VLAN_FILTER),
    "lxc.net.I.macvlan.mode": Note(needs="CONFIG_MACVLAN."),
    "lxc.net.I.ipvlan.mode": Note(needs="CONFIG_IPVLAN."),
    "lxc.net.I.ipvlan.isolation": Note(needs="CONFIG_IPVLAN."),
    "lxc.net.I.vlan.id": Note(
        needs="CONFIG_VLAN_8021Q.", differs="A number above 4094 is an error; LXC reads it and fails later."
    ),
    # Control groups
    "lxc.cgroup.CTRL.FILE": Note(needs=_V1, differs="Read whatever the version of LXC; LXC 7.0 dropped it."),
    "lxc.cgroup2.CTRL.FILE": Note(
        needs=_V2,
        differs="Refused where version 2 does not have the controller; LXC ignores the line in silence.",
    ),
    "lxc.cgroup.dir": Note(),
    "lxc.cgroup.dir.container": Note(),
    "lxc.cgroup.dir.container.inner": Note(),
    "lxc.cgroup.dir.monitor": Note(),
    "lxc.cgroup.dir.monitor.pivot": Note(),
    "lxc.cgroup.relative": Note(),
    # Limits and settings of the kernel
    "lxc.prlimit.NAME": Note(
        needs="Linux 2.6.36 (prlimit).",
        differs="A negative number is an error; for LXC, -1 is unlimited. An unknown name, or a soft limit above "
        "the hard one, is an error before the start.",
    ),
    "lxc.sysctl.KEY": Note(
        needs="The file below /proc/sys.",
        differs="A setting whose namespace is not the container's own is refused; LXC changes the host's.",
    ),
    "lxc.proc.FILE": Note(needs="The file below /proc/PID."),
    # Hooks
    "lxc.hook": Note(),
    "lxc.hook.pre-start": Note(differs=_HOOK),
    "lxc.hook.pre-mount": Note(differs=_HOOK),
    "lxc.hook.mount": Note(differs=_HOOK),
    "lxc.hook.autodev": Note(differs=_HOOK),
    "lxc.hook.start-host": Note(differs=_HOOK),
    "lxc.hook.start": Note(differs=_INSIDE_HOOK),
    "lxc.hook.stop": Note(differs=_HOOK),
    "lxc.hook.post-stop": Note(differs=_HOOK),
    "lxc.hook.clone": Note(),
    "lxc.hook.destroy": Note(),
    "lxc.hook.version": Note(differs=_NOT_A_NUMBER),
    # The container's life
    "lxc.signal.halt": Note(differs="A number that no signal has is an error."),
    "lxc.signal.reboot": Note(differs="A number that no signal has is an error."),
    "lxc.signal.stop": Note(differs="A number that no signal has is an error."),
    "lxc.monitor.signal.pdeath": Note(differs="As LXC: an empty value means 0, unlike no line at all."),
    "lxc.monitor.unshare": Note(needs="Mount namespaces.", differs="As LXC: every number but 0 means yes."),
    "lxc.ephemeral": Note(
        differs="Only a container whose config and root file system lie in PATH/NAME is removed, and only after it has "
        "run; LXC removes the root file system wherever it is, and also when the start has failed."
    ),
    "lxc.keyring.session": Note(needs="CONFIG_KEYS."),
    "lxc.sched.core": Note(
        needs="Core scheduling (Linux 5.14, CONFIG_SCHED_CORE) and a processor with several threads a core.",
        differs="Refused before the start where the kernel cannot do it.",
    ),
    "lxc.log.level": Note(),
    "lxc.log.file": Note(differs="A pipe that nobody reads does not hold the start."),
    "lxc.log.syslog": Note(),
    "lxc.start.auto": Note(),
    "lxc.start.delay": Note(),
    "lxc.start.order": Note(),
    "lxc.group": Note(),
    # Security modules
    "lxc.apparmor.profile": Note(
        needs="AppArmor, and a profile of that name loaded into it.",
        differs="On a kernel without AppArmor a profile is refused, unless lxc.apparmor.allow_incomplete is 1; LXC "
        "ignores it in silence. `generated` and the names of LXC's own profiles, which distributions write into "
        "every config, are then left out with a warning in the log. Where there is AppArmor, `generated` is "
        "refused: minilxc generates no profile. Without the key no profile is set; LXC "
        "has a default one.",
    ),
    "lxc.apparmor.allow_incomplete": Note(
        differs="It also lets a container start where the kernel has no AppArmor at all, with a warning in the log."
    ),
    "lxc.apparmor.allow_nesting": Note(
        differs="It would widen a generated profile, and minilxc generates none."
    ),
    "lxc.apparmor.raw": Note(),
    "lxc.selinux.context": Note(
        needs="SELinux with a loaded policy.",
        differs="Refused where there is no SELinux; LXC ignores it in silence.",
    ),
    "lxc.selinux.context.keyring": Note(
        needs="SELinux with a loaded policy.",
        differs="Refused where there is no SELinux; LXC ignores it in silence.",
    ),
}
"""A note for each row of `keys.TABLE`, and no other."""
