"""The container's network: what a payload finds, what the host has meanwhile, and that all of it goes again.

The fixture `nothing_is_left` looks at the host's interfaces after each test.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.helpers import machine
from tests.helpers.container import CHECKOUT

BOTH = pytest.mark.parametrize("verb", ["execute", "start"])
MAPPED = ("lxc.idmap = u 0 200000 65536", "lxc.idmap = g 0 300000 65536")
_numbers = itertools.count()


def ip(*words):
    """What ip(8) says on the host."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def interfaces():
    return set(os.listdir("/sys/class/net"))


def kernel_has(kind):
    """Whether an interface of this type can be made on a veth."""
    ip("link", "add", "mlxprobe0", "type", "veth", "peer", "name", "mlxprobe1")
    more = ["id", "5"] if kind == "vlan" else []
    words = ["ip", "link", "add", "link", "mlxprobe0", "name", "mlxprobe2", "type", kind, *more]
    found = subprocess.run(words, capture_output=True).returncode == 0
    ip("link", "del", "mlxprobe0")
    return found


@pytest.fixture
def bridge(nothing_is_left):
    """A bridge of this test, up, with 10.98.N.1/24 and fd98::1/64."""
    name = f"mlx{os.getpid()}b{next(_numbers)}"[-15:]
    ip("link", "add", name, "type", "bridge")
    ip("addr", "add", "10.98.7.1/24", "dev", name)
    ip("addr", "add", "fd98::1/64", "dev", name, "nodad")
    ip("link", "set", name, "up")
    yield name
    ip("link", "del", name)


@pytest.fixture
def cable(nothing_is_left):
    """Two interfaces of the host that are linked, to stand for devices."""
    name = f"mlx{os.getpid()}c{next(_numbers)}"[-13:]
    ip("link", "add", f"{name}-0", "type", "veth", "peer", "name", f"{name}-1")
    yield name
    for end in ("-0", "-1"):
        subprocess.run(["ip", "link", "del", name + end], capture_output=True)


def net(*lines, index=0):
    return tuple(f"lxc.net.{index}.{line}" for line in lines)


def look(box, script, **more):
    """What a shell's words print inside; ip is busybox's."""
    return box.read("/bin/busybox", "sh", "-c", f"alias ip='/bin/busybox ip'\n{script}", **more)


def running(box, **more):
    """The container, started and waiting; returns (minilxc's process, process 1)."""
    process = box.popen("sh", "-c", "echo ready; read line", verb="start", stdin=subprocess.PIPE, **more)
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    (init,) = machine.children(process.pid)
    return process, init


def end(process):
    out, err = process.communicate("\n")
    assert (process.returncode, err) == (0, ""), (out, err)


def inside(init, *words):
    return subprocess.run(
        ["nsenter", "-t", str(init), "-n", "ip", *words], check=True, capture_output=True, text=True
    ).stdout


# --- veth


@BOTH
def test_veth_is_all_that_the_config_says(container, bridge, verb):
    box = container(
        *net(
            "type = veth",
            f"link = {bridge}",
            "name = net5",
            "hwaddr = 02:11:22:33:44:55",
            "mtu = 1400",
            "flags = up",
            "ipv4.address = 10.98.7.5/24",
            "ipv4.address = 10.98.8.5/24 10.98.8.9",
            "ipv4.gateway = 10.98.7.1",
            "ipv6.address = fd98::5/64",
            "ipv6.gateway = fd98::1",
        )
    )
    script = (
        "ls /sys/class/net; cat /sys/class/net/net5/address /sys/class/net/net5/mtu; ip -4 -o addr show net5\n"
        "ip -6 addr show net5; ip route; ip -6 route; busybox ping -c1 -W2 10.98.7.1"
    )
    found = look(box, script, verb=verb)
    assert found.startswith("lo\nnet5\n02:11:22:33:44:55\n1400\n")
    for text in (
        "inet 10.98.7.5/24 brd 10.98.7.255 scope global net5",
        "inet 10.98.8.5/24 brd 10.98.8.9 scope global net5",
        "inet6 fd98::5/64",
        "default via 10.98.7.1 dev net5",
        "default via fd98::1 dev net5",
        "1 packets received",
    ):
        assert text in found


def test_interface_is_up_with_the_loopback_or_neither(container, bridge):
    script = "for i in eth0 lo; do ip link show $i | busybox grep -c '[<,]UP[,>]'; done; true"
    box = container(*net("type = veth", f"link = {bridge}", "flags = up"))
    assert look(box, script) == "1\n1\n"
    box.configure(*net("type = veth", f"link = {bridge}"))
    assert look(box, script) == "0\n0\n"


def test_hosts_end_is_a_port_of_the_bridge_while_the_container_runs(container, bridge):
    """Its address begins with fe, so that the bridge, which takes its ports' lowest, does not change its own."""
    ip("link", "set", bridge, "mtu", "1300")
    box = container(*net("type = veth", f"link = {bridge}", "flags = up"))
    before = interfaces()
    process, init = running(box)
    (pair,) = interfaces() - before
    assert re.fullmatch("veth[A-Za-z0-9]{6}", pair)
    told = ip("link", "show", pair)
    for text in (f"master {bridge}", "mtu 1300", "link/ether fe:"):
        assert text in told
    assert "mtu 1300" in inside(init, "link", "show", "eth0")
    end(process)
    assert interfaces() == before


def test_hosts_end_has_the_name_of_the_config(container, bridge):
    line = "lxc.net.0.veth.pair = mlxpair0"
    box = container(*net("type = veth", f"link = {bridge}"), line)
    process, _ = running(box)
    assert "mlxpair0" in interfaces()
    other = container(*net("type = veth"), line)
    assert other.run("true") == (
        1,
        "",
        f"minilxc: {other.name}: network: mlxpair0: File exists ({other.line_of(line)})\n",
    )
    end(process)
    for _ in range(3):  # the name is free at once
        assert box.run("true") == (0, "", "")


@pytest.mark.parametrize(
    ("link", "reason"), [("mlxnone0", "No such device"), ("lo", "is not a bridge")], ids=["none", "lo"]
)
def test_wrong_bridge_stops_the_start_with_its_line(container, link, reason):
    box = container("lxc.net.3.type = veth", f"lxc.net.3.link = {link}", "lxc.net.3.veth.pair = mlxpair0")
    where = box.line_of(f"lxc.net.3.link = {link}")
    assert box.run("true") == (1, "", f"minilxc: {box.name}: network: {link}: {reason} ({where})\n")


def test_impossible_mtu_is_told_with_its_line(container):
    line = "lxc.net.0.mtu = 70000"
    box = container("lxc.net.0.type = veth", line)
    what = f"network: eth0: mtu: Invalid argument ({box.line_of(line)})"
    assert box.run("true") == (1, "", f"minilxc: {box.name}: {what}\n")


def test_kernels_own_reason_is_told(container):
    box = container(*net("type = veth", "veth.n_rxqueues = 5000"))
    where = box.line_of("lxc.net.0.type = veth")
    # The receive queues of one end are the transmit queues of the other, which is made first.
    what = f"network: eth0: Invalid argument: Invalid number of transmit queues ({where})"
    assert box.run("true") == (1, "", f"minilxc: {box.name}: {what}\n")


def test_failure_takes_back_the_interfaces_that_were_made(container, bridge, cable):
    box = container(
        *net("type = veth", f"link = {bridge}", "veth.pair = mlxpair0"),
        *net("type = phys", f"link = {cable}-0", "name = mine", index=1),
        *net("type = veth", "link = mlxnone0", index=2),
    )
    before = interfaces()
    assert box.run("true").err.startswith(f"minilxc: {box.name}: network: mlxnone0: No such device ")
    assert interfaces() == before


def test_interfaces_are_made_by_number_with_holes(container, bridge):
    box = container(
        *net("type = veth", f"link = {bridge}", "name = second", "ipv4.address = 10.98.7.9/24", index=30),
        *net("type = veth", index=2),
        *net("type = veth", index=7),
    )
    found = inside_links(look(box, "ip -o link"))
    assert found == ["lo", "eth0", "eth1", "second"]


def inside_links(text):
    return re.findall(r"^\d+: ([^:@]+)", text, re.MULTILINE)


def test_queues_are_those_of_the_end_inside(container):
    box = container(*net("type = veth", "veth.n_rxqueues = 2", "veth.n_txqueues = 3"))
    assert look(box, "ls /sys/class/net/eth0/queues").split() == ["rx-0", "rx-1", "tx-0", "tx-1", "tx-2"]


def test_vlans_of_a_bridge_that_knows_none_are_refused(container, bridge):
    line = "lxc.net.0.veth.vlan.id = 100"
    box = container(*net("type = veth", f"link = {bridge}"), line)
    reason = "this kernel's bridges know no VLANs"
    if os.path.exists(f"/sys/class/net/{bridge}/bridge/vlan_filtering"):
        reason = f"the bridge {bridge} does not filter VLANs (vlan_filtering is 0)"
    where = box.line_of(line)
    assert box.run("true").err == f"minilxc: {box.name}: network: eth0: veth.vlan.id: {reason} ({where})\n"


def test_interface_works_in_a_mapped_container(container, bridge):
    box = container(
        *MAPPED, *net("type = veth", f"link = {bridge}", "ipv4.address = 10.98.7.11/24", "flags = up")
    )
    found = look(
        box, "ip -4 addr show eth0; ip link set eth0 mtu 1300 && ip link del eth0; ls /sys/class/net"
    )
    assert "inet 10.98.7.11/24" in found
    assert found.endswith("\nlo\n")


def test_shared_network_gets_no_interface(container, bridge):
    box = container(*net("type = veth", f"link = {bridge}"), f"lxc.namespace.share.net = {os.getpid()}")
    before = interfaces()
    assert set(look(box, "ls /sys/class/net").split()) == before


# --- gateways


@pytest.mark.parametrize(
    ("lines", "route"),
    [
        (("ipv4.gateway = auto", "ipv4.address = 10.98.7.5/24"), "default via 10.98.7.1 dev eth0"),
        (("ipv4.gateway = dev", "ipv4.address = 10.98.7.5/24"), "default dev eth0"),
        (("ipv4.gateway = 10.55.0.1", "ipv4.address = 10.98.7.5/24"), "default via 10.55.0.1 dev eth0"),
        (("ipv6.gateway = auto", "ipv6.address = fd98::5/64"), "default via fd98::1 dev eth0"),
        (("ipv6.gateway = dev", "ipv6.address = fd98::5/64"), "default dev eth0"),
        (("ipv6.gateway = fd55::1", "ipv6.address = fd98::5/64"), "default via fd55::1 dev eth0"),
        (("ipv6.gateway = fe80::1",), "default via fe80::1 dev eth0"),
    ],
)
def test_gateway_is_the_default_route(container, bridge, lines, route):
    box = container(*net("type = veth", f"link = {bridge}", "flags = up", *lines))
    assert route in look(box, f"ip -{lines[0][3]} route")


def test_gateway_auto_needs_an_address_of_the_link(container, bridge):
    ip("addr", "flush", "dev", bridge)
    lines = net("type = veth", f"link = {bridge}", "flags = up", "ipv4.address = 10.98.7.5/24")
    line = "lxc.net.0.ipv4.gateway = auto"
    box = container(*lines, line)
    message = f"network: eth0: ipv4.gateway: {bridge} has no ipv4 address ({box.line_of(line)})"
    assert box.run("true").err == f"minilxc: {box.name}: {message}\n"


def test_address_that_cannot_be_is_told_with_its_line(container):
    line = "lxc.net.0.ipv4.address = 10.98.7.5/24"
    box = container("lxc.net.0.type = veth", "lxc.net.0.ipv4.address = 10.98.7.5/24 10.98.7.255", line)
    result = box.run("true").err
    assert result.startswith(f"minilxc: {box.name}: network: eth0: 10.98.7.5/24: File exists")
    assert result.endswith(f"({box.line_of(line)})\n") or str(box.file) in result


# --- router mode, routes, proxies


def test_router_mode_leads_the_host_to_the_addresses_inside(container, bridge):
    box = container(
        *net(
            "type = veth",
            "veth.mode = router",
            "veth.pair = mlxpair0",
            "veth.ipv4.route = 10.96.0.0/24",
            "veth.ipv6.route = fd96::/64",
            "flags = up",
            "ipv4.address = 10.97.7.5/32",
            "ipv4.gateway = 169.254.1.1",
        )
    )
    process, init = running(box)
    routes = ip("route", "show", "dev", "mlxpair0")
    assert "10.97.7.5 " in routes
    assert "10.96.0.0/24 " in routes
    assert "fd96::/64 " in ip("-6", "route", "show", "dev", "mlxpair0")
    assert "169.254.1.1 dev mlxpair0" in ip("neigh", "show", "proxy")
    assert Path("/proc/sys/net/ipv4/conf/mlxpair0/forwarding").read_text() == "1\n"
    # The way there and back leads through a gateway that does not exist.
    ping = ["nsenter", "-t", str(init), "-n", "/bin/busybox", "ping", "-c1", "-W5", "10.98.7.1"]
    assert subprocess.run(ping, capture_output=True).returncode == 0
    end(process)
    assert "mlxpair0" not in ip("neigh", "show", "proxy")


def test_link_answers_for_the_addresses_while_the_container_runs(container, bridge):
    line = "lxc.net.0.l2proxy = 1"
    box = container(
        *net("type = veth", f"link = {bridge}", "veth.mode = router", "ipv4.address = 10.98.7.5/32"), line
    )
    Path(f"/proc/sys/net/ipv4/conf/{bridge}/forwarding").write_text("0")
    need = f"eth0: l2proxy: needs /proc/sys/net/ipv4/conf/{bridge}/forwarding to be 1"
    assert box.run("true").err == f"minilxc: {box.name}: network: {need} ({box.line_of(line)})\n"
    Path(f"/proc/sys/net/ipv4/conf/{bridge}/forwarding").write_text("1")
    process, _ = running(box)
    assert f"10.98.7.5 dev {bridge} proxy" in ip("neigh", "show", "proxy")
    end(process)
    assert bridge not in ip("neigh", "show", "proxy")


# --- on a link


@pytest.mark.parametrize("mode", [None, "private", "vepa", "bridge", "passthru"])
def test_macvlan_is_made_in_its_mode_and_gone_at_once(container, cable, mode):
    """At once: in mode passthru the link is one container's, the next one could not start."""
    lines = net(
        "type = macvlan", f"link = {cable}-0", "name = mv0", "hwaddr = 02:11:22:33:44:55", "mtu = 1280"
    )
    box = container(*lines, *([f"lxc.net.0.macvlan.mode = {mode}"] if mode else []))
    for _ in range(2):
        process, init = running(box)
        told = inside(init, "-d", "link", "show", "mv0")
        for text in (f"macvlan mode {mode or 'private'}", "02:11:22:33:44:55", "mtu 1280"):
            assert text in told
        end(process)


@pytest.mark.parametrize("kind", ["ipvlan", "vlan"])
def test_type_that_the_kernel_lacks_is_said_to_be_lacking(container, cable, kind):
    more = ["vlan.id = 5"] if kind == "vlan" else ["ipvlan.mode = l2", "ipvlan.isolation = private"]
    box = container(*net(f"type = {kind}", f"link = {cable}-0", "name = on0", *more))
    if kernel_has(kind):
        process, init = running(box)
        told = inside(init, "-d", "link", "show", "on0")
        assert {"ipvlan": "mode l2 private", "vlan": "id 5"}[kind] in told
        end(process)
    else:
        where = box.line_of("lxc.net.0.name = on0")
        what = f"network: on0: this kernel has no interfaces of type {kind} ({where})"
        assert box.run("true") == (1, "", f"minilxc: {box.name}: {what}\n")


# --- phys


def state(name):
    """What must be as before when an interface is back."""
    told = ip("link", "show", name)
    return re.search(r"mtu \d+", told)[0], re.search(r"link/ether \S+", told)[0]


@BOTH
def test_interface_of_the_host_moves_in_and_comes_back_as_it_was(container, cable, verb):
    name = f"{cable}-0"
    before = state(name)
    box = container(
        *net(
            "type = phys",
            f"link = {name}",
            "name = mine",
            "mtu = 1300",
            "hwaddr = 02:00:00:00:00:09",
            "flags = up",
        )
    )
    found = look(box, "cd /sys/class/net; ls; cat mine/mtu mine/address", verb=verb)
    assert found == "lo\nmine\n1300\n02:00:00:00:00:09\n"
    assert state(name) == before


def test_interface_comes_back_under_its_name_whatever_the_container_calls_it(container, cable):
    box = container(*net("type = phys", f"link = {cable}-0"))
    look(box, f"ip link set {cable}-0 name eth0; ip link set eth0 up; ls /sys/class/net")
    assert f"{cable}-0" in interfaces()


def test_interfaces_change_names_on_the_way_in(container, cable):
    box = container(
        *net("type = phys", f"link = {cable}-0", f"name = {cable}-1"),
        *net("type = phys", f"link = {cable}-1", f"name = {cable}-0", index=1),
    )
    assert look(box, "ls /sys/class/net").split() == ["lo", f"{cable}-0", f"{cable}-1"]
    assert {f"{cable}-0", f"{cable}-1"} <= interfaces()


def test_plus_takes_all_whose_names_begin_so(container, cable):
    box = container(*net("type = phys", f"link = {cable}+"))
    assert look(box, "ls /sys/class/net").split() == ["lo", f"{cable}-0", f"{cable}-1"]
    assert {f"{cable}-0", f"{cable}-1"} <= interfaces()
    box.configure(*net("type = phys", "link = mlxnone+"))
    where = box.line_of("lxc.net.0.link = mlxnone+")
    what = f"mlxnone+: the host has no interface whose name begins so ({where})"
    assert box.run("true").err == f"minilxc: {box.name}: network: {what}\n"


def test_interface_that_the_container_has_deleted_disturbs_nothing(container, cable):
    box = container(*net("type = phys", f"link = {cable}-0", "name = mine"))
    assert look(box, "ip link del mine; ls /sys/class/net") == "lo\n"
    assert box.run("true").err.startswith(f"minilxc: {box.name}: network: {cable}-0: No such device ")


def test_missing_interface_is_told_with_its_line(container):
    line = "lxc.net.0.link = mlxnone0"
    box = container("lxc.net.0.type = phys", line)
    message = f"network: mlxnone0: No such device ({box.line_of(line)})"
    assert box.run("true") == (1, "", f"minilxc: {box.name}: {message}\n")


def test_killed_minilxc_leaves_no_interface(container, bridge):
    """Nobody is there to take anything away: the namespace's end does."""
    box = container(*net("type = veth", f"link = {bridge}", "veth.pair = mlxpair0", "flags = up"))
    process, init = running(box)
    process.kill()
    process.wait()
    machine.wait_until_gone(init)
    machine.wait_for(lambda: "mlxpair0" not in interfaces(), "the end of mlxpair0")


# --- scripts

# minilxc with a child that stops before its second step, which comes after the parent's
SABOTAGE = Path(machine.__file__).with_name("sabotage.py")
SLOW_CHILD = (
    str(CHECKOUT / ".venv/bin/python3"),
    "-IS",
    "-Xutf8",
    str(SABOTAGE),
    str(CHECKOUT),
    "child",
    "2",
    "stop-before",
)

SCRIPT = """#!/bin/sh
echo "args $*" >> {log}
env | grep ^LXC_ | sort >> {log}
ls /sys/class/net | grep ^mlxpair >> {log}
echo to the log
exit {status}
"""


@pytest.fixture
def script(session_folder):
    """Makes a program that notes how it was run: script(STATUS) is (its path, what it has noted)."""
    made = []

    def make(status=0):
        path = session_folder / f"net-script{next(_numbers)}"
        log = path.with_suffix(".log")
        path.write_text(SCRIPT.format(log=log, status=status))
        path.chmod(0o755)
        made.extend((path, log, path.with_suffix(".debug")))
        return path, lambda: log.read_text() if log.exists() else ""

    yield make
    for path in made:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("version", [0, 1])
def test_scripts_run_on_the_host_with_what_lxc_tells_them(container, bridge, script, version):
    """Compared with LXC 5.0.2, which gives the arguments in version 1, too."""
    up, up_log = script()
    down, down_log = script()
    log_file = up.with_suffix(".debug")
    box = container(
        *net("type = veth", f"link = {bridge}", "veth.pair = mlxpair0"),
        f"lxc.net.0.script.up = {up} 'a b' c",
        f"lxc.net.0.script.down = {down}",
        f"lxc.hook.version = {version}",
    )
    assert box.run("true", options=("-l", "debug", "-o", str(log_file))).status == 0
    for when, log, own in (("up", up_log(), "a b c "), ("down", down_log(), "")):
        noted = log.splitlines()
        told = f"veth {bridge} mlxpair0"
        assert noted[0] == f"args {own}{told if version else f'{box.name} net {when} {told}'}"
        assert noted[-1] == "mlxpair0"  # it is there, also when it is about to go
        variables = dict(line.split("=", 1) for line in noted[1:-1])
        assert variables["LXC_NAME"] == box.name
        assert variables["LXC_CONFIG_FILE"] == str(box.file)
        assert variables["LXC_ROOTFS_PATH"] == str(box.root)
        assert variables["LXC_HOOK_VERSION"] == str(version)
        if version:
            assert (variables["LXC_HOOK_TYPE"], variables["LXC_HOOK_SECTION"]) == (when, "net")
            assert (variables["LXC_NET_TYPE"], variables["LXC_NET_PARENT"]) == ("veth", bridge)
            assert variables["LXC_NET_PEER"] == "mlxpair0"
        else:
            assert "LXC_NET_TYPE" not in variables
    assert log_file.read_text().count("to the log") == 2


def test_failing_script_stops_the_start(container, bridge, script):
    up, _ = script(3)
    down, down_log = script()
    line = f"lxc.net.0.script.up = {up}"
    box = container(*net("type = veth", f"link = {bridge}", f"script.down = {down}"), line)
    what = f"network: {up}: ended with status 3 ({box.line_of(line)})"
    assert box.run("true") == (1, "", f"minilxc: {box.name}: {what}\n")
    assert down_log() == ""


def test_failing_script_at_the_end_is_only_logged(container, script):
    down, log = script(3)
    box = container(*net("type = empty", f"script.down = {down}"))
    assert box.run("sh", "-c", "exit 7").status == 7
    assert log().startswith(f"args {box.name} net down empty\n")


def test_scripts_run_for_each_device_and_after_its_return(container, cable, script):
    up, up_log = script()
    down, down_log = script()
    box = container(*net("type = phys", f"link = {cable}+", f"script.up = {up}", f"script.down = {down}"))
    assert box.run("true") == (0, "", "")
    for when, log in (("up", up_log()), ("down", down_log())):
        args = [line for line in log.splitlines() if line.startswith("args")]
        assert sorted(args) == [f"args {box.name} net {when} phys {cable}-{end}" for end in (0, 1)]


def test_interrupt_after_a_script_is_heard(container, script):
    """The script's end is a SIGCHLD, too: who then waits for the child must still hear signals."""
    up, log = script()
    box = container(*net("type = empty", f"script.up = {up}"))
    slow = subprocess.Popen(
        [*SLOW_CHILD, *box.arguments("true")], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    box.look_after(slow)
    assert slow.stderr.readline() == "STOPPED\n"
    machine.wait_for(lambda: log() and len(machine.descendants(slow.pid)) == 1, "the script has ended")
    slow.send_signal(signal.SIGTERM)
    assert slow.communicate()[1] == f"minilxc: {box.name}: interrupted by signal 15\n"
    assert slow.returncode == 128 + signal.SIGTERM
