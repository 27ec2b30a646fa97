"""What is read of processes and of control groups, from files as the kernel writes them."""

from __future__ import annotations

import os

import pytest

from minilxc.monitor import facts
from minilxc.monitor.facts import Statistics

TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.0.0.0/24 2 0 2
        |-- 10.0.0.0
           /24 link UNICAST
        |-- 10.0.0.2
           /32 host LOCAL
        |-- 10.0.0.255
           /32 link BROADCAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
Local:
  +-- 10.0.0.0/24 2 0 2
        |-- 10.0.0.2
           /32 host LOCAL
"""
SIX = """\
00000000000000000000000000000001 01 80 10 80       lo
fd000000000000000000000000000005 05 40 00 80     eth0
fe80000000000000021122fffe334455 05 40 20 80     eth0
"""
DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier
    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0        0
  eth0:    1006      12    0    0    0     0          0         0     1172      15    0    0    0     0       0        0
"""


@pytest.fixture
def process(tmp_path):
    """A folder as /proc/PID is one."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "fib_trie").write_text(TRIE)
    (tmp_path / "net" / "if_inet6").write_text(SIX)
    (tmp_path / "net" / "dev").write_text(DEV)
    folder = os.open(tmp_path, os.O_RDONLY)
    yield folder
    os.close(folder)


def test_addresses_are_those_that_others_reach_it_by(process, tmp_path):
    assert facts.addresses(process) == ["10.0.0.2", "fd00::5"]
    (tmp_path / "net" / "if_inet6").unlink()
    assert facts.addresses(process) == ["10.0.0.2"]


def test_interfaces_are_listed_by_name(process):
    assert facts.interfaces(process) == ["eth0", "lo"]


def groups(tmp_path, **folders):
    found = []
    for name, files in folders.items():
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
        found.append(str(tmp_path / name))
    return found


def test_statistics_of_version_1(tmp_path):
    found = groups(
        tmp_path,
        cpuacct={"cpuacct.usage": "5000000000\n", "cpuacct.stat": "user 300\nsystem 100\n"},
        memory={
            "memory.usage_in_bytes": "4096\n",
            "memory.memsw.usage_in_bytes": "6144\n",
            "memory.kmem.usage_in_bytes": "0\n",
        },
        blkio={
            "blkio.throttle.io_service_bytes": "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n8:16 Read 1\nTotal 31\n",
            "blkio.throttle.io_serviced": "8:0 Read 2\n8:0 Write 3\n8:0 Total 5\nTotal 5\n",
        },
        unified={"cpu.stat": "usage_usec 1\nuser_usec 1\nsystem_usec 1\n"},
    )
    tick = 10**9 // os.sysconf("SC_CLK_TCK")
    assert facts.statistics(found) == Statistics(
        cpu=5 * 10**9, cpu_user=300 * tick, cpu_system=100 * tick,
        memory=4096, swap=2048, kernel_memory=0, read=11, written=20, operations=5,
    )  # fmt: skip


def test_statistics_of_version_2(tmp_path):
    found = groups(
        tmp_path,
        all={
            "cpu.stat": "usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_periods 0\n",
            "memory.current": "4096\n",
            "memory.swap.current": "2048\n",
            "memory.stat": "anon 1\nkernel 512\n",
            "io.stat": "8:0 rbytes=10 wbytes=20 rios=2 wios=3 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=0 rios=1 wios=0\n",
        },
    )
    assert facts.statistics(found) == Statistics(
        cpu=5 * 10**6, cpu_user=3 * 10**6, cpu_system=2 * 10**6,
        memory=4096, swap=2048, kernel_memory=512, read=11, written=20, operations=6,
    )  # fmt: skip


def test_what_is_not_counted_is_none():
    assert facts.statistics([]) == Statistics()
