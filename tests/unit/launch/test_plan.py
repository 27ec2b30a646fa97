"""From Config to Plan: what is decided, and refused, before anything exists. Needs no privilege."""

from __future__ import annotations

import os

import pytest

from minilxc.config.parse import Config
from minilxc.errors import ConfigError, MinilxcError, Refused, UsageError
from minilxc.launch import lock
from minilxc.launch import plan as planning

ROOT = "/usr"  # some folder that is there
MAP = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 200000 65536\n"


def places(mounts, below=""):
    """The targets of mounts and of those inside them."""
    found = []
    for mount in mounts:
        found += [below + mount.target, *places(mount.inside, f"{below}{mount.target}/")]
    return found


def make(text, *command, with_init=True, prepare=None, notes=None):
    """The plan for the config `text`."""
    config = Config.from_text(text.encode(), "c")
    debug = (lambda *note: notes.append(note)) if notes is not None else (lambda *note: None)
    return planning.make(
        config,
        "c1",
        "/var/lib/lxc",
        command or ("/bin/true",),
        with_init=with_init,
        prepare=prepare,
        debug=debug,
    )


def refusal(text, *command, **more):
    with pytest.raises(MinilxcError) as caught:
        make(text, *command, **more)
    return str(caught.value)


# --- names


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "0", "a" * 64, "_a", "a."])
def test_plain_name_is_taken(name):
    assert lock.check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-", "-a", ".a", "a/b", "a b", "a\n", "a\0", "é", "a" * 65, "²", "a:b", "a;b"]
)
def test_name_that_could_be_something_else_is_refused(name):
    with pytest.raises(UsageError):
        lock.check_name(name)


# --- namespaces


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", "cgroup ipc mnt net pid uts"),
        ("lxc.namespace.clone = mnt pid", "mnt pid"),
        ("lxc.namespace.clone = mnt\nlxc.namespace.clone = ipc", "ipc mnt"),
        ("lxc.namespace.keep = net uts", "cgroup ipc mnt pid time"),
        ("lxc.namespace.keep = net time", "cgroup ipc mnt pid uts"),
        ("lxc.net.0.type = none", "cgroup ipc mnt pid uts"),
        ("lxc.net.0.type = empty", "cgroup ipc mnt net pid uts"),
        ("lxc.net.0.type = none\nlxc.net.1.type = empty", "cgroup ipc mnt net pid uts"),
        ("lxc.time.offset.boot = 5s", "cgroup ipc mnt net pid time uts"),
        (MAP, "cgroup ipc mnt net pid user uts"),
        (MAP + "lxc.namespace.clone = mnt", "mnt user"),
        (MAP + "lxc.namespace.clone = mnt user", "mnt user"),
        (MAP + "lxc.namespace.keep = ipc time", "cgroup mnt net pid user uts"),
    ],
)
def test_namespaces_are_what_the_config_asks_for(text, kinds):
    """lxc-keys.md 4.8."""
    assert make(text).namespaces.new == frozenset(kinds.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lxc.namespace.clone = mnt user", "c:1: a user namespace without lxc.idmap would have no ids"),
        (
            MAP + "lxc.namespace.keep = user",
            "c:2: lxc.idmap: needs a user namespace, which lxc.namespace.keep forbids",
        ),
        (
            "lxc.time.offset.boot = 5s\nlxc.namespace.keep = time",
            "c:1: lxc.time.offset.*: needs a time namespace, which lxc.namespace.keep forbids",
        ),
        (
            "lxc.namespace.keep = mnt",
            "c:1: without a mount namespace of its own the container would change the host's mounts",
        ),
        (
            "lxc.namespace.clone = pid",
            "c:1: without a mount namespace of its own the container would change the host's mounts",
        ),
        (
            "lxc.uts.name = a\nlxc.namespace.keep = uts",
            "c:1: lxc.uts.name: without a UTS namespace of its own the container would rename the host",
        ),
        ("lxc.namespace.share.user = 1", "c:1: lxc.namespace.share.user: not supported yet"),
        (
            "lxc.namespace.share.net = 4194304999",
            "c:1: lxc.namespace.share.net: process 4194304999: No such file or directory",
        ),
    ],
)
def test_namespaces_that_cannot_be_are_refused_with_their_line(text, message):
    assert refusal(text) == message


def test_host_changes_are_refused_as_less_confinement():
    with pytest.raises(Refused):
        make("lxc.namespace.keep = mnt")


def test_joined_namespace_is_not_made_new():
    plan = make(f"lxc.namespace.share.net = {os.getpid()}")
    assert "net" not in plan.namespaces.new
    (join,) = plan.namespaces.joined
    assert (join.kind, join.target) == ("net", str(os.getpid()))
    os.close(join.descriptor)


# --- ids


def test_without_a_map_there_is_none():
    assert make("").idmap is None


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (MAP, (0, 0)),
        (MAP + "lxc.init.uid = 7\nlxc.init.gid = 8\n", (0, 0)),
        ("lxc.idmap = u 7 100000 1\nlxc.idmap = g 8 200000 1\nlxc.init.uid = 7\nlxc.init.gid = 8\n", (7, 8)),
    ],
)
def test_child_becomes_mapped_root_or_else_who_init_shall_be(text, ids):
    """lxc-keys.md 4.3."""
    maps = make(text).idmap
    assert (maps.uid, maps.gid) == ids


def test_maps_are_written_as_the_kernel_reads_them():
    maps = make(MAP + "lxc.idmap = u 70000 5 6\n").idmap
    assert (maps.uid_map, maps.gid_map) == ("0 100000 65536\n70000 5 6\n", "0 200000 65536\n")


@pytest.mark.parametrize(("uid", "inside"), [(0, True), (65535, True), (65536, False)])
def test_last_id_of_a_range_is_in_it_and_the_next_is_not(uid, inside):
    text = MAP + f"lxc.init.uid = {uid}\n"
    if inside:
        assert make(text).credentials.uid == uid
    else:
        assert refusal(text) == "c:3: lxc.init.uid: 65536 has no place in the id map"


def test_groups_of_a_mapped_container_are_settled_with_its_map():
    """lxc.init.groups is ignored when an id map is set (lxc-keys.md 3)."""
    assert make("lxc.init.groups = 7,8").credentials.groups == (7, 8)
    assert make("").credentials.groups == ()
    assert make(MAP + "lxc.init.groups = 7,8").credentials.groups is None


# --- capabilities


@pytest.mark.parametrize(
    ("text", "dropped"),
    [
        ("", set()),
        ("lxc.cap.drop = chown 21", {0, 21}),
        ("lxc.cap.drop = chown\nlxc.cap.drop = kill", {0, 5}),
        ("lxc.cap.drop = chown\nlxc.cap.drop =\nlxc.cap.drop = kill", {5}),
    ],
)
def test_dropped_capabilities_are_those_of_the_config(text, dropped):
    assert set(make(text).credentials.dropped) == dropped


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("lxc.cap.keep = none", set()),
        ("lxc.cap.keep = chown", {0}),
        ("lxc.cap.keep = chown\nlxc.cap.keep = none\nlxc.cap.keep = kill", {5}),
    ],
)
def test_all_but_the_kept_capabilities_are_dropped(text, kept):
    credentials = make(text).credentials
    assert set(range(credentials.last_capability + 1)) - set(credentials.dropped) == kept


# --- the program


@pytest.mark.parametrize(
    ("text", "command", "with_init", "arguments", "key"),
    [
        ("", ("a", "b c"), True, ("a", "b c"), ""),
        ("lxc.execute.cmd = x 'y z'", (), True, ("x", "y z"), "lxc.execute.cmd"),
        ("lxc.init.cmd = x y", (), False, ("x", "y"), "lxc.init.cmd"),
        ("", (), False, ("/sbin/init",), "lxc.init.cmd"),
        ("lxc.init.cmd = x y", ("z",), False, ("z",), ""),
    ],
)
def test_program_is_the_command_or_the_configs(text, command, with_init, arguments, key):
    config = Config.from_text(text.encode(), "c")
    plan = planning.make(config, "c1", "", command, with_init=with_init, prepare=None, debug=lambda *_: None)
    assert (plan.program.arguments, plan.program.key) == (arguments, key)


def test_environment_is_the_configs_with_the_last_of_a_name():
    text = "lxc.environment = A=1\nlxc.environment = B=2\nlxc.environment.runtime = A=3\nlxc.environment = container=x"
    assert sorted(make(text).program.environment) == ["A=3", "B=2", "container=lxc"]


# --- root file system and mounts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lxc.rootfs.path = dir:/nowhere", "c:1: lxc.rootfs.path: '/nowhere': No such file or directory"),
        (
            "lxc.rootfs.path = /",
            "c:1: lxc.rootfs.path: '/' is the host's own root (leave the key out to share it)",
        ),
        (
            "lxc.rootfs.path = /usr/..",
            "c:1: lxc.rootfs.path: '/' is the host's own root (leave the key out to share it)",
        ),
        (
            f"lxc.rootfs.path = {ROOT}\nlxc.rootfs.mount = /nowhere",
            "c:2: lxc.rootfs.mount: '/nowhere': is not a folder",
        ),
        (
            f"lxc.rootfs.path = {ROOT}\nlxc.rootfs.options = ro,size=5",
            "c:2: lxc.rootfs.options: a folder takes no option 'size=5'",
        ),
        (f"lxc.rootfs.path = {ROOT}\nlxc.rootfs.options = bogus", "c:2: mount option 'bogus' is unknown"),
    ],
)
def test_root_file_system_that_cannot_be_is_refused_with_its_line(text, message):
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("srv", "srv"),
        ("/usr/srv", "srv"),
        ("/usr/", ""),
        ("/usr", ""),
        ("/mnt/place/srv", "srv"),
        ("./srv", "./srv"),
    ],
)
def test_target_is_below_the_root_file_system_however_it_is_written(target, wanted, tmp_path):
    """lxc-keys.md 4.5: the prefix of rootfs.path or rootfs.mount is taken off."""
    (tmp_path / "place").mkdir()
    target = target.replace("/mnt", str(tmp_path))
    text = f"lxc.rootfs.path = {ROOT}\nlxc.rootfs.mount = {tmp_path}/place\n"
    text += f"lxc.mount.entry = none {target} tmpfs defaults\n"
    (mount,) = make(text).mounts
    assert mount.target == wanted


def test_target_outside_of_the_root_file_system_is_left_out_with_a_warning():
    notes = []
    plan = make(f"lxc.rootfs.path = {ROOT}\nlxc.mount.entry = none /usrlocal/x tmpfs defaults\n", notes=notes)
    assert plan.mounts == ()
    assert notes == [(4, "mounts", "c:2: ignored: target /usrlocal/x is not in the root file system")]


@pytest.mark.parametrize("target", ["..", "../x", "a/../b", "/usr/../etc", "/usr/.."])
def test_target_with_dot_dot_is_refused(target):
    text = f"lxc.rootfs.path = {ROOT}\nlxc.mount.entry = none {target} tmpfs create=dir\n"
    assert refusal(text) == f"c:2: mount target '{target}' must not contain '..'"


def test_fstab_comes_before_the_entries_and_names_its_own_lines(tmp_path):
    (tmp_path / "fstab").write_text("# x\n\na b tmpfs defaults 0 0\n")
    first, second = make(
        f"lxc.mount.entry = c d tmpfs defaults\nlxc.mount.fstab = {tmp_path}/fstab\nlxc.rootfs.path = {ROOT}\n"
    ).mounts
    assert (first.target, first.where, second.target, second.where) == (
        "b",
        f"{tmp_path}/fstab:3",
        "d",
        "c:1",
    )


@pytest.mark.parametrize(
    ("auto", "targets"),
    [
        ("proc", "proc proc/sys proc/sys/net proc/sysrq-trigger"),
        ("proc:mixed", "proc proc/sys proc/sys/net proc/sysrq-trigger"),
        ("proc:rw", "proc"),
        ("sys:ro", "sys"),
        ("sys:rw", "sys"),
        ("sys", "sys sys/devices/virtual/net"),
        ("proc:rw sys:ro", "proc sys"),
        ("cgroup", ""),
    ],
)
def test_system_mounts_are_what_the_words_say(auto, targets):
    plan = make(f"lxc.rootfs.path = {ROOT}\nlxc.autodev = 0\nlxc.mount.auto = {auto}\n")
    assert places(plan.system_mounts) == targets.split()


def test_dropped_net_admin_leaves_proc_sys_net_read_only():
    plan = make(f"lxc.rootfs.path = {ROOT}\nlxc.mount.auto = proc\nlxc.cap.drop = net_admin\n")
    assert "proc/sys/net" not in places(plan.system_mounts)


@pytest.mark.parametrize(
    ("text", "autodev"),
    [
        (f"lxc.rootfs.path = {ROOT}", True),
        (f"lxc.rootfs.path = {ROOT}\nlxc.autodev = 0", False),
        ("", False),
    ],
)
def test_dev_is_made_where_there_is_a_root_file_system(text, autodev):
    assert make(text).autodev is autodev


# --- limits, files of /proc


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "lxc.sysctl.kernel.nothing = 1",
            "c:1: lxc.sysctl.kernel.nothing: there is no /proc/sys/kernel/nothing",
        ),
        ("lxc.proc.nothing = 1", "c:1: lxc.proc.nothing: there is no /proc/self/nothing"),
    ],
)
def test_file_of_proc_that_is_not_there_is_refused_with_its_line(text, message):
    assert refusal(text) == message


@pytest.mark.parametrize(
    "key",
    ["lxc.sysctl....etc.passwd", "lxc.sysctl.net....x", "lxc.proc....1.oom_adj", "lxc.sysctl.net/../../x"],
)
def test_no_name_leads_out_of_proc(key):
    """Dots become slashes, so that no `..` is left of them."""
    try:
        plan = make(f"{key} = 1")
    except ConfigError:
        return
    for path, _ in plan.sysctls + plan.proc_files:
        assert ".." not in path
        assert not path.startswith("/")


# --- the policy


def test_policy_is_prepared_from_the_configs_path(tmp_path):
    policy = tmp_path / "policy"
    policy.touch()
    asked = []

    def prepare(*what):
        asked.append(what[0])
        return "the filters"

    assert make(f"lxc.seccomp.profile = {policy}", prepare=prepare).filters == "the filters"
    assert asked == [str(policy)]
    assert make("").filters is None


@pytest.mark.parametrize("nested", [True, False])
def test_policy_inside_of_a_filter_is_refused_unless_it_may_be_stacked(monkeypatch, tmp_path, nested):
    """LXC skips it in silence (lxc-keys.md 8)."""
    monkeypatch.setattr("minilxc.launch.credentials.filter_mode", lambda: True)
    policy = tmp_path / "policy"
    policy.touch()
    text = f"lxc.seccomp.profile = {policy}\nlxc.seccomp.allow_nesting = {int(nested)}\n"
    if nested:
        assert make(text, prepare=lambda *_: "the filters").filters == "the filters"
    else:
        why = "lxc.seccomp.profile: a filter confines minilxc itself already, and LXC would skip the policy"
        assert refusal(text) == f"c:1: {why} (lxc.seccomp.allow_nesting = 1 stacks both)"


# --- the words of the plan


def test_plan_in_words_names_each_decision():
    text = (
        f"lxc.rootfs.path = {ROOT}\nlxc.uts.name = named\nlxc.mount.entry = none srv tmpfs size=1m,optional\n"
        "lxc.prlimit.nofile = 5:unlimited\nlxc.init.uid = 7\nlxc.no_new_privs = 1\n"
        "lxc.cap.keep = chown\nlxc.pty.max = 3\n"
    )
    lines = dict(make(text, "echo", "two words").lines())
    assert lines["namespaces"] == "cgroup, ipc, mnt, net, pid, uts"
    assert lines["host name"] == "named"
    assert lines["mount"].startswith("tmpfs on /srv [optional")
    assert "5:unlimited" in lines["limit"]
    assert lines["credentials"] == "uid 7, gid 0, 1 capabilities, no_new_privs"
    assert lines["seccomp"] == "no policy"
    assert lines["program"] == "echo 'two words'"
    assert "max=" in lines["terminal"]
