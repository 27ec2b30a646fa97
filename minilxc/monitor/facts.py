"""What a container that runs uses and has, read from outside: addresses, interfaces, and what its groups count.

Nothing here enters the container. Its process 1 is given as a descriptor of its folder in /proc, which does
not come to mean another process when it ends.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from minilxc.linux.netlink import Netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LOOPBACK = "lo"
_LINK_LOCAL = 0x20  # linux/ipv6.h, IPV6_ADDR_LINKLOCAL
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Link(NamedTuple):
    """An interface on the host whose other end is in a container: bytes as the container has sent and received them."""

    name: str
    sent: int
    received: int


class Statistics(NamedTuple):
    """What a container has used: nanoseconds of processors, bytes of memory, bytes and operations of disks.

    None where the kernel does not count it, or not for this container. `swap` is without `memory`.
    """

    cpu: int | None = None
    cpu_user: int | None = None
    cpu_system: int | None = None
    memory: int | None = None
    swap: int | None = None
    kernel_memory: int | None = None
    read: int | None = None
    written: int | None = None
    operations: int | None = None


# Addresses and interfaces


def _lines(process: int, file: str) -> list[str]:
    """The lines of a file in the process's folder. Raises OSError."""
    with open(
        os.open(file, os.O_RDONLY | os.O_CLOEXEC, dir_fd=process), encoding="utf-8", errors="surrogateescape"
    ) as f:
        return f.read().splitlines()


def addresses(process: int) -> list[str]:
    """Its addresses, of version 4 and then 6, without those of the loopback and of links alone. Raises OSError.

    proc_pid_net(5): fib_trie has the kernel's table of its own addresses, the same as `ip addr`.
    """
    found: dict[str, None] = {}
    address = ""
    for line in _lines(process, "net/fib_trie"):
        word, _, rest = line.strip().partition(" ")
        if word == "|--":
            address = rest
        elif word == "/32" and rest == "host LOCAL" and not address.startswith("127."):
            found[address] = None
    try:
        lines = _lines(process, "net/if_inet6")
    except FileNotFoundError:
        lines = []  # the kernel has no IPv6
    import socket

    for line in lines:
        digits, _, _, scope, _, name = line.split()
        if name != _LOOPBACK and int(scope, 16) & 0xF0 != _LINK_LOCAL:
            found[socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))] = None
    return list(found)


def interfaces(process: int) -> list[str]:
    """The names of the interfaces in it. Raises OSError. proc_pid_net(5)."""
    return sorted(line.partition(":")[0].strip() for line in _lines(process, "net/dev")[2:])


def links(pid: int) -> list[Link]:
    """The interfaces here whose other ends are in the network of the process `pid`. Raises OSError."""
    netlink = Netlink()
    try:
        number = netlink.namespace_of(pid)
        if number < 0:
            return []  # nothing here leads there; or it is this one
        return [
            Link(link.name, sent=link.received, received=link.sent)
            for link in netlink.links()
            if link.kind == "veth" and link.namespace == number
        ]
    finally:
        netlink.close()


# What control groups count. cgroup-v2.rst; cgroup-v1/{cpuacct,memory,blkio-controller}.rst


def statistics(groups: Sequence[str]) -> Statistics:
    """What these groups, one in each hierarchy, have counted."""
    cpu = _keyed(groups, "cpu.stat")
    ticks = _keyed(groups, "cpuacct.stat")
    memory = _number(groups, "memory.current", "memory.usage_in_bytes")
    both = _number(groups, "memory.memsw.usage_in_bytes")
    swap = _number(groups, "memory.swap.current")
    if both is not None and memory is not None:
        swap = max(both - memory, 0)
    kernel = _number(groups, "memory.kmem.usage_in_bytes")
    read, written, operations = _blocks(groups)
    return Statistics(
        cpu=_number(groups, "cpuacct.usage") if ticks else _times(cpu.get("usage_usec"), 1000),
        cpu_user=_times(ticks.get("user"), _TICK_NS) if ticks else _times(cpu.get("user_usec"), 1000),
        cpu_system=_times(ticks.get("system"), _TICK_NS) if ticks else _times(cpu.get("system_usec"), 1000),
        memory=memory,
        swap=swap,
        kernel_memory=_keyed(groups, "memory.stat").get("kernel") if kernel is None else kernel,
        read=read,
        written=written,
        operations=operations,
    )


def _times(number: int | None, factor: int) -> int | None:
    return None if number is None else number * factor


def _text(groups: Sequence[str], file: str) -> str | None:
    """The content of a file of the first group that has it."""
    for group in groups:
        try:
            with open(f"{group}/{file}", encoding="utf-8") as opened:
                return opened.read()
        except OSError:
            continue
    return None


def _number(groups: Sequence[str], *files: str) -> int | None:
    for file in files:
        text = _text(groups, file)
        if text is not None and text.strip().isdecimal():
            return int(text)
    return None


def _keyed(groups: Sequence[str], file: str) -> dict[str, int]:
    """A file of lines "KEY NUMBER"."""
    words = (line.split() for line in (_text(groups, file) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and pair[1].isdecimal()}


def _blocks(groups: Sequence[str]) -> tuple[int | None, int | None, int | None]:
    """Bytes that were read from disks and written, and in how many operations."""
    text = _text(groups, "io.stat")
    if text is not None:  # "8:0 rbytes=1 wbytes=2 …"
        pairs = [pair.partition("=") for pair in text.split()]
        return _total(pairs, "rbytes"), _total(pairs, "wbytes"), _total(pairs, "rios") + _total(pairs, "wios")
    triples = _triples(groups, "io_service_bytes")
    if triples is None:
        return None, None, None
    done = _triples(groups, "io_serviced") or ()
    return (
        _total(triples, "Read"),
        _total(triples, "Write"),
        _total(done, "Read") + _total(done, "Write"),
    )


def _triples(groups: Sequence[str], file: str) -> list[tuple[str, str, str]] | None:
    """A file of lines "8:0 Read 1" of the blkio controller."""
    text = _text(groups, f"blkio.throttle.{file}_recursive")
    if text is None:
        text = _text(groups, f"blkio.throttle.{file}")
    if text is None:
        return None
    return [(words[1], "", words[2]) for words in map(str.split, text.splitlines()) if len(words) == 3]


def _total(found: Sequence[tuple[str, str, str]], name: str) -> int:
    return sum(int(number) for key, _, number in found if key == name and number.isdecimal())
