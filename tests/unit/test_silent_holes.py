"""What LXC 5.0.2 does in silence and minilxc does not, number by number (lxc-keys.md, section 10).

Those that the config alone decides are tried here; the others name the test that starts a container.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from minilxc.config.parse import Config
from minilxc.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parents[2]

LIMITS = "LIMIT or SOFT:HARD, numbers or 'unlimited'"
SIZES = "a size such as 65536, 64KB or 1MB, or 'auto'"
# Number, what stands in the config, what the error says.
IN_THE_CONFIG = [
    (1, b"lxc.init.uid = www-data", "c:1: lxc.init.uid: expected a whole number, not 'www-data'"),
    (1, b"lxc.init.gid = x", "c:1: lxc.init.gid: expected a whole number, not 'x'"),
    (2, b"lxc.tty.max = 1\0\nlxc.cap.keep = none", "c:1: a NUL byte, after which LXC would ignore the rest"),
    (2, b"\xef\xbb\xbflxc.cap.keep = none", "c:1: a byte order mark, which would make LXC ignore the line"),
    (7, b"lxc.net.0.type = empty\nlxc.net.0.flags = down", "c:2: lxc.net.0.flags: unknown flag 'down' (known: up)"),
    (8, b"lxc.net.0.link = a-very-long-name", "c:1: lxc.net.0.link: is 16 bytes long, at most 15 are possible"),
    (8, b"lxc.net.0.name = a-very-long-name", "c:1: lxc.net.0.name: is 16 bytes long, at most 15 are possible"),
    (10, b"lxc.rootfs.path = bogus:/srv", "c:1: lxc.rootfs.path: unknown type 'bogus'"),
    (12, b"LXC.CAP.KEEP = none", "c:1: keys are written in lower case, not 'LXC.CAP.KEEP = none'"),
    (13, b"lxc.prlimit.core = -1", f"c:1: lxc.prlimit.core: expected {LIMITS}, not '-1'"),
    (15, b"lxc.console.size = 64K", f"c:1: lxc.console.size: expected {SIZES}, not '64K'"),
]  # fmt: skip

IN_A_CONTAINER = {
    3: "tests/unit/cli/test_commands.py::test_folder_is_no_config",
    4: "tests/system/test_policy.py::test_policy_is_refused_inside_of_another_filter",
    5: "tests/system/test_rest_of_the_keys.py::test_line_of_version_2_is_never_dropped_in_silence",
    9: "tests/system/test_files.py::test_target_with_dot_dot_is_refused",
    10: "tests/system/test_files.py::test_unknown_mount_word_is_refused_with_its_line",
    11: "tests/system/test_rest_of_the_keys.py::test_profile_is_never_dropped_in_silence",
    16: "tests/system/test_identity.py::test_root_maps_ids_that_etc_subuid_does_not_grant",
    17: "tests/system/test_identity.py::test_namespaces_to_keep_are_taken_from_the_default_set",
    18: "tests/system/test_policy.py::test_policy_costs_the_payload_no_call",
    19: "tests/system/test_identity.py::test_host_name_without_a_namespace_for_it_is_refused",
    20: "tests/system/test_payload.py::test_no_descriptor_above_2_reaches_the_payload",
    21: "tests/system/test_payload.py::test_standard_descriptors_are_handed_through_without_a_terminal",
}
HERE = {
    6: "test_lines_before_the_type_of_an_interface_count",
    14: "test_files_that_include_each_other_are_told",
}


@pytest.mark.parametrize(("number", "text", "line"), IN_THE_CONFIG)
def test_what_lxc_reads_otherwise_in_silence_is_an_error(number: int, text: bytes, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_text(text, "c")
    assert str(caught.value) == line


def test_lines_before_the_type_of_an_interface_count(tmp_path: Path) -> None:
    """Number 6."""
    (tmp_path / "c").write_text("lxc.net.0.link = br0\nlxc.net.0.veth.pair = p\nlxc.net.0.type = veth\n")
    network = Config.examine(str(tmp_path / "c"))[0].networks()[0]
    assert [network.get(name) for name in ("link", "veth.pair", "type")] == ["br0", "p", "veth"]


def test_files_that_include_each_other_are_told(tmp_path: Path) -> None:
    """Number 14."""
    one, other = tmp_path / "a", tmp_path / "b"
    one.write_text(f"lxc.include = {other}\n")
    other.write_text(f"lxc.include = {one}\n")
    with pytest.raises(ConfigError) as caught:
        Config.read(str(one))
    assert (
        str(caught.value)
        == f"{other}:1: lxc.include: the files include each other: {one} -> {other} -> {one}"
    )


def test_every_number_has_a_test() -> None:
    covered = {number for number, *_ in IN_THE_CONFIG} | set(IN_A_CONTAINER) | set(HERE)
    assert covered == set(range(1, 22))
    for place in (
        *IN_A_CONTAINER.values(),
        *(f"tests/unit/test_silent_holes.py::{name}" for name in HERE.values()),
    ):
        file, _, name = place.partition("::")
        module = ast.parse((CHECKOUT / file).read_text())
        assert name in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}, place
