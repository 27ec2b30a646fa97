"""Profiles against crun: what a profile means here, and the policy that it becomes, beside the filter that crun builds.

The filter is the one that crun writes for a container's process to load. MINILXC_PROOF=20 asks for
twenty times as many profiles.
"""

from __future__ import annotations

import collections
import json
import os
import platform
import shutil
import signal

import pytest

from minilxc.errors import PolicyError
from minilxc.seccomp import calls, oci, profile_to_policy, rules
from minilxc.seccomp.arch import machine_by_word
from minilxc.seccomp.build import build
from minilxc.seccomp.compiler import compile_rules
from minilxc.seccomp.profile import parse
from tests.helpers import crun
from tests.unit.seccomp import profiles, proof

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or not shutil.which("crun"), reason="needs crun, and compares amd64's ABIs"
)

AMD64 = machine_by_word("amd64")
ALL = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
GENERATED = range(500, 500 + int(20 * proof.SCALE), 4)


def allow(names, *args, **more):
    comparisons = [dict(zip(("index", "value", "op", "valueTwo"), arg, strict=False)) for arg in args]
    return {"names": names.split(), "action": "SCMP_ACT_ALLOW", "args": comparisons, **more}


def errno(names, number, *args, **more):
    return allow(names, *args, **{"action": "SCMP_ACT_ERRNO", "errnoRet": number, **more})


# In the manner of those that container engines come with, smaller.
WRITTEN = {
    "engine": {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}
        ],
        "syscalls": [
            allow(
                "read write open openat close stat stat64 mmap mmap2 waitpid futex_time64 ioctl recv bogus"
            ),
            allow("accept accept4 bind socketcall semop semtimedop shmget shmat ipc msgget"),
            allow("personality", (0, 0, "SCMP_CMP_EQ")),
            allow("personality", (0, 0x20008, "SCMP_CMP_EQ")),
            allow("personality", (0, 0xFFFFFFFF, "SCMP_CMP_EQ")),
            allow("clone", (0, 0x7E020000, "SCMP_CMP_MASKED_EQ", 0), excludes={"caps": ["CAP_SYS_ADMIN"]}),
            allow("clone mount unshare", includes={"caps": ["CAP_SYS_ADMIN"]}),
            errno("clone3", 38, excludes={"caps": ["CAP_SYS_ADMIN"]}),
            allow("ptrace", includes={"minKernel": "4.8"}),
            allow("arch_prctl modify_ldt", includes={"arches": ["amd64", "x32"]}),
            allow("sync_file_range2", includes={"arches": ["ppc64le"]}),
            errno("socket", 22, (0, 16, "SCMP_CMP_EQ"), (2, 9, "SCMP_CMP_EQ")),
            allow("socket", (2, 9, "SCMP_CMP_NE")),
            allow("socket", (0, 16, "SCMP_CMP_NE")),
        ],
    },
    "denying": {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ALL,
        "syscalls": [
            errno("mkdir mknod", 7),
            errno("socket", 97, (0, 40, "SCMP_CMP_EQ")),
            errno("ioctl", 25, (1, 0xFFFFFFFF, "SCMP_CMP_MASKED_EQ", 0x5412)),
            errno("prctl", 1, (0, 10, "SCMP_CMP_GT"), (1, 4, "SCMP_CMP_LE")),
            errno("shmat msgget recvfrom", 5),
            {"names": ["reboot", "umount"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["kexec_load", "waitpid"], "action": "SCMP_ACT_KILL"},
            {"names": ["ptrace"], "action": "SCMP_ACT_TRAP"},
            {"names": ["bpf"], "action": "SCMP_ACT_LOG"},
        ],
    },
    "one architecture": {
        "defaultAction": "SCMP_ACT_KILL",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [allow("read write"), allow("kill", (1, 0, "SCMP_CMP_EQ"), (1, 15, "SCMP_CMP_EQ"))],
    },
    "no architecture": {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [errno("mkdir", 1)],
    },
}


def as_moby_hands_it_on(profile, caps):
    """The OCI profile that moby makes of its own form, on amd64 with a kernel newer than any that is asked for."""
    arches = profile.get("architectures") or []
    for row in profile.get("archMap", []):
        if row["architecture"] == "SCMP_ARCH_X86_64":
            arches = [row["architecture"], *row["subArchitectures"]]
    groups = []
    for each in profile["syscalls"]:
        group = dict(each)
        includes, excludes = group.pop("includes", {}), group.pop("excludes", {})
        if not caps >= set(includes.get("caps", ())) or caps & set(excludes.get("caps", ())):
            continue
        if "amd64" in includes.get("arches", ["amd64"]):
            groups.append(group)
    found = {key: value for key, value in profile.items() if key.startswith("default")}
    return found | {"architectures": arches, "syscalls": groups}


def compare(profile, caps, folder):
    """Compare crun's filter with ours; counts of what was found, and the answers that differ for no known reason."""
    signal.alarm(120)  # a judge of programs is at work
    theirs = crun.filter_of(as_moby_hands_it_on(profile, caps), folder)
    host = oci.this_host(AMD64, caps)
    parsed = parse(json.dumps(profile).encode(), "p.json")
    meant = oci.profile_rules(parsed, host)
    ours = compile_rules(meant)
    converted = profile_to_policy.to_policy(parsed, [host])
    policy = build(converted.text.encode(), "p", AMD64, notify=True).program
    counts = collections.Counter()
    differing = []
    broken = set()
    for abi, number, args in profiles.questions(meant):
        said = [program.simulate(abi.audit, number, args)[0] for program in (theirs, ours, policy)]
        counts["compared"] += 1
        if len(set(said)) > 1:
            differing.append((abi, number, args, *said))
            if said[0] not in rules.answer(meant, abi, number, args):
                # libseccomp goes wrong where ranges overlap in several arguments, and then the order of the
                # policy counts for all of the call (see `compiler`)
                broken.add((abi, number))
    wrong = []
    told_of = [*(loss.what for loss in converted.losses), *(text for _, text in converted.notes)]
    for abi, number, args, crun_says, rules_say, policy_says in differing:
        if rules_say == policy_says and profiles.is_stricter_by_intent(meant, abi, number, rules_say):
            counts["stricter"] += 1  # libseccomp 2.5.4 lets other spellings of a part by
        elif rules_say == policy_says and (abi, number) in broken:
            counts["libseccomp is wrong"] += 1
        elif any(abi.name in text for text in told_of):
            counts["told"] += 1
        else:
            name = calls.names(abi).get(number, number)
            wrong.append((abi.name, name, args, hex(crun_says), hex(rules_say), hex(policy_says)))
    return counts, wrong, converted


def told(line, capsys):
    with capsys.disabled():
        print(f"\ncrun: {line}", end="")


@pytest.mark.parametrize("caps", [(), ("CAP_SYS_ADMIN",)], ids=["no capability", "CAP_SYS_ADMIN"])
@pytest.mark.parametrize("name", WRITTEN)
def test_a_profile_is_answered_as_under_crun(name, caps, tmp_path, capsys):
    counts, wrong, converted = compare(WRITTEN[name], frozenset(caps), tmp_path)
    told(f"{name}: {dict(counts)}", capsys)
    assert wrong == []
    assert counts["compared"] > 1300
    assert counts.keys() - {"compared"} <= {"stricter", "told"}
    assert converted.losses == ()
    assert ("p.json: /architectures" in dict(converted.notes)) == (name == "no architecture")


@pytest.mark.parametrize("first", GENERATED)
def test_generated_profiles_are_answered_as_under_crun(first, tmp_path, capsys):
    total = collections.Counter()
    for seed in range(first, first + 4):
        try:
            counts, wrong, _ = compare(profiles.generated(seed), frozenset(), tmp_path)
        except crun.CrunError as error:
            if "File exists" not in str(error):  # rules that contradict each other
                raise
            total["refused by crun"] += 1
            continue
        assert wrong == [], seed
        total += counts
        total["profiles"] += 1
    told(f"from {first}: {dict(total)}", capsys)
    assert total["profiles"] >= 2
    assert total["compared"] > 1300 * total["profiles"]


def test_crun_refuses_the_same(tmp_path):
    args = (0, 1, "SCMP_CMP_EQ")
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [errno("read", 1, args), errno("read", 2, args)],
    }
    with pytest.raises(crun.CrunError, match="File exists"):
        crun.filter_of(profile, tmp_path)
    with pytest.raises(
        PolicyError, match=r"^p\.json: /syscalls/1: the filters are, or begin, those of p\.json: /syscalls/0"
    ):
        compile_rules(oci.read_profile(json.dumps(profile).encode(), "p.json", AMD64))
    assert os.listdir(tmp_path / "state") == []
