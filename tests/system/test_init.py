"""Process 1 of `execute`: what it does for the payload, and that it is no way around the policy."""

from __future__ import annotations

import errno
import signal
import subprocess

import pytest

MKDIR = {"x86_64": "83", "i386": "39"}
DENIES_MKDIR = "2\ndenylist\nmkdir errno ECONNREFUSED\n"
POLICIES = pytest.mark.parametrize("policy", [None, DENIES_MKDIR], ids=["no policy", "policy"])
USER = ("lxc.init.uid = 1000", "lxc.init.gid = 1001")


def fields(text):
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


# --- no way around


@pytest.mark.parametrize("how", ["attach", "seize"])
def test_call_that_is_injected_into_init_gets_the_policys_answer(container, how):
    """A root payload may ptrace process 1; it must gain nothing by that (design 4)."""
    box = container(policy=DENIES_MKDIR)
    assert box.run("inject", how, "1", "x86_64", MKDIR["x86_64"], "/tmp/made", "493") == (
        0,
        f"{-errno.ECONNREFUSED}\n",
        "",
    )


def test_call_that_is_injected_into_init_runs_where_the_policy_lets_it(container):
    """That the test above means something: without a rule the injected call does run."""
    box = container()
    box.allow("tmp/made")
    assert box.run("inject", "attach", "1", "x86_64", MKDIR["x86_64"], "/tmp/made", "493") == (0, "0\n", "")
    assert (box.root / "tmp" / "made").is_dir()


def test_i386_call_that_is_injected_into_init_gets_the_policys_answer(container):
    """int 0x80 works in a 64-bit process too. (EFAULT by itself: its pointer is 0.)"""
    box = container(policy=DENIES_MKDIR)
    assert box.read("inject", "attach", "1", "i386", MKDIR["i386"], "0", "0") == f"{-errno.ECONNREFUSED}\n"
    box.configure(policy="2\ndenylist\nrmdir errno ECONNREFUSED\n")
    assert box.read("inject", "attach", "1", "i386", MKDIR["i386"], "0", "0") == f"{-errno.EFAULT}\n"


def test_forbidden_call_that_is_injected_into_init_kills_it(container):
    """And process 1 takes the container along."""
    box = container(policy="2\ndenylist\nmkdir kill\n")
    assert box.run("inject", "attach", "1", "x86_64", MKDIR["x86_64"], "/tmp/made", "493").status in (
        128 + signal.SIGSYS,
        128 + signal.SIGKILL,
    )
    assert not (box.root / "tmp" / "made").exists()


def test_allowlist_gives_init_little_more_than_the_payload(container):
    """What an init needs is added, natively; mkdir is not, nor is anything for i386."""
    policy = "2\nallowlist errno 31\n" + "".join(
        f"{name}\n"
        for name in (
            "execve exit exit_group write ptrace wait4 brk arch_prctl mprotect fstat newfstatat "
            "readlink getrandom prlimit64 set_tid_address set_robust_list rseq readlinkat"
        ).split()
    )
    box = container(policy=policy)
    for abi, number in MKDIR.items():
        assert box.read("inject", "attach", "1", abi, number, "0", "0") == f"{-errno.EMLINK}\n"


def test_capability_that_the_config_dropped_is_not_inits_either(container):
    """mknod in process 1's place: EPERM, as for the payload."""
    box = container("lxc.cap.drop = mknod sys_admin")
    assert (
        box.read("inject", "attach", "1", "x86_64", "133", "/tmp/node", "25014") == f"{-errno.EPERM}\n"
    )  # S_IFBLK|0666


@POLICIES
@pytest.mark.parametrize(
    "lines",
    [(), USER, ("lxc.idmap = u 0 200000 65536", "lxc.idmap = g 0 200000 65536")],
    ids=["root", "user", "mapped"],
)
@pytest.mark.parametrize(
    "capabilities",
    [(), ("lxc.cap.drop = sys_admin sys_ptrace mknod",), ("lxc.cap.keep = none",)],
    ids=["all", "dropped", "none"],
)
def test_init_is_who_the_payload_is(container, lines, policy, capabilities):
    box = container(*lines, *capabilities, policy=policy)
    shown = box.read("sh", "-c", "cat /proc/1/status; echo ===; cat /proc/self/status")
    init, payload = (fields(part) for part in shown.split("===\n"))
    same = (
        "Uid",
        "Gid",
        "Groups",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "Seccomp",
        "Seccomp_filters",
    )
    assert {key: init[key] for key in same} == {key: payload[key] for key in same}
    assert init["NoNewPrivs"] == "1"  # its program is not changed any more


@POLICIES
@pytest.mark.parametrize(
    "lines", [USER, ("lxc.cap.drop = sys_ptrace",)], ids=["user", "root without CAP_SYS_PTRACE"]
)
def test_init_is_closed_to_a_payload_without_the_right_to_trace(container, lines, policy):
    """Not dumpable: neither traced nor read, although both run as the same user (ptrace(2), access mode checks)."""
    box = container(*lines, policy=policy)
    denied = f"attach: {-errno.EPERM}\n"
    assert box.run("inject", "attach", "1", "x86_64", "39", "0") == (1, denied, "")
    assert box.run("inject", "seize", "1", "x86_64", "39", "0") == (1, denied, "")
    if lines == USER:
        result = box.run(
            "sh",
            "-c",
            "for n in mem environ maps stack; do cat /proc/1/$n; done; ls /proc/1/fd; readlink /proc/1/exe",
        )
        assert result.out == ""
        assert result.err.count("Permission denied") == 5


@POLICIES
def test_init_has_only_the_standard_descriptors(container, policy):
    """A descriptor of process 1 is the payload's for the asking: pidfd_getfd(2), /proc/1/fd."""
    box = container("lxc.tty.max = 2", "lxc.pty.max = 4", "lxc.prlimit.nofile = 64", policy=policy)
    assert box.read("ls", "/proc/1/fd").split() == ["0", "1", "2"]


def test_init_shows_nothing_of_the_host(container):
    """Its command line and its environment are the caller's, and no payload's business."""
    box = container()
    secret = "a-secret-of-the-caller"
    shown = box.read(
        "sh",
        "-c",
        "cat /proc/1/environ /proc/1/cmdline | tr '\\0' '\\n'; true",
        env={"SECRET": secret, "PATH": "/bin"},
    )
    assert secret not in shown
    assert str(box.file) not in shown


def test_init_maps_no_memory_that_the_start_shares_with_the_host(container):
    """The page in which a start tells its parent of execve must not stay a way to talk to the host."""
    assert "rw-s" not in container().read("cat", "/proc/1/maps")


# --- its work


@pytest.mark.parametrize("verb", ["execute", "start"])
@pytest.mark.parametrize("lines", [(), USER], ids=["root", "user"])
@POLICIES
def test_signals_that_minilxc_gets_reach_the_payload(container, verb, lines, policy):
    """All but those that cannot be caught, and SIGCHLD, which has its own meaning here."""
    box = container(*lines, policy=policy)
    process = box.popen("signals", verb=verb)
    assert process.stdout.readline() == "ready\n"
    numbers = [
        number
        for number in range(1, 65)
        if number
        not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTERM, signal.SIGWINCH, 32, 33)
        and (number != signal.SIGHUP or verb == "execute")  # start has a test of its own
    ]
    for number in numbers:
        process.send_signal(number)
        assert process.stdout.readline() == f"{number}\n"
    process.terminate()
    assert process.wait() == 7
    assert process.stdout.read() == f"{int(signal.SIGTERM)}\n"


def test_signals_that_come_together_all_arrive(container):
    box = container()
    process = box.popen("signals")
    assert process.stdout.readline() == "ready\n"
    sent = [signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR2, signal.SIGINT, signal.SIGQUIT, signal.SIGALRM]
    for number in sent:
        process.send_signal(number)
    got = {int(process.stdout.readline()) for _ in sent}
    assert got == {int(number) for number in sent}
    process.terminate()
    assert process.wait() == 7


def test_orphans_are_collected(container):
    """A process that nobody waits for must not stay a zombie for the container's life."""
    script = "pid=$(sh -c 'true & echo $!'); while [ -e /proc/$pid ]; do :; done; echo gone"
    assert container().read("sh", "-c", script) == "gone\n"


def test_status_is_the_payloads_even_when_an_orphan_ends_later(container):
    """As lxc-execute's init, it waits for the last process; the status is that of its own child."""
    box = container()
    script = "(while [ ! -e /tmp/go ]; do :; done; echo late; exit 9) & exit 7"
    box.allow("tmp/go")
    process = box.popen("sh", "-c", f"echo ready; {script}")
    assert process.stdout.readline() == "ready\n"
    (box.root / "tmp" / "go").touch()
    assert process.wait() == 7
    assert process.stdout.read() == "late\n"


def test_terminated_payload_leaves_no_orphan_running(container):
    """After the payload's end a signal goes to all that is left in the container."""
    box = container()
    process = box.popen("sh", "-c", "sh -c 'trap \"\" HUP; echo ready; exec sleep 1000' & exit 7")
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait() == 7


def test_payload_that_floods_init_with_signals_gains_nothing(container):
    """SIGCHLD without a child, and everything else, from inside."""
    box = container(*USER)
    script = "i=0; while [ $i -lt 200 ]; do kill -CHLD 1; kill -USR1 1 2>/dev/null; i=$((i+1)); done; exit 7"
    result = box.run("sh", "-c", f"trap '' USR1; {script}")
    assert (result.status, result.out, result.err) == (7, "", "")


def test_init_cannot_be_killed_from_inside(container):
    """pid_namespaces(7)."""
    assert container().run("sh", "-c", "kill -KILL 1; kill -STOP 1; exit 7") == (7, "", "")


def test_payload_is_process_2_and_its_parent_process_1(container):
    assert container().read("sh", "-c", "echo $$ $PPID") == "2 1\n"


def test_standard_descriptors_of_init_do_not_keep_a_pipe_open(container):
    """A reader of the payload's output gets its end of file when the payload closes it... with the container's end."""
    box = container()
    process = box.popen("sh", "-c", "echo out; exec >&- 2>&-; read line; exit 7", stdin=subprocess.PIPE)
    assert process.stdout.readline() == "out\n"
    process.communicate("\n")
    assert process.returncode == 7
