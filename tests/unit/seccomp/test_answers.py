"""The worked examples of the policy language: what a policy answers to a call, on each ABI.

Rows of (policy, machine, questions with their answers). Every program here has also passed `verify`,
so the simulator, the rules and the row agree.
"""

from __future__ import annotations

import pytest

from .helpers import ask, compiled

EXAMPLES = [
    (
        "2\ndenylist\nmknod errno 0",
        "amd64",
        """
        x86_64: mknod() -> ERRNO(0)
        x86: mknod() -> ERRNO(0)
        x32: mknod() -> ERRNO(0)
        x86_64: mknodat() -> ALLOW
        arm: 14() -> KILL_THREAD
        """,
    ),
    (
        "2\ndenylist\n[x86]\nmknod errno 7",
        "amd64",
        """
        x86: mknod() -> ERRNO(7)
        x86_64: mknod() -> ALLOW
        x32: mknod() -> ALLOW
        """,
    ),
    (
        "2\ndenylist\n[x86]\nmknod errno 7",
        "arm64",
        """
        aarch64: mknodat() -> ALLOW
        arm: mknod() -> ALLOW
        """,
    ),
    (
        "2\ndenylist\n[x86_64]\nmknod errno 7\n[x86]\nmknod errno 8",
        "amd64",
        """
        x86_64: mknod() -> ERRNO(7)
        x86: mknod() -> ERRNO(8)
        """,
    ),
    (
        "2\ndenylist\n[all]\nmknod errno 7\n[x86]\nmknod errno 8",
        "amd64",
        """
        x86_64: mknod() -> ERRNO(7)
        x86: mknod() -> ERRNO(8)
        x32: mknod() -> ERRNO(7)
        """,
    ),
    (
        "2\ndenylist\nmknod errno 7\nmknod errno 8",
        "amd64",
        """
        x86_64: mknod() -> ERRNO(7)
        """,
    ),
    (
        "2\ndenylist\nmknod",
        "amd64",
        """
        x86_64: mknod() -> KILL_THREAD
        """,
    ),
    (
        "2\ndenylist\nmknod kill_process\nmkdir trap\nrmdir log",
        "amd64",
        """
        x86_64: mknod() -> KILL_PROCESS
        x86_64: mkdir() -> TRAP
        x86_64: rmdir() -> LOG
        """,
    ),
    (
        "2\ndenylist\nmknod allow",
        "amd64",
        """
        x86_64: mknod() -> ALLOW
        """,
    ),
    (
        "2\nallowlist\nread\n[x86]\nwrite",
        "amd64",
        """
        x86_64: read() -> ALLOW
        x86: read() -> KILL_THREAD
        x86: write() -> ALLOW
        x86_64: write() -> KILL_THREAD
        x32: read() -> KILL_THREAD
        """,
    ),
    (
        "2\nwhitelist errno 31\nread\nwrite errno 5\nopen errno 31",
        "amd64",
        """
        x86_64: read() -> ALLOW
        x86_64: write() -> ERRNO(5)
        x86_64: open() -> ERRNO(31)
        x86_64: close() -> ERRNO(31)
        x86: read() -> ERRNO(31)
        arm: 3() -> KILL_THREAD
        """,
    ),
    (
        "2\nallowlist\n[all]\nread\n[arm]\nset_tls",
        "arm64",
        """
        aarch64: read() -> ALLOW
        arm: read() -> ALLOW
        arm: 0xf0005() -> ALLOW
        aarch64: write() -> KILL_THREAD
        x86_64: 0() -> KILL_THREAD
        """,
    ),
    (
        "2\nallowlist\nread",
        "armhf",
        """
        arm: read() -> ALLOW
        aarch64: 63() -> KILL_THREAD
        """,
    ),
    (
        "2\ndenylist\nmknod errno 1",
        "ppc64el",
        """
        ppc64le: mknod() -> ERRNO(1)
        """,
    ),
    (
        "2\ndenylist\nmknod errno 1",
        "ppc64",
        """
        ppc64: mknod() -> ERRNO(1)
        ppc: mknod() -> ERRNO(1)
        """,
    ),
    (
        "2\ndenylist\nmknod errno 1",
        "arm64",
        """
        aarch64: mknodat() -> ALLOW
        arm: mknod() -> ERRNO(1)
        """,
    ),
    (
        "2\ndenylist\nwaitpid errno 1",
        "amd64",
        """
        x86: waitpid() -> ERRNO(1)
        x86_64: 7() -> ALLOW
        """,
    ),
    (
        "2\ndenylist\npersonality errno 7 [0,8,==]",
        "amd64",
        """
        x86_64: personality(8) -> ERRNO(7)
        x86_64: personality(0) -> ALLOW
        x86_64: personality(0x100000008) -> ALLOW
        x86: personality(8) -> ERRNO(7)
        """,
    ),
    (
        "2\ndenylist\npersonality errno 7 [0,0x100000001,==]",
        "amd64",
        """
        x86_64: personality(0x100000001) -> ERRNO(7)
        x86: personality(1) -> ALLOW
        """,
    ),
    (
        "2\ndenylist\npersonality errno 7 [0,8,>=]",
        "amd64",
        """
        x86_64: personality(8) -> ERRNO(7)
        x86_64: personality(7) -> ALLOW
        x86_64: personality(0xffffffffffffffff) -> ERRNO(7)
        """,
    ),
    (
        "2\ndenylist\npersonality errno 7 [0,8,SCMP_CMP_NE]",
        "amd64",
        """
        x86_64: personality(8) -> ALLOW
        x86_64: personality(9) -> ERRNO(7)
        """,
    ),
    (
        "2\ndenylist\nioctl errno 25 [1,0x5412,&=,0xffffffff]",
        "amd64",
        """
        x86_64: ioctl(0, 21522) -> ERRNO(25)
        x86_64: ioctl(0, 0x100005412) -> ERRNO(25)
        x86_64: ioctl(0, 21523) -> ALLOW
        """,
    ),
    (
        "2\ndenylist\nclone errno 1 [0,0x10000000,&=,0x10000000]",
        "arm64",
        """
        aarch64: clone(0x10000011) -> ERRNO(1)
        aarch64: clone(17) -> ALLOW
        """,
    ),
    (
        "2\ndenylist\nclone errno 1 [0,0,&=,0x10000000]",
        "arm64",
        """
        aarch64: clone(17) -> ERRNO(1)
        aarch64: clone(0x10000011) -> ALLOW
        """,
    ),
    (
        "2\ndenylist\nsocket errno 1 [0,16,==][2,9,==]",
        "arm64",
        """
        aarch64: socket(16, 3, 9) -> ERRNO(1)
        aarch64: socket(16, 3, 0) -> ALLOW
        arm: socket(16, 3, 9) -> ERRNO(1)
        """,
    ),
    (
        "2\ndenylist\npersonality errno 7 [0,1,>=]\npersonality errno 9 [0,8,==]",
        "amd64",
        """
        x86_64: personality(8) -> ERRNO(9)
        x86_64: personality(1) -> ERRNO(7)
        x86_64: personality(0) -> ALLOW
        """,
    ),
    (
        "2\ndenylist\npersonality errno 9 [0,8,==]\npersonality errno 7",
        "amd64",
        """
        x86_64: personality(8) -> ERRNO(7)
        """,
    ),
    (
        "2\ndenylist\nreject_force_umount",
        "amd64",
        """
        x86_64: umount2(0, 1) -> ERRNO(13)
        x86_64: umount2(0, 2) -> ALLOW
        x86: umount2(0, 3) -> ERRNO(13)
        """,
    ),
    (
        "2\ndenylist\nsocket errno 97\nmknod errno 1",
        "amd64",
        """
        x86_64: socket() -> ERRNO(97)
        x86: 359() -> ERRNO(97)
        x86: 102(1) -> ERRNO(97)
        x86: 102(2) -> ALLOW
        """,
    ),
    (
        "2\ndenylist\nsocket errno 97 [0,16,==]\nmknod errno 1",
        "amd64",
        """
        x86_64: socket(2) -> ALLOW
        x86: 359(2) -> ALLOW
        x86: 102(1) -> ERRNO(97)
        """,
    ),
    (
        "2\ndenylist\naccept errno 1",
        "amd64",
        """
        x86_64: accept() -> ERRNO(1)
        x86: 102(5) -> ERRNO(1)
        """,
    ),
    (
        "2\ndenylist\nshmget errno 7",
        "amd64",
        """
        x86: 395() -> ERRNO(7)
        x86: 117(23) -> ERRNO(7)
        x86: 117(0x10017) -> ERRNO(7)
        """,
    ),
    (
        "2\ndenylist\nread errno 1",
        "amd64",
        """
        x86_64: 0x40000000() -> ERRNO(1)
        x86_64: 0xffffffff() -> ALLOW
        """,
    ),
    (
        "2\nallowlist allow\nmknod errno 7",
        "amd64",
        """
        x86_64: mknod() -> ERRNO(7)
        x86_64: mkdir() -> ALLOW
        """,
    ),
]

# Each is a decision of `rules`, which its docstring lists.
DECISIONS = [
    (  # a policy of version 1 has native numbers, and no other ABI gets anything from it
        "1\nwhitelist\n0 # read\n\n59\n59\n9999\n",
        "amd64",
        """
        x86_64: read() -> ALLOW
        x86_64: 59() -> ALLOW
        x86_64: 9999() -> ALLOW
        x86_64: write() -> KILL_THREAD
        x86: 59() -> KILL_THREAD
        x32: 0x4000003b() -> KILL_THREAD
        """,
    ),
    (  # the machine's first ABI has a second name
        "2\nallowlist\n[native]\nread\n[arm]\nwrite\n",
        "arm64",
        """
        aarch64: read() -> ALLOW
        aarch64: write() -> KILL_THREAD
        arm: read() -> KILL_THREAD
        arm: write() -> ALLOW
        """,
    ),
    (  # sections may return, in any spelling
        "2\ndenylist\n[I386]\nmknod errno 1\n[ All ]\nmkdir errno 2\n[X86-64]\nmkdir errno 3\n[x86]\nrmdir errno 4",
        "amd64",
        """
        x86: mknod() -> ERRNO(1)
        x86: mkdir() -> ERRNO(2)
        x86: rmdir() -> ERRNO(4)
        x32: mkdir() -> ERRNO(2)
        x86_64: mkdir() -> ERRNO(3)
        x86_64: rmdir() -> ALLOW
        """,
    ),
    (  # a named section wins although it says what the default says
        "2\ndenylist\n[all]\nmknod errno 7\n[x86]\nmknod allow\n",
        "amd64",
        """
        x86_64: mknod() -> ERRNO(7)
        x86: mknod() -> ALLOW
        """,
    ),
    (  # so does the first of two rules
        "2\ndenylist\nmknod allow\nmknod errno 7\n",
        "amd64",
        "x86_64: mknod() -> ALLOW",
    ),
    (  # a named section replaces all rules of a call, those with filters too
        "2\ndenylist\npersonality errno 7\n[x86]\npersonality errno 9 [0,8,==]\n",
        "amd64",
        """
        x86_64: personality(1) -> ERRNO(7)
        x86: personality(8) -> ERRNO(9)
        x86: personality(1) -> ALLOW
        """,
    ),
    (  # a filtered rule that says what the default says is left out
        "2\ndenylist\npersonality allow [0,8,==]\npersonality errno 7 [0,1,>=]\n",
        "amd64",
        """
        x86_64: personality(8) -> ERRNO(7)
        x86_64: personality(0) -> ALLOW
        """,
    ),
    (  # at 32 bits these tests always hold, and the rule has no filter left
        "2\ndenylist\npersonality errno 7 [0,0x100000000,<]\nmkdir errno 8 [0,0xffffffff,<=][1,5,==]\n",
        "amd64",
        """
        x86_64: personality(0xffffffff) -> ERRNO(7)
        x86_64: personality(0x100000000) -> ALLOW
        x86: personality(0xffffffff) -> ERRNO(7)
        x86: mkdir(0xffffffff, 5) -> ERRNO(8)
        x86: mkdir(0xffffffff, 6) -> ALLOW
        """,
    ),
    (  # at 32 bits these never hold
        "2\ndenylist\npersonality errno 7 [0,0xffffffff,>]\nmkdir errno 8 [0,0x100000000,&=,0x100000000]\n",
        "amd64",
        """
        x86_64: personality(0x100000000) -> ERRNO(7)
        x86: personality(0xffffffff) -> ALLOW
        x86_64: mkdir(0x100000005) -> ERRNO(8)
        x86: mkdir(0xffffffff) -> ALLOW
        """,
    ),
    (  # a mask counts in its lower half
        "2\ndenylist\npersonality errno 7 [0,8,&=,0xffffffff0000000c]\n",
        "amd64",
        """
        x86: personality(0xb) -> ERRNO(7)
        x86: personality(0xc) -> ALLOW
        x86_64: personality(0xb) -> ERRNO(7)
        x86_64: personality(0x10000000b) -> ALLOW
        """,
    ),
    (  # x32 calls have whole registers as arguments: no way around the rule through them
        "2\ndenylist\nftruncate errno 27 [1,0x100000000,>]\n",
        "amd64",
        """
        x86_64: ftruncate(3, 0x100000001) -> ERRNO(27)
        x32: ftruncate(3, 0x100000001) -> ERRNO(27)
        x32: ftruncate(3, 0x100000000) -> ALLOW
        """,
    ),
    (  # x32 alone: x86_64's numbers are another ABI's
        "2\ndenylist\nmknod errno 1\n",
        "x32",
        """
        x32: mknod() -> ERRNO(1)
        x32: read() -> ALLOW
        x86_64: mknod() -> KILL_THREAD
        x86_64: 0x3fffffff() -> KILL_THREAD
        x86: mknod() -> KILL_THREAD
        """,
    ),
    (  # mips: three ABIs, numbers counted from three bases
        "2\ndenylist\nmknod errno 1\nmseal errno 2\n",
        "mips64",
        """
        mips64: 5131() -> ERRNO(1)
        mips64n32: 6131() -> ERRNO(1)
        mips: 4014() -> ERRNO(1)
        mips64: 5462() -> ERRNO(2)
        mips64n32: 6462() -> ERRNO(2)
        mips: 4462() -> ERRNO(2)
        mips: 14() -> ALLOW
        """,
    ),
    (  # calls that this libseccomp does not know yet
        "2\ndenylist\nstatmount errno 1\nfile_setattr errno 2\nuretprobe errno 3\n",
        "amd64",
        """
        x86_64: 457() -> ERRNO(1)
        x86: 457() -> ERRNO(1)
        x32: 0x400001c9() -> ERRNO(1)
        x86_64: 469() -> ERRNO(2)
        x86_64: 335() -> ERRNO(3)
        x32: 0x4000014f() -> ALLOW
        x86: 335() -> ALLOW
        """,
    ),
    (  # libseccomp gives both one pseudo number when it builds on another machine
        "2\ndenylist\nsys_debug_setcontext errno 1\n",
        "ppc64",
        """
        ppc: 256() -> ERRNO(1)
        ppc: 363() -> ALLOW
        """,
    ),
    (  # multiplexed calls without a direct number, and no other rule for their ABI
        "2\ndenylist\n[x86]\nrecv errno 1\nsemop errno 2\n",
        "amd64",
        """
        x86: 102(10) -> ERRNO(1)
        x86: 102(9) -> ALLOW
        x86: 117(1) -> ERRNO(2)
        x86: 117(0x10001) -> ERRNO(2)
        x86: 117(2) -> ALLOW
        """,
    ),
    (  # what denies compares the bits that the kernel looks at, on 64-bit ABIs too
        "2\ndenylist\nsocket errno 1\nshmget errno 2\n",
        "ppc64el",
        """
        ppc64le: socketcall(0x700000001) -> ERRNO(1)
        ppc64le: ipc(0xffff00000017) -> ERRNO(2)
        ppc64le: ipc(0x17) -> ERRNO(2)
        """,
    ),
    (  # what allows compares the whole word
        "2\nallowlist\nsocket\nshmget\n",
        "ppc64el",
        """
        ppc64le: socketcall(1) -> ALLOW
        ppc64le: socketcall(0x700000001) -> KILL_THREAD
        ppc64le: ipc(0x17) -> ALLOW
        ppc64le: ipc(0x10017) -> KILL_THREAD
        ppc64le: ipc(0x100000017) -> KILL_THREAD
        """,
    ),
    (  # both at once
        "2\nallowlist errno 1\n[x86]\nsocket\nbind errno 5\nshmget\nshmat kill\n",
        "amd64",
        """
        x86: 102(1) -> ALLOW
        x86: 102(2) -> ERRNO(5)
        x86: 102(3) -> ERRNO(1)
        x86: 117(0x17) -> ALLOW
        x86: 117(0x10017) -> ERRNO(1)
        x86: 117(0x10015) -> KILL_THREAD
        """,
    ),
    (  # filters cannot see through socketcall: an allowlist does not open the part
        "2\nallowlist\n[x86]\nsocket allow [0,2,==]\nbind errno 5 [0,1,==]\nbind errno 6 [0,2,==]\n",
        "amd64",
        """
        x86: socket(2) -> ALLOW
        x86: socket(1) -> KILL_THREAD
        x86: 102(1) -> KILL_THREAD
        x86: bind(2) -> ERRNO(6)
        x86: 102(2) -> ERRNO(5)
        """,
    ),
    (  # a filter that can never hold does not deny the part either
        "2\ndenylist\nsocket errno 97 [0,0x100000010,==]\n",
        "amd64",
        """
        x86: socket(16) -> ALLOW
        x86: 102(1) -> ALLOW
        """,
    ),
    (  # a rule for socketcall itself stands for all of its parts
        "2\nallowlist\n[x86]\nsocketcall\nsocket errno 1\n",
        "amd64",
        """
        x86: socket() -> ERRNO(1)
        x86: 102(1) -> ALLOW
        x86: 102(99) -> ALLOW
        """,
    ),
    (  # with filters it leaves the rest to the parts
        "2\ndenylist\nsocketcall errno 9 [0,5,==]\nsocket errno 1\naccept errno 2\n",
        "i386",
        """
        x86: 102(5) -> ERRNO(9)
        x86: 102(1) -> ERRNO(1)
        x86: 102(2) -> ALLOW
        """,
    ),
    (  # a part that a named section rules comes before a general socketcall
        "2\ndenylist\n[all]\nsocketcall errno 9\nbind errno 8\n[x86]\nsocket allow\naccept errno 2 [0,1,==]\n",
        "amd64",
        """
        x86: 102(1) -> ALLOW
        x86: 102(5) -> ERRNO(2)
        x86: 102(2) -> ERRNO(9)
        """,
    ),
    (  # and is not opened by it when its filters cannot be seen there
        "2\nallowlist\n[all]\nsocketcall\n[x86]\nsocket allow [0,2,==]\n",
        "amd64",
        """
        x86: 102(1) -> KILL_THREAD
        x86: 102(2) -> ALLOW
        """,
    ),
    (  # a named section's socketcall replaces the general parts
        "2\ndenylist\n[all]\nsocket errno 1\n[x86]\nsocketcall errno 9\n",
        "amd64",
        """
        x86: 102(1) -> ERRNO(9)
        x86: 102(2) -> ERRNO(9)
        x86: socket() -> ERRNO(1)
        """,
    ),
    (  # notify, where somebody will answer; a part cannot slip by whoever that is
        "2\ndenylist\nsocket notify [0,16,==]\n",
        "amd64",
        """
        x86_64: socket(16) -> NOTIFY
        x86_64: socket(1) -> ALLOW
        x86: 102(1) -> NOTIFY
        """,
    ),
    (  # s390: both byte orders' rules hold on big-endian words
        "2\ndenylist\npersonality errno 7 [0,0x100000002,==]\nsocket errno 1\nmkdir errno 8 [1,3,>]\n",
        "s390x",
        """
        s390x: personality(0x100000002) -> ERRNO(7)
        s390x: personality(0x200000001) -> ALLOW
        s390: personality(2) -> ALLOW
        s390x: socketcall(0x700000001) -> ERRNO(1)
        s390: mkdir(0, 4) -> ERRNO(8)
        s390: mkdir(0, 3) -> ALLOW
        """,
    ),
]


@pytest.mark.parametrize(("policy", "machine", "answers"), EXAMPLES + DECISIONS)
def test_a_program_answers_as_the_language_says(policy: str, machine: str, answers: str) -> None:
    built = compiled(policy, machine, notify="notify" in policy)
    for row in answers.strip().splitlines():
        question, answer = row.strip().split(" -> ")
        assert ask(built, question) == answer, question
