"""What is decided about a program that joins a container, before it does."""

from __future__ import annotations

import marshal
import os
import subprocess

import pytest

from minilxc.errors import UsageError
from minilxc.launch.enter import Record, Request
from minilxc.linux.process import poll_ms
from minilxc.monitor import attach
from minilxc.monitor.client import NotRunning


def record(*environment):
    fields = (("mnt", "pid"), (0, 0), False, False, (), environment, None, (), 0o022, True, False)
    return Record(marshal.dumps((*fields, (0, 0, (), (), 40, False), None, None)))


def variables(*arguments, **more):
    return dict(word.split("=", 1) for word in attach.environment(*arguments, **more))


USUAL = {"PATH": attach.DEFAULT_PATH, "container": "lxc", "OF": "it"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {"A": "1", "B": "2", "PATH": "/x", "container": "lxc", "OF": "it"}),
        ({"clear": True}, USUAL),
        ({"clear": True, "keep": ("A", "none")}, {**USUAL, "A": "1"}),
        ({"clear": True, "extra": (("A", "x=y"), ("OF", ""))}, {**USUAL, "A": "x=y", "OF": ""}),
        (
            {"clear": True, "extra": (("container", "mine"), ("PATH", ""))},
            {"PATH": "", "container": "mine", "OF": "it"},
        ),
    ],
)
def test_variables_of_a_program_inside(more, expected):
    caller = {"A": "1", "B": "2", "PATH": "/x", "container": "host"}
    assert variables(record("OF=it"), caller, **more) == expected


def test_containers_own_path_wins():
    assert variables(record("PATH=/bin", "EMPTY="), {"PATH": "/x"})["PATH"] == "/bin"


@pytest.mark.parametrize(
    ("text", "shell"),
    [
        ("root:x:0:0::/root:/bin/bash\n", "/bin/bash"),
        ("a:x:1:1::/:/bin/a\nroot:x:0:0::/root:/bin/bash", "/bin/bash"),
        ("root:x:0:0::/root:/bin/one\ntoor:x:0:0::/root:/bin/two\n", "/bin/one"),
        ("root:x:0:0::/root:\ntoor:x:0:0::/root:/bin/two\n", "/bin/two"),
        ("root:x:0:0::/root:bash\n", "/bin/sh"),
        ("root:x:00:0::/root:/bin/bash\n", "/bin/sh"),
        ("root:x:0:0::/root:/bin/bash:more\n", "/bin/sh"),
        ("root:x:0\n", "/bin/sh"),
        ("", "/bin/sh"),
        (":" * 1000 + "\n" + "x" * 100_000, "/bin/sh"),
        ("root:x:0:0::/root:/bin/b\udcff\n", "/bin/b\udcff"),
    ],
)
def test_shell_is_that_of_the_user_in_passwd(text, shell):
    assert attach._shell_in(text, 0) == shell


def test_namespaces_that_are_shared_are_not_joined():
    pidfd = os.pidfd_open(os.getpid())
    try:
        assert attach.namespaces("c1", pidfd) == ()
        assert attach.namespaces("c1", pidfd, ["mnt", "pid"]) == ()
        with pytest.raises(UsageError):
            attach.namespaces("c1", pidfd, ["disk"])
    finally:
        os.close(pidfd)


@pytest.mark.parametrize("collected", [False, True])
def test_process_that_has_ended_is_in_no_namespaces_that_could_be_left_out(collected):
    process = subprocess.Popen(["true"])
    pidfd = os.pidfd_open(process.pid)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    if collected:
        process.wait()
    try:
        with pytest.raises(NotRunning):
            attach.namespaces("c1", pidfd)
    finally:
        os.close(pidfd)
        process.wait()


def test_request_travels_whole():
    asked = Request(
        record=b"\0r",
        arguments=("sh", "-c", "\udcff"),
        environment=("A=\udcff",),
        directory="/",
        namespaces=("mnt",),
        user=0,
        group=None,
        personality=8,
        privileged=("cap",),
        remount=True,
        terminal=(0, 1),
        size=2**63,
    )
    found = Request.from_bytes(asked.to_bytes())
    assert {name: getattr(found, name) for name in Request.__slots__} == {
        name: getattr(asked, name) for name in Request.__slots__
    }


@pytest.mark.parametrize(("seconds", "ms"), [(None, None), (0, 0), (-1, 0), (1.5, 1500), (1e12, 2**31 - 1)])
def test_any_time_is_one_that_poll_takes(seconds, ms):
    assert poll_ms(seconds) == ms
