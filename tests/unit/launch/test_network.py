"""From lxc.net.* to interfaces: names, refusals, what is told. Needs no privilege."""

from __future__ import annotations

import socket

import pytest

from minilxc.launch import network
from tests.unit.launch.test_plan import make, refusal

VETH = "lxc.net.0.type = veth\n"


def interfaces(text, notes=None):
    plan = make(text, notes=notes)
    return plan.network.interfaces if plan.network else ()


def test_without_interfaces_there_is_nothing_to_do():
    for text in ("", "lxc.net.0.type = none", "lxc.net.0.type = empty"):
        assert make(text).network is None


def test_loopback_is_up_when_any_interface_is_to_be():
    """As in LXC, which sets up both."""
    assert make("lxc.net.0.type = empty\nlxc.net.0.flags = up").network.loopback
    assert make(f"{VETH}lxc.net.0.flags = up").network.loopback
    assert not make(VETH).network.loopback


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0.type = veth", ["eth0"]),
        ("5.type = veth\n0.type = veth\n2.type = veth", ["eth0", "eth1", "eth2"]),
        ("0.type = veth\n1.type = veth\n1.name = eth0", ["eth1", "eth0"]),
        (
            "0.type = veth\n0.name = a%d\n1.type = veth\n1.name = a%d\n2.type = veth\n2.name = a0",
            ["a1", "a2", "a0"],
        ),
        ("0.type = phys\n0.link = en0\n1.type = phys\n1.link = en1\n1.name = x", ["en0", "x"]),
        ("0.type = phys\n0.link = en+\n1.type = macvlan\n1.link = eth9", ["", "eth0"]),
        ("0.type = empty\n0.script.up = a\n1.type = veth", ["", "eth0"]),
    ],
)
def test_names_are_as_written_or_the_first_that_are_free(text, names):
    lines = "".join(f"lxc.net.{line}\n" for line in text.split("\n"))
    assert [interface.name for interface in interfaces(lines)] == names


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("type = macvlan", "1: {}type: 'macvlan' needs a link (set {}link)"),
        ("type = ipvlan", "1: {}type: 'ipvlan' needs a link (set {}link)"),
        ("type = vlan\nlink = a", "1: {}type: 'vlan' needs a number (set {}vlan.id)"),
        ("type = phys", "1: {}type: 'phys' needs a link (set {}link)"),
        ("type = phys\nlink = +", "2: {}link: '+' would take all interfaces of the host"),
        (
            "type = phys\nlink = en+\nname = a",
            "3: {}name: is for one interface, but link = en+ may be several",
        ),
        ("type = veth\nname = lo", "2: lxc.net.0: the name 'lo' is taken by the loopback"),
        ("type = phys\nlink = lo", "2: lxc.net.0: the name 'lo' is taken by the loopback"),
        ("type = veth\nhwaddr = 00:00:00:00:00:00", "2: {}hwaddr: zero is no interface's address"),
        ("type = veth\nname = a%s", "2: {}name: 'a%s' cannot be a name"),
        ("type = veth\nname = %d%d", "2: {}name: '%d%d' cannot be a name"),
        (
            "type = veth\nhwaddr = 01:00:00:00:00:00",
            "2: {}hwaddr: '01:00:00:00:00:00' is a multicast address",
        ),
        (
            "type = ipvlan\nlink = a\nhwaddr = 02:00:00:00:00:00",
            "3: {}hwaddr: an ipvlan has the hardware address of its link",
        ),
        ("type = veth\nipv4.address = 10.0.0.1/8\nipv4.gateway = dev", "3: {}ipv4.gateway: needs flags = up"),
        ("type = veth\nflags = up\nipv4.gateway = dev", "3: {}ipv4.gateway: needs an ipv4.address"),
        ("type = veth\nflags = up\nipv6.gateway = fd00::1", "3: {}ipv6.gateway: needs an ipv6.address"),
        (
            "type = veth\nflags = up\nipv4.address = 10.0.0.1/8\nipv4.gateway = auto",
            "4: {}ipv4.gateway: 'auto' is the link's address: for veth, macvlan and ipvlan",
        ),
        (
            "type = vlan\nvlan.id = 1\nlink = a\nflags = up\nipv4.address = 10.0.0.1/8\nipv4.gateway = auto",
            "6: {}ipv4.gateway: 'auto' is the link's address: for veth, macvlan and ipvlan",
        ),
        ("type = veth\nl2proxy = 1", "2: {}l2proxy: needs a link"),
        ("type = ipvlan\nlink = a\nl2proxy = 1", "3: {}l2proxy: needs ipvlan.mode = l3s"),
        (
            "type = veth\nveth.vlan.id = 5",
            "2: {}veth.vlan.id: is for the port of a bridge, and there is none",
        ),
        (
            "type = veth\nlink = a\nveth.mode = router\nveth.vlan.tagged.id = 5",
            "4: {}veth.vlan.tagged.id: is for the port of a bridge, and there is none",
        ),
        (
            "type = veth\nlink = a\nveth.vlan.id = 5\nveth.vlan.tagged.id = 5",
            "4: {}veth.vlan.tagged.id: cannot be that of veth.vlan.id",
        ),
        ("type = empty\nname = a", "2: {}name: type 'empty' has the loopback alone, which keeps its own"),
        (
            "type = empty\nipv4.address = 10.0.0.1/8",
            "2: {}ipv4.address: type 'empty' has the loopback alone, which keeps its own",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(lines, message):
    text = "".join(f"lxc.net.0.{line}\n" for line in lines.split("\n"))
    assert refusal(text) == "c:" + message.format("lxc.net.0.", "lxc.net.0.")


def test_two_interfaces_of_one_name_are_refused():
    text = f"{VETH}lxc.net.0.name = a\nlxc.net.7.type = veth\nlxc.net.7.name = a"
    assert refusal(text) == "c:4: lxc.net.7: the name 'a' is taken by lxc.net.0"


def test_link_local_gateway_needs_no_address():
    (interface,) = interfaces(f"{VETH}lxc.net.0.flags = up\nlxc.net.0.ipv6.gateway = fe80::1")
    assert interface.gateways == ("", "fe80::1")


@pytest.mark.parametrize("line", ["link = a", "mtu = 1400", "l2proxy = 1"])
def test_line_without_effect_on_an_empty_network_is_told(line):
    notes = []
    assert interfaces(f"lxc.net.0.type = empty\nlxc.net.0.{line}", notes) == ()
    key = line.split()[0]
    assert [text for _, _, text in notes] == [f"lxc.net.0.{key}: has no effect for type 'empty' (c:2)"]


@pytest.mark.parametrize("line", ["lxc.namespace.keep = net", "lxc.namespace.clone = mnt"])
def test_interface_for_somebody_elses_network_is_not_made_and_that_is_told(line):
    """As in LXC: the host's, or that of a container whose network is shared."""
    notes = []
    assert interfaces(f"{VETH}{line}", notes) == ()
    what = "lxc.net.0: the container has somebody else's network, so none is made for it (c:1)"
    assert what in [text for _, _, text in notes]


def test_plan_tells_each_interface():
    text = (
        f"{VETH}lxc.net.0.link = br0\nlxc.net.0.veth.pair = p\nlxc.net.0.flags = up\n"
        "lxc.net.0.ipv4.address = 10.0.0.2/24\nlxc.net.0.ipv4.gateway = auto\n"
        "lxc.net.1.type = macvlan\nlxc.net.1.link = e"
    )
    assert [line for subject, line in make(text).lines() if subject == "network"] == [
        "veth eth0 on br0 as p 10.0.0.2/24 gateway auto up",
        "macvlan eth1 on e",
        "lo up",
    ]


# --- addresses


def test_x_in_a_hardware_address_is_random_and_never_makes_it_a_groups():
    drawn = [network._hardware("xx:16:3e:xX:00:Xx") for _ in range(200)]
    assert len(set(drawn)) > 190
    assert all(len(address) == 6 and address[1:3] == b"\x16\x3e" and address[4] == 0 for address in drawn)
    assert not any(address[0] & 1 for address in drawn)
    assert network._hardware("02:11:22:33:44:5f") == bytes.fromhex("02112233445f")
    assert network._hardware("") == b""


@pytest.mark.parametrize(
    ("line", "broadcast"),
    [
        ("10.1.2.3/24", "10.1.2.255"),
        ("10.1.2.3", "10.255.255.255"),
        ("10.1.2.3/30", "10.1.2.3"),
        ("10.1.2.3/31", ""),
        ("10.1.2.3/32", ""),
        ("10.1.2.3/0", "255.255.255.255"),
        ("10.1.2.3/24 10.1.2.9", "10.1.2.9"),
    ],
)
def test_broadcast_address_is_the_networks_last(line, broadcast):
    """LXC 5.0.2 takes the network's part away: 0.0.0.255."""
    (interface,) = interfaces(f"{VETH}lxc.net.0.ipv4.address = {line}")
    (address,) = interface.addresses
    packed = network._broadcast(address, socket.inet_aton(address.address))
    assert (socket.inet_ntoa(packed) if packed else "") == broadcast
