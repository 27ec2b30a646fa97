"""The grammar: what is accepted, and the whole line of every refusal."""

from __future__ import annotations

import pytest

from minilxc.errors import PolicyError
from minilxc.seccomp import actions
from minilxc.seccomp.policy import Filter, Line, errors, parse
from minilxc.seccomp.source import MAX_SIZE, read


def told(text: bytes | str) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [str(error) for error in errors(data, "p")]


def lines(rules: str) -> tuple[Line, ...]:
    return parse(b"2\ndenylist\n" + rules.encode(), "p").lines


BEGINNINGS = [
    "2\ndenylist",
    "2\ndenylist\n",
    "2\r\ndenylist\r\n",
    "2\nblacklist",
    "\n \t\n2\n\n\n  denylist # a comment\n",
    "2 denylist",
    "  2\t\tdenylist  \n",
    "2\ndenylist allow",
]


@pytest.mark.parametrize("text", BEGINNINGS)
def test_the_first_two_lines_in_every_form(text: str) -> None:
    policy = parse(text.encode(), "p")
    assert (policy.version, policy.kind, policy.default, policy.lines) == (2, "denylist", actions.ALLOW, ())


@pytest.mark.parametrize(
    ("header", "kind", "default"),
    [
        ("allowlist", "allowlist", actions.KILL_THREAD),
        ("whitelist errno 31", "allowlist", actions.ERRNO + 31),
        ("allowlist\terrno\tEPERM", "allowlist", actions.ERRNO + 1),
        ("denylist kill", "denylist", actions.KILL_THREAD),
        ("allowlist kill_process", "allowlist", actions.KILL_PROCESS),
        ("denylist trap", "denylist", actions.TRAP),
        ("denylist log", "denylist", actions.LOG),
        ("denylist errno7", "denylist", actions.ERRNO + 7),
    ],
)
def test_the_default_action(header: str, kind: str, default: int) -> None:
    policy = parse(f"2\n{header}\n".encode(), "p")
    assert (policy.kind, policy.default, policy.where) == (kind, default, "p:2")


_VERSION = "the first line of a policy is its version, 1 or 2"
_KIND = "after the version comes 'allowlist' or 'denylist'"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", f"p:1: {_VERSION}"),
        (b"\n\n", f"p:1: {_VERSION}"),
        (b"3\ndenylist", f"p:1: {_VERSION}"),
        (b"02\ndenylist", f"p:1: {_VERSION}"),
        (b"\n2.0\ndenylist", f"p:2: {_VERSION}"),
        (b"2denylist", f"p:1: {_VERSION}"),
        (b"\xef\xbb\xbf2\ndenylist", f"p:1: {_VERSION}"),
        (b"# comment\n2\ndenylist", f"p:1: {_VERSION}"),
        (b"2", f"p:1: {_KIND}"),
        (b"2\n\n", f"p:1: {_KIND}"),
        (b"2\n# comment\ndenylist", f"p:2: {_KIND}"),
        (b"2\nmknod", f"p:2: {_KIND}, not 'mknod'"),
        (b"2\nDenylist", f"p:2: {_KIND}, not 'Denylist' (did you mean 'denylist'?)"),
        (b"2\ndenylistfoo", f"p:2: {_KIND}, not 'denylistfoo' (did you mean 'denylist'?)"),
        (b"2\ndenylist debug", "p:2: unknown action 'debug'"),
        (b"2\ndenylist kill kill", "p:2: 'kill' after the default action"),
        (b"2\ndenylist errno", "p:2: 'errno' needs a number or a name, as EPERM"),
        (b"2\ndenylist notify", "p:2: 'notify' cannot be the default action"),
        (b"2\0\ndenylist", "p:1: a NUL byte"),
        (b"1\ndenylist", "p:2: a policy of version 1 is an allowlist (version 2 has denylists)"),
        (b"1\nallowlist errno 1", "p:2: 'errno' after the kind: version 1 has no actions"),
    ],
)
def test_wrong_first_lines(text: bytes, error: str) -> None:
    assert told(text) == [error]


@pytest.mark.parametrize(
    "row",
    [
        "mknod errno 7",
        "mknod errno 7\r",
        "\tmknod\terrno\t7\t",
        "  mknod   errno   7",
        "mknod errno7",
        "mknod errno 7 # comment [0,8,==]",
        "mknod errno 7#comment",
        "mknod errno 0007",
        "mknod errno E2BIG",
        "mknod errnoE2BIG",
    ],
)
def test_one_rule_in_every_form(row: str) -> None:
    (line,) = lines(f"\n   # indented comment\n \t \n{row}\n")
    assert line._replace(errno_name="") == Line("", "mknod", -1, actions.ERRNO + 7, "", (), "p:6")


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("", actions.KILL_THREAD),
        ("allow", actions.ALLOW),
        ("kill", actions.KILL_THREAD),
        ("kill_process", actions.KILL_PROCESS),
        ("trap", actions.TRAP),
        ("log", actions.LOG),
        ("notify", actions.NOTIFY),
        ("errno 0", actions.ERRNO),
        ("errno 4094", actions.ERRNO + 4094),
        ("errno EPERM", actions.ERRNO + 1),
    ],
)
def test_every_action(action: str, value: int) -> None:
    assert [line.action for line in lines(f"mknod {action}")] == [value]


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("[0,8,==]", [(0, "==", 8, 0)]),
        ("[5,0x1F,SCMP_CMP_GE]", [(5, ">=", 31, 0)]),
        ("[0x3,010,<]", [(3, "<", 8, 0)]),
        ("[1,18446744073709551615,SCMP_CMP_NE]", [(1, "!=", 2**64 - 1, 0)]),
        ("[1,1,&=,3]", [(1, "&=", 1, 3)]),
        ("[1,0,SCMP_CMP_MASKED_EQ,0]", [(1, "&=", 0, 0)]),
        (
            " [ 0 ,\t8 , == ] [1,2,SCMP_CMP_LE][2,3,SCMP_CMP_GT]  ",
            [(0, "==", 8, 0), (1, "<=", 2, 0), (2, ">", 3, 0)],
        ),
        ("[0,0,SCMP_CMP_LT][1,0,<=][2,0,SCMP_CMP_EQ][3,0,>][4,0,!=][5,0,>=]", None),
    ],
)
@pytest.mark.parametrize("action", ["", " errno 1", " errno E2BIG", " kill_process"])
def test_filters(action: str, text: str, filters: list[tuple[int, str, int, int]] | None) -> None:
    (line,) = lines(f"ioctl{action}{text} # comment\r\n")
    if filters is None:
        assert [test.arg for test in line.filters] == [0, 1, 2, 3, 4, 5]
    else:
        assert line.filters == tuple(Filter(*each) for each in filters)


@pytest.mark.parametrize(
    ("row", "section"),
    [
        ("[x86]", "x86"),
        ("[I386]", "x86"),
        (" [ Amd64 ]  # comment", "x86_64"),
        ("[x86-64]\r", "x86_64"),
        ("[ARMHF]", "arm"),
        ("[armel]", "arm"),
        ("[Aarch64]", "aarch64"),
        ("[powerpc]", "ppc"),
        ("[ppc64el]", "ppc64le"),
        ("[mipsel64n32]", "mipsel64n32"),
        ("[riscv64]", "riscv64"),
        ("[loongarch64]", "loongarch64"),
        ("[s390]", "s390"),
        ("[ALL]", "all"),
        ("[Native]", "native"),
    ],
)
def test_sections(row: str, section: str) -> None:
    assert [line.section for line in lines(f"read\n{row}\nread\n")] == ["", section]


def test_reject_force_umount_is_a_rule_about_one_flag() -> None:
    (line,) = lines("reject_force_umount   # comment")
    assert (line.call, line.action, line.filters) == ("umount2", actions.ERRNO + 13, (Filter(1, "&=", 1, 1),))


def test_version_1_has_numbers() -> None:
    policy = parse(b"1\nwhitelist\n# comment\n\n 133 # mknod\n0\r\n0\n9999", "p")
    assert [(line.number, line.action, line.where) for line in policy.lines] == [
        (133, actions.ALLOW, "p:5"),
        (0, actions.ALLOW, "p:6"),
        (0, actions.ALLOW, "p:7"),
        (9999, actions.ALLOW, "p:8"),
    ]


@pytest.mark.parametrize("row", ["-1", "0x85", "133 junk", "read", "133 allow", "1.5"])
def test_version_1_has_nothing_else(row: str) -> None:
    assert told(f"1\nallowlist\n0\n{row}\n") == [
        f"p:4: '{row}' is no system call number: version 1 has one decimal number a line"
    ]


@pytest.mark.parametrize("number", ["1073741824", "99999999999999999999999999"])
def test_version_1_has_no_numbers_of_x32(number: str) -> None:
    assert told(f"1\nallowlist\n{number}\n") == [f"p:3: {number} is too large for a system call number"]


def test_numbers_have_any_count_of_zeros_before_them() -> None:
    """More digits than python makes a number of."""
    zeros = "0" * 5000
    assert [line.number for line in parse(f"1\nallowlist\n{zeros}7\n{zeros}\n".encode(), "p").lines] == [7, 0]
    assert lines(f"read errno {zeros}7\n")[0].action == actions.ERRNO + 7
    assert told(f"2\ndenylist\nread errno {zeros}4095\n") == [f"p:3: errno {zeros}4095 is above 4094"]


def test_version_1_has_no_sections() -> None:
    assert told("1\nallowlist\n[x86]\n") == [
        "p:3: version 1 has no sections: its numbers are the native ABI's"
    ]


WRONG = """\
mkmod errno 1 -> mkmod: no architecture has this system call (did you mean 'mknod'?)
qqqqqqqq -> qqqqqqqq: no architecture has this system call
MKNOD errno 1 -> MKNOD: names of system calls are lower case (did you mean 'mknod'?)
133 errno 1 -> '133': version 2 names system calls, it has no numbers
mk-nod -> 'mk-nod' is no name of a system call
mknod frob -> unknown action 'frob'
mknod killer -> unknown action 'killer' (did you mean 'kill'?)
mknod allowx -> unknown action 'allowx' (did you mean 'allow'?)
mknod kill_processes -> unknown action 'kill_processes' (did you mean 'kill_process'?)
mknod ERRNO 1 -> unknown action 'ERRNO' (did you mean 'errno'?)
mknod errno -> 'errno' needs a number or a name, as EPERM
mknod errno [0,1,==] -> 'errno' needs a number or a name, as EPERM
mknod errno 4095 -> errno 4095 is above 4094
mknod errno 99999999999999999999 -> errno 99999999999999999999 is above 4094
mknod errno -1 -> '-1' is no errno: a decimal number from 0 to 4094, or a name, as EPERM
mknod errno 0x10 -> '0x10' is no errno: a decimal number from 0 to 4094, or a name, as EPERM
mknod errno 7junk -> '7junk' is no errno: a decimal number from 0 to 4094, or a name, as EPERM
mknod errno7junk -> '7junk' is no errno: a decimal number from 0 to 4094, or a name, as EPERM
mknod errno EFROB -> unknown errno 'EFROB'
mknod errno eperm -> 'eperm' is no errno: a decimal number from 0 to 4094, or a name, as EPERM
mknod errno=7 -> unknown action 'errno=7' (did you mean 'errno'?)
mknod kill kill -> 'kill' after the action
mknod errno 7 7 -> '7' after the action
mknod mkdir errno 1 -> unknown action 'mkdir'
ioctl errno 1 [6,1,==] -> argument index '6' is not from 0 to 5
ioctl errno 1 [-1,1,==] -> index '-1' is no number: decimal, 0x hexadecimal or 0 octal, from 0
ioctl errno 1 [0,-1,==] -> value '-1' is no number: decimal, 0x hexadecimal or 0 octal, from 0
ioctl errno 1 [0,18446744073709551616,==] -> value '18446744073709551616' is larger than 64 bits
ioctl errno 1 [0,09,==] -> value '09' is no number: decimal, 0x hexadecimal or 0 octal, from 0
ioctl errno 1 [0,1,&=,0x] -> mask '0x' is no number: decimal, 0x hexadecimal or 0 octal, from 0
ioctl errno 1 [0,1,=] -> unknown operator '=' (one of != < <= == >= > &= or SCMP_CMP_...)
ioctl errno 1 [0,1,scmp_cmp_eq] -> unknown operator 'scmp_cmp_eq' (one of != < <= == >= > &= or SCMP_CMP_...)
ioctl errno 1 [0,1] -> a filter is [index,value,op] or [index,value,&=,mask]
ioctl errno 1 [] -> a filter is [index,value,op] or [index,value,&=,mask]
ioctl errno 1 [0,1,&=,1,1] -> a filter is [index,value,op] or [index,value,&=,mask]
ioctl errno 1 [0,1,== -> a filter without ']'
ioctl errno 1 [0,1,==[1,1,==] -> a filter without ']'
ioctl errno 1 [0,1,==# comment] -> a filter without ']'
ioctl errno 1 [0,1,==,0xff] -> a mask with '==': only '&=' takes one
ioctl errno 1 [0,1,&=] -> '&=' needs a mask (as [0,1,&=,1])
ioctl errno 1 [0,0x100,&=,0xff] -> value 0x100 has bits outside mask 0xff, so the filter never holds
ioctl errno 1 [0,1,>=][0,8,<=] -> two filters on argument 0 in one rule
ioctl errno 1 [0,1,==]x -> 'x' after the filters
ioctl errno 1 [0,1,==] x [1,1,==] -> 'x [1,1,==]' after the filters
ioctl [0,1,==] errno 1 -> 'errno 1' after the filters
ioctl [0,1,==][1,1,==][2,1,==][3,1,==][4,1,==][5,1,==][0,1,==] -> more than 6 filters in a rule
reject_force_umount errno 5 -> 'errno 5' after reject_force_umount, which takes no action
reject_force_umount2 -> reject_force_umount2: no architecture has this system call
[x68] -> unknown section [x68] (did you mean 'x86'?)
[x86 -> a section without ']'
[] -> a section without a name
[x86] read -> 'read' after a section
[arm] [x86] -> '[x86]' after a section
"""


def test_every_wrong_line_has_its_error() -> None:
    """All errors of a file come at once, each at its line; right lines between them do not matter."""
    rows = [row.split(" -> ") for row in WRONG.splitlines()]
    text = "2\ndenylist\n" + "".join(f"{row}\nmknod errno 1\n" for row, _ in rows)
    assert told(text) == [
        f"p:{place}: {error}" for place, (_, error) in zip(range(3, 999, 2), rows, strict=False)
    ]


def test_parse_raises_the_first_error() -> None:
    with pytest.raises(PolicyError) as caught:
        parse(b"2\ndenylist\nread\n[arm]\nmknod frob\nmkmod\n", "p")
    assert str(caught.value) == "p:5: unknown action 'frob'"


def test_control_characters_are_errors_and_shown_escaped() -> None:
    assert told("2\ndenylist\nmknod\x00 kill\n\x0cmknod\nmk\rnod\n# \x00\n") == [
        "p:3: a NUL byte",
        "p:4: '\\x0cmknod' is no name of a system call",
        "p:5: 'mk\\rnod' is no name of a system call",
        "p:6: a NUL byte",
    ]


def test_bytes_of_any_encoding_may_stand_in_a_comment() -> None:
    assert told(b"2\ndenylist\nmknod # \xff\xfe caf\xc3\xa9\n") == []


def test_a_file_that_cannot_be_read(tmp_path: object) -> None:
    big = f"{tmp_path}/big"
    with open(big, "wb") as file:
        file.write(b"2\ndenylist\n" + b"#" * MAX_SIZE)
    for path, error in [
        (f"{tmp_path}/missing", "No such file or directory"),
        (f"{tmp_path}", "Is a directory"),
        (big, "too big for a policy (the limit is 1 MiB)"),
    ]:
        with pytest.raises(PolicyError) as caught:
            read(path)
        assert str(caught.value) == f"{path}: {error}"
