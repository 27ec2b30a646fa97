"""The keys of a container's config: one row for each key that LXC 5.0 to 7.0 knows.

The parser, the key reference, the completions and the tests all read this table; nothing else lists
keys. A row says which value a key takes (`parse`, a value type of `values`), what stands when it is
not written, what repeated and empty lines do, and whether minilxc acts on it.
"""

from __future__ import annotations

from minilxc.config import values
from minilxc.linux.names import SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

ACTS = "acts"
"""minilxc does what the key says."""
ACCEPTED = "accepted"
"""Read and checked; it has no effect on a start, for the reason in `why`."""
LATER = "not supported yet"
"""Read and checked; a value other than the default or one of `harmless` is an error, for now."""
REFUSED = "refused"
"""As LATER, but for good, for the reason in `why`."""

NO_VALUE = "no value"
"""For `empty`: the key does not take an empty value."""

_NO_MONITOR_GROUP = "the monitor gets no group of its own"
_DROPPED = "LXC 3.0 dropped it"


class Key:
    """A row of the table. Immutable.

    name       as written in a config; I, NAME, CTRL.FILE, FILE, KEY and NS stand for what a user puts there
    parse      the value type: text to value, or `values.Invalid`
    default    the value when the key is not in force
    many       repeated lines add up (else the last one wins)
    merge      makes one value of the values of repeated lines (else: the tuple of them)
    empty      what an empty value means: None takes back what stands before, NO_VALUE is an error,
               other text is taken in its place
    clears     the keys that an empty value takes back besides this one
    subsystem  the part of a start that the key belongs to
    support    ACTS, ACCEPTED, LATER or REFUSED, with the reason in `why`
    harmless   values that are fine although the key is LATER or REFUSED
    not_yet    for a key that acts: says why a value is not supported yet, or None
    group      the part of the name before what a user puts there, for keys that are matched by prefix
    member     for those: checks that part and puts it into its usual form
    net_type   the type of interface that the key is for (else: all)
    help       one or two sentences for a reader
    example    a value that parses
    since      the LXC version that brought the key under this name, as far as known
    old        names that it had before LXC 3.0
    """

    __slots__ = (
        "name",
        "parse",
        "default",
        "many",
        "merge",
        "empty",
        "clears",
        "subsystem",
        "support",
        "why",
        "harmless",
        "not_yet",
        "group",
        "member",
        "net_type",
        "help",
        "example",
        "since",
        "old",
    )

    def __init__(
        self,
        name: str,
        *,
        parse: Callable[[str], Any],
        help: str,
        example: str,
        subsystem: str,
        support: str = ACTS,
        why: str = "",
        default: Any = None,
        many: bool = False,
        merge: Callable[[Any], Any] | None = None,
        empty: str | None = None,
        clears: tuple[str, ...] = (),
        harmless: tuple[Any, ...] = (),
        not_yet: Callable[[Any], str | None] | None = None,
        group: str = "",
        member: Callable[[str], str] | None = None,
        net_type: str = "",
        since: str = "",
        old: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.parse = parse
        self.default = default
        self.many = many
        self.merge = merge
        self.empty = empty
        self.clears = clears
        self.subsystem = subsystem
        self.support = support
        self.why = why
        self.harmless = harmless
        self.not_yet = not_yet
        self.group = group
        self.member = member
        self.net_type = net_type
        self.help = help
        self.example = example
        self.since = since
        self.old = old

    def refusal(self, value: Any) -> str | None:
        """Why a container with this value cannot be started, None when it can."""
        if self.support == ACTS or self.support == ACCEPTED:
            return self.not_yet(value) if self.not_yet else None
        if value == self.default or value in self.harmless:
            return None
        return "not supported yet" if self.support == LATER else f"refused, because {self.why}"


HOOKS = (
    "lxc.hook.pre-start",
    "lxc.hook.pre-mount",
    "lxc.hook.mount",
    "lxc.hook.autodev",
    "lxc.hook.start-host",
    "lxc.hook.start",
    "lxc.hook.stop",
    "lxc.hook.post-stop",
    "lxc.hook.clone",
    "lxc.hook.destroy",
)
_CAPS = ("lxc.cap.drop", "lxc.cap.keep")

# One row a key, laid out by hand: what the parser needs, then what a reader needs.
# fmt: off
TABLE: tuple[Key, ...] = (
    # The config itself
    Key("lxc.include", parse=values.path, subsystem="config", since="1.0",
        example="/usr/share/lxc/config/common.conf",
        help="Reads a file at this place, or all files of a folder whose names end in .conf, in byte order. "
             "A relative path starts at the current directory."),
    Key("lxc.arch", parse=values.architecture, empty=NO_VALUE, subsystem="credentials", since="0.7",
        example="x86_64",
        help="The architecture that the container sees in uname(2): that of a 32-bit or of a 64-bit machine."),
    Key("lxc.uts.name", parse=values.host_name, subsystem="namespaces", since="2.1", old=("lxc.utsname",),
        example="web1",
        help="The host name inside. Without it the host's name stays."),
    # Root file system
    Key("lxc.rootfs.path", parse=values.rootfs, not_yet=values.rootfs_not_yet, subsystem="rootfs",
        since="2.1", old=("lxc.rootfs",), example="dir:/var/lib/lxc/web1/rootfs",
        help="Where the root file system is, after a type and a colon: dir:FOLDER, loop:IMAGE or "
             "overlay:LOWER[:LOWER...]:UPPER, whose work folder is `work` beside UPPER. Without a type a folder, an "
             "image or a block device. Without the key the container shares the host's tree."),
    Key("lxc.rootfs.mount", parse=values.path, subsystem="rootfs", since="0.7", example="/usr/lib/lxc/rootfs",
        help="The folder on which the root file system is mounted before it becomes the root."),
    Key("lxc.rootfs.options", parse=values.rootfs_options, default=(),
        subsystem="rootfs", since="1.0", example="ro,nosuid",
        help="Mount options for the root file system, separated by commas. idmap=container shows the files' "
             "owners as the container's ids, idmap=PATH as those of that user namespace; both take root."),
    Key("lxc.rootfs.managed", parse=values.boolean, default=True,
        subsystem="rootfs", since="3.1", example="1",
        help="Whether the root file system is deleted with the container (destroy, lxc.ephemeral)."),
    Key("lxc.rootfs.backend", parse=values.string, support=REFUSED,
        why="the type now stands before the path (lxc.rootfs.path = TYPE:PATH)", harmless=("dir",),
        subsystem="rootfs", since="2.0", example="dir",
        help="The type of the root file system, up to LXC 2.1."),
    Key("lxc.pivotdir", parse=values.string, support=ACCEPTED, why=_DROPPED, subsystem="rootfs", since="0.7",
        example="mnt",
        help="Where the old root was mounted during the change of roots, up to LXC 1.0."),
    # Init, its environment and its credentials
    Key("lxc.init.cmd", parse=values.command, default=("/sbin/init",), subsystem="init", since="2.1",
        old=("lxc.init_cmd",), example="/sbin/init --log-level=info",
        help="The program that `start` runs as process 1, with its arguments."),
    Key("lxc.execute.cmd", parse=values.command, subsystem="init", since="3.0",
        example='/bin/sh -c "echo hello"',
        help="The program that `execute` runs when no command is given."),
    Key("lxc.init.uid", parse=values.user_or_group_id, default=0, subsystem="credentials", since="2.1",
        old=("lxc.init_uid",), example="1000",
        help="The user id of process 1, as seen inside."),
    Key("lxc.init.gid", parse=values.user_or_group_id, default=0, subsystem="credentials", since="2.1",
        old=("lxc.init_gid",), example="1000",
        help="The group id of process 1, as seen inside."),
    Key("lxc.init.groups", parse=values.groups, default=(), many=True, merge=values.flat,
        subsystem="credentials", since="5.0", example="10,20",
        help="The supplementary groups of process 1, separated by commas."),
    Key("lxc.init.cwd", parse=values.path, default="/", subsystem="init", since="3.1", example="/srv",
        help="The working directory of process 1, inside."),
    Key("lxc.environment", parse=values.environment, default=(), many=True, subsystem="init", since="1.1",
        example="LANG=C.UTF-8",
        help="A variable for the payload and for the hooks in the container's namespaces: NAME=VALUE, or NAME to "
             "copy the caller's. The last of a name counts."),
    Key("lxc.environment.runtime", parse=values.environment, default=(), many=True, subsystem="init",
        since="7.0", example="LANG=C.UTF-8",
        help="A variable for the payload only."),
    Key("lxc.environment.hooks", parse=values.environment, default=(), many=True, subsystem="hooks",
        since="7.0", example="STAGE=test",
        help="A variable for the hooks only."),
    Key("lxc.cap.drop", parse=values.capabilities, default=(), many=True, merge=values.flat, clears=_CAPS,
        subsystem="credentials", since="0.7", example="sys_module sys_time",
        help="Capabilities that the container loses. Not together with lxc.cap.keep."),
    Key("lxc.cap.keep", parse=values.capabilities_or_none, many=True, merge=values.kept, clears=_CAPS,
        subsystem="credentials", since="1.0", example="chown setuid setgid",
        help="The only capabilities that the container has. Not together with lxc.cap.drop."),
    Key("lxc.no_new_privs", parse=values.boolean, default=False, subsystem="credentials", since="2.1",
        example="1",
        help="1: no program gains privileges by execve (set-user-id bits and file capabilities do nothing)."),
    # Seccomp
    Key("lxc.seccomp.profile", parse=values.path, subsystem="seccomp", since="2.1", old=("lxc.seccomp",),
        example="/usr/share/lxc/config/common.seccomp",
        help="The file with the seccomp policy."),
    Key("lxc.seccomp.allow_nesting", parse=values.boolean, default=False, subsystem="seccomp", since="3.1",
        example="1",
        help="1: load the policy although the caller is under a filter already; both then apply."),
    Key("lxc.seccomp.notify.proxy", parse=values.notify_proxy, support=LATER, subsystem="seccomp",
        since="3.2", example="unix:/run/proxy.sock",
        help="The socket of the program that answers system calls whose action is notify."),
    Key("lxc.seccomp.notify.cookie", parse=values.string, support=LATER, subsystem="seccomp", since="4.0",
        example="web1",
        help="A text that goes to the notify proxy with each request."),
    Key("minilxc.seccomp.newer", parse=values.string, subsystem="seccomp", since="minilxc 0.1",
        example="errno ENOSYS",
        help="The action for system calls that are newer than the policy, an allowlist: those with a higher "
             "number than any that it names on an ABI. `errno ENOSYS` lets new C libraries fall back to what "
             "the policy knows. Without it they get the policy's default. LXC ignores this line."),
    # Namespaces
    Key("lxc.idmap", parse=values.id_map, default=(), many=True, subsystem="idmap", since="2.1",
        old=("lxc.id_map",), example="u 0 100000 65536",
        help="Maps a range of user (u) or group (g) ids: first inside, first on the host, how many. Makes a "
             "user namespace."),
    Key("lxc.namespace.clone", parse=values.namespaces, default=(), many=True, merge=values.flat,
        subsystem="namespaces", since="3.0", example="mnt pid net",
        help="Exactly these namespaces are new. Not together with lxc.namespace.keep."),
    Key("lxc.namespace.keep", parse=values.namespaces, default=(), many=True, merge=values.flat,
        subsystem="namespaces", since="3.0", example="net ipc",
        help="These namespaces stay the caller's. Not together with lxc.namespace.clone."),
    Key("lxc.namespace.share.NS", parse=values.string, group="lxc.namespace.share", member=values.namespace,
        subsystem="namespaces", since="3.0", example="12345",
        help="Joins the namespace NS of a container (its name, or /PATH/NAME) or of a process (its pid)."),
    Key("lxc.time.offset.boot", parse=values.time_offset, default=0, subsystem="namespaces", since="4.0",
        example="2h",
        help="How far the boot-time clock inside is ahead. Makes a time namespace."),
    Key("lxc.time.offset.monotonic", parse=values.time_offset, default=0, subsystem="namespaces", since="4.0",
        example="-5s",
        help="How far the monotonic clock inside is ahead. Makes a time namespace."),
    # Mounts and devices
    Key("lxc.mount.entry", parse=values.mount_entry, default=(), many=True, subsystem="mounts", since="0.7",
        example="/srv/data srv/data none bind,create=dir,optional 0 0",
        help="A mount in the form of a line of fstab, the target below the root file system. Options of "
             "LXC's own: optional, create=dir, create=file, relative; idmap=container and idmap=PATH for bind mounts, "
             "as in lxc.rootfs.options."),
    Key("lxc.mount.fstab", parse=values.path, empty=NO_VALUE, subsystem="mounts", since="2.1",
        old=("lxc.mount",), example="/var/lib/lxc/web1/fstab",
        help="A file of mounts, made before those of lxc.mount.entry."),
    Key("lxc.mount.auto", parse=values.mount_auto, default=(), many=True, merge=values.auto_in_force,
        not_yet=values.mount_auto_not_yet, subsystem="mounts", since="1.0",
        example="proc:mixed sys:ro cgroup:mixed",
        help="The kernel's file systems that are mounted, and how much of them can be written. `mixed` keeps "
             "what would reach the host read-only."),
    Key("lxc.autodev", parse=values.boolean, default=True, empty="0", subsystem="devices", since="1.0",
        example="1",
        help="1: /dev is a new tmpfs with the usual few devices."),
    Key("lxc.autodev.tmpfs.size", parse=values.byte_count, default=500000, subsystem="devices", since="3.2",
        example="1000000",
        help="The size of that tmpfs, in bytes."),
    # Terminals
    Key("lxc.tty.max", parse=values.uint, default=0, subsystem="terminal", since="2.1", old=("lxc.tty",),
        example="4",
        help="How many terminals, /dev/tty1 and so on, the container gets."),
    Key("lxc.tty.dir", parse=values.path_below_dev, subsystem="terminal", since="2.1", old=("lxc.devttydir",),
        example="lxc",
        help="A folder below /dev for console and terminals; links to them stand at the usual places."),
    Key("lxc.pty.max", parse=values.uint, default=0, subsystem="terminal", since="2.1", old=("lxc.pts",),
        example="1024",
        help="How many pseudo-terminals can be opened inside. Above 0 the container has a devpts of its own."),
    Key("lxc.console.path", parse=values.path, subsystem="terminal", since="2.1", old=("lxc.console",),
        example="none",
        help="The terminal that is the console inside; `none` for no console. Without it a new one is made."),
    Key("lxc.console.logfile", parse=values.path, subsystem="terminal", since="1.1",
        example="/var/log/web1.console",
        help="A file that gets everything that is written to the console."),
    Key("lxc.console.size", parse=values.size, default=0, subsystem="terminal", since="3.0", example="64KB",
        help="The greatest size of the console's log file, in bytes: at least 4096, and rounded up to a power of "
             "two. 0 for none. A full file is emptied, or kept as FILE.1 with lxc.console.rotate."),
    Key("lxc.console.buffer.size", parse=values.size, default=0,
        subsystem="terminal", since="3.0", example="auto",
        help="How much of what was written to the console is kept in memory for those who ask later, in bytes."),
    Key("lxc.console.rotate", parse=values.boolean, default=False, subsystem="terminal", since="3.0",
        example="1",
        help="1: a log file of the console that has reached lxc.console.size is renamed to FILE.1, and a new one "
             "begun. There is one old file at most."),
    Key("lxc.kmsg", parse=values.boolean, support=ACCEPTED, why=_DROPPED, subsystem="terminal", since="1.0",
        example="0",
        help="Whether /dev/kmsg was a link to the console, up to LXC 2.1."),
    # Network
    Key("lxc.net", parse=values.nothing, subsystem="network", since="2.1", old=("lxc.network",), example="",
        help="Empty: takes back all interfaces that were written before."),
    Key("lxc.net.I.type", parse=values.net_type, subsystem="network",
        since="2.1", old=("lxc.network.type",), example="empty",
        help="The kind of interface I. `empty` is the loopback alone, `none` shares the host's network. "
             "Without any interface the container has an empty network of its own."),
    Key("lxc.net.I.flags", parse=values.net_flags, subsystem="network", since="2.1",
        old=("lxc.network.flags",), example="up",
        help="`up`: the interface is up. Without it, it stays down."),
    Key("lxc.net.I.link", parse=values.interface, subsystem="network", since="2.1",
        old=("lxc.network.link",), example="lxcbr0",
        help="The host's interface: the bridge of a veth, the parent of a macvlan, ipvlan or vlan, the "
             "device itself for phys."),
    Key("lxc.net.I.name", parse=values.interface, subsystem="network", since="2.1",
        old=("lxc.network.name",), example="eth0",
        help="The interface's name inside."),
    Key("lxc.net.I.hwaddr", parse=values.hardware_address, subsystem="network", since="2.1",
        old=("lxc.network.hwaddr",), example="00:16:3e:xx:xx:xx",
        help="The interface's hardware address; each x becomes a random digit."),
    Key("lxc.net.I.mtu", parse=values.mtu, subsystem="network", since="2.1",
        old=("lxc.network.mtu",), example="1500",
        help="The largest packet, in bytes."),
    Key("lxc.net.I.ipv4.address", parse=values.ipv4_address, default=(), many=True,
        subsystem="network", since="2.1", old=("lxc.network.ipv4",), example="10.0.3.5/24",
        help="An IPv4 address with the length of its prefix, and the broadcast address where it is unusual."),
    Key("lxc.net.I.ipv4.gateway", parse=values.ipv4_gateway, subsystem="network", since="2.1",
        old=("lxc.network.ipv4.gateway",), example="10.0.3.1",
        help="The default route: an address, `auto` (that of the link) or `dev`."),
    Key("lxc.net.I.ipv6.address", parse=values.ipv6_address, default=(), many=True,
        subsystem="network", since="2.1", old=("lxc.network.ipv6",), example="fd00::5/64",
        help="An IPv6 address with the length of its prefix."),
    Key("lxc.net.I.ipv6.gateway", parse=values.ipv6_gateway, subsystem="network", since="2.1",
        old=("lxc.network.ipv6.gateway",), example="fd00::1",
        help="The default route: an address, `auto` (that of the link) or `dev`."),
    Key("lxc.net.I.l2proxy", parse=values.boolean, default=False, subsystem="network",
        since="3.2", example="0",
        help="1: the link answers neighbour requests for the interface's addresses."),
    Key("lxc.net.I.script.up", parse=values.string, subsystem="network", since="2.1",
        old=("lxc.network.script.up",), example="/usr/local/bin/net-up",
        help="A command that runs on the host when the interface was made."),
    Key("lxc.net.I.script.down", parse=values.string, subsystem="network", since="2.1",
        old=("lxc.network.script.down",), example="/usr/local/bin/net-down",
        help="A command that runs on the host before the interface goes; for phys when it is back."),
    Key("lxc.net.I.veth.pair", parse=values.interface, net_type="veth", subsystem="network",
        since="2.1", old=("lxc.network.veth.pair",), example="veth-web1",
        help="The name of the host's end."),
    Key("lxc.net.I.veth.mode", parse=values.veth_mode, default="bridge", net_type="veth",
        subsystem="network", since="3.2", example="router",
        help="Whether the host's end joins a bridge or gets routes to the interface's addresses."),
    Key("lxc.net.I.veth.ipv4.route", parse=values.ipv4_route, default=(), many=True, net_type="veth",
        subsystem="network", since="3.2", example="192.0.2.0/24",
        help="A network that the host reaches through the interface."),
    Key("lxc.net.I.veth.ipv6.route", parse=values.ipv6_route, default=(), many=True, net_type="veth",
        subsystem="network", since="3.2", example="2001:db8::/64",
        help="A network that the host reaches through the interface."),
    Key("lxc.net.I.veth.n_rxqueues", parse=values.queues, net_type="veth", subsystem="network",
        since="5.0", example="2",
        help="How many receive queues the interface has."),
    Key("lxc.net.I.veth.n_txqueues", parse=values.queues, net_type="veth", subsystem="network",
        since="5.0", example="2",
        help="How many transmit queues the interface has."),
    Key("lxc.net.I.veth.vlan.id", parse=values.vlan_id_or_none, net_type="veth",
        subsystem="network", since="5.0", example="100",
        help="The VLAN of untagged packets on the bridge's port; `none` takes the bridge's default away."),
    Key("lxc.net.I.veth.vlan.tagged.id", parse=values.vlan_id, default=(), many=True, net_type="veth",
        subsystem="network", since="5.0", example="200",
        help="A VLAN whose tagged packets pass the bridge's port."),
    Key("lxc.net.I.macvlan.mode", parse=values.macvlan_mode, default="private", net_type="macvlan",
        subsystem="network", since="2.1", old=("lxc.network.macvlan.mode",), example="bridge",
        help="Whom a macvlan can reach: nobody on its parent, others by way of the switch, or directly."),
    Key("lxc.net.I.ipvlan.mode", parse=values.ipvlan_mode, default="l3", net_type="ipvlan",
        subsystem="network", since="3.2", example="l3s",
        help="The layer at which an ipvlan hands packets to its parent."),
    Key("lxc.net.I.ipvlan.isolation", parse=values.ipvlan_isolation, default="bridge", net_type="ipvlan",
        subsystem="network", since="3.2", example="private",
        help="Whether the ipvlans of a parent reach each other."),
    Key("lxc.net.I.vlan.id", parse=values.vlan_id, net_type="vlan", subsystem="network",
        since="2.1", old=("lxc.network.vlan.id",), example="100",
        help="The number of the VLAN."),
    # Control groups
    Key("lxc.cgroup.CTRL.FILE", parse=values.string, many=True, group="lxc.cgroup", member=values.dotted_name,
        subsystem="cgroups", since="0.7", example="512M",
        help="A value for a file of the container's control group in version 1, as lxc.cgroup.memory.limit_in_bytes; "
             "devices.* take effect just before the payload. What the kernel does not take stops the start."),
    Key("lxc.cgroup2.CTRL.FILE", parse=values.string, many=True, group="lxc.cgroup2",
        member=values.dotted_name, subsystem="cgroups", since="3.0", example="512M",
        help="The same in version 2, as lxc.cgroup2.memory.max; devices.allow and devices.deny become a program "
             "of the kernel's. Refused where version 2 does not have the controller, unless lxc.cgroup has lines "
             "for it and version 1 has it."),
    Key("lxc.cgroup.dir", parse=values.cgroup_path, subsystem="cgroups", since="2.1",
        example="lxc.containers",
        help="The control group below which those of the container are made. Where it is missing, it is made and "
             "removed again."),
    Key("lxc.cgroup.dir.container", parse=values.cgroup_path, support=REFUSED, why=_NO_MONITOR_GROUP,
        subsystem="cgroups", since="4.0", example="payload",
        help="The control group of the container."),
    Key("lxc.cgroup.dir.container.inner", parse=values.folder_name, support=REFUSED, why=_NO_MONITOR_GROUP,
        subsystem="cgroups", since="4.0", example="ns",
        help="The control group, below that, which the container sees as its root."),
    Key("lxc.cgroup.dir.monitor", parse=values.cgroup_path, support=REFUSED, why=_NO_MONITOR_GROUP,
        subsystem="cgroups", since="4.0", example="monitor",
        help="The control group of the monitor."),
    Key("lxc.cgroup.dir.monitor.pivot", parse=values.cgroup_path, support=REFUSED, why=_NO_MONITOR_GROUP,
        subsystem="cgroups", since="4.0", example="pivot",
        help="The control group into which the monitor goes at the end."),
    Key("lxc.cgroup.relative", parse=values.boolean, default=False, subsystem="cgroups",
        since="3.1", example="0",
        help="1: control groups are made below the caller's instead of below those of the machine's process 1."),
    # Limits and settings of the kernel
    Key("lxc.prlimit.NAME", parse=values.resource_limit, group="lxc.prlimit", member=values.limit_name,
        subsystem="limits", since="2.1", old=("lxc.limit.NAME",), example="1024:4096",
        help="A resource limit, as of getrlimit(2): soft, hard; a number or `unlimited`."),
    Key("lxc.sysctl.KEY", parse=values.string, group="lxc.sysctl", member=values.dotted_name,
        subsystem="limits", since="2.1", example="1",
        help="A setting below /proc/sys, written in the container's namespaces."),
    Key("lxc.proc.FILE", parse=values.string, many=True, group="lxc.proc", member=values.dotted_name,
        subsystem="limits", since="3.0", example="500",
        help="A value for a file of process 1 in the host's /proc, such as oom_score_adj."),
    # Hooks
    Key("lxc.hook", parse=values.nothing, clears=HOOKS, subsystem="hooks", since="1.0", example="",
        help="Empty: takes back all hooks that were written before."),
    Key("lxc.hook.pre-start", parse=values.string, default=(), many=True, subsystem="hooks",
        since="0.9", example="/usr/local/bin/hook",
        help="A command that runs on the host before anything of the container exists."),
    Key("lxc.hook.pre-mount", parse=values.string, default=(), many=True, subsystem="hooks",
        since="0.9", example="/usr/local/bin/hook",
        help="A command that runs in the container's namespaces before the root file system is mounted."),
    Key("lxc.hook.mount", parse=values.string, default=(), many=True, subsystem="hooks",
        since="0.9", example="/usr/local/bin/hook",
        help="A command that runs in the container's namespaces after the mounts, before the root changes."),
    Key("lxc.hook.autodev", parse=values.string, default=(), many=True, subsystem="hooks",
        since="0.9", example="/usr/local/bin/hook",
        help="A command that runs after those of lxc.hook.mount when lxc.autodev is 1, to add devices."),
    Key("lxc.hook.start-host", parse=values.string, default=(), many=True, subsystem="hooks",
        since="2.1", example="/usr/local/bin/hook",
        help="A command that runs on the host when the container is set up, before its init."),
    Key("lxc.hook.start", parse=values.string, default=(), many=True, subsystem="hooks",
        since="0.9", example="/usr/local/bin/hook",
        help="A command that runs inside, right before init: as the same user, under the same policy, with the "
             "same capabilities."),
    Key("lxc.hook.stop", parse=values.string, default=(), many=True, subsystem="hooks",
        since="1.1", example="/usr/local/bin/hook",
        help="A command that runs on the host when init has ended, with the container's namespaces at hand."),
    Key("lxc.hook.post-stop", parse=values.string, default=(), many=True, subsystem="hooks",
        since="0.9", example="/usr/local/bin/hook",
        help="A command that runs on the host when the container is gone."),
    Key("lxc.hook.clone", parse=values.string, default=(), many=True, subsystem="hooks", since="1.0",
        example="/usr/share/lxc/hooks/clonehostname",
        help="A command that runs on the host when the container has been copied, before the copy is in its place."),
    Key("lxc.hook.destroy", parse=values.string, default=(), many=True, subsystem="hooks", since="1.1",
        example="/bin/true",
        help="A command that runs on the host before the container is destroyed, which stays if it fails."),
    Key("lxc.hook.version", parse=values.version, default=0, subsystem="hooks", since="3.0", example="1",
        help="How hooks and the scripts of interfaces learn about the container. 0: by arguments behind their own, "
             "NAME, `lxc` (`net` for a script) and the kind of the hook; then for a script the type, the link and the "
             "host's end of a veth, for a stop hook KIND:PATH of each namespace. 1: by LXC_HOOK_SECTION, "
             "LXC_HOOK_TYPE, LXC_NET_TYPE, LXC_NET_PARENT and LXC_NET_PEER (scripts keep the last three arguments). "
             "Always there are LXC_NAME, LXC_CONFIG_FILE, LXC_ROOTFS_PATH, LXC_ROOTFS_MOUNT, LXC_CGNS_AWARE, "
             "LXC_LOG_LEVEL and LXC_HOOK_VERSION, and LXC_CONSOLE and LXC_CONSOLE_LOGPATH where they are set; "
             "LXC_PID on the host once process 1 is there; LXC_TARGET (stop, reboot) and LXC_KIND_NS at the end."),
    # The container's life
    Key("lxc.signal.halt", parse=values.signal, default=SIGNALS["SIGPWR"],
        subsystem="monitor", since="2.1", old=("lxc.haltsignal",), example="SIGRTMIN+3",
        help="The signal that asks init to shut down."),
    Key("lxc.signal.reboot", parse=values.signal, default=SIGNALS["SIGINT"],
        subsystem="monitor", since="2.1", old=("lxc.rebootsignal",), example="SIGINT",
        help="The signal that asks init to start again."),
    Key("lxc.signal.stop", parse=values.signal, default=SIGNALS["SIGKILL"],
        subsystem="monitor", since="2.1", old=("lxc.stopsignal",), example="SIGKILL",
        help="The signal that ends init when it did not shut down in time."),
    Key("lxc.monitor.signal.pdeath", parse=values.signal_or_none, default=SIGNALS["SIGKILL"], empty="0",
        subsystem="monitor", since="4.0", example="SIGKILL",
        help="The signal that init gets when the monitor dies; 0 for none."),
    Key("lxc.monitor.unshare", parse=values.switch, default=False, subsystem="monitor", since="2.0",
        example="1",
        help="1: the monitor has a mount namespace of its own, so what pre-start hooks mount stays off the "
             "host."),
    Key("lxc.ephemeral", parse=values.boolean, default=False, subsystem="monitor", since="2.0",
        example="0",
        help="1: when the container stops, its folder (PATH/NAME) is removed with all that is in it. The config must "
             "lie there, and what the container writes to as well, unless lxc.rootfs.managed is 0; the start "
             "is refused otherwise."),
    Key("lxc.keyring.session", parse=values.boolean, default=True, subsystem="credentials", since="3.2",
        example="0",
        help="0: the container gets no session keyring of its own and keeps the caller's."),
    Key("lxc.sched.core", parse=values.boolean, default=False, subsystem="limits", since="5.0",
        example="1",
        help="1: the container's processes share a processor core with nobody else."),
    Key("lxc.log.level", parse=values.log_level, subsystem="log", since="2.1", old=("lxc.loglevel",),
        example="debug",
        help="The least serious messages that are logged; without it, error. The option -l wins."),
    Key("lxc.log.file", parse=values.path, subsystem="log", since="2.1", old=("lxc.logfile",),
        example="/var/log/web1.log",
        help="The file that messages are written to. The option -o wins."),
    Key("lxc.log.syslog", parse=values.syslog_facility, support=REFUSED,
        why="minilxc does not write to syslog", subsystem="log", since="2.1", old=("lxc.syslog",),
        example="daemon",
        help="The syslog facility that messages are sent to."),
    Key("lxc.start.auto", parse=values.boolean, default=False,
        subsystem="monitor", since="1.0", example="1",
        help="1: the container starts at boot."),
    Key("lxc.start.delay", parse=values.uint, default=0,
        subsystem="monitor", since="1.0", example="3",
        help="How long to wait after this container before the next one is started, in seconds."),
    Key("lxc.start.order", parse=values.integer, default=0,
        subsystem="monitor", since="1.0", example="10",
        help="The place in the order of starts; lower is earlier."),
    Key("lxc.group", parse=values.words, default=(), many=True, merge=values.flat, subsystem="monitor",
        since="1.0", example="web onboot",
        help="Groups of containers that are started together."),
    # Security modules
    Key("lxc.apparmor.profile", parse=values.string, subsystem="credentials", since="2.1",
        old=("lxc.aa_profile",), example="lxc-container-default-cgns",
        help="The AppArmor profile of the container, by its name. `unconfined` and `unchanged` are none: with "
             "`unchanged`, and without this key, the container is confined as the caller is."),
    Key("lxc.apparmor.allow_incomplete", parse=values.boolean, default=False, subsystem="credentials",
        since="2.1", old=("lxc.aa_allow_incomplete",), example="1",
        help="1: start although the kernel's AppArmor cannot judge mounts, or there is none."),
    Key("lxc.apparmor.allow_nesting", parse=values.boolean, default=False, support=ACCEPTED,
        why="minilxc generates no AppArmor profile", subsystem="credentials", since="3.1", example="0",
        help="1: the generated profile lets containers run inside."),
    Key("lxc.apparmor.raw", parse=values.string, default=(), many=True, support=REFUSED,
        why="minilxc generates no AppArmor profile", subsystem="credentials", since="3.1",
        example="deny /proc/kcore rwklx,",
        help="A line for the generated profile."),
    Key("lxc.selinux.context", parse=values.string, subsystem="credentials", since="2.1",
        old=("lxc.se_context",), example="system_u:system_r:lxc_t:s0:c22",
        help="The SELinux context of the container. Without it, and with `unconfined_t`, none is set."),
    Key("lxc.selinux.context.keyring", parse=values.string, subsystem="credentials", since="3.2",
        example="system_u:system_r:lxc_t:s0:c22",
        help="The SELinux context of the container's session keyring."),
)
# fmt: on

_INTERFACE = "lxc.net.I."

KEYS: dict[str, Key] = {key.name: key for key in TABLE if not (key.group or key.name.startswith(_INTERFACE))}
"""The rows that match exactly, by name."""

GROUPS: dict[str, Key] = {key.group: key for key in TABLE if key.group}
"""The rows that match by prefix, by that prefix."""

NETWORK: dict[str, Key] = {
    key.name.removeprefix(_INTERFACE): key for key in TABLE if key.name.startswith(_INTERFACE)
}
"""The rows of an interface, by what follows `lxc.net.I.`."""
