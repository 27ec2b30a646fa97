"""Policies on the kernel: what a call in a container really gets.

A denied call gets an errno that it never gives by itself, and is made with arguments for which the
kernel gives another: so "blocked", "ran" and "not implemented" differ.
"""

from __future__ import annotations

import errno
import os

import pytest

from tests.helpers.container import CHECKOUT

BOTH = pytest.mark.parametrize("verb", ["execute", "start"])
PROGRAM = {"x86_64": "try-syscall", "i386": "try-syscall-i386"}
ABIS = pytest.mark.parametrize("abi", PROGRAM)
BLOCKED = "ECONNREFUSED"
MKDIR = ("mkdir", "/nowhere/x", "0755")  # ENOENT by itself
SIGSYS = 31


def ask(box, abi, *words, **more):
    """What the calls answer on an ABI."""
    return box.calls(*words, program=PROGRAM[abi], **more)


# --- answers


@BOTH
@ABIS
def test_denied_call_gets_the_policys_errno_and_no_other_call_does(container, verb, abi):
    box = container(policy=f"2\ndenylist\nmkdir errno {BLOCKED}\n")
    assert ask(box, abi, *MKDIR, "+", "rmdir", "/nowhere/x", verb=verb) == [BLOCKED, "ENOENT"]


@ABIS
@pytest.mark.parametrize("path", ["/node", "/nowhere/node"])
def test_errno_0_reports_success_and_makes_no_node(container, abi, path):
    """Design 5 and policy-language.md 2: `mknod errno 0` is how containers unpack archives with device nodes."""
    box = container(policy="2\ndenylist\nmknod errno 0\n")
    assert ask(box, abi, "mknod", path, "020666", "0x103", "+", "access", path, "0") == ["0", "ENOENT"]
    assert not (box.root / "node").exists()


@BOTH
@ABIS
@pytest.mark.parametrize("action", ["kill", "kill_process", "trap"])
def test_killing_answer_ends_the_payload_with_sigsys(container, verb, abi, action):
    box = container(policy=f"2\ndenylist\nmkdir {action}\n")
    made = box.run(PROGRAM[abi], "getpid", "+", *MKDIR, "+", "getpid", verb=verb)
    if verb == "start" and action == "trap":
        # A signal without a handler that process 1 gets of itself kills it when the kernel forces it (seccomp(2)).
        assert made.status == 128 + SIGSYS
    assert (made.status, made.err) == (128 + SIGSYS, "")
    assert len(made.out.splitlines()) == 1  # the call before; nothing after


def test_kill_ends_the_thread_and_kill_process_the_process(container):
    """policy-language.md 3: `kill` is KILL_THREAD as in LXC."""
    box = container(policy="2\ndenylist\nmkdir kill\n")
    assert box.run("thread") == (0, "the first thread is alive\n", "")
    box.configure(policy="2\ndenylist\nmkdir kill_process\n")
    assert box.run("thread") == (128 + SIGSYS, "", "")


@ABIS
def test_log_lets_the_call_run(container, abi):
    assert ask(container(policy="2\ndenylist\nmkdir log\n"), abi, *MKDIR) == ["ENOENT"]


@ABIS
def test_number_0_to_4094_and_names_are_errnos(container, abi):
    box = container(policy="2\ndenylist\nmkdir errno 4094\nrmdir errno E2BIG\n")
    shown = box.read(PROGRAM[abi], *MKDIR, "+", "rmdir", "/nowhere/x")
    assert shown.split() == ["-4094", str(-errno.E2BIG)]


def test_filter_is_in_force_in_every_process_of_the_container(container):
    box = container(policy=f"2\ndenylist\nmkdir errno {BLOCKED}\n")
    script = "(sh -c 'exec /bin/try-syscall mkdir /nowhere/x 0755')"
    assert box.read("sh", "-c", script) == f"-{errno.ECONNREFUSED}\n"


# --- sections and ABIs


@pytest.mark.parametrize(
    ("section", "native", "compat"),
    [
        ("x86", "ENOENT", BLOCKED),
        ("i386", "ENOENT", BLOCKED),
        ("x86_64", BLOCKED, "ENOENT"),
        ("amd64", BLOCKED, "ENOENT"),
        ("native", BLOCKED, "ENOENT"),
        ("all", BLOCKED, BLOCKED),
        ("x32", "ENOENT", "ENOENT"),
        ("arm", "ENOENT", "ENOENT"),
    ],
)
def test_section_is_for_its_own_abi_alone(container, section, native, compat):
    """LXC issue 571, pull requests 2786 and 3548: LXC 5.0.2 applies every section's rules to every ABI."""
    box = container(policy=f"2\ndenylist\n[{section}]\nmkdir errno {BLOCKED}\n")
    assert (ask(box, "x86_64", *MKDIR), ask(box, "i386", *MKDIR)) == ([native], [compat])


def test_named_section_overrides_all_and_unsectioned_lines(container):
    box = container(
        policy="2\ndenylist\nmkdir errno ECONNREFUSED\n[all]\nrmdir errno EISCONN\n"
        "[x86]\nmkdir errno ENOTCONN\nrmdir errno EALREADY\n"
    )
    calls = (*MKDIR, "+", "rmdir", "/nowhere/x")
    assert ask(box, "x86_64", *calls) == ["ECONNREFUSED", "EISCONN"]
    assert ask(box, "i386", *calls) == ["ENOTCONN", "EALREADY"]


def test_number_of_one_abi_is_not_a_number_of_another(container):
    """mkdir is 83 on x86_64, where i386 has symlink, and 39 there, where x86_64 has getpid (design 6)."""
    box = container(policy=f"2\ndenylist\n[x86]\nmkdir errno {BLOCKED}\n[x86_64]\nrmdir errno {BLOCKED}\n")
    native, compat = ask(box, "x86_64", "39", "+", "40"), ask(box, "i386", "84", "+", "39", "/nowhere/x")
    assert int(native[0]) > 0
    assert native[1] != BLOCKED
    assert compat[0] != BLOCKED
    assert compat[1] == BLOCKED


def test_x32_call_is_no_way_around_a_rule(container):
    """design 5: an unsectioned line of a denylist is for every ABI. The filter comes before the kernel's ENOSYS."""
    box = container(policy=f"2\ndenylist\nmkdir errno {BLOCKED}\n")
    assert ask(box, "x86_64", str(0x40000000 + 83), "/nowhere/x", "0755") == [BLOCKED]
    box.configure(policy=f"2\ndenylist\n[x86_64]\nmkdir errno {BLOCKED}\n")
    assert ask(box, "x86_64", str(0x40000000 + 83), "/nowhere/x", "0755") == ["ENOSYS"]


# --- allowlists

SEED = "2\nwhitelist\nopen\nread\nwrite\nclose\nmount\n{}[x86]\nopen\nread\n"


def test_example_allows_its_calls_and_kills_at_the_first_other(container):
    """The example of the LXC manual, with the one call that starts a program and the one that ends it."""
    box = container(policy=SEED.format("execve\nexit\n"), base=False)
    box.allow("made")
    words = (
        "open",
        "/made",
        "0102",
        "0644",
        "+",
        "write",
        "3",
        "text",
        "4",
        "+",
        "close",
        "3",
        "+",
        "mount",
        "none",
        "/nowhere",
        "tmpfs",
    )
    assert ask(box, "x86_64", *words) == ["3", "4", "0", "ENOENT"]
    assert (box.root / "made").read_text() == "text"
    assert box.run("/bin/try-syscall", "getpid") == (128 + SIGSYS, "", "")


def test_example_ends_without_exit_in_a_kill(container):
    """Word by word, with execve alone added: the payload may work but not end."""
    box = container(policy=SEED.format("execve\n"), base=False)
    assert box.run("/bin/try-syscall", "open", "/bin", "0") == (128 + SIGSYS, "3\n", "")


def test_examples_x86_section_allows_open_and_read_and_nothing_more(container):
    """An i386 program begins by the execve of x86_64; from then on only its own section counts."""
    box = container(policy=SEED.format("execve\nexit\n"), base=False)
    box.allow("made")
    words = ("open", "/made", "0102", "0644", "+", "getpid")
    assert box.run("/bin/try-syscall-i386", *words) == (128 + SIGSYS, "", "")  # killed at write, the printing
    assert (box.root / "made").read_bytes() == b""  # open ran


def test_example_word_by_word_starts_nothing_and_says_why(container):
    box = container(policy=SEED.format(""))
    why = "the policy does not allow execve on x86_64, so no program could start"
    assert box.run("true") == (1, "", f"minilxc: {box.policy_file}:2: {why}\n")


@ABIS
def test_default_answer_of_an_allowlist_may_be_an_errno(container, abi):
    """`whitelist errno 31` is EMLINK to everything else, on every ABI of the machine."""
    box = container(policy="2\nwhitelist errno 31\n[all]\nexecve\nwrite\nexit\n")
    assert ask(box, abi, *MKDIR, "+", "getpid", "+", "open", "/bin", "0") == ["EMLINK"] * 3


def test_allowlists_lines_before_a_section_are_native(container):
    """Design 5: 32-bit calls are allowed only by a section that says so."""
    box = container(policy="2\nallowlist errno 31\nexecve\nwrite\nexit\ngetpid\n[x86]\nwrite\nexit\n")
    assert int(ask(box, "x86_64", "getpid")[0]) > 0
    assert ask(box, "i386", "getpid") == ["EMLINK"]


def test_version_1_is_a_list_of_native_numbers(container):
    """write 1, execve 59, exit 60, open 2; everything else is killed, and so is i386 (policy-language.md 2)."""
    box = container(policy="1\nwhitelist\n1\n59\n60\n2\n")
    assert box.calls("open", "/bin", "0") == ["3"]
    assert box.run("try-syscall", "getpid") == (128 + SIGSYS, "", "")
    assert box.run("try-syscall-i386") == (128 + SIGSYS, "", "")


# --- arguments


def test_argument_filters_compare_64_bits_on_x86_64(container):
    box = container(policy=f"2\ndenylist\npersonality errno {BLOCKED} [0,0x1ffffffff,==]\n")
    # 0xffffffff asks for the persona and changes nothing; the kernel looks at the lower half only
    assert ask(box, "x86_64", "personality", "0x1ffffffff", "+", "personality", "0xffffffff") == [
        BLOCKED,
        "0",
    ]


def test_argument_filter_that_needs_64_bits_never_holds_on_i386(container):
    """libseccomp would cut the value and match (policy-language.md 4)."""
    box = container(policy=f"2\ndenylist\npersonality errno {BLOCKED} [0,0x1ffffffff,==]\n")
    assert ask(box, "i386", "personality", "0xffffffff") == ["0"]


@ABIS
@pytest.mark.parametrize(
    ("test", "held"),
    [
        ("[1,8,==]", ["8"]),
        ("[1,8,!=]", ["7", "9"]),
        ("[1,8,>]", ["9"]),
        ("[1,8,>=]", ["8", "9"]),
        ("[1,8,<]", ["7"]),
        ("[1,8,<=]", ["7", "8"]),
        ("[1,8,&=,0xe]", ["8", "9"]),
        ("[1,8,SCMP_CMP_EQ]", ["8"]),
    ],
)
def test_operators_hold_where_they_say(container, abi, test, held):
    box = container(policy=f"2\ndenylist\nmkdir errno {BLOCKED} {test}\n")
    values = ("7", "8", "9")
    words = " + ".join(f"mkdir /nowhere/x {value}" for value in values).split()
    assert ask(box, abi, *words) == [BLOCKED if value in held else "ENOENT" for value in values]


@ABIS
def test_two_filters_must_both_hold(container, abi):
    box = container(policy=f"2\ndenylist\nlseek errno {BLOCKED} [0,77,==][2,1,==]\n")
    words = "lseek 77 0 1 + lseek 77 0 0 + lseek 78 0 1".split()
    assert ask(box, abi, *words) == [BLOCKED, "EBADF", "EBADF"]


@ABIS
def test_forced_umount_is_rejected_and_others_are_not(container, abi):
    """reject_force_umount: umount2 with MNT_FORCE gets EACCES. Without it EINVAL: /bin is no mount."""
    box = container(policy="2\ndenylist\nreject_force_umount\n")
    words = "umount2 /bin 1 + umount2 /bin 3 + umount2 /bin 2 + umount2 /bin 0".split()
    assert ask(box, abi, *words) == ["EACCES", "EACCES", "EINVAL", "EINVAL"]


# --- ways around on i386


def test_socketcall_is_no_way_around_a_rule_for_socket(container):
    """LXC skips the name on i386: 359 and socketcall stay open (policy-language.md 5, tested)."""
    box = container(policy=f"2\ndenylist\nsocket errno {BLOCKED}\n")
    assert ask(box, "i386", *"socket 99 0 0 + 359 99 0 0 + socketcall 1 0".split()) == [BLOCKED] * 3
    assert ask(box, "i386", "socketcall", "2", "0") == ["EFAULT"]  # bind is another matter
    assert ask(box, "x86_64", "socket", "99", "0", "0") == [BLOCKED]


def test_socketcall_is_no_way_around_the_only_rule(container):
    """libseccomp 2.5.4 loses a rule for accept when it is the ABI's only one (policy-language.md 5)."""
    box = container(policy=f"2\ndenylist\naccept errno {BLOCKED}\n")
    assert ask(box, "i386", *"socketcall 5 0 + socketcall 4 0".split()) == [BLOCKED, "EFAULT"]
    assert ask(box, "x86_64", "accept", "-1", "0", "0") == [BLOCKED]


def test_ipc_is_no_way_around_a_rule_for_shmget(container):
    """The kernel looks at 16 bits of ipc's first argument: 0x10017 is shmget too (policy-language.md 5)."""
    box = container(policy=f"2\ndenylist\nshmget errno {BLOCKED}\n")
    words = "shmget 0 0 0 + ipc 23 0 0 0 0 0 + ipc 0x10017 0 0 0 0 0 + ipc 0x7fff0017 0 0 0 0 0".split()
    assert ask(box, "i386", *words) == [BLOCKED] * 4
    assert ask(box, "i386", *"ipc 24 0 99 0 0 0".split()) == ["EINVAL"]  # shmctl is another matter


def test_filtered_socket_rule_closes_socketcalls_socket_as_a_whole(container):
    """Behind socketcall the arguments cannot be seen: denied there, as none of them can be told apart."""
    box = container(policy=f"2\ndenylist\nsocket errno {BLOCKED} [0,99,==]\n")
    assert ask(box, "i386", *"359 99 0 0 + 359 98 0 0 + socketcall 1 0".split()) == [
        BLOCKED,
        "EAFNOSUPPORT",
        BLOCKED,
    ]


def test_allowlist_with_a_filtered_socket_does_not_open_socketcall(container):
    box = container(policy="2\nallowlist errno 31\n[all]\nexecve\nwrite\nexit\nsocket [0,99,==]\n")
    assert ask(box, "i386", *"359 99 0 0 + 359 98 0 0 + socketcall 1 0".split()) == [
        "EAFNOSUPPORT",
        "EMLINK",
        "EMLINK",
    ]


def test_rule_that_names_a_call_of_i386_alone_counts_there(container):
    box = container(policy=f"2\ndenylist\nwaitpid errno {BLOCKED}\numount errno {BLOCKED}\n")
    assert ask(box, "i386", *"waitpid 99 0 0 + umount /bin".split()) == [BLOCKED, BLOCKED]


# --- refusals


@pytest.mark.parametrize("verb", ["execute", "start"])
@pytest.mark.parametrize(
    ("policy", "line", "why"),
    [
        (
            "2\ndenylist\nmkmod errno 1\n",
            3,
            "mkmod: no architecture has this system call (did you mean 'mknod'?)",
        ),
        (
            "2\ndenylist\nexecve errno 1\n",
            3,
            "the policy does not allow execve on x86_64, so no program could start",
        ),
        (
            "2\nallowlist\nread\nwrite\n",
            2,
            "the policy does not allow execve on x86_64, so no program could start",
        ),
        (
            "2\nallowlist\n[x86]\nexecve\n",
            2,
            "the policy does not allow execve on x86_64, so no program could start",
        ),
    ],
)
def test_policy_under_which_nothing_can_start_is_refused_with_its_line(container, verb, policy, line, why):
    """Refused before anything exists: LXC's container hangs or dies by SIGPIPE (lxc-keys.md 8)."""
    box = container(policy=policy)
    assert box.run("true", verb=verb) == (1, "", f"minilxc: {box.policy_file}:{line}: {why}\n")


@pytest.mark.parametrize("policy", ["2\ndenylist\nmkdir notify\n", "2\ndenylist notify\nmkdir allow\n"])
def test_notify_is_refused_where_nobody_would_answer(container, policy):
    """LXC's container hangs (policy-language.md 3)."""
    box = container(policy=policy)
    result = box.run("true")
    line = 1 + next(number for number, text in enumerate(policy.splitlines()) if "notify" in text)
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith(f"minilxc: {box.policy_file}:{line}: ")
    assert "notify" in result.err


def test_missing_policy_is_told(container):
    box = container("lxc.seccomp.profile = /nowhere")
    result = box.run("true")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert "/nowhere" in result.err
    assert "No such file or directory" in result.err


def test_policy_in_the_callers_folder_is_found_by_its_relative_name(container):
    box = container("lxc.seccomp.profile = policy")
    box.policy_file.write_text(f"2\ndenylist\nmkdir errno {BLOCKED}\n")
    assert box.calls(*MKDIR) == [BLOCKED]


# --- execve under a policy that then kills


@BOTH
def test_failed_execve_is_told_although_the_policy_allows_nothing_else(container, verb):
    """The errno leaves through memory: no call is allowed any more (design 4)."""
    box = container(policy="2\nallowlist\nexecve\n")
    (box.root / "bin" / "bad").write_bytes(b"\x7fELF but not really")
    (box.root / "bin" / "bad").chmod(0o755)
    (box.root / "bin" / "plain").write_text("x")
    (box.root / "bin" / "orphan").write_text("#!/nowhere\n")
    (box.root / "bin" / "orphan").chmod(0o755)
    for program, number, status in (
        ("/bin/missing", errno.ENOENT, 127),
        ("/bin/plain", errno.EACCES, 126),
        ("/bin", errno.EACCES, 126),
        ("/bin/bad", errno.ENOEXEC, 126),
        ("/bin/orphan", errno.ENOENT, 127),
        ("/etc/passwd/x", errno.ENOTDIR, 126),
    ):
        line = f"minilxc: {box.name}: execve: {program}: {os.strerror(number)}\n"
        assert box.run(program, verb=verb) == (status, "", line), program


# --- a filter around minilxc

# A call that minilxc itself, which runs under the outer filter too, does not make.
UNLINK = ("unlink", "/nowhere/x")  # ENOENT by itself
UNLINK_NUMBER, OUTER = 87, errno.ESTALE


def test_policy_is_refused_inside_of_another_filter(container, helpers):
    """LXC skips the policy in silence (lxc-keys.md 8)."""
    box = container(policy=f"2\ndenylist\nrmdir errno {BLOCKED}\n")
    result = box.run("true", wrap=(str(helpers["confine"]), str(UNLINK_NUMBER), str(OUTER)))
    why = "lxc.seccomp.profile: a filter confines minilxc itself already, and LXC would skip the policy"
    cure = "lxc.seccomp.allow_nesting = 1 stacks both"
    where = box.line_of(f"lxc.seccomp.profile = {box.policy_file}")
    assert result == (1, "", f"minilxc: {where}: {why} ({cure})\n")


@BOTH
def test_both_filters_answer_when_nesting_is_allowed(container, helpers, verb):
    """Of two errnos the newest filter's counts (policy-language.md 3)."""
    policy = f"2\ndenylist\nrmdir errno {BLOCKED}\n"
    box = container("lxc.seccomp.allow_nesting = 1", policy=policy)
    wrap = (str(helpers["confine"]), str(UNLINK_NUMBER), str(OUTER))
    assert box.calls(*UNLINK, "+", "rmdir", "/nowhere/x", wrap=wrap, verb=verb) == ["ESTALE", BLOCKED]
    box.configure("lxc.seccomp.allow_nesting = 1", policy=f"{policy}unlink errno {BLOCKED}\n")
    assert box.calls(*UNLINK, wrap=wrap, verb=verb) == [BLOCKED]


def test_container_without_a_policy_may_run_inside_of_a_filter(container, helpers):
    wrap = (str(helpers["confine"]), str(UNLINK_NUMBER), str(OUTER))
    assert container().calls(*UNLINK, wrap=wrap) == ["ESTALE"]


# --- the cache


def test_changed_policy_is_never_answered_from_the_cache(container):
    box = container(policy=f"2\ndenylist\nmkdir errno {BLOCKED}\n")
    assert box.calls(*MKDIR) == [BLOCKED]
    before = box.policy_file.stat()
    box.policy_file.write_text("2\ndenylist\nmkdir errno ECONNABORTED\n"[: before.st_size])
    box.policy_file.write_text(f"2\ndenylist\nmkdir errno {'EISCONN':12}\n")
    os.utime(box.policy_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert box.policy_file.stat().st_size == before.st_size
    assert box.calls(*MKDIR) == ["EISCONN"]


def test_shipped_policies_let_a_static_program_run(container):
    """configs/: each one is run by a test."""
    paths = sorted((CHECKOUT / "configs").glob("*.seccomp"))
    assert len(paths) >= 4
    for path in paths:
        box = container(f"lxc.seccomp.profile = {path}")
        if path.name == "seed-example.seccomp":
            why = "the policy does not allow execve on x86_64, so no program could start"
            assert box.run("/bin/true") == (1, "", f"minilxc: {path}:2: {why}\n")
        else:
            assert box.run("/bin/echo", "ok") == (0, "ok\n", ""), path


@BOTH
def test_policy_costs_the_payload_no_call(container, verb):
    """An allowlist of what a static program does, and of execve: nothing of the launcher's is in it."""
    box = container(policy="2\nallowlist\nexecve\nwrite\nexit\n", base=False)
    assert box.run("/bin/try-syscall", verb=verb) == (0, "", "")
