"""Who and where the payload is: namespaces, id maps, capabilities, limits, personality, clocks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers import machine

BOTH = pytest.mark.parametrize("verb", ["execute", "start"])
KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
POLICIES = pytest.mark.parametrize(
    "policy", [None, "2\ndenylist\nmkdir errno ECONNREFUSED\n"], ids=["no policy", "policy"]
)
MAPPED = ("lxc.idmap = u 0 200000 65536", "lxc.idmap = g 0 300000 65536")


def new_namespaces(box, **more):
    """The kinds of which the payload has another one than the test."""
    shown = box.read("sh", "-c", "cd /proc/self/ns; for n in *; do echo $n $(readlink $n); done", **more)
    inside = dict(line.split() for line in shown.splitlines())
    return {kind for kind in KINDS if inside[kind] != os.readlink(f"/proc/self/ns/{kind}")}


def fields(box, *names, **more):
    """Fields of the payload's /proc/PID/status."""
    shown = box.read("cat", "/proc/self/status", **more)
    found = {key: value.strip() for key, _, value in (line.partition(":") for line in shown.splitlines())}
    return [found[name] for name in names]


def sets(box, **more):
    """The payload's capability sets: inheritable, permitted, effective, bounding, ambient."""
    return [int(word, 16) for word in fields(box, "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", **more)]


def bits(*capabilities):
    return sum(1 << capability for capability in capabilities)


LAST = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
# What the tests' own user may have at most: the payload cannot get more.
EVERYTHING = int(Path("/proc/self/status").read_text().split("CapBnd:")[1].split()[0], 16)


# --- namespaces


@BOTH
def test_namespaces_are_all_new_but_user_and_time(container, verb):
    """lxc-keys.md 4.8: the default set."""
    assert new_namespaces(container(), verb=verb) == {"cgroup", "ipc", "mnt", "net", "pid", "uts"}


@BOTH
def test_namespaces_to_clone_are_exactly_those(container, verb):
    assert new_namespaces(container("lxc.namespace.clone = mnt pid ipc"), verb=verb) == {"mnt", "pid", "ipc"}


def test_namespaces_to_keep_are_taken_from_the_default_set(container):
    """LXC 5.0.2 adds a user namespace without ids there, and the start fails (lxc-keys.md 4.8)."""
    assert new_namespaces(container("lxc.namespace.keep = net ipc time")) == {"cgroup", "mnt", "pid", "uts"}


@BOTH
def test_kept_pid_namespace_shows_the_hosts_processes(container, verb):
    box = container("lxc.namespace.keep = pid")
    assert box.run("sh", "-c", f"test -d /proc/{os.getpid()} && exit 9", verb=verb) == (9, "", "")


def test_network_type_none_shares_the_hosts_network(container):
    assert "net" not in new_namespaces(container("lxc.net.0.type = none"))


def test_network_has_only_a_loopback_that_is_up_when_asked(container):
    box = container("lxc.net.0.type = empty", "lxc.net.0.flags = up")
    assert box.read("sh", "-c", "ls /sys/class/net; cat /sys/class/net/lo/flags") == "lo\n0x9\n"


def test_namespace_of_another_container_is_shared_by_name(container):
    first = container("lxc.uts.name = first")
    second = container()
    process = first.popen("sh", "-c", "echo ready; read line", verb="start", stdin=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    second.configure(f"lxc.namespace.share.uts = {first.name}")
    assert second.read("hostname") == "first\n"


@BOTH
def test_pid_namespace_of_another_container_is_shared_by_name(container, verb):
    first = container()
    second = container()
    process = first.popen("sh", "-c", "echo ready; read line", verb="start", stdin=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    second.configure(f"lxc.namespace.share.pid = {first.name}")
    shown = second.read("cat", "/proc/1/cmdline", verb=verb)
    assert shown.split("\0")[0] == "sh"
    process.communicate("\n")


def test_namespace_of_a_process_is_shared_by_its_number(container):
    assert "net" not in new_namespaces(container(f"lxc.namespace.share.net = {os.getpid()}"))


def test_namespace_of_a_process_is_shared_under_an_id_map(container):
    # A sysfs of its own takes power over the network namespace.
    lines = ("lxc.mount.auto =", "lxc.mount.auto = proc", *MAPPED)
    box = container(*lines, *(f"lxc.namespace.share.{kind} = {os.getpid()}" for kind in ("net", "uts")))
    for kind in ("net", "uts"):
        assert box.read("readlink", f"/proc/self/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}") + "\n"


def test_hook_is_not_taken_for_the_container(container):
    """While its pre-start hook runs, the container has no namespaces; the hook's are the host's."""
    first = container("lxc.hook.pre-start = echo begun >&2; sleep 100")
    process = first.popen("true", verb="start")
    machine.wait_for(lambda: machine.descendants(process.pid), "the hook runs")
    line = f"lxc.namespace.share.net = {first.name}"
    second = container(line)
    message = f"lxc.namespace.share.net: container '{first.name}' is not running"
    assert second.run("true") == (1, "", f"minilxc: {second.line_of(line)}: {message}\n")
    process.terminate()
    process.wait()


def test_clock_that_is_shared_has_no_offset(container):
    line = f"lxc.namespace.share.time = {os.getpid()}"
    box = container(line, "lxc.time.offset.boot = 1h")
    message = "lxc.namespace.share.time: a clock that is shared cannot have an offset of its own"
    assert box.run("true") == (1, "", f"minilxc: {box.line_of(line)}: {message}\n")


def test_namespace_of_a_container_that_does_not_run_is_refused(container):
    line = "lxc.namespace.share.net = nobody-of-that-name"
    box = container(line)
    message = "lxc.namespace.share.net: container 'nobody-of-that-name' is not running"
    assert box.run("true") == (1, "", f"minilxc: {box.line_of(line)}: {message}\n")


@BOTH
def test_host_name_is_the_configs(container, verb):
    assert container("lxc.uts.name = A.b-c").read("hostname", verb=verb) == "A.b-c\n"


def test_host_name_without_a_namespace_for_it_is_refused(container):
    """LXC renames the host (lxc-keys.md 4.8, tested)."""
    box = container("lxc.uts.name = stolen", "lxc.namespace.clone = mnt pid")
    why = "lxc.uts.name: without a UTS namespace of its own the container would rename the host"
    assert box.run("true") == (1, "", f"minilxc: {box.line_of('lxc.uts.name = stolen')}: {why}\n")


def test_mounts_of_the_host_are_never_the_containers(container):
    box = container("lxc.namespace.keep = mnt")
    why = "without a mount namespace of its own the container would change the host's mounts"
    assert box.run("true") == (1, "", f"minilxc: {box.line_of('lxc.namespace.keep = mnt')}: {why}\n")


# --- clocks


@BOTH
def test_clocks_are_moved_by_the_offsets(container, verb):
    box = container("lxc.time.offset.boot = 1000000s", "lxc.time.offset.monotonic = 2000000s")
    before = float(Path("/proc/uptime").read_text().split()[0])
    shown = box.read("sh", "-c", "cat /proc/uptime; cat /proc/self/timens_offsets", verb=verb)
    uptime, *_ = shown.split()
    assert float(uptime) >= before + 1_000_000
    assert [line.split() for line in shown.splitlines()[1:]] == [
        ["monotonic", "2000000", "0"],
        ["boottime", "1000000", "0"],
    ]


@BOTH
def test_clocks_of_a_mapped_container_are_moved_too(container, verb):
    """After the change of ids the offsets' file is root's."""
    box = container(*MAPPED, "lxc.time.offset.boot = 1000000s")
    assert box.read("cat", "/proc/self/timens_offsets", verb=verb).split()[-2:] == ["1000000", "0"]


def test_negative_offset_with_a_fraction_is_exact(container):
    box = container("lxc.time.offset.monotonic = -1500ms")
    assert box.read("cat", "/proc/self/timens_offsets").split()[:3] == ["monotonic", "-2", "500000000"]


# --- ids


@BOTH
@POLICIES
def test_mapped_root_is_root_inside_and_nobody_of_the_host(container, verb, policy):
    box = container(*MAPPED, policy=policy)
    box.root.chmod(0o755)
    shown = box.read("sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map; id -u; id -g; id -G", verb=verb)
    assert shown.split() == ["0", "200000", "65536", "0", "300000", "65536", "0", "0", "0"]
    assert new_namespaces(box, verb=verb) == {"cgroup", "ipc", "mnt", "net", "pid", "uts", "user"}


@BOTH
def test_mapped_user_becomes_who_init_shall_be(container, verb):
    box = container(*MAPPED, "lxc.init.uid = 1000", "lxc.init.gid = 1001")
    assert fields(box, "Uid", "Gid", "Groups", verb=verb) == [
        "\t".join(["1000"] * 4),
        "\t".join(["1001"] * 4),
        "",
    ]


def test_root_maps_ids_that_etc_subuid_does_not_grant(container):
    """LXC calls newuidmap even as root, which refuses them (lxc-keys.md 4.3)."""
    box = container("lxc.idmap = u 0 1234567 1", "lxc.idmap = g 0 7654321 1")
    assert box.read("cat", "/proc/self/uid_map").split() == ["0", "1234567", "1"]


def test_several_ranges_are_all_mapped(container):
    box = container(*MAPPED, "lxc.idmap = u 100000 500000 10", "lxc.idmap = g 100000 600000 20")
    assert box.read("cat", "/proc/self/gid_map").split() == ["0", "300000", "65536", "100000", "600000", "20"]


@pytest.mark.parametrize("lines", [MAPPED[:1], MAPPED[1:]], ids=["only u", "only g"])
def test_map_of_one_kind_only_is_refused(container, lines):
    box = container(*lines)
    missing = "g" if lines == MAPPED[:1] else "u"
    why = f"lxc.idmap: there is no line for '{missing}'"
    assert box.run("true") == (1, "", f"minilxc: {box.line_of(lines[0])}: {why}\n")


def test_user_outside_of_the_map_is_refused(container):
    box = container("lxc.idmap = u 0 200000 10", "lxc.idmap = g 0 200000 10", "lxc.init.uid = 10")
    why = "lxc.init.uid: 10 has no place in the id map"
    assert box.run("true") == (1, "", f"minilxc: {box.line_of('lxc.init.uid = 10')}: {why}\n")


@BOTH
def test_devices_of_a_mapped_container_are_the_real_ones(container, verb):
    """mknod is not allowed there: the host's are bound."""
    shown = container(*MAPPED).read("stat", "-c", "%n %t,%T", *(f"/dev/{name}" for name in NODES), verb=verb)
    assert dict(line.split() for line in shown.splitlines()) == {
        f"/dev/{name}": number for name, number in NODES.items()
    }


NODES = {"full": "1,7", "null": "1,3", "random": "1,8", "tty": "5,0", "urandom": "1,9", "zero": "1,5"}


# --- capabilities


@BOTH
@POLICIES
def test_all_capabilities_stay_when_the_config_says_nothing(container, verb, policy):
    assert sets(container(policy=policy), verb=verb) == [0, EVERYTHING, EVERYTHING, EVERYTHING, 0]


@BOTH
@POLICIES
@pytest.mark.parametrize("nnp", [0, 1])
def test_dropped_capabilities_are_gone_and_no_other(container, verb, policy, nnp):
    """CAP_SYS_ADMIN is what loads the filter; dropped, it must not outlive that."""
    box = container(
        "lxc.cap.drop = sys_admin sys_module", "lxc.cap.drop = 22", f"lxc.no_new_privs = {nnp}", policy=policy
    )
    left = EVERYTHING & ~bits(21, 16, 22)
    assert sets(box, verb=verb) == [0, left, left, left, 0]


@BOTH
@POLICIES
@pytest.mark.parametrize("nnp", [0, 1])
def test_kept_capabilities_are_all_there_are(container, verb, policy, nnp):
    box = container(
        "lxc.cap.keep = chown kill", "lxc.cap.keep = net_raw", f"lxc.no_new_privs = {nnp}", policy=policy
    )
    assert sets(box, verb=verb) == [0, *[bits(0, 5, 13)] * 3, 0]


@BOTH
@POLICIES
def test_keep_none_leaves_no_capability(container, verb, policy):
    assert sets(container("lxc.cap.keep = none", policy=policy), verb=verb) == [0] * 5


@BOTH
@POLICIES
@pytest.mark.parametrize("nnp", [0, 1])
def test_other_user_has_no_capability_but_the_bounding_set(container, verb, policy, nnp):
    """lxc-keys.md 4.4."""
    box = container(
        "lxc.init.uid = 1000",
        "lxc.init.gid = 1000",
        "lxc.cap.drop = mknod",
        f"lxc.no_new_privs = {nnp}",
        policy=policy,
    )
    assert sets(box, verb=verb) == [0, 0, 0, EVERYTHING & ~bits(27), 0]


@BOTH
@POLICIES
def test_capabilities_of_a_mapped_container_are_the_configs(container, verb, policy):
    box = container(*MAPPED, "lxc.cap.drop = sys_admin", policy=policy)
    left = bits(*range(LAST + 1)) & ~bits(21)  # a new user namespace begins with all of them
    assert sets(box, verb=verb) == [0, left, left, left, 0]


@BOTH
def test_callers_inheritable_and_ambient_capabilities_do_not_reach_the_payload(container, verb):
    """CVE-2022-24769: inheritable ones made a container's files more powerful."""
    box = container("lxc.init.uid = 1000", "lxc.init.gid = 1000")
    wrap = ("setpriv", "--inh-caps", "+net_raw,+chown", "--ambient-caps", "+net_raw,+chown")
    assert sets(box, verb=verb, wrap=wrap) == [0, 0, 0, EVERYTHING, 0]


@BOTH
@pytest.mark.parametrize("nnp", [0, 1])
@POLICIES
def test_no_new_privs_is_what_the_config_says(container, verb, policy, nnp):
    """Forcing it on for the filter's sake would break every setuid program inside."""
    box = container(f"lxc.no_new_privs = {nnp}", policy=policy)
    filters = ["0", "0"] if policy is None else ["2", "1"]
    assert fields(box, "NoNewPrivs", "Seccomp", "Seccomp_filters", verb=verb) == [str(nnp), *filters]


@BOTH
def test_user_without_new_privileges_still_gets_the_policy(container, verb):
    box = container(
        "lxc.init.uid = 1000", "lxc.init.gid = 1000", policy="2\ndenylist\nmkdir errno ECONNREFUSED\n"
    )
    assert fields(box, "NoNewPrivs", "Seccomp", "Seccomp_filters", verb=verb) == ["0", "2", "1"]
    assert box.calls("mkdir", "/tmp/x", "0755", verb=verb) == ["ECONNREFUSED"]


# --- limits, sysctls, personality


@BOTH
def test_resource_limits_are_the_configs(container, verb):
    box = container(
        "lxc.prlimit.nofile = 30:40",
        "lxc.prlimit.nproc = 111",
        "lxc.prlimit.core = unlimited",
        "lxc.prlimit.sigpending = 5:10",
    )
    limits = {
        line[:26].strip(): line[26:].split()[:2]
        for line in box.read("cat", "/proc/self/limits", verb=verb).splitlines()
    }
    assert limits["Max open files"] == ["30", "40"]
    assert limits["Max processes"] == ["111", "111"]
    assert limits["Max core file size"] == ["unlimited", "unlimited"]
    assert limits["Max pending signals"] == ["5", "10"]


@pytest.mark.parametrize(
    "limit",
    [
        "nofile = 3",
        "fsize = 0",
        "nproc = 0",
        "as = 4194304",
        "data = 2097152",
        "stack = 131072",
        "memlock = 0",
    ],
)
@BOTH
def test_tight_limit_is_the_payloads_and_does_not_stop_the_start(container, verb, limit):
    """C3, P13: the launcher's own last steps must fit into any limit that the payload fits into."""
    box = container(
        f"lxc.prlimit.{limit}", "lxc.pty.max = 2", policy="2\ndenylist\nmkdir errno ECONNREFUSED\n"
    )
    assert box.calls("mkdir", "/tmp/x", "0755", verb=verb) == ["ECONNREFUSED"]


def test_soft_limit_above_the_hard_one_is_refused(container):
    box = container("lxc.prlimit.nofile = 50:40")
    why = "lxc.prlimit.nofile: the soft limit is above the hard limit in '50:40'"
    assert box.run("true") == (1, "", f"minilxc: {box.line_of('lxc.prlimit.nofile = 50:40')}: {why}\n")


@BOTH
def test_sysctl_is_set_in_the_containers_namespaces(container, verb):
    box = container(
        "lxc.sysctl.net.ipv4.ip_forward = 1",
        "lxc.sysctl.kernel.msgmax = 4321",
        "lxc.sysctl.kernel.domainname = inside",
    )
    before = [Path(f"/proc/sys/{path}").read_text() for path in ("kernel/msgmax", "kernel/domainname")]
    shown = box.read(
        "sh", "-c", "cd /proc/sys; cat net/ipv4/ip_forward kernel/msgmax kernel/domainname", verb=verb
    )
    assert shown.split() == ["1", "4321", "inside"]
    assert [
        Path(f"/proc/sys/{path}").read_text() for path in ("kernel/msgmax", "kernel/domainname")
    ] == before


@pytest.mark.parametrize(
    ("key", "namespace"),
    [
        ("net.ipv4.ip_forward", "net"),
        ("kernel.hostname", "uts"),
        ("kernel.msgmax", "ipc"),
        ("fs.mqueue.msg_max", "ipc"),
        ("kernel.sem", "ipc"),
    ],
)
def test_sysctl_that_would_be_the_hosts_is_refused(container, key, namespace):
    """The value written is the host's own, so that nothing changes where it is not refused."""
    path = Path("/proc/sys") / key.replace(".", "/")
    line = f"lxc.sysctl.{key} = {path.read_text().strip()}"
    box = container(line, f"lxc.namespace.keep = {namespace}")
    why = f"without a {namespace} namespace of its own the container would set the host's"
    assert box.run("true") == (1, "", f"minilxc: {box.line_of(line)}: lxc.sysctl.{key}: {why}\n")


def test_unknown_sysctl_is_refused_with_its_line(container):
    box = container("lxc.sysctl.kernel.nothing = 1")
    where = box.line_of("lxc.sysctl.kernel.nothing = 1")
    assert box.run("true") == (
        1,
        "",
        f"minilxc: {where}: lxc.sysctl.kernel.nothing: there is no /proc/sys/kernel/nothing\n",
    )


def test_sysctl_that_the_kernel_refuses_is_told(container):
    box = container("lxc.sysctl.kernel.msgmax = no number")
    result = box.run("true")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"minilxc: {box.name}: sysctl: /proc/sys/kernel/msgmax: Invalid argument")
    assert result.err.count("\n") == 1


def test_file_of_proc_is_written_for_the_payload(container):
    assert container("lxc.proc.oom_score_adj = 321").read("cat", "/proc/self/oom_score_adj") == "321\n"


@BOTH
@pytest.mark.parametrize(("word", "shown"), [("i686", "i686"), ("linux32", "i686"), ("x86_64", "x86_64")])
def test_architecture_is_what_uname_says(container, verb, word, shown):
    assert container(f"lxc.arch = {word}").read("uname", "-m", verb=verb) == f"{shown}\n"


def test_container_of_a_killed_start_lets_go_of_its_shared_namespaces(container):
    box = container(f"lxc.namespace.share.net = {os.getpid()}")
    process = box.popen("sh", "-c", "echo ready; read line", stdin=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    below = machine.descendants(process.pid)
    process.kill()
    process.wait()
    machine.wait_until_gone(*below)


def test_limit_on_processes_that_leaves_no_room_for_init_is_told(container):
    box = container(*MAPPED, "lxc.prlimit.nproc = 1")
    assert box.run("true") == (1, "", f"minilxc: {box.name}: fork: Resource temporarily unavailable\n")


def test_setting_that_is_the_machines_is_refused(container):
    """Written through the host's /proc/sys, it would be the host's; LXC's own is read-only by then."""
    value = Path("/proc/sys/vm/swappiness").read_text().strip()
    line = f"lxc.sysctl.vm.swappiness = {value}"
    box = container(line)
    what = (
        "lxc.sysctl.vm.swappiness: no namespace has a value of its own, so the container would set the host's"
    )
    assert box.run("true") == (1, "", f"minilxc: {box.line_of(line)}: {what}\n")
