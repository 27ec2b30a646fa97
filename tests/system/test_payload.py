"""What the payload finds when it begins: its arguments, environment, ids, signals, descriptors, session."""

from __future__ import annotations

import os
import signal
import socket
import subprocess

import pytest

from tests.helpers import machine
from tests.helpers.container import CHECKOUT

BOTH = pytest.mark.parametrize("verb", ["execute", "start"])


def status_fields(text: str) -> dict[str, str]:
    """/proc/PID/status by field."""
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


@BOTH
@pytest.mark.parametrize("status", [0, 7, 255])
def test_exit_status_is_the_payloads(container, verb, status):
    """lxc-start -F answers 0 for whatever init ended with (lxc-keys.md 9); minilxc hands it on."""
    assert container().run("sh", "-c", f"exit {status}", verb=verb) == (status, "", "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSYS, signal.SIGTERM])
def test_killed_payload_of_execute_gives_128_and_the_signal(container, number):
    """lxc-execute dies of the signal itself; shells report 128 + N (lxc-keys.md 9)."""
    assert container().run("sh", "-c", f"kill -{int(number)} $$") == (128 + number, "", "")


def test_init_of_start_killed_from_outside_gives_128_and_the_signal(container):
    """SIGKILL alone, from outside alone, ends a process 1 that handles nothing (pid_namespaces(7))."""
    process = container().popen("sh", "-c", "echo ready; read wait", verb="start", stdin=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    (init,) = machine.children(process.pid)
    os.kill(init, signal.SIGKILL)
    assert process.wait() == 128 + signal.SIGKILL


@BOTH
def test_arguments_arrive_byte_by_byte(container, verb):
    words = ["", " ", "a b", "--", "-n", "é", "\udcff", "new\nline", "$HOME", "'\"\\"]
    script = "cat /proc/$$/cmdline; true"
    shown = container().read("sh", "-c", script, *words, verb=verb)
    assert shown.split("\0")[:-1] == ["sh", "-c", script, *words]


@BOTH
def test_environment_is_the_configs_and_nothing_else(container, verb):
    """C27: clearenv, lxc.environment, container=lxc; last of a name wins; copied names come from the caller."""
    box = container(
        "lxc.environment = A=1",
        "lxc.environment = A=2",
        "lxc.environment = FROM_CALLER",
        "lxc.environment.runtime = B=x y",
    )
    shown = box.read(
        "cat", "/proc/self/environ", verb=verb, env={"FROM_CALLER": "c", "SECRET": "s", "PATH": "/nowhere"}
    )
    assert sorted(shown.split("\0")[:-1]) == ["A=2", "B=x y", "FROM_CALLER=c", "PATH=/bin", "container=lxc"]


def test_environment_without_a_line_is_only_that_this_is_a_container(container):
    assert container(base=False).read("/bin/env") == "container=lxc\n"


def test_config_cannot_take_the_word_container_back(container):
    assert "container=lxc\n" in container("lxc.environment = container=docker").read("env")


@BOTH
def test_payload_starts_in_the_root_folder(container, verb):
    assert container().read("pwd", verb=verb) == "/\n"


def test_payload_starts_in_the_folder_that_the_config_names(container):
    assert container("lxc.init.cwd = /tmp").read("pwd") == "/tmp\n"


def test_missing_working_directory_is_told(container):
    box = container("lxc.init.cwd = /nowhere")
    where = box.line_of("lxc.init.cwd = /nowhere")
    line = f"minilxc: {box.name}: working directory: /nowhere: No such file or directory ({where})\n"
    assert box.run("pwd") == (1, "", line)


@BOTH
def test_user_and_groups_are_the_configs(container, verb):
    box = container("lxc.init.uid = 1000", "lxc.init.gid = 1001", "lxc.init.groups = 7,8")
    status = status_fields(box.read("cat", "/proc/self/status", verb=verb))
    assert [status[key].split() for key in ("Uid", "Gid", "Groups")] == [
        ["1000"] * 4,
        ["1001"] * 4,
        ["7", "8"],
    ]


@BOTH
def test_caller_s_groups_do_not_reach_the_payload(container, verb):
    status = container().read("cat", "/proc/self/status", verb=verb, extra_groups=[4, 27])
    assert status_fields(status)["Groups"] == ""


@BOTH
@pytest.mark.parametrize("mask", ["0022", "0077", "0000"])
def test_umask_is_the_callers(container, verb, mask):
    status = container().read("cat", "/proc/self/status", verb=verb, umask=int(mask, 8))
    assert status_fields(status)["Umask"] == mask


def ignore_and_block_everything():
    for number in (
        signal.SIGHUP,
        signal.SIGPIPE,
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGXFSZ,
    ):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR2, signal.SIGCHLD})


@BOTH
@pytest.mark.parametrize("policy", [None, "2\ndenylist\nmknod errno 1\n"], ids=["no policy", "policy"])
def test_signals_begin_with_default_actions_and_an_empty_mask(container, verb, policy):
    """execve(2) keeps both; a caller under nohup, or Python itself, ignores some."""
    shown = container(policy=policy).read(
        "cat", "/proc/self/status", verb=verb, preexec_fn=ignore_and_block_everything, restore_signals=False
    )
    status = status_fields(shown)
    assert {status[key] for key in ("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd")} == {"0" * 16}


@BOTH
def test_caller_that_ignores_sigchld_still_gets_the_status(container, verb):
    """wait(2): who ignores SIGCHLD has no child to wait for. A cron or a daemon may hand that down."""
    # The interpreter itself, as a distribution's entry script has it: a shell would put SIGCHLD right.
    box = container()
    result = box.run(
        *("sh", "-c", "echo out; exit 7"),
        wrap=(str(CHECKOUT / ".venv/bin/python3"), "-IS", "-Xutf8"),
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
        verb=verb,
    )
    assert result == (7, "out\n", "")


@BOTH
def test_payload_leads_a_session_of_its_own(container, verb):
    """C24. In a session of the caller's, a payload could push characters into the caller's terminal (CVE-2017-5226)."""
    pid, _name, _state, _parent, group, session, terminal = (
        container().read("cat", "/proc/self/stat", verb=verb).split()[:7]
    )
    assert (group, session, terminal) == (pid, pid, "0")
    assert pid == ("1" if verb == "start" else "2")


@BOTH
@pytest.mark.parametrize("policy", [None, "2\ndenylist\nmknod errno 1\n"], ids=["no policy", "policy"])
def test_no_descriptor_above_2_reaches_the_payload(container, verb, policy):
    """CVE-2016-9962, CVE-2024-21626: an inherited descriptor of the host is a way out. LXC 5.0.2 hands them on."""
    box = container(policy=policy)
    box.remember_files()
    folder = os.open("/", os.O_RDONLY)
    extra = [os.dup2(folder, number, inheritable=True) for number in (65, 69, 900)]
    try:
        shown = box.read("ls", "/proc/self/fd", verb=verb, pass_fds=extra)
    finally:
        for number in (folder, *extra):
            os.close(number)
    assert shown.split() == ["0", "1", "2", "3"]  # 3 is the folder that ls reads


def test_low_descriptors_of_a_shell_do_not_reach_the_payload(container):
    box = container()
    words = " ".join(box.command("ls", "/proc/self/fd"))
    shown = subprocess.run(
        ["sh", "-c", f"exec 3</ 5</ 9</; exec {words} </dev/null"],
        capture_output=True,
        text=True,
        cwd=box.folder,
    )
    assert (shown.stdout.split(), shown.stderr) == (["0", "1", "2", "3"], "")


@BOTH
def test_standard_descriptors_are_handed_through_without_a_terminal(container, verb):
    """lxc-start -F loses the payload's output without a terminal (lxc-keys.md 4.7)."""
    result = container().run("sh", "-c", 'read line; echo "out $line"; echo err >&2', verb=verb, input="in\n")
    assert result == (0, "out in\n", "err\n")


@BOTH
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptor_hands_none_of_minilxcs_to_the_payload(container, verb, closed):
    """A lock or a socket that got a low number must not become the payload's standard input."""
    box = container()
    box.allow("tmp/seen")
    words = " ".join(box.command("sh", "-c", "'ls -l /proc/$$/fd >/tmp/seen; exit 7'", verb=verb))
    ran = subprocess.run(
        ["sh", "-c", f"exec {words} {closed}"], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    seen = (box.root / "tmp/seen").read_text()
    assert ran.returncode == 7
    assert not any(word in seen for word in ("socket:", "/run/minilxc", "anon_inode", str(box.file)))


def test_socket_as_standard_input_and_output_works(container):
    """As inetd and container engines call."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"hello\n")
        ours.shutdown(socket.SHUT_WR)
        result = subprocess.run(
            container().command("cat"), stdin=theirs, stdout=theirs, stderr=subprocess.PIPE
        )
        assert (result.returncode, result.stderr) == (0, b"")
        assert ours.recv(100) == b"hello\n"


def test_environments_path_finds_the_program(container):
    """As execvp(3) in the payload's own PATH, not in the caller's."""
    box = container("lxc.environment = PATH=/nowhere:/opt", base=False)
    (box.root / "opt").mkdir()
    (box.root / "opt" / "tool").symlink_to("/bin/busybox")
    assert box.run("tool", "true").err == "tool: applet not found\n"


def test_script_is_run_by_its_interpreter(container):
    box = container(policy="2\ndenylist\nmknod errno 1\n")
    (box.root / "script").write_text("#!/bin/sh\necho script $1\n")
    (box.root / "script").chmod(0o755)
    assert box.read("/script", "x") == "script x\n"


def test_start_runs_the_configs_init_command(container):
    box = container("lxc.init.cmd = /bin/echo 'one word' two")
    assert box.read(verb="start") == "one word two\n"


def test_execute_runs_the_configs_command(container):
    assert container("lxc.execute.cmd = /bin/echo three").read() == "three\n"


def test_session_keyring_is_the_containers_own(container):
    """keyctl(2): 0x3 KEYCTL_DESCRIBE is 6; a keyring inherited from the caller would show its keys."""
    # KEYCTL_GET_KEYRING_ID(KEY_SPEC_SESSION_KEYRING)
    first = container().calls("keyctl", "0", "-3", "0")
    second = container().calls("keyctl", "0", "-3", "0")
    assert first != second


def test_output_written_last_is_complete(container):
    """More than a pipe holds, read only after the end of the container's set-up."""
    shown = container().read("sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done")
    assert shown.split() == [str(number) for number in range(20000)]


@BOTH
def test_script_without_an_interpreter_is_run_by_the_shell(container, verb):
    """As execvp(3), and so LXC, has it."""
    box = container()
    script = box.root / "bin" / "plain"
    script.write_text('echo "$0 [$1] [$2]"\n')
    script.chmod(0o755)
    assert box.read("/bin/plain", "a b", "c", verb=verb) == "/bin/plain [a b] [c]\n"


def test_flags_of_a_root_that_is_not_named_are_refused(container):
    box = container(base=False)
    (box.folder / "config").write_text("lxc.rootfs.options = ro\n")
    why = "lxc.rootfs.options: there is no lxc.rootfs.path to mount with them"
    assert box.run("true") == (1, "", f"minilxc: {box.folder}/config:1: {why}\n")


def test_hangup_asks_the_init_of_start_to_end(container):
    """As LXC: the terminal that start -F was called from has gone."""
    box = container()
    script = "trap 'echo hangup; exit 1' HUP; trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    process = box.popen("sh", "-c", script, verb="start")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate()[0] == "term\n"
    assert process.returncode == 3
