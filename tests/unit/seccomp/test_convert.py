"""minilxc seccomp convert: profiles to policies and back, and what cannot be said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from minilxc.errors import PolicyError
from minilxc.seccomp import oci, policy, policy_to_profile, profile_to_policy
from minilxc.seccomp.arch import machine_by_word
from minilxc.seccomp.build import build
from minilxc.seccomp.compiler import compile_rules
from minilxc.seccomp.diff import compare
from minilxc.seccomp.profile import parse

from . import profiles, proof
from .commands import seccomp

if TYPE_CHECKING:
    from pathlib import Path

    from minilxc.seccomp.convert import Converted
    from minilxc.seccomp.profile import Loss

AMD64 = machine_by_word("amd64")
ALL = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]

# In moby's form, with one of everything.
PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    ],
    "syscalls": [
        {
            "names": ["read", "execve", "waitpid", "mseal", "bogus", "set_tls"],
            "action": "SCMP_ACT_ALLOW",
            "comment": "what\nall need",
        },
        {
            "names": ["personality"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 131072, "op": "SCMP_CMP_EQ"}],
        },
        {
            "names": ["clone"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
            "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390x"]},
        },
        {"names": ["clone", "mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
        {"names": ["reboot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
    ],
}

POLICY = """\
2
allowlist errno 1

# From p.json, for amd64 (x86_64, x86, x32).
# Capabilities of the container: none. Kernel: 6.1.
# runc, not crun, answers ENOSYS to calls newer than all of these. So does minilxc with this
# line in the container's config: minilxc.seccomp.newer = errno ENOSYS
# Ignored, because no architecture has such a call:
#   bogus
# Ignored by runtimes whose libseccomp is as old as the one installed here:
#   mseal
# Not among the calls of these machines:
#   set_tls
# Left out, with CAP_SYS_ADMIN (/syscalls/3):
#   clone, mount
# Left out, as the default says the same (/syscalls/7):
#   reboot

[all]
# /syscalls/0
#   what\\nall need
read
execve
waitpid
mseal

# /syscalls/1
personality allow [0,0x20000,==]

# /syscalls/2: without CAP_SYS_ADMIN
clone allow [0,0,&=,0x7e020000]

# /syscalls/4
clone3 errno 38

# /syscalls/5: from Linux 4.8
ptrace

# /syscalls/6
arch_prctl

[x32]
# libseccomp looks at the lower half of an argument of x32. That takes masks, and where
# something else than one value is meant a line for each bit in which an argument may differ.

# /syscalls/1
personality allow [0,0x20000,&=,0xffffffff]
"""


def to_policy(profile: dict[str, Any], *machines: str, caps: tuple[str, ...] = ()) -> Converted:
    hosts = [oci.Host(machine_by_word(word), frozenset(caps), (6, 1, 0)) for word in machines or ("amd64",)]
    return profile_to_policy.to_policy(parse(json.dumps(profile).encode(), "p.json"), hosts)


def lines(losses: tuple[Loss, ...]) -> list[str]:
    return [f"{loss.where}: {loss.what}: {loss.instead}" for loss in losses]


def denying(*groups: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ALL, "syscalls": list(groups), **more}


def test_a_policy_is_readable() -> None:
    converted = to_policy(PROFILE)
    assert converted.losses == ()
    assert converted.text == POLICY


def test_capabilities_and_kernel_count(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps(PROFILE))
    options = ("--cap", "sys_admin", "--kernel", "4.7", "p.json")
    status, out, err = seccomp("convert", "--arch", "amd64", *options, cwd=tmp_path)
    assert (status, err) == (0, "")
    assert "# Capabilities of the container: CAP_SYS_ADMIN. Kernel: 4.7.\n" in out
    assert "\n# /syscalls/3: with CAP_SYS_ADMIN\nclone\nmount\n" in out
    assert "# Left out, not with CAP_SYS_ADMIN (/syscalls/2):\n#   clone\n" in out
    assert "# Left out, for Linux 4.8 or later (/syscalls/5):\n#   ptrace\n" in out


def same(profile: dict[str, Any], text: str, *machines: str) -> None:
    """Assert that a policy means what the profile does, for one that has all its architectures listed."""
    for machine in map(machine_by_word, machines):
        wanted = oci.read_profile(json.dumps(profile).encode(), "p.json", machine)
        built = build(text.encode(), "p", machine, notify=True)
        assert (
            compare(compile_rules(wanted), built.program, machine) == ((), True)
            or compare(compile_rules(wanted), built.program, machine).differences == ()
        )


def test_one_policy_for_several_machines() -> None:
    converted = to_policy(PROFILE, "amd64", "arm64")
    assert converted.losses == ()
    assert "\nset_tls\n" in converted.text
    assert "\n# /syscalls/6\narch_prctl\n" in converted.text  # for all: arm64 has no such call
    same(PROFILE, converted.text, "amd64", "arm64")


@pytest.mark.parametrize("seed", range(14))
def test_what_is_converted_without_loss_means_the_same(seed: int) -> None:
    """And from there to an OCI profile and back to a policy."""
    profile = profiles.generated(seed) | {"architectures": ALL}
    try:
        converted = to_policy(profile)
    except PolicyError as error:
        assert "with another action" in error.what or "contradict" in error.what  # noqa: PT017
        return
    if converted.losses:
        assert all(loss.where.startswith("p.json: /") for loss in converted.losses)
        return
    same(profile, converted.text, "amd64")
    back = policy_to_profile.to_oci(converted.text.encode(), "q", [AMD64])
    if not back.losses:
        same(json.loads(back.text), converted.text, "amd64")


LOSSES = [
    (
        denying({"names": ["read"], "action": "SCMP_ACT_TRACE", "errnoRet": 3}),
        ["/syscalls/0/action: SCMP_ACT_TRACE: a policy has no tracer: 'errno 38', as when nobody traces"],
        "read errno 38",
    ),
    (
        denying(defaultAction="SCMP_ACT_TRACE"),
        ["/defaultAction: SCMP_ACT_TRACE: a policy has no tracer: 'errno 38', as when nobody traces"],
        "allowlist errno 38",
    ),
    (
        denying(flags=["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"], listenerPath="/run/x"),
        [
            "/flags/1: SECCOMP_FILTER_FLAG_LOG: a policy has no flags: it is left out",
            "/listenerPath: a policy does not name who answers SCMP_ACT_NOTIFY (listenerPath): it is left out",
        ],
        "denylist",
    ),
    (
        denying(
            {
                "names": ["read"],
                "action": "SCMP_ACT_KILL",
                "args": [{"index": 0, "value": 3, "op": "SCMP_CMP_NE"}],
            },
            {
                "names": ["read"],
                "action": "SCMP_ACT_TRAP",
                "args": [{"index": 0, "value": 9, "op": "SCMP_CMP_NE"}],
            },
        ),
        [
            "/syscalls/1: read: which of several rules answers on x32 is up to libseccomp: 64 bits are compared on x32"
        ],
        "read kill [0,3,!=]\n\n# /syscalls/1\nread trap [0,9,!=]",
    ),
    (
        denying(
            {
                "names": ["read"],
                "action": "SCMP_ACT_KILL",
                "args": [{"index": place, "value": 3, "op": "SCMP_CMP_NE"} for place in (0, 1)],
            },
        ),
        [
            (
                "/syscalls/0: 2 comparisons of 32 bits on x32, which would take too many lines:"
                " they are made with 64 bits"
            )
        ],
        "read kill [0,3,!=][1,3,!=]",
    ),
]


@pytest.mark.parametrize(("profile", "losses", "text"), LOSSES)
def test_what_a_policy_cannot_say(profile: dict[str, Any], losses: list[str], text: str) -> None:
    converted = to_policy(profile)
    assert lines(converted.losses) == [f"p.json: {loss}" for loss in losses]
    assert text in converted.text
    assert build(converted.text.encode(), "p", AMD64)


UNLISTED = [
    ({"defaultAction": "SCMP_ACT_ALLOW"}, "x86 and x32 are", "allow"),
    (denying(architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]), "x32 is", "allow"),
    ({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"]}, "x86 and x32 are", "errno 1"),
]  # fmt: skip


@pytest.mark.parametrize(("profile", "names", "answer"), UNLISTED)
def test_what_is_not_listed_is_killed_call_by_call_and_told_once(
    profile: dict[str, Any], names: str, answer: str
) -> None:
    """Of a profile that lists one architecture, or none, nothing is lost that a call could show."""
    converted = to_policy(profile)
    assert converted.losses == ()
    assert converted.notes == (
        (
            "p.json: /architectures",
            (
                f"{names} not listed: the policy kills every call there that is known here,"
                f" and answers '{answer}' to numbers that are none"
            ),
        ),
    )
    wanted = oci.read_profile(json.dumps(profile).encode(), "p.json", AMD64)
    built = build(converted.text.encode(), "p", AMD64)
    differing = compare(compile_rules(wanted), built.program, AMD64).differences
    assert {each.call for each in differing} == {""}
    back = policy_to_profile.to_oci(converted.text.encode(), "q", [AMD64])
    assert (back.losses, len(back.notes)) == ((), 1)
    assert back.notes[0][0] == "q:2"
    again = oci.read_profile(back.text.encode(), "q.json", AMD64)
    assert compare(compile_rules(wanted), compile_rules(again), AMD64) == ((), True)


def test_a_comparison_that_always_holds_beside_another_action() -> None:
    def group(action: str, value: int, op: str) -> dict[str, Any]:
        return {"names": ["read"], "action": action, "args": [{"index": 0, "value": value, "op": op}]}

    always = group("SCMP_ACT_KILL", 0, "SCMP_CMP_GE")
    converted = to_policy(denying(always, group("SCMP_ACT_TRAP", 3, "SCMP_CMP_EQ")))
    assert lines(converted.losses)[0] == (
        "p.json: /syscalls/1: read: which of several rules answers on x86_64 is up to libseccomp:"
        " a comparison that always holds is left out"
    )
    assert to_policy(denying(always)).losses == ()


def test_an_abi_of_two_machines_must_be_ruled_alike() -> None:
    converted = to_policy(PROFILE | {"archMap": [], "architectures": ALL}, "amd64", "i386")
    assert lines(converted.losses) == [
        "p.json: arch_prctl of x86 is ruled otherwise on amd64 and i386: as on amd64"
    ]


def test_what_is_killed_whole_is_killed_call_by_call() -> None:
    """For a default of kill there is nothing to write."""
    allow = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
    profile = {"defaultAction": "SCMP_ACT_KILL", "syscalls": [allow]}
    converted = to_policy(profile)
    assert converted.losses == ()
    assert converted.text.endswith("\n[x86_64]\n# /syscalls/0\nread\n")
    same(profile, converted.text, "amd64")


def test_contradicting_rules_are_told_with_both_places() -> None:
    def group(action: str) -> dict[str, Any]:
        args = [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]
        return {"names": ["read"], "action": action, "args": args}

    with pytest.raises(PolicyError) as caught:
        to_policy(denying(group("SCMP_ACT_KILL"), group("SCMP_ACT_TRAP")))
    assert str(caught.value) == (
        "p.json: /syscalls/1: the filters are, or begin, those of p.json: /syscalls/0, with another action"
    )


def test_a_comment_of_the_profile_stays_one() -> None:
    """Whatever text a profile has, it becomes no line of the policy."""
    profile = denying(
        {"names": ["read\nmknod kill", "mkdir"], "action": "SCMP_ACT_KILL", "comment": "x\n[all]\n\x1b"}
    )
    text = to_policy(profile).text
    rules = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert rules == ["2", "denylist", "[all]", "mkdir kill"]
    assert text.isprintable() or set(filter(lambda c: not c.isprintable(), text)) == {"\n"}


# --- a policy to a profile


def to_oci(text: str, *machines: str) -> Converted:
    return policy_to_profile.to_oci(
        text.encode(), "p", [machine_by_word(word) for word in machines or ("amd64",)]
    )


def test_a_profile_says_what_the_policy_does() -> None:
    text = (
        "2\nallowlist errno 1\n[all]\nwrite\nread\nclone allow [0,0,&=,0x7e020000]\n"
        "clone3 errno 38\nioctl errno 38\nmknod errno 1\n"
    )
    converted = to_oci(text)
    assert converted.losses == ()
    assert json.loads(converted.text) == {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ALL,
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
            },
            {"names": ["clone3", "ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        ],
    }
    assert converted.notes == ()


HALVES = [
    # a caller's upper half of an argument: what the policy answers it, how it could be said in both, the profile
    ("D|socket errno 1 [0,16,==]", "socket(0x100000010)", "allow", ", like [0,16,&=,0xffffffff]", "errno 1"),
    ("D|socket errno 1 [0,16,!=]", "socket(0x100000010)", "errno 1", "", "allow"),
    ("E|[all]|personality allow [0,8,==]", "personality(0x100000008)", "errno 1", ", like [0,8,&=,0xffffffff]",
     "allow"),
    ("D|personality errno 1 [0,8,&=,0x100000008]", "personality(0x100000008)", "allow", ", like [0,8,&=,8]", "errno 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "call", "answer", "masked", "instead"), HALVES)
def test_that_a_profile_looks_at_half_a_register_is_a_loss(
    text: str, call: str, answer: str, masked: str, instead: str
) -> None:
    text = {"D": "2|denylist", "E": "2|allowlist errno 1"}[text[0]] + text[1:]
    text = text.replace("|", "\n") + "\n"
    where = f"p:{text.count(chr(10))}"
    what = (
        f"{call} on x32 is answered {answer}: a profile compares the lower half of an argument there{masked}"
    )
    assert f"{where}: {what}: {instead}" in lines(to_oci(text).losses)
    if masked and "0x100000008" not in text:
        old = text[text.rindex("[") :].strip()
        same_in_both = text.replace(old, masked.removeprefix(", like "))
        assert to_oci(same_in_both) == (to_oci(same_in_both).text, (), ())


def test_an_abi_whose_calls_are_all_killed_loses_nothing_by_it() -> None:
    """x32 is better not listed than compared by halves."""
    text = "2\nallowlist\nread\npersonality allow [0,8,==]\n[x86]\nread\npersonality allow [0,8,==]\n"
    converted = to_oci(text)
    assert (converted.losses, converted.notes) == ((), ())
    same(json.loads(converted.text), text, "amd64")


def test_what_newer_calls_are_answered_is_lost() -> None:
    text = b"2\nallowlist errno 1\n[all]\nread\n"
    newer = policy.newer("errno ENOSYS", "--newer")
    assert lines(policy_to_profile.to_oci(text, "p", [AMD64], newer).losses) == [
        (
            "--newer: a profile does not say what newer calls are answered (runc answers ENOSYS by itself):"
            " they get 'errno 1'"
        )
    ]
    assert policy_to_profile.to_oci(text, "p", [AMD64], policy.newer("errno 1", "--newer")).losses == ()
    with pytest.raises(PolicyError, match=r"^--newer: only an allowlist"):
        policy_to_profile.to_oci(b"2\ndenylist\n", "p", [AMD64], newer)


def test_an_abi_without_rules_is_not_listed_where_that_kills_it() -> None:
    converted = to_oci("2\nallowlist\nread\nwaitpid\n")
    assert converted.losses == ()
    assert json.loads(converted.text)["architectures"] == ["SCMP_ARCH_X86_64"]


HALF = "a profile compares the lower half of an argument there"
CANNOT = [
    (  # x86 and x32 get the default, which is not what a profile does to ABIs that it does not list
        "2\nallowlist errno 1\nread\n",
        [
            "p:2: calls of x32 that no rule names are answered errno 1: kill",
            "p:2: calls of x86 that no rule names are answered errno 1: kill",
        ],
    ),
    ("2\ndenylist\n[x86]\nmkdir errno 7\n", ["p:4: mkdir on x86 is answered errno 7: allow"]),
    ("2\ndenylist\n[x86]\nwaitpid errno 7\n", []),
    (
        "2\nallowlist errno 1\n[all]\nread\nsocket allow [0,40,!=]\n",
        [
            f"p:5: socket(0x100000028) on x32 is answered allow: {HALF}: errno 1",
            "p:5: socketcall(1) on x86 is answered errno 1: allow",
        ],
    ),
    ("2\ndenylist\nsocket errno 97 [0,16,&=,0xffffffff]\n", []),
    (
        "2\ndenylist\nsocket errno 97 [0,16,&=,0xffffffff][2,9,&=,0xffffffff]\n",
        [
            (
                "p:3: socket is denied behind socketcall on x86, whatever the arguments:"
                " as far as the arguments of socketcall are such"
            )
        ],
    ),
    (  # libseccomp makes of a rule for a part one for the multiplexer, whatever else is said of it
        "2\ndenylist\nsocketcall allow\nsocket errno 97 [0,16,&=,0xffffffff][2,9,&=,0xffffffff]\n",
        ["p:3: socketcall(1) on x86 is answered allow: errno 97"],
    ),
    (  # the line is the rule's, not the default's
        "2\ndenylist\nread kill\npersonality kill [0,0x100000008,==]\n",
        [
            f"p:4: personality(8) on x32 is answered allow: {HALF}, like [0,8,&=,0xffffffff]: kill",
            "p:4: personality(8) on x86 is answered allow: kill",
        ],
    ),
    (
        "1\nallowlist\n0\n9999\n",
        ["p:4: 9999 is no number of a call that has a name on x86_64: it is left out"],
    ),
]


@pytest.mark.parametrize(("text", "losses"), CANNOT)
def test_what_a_profile_cannot_say(text: str, losses: list[str]) -> None:
    assert lines(to_oci(text).losses) == losses


@pytest.mark.parametrize("path", proof.SHIPPED, ids=lambda path: path.name)
@pytest.mark.parametrize("machine", ["amd64", "arm64", "ppc64el"])
def test_shipped_policies(path: Path, machine: str) -> None:
    """With no loss told there is none; with some, each has a line of the policy."""
    converted = policy_to_profile.to_oci(path.read_bytes(), "p", [machine_by_word(machine)])
    if not converted.losses:
        same(json.loads(converted.text), path.read_text(), machine)
    assert all(loss.where.startswith("p:") for loss in converted.losses)


# --- the command


def test_the_command_round_trip(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps(PROFILE))
    run = ["convert", "--arch", "amd64"]
    assert seccomp(*run, "p.json", "-o", "p.seccomp", cwd=tmp_path) == (0, "", "")
    status, out, err = seccomp(*run, "p.seccomp", cwd=tmp_path)
    assert (status, err) == (0, "")
    (tmp_path / "q.json").write_text(out)
    status, again, err = seccomp(*run, "--to", "policy", "-", cwd=tmp_path, stdin=out.encode())
    assert (status, err) == (0, "")
    assert "# From <stdin>, for amd64" in again
    (tmp_path / "q.seccomp").write_text(again)
    for a, b in (("p.json", "p.seccomp"), ("p.json", "q.json"), ("p.seccomp", "q.seccomp")):
        assert seccomp("diff", "--arch", "amd64", a, b, cwd=tmp_path)[0] == 0


def test_the_command_refuses_what_it_cannot_say(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps(denying(flags=["SECCOMP_FILTER_FLAG_LOG"])))
    told = "p.json: /flags/0: SECCOMP_FILTER_FLAG_LOG: a policy has no flags"
    status, out, err = seccomp("convert", "--arch", "amd64", "-o", "q", "p.json", cwd=tmp_path)
    assert (status, out, err) == (1, "", f"{told} (--lossy: it is left out)\n")
    assert not (tmp_path / "q").exists()
    status, out, err = seccomp("convert", "--arch", "amd64", "--lossy", "-o", "q", "p.json", cwd=tmp_path)
    assert (status, out, err) == (0, "", f"{told}: it is left out\n")
    assert (tmp_path / "q").read_text().startswith("2\ndenylist\n")


def test_a_profile_of_docker_to_one_of_oci(tmp_path: Path) -> None:
    """What counts for the given capabilities, kernel and architecture, and no conditions."""
    profile = PROFILE | {"flags": ["SECCOMP_FILTER_FLAG_LOG"]}
    (tmp_path / "p.json").write_text(json.dumps(profile))
    for options, names in (
        (["--kernel", "4.7"], "read personality clone clone3 arch_prctl reboot"),
        (["--cap", "sys_admin", "--kernel", "4.8"], "read personality clone clone3 ptrace arch_prctl reboot"),
        (["--arch", "arm64", "--kernel", "4.7"], "read personality clone clone3 reboot"),
    ):
        run = ["convert", "--arch", "amd64", *options] if "--arch" not in options else ["convert", *options]
        status, out, err = seccomp(*run, "--to", "oci", "p.json", cwd=tmp_path)
        assert (status, err) == (0, "")
        document = json.loads(out)
        assert [group["names"][0] for group in document["syscalls"]] == names.split()
        assert not {"includes", "excludes", "comment"} & {
            key for each in document["syscalls"] for key in each
        }
        assert "archMap" not in document
        assert document["flags"] == ["SECCOMP_FILTER_FLAG_LOG"]
        arches = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"] if "arm64" in options else ALL
        assert document["architectures"] == arches
    (tmp_path / "q.json").write_text(seccomp("convert", "--to", "oci", "p.json", cwd=tmp_path)[1])
    assert seccomp("diff", "p.json", "q.json", cwd=tmp_path) == (0, "", "")


def test_rules_of_one_machine_alone_cannot_be_for_two() -> None:
    profile = denying({"names": ["read"], "action": "SCMP_ACT_KILL", "includes": {"arches": ["amd64"]}})
    hosts = [oci.Host(machine_by_word(word), frozenset(), (6, 1, 0)) for word in ("amd64", "i386")]
    parsed = parse(json.dumps(profile).encode(), "p.json")
    found = policy_to_profile.resolved(parsed, hosts)
    assert lines(found.losses) == ["p.json: /defaultAction: read on x86 is answered allow: kill"]
    assert policy_to_profile.resolved(parsed, hosts[:1]).losses == ()


@pytest.mark.parametrize("seed", range(6))
def test_a_generated_profile_resolves_to_one_that_means_the_same(seed: int) -> None:
    profile = profiles.generated(seed)
    host = oci.Host(AMD64, frozenset(), (6, 1, 0))
    parsed = parse(json.dumps(profile).encode(), "p.json")
    try:
        found = policy_to_profile.resolved(parsed, [host])
    except PolicyError:
        return
    again = oci.read_profile(found.text.encode(), "q.json", AMD64, host)
    wanted = compile_rules(oci.profile_rules(parsed, host))
    assert compare(wanted, compile_rules(again), AMD64) == ((), True)


def test_json_has_what_is_written_lost_and_noted(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("2\ndenylist\n[x86]\nmkdir errno 7\n")
    (tmp_path / "q").write_text("2\ndenylist\nmkdir errno 7\n")
    (tmp_path / "n.json").write_text(json.dumps(denying(x=1)))
    loss = {"where": "p:4", "what": "mkdir on x86 is answered errno 7", "instead": "allow"}
    run = ["convert", "--arch", "amd64", "--json"]
    status, out, err = seccomp(*run, "p", cwd=tmp_path)
    assert (status, json.loads(out), err) == (1, {"text": None, "losses": [loss], "notes": []}, "")
    status, out, err = seccomp(*run, "--lossy", "p", cwd=tmp_path)
    found = json.loads(out)
    assert (status, found["losses"], err) == (0, [loss], "")
    assert json.loads(found["text"])["defaultAction"] == "SCMP_ACT_ALLOW"
    status, out, err = seccomp(*run, "-o", "out", "q", cwd=tmp_path)
    assert (status, err) == (0, "")
    assert json.loads(out)["text"] == (tmp_path / "out").read_text()
    status, out, err = seccomp(*run, "n.json", cwd=tmp_path)
    assert (status, err) == (0, "")
    assert json.loads(out)["notes"] == [
        {"where": "n.json: /x", "text": "the key is ignored, as the runtimes do"}
    ]


@pytest.mark.parametrize(
    ("args", "status", "line"),
    [
        (("missing.json",), 1, "missing.json: No such file or directory\n"),
        (("--newer", "errno 38", "p.json"), 2, "minilxc: --newer is for a policy, and p.json is a profile\n"),
        (("--to", "policy", "p"), 2, "minilxc: p is a policy already\n"),
        (("--cap", "chown", "p"), 2, "minilxc: --cap is for a profile, and p is a policy\n"),
        (("--kernel", "6.1", "p"), 2, "minilxc: --kernel is for a profile, and p is a policy\n"),
        (
            ("--cap", "CAP_SYS_ADMI", "p.json"),
            2,
            "minilxc: unknown capability 'CAP_SYS_ADMI' (did you mean 'CAP_SYS_ADMIN'?)\n",
        ),
        (("--kernel", "new", "p.json"), 2, "minilxc: 'new' is no version of a kernel (as in --kernel 6.1)\n"),
        (("--arch", "vax", "p.json"), 2, "minilxc: unknown architecture 'vax'"),
        (("wrong.json",), 1, "wrong.json: /syscalls/0/action: unknown action 'ALLOW'\n"),
        (("wrong",), 1, "wrong:3: "),
        (("-o", "missing/x", "p.json"), 1, "minilxc: missing/x: No such file or directory\n"),
    ],
)
def test_the_command_says_what_is_wrong(
    args: tuple[str, ...], status: int, line: str, tmp_path: Path
) -> None:
    (tmp_path / "p.json").write_text(json.dumps(PROFILE))
    (tmp_path / "p").write_text("2\ndenylist\n")
    (tmp_path / "wrong").write_text("2\ndenylist\nmkmod\n")
    wrong = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "ALLOW"}]}
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    found, out, err = seccomp("convert", *args, cwd=tmp_path)
    assert (found, out) == (status, "")
    assert err.startswith(line)
    assert err.count("\n") == 1
