"""minilxc.seccomp.newer in a container: what a program sees of calls that its policy is older than."""

from __future__ import annotations

import pytest

POLICY = "2\nallowlist errno ECONNREFUSED\n[all]\nexecve\nwrite\nexit\nunlink\n"
KEY = "minilxc.seccomp.newer = errno ENOSYS"
BOTH = pytest.mark.parametrize(
    ("program", "older", "newer"),
    [
        # unlink is the highest that is named on x86_64, execve on i386
        ("try-syscall", ("chdir", "/"), ("umount2", "/", "0")),
        ("try-syscall-i386", ("read", "0", "0", "0"), ("chdir", "/")),
    ],
)


@BOTH
def test_calls_newer_than_the_policy_have_their_own_answer(container, program, older, newer):
    box = container(KEY, policy=POLICY)
    assert box.calls(*older, "+", *newer, program=program) == ["ECONNREFUSED", "ENOSYS"]


@BOTH
def test_without_the_key_they_have_the_default(container, program, older, newer):
    box = container(policy=POLICY)
    assert box.calls(*older, "+", *newer, program=program) == ["ECONNREFUSED", "ECONNREFUSED"]


def test_the_key_counts_although_the_policy_is_cached(container):
    box = container(policy=POLICY)
    call = ("umount2", "/", "0")
    assert box.calls(*call) == ["ECONNREFUSED"]
    assert box.calls(*call, options=("-s", KEY.replace(" ", ""))) == ["ENOSYS"]
    assert box.calls(*call) == ["ECONNREFUSED"]


def test_a_denylist_with_the_key_does_not_start(container):
    box = container(KEY, policy="2\ndenylist\nmkdir errno 1\n")
    result = box.run("true")
    where = f"{box.line_of(KEY)}: minilxc.seccomp.newer"
    why = f"{box.policy_file}:2 says 'allow' to every call that the policy does not name"
    assert result == (1, "", f"minilxc: {where}: only an allowlist has newer calls, and {why}\n")
