"""configs/: what each policy promises, in a container, asked of the kernel."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from tests.helpers import machine
from tests.helpers.container import CHECKOUT

CONFIGS = sorted((CHECKOUT / "configs").glob("*.seccomp"))
SIGSYS = 128 + 31
SEED = "seed-example.seccomp"
DENYLIST = "default-denylist.seccomp"
DOCKER = "docker-size-allowlist.seccomp"
STATIC = "static-allowlist.seccomp"
WEB = "static-web-server.seccomp"
MIXED = "32-bit-on-64-bit.seccomp"


def under(container, name, *lines):
    """A container with one of the shipped policies."""
    return container(f"lxc.seccomp.profile = {CHECKOUT / 'configs' / name}", *lines)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shell_script_runs_under_each_policy_that_lets_programs_start(container, path):
    box = container(f"lxc.seccomp.profile = {path}")
    if path.name == SEED:
        why = "the policy does not allow execve on x86_64, so no program could start"
        assert box.run("/bin/true") == (1, "", f"minilxc: {path}:2: {why}\n")
    elif path.name == WEB:
        assert box.run("/bin/echo", "ok") == (0, "ok\n", "")  # a shell opens its terminal for writing
    else:
        assert box.run("/bin/sh", "-c", "for i in 1 2; do echo $i | cat; done") == (0, "1\n2\n", "")


@pytest.mark.parametrize("program", ["try-syscall", "try-syscall-i386"])
def test_denylist_closes_the_host_and_leaves_the_rest(container, program):
    box = under(container, DENYLIST)
    # by itself: EINVAL for a wrong magic, ENOTDIR or EOPNOTSUPP for keyctl's number 99, 0 for personality's question
    assert box.calls(*"reboot 1 2 3 0".split(), program=program) == ["EPERM"]
    assert box.calls(*"keyctl 99".split(), program=program) == ["ENOSYS"]
    assert box.calls(*"umount2 /bin 1 + umount2 /bin 0".split(), program=program) == ["EACCES", "EINVAL"]
    assert box.calls(*"mkdir /nowhere/x 0755 + rmdir /nowhere/x".split(), program=program) == ["ENOENT"] * 2
    assert box.calls(*"personality 0x40000 + personality 0xffffffff".split(), program=program)[0] == "EPERM"


def test_denylists_vsock_has_no_way_around(container):
    """Neither by bits that the kernel does not look at, nor through i386's socketcall."""
    box = under(container, DENYLIST)
    assert (
        box.calls(*"socket 40 1 0 + socket 0x100000028 1 0 + socket 38 5 0".split()) == ["EAFNOSUPPORT"] * 3
    )
    assert int(box.calls(*"socket 1 1 0".split())[0]) > 0
    i386 = box.calls(*"socket 40 1 0 + socketcall 1 0 + socketcall 2 0".split(), program="try-syscall-i386")
    assert i386 == ["EAFNOSUPPORT", "ENOSYS", "EFAULT"]


def test_typing_into_a_terminal_has_no_way_around(container):
    """TIOCSTI with a bit above those the kernel reads (CVE-2019-10063). Without a policy: ENOTTY."""
    words = "ioctl 0 0x5412 0 + ioctl 0 0x100005412 0 + ioctl 0 0x5401 0".split()
    assert under(container, DENYLIST).calls(*words) == ["EPERM", "EPERM", "ENOTTY"]


@pytest.mark.parametrize("program", ["try-syscall", "try-syscall-i386"])
def test_docker_size_list_lets_programs_work_and_answers_eperm(container, program):
    box = under(container, DOCKER)
    assert box.calls(*"mkdir /nowhere/x 0755 + umount2 /bin 0 + keyctl 99".split(), program=program) == [
        "ENOENT",
        "EPERM",
        "EPERM",
    ]
    assert box.calls(*"unshare 0 + reboot 1 2 3 0".split(), program=program) == ["EPERM", "EPERM"]
    sockets = box.calls(*"socket 40 1 0 + socket 1 1 0".split(), program=program)
    assert sockets[0] == "EPERM"
    assert int(sockets[1]) > 0


def test_docker_size_list_has_no_vsock_by_other_bits_or_socketcall(container):
    box = under(container, DOCKER)
    assert box.calls(*"socket 0x100000028 1 0".split()) == ["EPERM"]
    assert box.calls(*"socketcall 1 0 + socketcall 2 0".split(), program="try-syscall-i386") == [
        "ENOSYS",
        "EFAULT",
    ]


def test_static_list_kills_what_a_shell_does_not_need(container):
    box = under(container, STATIC)
    assert box.calls(*"open /bin 0 + chdir /nowhere".split()) == ["3", "ENOENT"]
    assert box.run("/bin/try-syscall", *"mkdir /nowhere/x 0755".split()) == (SIGSYS, "", "")
    assert box.run("/bin/try-syscall-i386", "getpid").status == SIGSYS  # another ABI


def test_web_server_serves_and_can_do_nothing_else(container):
    box = under(container, WEB, "lxc.net.0.type = none")  # the test's own network
    (box.root / "www").mkdir()
    (box.root / "www" / "index.html").write_text("served\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = box.popen("/bin/busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", "/www")

    def ask():
        try:
            client = socket.create_connection(("127.0.0.1", port), timeout=5)
        except ConnectionRefusedError:
            assert server.poll() is None, server.communicate()
            return b""
        with client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while part := client.recv(4096):
                answer += part
            return answer

    for _ in range(2):  # a process for each
        assert machine.wait_for(ask, "an answer").endswith(b"\r\n\r\nserved\n")
    os.kill(server.pid, signal.SIGTERM)
    server.communicate()


@pytest.mark.parametrize(
    "call",
    [
        "open /made 0101 0644",  # O_CREAT and O_WRONLY
        "open /etc/passwd 2",  # O_RDWR
        "mkdir /made 0755",
        "socket 1 1 0",  # AF_UNIX
        "socket 2 2 0",  # UDP
        "socket 2 3 0",  # raw
        "unshare 0",
        "kill 0 0",
        "ioctl 0 0x5412 0",
    ],
)
def test_web_server_dies_of_anything_else(container, call):
    box = under(container, WEB)
    assert box.run("/bin/try-syscall", *call.split(), "+", "getpid") == (SIGSYS, "", "")
    assert not (box.root / "made").exists()


def test_mixed_list_runs_both_abis_and_gives_each_its_own(container):
    box = under(container, MIXED)
    both = "mkdir /nowhere/x 0755 + umount2 /bin 0 + unshare 0 + socket 40 1 0".split()
    for program in ("try-syscall", "try-syscall-i386"):
        assert box.calls(*both, program=program) == ["ENOENT", "ENOSYS", "ENOSYS", "ENOSYS"]
    # a 32-bit machine's personality is for i386 programs alone
    assert box.calls(*"personality 8".split()) == ["ENOSYS"]
    assert box.calls(*"personality 8".split(), program="try-syscall-i386") == ["0"]
    assert box.calls(*"socketcall 1 0 + socketcall 2 0".split(), program="try-syscall-i386") == [
        "ENOSYS",
        "EFAULT",
    ]
