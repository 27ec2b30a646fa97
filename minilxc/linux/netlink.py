"""Interfaces, addresses, routes: a small writer of rtnetlink messages. netlink(7), rtnetlink(7).

A start needs a handful of messages and sends them itself. Importing pyroute2 0.9, whichever part is
asked for, takes 160 to 300 ms (`import pyroute2` in `python -IS`), longer than the whole start; this
module takes 0.6, and a veth with address and route 5. pyroute2 is what the tests read the messages with.
"""

from __future__ import annotations

import _socket
import posix
from _struct import pack, unpack_from

from minilxc.linux.files import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

AF_INET, AF_INET6 = _socket.AF_INET, _socket.AF_INET6
LOOPBACK = 1
"""The index of the interface lo, in every network namespace."""

MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}

# netlink(7)
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 270, 10, 11
_REQUEST, _ACK, _EXCL, _CREATE, _DUMP = 0x001, 0x004, 0x200, 0x400, 0x300
_CAPPED, _ACK_TLVS = 0x100, 0x200
_ERROR, _DONE = 2, 3
_HEADER = 16
_NLMSGERR_ATTR_MSG = 1
_MOST = 65536  # bytes of an answer: the kernel's dumps come in pieces of half of that

# rtnetlink(7)
_NEWLINK, _DELLINK, _GETLINK, _SETLINK = 16, 17, 18, 19
_NEWADDR, _GETADDR = 20, 22
_NEWROUTE, _DELROUTE = 24, 25
_NEWNEIGH, _DELNEIGH = 28, 29
_GETNSID = 90
_AF_BRIDGE = 7
_IFF_UP = 1

# linux/if_link.h
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER = 1, 3, 4, 5, 10
_IFLA_LINKINFO, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 18, 26, 28
_IFLA_STATS64, _IFLA_LINK_NETNSID = 23, 37
_IFLA_NUM_TX_QUEUES, _IFLA_NUM_RX_QUEUES, _IFLA_PERM_ADDRESS = 31, 32, 54
_IFLA_INFO_KIND, _IFLA_INFO_DATA = 1, 2
_VETH_INFO_PEER = 1
_IFLA_MACVLAN_MODE = _IFLA_IPVLAN_MODE = _IFLA_VLAN_ID = 1
_IFLA_IPVLAN_FLAGS = 2
# linux/net_namespace.h
_NETNSA_NSID, _NETNSA_PID = 1, 2
_NO_NAMESPACE = -1
# linux/if_bridge.h
_IFLA_BRIDGE_FLAGS, _IFLA_BRIDGE_VLAN_INFO = 0, 2
_BRIDGE_FLAGS_MASTER = 1
_VLAN_PVID, _VLAN_UNTAGGED = 2, 4
# linux/if_addr.h, linux/rtnetlink.h, linux/neighbour.h
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_RT_TABLE_MAIN, _RTPROT_BOOT, _RTN_UNICAST = 254, 3, 1
_RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK = 0, 253
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_NDA_DST, _NTF_PROXY = 1, 8


def attribute(kind: int, payload: bytes) -> bytes:
    """An attribute, padded: struct rtattr and what it holds; of nested ones, attributes again. rtnetlink(7)."""
    return pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def _text(kind: int, text: str) -> bytes:
    return attribute(kind, encode(text) + b"\0")


def _word(kind: int, number: int) -> bytes:
    return attribute(kind, pack("=I", number))


def _half(kind: int, number: int) -> bytes:
    return attribute(kind, pack("=H", number))


def attributes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in `raw`: (type, what it holds)."""
    at = 0
    while at + 4 <= len(raw):
        size, kind = unpack_from("=HH", raw, at)
        if size < 4:
            return
        yield kind & 0x3FFF, raw[at + 4 : at + size]
        at += size + 3 & ~3


def ifinfo(index: int = 0, up: bool = False, family: int = 0) -> bytes:
    """struct ifinfomsg; `up` asks for IFF_UP, False leaves the flags alone."""
    return pack("=BxHiII", family, 0, index, _IFF_UP if up else 0, _IFF_UP if up else 0)


class Link:
    """An interface as the kernel describes it. Immutable.

    `peer` is the index of what it is linked to (for a veth: its other end, in that one's namespace), 0 if
    nothing; `kind` is the type of a virtual interface, "" for a device; `permanent` is the address that
    a device was built with; `namespace` is the number of the namespace that the peer is in, as
    `Netlink.namespace_of` tells it, -1 for the same one; `received` and `sent` are bytes.
    """

    __slots__ = (
        "address", "index", "kind", "mtu", "name", "namespace", "peer", "permanent", "received", "sent",
    )  # fmt: skip

    def __init__(self, body: bytes) -> None:
        (self.index,) = unpack_from("=i", body, 4)
        found = dict(attributes(body[_HEADER:]))
        self.name = decode(found.get(_IFLA_IFNAME, b"").rstrip(b"\0"))
        self.address = found.get(_IFLA_ADDRESS, b"")
        self.permanent = found.get(_IFLA_PERM_ADDRESS, b"")
        self.mtu = int(unpack_from("=I", found.get(_IFLA_MTU, bytes(4)))[0])
        self.peer = int(unpack_from("=I", found.get(_IFLA_LINK, bytes(4)))[0])
        no_namespace = pack("=i", _NO_NAMESPACE)
        self.namespace = int(unpack_from("=i", found.get(_IFLA_LINK_NETNSID, no_namespace))[0])
        # struct rtnl_link_stats64 begins with the packets received and sent, then the bytes.
        self.received, self.sent = unpack_from("=QQ", found.get(_IFLA_STATS64, bytes(32)), 16)
        info = dict(attributes(found.get(_IFLA_LINKINFO, b"")))
        self.kind = info.get(_IFLA_INFO_KIND, b"").rstrip(b"\0").decode()


class End:
    """One end of a veth that is to be made. Immutable. What is 0 or empty is left to the kernel."""

    __slots__ = ("address", "name", "rx_queues", "tx_queues")

    def __init__(self, name: str, address: bytes = b"", rx_queues: int = 0, tx_queues: int = 0) -> None:
        self.name = name
        self.address = address
        self.rx_queues = rx_queues
        self.tx_queues = tx_queues

    def attributes(self, mtu: int) -> bytes:
        """The end as the attributes of a new interface."""
        found = _text(_IFLA_IFNAME, self.name)
        found += attribute(_IFLA_ADDRESS, self.address) if self.address else b""
        found += _word(_IFLA_MTU, mtu) if mtu else b""
        found += _word(_IFLA_NUM_RX_QUEUES, self.rx_queues) if self.rx_queues else b""
        found += _word(_IFLA_NUM_TX_QUEUES, self.tx_queues) if self.tx_queues else b""
        return found


def veth_message(here: End, there: End, namespace: int, mtu: int, master: int) -> bytes:
    """A new veth: `here` is up and a port of the bridge `master` (an index, or 0), `there` is in `namespace`."""
    peer = ifinfo() + there.attributes(mtu) + _word(_IFLA_NET_NS_FD, namespace)
    info = _text(_IFLA_INFO_KIND, "veth") + attribute(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, peer))
    port = _word(_IFLA_MASTER, master) if master else b""
    return ifinfo(up=True) + here.attributes(mtu) + port + attribute(_IFLA_LINKINFO, info)


def link_message(kind: str, data: bytes, name: str, link: int, namespace: int, mtu: int) -> bytes:
    """A new interface of type `kind` on the interface `link`, made in `namespace`; `data` is the type's own."""
    info = _text(_IFLA_INFO_KIND, kind) + attribute(_IFLA_INFO_DATA, data)
    made = _text(_IFLA_IFNAME, name) + _word(_IFLA_LINK, link) + _word(_IFLA_NET_NS_FD, namespace)
    return ifinfo() + made + (_word(_IFLA_MTU, mtu) if mtu else b"") + attribute(_IFLA_LINKINFO, info)


def macvlan_data(mode: str) -> bytes:
    """The own data of a macvlan."""
    return _word(_IFLA_MACVLAN_MODE, MACVLAN_MODES[mode])


def ipvlan_data(mode: str, isolation: str) -> bytes:
    """The own data of an ipvlan. Isolation is one for all of a link, and the default leaves it as it is."""
    flags = IPVLAN_FLAGS[isolation]
    return _half(_IFLA_IPVLAN_MODE, IPVLAN_MODES[mode]) + (_half(_IFLA_IPVLAN_FLAGS, flags) if flags else b"")


def vlan_data(number: int) -> bytes:
    """The own data of a vlan."""
    return _half(_IFLA_VLAN_ID, number)


def change_message(
    index: int,
    *,
    up: bool = False,
    address: bytes = b"",
    mtu: int = 0,
    name: str = "",
    namespace: int | None = None,
) -> bytes:
    """What changes of an interface; what is not given stays."""
    changes = _text(_IFLA_IFNAME, name) if name else b""
    changes += attribute(_IFLA_ADDRESS, address) if address else b""
    changes += _word(_IFLA_MTU, mtu) if mtu else b""
    changes += _word(_IFLA_NET_NS_FD, namespace) if namespace is not None else b""
    return ifinfo(index, up) + changes


def port_message(index: int, vlan: int, tagged: bool) -> bytes:
    """A VLAN of the bridge's port `index`."""
    info = pack("=HH", 0 if tagged else _VLAN_PVID | _VLAN_UNTAGGED, vlan)
    data = _half(_IFLA_BRIDGE_FLAGS, _BRIDGE_FLAGS_MASTER) + attribute(_IFLA_BRIDGE_VLAN_INFO, info)
    return ifinfo(index, family=_AF_BRIDGE) + attribute(_IFLA_AF_SPEC, data)


def family(address: bytes) -> int:
    """The family of an address in the bytes of inet_pton."""
    return AF_INET if len(address) == 4 else AF_INET6


def address_message(index: int, address: bytes, prefix: int, broadcast: bytes) -> bytes:
    """An address of an interface; `broadcast` is empty where there is none."""
    head = pack("=BBBBI", family(address), prefix, 0, _RT_SCOPE_UNIVERSE, index)
    tail = attribute(_IFA_BROADCAST, broadcast) if broadcast else b""
    return head + attribute(_IFA_LOCAL, address) + attribute(_IFA_ADDRESS, address) + tail


def default_message(index: int, family: int, gateway: bytes) -> bytes:
    """The default route of a `family` out of an interface, through `gateway` (empty: to the interface itself)."""
    head = _route(family, 0, _RT_SCOPE_UNIVERSE)
    return head + (attribute(_RTA_GATEWAY, gateway) if gateway else b"") + _word(_RTA_OIF, index)


def route_message(index: int, destination: bytes, prefix: int) -> bytes:
    """A route to a network that lies directly behind an interface."""
    head = _route(family(destination), prefix, _RT_SCOPE_LINK)
    return head + attribute(_RTA_DST, destination) + _word(_RTA_OIF, index)


def _route(family: int, prefix: int, scope: int) -> bytes:
    return pack("=8BI", family, prefix, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, scope, _RTN_UNICAST, 0)


def proxy_message(index: int, address: bytes) -> bytes:
    """An entry for a neighbour in whose place the host answers, on an interface."""
    return pack("=BxxxiHBB", family(address), index, 0, _NTF_PROXY, 0) + attribute(_NDA_DST, address)


class Netlink:
    """A conversation with one network namespace: the one that the process was in when this was made.

    It keeps the namespace alive. All methods raise OSError, about `about`: what the user calls the thing.
    """

    __slots__ = ("_sequence", "_socket")

    def __init__(self) -> None:
        kind = _socket.SOCK_RAW | _socket.SOCK_CLOEXEC
        self._socket = _socket.socket(_socket.AF_NETLINK, kind, _socket.NETLINK_ROUTE)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._sequence = 0

    def close(self) -> None:
        """End the conversation."""
        self._socket.close()

    def link(self, name: str) -> Link:
        """The interface `name`. Raises OSError when there is none."""
        (body,) = self._ask(_GETLINK, _ACK, ifinfo() + _text(_IFLA_IFNAME, name), name)
        return Link(body)

    def link_by_index(self, index: int, about: str) -> Link:
        """The interface with this index. Raises OSError when there is none."""
        (body,) = self._ask(_GETLINK, _ACK, ifinfo(index), about)
        return Link(body)

    def links(self) -> tuple[Link, ...]:
        """All interfaces."""
        return tuple(Link(body) for body in self._ask(_GETLINK, _DUMP, ifinfo(), "interfaces"))

    def namespace_of(self, pid: int) -> int:
        """The number by which this namespace knows that of the process `pid`; -1 when it knows none."""
        head = pack("=Bxxx", 0) + _word(_NETNSA_PID, pid)
        (body,) = self._ask(_GETNSID, _ACK, head, f"network of process {pid}")
        given = dict(attributes(body[4:]))
        return int(unpack_from("=i", given.get(_NETNSA_NSID, pack("=i", _NO_NAMESPACE)))[0])

    def create(self, message: bytes, about: str) -> None:
        """Make an interface: a `veth_message` or a `link_message`."""
        self._ask(_NEWLINK, _ACK | _CREATE | _EXCL, message, about)

    def change(self, message: bytes, about: str) -> None:
        """Change an interface (a `change_message`) or a bridge's port (a `port_message`)."""
        self._ask(_SETLINK, _ACK, message, about)

    def delete(self, index: int, about: str) -> None:
        """Delete an interface."""
        self._ask(_DELLINK, _ACK, ifinfo(index), about)

    def remove_port_vlan(self, message: bytes, about: str) -> None:
        """Take a VLAN away from a bridge's port: a `port_message`."""
        self._ask(_DELLINK, _ACK, message, about)

    def addresses(self, index: int, family: int) -> tuple[bytes, ...]:
        """The addresses of an interface, the kernel's first one first."""
        head = pack("=BBBBI", family, 0, 0, 0, index)
        found: tuple[bytes, ...] = ()
        for body in self._ask(_GETADDR, _DUMP, head, "addresses"):
            if unpack_from("=I", body, 4)[0] == index:
                given = dict(attributes(body[8:]))
                found += (given.get(_IFA_LOCAL) or given[_IFA_ADDRESS],)
        return found

    def add_address(self, message: bytes, about: str) -> None:
        """Give an interface an address: an `address_message`."""
        self._ask(_NEWADDR, _ACK | _CREATE | _EXCL, message, about)

    def add_route(self, message: bytes, about: str) -> None:
        """Add a route: a `route_message` or a `default_message`."""
        self._ask(_NEWROUTE, _ACK | _CREATE | _EXCL, message, about)

    def remove_route(self, message: bytes, about: str) -> None:
        """Take such a route away."""
        self._ask(_DELROUTE, _ACK, message, about)

    def add_proxy(self, message: bytes, about: str) -> None:
        """Answer for a neighbour: a `proxy_message`."""
        self._ask(_NEWNEIGH, _ACK | _CREATE | _EXCL, message, about)

    def remove_proxy(self, message: bytes, about: str) -> None:
        """Answer no longer."""
        self._ask(_DELNEIGH, _ACK, message, about)

    def _ask(self, kind: int, flags: int, body: bytes, about: str) -> list[bytes]:
        """Send one request; the bodies of what answers it, up to the acknowledgement or a dump's end."""
        self._sequence += 1
        head = pack("=IHHII", _HEADER + len(body), kind, flags | _REQUEST, self._sequence, 0)
        try:
            self._socket.send(head + body)
            found: list[bytes] = []
            while True:
                raw, sender = self._socket.recvfrom(_MOST)
                if sender[0] != 0:
                    continue  # not the kernel's: any process of the namespace can send to this socket
                at = 0
                while at + _HEADER <= len(raw):
                    size, answer, told, sequence, _ = unpack_from("=IHHII", raw, at)
                    if size < _HEADER:
                        break
                    message = raw[at + _HEADER : at + size]
                    at += size + 3 & ~3
                    if sequence != self._sequence:
                        continue
                    if answer in (_ERROR, _DONE):
                        _check(message, told, answer == _ERROR)
                        return found
                    found.append(message)
        except OSError as error:
            raise OSError(error.errno, error.strerror, about) from None


def _check(message: bytes, flags: int, has_request: bool) -> None:
    """Raise what an acknowledgement says, with the kernel's own reason where it gives one."""
    number = -unpack_from("=i", message)[0]
    if number <= 0:
        return
    reason = posix.strerror(number)
    if flags & _ACK_TLVS:
        start = 4
        if has_request:
            # The request is told again: its header, and the rest where it is not cut.
            start += _HEADER if flags & _CAPPED else unpack_from("=I", message, 4)[0] + 3 & ~3
        said = dict(attributes(message[start:])).get(_NLMSGERR_ATTR_MSG)
        if said:
            reason += f": {said.rstrip(bytes(1)).decode(errors='replace')}"
    raise OSError(number, reason)
