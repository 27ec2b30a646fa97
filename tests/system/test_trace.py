"""What a start does, as strace and the interpreter see it: the last two calls, and the modules of a warm start."""

from __future__ import annotations

import marshal
import re
import subprocess
import sys

import pytest

from tests.helpers.container import CHECKOUT, ENTRY

BOTH = pytest.mark.parametrize("verb", ["execute", "start"])
POLICY = "2\ndenylist\nmkdir errno ECONNREFUSED\n"


def calls_by_process(box, *words, verb, options=()):
    """Process id to its system calls, one text each, of a whole run under strace."""
    trace = box.folder / "trace"
    box.may_make.add(str(trace))
    result = box.run(*words, verb=verb, options=options, wrap=("strace", "-f", "-qq", "-o", str(trace)))
    assert result.status == 0, result
    found: dict[str, list[str]] = {}
    for line in trace.read_text(errors="replace").splitlines():
        pid, call = line.split(maxsplit=1)
        if call.startswith("<...") and found[pid]:
            found[pid][-1] += call.partition("resumed>")[2]
        elif not call.startswith(("+++", "---")):
            found.setdefault(pid, []).append(call.replace("<unfinished ...>", ""))
    return found


@BOTH
@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("lxc.init.uid = 1000", "lxc.init.gid = 1000"),
        ("lxc.no_new_privs = 1",),
        ("lxc.cap.keep = none",),
        ("lxc.idmap = u 0 200000 65536", "lxc.idmap = g 0 200000 65536"),
        ("lxc.namespace.keep = pid",),
        ("lxc.pty.max = 4", "lxc.tty.max = 2", "lxc.prlimit.nofile = 64"),
    ],
    ids=["root", "user", "nnp", "no capability", "mapped", "host pids", "terminals and limits"],
)
def test_nothing_lies_between_the_load_of_the_filter_and_execve(container, verb, lines):
    """Design 4. LXC 5.0.2 makes 21 calls of 12 kinds there; a policy must allow them, or the start hangs."""
    box = container(*lines, policy=POLICY)
    processes = calls_by_process(box, "/bin/true", verb=verb)
    payload = [
        calls for calls in processes.values() if any(call.startswith('execve("/bin/true"') for call in calls)
    ]
    assert len(payload) == 1
    (calls,) = payload
    loads = [number for number, call in enumerate(calls) if "SECCOMP_SET_MODE_FILTER" in call]
    assert len(loads) == 1
    assert calls[loads[0]].endswith("= 0")
    assert calls[loads[0] + 1].startswith('execve("/bin/true"')
    assert calls[loads[0] + 1].endswith("= 0")


@BOTH
def test_nothing_is_executed_without_the_filter(container, verb):
    """From clone to the payload's execve no other program runs: no shell, no helper, no ldconfig."""
    box = container(policy=POLICY)
    box.read("/bin/true")
    processes = calls_by_process(box, "/bin/true", verb=verb)
    executed = [
        re.match(r'execve\("([^"]+)"', call)[1]
        for calls in processes.values()
        for call in calls
        if call.startswith("execve(") and call.endswith("= 0")
    ]
    assert executed[-1] == "/bin/true"
    assert all(
        "python" in path or path.endswith("minilxc") for path in executed[:-1] if "covered" not in path
    )


@BOTH
def test_child_opens_no_module_and_no_library(container, verb):
    """What it needs was loaded before it existed: nothing is ever read from the container's files (design 4)."""
    box = container(
        "lxc.pty.max = 4",
        "lxc.prlimit.nofile = 64",
        "lxc.uts.name = a",
        "lxc.arch = x86_64",
        "lxc.net.0.type = empty",
        "lxc.net.0.flags = up",
        policy=POLICY,
    )
    processes = calls_by_process(box, "/bin/true", verb=verb)
    parent = next(iter(processes))
    opened = [
        call
        for pid, calls in processes.items()
        if pid != parent
        for call in calls
        if re.match(r'open(at2?)?\(.*"[^"]*\.(py|pyc|so|so\.\d+)"', call)
    ]
    assert opened == []


# The modules that a start with a policy imports when everything is warm: beside those that the interpreter
# itself loads before the first line. Each costs every start its time: think before adding one.
STANDARD = set(
    "__future__ _blake2 _ctypes _prctl _signal _socket _stat _struct errno fcntl gc posix select stat".split()
)
# Those of the file that `minilxc.bundle` makes. Each costs every start a tenth of a millisecond and more.
OWN = {
    *"minilxc minilxc.errors minilxc.log".split(),
    *(f"minilxc.cli{name}" for name in ("", ".options", ".start")),
    *(f"minilxc.config{name}" for name in ("", ".keys", ".parse", ".values")),
    *(
        f"minilxc.linux{name}"
        for name in ("", *".cgroup .files .mount .names .native .process .syscalls .terminal".split())
    ),
    *(
        f"minilxc.launch{name}"
        for name in ("", *".cgroups .channel .child .credentials .devices .idmap .init .kernel_files".split())
    ),
    *(
        f"minilxc.launch.{name}"
        for name in "limits lock mounts namespaces parent plan program rootfs".split()
    ),
    *(f"minilxc.launch.{name}" for name in "attention record runtime system_mounts terminal".split()),
    *(
        f"minilxc.monitor{name}"
        for name in ("", *".background .console .desk .life .planning .protocol".split())
    ),
    *(f"minilxc.seccomp{name}" for name in ("", ".cache", ".loader", ".prepare", ".source")),
}


def imported(box, *words, verb, options=()):
    """The names of the modules that minilxc imports in a run, as the interpreter tells them."""
    box.remember_files()
    command = [str(CHECKOUT / ".venv/bin/python3"), "-IS", "-Xutf8", "-Ximporttime", str(ENTRY)]
    ran = subprocess.run(
        [*command, *box.arguments(*words, verb=verb, options=options)],
        cwd=box.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran
    lines = [line for line in ran.stderr.splitlines() if line.startswith("import time:")]
    before = subprocess.run([*command[:4], "-c", ""], capture_output=True, text=True).stderr
    usual = {line.rpartition("|")[2].strip() for line in before.splitlines()}
    return {line.rpartition("|")[2].strip() for line in lines} - usual


@BOTH
def test_warm_start_imports_these_modules_and_no_other(container, verb):
    """Design 6 and 7: with a warm cache neither pyseccomp nor what compiles is imported, and none of the slow ones."""
    box = container(policy=POLICY)
    box.read("/bin/true")
    assert imported(box, "/bin/true", verb=verb) - STANDARD - OWN == {"minilxc.bundle"}


def test_file_of_modules_has_these_and_no_other(container):
    """What is loaded from it, the interpreter does not tell."""
    container().read("/bin/true")  # makes it where it is missing
    (file,) = (CHECKOUT / "minilxc" / "__pycache__").glob("start.*.bundle")
    raw = file.read_bytes()
    index = marshal.loads(raw[12 : 12 + int.from_bytes(raw[8:12], "little")])
    assert {entry[0] for entry in index} - STANDARD == OWN


@BOTH
def test_warm_start_opens_neither_libseccomp_nor_the_policys_tools(container, verb):
    box = container(policy=POLICY)
    box.read("/bin/true")
    processes = calls_by_process(box, "/bin/true", verb=verb)
    opened = [
        call
        for calls in processes.values()
        for call in calls
        if call.startswith("open") and call.split("= ")[-1][0] != "-"
    ]
    assert not [
        call
        for call in opened
        if re.search(r"libseccomp|pyseccomp|seccomp/(policy|rules|compiler|calls)\.", call)
    ]


def test_cold_start_and_warm_start_answer_alike(container):
    box = container(policy=f"{POLICY}# {sys.executable} {id(object())}\n")
    words = ("mkdir", "/nowhere/x", "0755", "+", "rmdir", "/nowhere/x")
    assert box.calls(*words) == box.calls(*words) == ["ECONNREFUSED", "ENOENT"]
