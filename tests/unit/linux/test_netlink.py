"""The messages for interfaces, addresses and routes: pyroute2 reads what we write. Needs no privilege."""

from __future__ import annotations

import socket
import struct
import subprocess

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from minilxc.linux import netlink

MAC = bytes.fromhex("02112233aabb")


def read(kind, body, number=16):
    """What pyroute2 finds in the body of a message: fields and attributes."""
    message = kind(data=struct.pack("=IHHII", 16 + len(body), number, 0, 0, 0) + body)
    message.decode()
    return message


def link(body):
    message = read(ifinfmsg, body)
    return message, dict(message["attrs"])


def info(attrs):
    found = dict(attrs["IFLA_LINKINFO"]["attrs"])
    return found["IFLA_INFO_KIND"], dict(found["IFLA_INFO_DATA"]["attrs"])


def test_veth_has_two_ends_one_of_them_in_the_other_namespace():
    here, there = netlink.End("vethA", MAC, 3, 2), netlink.End("eth0", MAC[::-1], 2, 3)
    message, attrs = link(netlink.veth_message(here, there, 7, 1400, 12))
    assert (message["index"], message["flags"], message["change"]) == (0, 1, 1)
    assert (attrs["IFLA_IFNAME"], attrs["IFLA_MTU"], attrs["IFLA_MASTER"]) == ("vethA", 1400, 12)
    assert (attrs["IFLA_NUM_RX_QUEUES"], attrs["IFLA_NUM_TX_QUEUES"]) == (3, 2)
    assert attrs["IFLA_ADDRESS"] == "02:11:22:33:aa:bb"
    kind, data = info(attrs)
    peer = dict(data["VETH_INFO_PEER"]["attrs"])
    assert kind == "veth"
    assert (peer["IFLA_IFNAME"], peer["IFLA_NET_NS_FD"], peer["IFLA_MTU"]) == ("eth0", 7, 1400)
    assert (peer["IFLA_NUM_RX_QUEUES"], peer["IFLA_NUM_TX_QUEUES"]) == (2, 3)
    assert peer["IFLA_ADDRESS"] == "bb:aa:33:22:11:02"
    assert data["VETH_INFO_PEER"]["flags"] == 0


def test_what_is_not_asked_for_is_left_to_the_kernel():
    _, attrs = link(netlink.veth_message(netlink.End("a"), netlink.End("b"), 7, 0, 0))
    assert set(attrs) == {"IFLA_IFNAME", "IFLA_LINKINFO"}
    assert set(dict(info(attrs)[1]["VETH_INFO_PEER"]["attrs"])) == {"IFLA_IFNAME", "IFLA_NET_NS_FD"}


@pytest.mark.parametrize(
    ("mode", "known"),
    [("private", "private"), ("vepa", "vepa"), ("bridge", "bridge"), ("passthru", "passthru")],
)
def test_macvlan_is_made_on_its_link_in_its_mode(mode, known):
    _, attrs = link(netlink.link_message("macvlan", netlink.macvlan_data(mode), "mv0", 3, 7, 1300))
    assert info(attrs) == ("macvlan", {"IFLA_MACVLAN_MODE": known})
    assert (attrs["IFLA_IFNAME"], attrs["IFLA_LINK"]) == ("mv0", 3)
    assert (attrs["IFLA_NET_NS_FD"], attrs["IFLA_MTU"]) == (7, 1300)


@pytest.mark.parametrize(("mode", "number"), [("l2", 0), ("l3", 1), ("l3s", 2)])
@pytest.mark.parametrize(("isolation", "flags"), [("bridge", {}), ("private", {2: 1}), ("vepa", {2: 2})])
def test_ipvlan_has_mode_and_isolation(mode, number, isolation, flags):
    """Isolation is one for all ipvlans of a link, the latest counts: the default does not change it."""
    data = netlink.ipvlan_data(mode, isolation)
    _, attrs = link(netlink.link_message("ipvlan", data, "ip0", 3, 7, 0))
    kind, read = info(attrs)
    assert (kind, read["IFLA_IPVLAN_MODE"]) == ("ipvlan", number)
    # IFLA_IPVLAN_FLAGS, a half word (linux/if_link.h), is unknown to pyroute2.
    found = {kind: struct.unpack("=H", raw)[0] for kind, raw in netlink.attributes(data)}
    assert found == {1: number, **flags}


def test_vlan_has_its_number():
    _, attrs = link(netlink.link_message("vlan", netlink.vlan_data(4094), "v0", 3, 7, 0))
    assert info(attrs) == ("vlan", {"IFLA_VLAN_ID": 4094})


def test_change_says_what_changes_and_nothing_else():
    message, attrs = link(netlink.change_message(5, up=True))
    assert (message["index"], message["flags"], message["change"], attrs) == (5, 1, 1, {})
    message, attrs = link(netlink.change_message(5, name="old", namespace=9))
    assert (message["change"], attrs) == (0, {"IFLA_IFNAME": "old", "IFLA_NET_NS_FD": 9})
    _, attrs = link(netlink.change_message(5, mtu=1400, address=MAC))
    assert attrs == {"IFLA_MTU": 1400, "IFLA_ADDRESS": "02:11:22:33:aa:bb"}


@pytest.mark.parametrize(("tagged", "flags"), [(True, 0), (False, 2 | 4)])
def test_port_of_a_bridge_gets_a_vlan(tagged, flags):
    """`bridge vlan add dev PORT vid 100 [pvid untagged] master`."""
    message, attrs = link(netlink.port_message(5, 100, tagged))
    assert (message["family"], message["index"]) == (7, 5)  # AF_BRIDGE
    inner = dict(attrs["IFLA_AF_SPEC"]["attrs"])
    assert inner["IFLA_BRIDGE_VLAN_FLAGS"] == 1  # BRIDGE_FLAGS_MASTER
    assert (inner["IFLA_BRIDGE_VLAN_INFO"]["flags"], inner["IFLA_BRIDGE_VLAN_INFO"]["vid"]) == (flags, 100)


@pytest.mark.parametrize(("text", "family"), [("10.9.8.7", socket.AF_INET), ("fd00::7", socket.AF_INET6)])
def test_addresses_routes_and_neighbours(text, family):
    packed = socket.inet_pton(family, text)
    bits = 8 * len(packed)
    broadcast = socket.inet_aton("10.9.8.255") if family == socket.AF_INET else b""
    message = read(ifaddrmsg, netlink.address_message(4, packed, 24, broadcast), 20)
    attrs = dict(message["attrs"])
    assert (message["family"], message["prefixlen"], message["index"], message["scope"]) == (family, 24, 4, 0)
    assert (attrs.pop("IFA_LOCAL"), attrs.pop("IFA_ADDRESS")) == (text, text)
    assert attrs == ({"IFA_BROADCAST": "10.9.8.255"} if broadcast else {})

    message = read(rtmsg, netlink.route_message(4, packed, bits), 24)
    assert (message["family"], message["dst_len"], message["scope"], message["table"]) == (
        family,
        bits,
        253,
        254,
    )
    assert (message["proto"], message["type"]) == (3, 1)
    assert dict(message["attrs"]) == {"RTA_DST": text, "RTA_OIF": 4}

    message = read(rtmsg, netlink.default_message(4, family, packed), 24)
    assert (message["dst_len"], message["scope"]) == (0, 0)
    assert dict(message["attrs"]) == {"RTA_GATEWAY": text, "RTA_OIF": 4}
    message = read(rtmsg, netlink.default_message(4, family, b""), 24)
    assert dict(message["attrs"]) == {"RTA_OIF": 4}

    message = read(ndmsg, netlink.proxy_message(4, packed), 28)
    assert (message["family"], message["ifindex"], message["flags"]) == (family, 4, 8)
    assert dict(message["attrs"]) == {"NDA_DST": text}


# --- what the kernel says; asking is everybody's right


@pytest.fixture
def kernel():
    conversation = netlink.Netlink()
    yield conversation
    conversation.close()


def test_kernel_tells_of_an_interface(kernel):
    lo = kernel.link("lo")
    assert (lo.name, lo.index, lo.address, lo.kind, lo.peer) == ("lo", netlink.LOOPBACK, bytes(6), "", 0)
    assert kernel.link_by_index(1, "x").name == "lo"
    assert {link.name for link in kernel.links()} == {name for _, name in socket.if_nameindex()}


def test_kernel_tells_of_addresses(kernel):
    for index, name in socket.if_nameindex():
        told = subprocess.run(["ip", "-4", "-o", "addr", "show", "dev", name], capture_output=True, text=True)
        wanted = [line.split()[3].partition("/")[0] for line in told.stdout.splitlines()]
        assert [socket.inet_ntoa(packed) for packed in kernel.addresses(index, socket.AF_INET)] == wanted


def test_what_is_not_there_is_an_error_that_names_it(kernel):
    with pytest.raises(OSError, match="No such device") as caught:
        kernel.link("nosuch0")
    assert caught.value.filename == "nosuch0"
    with pytest.raises(OSError, match="No such device"):
        kernel.link_by_index(2**31 - 1, "x")
    assert kernel.link("lo").index == 1  # the conversation goes on


def test_kernel_adds_its_reason(kernel):
    with pytest.raises(OSError, match=r"^\[Errno \d+\] .+: .+: 'thing'$") as caught:
        kernel._ask(18, 4, netlink.ifinfo() + netlink.attribute(3, b"a" * 40), "thing")
    assert caught.value.filename == "thing"


@pytest.mark.parametrize("raw", [b"", b"\1", b"\3\0\1\0", b"\0\0\0\0", b"\xff\xff\1\0ab"])
def test_attributes_that_are_cut_end_the_reading(raw):
    assert len(list(netlink.attributes(raw))) <= 1
