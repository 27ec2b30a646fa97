"""What `check` finds: for each kind a policy that earns it, and one that nearly does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minilxc.errors import PolicyError
from minilxc.seccomp import calls, compiler, policy
from minilxc.seccomp.arch import ABIS, machine_by_word
from minilxc.seccomp.check import MAX_FILTERED, Finding, check, default_machines, failed
from minilxc.seccomp.checks import BY_ID, CATALOGUE, ERROR, NOTE, WARNING
from minilxc.seccomp.checks.fallback import OPENAT2, TRIED_FIRST
from minilxc.seccomp.checks.flags import FLAGS
from minilxc.seccomp.checks.needs import NEEDS
from minilxc.seccomp.checks.pointers import OTHER, POINTERS
from minilxc.seccomp.checks.rings import RING
from minilxc.seccomp.checks.twins import SUCCESSORS, TIME64, TWINS
from minilxc.seccomp.checks.widths import CUT

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.seccomp"))
MISSION = ("amd64", "i386", "arm64", "armhf", "ppc64el", "powerpc")
D = "2\ndenylist\n"
A = "2\nallowlist\n"
E = "2\nallowlist errno 1\n"
NEEDED = (
    "execve openat read pread64 newfstatat statx mmap mmap2 mprotect close arch_prctl set_thread_area set_tls"
    " exit_group brk munmap faccessat set_tid_address set_robust_list rseq prlimit64 getrandom"
).replace(" ", "\n")


def findings(text: str, *archs: str, newer: str | None = None) -> tuple[Finding, ...]:
    machines = [machine_by_word(word) for word in archs] or default_machines()
    return check(
        text.encode(), "p", machines, newer=None if newer is None else policy.newer(newer, "--newer")
    )


def of(kind: str, text: str, *archs: str) -> list[Finding]:
    assert kind in BY_ID
    return [each for each in findings(text, *archs) if each.check == kind]


def spelt(row: str) -> str:
    """A policy as a row has it: "|" for a new line, D, A and E for the usual headers."""
    lines = row.split("|")
    head = {"D": [D.rstrip()], "A": [A.rstrip()], "E": [E.rstrip()]}.get(lines[0], lines[:1])
    body = []
    for line in lines[1:]:
        needed, but, left_out = line.partition(" but ")
        if needed == "NEEDED":
            body += [call for call in NEEDED.split() if not but or call != left_out]
        else:
            body.append(line)
    return "\n".join([*head, *body, ""])


# kind, architectures, a policy and the line that earns it, a policy that does not (see `spelt`)
ROWS = [
    ("syntax", "amd64", "D|mkmod", 3, "D|mknod|mknodat"),
    ("syntax", "amd64", "D|mknod errno 4095", 3, "D|mknod errno 4094"),
    ("errno-name", "powerpc", "D|mknod errno EDEADLOCK", 3, "D|mknod errno EDEADLK"),
    ("errno-name", "powerpc", "2|allowlist errno EDEADLOCK|read", 2, "E|read"),
    ("compile", "amd64", "D|lseek errno 1 [0,1,==]|lseek errno 2 [0,1,==]", 4,
     "D|lseek errno 1 [0,1,==]|lseek errno 2 [0,2,==]"),
    ("no-execve", "amd64", "A|read", 2, "A|execve"),
    ("no-execve", "amd64", "D|execve errno 1", 3, "D|[x86]|execve errno 1"),
    ("no-execve", "i386", "D|[x86]|execve errno 1", 4, "D|execve errno 1 [0,0,==]"),
    ("needed-calls", "amd64", "A|execve", 2, "A|NEEDED"),
    ("needed-calls", "armhf", "A|NEEDED but set_tls", 2, "A|NEEDED"),
    ("needed-calls", "amd64", "A|NEEDED|[x86]|read", 2, "A|NEEDED|[x86]|execve kill|read"),
    # an errno is tolerated, being killed is not
    ("needed-calls", "amd64", "A|NEEDED but rseq", 2, "E|NEEDED but rseq"),
    ("turned-round", "amd64", "2|denylist kill|read allow", 2, "D|read"),
    ("turned-round", "amd64", "2|allowlist log|read errno 1", 2, "2|allowlist trap|read"),
    ("success-default", "amd64", "2|allowlist errno 0|read", 2, "D|mknod errno 0"),
    ("shadowed", "amd64", "D|mknod errno 1|mknod errno 2", 4, "D|mknod errno 1|[x86]|mknod errno 2"),
    ("shadowed", "amd64", "D|mknod allow|mknod", 4, "D|mknod|mknodat"),
    # `>= 0` is no filter, so neither rule has one
    ("shadowed", "amd64", "D|lseek errno 1 [0,0,>=]|lseek errno 2", 4, "D|lseek errno 1 [1,9,>=]"),
    ("replaced", "amd64", "D|lseek errno 1 [1,9,==]|lseek errno 2", 3,
     "D|lseek errno 1 [1,9,==]|lseek errno 2 [1,8,==]"),
    ("replaced", "amd64", "E|lseek [1,9,==]|lseek", 3, "D|lseek errno 1 [1,9,==]|lseek errno 1"),
    ("lost-exception", "amd64", "D|lseek errno 1 [1,2,>=]|lseek allow [1,16,==]", 4,
     "D|lseek errno 1 [1,2,>=]|lseek allow [1,1,==]"),
    ("reopened", "amd64", "D|lseek errno 1 [1,9,==]|[x86]|lseek errno 1 [1,8,==]", 5,
     "D|lseek errno 1 [1,9,==]|[x86]|lseek errno 1 [1,9,>=]"),
    ("reopened", "amd64", "D|lseek errno 1|[x86]|lseek errno 1 [1,8,==]", 5, "D|lseek errno 1|[x86]|lseek allow"),
    ("overlap", "amd64", "D|lseek errno 7 [1,1,>=]|lseek errno 9 [1,8,==]", 4,
     "D|lseek errno 7 [1,1,>=]|lseek errno 7 [1,8,==]"),
    ("overlap", "amd64", "D|lseek errno 7 [1,1,>=]|lseek errno 9 [2,8,==]", 4,
     "D|lseek errno 7 [1,9,>=]|lseek errno 9 [1,8,<=]"),
    ("cut-argument", "amd64", "D|ioctl errno 1 [1,0x5412,==]", 3, "D|ioctl errno 1 [1,0x5412,&=,0xffffffff]"),
    ("cut-argument", "amd64", "D|ioctl errno 1 [1,2,&=,0x100000002]", 3, "D|ioctl errno 1 [2,2,==]"),
    ("cut-argument", "arm64", "D|ioctl errno 1 [1,0x5412,==]", 3, "D|[arm]|ioctl errno 1 [1,0x5412,==]"),
    ("cut-argument", "i386", "D|chmod errno 1 [1,0777,==]", 3, "D|ioctl errno 1 [1,0x5412,==]"),
    ("cut-argument", "s390x", "D|[s390]|chmod errno 1 [1,8,==]", 4, "D|[s390x]|clone errno 1 [0,17,==]"),
    ("exact-flags", "amd64", "D|clone errno 1 [0,0x10000000,==]", 3, "D|clone errno 1 [0,0x10000000,&=,0x10000000]"),
    ("exact-flags", "amd64", "D|clone errno 1 [0,0x10000000,&=,0xffffffff]", 3, "E|clone [0,0x10000000,==]"),
    ("exact-flags", "amd64", "D|unshare errno 1 [0,0x10000000,==]", 3, "D|unshare errno 1 [0,0,!=]"),
    ("exact-flags", "amd64", "D|mmap errno 1 [2,4,==]", 3, "D|mmap errno 1 [2,0,==]"),
    ("exact-flags", "amd64", "D|openat errno 1 [2,0x40,==]", 3, "D|openat errno 1 [2,0x40,!=]"),
    ("exact-flags", "amd64", "E|clone [0,0x10000000,!=]", 3, "E|clone [0,0,&=,0x10000000]"),
    ("exact-flags", "i386", "D|mmap2 errno 1 [2,4,==]", 3, "D|mmap errno 1 [2,4,==]"),
    ("exact-flags", "amd64", "D|personality errno 1 [0,8,==]", 3, "D|personality errno 1 [0,0xffffffff,==]"),
    ("constant-filter", "i386", "D|lseek errno 1 [1,0x100000001,==]", 3, "D|lseek errno 1 [1,0xffffffff,==]"),
    ("constant-filter", "i386", "D|lseek errno 1 [1,0xffffffff,<=]", 3, "D|lseek errno 1 [1,0xfffffffe,<=]"),
    ("constant-filter", "amd64", "D|lseek errno 1 [1,0,>=]", 3, "D|lseek errno 1 [1,0,>]"),
    ("pointer", "amd64", "D|clone3 errno 38 [0,1,==]", 3, "D|clone3 errno 38"),
    ("pointer", "amd64", "D|execve errno 1 [1,8,==]", 3, "D|execve errno 1 [1,0,==]"),
    ("other-argument", "i386", "D|mmap errno 1 [2,4,&=,4]", 3, "D|mmap2 errno 1 [2,4,&=,4]"),
    ("other-argument", "armhf", "D|ftruncate64 errno 1 [1,9,>]", 3, "D|ftruncate64 errno 1 [0,1,&=,0xffffffff]"),
    ("other-argument", "s390x", "D|clone errno 1 [0,16,&=,16]", 3, "D|[x86_64]|clone errno 1 [0,16,&=,16]"),
    ("other-argument", "s390x", "D|[all]|clone errno 1 [1,16,&=,16]", 4, "D|[s390x]|clone errno 1 [1,16,&=,16]"),
    ("blind-filter", "i386", "D|socket errno 1 [0,16,&=,0xffffffff]", 3, "D|socket errno 1"),
    ("blind-filter", "i386", "E|socket [0,1,&=,0xffffffff]", 3,
     "E|socket [0,1,&=,0xffffffff]|socketcall errno 1 [0,1,==]"),
    ("blind-filter", "i386", "D|shmget errno 1 [2,1,&=,1]", 3,
     "D|shmget errno 1 [2,1,&=,1]|ipc errno 1 [0,23,&=,0xffff]"),
    ("blind-filter", "ppc64el", "D|socket errno 1 [0,16,==]", 3, "D|[x86]|socket errno 1 [0,16,==]"),
    ("multiplexer", "i386", "E|socketcall", 3, "E|ipc|" + "|".join(calls.IPC_PARTS)),
    ("multiplexer", "i386", "D|socket errno 1|socketcall allow", 4, "D|socket errno 1|socketcall errno 1 [0,2,==]"),
    ("multiplexer", "i386", "E|socket [0,1,&=,0xffffffff]|socketcall", 4, "E|socket|bind"),
    ("twin", "amd64", "D|mknod errno 1", 3, "D|mknod errno 1|mknodat errno 1"),
    ("twin", "arm64", "D|mknodat errno 1", 3, "D|[arm64]|mknodat errno 1"),
    ("twin", "amd64", "D|mount errno 1|fsmount errno 1|mount_setattr errno 1", 3,
     "D|mount errno 1|fsmount errno 1|move_mount errno 1|mount_setattr errno 1"),
    ("twin", "amd64", "D|clone errno 1|fork errno 1|vfork errno 1", 4, "D|clone3 errno 38"),
    ("twin", "amd64", "D|open errno 1|openat errno 1|creat errno 1", 3, "D|openat2 errno 38"),
    ("twin", "i386", "D|umount errno 1", 3, "D|umount errno 1|umount2 errno 1"),
    ("twin", "amd64", "D|[x86_64]|umount2 errno 1|[x86]|umount2 errno 1", 6, "D|umount2 errno 1 [1,1,&=,1]"),
    ("twin", "amd64", "D|kexec_load errno 1", 3, "D|kexec_load errno 1|kexec_file_load errno 1"),
    ("twin", "amd64", "D|init_module errno 1", 3, "D|init_module errno 1|finit_module errno 1"),
    ("twin", "i386", "D|clock_adjtime errno 1|adjtimex errno 1", 3,
     "D|clock_adjtime errno 1|adjtimex errno 1|clock_adjtime64 errno 1"),
    ("twin", "amd64", "E|open [1,0,&=,3]|openat", 3, "E|open [1,0,&=,3]"),
    ("twin", "amd64", "D|rmdir errno 1", 3, "D|rmdir errno 1|unlinkat errno 1 [2,0x200,&=,0x200]"),
    ("twin", "amd64", "D|rmdir errno 1|unlink errno 1|unlinkat errno 1 [2,0x200,&=,0x200]", 4,
     "D|unlink errno 1|unlinkat errno 1 [2,0,&=,0x200]"),
    ("twin", "amd64", "D|fork errno 1|vfork errno 1", 3,
     "D|fork errno 1|vfork errno 1|clone errno 1 [0,0,&=,0x10000]|clone3 errno 38"),
    ("twin", "amd64", "D|fork errno 1|vfork errno 1|clone errno 1 [0,0,&=,0x10000]", 3, "D|execveat errno 1"),
    # of s390 it is the stack that this compares
    ("twin", "amd64", "D|[all]|clone errno 1 [0,17,==]", 4, "D|[s390x]|clone errno 1 [0,17,==]|clone3 errno 38"),
    ("twin", "s390x", "D|clone errno 1", 3, "D|[all]|clone errno 1 [0,17,==]|clone3 errno 38"),
    ("twin", "amd64", "D|execve errno 1", 3, "E|execve|openat|openat2 errno 1"),
    ("io-uring", "amd64", "D|socket errno 1", 3, "D|socket errno 1|io_uring_setup errno 1"),
    ("io-uring", "amd64", "D|connect errno 1 [0,3,==]", 3, "D|mknod errno 1"),
    ("io-uring", "amd64", "E|io_uring_setup", 3, "E|io_uring_enter"),
    ("clone3-open", "amd64", "D|clone errno 1 [0,0x10000000,&=,0x10000000]", 3, "D|clone errno 1"),
    ("clone3-open", "amd64", "E|clone [0,0,&=,0x7e020000]|clone3", 3, "E|clone [0,0,&=,0x7e020000]|clone3 errno 38"),
    ("clone3-errno", "amd64", "D|clone errno 1 [0,16,&=,16]|clone3 errno 1", 4,
     "D|clone errno 1 [0,16,&=,16]|clone3 errno 38"),
    ("clone3-errno", "amd64", "E|clone", 2, "2|allowlist errno 38|clone"),
    ("clone3-errno", "mips", "E|clone|clone3 errno 38", 4, "E|clone|clone3 errno 89"),
    ("fallback", "i386", "E|clock_gettime", 2, "E|clock_gettime|clock_gettime64"),
    ("fallback", "amd64", "E|faccessat", 2, "E|faccessat|faccessat2 errno 38"),
    ("fallback", "amd64", "E|execve|openat|openat2 errno 1", 5, "E|execve|openat|openat2 errno ENOSYS"),
    ("fallback", "amd64", "D|openat2 errno 1", 3, "E|execve|openat"),
    ("fallback", "amd64", "D|faccessat2 errno 1", 3, "D|faccessat2 errno 1|faccessat errno 1"),
    ("absent-in-section", "amd64", "D|[x86_64]|waitpid", 4, "D|[x86]|waitpid|recv"),
    ("unknown-number", "amd64", "1|allowlist|9999", 3, "1|allowlist|59"),
    ("equal-default", "amd64", "A|open kill", 3, "A|open kill_process"),
    ("equal-default", "amd64", "D|lseek allow [1,1,==]", 3, "D|lseek allow|lseek errno 1"),
    ("equal-default", "amd64", "D|mknod allow", 3, "D|mknod|[x86]|mknod allow"),
    ("duplicate", "amd64", "A|read|read", 4, "A|read|[x86]|read"),
    ("duplicate", "amd64", "D|lseek errno 1 [0,1,==] [1,2,==]|lseek errno 1 [1,2,==] [0,1,==]", 4,
     "D|lseek errno 1 [0,1,==]|lseek errno 1 [0,2,==]"),
    ("duplicate", "amd64", "D|lseek errno 1 [1,9,==]|lseek errno 1", 3, "D|lseek errno 2 [1,9,==]|lseek errno 1"),
    ("section-overrides", "amd64", "D|mknod errno 1|[x86]|mknod errno 2", 5, "D|mknod errno 1|[x86]|mknod errno 1"),
    ("unread-section", "arm64", "D|[x86]|mknod", 3, "D|[arm]|mknod"),
    ("unread-section", "arm64", "D|[x86]", 3, "D|[all]|[native]|[ARM]"),
    ("unused-exception", "amd64", "D|mknod|mknodat  # check accepts twin: it is a test", 4,
     "D|mknod  # check accepts twin: it is a test"),
    ("unused-exception", "amd64", "D|read|# check accepts twin: nothing follows", 4,
     "D|# check accepts twin: what follows|mknod"),
    ("absent", "amd64", "A|clock_gettime64", 3, "A|clock_gettime|[all]|clock_gettime64"),
    ("native-only", "amd64", "A|read", 2, "A|[all]|read"),
    ("native-only", "arm64", "A|read", 2, "D|read"),
    ("numbers-differ", "amd64 arm64", "1|allowlist|59", 2, "2|allowlist|execve"),
    ("notify", "amd64", "D|mknod notify|mknodat notify", 3, "D|mknod trap"),
    ("exception", "amd64", "D|mknod  # check accepts twin", 3, "D|mknod  # check accepts twin: it is a test"),
    ("exception", "amd64", "D|mknod  # check accepts twim: it is a test", 3, "D|mknod  # check this"),
    ("exception", "amd64", "D|mknod  # check accepts syntax: it is a test", 3, "D|mknod  # the check accepts"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "archs", "bad", "line", "good"), ROWS)
def test_a_policy_that_earns_a_finding_and_one_that_nearly_does(
    kind: str, archs: str, bad: str, line: int, good: str
) -> None:
    found = of(kind, spelt(bad), *archs.split())
    assert {each.line for each in found} == {line}
    assert of(kind, spelt(good), *archs.split()) == []
    for each in found:
        assert each.severity == BY_ID[kind].severity
        assert each.path == "p"
        assert each.text.isprintable()
    if BY_ID[kind].severity != ERROR:
        assert all(each.severity != ERROR for each in findings(spelt(good), *archs.split()))


def test_every_kind_has_a_row() -> None:
    assert {row[0] for row in ROWS} | {"unreadable", "newer", "newer-answer"} == set(BY_ID)
    assert len(BY_ID) == len(CATALOGUE)
    assert {check.severity for check in CATALOGUE} == {ERROR, WARNING, NOTE}


def one(kind: str, text: str, *archs: str) -> tuple[str, str]:
    (found,) = of(kind, text, *archs)
    return found.text, found.fix


VALUES = " 'socket errno 1 [0,VALUE,&=,0xffffffff]'"


@pytest.mark.parametrize(
    ("rule", "fix"),
    [
        ("ioctl errno 25 [1,0x5412,==]", "write 'ioctl errno 25 [1,0x5412,&=,0xffffffff]'"),
        ("ioctl errno EPERM [1,0x5412,==] [2,7,>]", "write 'ioctl errno EPERM [1,0x5412,&=,0xffffffff] [2,7,>]'"),
        ("socket errno 1 [0,16,==] [2,9,==]", "write 'socket errno 1 [0,16,&=,0xffffffff] [2,9,&=,0xffffffff]'"),
        ("ioctl errno 1 [1,3,&=,0x700000003]", "write 'ioctl errno 1 [1,3,&=,3]'"),
        ("ioctl errno 1 [1,3,&=,0xffffffffffffffff]", "write 'ioctl errno 1 [1,3,&=,0xffffffff]'"),
        ("socket errno 1 [0,16,<]", "write 'socket errno 1 [0,0,&=,0xfffffff0]'"),
        ("socket errno 1 [0,15,<=]", "write 'socket errno 1 [0,0,&=,0xfffffff0]'"),
        ("socket errno 1 [0,0x80000000,>=]", "write 'socket errno 1 [0,0x80000000,&=,0x80000000]'"),
        ("chmod errno 1 [1,8,==]", "write 'chmod errno 1 [1,8,&=,0xffff]'"),
        ("kill errno 1 [1,0x100000009,==]", "write 'kill errno 1 [1,9,&=,0xffffffff]'"),
        ("socket errno 1 [0,40,!=]", f"no mask can say '!= 40': name the values, each by a line{VALUES}"),
        ("socket errno 1 [0,9,>]", f"no mask can say '> 9': name the values, each by a line{VALUES}"),
    ],
)  # fmt: skip
def test_the_line_to_write_instead(rule: str, fix: str) -> None:
    found = of("cut-argument", f"{D}{rule}\n", "amd64")
    assert [each.fix for each in found] == [fix]
    if fix.startswith("write"):
        assert of("cut-argument", f"{D}{fix[7:-1]}\n", "amd64") == []


@pytest.mark.parametrize(
    ("text", "consequence"),
    [
        (f"{D}socket errno 1 [0,40,==]\n", "a caller that sets a bit there gets around it"),
        (f"{D}socket errno 1 [0,40,!=]\n", "a caller that leaves something there meets it by chance"),
        (f"{E}socket [0,40,==]\n", "a caller that leaves something there is denied by chance"),
        (f"{E}socket [0,40,!=]\n", "a caller that sets a bit there is let through"),
    ],
)
def test_what_a_comparison_without_a_mask_comes_to(text: str, consequence: str) -> None:
    said, _ = one("cut-argument", text, "amd64")
    assert said == (
        "argument 0 of socket is 'int family': the kernel does not look above 32 bits, this rule does:"
        f" {consequence} (on x86_64{' and x32' if text.startswith(D) else ''})"
    )


def test_an_overlap_is_told_with_both_lines_and_the_programs_own_answer() -> None:
    """The rows of the policy language's examples: the narrower answers."""
    text, _ = one("overlap", f"{D}personality errno 7 [0,1,>=]\npersonality errno 9 [0,8,==]\n", "i386")
    assert text == (
        "personality: the filters overlap with those of line 3, which says errno 7: personality(8)"
        " matches both and is answered errno 9, as line 4 says (on x86)"
    )
    text, _ = one("overlap", f"{D}lseek errno 7 [1,8,==]\nlseek errno 9 [1,1,>=]\n", "i386")
    assert "lseek(0, 8) matches both and is answered errno 7, as line 3 says" in text


def test_a_finding_of_several_architectures_is_told_once_with_their_names() -> None:
    (found,) = of("cut-argument", f"{D}ioctl errno 1 [1,1,==]\n")
    assert found.architectures == ("x86_64", "x32", "aarch64", "ppc64le")
    (found,) = of("twin", f"{D}mknod errno 1\n")
    assert "(on every ABI)" not in found.text  # arm64 has no mknod
    (found,) = of("twin", f"{D}ptrace errno 1\n")
    assert found.text.endswith("(on every ABI)")
    # a native line of an allowlist counts on i386, and not for i386 programs on amd64
    (found,) = of("multiplexer", f"{E}socketcall\n", "amd64", "i386")
    assert found.architectures == ("x86 of i386",)


def test_all_errors_of_a_file_are_told_and_nothing_else() -> None:
    text = f"{D}mkmod\nmknod errno 1\n[x68]\nlseek errno 5000\nread read\n"
    assert [(each.check, each.line) for each in findings(text)] == [("syntax", line) for line in (3, 5, 6, 7)]


def test_all_contradictions_are_told() -> None:
    lseek = "".join(f"lseek errno {number} [0,1,==]\n" for number in (1, 2, 3))
    text = f"{D}{lseek}read errno 1 [2,1,>]\nread errno 2 [2,1,>]\n"
    assert [(each.check, each.line) for each in findings(text)] == [("compile", line) for line in (4, 5, 7)]
    assert findings(text)[0].text == "the filters are, or begin, those of p:3, with another action"


def test_contradictions_are_found_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their number, libseccomp is asked once for each width of words."""
    asked = []
    export = compiler.export
    monkeypatch.setattr(compiler, "export", lambda *args: asked.append(args) or export(*args))
    compiler.forget_decisions()
    rules = [f"ioctl errno {errno} [1,{at},&=,0xffffffff]\n" for errno in (1, 2) for at in range(1, 61)]
    found = findings(D + "".join(rules))
    assert [(each.line, each.text) for each in found] == [
        (at + 62, f"the filters are, or begin, those of p:{at + 2}, with another action")
        for at in range(1, 61)
    ]
    assert len(asked) == 2


def test_an_errno_name_is_told_once_with_the_machines() -> None:
    (found,) = findings(f"{D}mknod errno EDEADLOCK\nmknodat errno 1\n")
    assert (found.line, found.text) == (3, "errno EDEADLOCK has its own number on ppc64el and powerpc")


def test_filters_too_many_for_the_kernel_are_an_error_each_call_once() -> None:
    rules = [f"ioctl errno {n % 100 + 1} [1,{n},==] [2,{n},==] [3,{n},==]\n" for n in range(MAX_FILTERED + 2)]
    (found,) = findings(D + "".join(rules[:MAX_FILTERED]), "armhf")
    assert (found.check, found.line) == ("compile", MAX_FILTERED + 2)
    assert found.text.startswith("libseccomp makes ")
    (found,) = findings(D + "".join(rules), "armhf")
    assert (found.check, found.line) == ("compile", MAX_FILTERED + 3)
    assert found.text == "ioctl: more than 1000 rules with filters for one call are not checked"


def test_a_program_too_large_for_the_kernel_is_an_error_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "MAX_INSTRUCTIONS", 8)
    (found,) = findings(f"{D}mknod errno 1\nmknodat errno 2\nread errno 3\n", "amd64", "arm64")
    assert (found.check, found.line, found.where) == ("compile", 2, "p:2")
    assert "instructions, the kernel takes 8" in found.text


def test_a_missing_call_is_named_with_its_architecture() -> None:
    text, _ = one("needed-calls", f"{A}{NEEDED}\n[all]\nread\n".replace("set_tls\n", ""), "armhf")
    assert text == "every dynamically linked program makes calls that are not let through: set_tls (on arm)"


def test_twins_come_with_the_reason_and_the_line_to_add() -> None:
    assert one("twin", f"{D}kexec_load errno 1\n", "amd64") == (
        (
            "kexec_load is denied, kexec_file_load is let through: both put another kernel in the place of"
            " this one (on x86_64 and x32)"
        ),
        "add 'kexec_file_load errno 1'",
    )


@pytest.mark.parametrize(
    ("kind", "rules", "fix"),
    [
        # what calls of the twin are meant
        ("twin", "rmdir errno 1", "add 'unlinkat errno 1 [2,0x200,&=,0x200]'"),
        ("twin", "setrlimit errno EPERM", "add 'prlimit64 errno EPERM [2,0,!=]'"),
        ("twin", "fork errno 1\nvfork errno 1", "add 'clone errno 1 [0,0,&=,0x10000]', 'clone3 errno ENOSYS'"),
        ("twin", "open errno 1\nopenat errno 1\ncreat errno 1", "add 'openat2 errno ENOSYS'"),
        # without openat nothing starts
        ("twin", "open errno 1\ncreat errno 1",
         "programs cannot do without openat: filter all of them, or leave open out"),
        ("twin", "creat errno 1", "programs cannot do without open: filter all of them, or leave creat out"),
        ("twin", "mmap2 errno 1", "programs cannot do without mmap: filter all of them, or leave mmap2 out"),
        ("fallback", "openat2 errno 1", "'openat2 errno ENOSYS', or let it through"),
        ("fallback", "faccessat2 errno 1", "'faccessat2 errno ENOSYS', or let it through"),
    ],
)  # fmt: skip
def test_what_is_advised_does_not_break_programs(kind: str, rules: str, fix: str) -> None:
    assert one(kind, f"{D}{rules}\n", "i386" if "mmap2" in rules else "amd64")[1] == fix
    if fix.startswith("add '"):
        added = "\n".join(line.strip("'") for line in fix.removeprefix("add ").split(", "))
        assert of(kind, f"{D}{rules}\n{added}\n", "amd64") == []


def test_what_is_advised_is_right_on_every_machine() -> None:
    """An errno has other numbers on mips, and one name."""
    clone = f"{D}clone errno 1 [0,0x10000000,&=,0x10000000]\n"
    for archs in (("mips", "amd64"), ("amd64", "mips")):
        assert one("clone3-open", clone, *archs)[1].startswith("add 'clone3 errno ENOSYS'")
    assert one("clone3-errno", f"{clone}clone3 errno 1\n", "mips", "amd64")[1].startswith(
        "'clone3 errno ENOSYS'"
    )
    assert one("twin", f"{D}mknod errno EPERM\n", "mips", "amd64")[1] == "add 'mknodat errno EPERM'"
    assert one("twin", f"{D}mknodat errno ENOSYS\nmknod errno 1\nptrace errno ENOSYS\n", "mips", "amd64")[
        1
    ] == ("add 'process_vm_readv errno ENOSYS', 'process_vm_writev errno ENOSYS'")
    assert "'clone3 errno ENOSYS'" in one("pointer", f"{D}clone3 errno 38 [0,1,==]\n", "mips")[1]
    fix = one("blind-filter", f"{D}socket errno EPERM [0,16,&=,0xffffffff]\n", "i386")[1]
    assert fix == "if that is right, say it: 'socketcall errno EPERM [0,1,&=,0xffffffff]'"


@pytest.mark.parametrize(
    ("rule", "fix"),
    [
        ("clone errno 1 [0,0x10000000,==]", "write 'clone errno 1 [0,0x10000000,&=,0x10000000]'"),
        ("clone errno 1 [0,0x10000011,==]", "write 'clone errno 1 [0,0x10000000,&=,0x10000000]'"),
        ("clone errno 1 [0,17,==]", "write 'clone errno 1 [0,17,&=,0xff]'"),
        (
            "unshare errno EPERM [0,0x10000000,&=,0xffffffff]",
            "write 'unshare errno EPERM [0,0x10000000,&=,0x10000000]'",
        ),
        ("mmap errno 1 [2,6,==] [3,2,&=,2]", "write 'mmap errno 1 [2,6,&=,6] [3,2,&=,2]'"),
        ("socket errno 1 [1,3,==]", "write 'socket errno 1 [1,3,&=,0xf]'"),
        ("personality errno 1 [0,0x40000,==]", "write 'personality errno 1 [0,0x40000,&=,0x40000]'"),
    ],
)
def test_flags_are_compared_one_by_one(rule: str, fix: str) -> None:
    """A mask of all bits would be the same equality, with the same way around."""
    assert one("exact-flags", f"{D}{rule}\n", "amd64")[1] == fix
    assert of("cut-argument", f"{D}{rule}\n", "amd64") == []
    assert of("exact-flags", f"{D}{fix[7:-1]}\n", "amd64") == []
    assert of("cut-argument", f"{D}{fix[7:-1]}\n", "amd64") == []


def test_an_allowlist_that_excludes_one_set_of_flags() -> None:
    text, fix = one("exact-flags", f"{E}mprotect [2,6,!=]\n", "amd64")
    assert text == (
        "argument 2 of mprotect is a set of flags (PROT_READ, PROT_WRITE, PROT_EXEC): a caller that adds one"
        " gets around [2,6,!=] (on x86_64)"
    )
    assert fix == "write 'mprotect allow [2,0,&=,2]' and 'mprotect allow [2,0,&=,4]'"
    rules = re.findall("'(.*?)'", fix)
    assert of("exact-flags", E + "\n".join(rules) + "\n", "amd64") == []


def test_a_ring_is_told_where_the_rule_is() -> None:
    (found,) = of("io-uring", f"{D}read errno 1\nconnect errno 1 [0,3,&=,3]\nsocket errno 1\n", "amd64")
    assert (found.line, found.fix) == (4, "add 'io_uring_setup errno ENOSYS'")
    assert "what the rules for connect and socket deny or filter" in found.text
    (found,) = of("io-uring", f"{E}read\nio_uring_setup\n", "amd64")
    assert (found.line, found.fix) == (4, "leave io_uring_setup out")


def test_an_exception_needs_its_place() -> None:
    twin = f"{D}# check accepts twin: devices are made elsewhere\nmknod errno 1\nkexec_load errno 1\n"
    assert [each.line for each in of("twin", twin, "amd64")] == [5]
    trailing = f"{D}mknod errno 1  # check accepts twin, cut-argument: devices are made elsewhere\n"
    assert of("twin", trailing, "amd64") == []
    header = "2\nallowlist  # check accepts no-execve, needed-calls, native-only: a part of another\nread\n"
    assert findings(header, "amd64") == ()


def test_calls_newer_than_an_allowlist() -> None:
    """minilxc.seccomp.newer = errno ENOSYS: what an allowlist of old calls lacks is no trap then."""
    text = f"{E}[all]\n{NEEDED}\nclone\n"
    assert [each.check for each in findings(text, "amd64") if each.severity == WARNING] == [
        "clone3-errno",
        "fallback",
    ]
    assert failed(findings(text, "amd64", newer="errno ENOSYS"), strict=True) is False
    with pytest.raises(PolicyError, match="EDEADLOCK"):
        findings(text, "powerpc", newer="errno EDEADLOCK")


def test_an_answer_to_newer_calls_is_an_error_where_they_run() -> None:
    """As for explain and for a start; other errors are told beside it."""
    for text, line in (
        (f"{D}mknod errno 1\nmknodat errno 1\n", 2),
        ("2\n\nallowlist allow\nread errno 1\n", 3),
    ):
        (found,) = findings(text, "amd64", "mips", newer="errno ENOSYS")
        assert (found.severity, found.check, found.line) == (ERROR, "newer", line)
        assert found.text == (
            f"--newer: only an allowlist has newer calls, and p:{line} says 'allow' to every call that the policy"
            " does not name"
        )
    found = findings(f"{D}mknod errno EDEADLOCK\n", "powerpc", newer="errno ENOSYS")
    assert [each.check for each in found] == ["newer", "errno-name"]


@pytest.mark.parametrize(
    ("newer", "said"),
    [
        ("allow", "lets every call through that is newer"),
        ("log", "lets every call through that is newer"),
        ("kill", "ends programs that try a newer call"),
        ("trap", "ends programs that try a newer call"),
        ("errno 0", "tells the caller of a newer call that it succeeded"),
        ("errno EPERM", "is no reason for a C library to use an older call"),
        ("notify", "leaves calls that nobody had heard of"),
    ],
)
def test_an_answer_to_newer_calls_that_is_no_older_kernels(newer: str, said: str) -> None:
    text = f"{E}[all]\n{NEEDED}\n"
    (found,) = [each for each in findings(text, "amd64", newer=newer) if each.check == "newer-answer"]
    assert (found.severity, found.line, found.fix) == (WARNING, 2, "'errno ENOSYS' does")
    assert found.text.startswith(f"--newer: '{newer}' {said}")
    for right in ("errno ENOSYS", "errno 38"):
        assert {each.check for each in findings(text, "amd64", newer=right)} & {
            "newer",
            "newer-answer",
        } == set()


def test_what_newer_calls_are_answered_has_a_place_in_the_file() -> None:
    """No execve among few calls: it is newer on arm64. The header's exceptions count there, too."""
    text = "2\nallowlist{}\nread\nwrite\nclose\nmount\n"
    (found,) = [
        each for each in findings(text.format(""), "arm64", newer="errno ENOSYS") if each.check == "no-execve"
    ]
    assert (found.line, found.where) == (2, "p:2")
    accepting = text.format("  # check accepts no-execve, needed-calls, native-only: an example")
    assert findings(accepting, "arm64", newer="errno ENOSYS") == ()


def test_errors_fail_warnings_fail_when_strict_notes_never_do() -> None:
    for text, plain, strict in (
        (f"{D}mkmod\n", True, True),
        (f"{D}mknod errno 1\n", False, True),
        (f"{D}getpid allow\n", False, True),
        (f"{D}getpid\ngetpid\n", False, False),
        (f"{D}getpid\n", False, False),
    ):
        found = findings(text, "amd64")
        assert (failed(found, strict=False), failed(found, strict=True)) == (plain, strict), text


def test_findings_come_by_line_the_gravest_first() -> None:
    text = "2\nallowlist\nread\nread\nmknod errno 1\nmknod errno 2\n"
    found = findings(text)
    order = [(each.line, (ERROR, WARNING, NOTE).index(each.severity)) for each in found]
    assert order == sorted(order)
    assert len(set(found)) == len(found)


NOTES_ONLY = """2
whitelist kill
# Right, yet each of these has something to it.
read
read
write errno 5
write errno 9
open kill
socketcall
personality [0,8,==]
personality errno 1
ioctl errno 25 [1,0x5412,==]
clock_gettime64
[x86]
socket [0,2,==]
[all]
close errno 1
[x86_64]
close
"""


def test_a_policy_of_which_each_line_earns_something() -> None:
    told = {(each.line, each.check) for each in findings(NOTES_ONLY, "amd64")}
    assert told >= {
        (2, "no-execve"),
        (5, "duplicate"),
        (7, "shadowed"),
        (8, "equal-default"),
        (9, "absent"),
        (10, "replaced"),
        (10, "cut-argument"),
        (12, "cut-argument"),
        (13, "absent"),
        (15, "blind-filter"),
        (19, "section-overrides"),
    }
    assert (9, "multiplexer") in {(each.line, each.check) for each in findings(NOTES_ONLY, "i386")}


# --- the tables


def test_tables_name_calls_that_exist_and_give_reasons() -> None:
    names = {
        *CUT,
        *POINTERS,
        *OTHER,
        *FLAGS,
        *RING,
        *SUCCESSORS,
        OPENAT2[0],
        *TIME64,
        *TIME64.values(),
        *(call for row in TWINS for call in row.calls),
        *(call for need in NEEDS for call in need.calls),
        *TRIED_FIRST,
        *(old for old, _ in TRIED_FIRST.values()),
    }
    assert {name for name in names if not calls.known(name)} == set()
    reasons = [
        *(row.reason for row in TWINS),
        *(need.reason for need in NEEDS),
        *(reason for _, reason in TRIED_FIRST.values()),
        *(text for row in (*CUT.values(), *POINTERS.values()) for text in row.values()),
        *(why for row in OTHER.values() for _, why in row.values()),
        *(flags.reason for row in FLAGS.values() for flags in row.values()),
        *RING.values(),
        OPENAT2[1],
        *(check.about for check in CATALOGUE),
    ]
    assert all(len(reason) > 3 and reason.isprintable() and not reason.endswith(".") for reason in reasons)
    assert all(0 <= arg <= 5 for row in (*CUT.values(), *POINTERS.values(), *FLAGS.values()) for arg in row)
    abis = {abi.name for abi in ABIS}
    assert {name for row in OTHER.values() for name in row} | {n for need in NEEDS for n in need.abis} <= abis


def test_no_argument_is_both_a_pointer_and_an_int() -> None:
    both = [(call, arg) for call in CUT for arg in CUT[call] if arg in POINTERS.get(call, ())]
    assert both == []


# --- what is shipped


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("archs", [MISSION, *((arch,) for arch in MISSION)], ids="-".join)
def test_shipped_policies_pass_the_strict_check(path: Path, archs: tuple[str, ...]) -> None:
    found = check(path.read_bytes(), str(path), [machine_by_word(arch) for arch in archs])
    assert [each for each in found if each.severity != NOTE] == []
    if archs == MISSION:
        assert found == ()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_groups_of_a_shipped_policy_have_comments(path: Path) -> None:
    """Each group of lines (what stands between blank lines) says why it is there."""
    groups = path.read_text().split("\n\n")
    assert [group for group in groups if "#" not in group] == []
    assert len(CONFIGS) >= 5
