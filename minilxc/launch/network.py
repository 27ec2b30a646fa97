"""The container's network: config to interfaces, and how they come and go.

The parent makes every interface in the container's namespace, or moves it there, before the child goes
on: whatever looks there later, sysfs and hooks included, finds them named, addressed and up. It speaks
to both namespaces by a socket opened in each, and keeps both until the end: so the namespace stays while
scripts run, and what is taken away is gone when the container is, not some time after that.

When the parent is killed, the namespace ends with the container's processes, and the kernel takes away
what was made for it and brings back to the host what is a real device (under its name inside, or a
free one).
"""

from __future__ import annotations

import _socket
import posix

from minilxc.config.values import NO_VLAN, quoted
from minilxc.errors import ConfigError
from minilxc.linux import netlink, process
from minilxc.linux.files import decode, read_text, write_text
from minilxc.linux.names import NAMESPACES
from minilxc.linux.netlink import Netlink
from minilxc.linux.syscalls import EINVAL
from minilxc.log import WARN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from minilxc.config.parse import Config
    from minilxc.config.parse import Network as Settings
    from minilxc.config.values import Address
    from minilxc.launch.namespaces import Namespaces
    from minilxc.launch.parent import _Outside

_EEXIST, _ENODEV, _EOPNOTSUPP = 17, 19, 95  # errno(3)
_NAME_TRIES = 10
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_ON_A_LINK = ("macvlan", "ipvlan", "vlan", "phys")
# For the loopback of an empty network: as in LXC, the first do nothing and the others are errors.
_IDLE = ("link", "mtu", "l2proxy")
_NOT_FOR_LOOPBACK = ("name", "hwaddr", "ipv4.address", "ipv4.gateway", "ipv6.address", "ipv6.gateway")
# With a link that ends in a plus sign, which stands for many.
_FOR_ONE = ("name", "hwaddr", "ipv4.address", "ipv4.gateway", "ipv6.address", "ipv6.gateway", "l2proxy")


class Veth:
    """What only a veth has: its end on the host. Immutable. `vlan` is None, NO_VLAN or a number."""

    __slots__ = ("pair", "routed", "routes", "rx_queues", "tagged", "tx_queues", "vlan")

    def __init__(self, settings: Settings) -> None:
        self.pair: str | None = settings.get("veth.pair")
        self.routed: bool = settings.get("veth.mode") == "router"
        routes: tuple[Address, ...] = settings.get("veth.ipv4.route") + settings.get("veth.ipv6.route")
        self.routes = routes
        self.rx_queues: int = settings.get("veth.n_rxqueues") or 0
        self.tx_queues: int = settings.get("veth.n_txqueues") or 0
        self.vlan: int | None = settings.get("veth.vlan.id")
        self.tagged: tuple[int, ...] = settings.get("veth.vlan.tagged.id")


class Interface:
    """One `lxc.net.I`, decided. Immutable.

    `name` is the one inside; `data` what a macvlan, ipvlan or vlan is made with; `gateways` are those of
    IPv4 and of IPv6: "", "auto", "dev" or an address; `addresses` those of both.
    """

    __slots__ = (
        "addresses",
        "data",
        "gateways",
        "hwaddr",
        "kind",
        "l2proxy",
        "link",
        "mtu",
        "name",
        "script_down",
        "script_up",
        "script_where",
        "up",
        "veth",
    )

    def __init__(self, settings: Settings, name: str) -> None:
        self.kind: str = settings.get("type")
        self.name = name
        self.link: str = settings.get("link") or ""
        self.up: bool = settings.get("flags") == "up"
        self.hwaddr: str = settings.get("hwaddr") or ""
        self.mtu: int = settings.get("mtu") or 0
        addresses: tuple[Address, ...] = settings.get("ipv4.address") + settings.get("ipv6.address")
        self.addresses = addresses
        self.gateways: tuple[str, str] = (
            settings.get("ipv4.gateway") or "",
            settings.get("ipv6.gateway") or "",
        )
        self.l2proxy: bool = settings.get("l2proxy")
        self.script_up: str = settings.get("script.up") or ""
        self.script_down: str = settings.get("script.down") or ""
        self.script_where = {when: settings.where(f"script.{when}") or "" for when in ("up", "down")}
        self.veth = Veth(settings) if self.kind == "veth" else None
        self.data = _data(settings)

    def describe(self) -> str:
        """The interface, on one line."""
        words = [self.kind, self.name] if self.name else [self.kind]
        words += [f"on {self.link}"] if self.link else []
        if self.veth is not None and self.veth.pair:
            words.append(f"as {self.veth.pair}")
        words += [_written(address) for address in self.addresses]
        words += [f"gateway {gateway}" for gateway in self.gateways if gateway]
        return " ".join([*words, *(["up"] if self.up else [])])


class Network:
    """What the container's network namespace gets. Immutable.

    `loopback`: lo is up. `facts` are the variables that each script sees; `version` is that of the hooks.
    `wheres` are the lines to blame, as those of a plan.
    """

    __slots__ = ("facts", "interfaces", "loopback", "version", "wheres")

    def __init__(
        self,
        interfaces: tuple[Interface, ...],
        loopback: bool,
        facts: dict[str, str],
        version: int,
        wheres: tuple[tuple[str, str, str], ...],
    ) -> None:
        self.interfaces = interfaces
        self.loopback = loopback
        self.facts = facts
        self.version = version
        self.wheres = wheres

    def lines(self) -> Iterator[str]:
        """The network in words, a line an interface."""
        for interface in self.interfaces:
            yield interface.describe()
            for when, script in (("up", interface.script_up), ("down", interface.script_down)):
                if script:
                    yield f"script.{when}: {script}"
        if self.loopback:
            yield "lo up"


# From the config


def from_config(
    config: Config,
    namespaces: Namespaces,
    variables: Callable[[], dict[str, str]],
    debug: Callable[[int, str, str], None],
) -> Network | None:
    """The network, None where there is nothing to do. `variables` are what scripts are told. Raises ConfigError.

    Whether a link exists is seen when it is needed: a pre-start hook may make it.
    """
    networks = [network for network in config.networks().values() if network.get("type") != "none"]
    if "net" not in namespaces.new:
        for network in networks:
            text = (
                f"lxc.net.{network.index}: the container has somebody else's network, so none is made for it"
            )
            debug(WARN, "network", f"{text} ({network.where('type')})")
        return None
    for network in networks:
        _refuse(network)
    names = _names(networks)
    interfaces, wheres = [], []
    for network in networks:
        interface = Interface(network, names.get(network.index, ""))
        if interface.kind == "empty":
            for key in _IDLE:
                if network.where(key):
                    text = f"lxc.net.{network.index}.{key}: has no effect for type 'empty'"
                    debug(WARN, "network", f"{text} ({network.where(key)})")
        if interface.kind != "empty" or interface.script_up or interface.script_down:
            interfaces.append(interface)
            wheres += _wheres(network, interface)
    loopback = any(network.get("flags") == "up" for network in networks)
    if not interfaces and not loopback:
        return None
    facts = {}
    if any(interface.script_up or interface.script_down for interface in interfaces):
        facts = {decode(name): decode(value) for name, value in posix.environ.items()} | variables()
    return Network(tuple(interfaces), loopback, facts, config.get("lxc.hook.version"), tuple(wheres))


def _names(networks: list[Settings]) -> dict[int, str]:
    """The names inside by the interfaces' numbers: as written, or the first that is free of eth0, eth1, ..."""
    found: dict[int, str] = {}
    taken = {"lo": "the loopback"}
    patterns = {}
    for network in networks:
        kind, name = network.get("type"), network.get("name")
        where = network.where("name") or network.where("link") or network.where("type")
        if kind == "empty" or _is_prefix(network):
            continue
        name = name or (network.get("link") if kind == "phys" else None) or "eth%d"
        before, percent, after = name.partition("%")
        if percent:
            if not after.startswith("d") or "%" in after[1:]:
                raise ConfigError(f"lxc.net.{network.index}.name: {quoted(name)} cannot be a name", where)
            patterns[network.index] = (before, after[1:])
        elif name in taken:
            what = f"lxc.net.{network.index}: the name '{name}' is taken by {taken[name]}"
            raise ConfigError(what, where)
        else:
            found[network.index] = name
            taken[name] = f"lxc.net.{network.index}"
    for index, (before, after) in patterns.items():
        number = 0
        while (name := f"{before}{number}{after}") in taken:
            number += 1
        taken[name] = f"lxc.net.{index}"
        found[index] = name
    return found


def _is_prefix(network: Settings) -> bool:
    return network.get("type") == "phys" and (network.get("link") or "").endswith("+")


def _refuse(network: Settings) -> None:
    """Raise what can be seen to be wrong with an interface."""

    def wrong(key: str, text: str, hint: str | None = None) -> ConfigError:
        where = network.where(key) or network.where("type")
        return ConfigError(f"lxc.net.{network.index}.{key}: {text}", where, hint)

    kind, link = network.get("type"), network.get("link")
    if kind == "empty":
        for key in _NOT_FOR_LOOPBACK:
            if network.where(key):
                raise wrong(key, "type 'empty' has the loopback alone, which keeps its own")
        return
    if kind in _ON_A_LINK and not link:
        raise wrong("type", f"'{kind}' needs a link", f"set lxc.net.{network.index}.link")
    if kind == "vlan" and network.get("vlan.id") is None:
        raise wrong("type", "'vlan' needs a number", f"set lxc.net.{network.index}.vlan.id")
    if _is_prefix(network):
        if link == "+":
            raise wrong("link", "'+' would take all interfaces of the host")
        for key in _FOR_ONE:
            if network.where(key):
                raise wrong(key, f"is for one interface, but link = {link} may be several")
    hwaddr = network.get("hwaddr")
    if hwaddr and hwaddr[1].lower() not in "02468acex":
        raise wrong("hwaddr", f"'{hwaddr}' is a multicast address")
    if hwaddr and not hwaddr.strip("0:"):
        raise wrong("hwaddr", "zero is no interface's address")
    if hwaddr and kind == "ipvlan":
        raise wrong("hwaddr", "an ipvlan has the hardware address of its link")
    for family in ("ipv4", "ipv6"):
        gateway = network.get(f"{family}.gateway")
        if gateway is None:
            continue
        if network.get("flags") != "up":
            raise wrong(f"{family}.gateway", "needs flags = up")
        if not network.get(f"{family}.address") and not gateway.lower().startswith("fe80:"):
            raise wrong(f"{family}.gateway", f"needs an {family}.address")
        if gateway == "auto" and (kind not in ("veth", "macvlan", "ipvlan") or not link):
            raise wrong(f"{family}.gateway", "'auto' is the link's address: for veth, macvlan and ipvlan")
    if network.get("l2proxy"):
        if not link:
            raise wrong("l2proxy", "needs a link")
        if kind == "ipvlan" and network.get("ipvlan.mode") != "l3s":
            raise wrong("l2proxy", "needs ipvlan.mode = l3s")
    if kind == "veth":
        for key in ("veth.vlan.id", "veth.vlan.tagged.id"):
            if network.where(key) and (not link or network.get("veth.mode") == "router"):
                raise wrong(key, "is for the port of a bridge, and there is none")
        if network.get("veth.vlan.id") in network.get("veth.vlan.tagged.id"):
            raise wrong("veth.vlan.tagged.id", "cannot be that of veth.vlan.id")


def _data(network: Settings) -> bytes:
    kind = network.get("type")
    if kind == "macvlan":
        return netlink.macvlan_data(network.get("macvlan.mode"))
    if kind == "ipvlan":
        return netlink.ipvlan_data(network.get("ipvlan.mode"), network.get("ipvlan.isolation"))
    return netlink.vlan_data(network.get("vlan.id")) if kind == "vlan" else b""


def _wheres(network: Settings, interface: Interface) -> list[tuple[str, str, str]]:
    """Which line to blame: what an error is about, and where that stands."""
    line = network.where("type") or ""
    found = [(name, network.where(key) or line) for name, key in (
        (interface.link, "link"),
        (interface.name, "name"),
        (network.get("veth.pair") or "", "veth.pair"),
    )]  # fmt: skip
    for key in (
        "hwaddr",
        "mtu",
        "l2proxy",
        "ipv4.gateway",
        "ipv6.gateway",
        "veth.vlan.id",
        "veth.vlan.tagged.id",
    ):
        if where := network.where(key):
            found.append((_about(interface, key), where))
    for family in ("ipv4", "ipv6"):
        for key in (f"{family}.address", f"veth.{family}.route"):
            found += [(_about(interface, _written(e.value)), e.where) for e in network.entries(key)]
    return [("network", about, where) for about, where in found if about]


def _about(interface: Interface, what: str) -> str:
    return f"{interface.name or interface.link}: {what}"


def _written(address: Address) -> str:
    return f"{address.address}/{address.prefix}"


# The child's part


def set_loopback_up() -> None:
    """Child: set the interface lo up: an interface is to be up, and LXC then sets up both."""
    own = Netlink()
    own.change(netlink.change_message(netlink.LOOPBACK, up=True), "lo")
    own.close()


# The parent's part


class _Sides:
    """Both ends of the work, and what is known about the start."""

    __slots__ = ("attention", "ends", "host", "inside", "log", "namespace", "network", "variables")

    def __init__(self, network: Network, outside: _Outside, namespace: int) -> None:
        self.ends = outside.ends
        self.log = outside.log
        self.attention = outside.attention
        self.namespace = namespace
        self.network = network
        self.variables = {**network.facts, "LXC_PID": str(outside.pid)}
        self.host = Netlink()
        self.at_the_end(self.host.close)
        self.inside = _open_inside(namespace)
        self.at_the_end(self.inside.close)

    def at_the_end(self, act: Callable[[], object]) -> None:
        """Have `act` take away what was made just now."""
        self.ends.append(("network", act))


def make(network: Network, outside: _Outside) -> None:
    """Parent: make the container's interfaces. Raises OSError; what was made until then is on the list of ends."""
    namespace = posix.open(f"/proc/{outside.pid}/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        sides = _Sides(network, outside, namespace)
        for interface in network.interfaces:
            if interface.l2proxy:
                _answer_for(sides, interface)
            _MAKERS[interface.kind](sides, interface)
    finally:
        posix.close(namespace)


def _open_inside(namespace: int) -> Netlink:
    """A socket of the container's network namespace. setns(2)"""
    own = posix.open("/proc/self/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        process.setns(namespace, NAMESPACES["net"], "the container's network namespace")
        try:
            return Netlink()
        finally:
            process.setns(own, NAMESPACES["net"], "the caller's network namespace")
    finally:
        posix.close(own)


def _make_veth(sides: _Sides, interface: Interface) -> None:
    veth = interface.veth
    assert veth is not None
    mtu, master = interface.mtu, 0
    if interface.link:
        link = sides.host.link(interface.link)
        mtu = mtu or link.mtu
        if not veth.routed:
            if link.kind != "bridge":
                raise OSError(EINVAL, "is not a bridge", interface.link)
            master = link.index
    there = netlink.End(interface.name, _hardware(interface.hwaddr), veth.rx_queues, veth.tx_queues)
    for attempt in range(_NAME_TRIES):
        pair = veth.pair or f"veth{_random(_LETTERS, 6)}"
        # The highest address that is nobody's: a bridge takes the lowest of its ports', and must not take this one.
        here = netlink.End(pair, b"\xfe" + posix.urandom(5), veth.tx_queues, veth.rx_queues)
        message = netlink.veth_message(here, there, sides.namespace, mtu, master)
        try:
            _create(sides, interface, message, veth.pair or interface.name)
            break
        except FileExistsError:
            if veth.pair or attempt == _NAME_TRIES - 1:
                raise
    made = sides.host.link(pair)
    sides.at_the_end(lambda: _delete(sides.host, made.index, pair))
    if veth.vlan is not None or veth.tagged:
        _set_vlans(sides, interface, veth, made.index)
    _configure(sides, interface, made.peer)
    for route in veth.routes:
        message = netlink.route_message(made.index, _packed(route.address), route.prefix)
        sides.host.add_route(message, _about(interface, _written(route)))
    if veth.routed:
        _route(sides, interface, made.index, pair)
    _run_scripts(sides, interface, interface.link, pair)


def _make_on_link(sides: _Sides, interface: Interface) -> None:
    """Make a macvlan, ipvlan or vlan."""
    link = sides.host.link(interface.link)
    message = netlink.link_message(
        interface.kind, interface.data, interface.name, link.index, sides.namespace, interface.mtu
    )
    _create(sides, interface, message, interface.name)
    index = sides.inside.link(interface.name).index
    # At once, not when the kernel comes to the namespace: the next start may need the link for itself.
    sides.at_the_end(lambda: _delete(sides.inside, index, interface.name))
    _configure(sides, interface, index)
    _run_scripts(sides, interface, interface.link)


def _create(sides: _Sides, interface: Interface, message: bytes, about: str) -> None:
    """Make an interface, with words for what the kernel gives no reason for."""
    try:
        sides.host.create(message, about)
    except OSError as error:
        if error.errno == _EOPNOTSUPP and "Unknown device type" in (error.strerror or ""):
            what = f"this kernel has no interfaces of type {interface.kind}"
            raise OSError(error.errno, what, about) from None
        if interface.mtu and error.strerror == posix.strerror(EINVAL):
            raise OSError(error.errno, error.strerror, _about(interface, "mtu")) from None
        raise


def _take(sides: _Sides, interface: Interface) -> None:
    """Move one interface of the host inside, or all whose names begin so."""
    if not interface.link.endswith("+"):
        _take_one(sides, interface, sides.host.link(interface.link))
        return
    prefix = interface.link[:-1]
    links = [link for link in sides.host.links() if link.name.startswith(prefix) and link.name != "lo"]
    if not links:
        raise OSError(_ENODEV, "the host has no interface whose name begins so", interface.link)
    for link in links:
        _take_one(sides, interface, link)


def _take_one(sides: _Sides, interface: Interface, link: netlink.Link) -> None:
    name = interface.name or link.name
    message = netlink.change_message(link.index, name=name, namespace=sides.namespace)
    sides.host.change(message, link.name)
    index = sides.inside.link(name).index  # it may have got another
    if interface.script_down:  # unlike for the others, when it is back
        sides.at_the_end(lambda: _run(sides, interface, "down", link.name))
    sides.at_the_end(lambda: _give_back(sides, link, index, name))
    if interface.mtu:
        sides.inside.change(netlink.change_message(index, mtu=interface.mtu), _about(interface, "mtu"))
    _configure(sides, interface, index)
    if interface.script_up:
        _run(sides, interface, "up", link.name)


def _give_back(sides: _Sides, link: netlink.Link, index: int, name: str) -> None:
    """Move an interface to the host again, under its old name, and as it was."""
    host = posix.open("/proc/self/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        try:
            found = sides.inside.link_by_index(index, name)
        except OSError as error:
            if error.errno == _ENODEV:
                return  # the container has deleted it
            raise
        if (found.kind, found.permanent) != (link.kind, link.permanent):
            return  # not ours: the container has let go of it and made itself another
        sides.inside.change(netlink.change_message(index, name=link.name, namespace=host), link.name)
    finally:
        posix.close(host)
    message = netlink.change_message(sides.host.link(link.name).index, mtu=link.mtu, address=link.address)
    sides.host.change(message, link.name)


def _make_nothing(sides: _Sides, interface: Interface) -> None:
    """An empty network: the kernel has made its loopback."""
    _run_scripts(sides, interface)


_MAKERS = {
    "empty": _make_nothing,
    "veth": _make_veth,
    "macvlan": _make_on_link,
    "ipvlan": _make_on_link,
    "vlan": _make_on_link,
    "phys": _take,
}


def _delete(side: Netlink, index: int, name: str) -> None:
    """Delete an interface, unless the container has done so."""
    try:
        side.delete(index, name)
    except OSError as error:
        if error.errno != _ENODEV:
            raise


def _configure(sides: _Sides, interface: Interface, index: int) -> None:
    """Set up an interface that is in the container: hardware address, addresses, up, routes; in LXC's order."""
    inside = sides.inside
    if interface.hwaddr and interface.veth is None:
        message = netlink.change_message(index, address=_hardware(interface.hwaddr))
        inside.change(message, _about(interface, "hwaddr"))
    for address in interface.addresses:
        packed = _packed(address.address)
        message = netlink.address_message(index, packed, address.prefix, _broadcast(address, packed))
        inside.add_address(message, _about(interface, _written(address)))
    if interface.up:
        inside.change(netlink.change_message(index, up=True), interface.name or interface.link)
    for family, about, gateway in _gateways(sides, interface):
        message = netlink.default_message(index, family, gateway)
        try:
            inside.add_route(message, about)
        except OSError:
            if not gateway:
                raise
            # Nothing leads to it yet, as in a network of one address: it lies directly behind the interface.
            inside.add_route(netlink.route_message(index, gateway, 8 * len(gateway)), about)
            inside.add_route(message, about)


def _gateways(sides: _Sides, interface: Interface) -> Iterator[tuple[int, str, bytes]]:
    """The default routes: family, what an error is about, and the address (empty: the interface itself)."""
    families = ((netlink.AF_INET, "ipv4"), (netlink.AF_INET6, "ipv6"))
    for (family, called), gateway in zip(families, interface.gateways, strict=True):
        if gateway == "auto":
            index = sides.host.link(interface.link).index
            found = sides.host.addresses(index, family)
            about = _about(interface, f"{called}.gateway")
            if not found:
                raise OSError(_ENODEV, f"{interface.link} has no {called} address", about)
            yield family, about, found[0]
        elif gateway:
            packed = b"" if gateway == "dev" else _packed(gateway)
            yield family, _about(interface, f"{called}.gateway"), packed


def _route(sides: _Sides, interface: Interface, index: int, pair: str) -> None:
    """Have the host route to the addresses inside, and answer for the gateways, which need not exist.

    The end inside is up by now: the kernel drops the entries of an interface without a carrier.
    """
    for family, about, gateway in _gateways(sides, interface):
        if not gateway:
            continue
        settings = f"/proc/sys/net/{'ipv4' if family == netlink.AF_INET else 'ipv6'}/conf"
        if family == netlink.AF_INET6:
            _need(f"{settings}/all/forwarding", about)
            write_text(f"{settings}/{pair}/proxy_ndp", "1")
        write_text(f"{settings}/{pair}/forwarding", "1")
        sides.host.add_proxy(netlink.proxy_message(index, gateway), about)
    for address in interface.addresses:
        packed = _packed(address.address)
        message = netlink.route_message(index, packed, 8 * len(packed))
        sides.host.add_route(message, _about(interface, _written(address)))


def _answer_for(sides: _Sides, interface: Interface) -> None:
    """Have the link answer for the addresses inside (l2proxy)."""
    about = _about(interface, "l2proxy")
    link = sides.host.link(interface.link).index
    packed = [_packed(address.address) for address in interface.addresses]
    if any(len(address) == 4 for address in packed):
        _need(f"/proc/sys/net/ipv4/conf/{interface.link}/forwarding", about)
    if any(len(address) == 16 for address in packed):
        _need(f"/proc/sys/net/ipv6/conf/{interface.link}/forwarding", about)
        _need(f"/proc/sys/net/ipv6/conf/{interface.link}/proxy_ndp", about)
    for address in packed:
        _answer(sides, netlink.proxy_message(link, address), about)
        if interface.kind == "ipvlan":
            # The link answers only for what the host does not route to the link itself.
            _lead_away(sides, netlink.route_message(netlink.LOOPBACK, address, 8 * len(address)), about)


def _answer(sides: _Sides, proxy: bytes, about: str) -> None:
    sides.host.add_proxy(proxy, about)
    sides.at_the_end(lambda: sides.host.remove_proxy(proxy, about))


def _lead_away(sides: _Sides, route: bytes, about: str) -> None:
    sides.host.add_route(route, about)
    sides.at_the_end(lambda: sides.host.remove_route(route, about))


def _need(path: str, about: str) -> None:
    """Raise OSError unless a setting of the host is on: it is the administrator's, not ours to change."""
    if read_text(path).strip() != "1":
        raise OSError(EINVAL, f"needs {path} to be 1", about)


def _set_vlans(sides: _Sides, interface: Interface, veth: Veth, index: int) -> None:
    """Put the bridge's port into its VLANs."""
    about = _about(interface, "veth.vlan.id" if veth.vlan is not None else "veth.vlan.tagged.id")
    bridge = f"/sys/class/net/{interface.link}/bridge"
    try:
        filters = read_text(f"{bridge}/vlan_filtering").strip() == "1"
    except FileNotFoundError:
        raise OSError(_EOPNOTSUPP, "this kernel's bridges know no VLANs", about) from None
    if not filters:
        raise OSError(
            EINVAL, f"the bridge {interface.link} does not filter VLANs (vlan_filtering is 0)", about
        )
    if veth.vlan is not None:
        default = int(read_text(f"{bridge}/default_pvid"))
        if default not in (0, veth.vlan):
            sides.host.remove_port_vlan(netlink.port_message(index, default, tagged=False), about)
        if veth.vlan != NO_VLAN:
            sides.host.change(netlink.port_message(index, veth.vlan, tagged=False), about)
    for vlan in veth.tagged:
        message = netlink.port_message(index, vlan, tagged=True)
        sides.host.change(message, _about(interface, "veth.vlan.tagged.id"))


def _hardware(pattern: str) -> bytes:
    """A hardware address, each x of `pattern` a random digit; never one of a group. Empty for none."""
    digits = pattern.replace(":", "")
    drawn = [
        _random("02468ace" if place == 1 else "0123456789abcdef", 1) if digit in "xX" else digit
        for place, digit in enumerate(digits)
    ]
    return bytes.fromhex("".join(drawn))


def _random(letters: str, count: int) -> str:
    return "".join(letters[byte % len(letters)] for byte in posix.urandom(count))


def _packed(address: str) -> bytes:
    return _socket.inet_pton(netlink.AF_INET6 if ":" in address else netlink.AF_INET, address)


def _broadcast(address: Address, packed: bytes) -> bytes:
    """The broadcast address of IPv4: as written, or the network's last one, which networks of one or two lack."""
    if address.broadcast:
        return _packed(address.broadcast)
    if len(packed) != 4 or address.prefix > 30:
        return b""
    hosts = (1 << 32 - address.prefix) - 1
    return (int.from_bytes(packed, "big") | hosts).to_bytes(4, "big")


# Scripts


def _run_scripts(sides: _Sides, interface: Interface, link: str = "", peer: str = "") -> None:
    """Run script.up, and have script.down run before the interface is taken away."""
    if interface.script_up:
        _run(sides, interface, "up", link, peer)
    if interface.script_down:
        sides.at_the_end(lambda: _run(sides, interface, "down", link, peer))


def _run(sides: _Sides, interface: Interface, when: str, link: str, peer: str = "") -> None:
    """Run a script of the config; as LXC, it is given the last arguments whatever the version."""
    from minilxc.launch import hooks  # not for a network without scripts

    version = sides.network.version
    script = hooks.script(
        when,
        "net",
        interface.script_up if when == "up" else interface.script_down,
        interface.script_where[when],
        container=sides.variables["LXC_NAME"],
        version=version,
        environment=sides.variables,
        title=f"script.{when}",
    )
    told = (("LXC_NET_TYPE", interface.kind), ("LXC_NET_PARENT", link), ("LXC_NET_PEER", peer))
    hooks.run(
        script,
        sides.log,
        sides.attention,
        arguments=tuple(word for word in (interface.kind, link, peer) if word),
        environment={name: word for name, word in told if word and version == 1},
    )
