"""The reference of the keys: made of the table, whole, and true to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minilxc.config import reference
from minilxc.config.keys import GROUPS, KEYS, NETWORK, TABLE, Key
from minilxc.config.notes import NOTES
from minilxc.config.parse import Config
from minilxc.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parents[3]

# Every key of LXC 5.0 to 7.0: the names that liblxc 5.0.2 knows, and what 6.0 and 7.0 brought. Groups stand
# under what the reference of lxc-keys.md calls them.
OF_LXC = """
lxc.apparmor.allow_incomplete lxc.apparmor.allow_nesting lxc.apparmor.profile lxc.apparmor.raw lxc.arch lxc.autodev
lxc.autodev.tmpfs.size lxc.cap.drop lxc.cap.keep lxc.cgroup.CTRL.FILE lxc.cgroup.dir lxc.cgroup.dir.container
lxc.cgroup.dir.container.inner lxc.cgroup.dir.monitor lxc.cgroup.dir.monitor.pivot lxc.cgroup.relative
lxc.cgroup2.CTRL.FILE lxc.console.buffer.size lxc.console.logfile lxc.console.path lxc.console.rotate lxc.console.size
lxc.environment lxc.environment.hooks lxc.environment.runtime lxc.ephemeral lxc.execute.cmd lxc.group lxc.hook
lxc.hook.autodev lxc.hook.clone lxc.hook.destroy lxc.hook.mount lxc.hook.post-stop lxc.hook.pre-mount
lxc.hook.pre-start lxc.hook.start lxc.hook.start-host lxc.hook.stop lxc.hook.version lxc.idmap lxc.include lxc.init.cmd
lxc.init.cwd lxc.init.gid lxc.init.groups lxc.init.uid lxc.keyring.session lxc.log.file lxc.log.level lxc.log.syslog
lxc.monitor.signal.pdeath lxc.monitor.unshare lxc.mount.auto lxc.mount.entry lxc.mount.fstab lxc.namespace.clone
lxc.namespace.keep lxc.namespace.share.NS lxc.net lxc.no_new_privs lxc.prlimit.NAME lxc.proc.FILE lxc.pty.max
lxc.rootfs.managed lxc.rootfs.mount lxc.rootfs.options lxc.rootfs.path lxc.sched.core lxc.seccomp.allow_nesting
lxc.seccomp.notify.cookie lxc.seccomp.notify.proxy lxc.seccomp.profile lxc.selinux.context lxc.selinux.context.keyring
lxc.signal.halt lxc.signal.reboot lxc.signal.stop lxc.start.auto lxc.start.delay lxc.start.order lxc.sysctl.KEY
lxc.time.offset.boot lxc.time.offset.monotonic lxc.tty.dir lxc.tty.max lxc.uts.name
""".split()
OF_LXC_NETWORK = """
flags hwaddr ipv4.address ipv4.gateway ipv6.address ipv6.gateway ipvlan.isolation ipvlan.mode l2proxy link macvlan.mode
mtu name script.down script.up type veth.ipv4.route veth.ipv6.route veth.mode veth.n_rxqueues veth.n_txqueues veth.pair
veth.vlan.id veth.vlan.tagged.id vlan.id
""".split()
DROPPED_BY_LXC_3 = {"lxc.kmsg", "lxc.pivotdir", "lxc.rootfs.backend"}


def _is_about_support(error: ConfigError) -> bool:
    return "not supported yet" in error.what or ": refused, because " in error.what


by_name = pytest.mark.parametrize("key", TABLE, ids=lambda key: key.name)


def test_the_files_are_what_the_table_makes_of_them() -> None:
    for name, made in zip(reference.FILES, (reference.page(), reference.manual()), strict=True):
        same = (CHECKOUT / name).read_text() == made
        assert same, f"{name}: python3 -m minilxc.config.reference writes it"


def test_every_key_of_lxc_is_in_the_table() -> None:
    own = {key.name for key in TABLE if key.name.startswith("minilxc.")}
    assert set(KEYS) | {key.name for key in GROUPS.values()} == set(OF_LXC) | DROPPED_BY_LXC_3 | own
    assert set(NETWORK) == set(OF_LXC_NETWORK)


@by_name
def test_the_example_is_a_line_that_a_config_may_have(key: Key, tmp_path: Path) -> None:
    """Together with what it needs beside it; that minilxc refuses a key for now is no matter here."""
    lines = [f"lxc.net.0.type = {key.net_type or 'veth'}"] if ".net.I." in key.name else []
    lines += ["lxc.idmap = g 0 100000 65536"] if key.name == "lxc.idmap" else []
    lines += [reference.example(key)]
    file = tmp_path / "c"
    file.write_text("\n".join(lines))
    _, wrong, notes = Config.examine(str(file))
    assert [error for error in wrong if not _is_about_support(error)] == []
    assert notes == ()


@by_name
def test_the_name_in_an_example_is_found_again(key: Key) -> None:
    written = reference.example(key).partition(" =")[0]
    assert reference.row_of(written) is key
    assert key in reference.matching(written)


@by_name
def test_a_default_is_written_as_a_config_would_have_it(key: Key) -> None:
    default = reference.default_text(key)
    if default is not None:
        assert key.parse(default) == key.default


@by_name
def test_a_key_is_data_for_programs(key: Key) -> None:
    data = json.loads(json.dumps(reference.as_data(key)))
    assert data["name"] == key.name
    assert data["type"]
    assert data["help"]
    assert data["since"]
    assert data["example"].startswith(("lxc.", "minilxc."))


def test_each_row_has_a_note_and_no_other() -> None:
    assert set(NOTES) == {key.name for key in TABLE}
    for name, note in NOTES.items():
        for text in note:
            assert not text or text.endswith("."), name


def test_each_key_stands_once_in_the_page_and_in_the_manual() -> None:
    page, manual = reference.page(), reference.manual()
    for key in TABLE:
        assert page.count(f"### {key.name}\n") == 1
        assert manual.count(f"**{key.name}**\n") == 1


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("lxc.tty.max", ["lxc.tty.max"]),
        ("tty", ["lxc.tty.max", "lxc.tty.dir"]),
        ("lxc.tty", ["lxc.tty.max", "lxc.tty.dir"]),
        ("lxc.signal.*", ["lxc.signal.halt", "lxc.signal.reboot", "lxc.signal.stop"]),
        ("lxc.utsname", ["lxc.uts.name"]),
        ("lxc.net.7.mtu", ["lxc.net.I.mtu"]),
        ("lxc.prlimit.nofile", ["lxc.prlimit.NAME"]),
        ("lxc.namespace.share.net", ["lxc.namespace.share.NS"]),
        ("lxc.cgroup2.memory.max", ["lxc.cgroup2.CTRL.FILE"]),
        ("lxc.nonsense", []),
        ("lxc.net.x.mtu", []),
    ],
)
def test_keys_are_found_by_a_part_a_pattern_an_old_name_or_a_whole_one(
    pattern: str, names: list[str]
) -> None:
    assert [key.name for key in reference.matching(pattern)] == names
