"""What a profile means: against libseccomp, used as runc and crun do, and by the words of moby's conditions."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from minilxc.errors import PolicyError
from minilxc.seccomp import calls, oci, rules
from minilxc.seccomp.arch import ABIS, machine_by_word
from minilxc.seccomp.build import build_rules
from minilxc.seccomp.compiler import compile_rules
from minilxc.seccomp.policy import Filter
from minilxc.seccomp.profile import Loss, parse, token, version

from . import profiles
from .helpers import ask

if TYPE_CHECKING:
    from minilxc.seccomp.arch import Machine

AMD64 = machine_by_word("amd64")
ALL = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]


def read(profile: dict[str, Any], machine: str = "amd64", **host: Any) -> rules.Rules:
    """The rules of a profile for a container with `caps` under `kernel`."""
    target = machine_by_word(machine)
    where = oci.Host(target, frozenset(host.get("caps", ())), host.get("kernel", (6, 1, 0)))
    return oci.read_profile(json.dumps(profile).encode(), "p", target, where)


def allowing(*groups: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A profile that answers errno 1 but for `groups`, each allowed."""
    allowed = [{"action": "SCMP_ACT_ALLOW", **group} for group in groups]
    return {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ALL, "syscalls": allowed, **more}


# --- against libseccomp


def differing(profile: dict[str, Any], machine: Machine) -> list[tuple[str, str | int, tuple[int, ...]]]:
    """The calls that our program of a profile answers otherwise than libseccomp's, for no reason that is told."""
    theirs = profiles.built_by_libseccomp(profile, machine)
    parsed = parse(json.dumps(profile).encode(), "p")
    losses: list[Loss] = []
    oci.meaning(parsed, oci.this_host(machine), losses.append)
    meant = oci.profile_rules(parsed, oci.this_host(machine))
    ours = compile_rules(meant)
    found = []
    broken = set()
    for abi, number, args in profiles.questions(meant):
        given, wanted = (program.simulate(abi.audit, number, args)[0] for program in (ours, theirs))
        if wanted not in rules.answer(meant, abi, number, args):
            # the library goes wrong where ranges overlap in several arguments, and then the order of the
            # policy counts for all of the call (see `compiler`)
            broken.add((abi, number))
        if given != wanted and not any(abi.name in loss.what for loss in losses):
            found.append((abi, number, args, given))
    return [
        (abi.name, calls.names(abi).get(number, number), args)
        for abi, number, args, given in found
        if (abi, number) not in broken and not profiles.is_stricter_by_intent(meant, abi, number, given)
    ]


@pytest.mark.parametrize("seed", range(30))
def test_a_profile_means_what_libseccomp_makes_of_it(seed: int) -> None:
    try:
        assert differing(profiles.generated(seed), AMD64) == []
    except FileExistsError:
        return  # rules of which one contradicts another: no container with them starts


@pytest.mark.parametrize("machine", ["arm64", "ppc64el", "riscv64", "mipsel64"])
@pytest.mark.parametrize("seed", range(100, 104))
def test_so_it_is_for_other_machines(machine: str, seed: int) -> None:
    target = machine_by_word(machine)
    try:
        architectures = [token(abi) for abi in target.abis]
        assert differing(profiles.generated(seed) | {"architectures": architectures}, target) == []
    except FileExistsError:
        return


@pytest.mark.parametrize("op", ["==", "!=", "<", "<=", ">", ">=", "&="])
def test_the_lower_half_of_a_whole_register_is_compared_bit_by_bit(op: str) -> None:
    """x32 and n32: what takes masks there holds for the same words as the comparison of 32 bits."""
    choose = random.Random(op)
    x32 = next(abi for abi in ABIS if abi.name == "x32")
    for value in (*profiles.WORDS, *(choose.getrandbits(32) for _ in range(20))):
        mask = value | choose.choice(profiles.WORDS) if op == "&=" else 0
        test = Filter(0, op, value, mask)
        halved = Filter(0, op, value & 0xFFFFFFFF, mask & 0xFFFFFFFF)
        ways = oci.narrowed(x32, (test,), "w")
        for near in (0, 1, value - 1, value, value + 1, value ^ 0x1000, choose.getrandbits(32), -1):
            for word in (near & 0xFFFFFFFF, near & 0xFFFFFFFF | 5 << 32):
                wanted = rules.holds(halved, word & 0xFFFFFFFF)
                assert any(all(rules.holds(each, word) for each in way) for way in ways) == wanted, (
                    test,
                    word,
                )


# --- rows


ROWS = [
    (  # an argument that is compared twice: each comparison is a rule
        allowing(
            {
                "names": ["socket"],
                "args": [
                    {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
                    {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"},
                    {"index": 1, "value": 5, "op": "SCMP_CMP_EQ"},
                ],
            }
        ),
        """
        x86_64: socket(1, 3) -> ALLOW
        x86_64: socket(2, 3) -> ALLOW
        x86_64: socket(9, 5) -> ALLOW
        x86_64: socket(9, 3) -> ERRNO(1)
        """,
    ),
    (  # different arguments: all must hold
        allowing(
            {
                "names": ["socket"],
                "args": [
                    {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
                    {"index": 1, "value": 5, "op": "SCMP_CMP_EQ"},
                ],
            }
        ),
        """
        x86_64: socket(1, 5) -> ALLOW
        x86_64: socket(1, 4) -> ERRNO(1)
        """,
    ),
    (  # the mask comes first, and what is compared counts as far as it goes
        allowing(
            {
                "names": ["clone"],
                "args": [{"index": 0, "value": 0xF0, "valueTwo": 0x1F, "op": "SCMP_CMP_MASKED_EQ"}],
            }
        ),
        """
        x86_64: clone(0x10) -> ALLOW
        x86_64: clone(0x1f) -> ALLOW
        x86_64: clone(0x20) -> ERRNO(1)
        """,
    ),
    (  # what is not listed is killed; -1 is x86_64's
        allowing({"names": ["read"]}, architectures=["SCMP_ARCH_X86_64"]),
        """
        x86_64: read() -> ALLOW
        x86_64: write() -> ERRNO(1)
        x86_64: 0xffffffff() -> ERRNO(1)
        x86_64: 0x3fffffff() -> ERRNO(1)
        x32: 0x40000000() -> KILL_THREAD
        x32: 0xfffffffe() -> KILL_THREAD
        x86: 3() -> KILL_THREAD
        x86: 0xffffffff() -> KILL_THREAD
        """,
    ),
    (  # nothing listed: the machine's own
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "mkdir", "action": "SCMP_ACT_ERRNO"}]},
        """
        x86_64: mkdir() -> ERRNO(1)
        x86_64: rmdir() -> ALLOW
        x86: 5() -> KILL_THREAD
        """,
    ),
    (  # values are cut where words have 32 bits
        allowing(
            {"names": ["personality"], "args": [{"index": 0, "value": (1 << 32) + 8, "op": "SCMP_CMP_EQ"}]}
        ),
        """
        x86_64: personality(0x100000008) -> ALLOW
        x86_64: personality(8) -> ERRNO(1)
        x86: personality(8) -> ALLOW
        x32: personality(8) -> ALLOW
        x32: personality(0x900000008) -> ALLOW
        """,
    ),
    (  # what is behind socketcall cannot be seen, and is opened for all arguments
        allowing({"names": ["socket"], "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}]}),
        """
        x86_64: socket(40) -> ERRNO(1)
        x86: 359(40) -> ERRNO(1)
        x86: 102(1) -> ALLOW
        x86: 102(2) -> ERRNO(1)
        """,
    ),
    (  # a rule like the default is no rule
        allowing({"names": ["read"], "action": "SCMP_ACT_ERRNO"}, {"names": ["read"]}),
        "x86_64: read() -> ALLOW",
    ),
    (  # one without comparisons replaces those with
        allowing(
            {"names": ["read"], "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_GE"}]},
            {"names": ["read"], "action": "SCMP_ACT_TRAP"},
        ),
        "x86_64: read() -> TRAP",
    ),
    (
        {
            "defaultAction": "SCMP_ACT_LOG",
            "syscalls": [
                {"names": ["mkdir"], "action": "SCMP_ACT_KILL"},
                {"names": ["rmdir"], "action": "SCMP_ACT_KILL_THREAD"},
                {"names": ["mknod"], "action": "SCMP_ACT_KILL_PROCESS"},
                {"names": ["link"], "action": "SCMP_ACT_TRAP"},
                {"names": ["unlink"], "action": "SCMP_ACT_TRACE"},
                {"names": ["open"], "action": "SCMP_ACT_TRACE", "errnoRet": 77},
                {"names": ["close"], "action": "SCMP_ACT_NOTIFY"},
                {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errno": "ENOSYS", "errnoRet": 1},
                {"names": ["write"], "action": "SCMP_ACT_ALLOW", "errnoRet": 5},
            ],
        },
        """
        x86_64: mkdir() -> KILL_THREAD
        x86_64: rmdir() -> KILL_THREAD
        x86_64: mknod() -> KILL_PROCESS
        x86_64: link() -> TRAP
        x86_64: unlink() -> TRACE(1)
        x86_64: open() -> TRACE(77)
        x86_64: close() -> NOTIFY
        x86_64: read() -> ERRNO(38)
        x86_64: write() -> ALLOW
        x86_64: getpid() -> LOG
        """,
    ),
]


@pytest.mark.parametrize(("profile", "questions"), ROWS)
def test_rows(profile: dict[str, Any], questions: str) -> None:
    built = build_rules(read(profile))
    for row in questions.strip().splitlines():
        question, _, answer = row.strip().partition(" -> ")
        assert ask(built, question) == answer, question


CONDITIONS = [
    ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, {}, False),
    ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, {"caps": ["CAP_SYS_ADMIN"]}, True),
    ({"includes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}}, {"caps": ["CAP_SYS_ADMIN"]}, False),
    ({"excludes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}}, {"caps": ["CAP_BPF"]}, False),
    ({"excludes": {"caps": ["CAP_SYS_ADMIN"]}}, {"caps": ["CAP_CHOWN"]}, True),
    ({"includes": {"minKernel": "4.8"}}, {"kernel": (4, 7, 9)}, False),
    ({"includes": {"minKernel": "4.8"}}, {"kernel": (4, 8, 0)}, True),
    ({"includes": {"minKernel": "4.8"}}, {"kernel": (5, 1, 0)}, True),
    ({"excludes": {"minKernel": "4.8.2"}}, {"kernel": (4, 8, 2)}, False),
    ({"excludes": {"minKernel": "4.8.2"}}, {"kernel": (4, 8, 1)}, True),
    ({"includes": {"arches": ["amd64", "x32"]}}, {}, True),
    ({"includes": {"arches": ["x86_64"]}}, {}, False),  # moby has its own names
    ({"includes": {"arches": ["amd64"]}}, {"machine": "i386"}, False),
    ({"includes": {"arches": ["x86"]}}, {"machine": "i386"}, True),
    ({"includes": {"arches": ["arm"]}}, {"machine": "armhf"}, True),
    ({"includes": {"arches": ["ppc64le"]}}, {"machine": "ppc64el"}, True),
    ({"excludes": {"arches": ["s390", "s390x"]}}, {"machine": "s390x"}, False),
    ({"excludes": {"arches": ["s390"]}, "includes": {}}, {"machine": "s390x"}, True),
    ({"includes": None, "excludes": None, "args": None, "comment": None}, {}, True),
]


@pytest.mark.parametrize(("conditions", "host", "counts"), CONDITIONS)
def test_conditions_of_moby(conditions: dict[str, Any], host: dict[str, Any], counts: bool) -> None:
    profile = allowing({"names": ["read"], **conditions}, architectures=[])
    found = read(profile, host.pop("machine", "amd64"), **host)
    assert bool(found.abis[0].entries) == counts


def test_the_map_of_moby_lists_by_the_machines_own() -> None:
    arches = [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        {"architecture": "SCMP_ARCH_S390X", "subArchitectures": None},
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
    ]
    profile = allowing({"names": ["read"]}, archMap=arches, architectures=None)
    killed = {
        machine: [each.abi.name for each in read(profile, machine).abis if each.spans]
        for machine in ("amd64", "arm64", "s390x", "ppc64")
    }
    assert killed == {"amd64": [], "arm64": [], "s390x": ["s390"], "ppc64": ["ppc"]}


def test_a_bundles_config_has_one_too() -> None:
    profile = allowing({"names": ["read"]})
    whole = {"ociVersion": "1.0.0", "linux": {"seccomp": profile}}
    assert [each.entries.keys() for each in read(whole).abis] == [
        each.entries.keys() for each in read(profile).abis
    ]
    assert read(whole).where == "p: /linux/seccomp/defaultAction"


def test_the_places_are_those_of_the_document() -> None:
    found = read(allowing({"names": ["read"]}, {"names": ["write"]}))
    x86_64 = found.abis[0].abi
    assert [rules.verdicts(found, x86_64, number, (0,) * 6)[0].where for number in (0, 1, 2)] == [
        "p: /syscalls/0",
        "p: /syscalls/1",
        "p: /defaultAction",
    ]


# --- what is no profile


def arg(**more: Any) -> dict[str, Any]:
    comparison = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ", **more}
    return allowing({"names": ["read"], "args": [{k: v for k, v in comparison.items() if v != "gone"}]})


ERRORS: list[tuple[Any, str]] = [
    (b"", "p:1: this is not JSON: expecting value (column 1)"),
    (
        b'{"defaultAction": "SCMP_ACT_ALLOW",\n "syscalls": [}\n',
        "p:2: this is not JSON: expecting value (column 15)",
    ),
    (b"\xff{}", "p: this is not UTF-8"),
    (b"[" * 100000, "p: this is nested too deeply for a profile"),
    (b'{"defaultAction": 1, "defaultAction": 2}', "p: an object has the key 'defaultAction' twice"),
    ([], "p: /: is not an object"),
    ({}, "p: /defaultAction: is missing"),
    ({"defaultAction": 5}, "p: /defaultAction: is not a text"),
    (
        {"defaultAction": "SCMP_ACT_ALOW"},
        "p: /defaultAction: unknown action 'SCMP_ACT_ALOW' (did you mean 'SCMP_ACT_ALLOW'?)",
    ),
    ({"defaultAction": "SCMP_ACT_NOTIFY"}, "p: /defaultAction: SCMP_ACT_NOTIFY cannot be the default"),
    ({"ociVersion": "1.0.0"}, "p: /linux: is missing"),
    ({"linux": {}}, "p: /linux/seccomp: there is no seccomp profile"),
    ({"linux": {"seccomp": []}}, "p: /linux/seccomp: is not an object"),
    (allowing(defaultErrnoRet=4095), "p: /defaultErrnoRet: 4095 is above 4094"),
    (allowing(defaultErrnoRet=-1), "p: /defaultErrnoRet: -1 is negative"),
    (allowing(defaultErrnoRet="1"), "p: /defaultErrnoRet: is no whole number"),
    (allowing(defaultErrno="EBOGUS"), "p: /defaultErrno: unknown errno 'EBOGUS'"),
    (allowing(architectures="SCMP_ARCH_X86"), "p: /architectures: is not a list"),
    (allowing(architectures=[1]), "p: /architectures/0: is not a text"),
    (
        allowing(architectures=["SCMP_ARCH_X86", "SCMP_ARCH_AMD64"]),
        "p: /architectures/1: unknown architecture 'SCMP_ARCH_AMD64' (did you mean 'SCMP_ARCH_ARM'?)",
    ),
    (
        allowing(archMap=[{"architecture": "SCMP_ARCH_X86"}]),
        "p: /archMap: stands beside 'architectures': only one of them may be there",
    ),
    (allowing(architectures=[], archMap=[{}]), "p: /archMap/0/architecture: is missing"),
    (allowing(syscalls={}), "p: /syscalls: is not a list"),
    (allowing(syscalls=[[]]), "p: /syscalls/0: is not an object"),
    (allowing(syscalls=[{"names": ["read"]}]), "p: /syscalls/0/action: is missing"),
    (allowing({"names": "read"}), "p: /syscalls/0/names: is not a list"),
    (allowing({"names": [None]}), "p: /syscalls/0/names/0: is missing"),
    (
        allowing({"names": ["read"], "name": "write"}),
        "p: /syscalls/0/name: stands beside 'names': only one of them may be there",
    ),
    (allowing({"names": ["read"], "comment": 3}), "p: /syscalls/0/comment: is not a text"),
    (
        allowing({"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000}),
        "p: /syscalls/0/errnoRet: 5000 is above 4094",
    ),
    (allowing({"names": ["read"], "args": {}}), "p: /syscalls/0/args: is not a list"),
    (arg(index=6), "p: /syscalls/0/args/0/index: 6 is not from 0 to 5"),
    (arg(index=True), "p: /syscalls/0/args/0/index: is no whole number"),
    (arg(index="gone"), "p: /syscalls/0/args/0/index: is missing"),
    (arg(value=1 << 64), "p: /syscalls/0/args/0/value: is larger than 64 bits"),
    (arg(value=1.5), "p: /syscalls/0/args/0/value: is no whole number"),
    (arg(value="gone"), "p: /syscalls/0/args/0/value: is missing"),
    (arg(op="gone"), "p: /syscalls/0/args/0/op: is missing"),
    (
        arg(op="SCMP_CMP_EQUAL"),
        "p: /syscalls/0/args/0/op: unknown operator 'SCMP_CMP_EQUAL' (did you mean 'SCMP_CMP_EQ'?)",
    ),
    (
        allowing({"names": ["read"], "includes": {"minKernel": "four"}}),
        "p: /syscalls/0/includes/minKernel: 'four' is no version, such as 4.8",
    ),
    (allowing({"names": ["read"], "excludes": []}), "p: /syscalls/0/excludes: is not an object"),
    (allowing({"names": ["read"], "excludes": {"caps": "x"}}), "p: /syscalls/0/excludes/caps: is not a list"),
]


@pytest.mark.parametrize(("document", "line"), ERRORS)
def test_what_is_wrong_is_told_with_its_place(document: Any, line: str) -> None:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(PolicyError) as caught:
        oci.read_profile(text, "p", AMD64)
    assert str(caught.value) == line


def test_a_byte_order_mark_is_fine() -> None:
    assert parse(b"\xef\xbb\xbf" + json.dumps(allowing()).encode(), "p").groups == ()


def test_keys_that_mean_nothing_are_noted() -> None:
    profile = allowing({"names": ["read"], "arg": []})
    notes = parse(json.dumps(profile).encode(), "p").notes
    assert notes == (("p: /syscalls/0/arg", "the key is ignored, as the runtimes do (did you mean 'args'?)"),)


@pytest.mark.parametrize("word", ["4.8", "4.8.0", "4.8.0-13-amd64", "6.18.44-fc-v782"])
def test_versions(word: str) -> None:
    assert version(word)[:2] == tuple(map(int, word.split(".")[:2]))
    assert version("x4.8") == ()
