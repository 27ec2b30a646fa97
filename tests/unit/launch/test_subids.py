"""What an ordinary user may map, by /etc/subuid and /etc/subgid."""

from __future__ import annotations

import posix

import pytest

from minilxc.config.parse import Config
from minilxc.errors import MinilxcError
from minilxc.launch import idmap, lock, ordinary, subids
from minilxc.launch.idmap import IdMaps
from minilxc.launch.namespaces import Namespaces

UID, GID = 1234, 5678


@pytest.fixture
def user(monkeypatch, tmp_path):
    """user(TEXT): an ordinary user with these lines in both files."""

    def become(lines):
        for name, value in (("geteuid", UID), ("getuid", UID), ("getegid", GID)):
            monkeypatch.setattr(posix, name, lambda value=value: value)
        for kind in ("u", "g"):
            (tmp_path / kind).write_text(lines)
        monkeypatch.setattr(subids, "_FILES", {kind: str(tmp_path / kind) for kind in ("u", "g")})
        monkeypatch.setattr(subids, "_user", lambda: "somebody")
        monkeypatch.setattr(subids, "_elsewhere", lambda: False)
        monkeypatch.setattr(subids, "_find", lambda name, where: f"/usr/bin/{name}")
        monkeypatch.setattr(subids, "_refuse_without_namespaces", lambda where: None)

    return become


def read(text):
    return Config.from_text(text.encode(), "c")


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("", []),
        ("somebody:100000:65536\n", [(100000, 165536)]),
        ("# somebody:1:1\nother:1:5\nsomebody:9:1\n1234:5:2", [(5, 7), (9, 10)]),
        ("somebody:x:1\nsomebody:1\nsomebody:1:2:3\nsomebody:-1:5\n somebody:7:1 \n", [(7, 8)]),
        ("somebody2:1:1\nsome:1:1\n12345:1:1\n", []),
    ],
)
def test_lines_of_the_user_are_the_grants(user, text, ranges):
    user(text)
    assert subids.granted("u") == ranges


@pytest.mark.parametrize(
    ("maps", "result"),
    [
        ("u 0 1234 1|g 0 5678 1", (("", ""), True)),
        ("u 7 1234 1|g 9 5678 1", (("", ""), True)),
        ("u 0 100000 10|g 0 5678 1", (("/usr/bin/newuidmap", ""), True)),
        ("u 0 1234 1|g 0 100000 10", (("", "/usr/bin/newgidmap"), False)),
        ("u 0 100000 65536|g 0 165535 1", (("/usr/bin/newuidmap", "/usr/bin/newgidmap"), False)),
        (
            "u 0 100000 5|u 5 1234 1|g 0 5678 1|g 1 100000 1",
            (("/usr/bin/newuidmap", "/usr/bin/newgidmap"), False),
        ),
    ],
)
def test_only_a_single_own_id_is_written_without_a_program(user, maps, result):
    user("somebody:100000:65536\n")
    assert subids.writers(read("".join(f"lxc.idmap = {line}\n" for line in maps.split("|")))) == result


@pytest.mark.parametrize(
    ("maps", "line", "ids"),
    [
        ("u 0 99999 2|g 0 5678 1", 1, "user ids 99999 to 100000"),
        ("u 0 100000 65537|g 0 5678 1", 1, "user ids 100000 to 165536"),
        ("u 0 1234 2|g 0 5678 1", 1, "user ids 1234 to 1235"),
        ("u 0 1234 1|g 0 1234 1", 2, "group ids 1234 to 1234"),
        ("u 0 0 1|g 0 5678 1", 1, "user ids 0 to 0"),
    ],
)
def test_other_ids_are_refused_with_their_line(user, maps, line, ids):
    user("somebody:100000:65536\n")
    with pytest.raises(MinilxcError) as caught:
        subids.writers(read("".join(f"lxc.idmap = {each}\n" for each in maps.split("|"))))
    assert str(caught.value).startswith(f"c:{line}: lxc.idmap: ")
    assert f"does not grant somebody the {ids} (it grants 100000 to 165535)" in str(caught.value)


def test_config_without_a_map_is_told_the_largest_grant(user):
    user("somebody:5:5\nsomebody:100000:65536\n")
    with pytest.raises(MinilxcError) as caught:
        idmap.from_config(read(""), Namespaces(frozenset({"mnt"}), (), (0, 0)))
    lines = "lxc.idmap = u 0 100000 65536 and lxc.idmap = g 0 100000 65536"
    assert str(caught.value) == f"c: a container of an ordinary user needs an id map (add {lines})"


@pytest.mark.parametrize("kind", ["veth", "macvlan", "phys", "vlan", "ipvlan"])
def test_interface_of_the_host_takes_root(kind):
    with pytest.raises(MinilxcError) as caught:
        ordinary.refuse(
            read(
                f"\n\nlxc.net.0.type = {kind}\nlxc.net.0.link = a\nlxc.net.0.vlan.id = 5\n"
                if kind == "vlan"
                else f"\n\nlxc.net.0.type = {kind}\nlxc.net.0.link = a\n"
            )
        )
    what = f"lxc.net.0.type: only root can give a container an interface of type '{kind}'"
    assert str(caught.value) == f"c:3: {what} (empty, or none to share the host's network)"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (
            "lxc.monitor.unshare = 1",
            "lxc.monitor.unshare: only root can give the monitor a mount namespace of its own",
        ),
        (
            "lxc.namespace.share.net = 1",
            "lxc.namespace.share.net: only root can join the namespaces of others",
        ),
        (
            "lxc.net.0.type = empty\nlxc.net.0.script.up = a",
            "lxc.net.0.script.up: only root's interfaces have scripts",
        ),
    ],
)
def test_what_takes_power_over_the_machine_takes_root(line, what):
    with pytest.raises(MinilxcError) as caught:
        ordinary.refuse(read(line))
    assert str(caught.value) == f"c:{line.count(chr(10)) + 1}: {what}"


def test_own_ids_are_added_where_a_program_may_map_them(user):
    user("")
    maps = IdMaps("0 100000 10\n", f"0 {GID} 1\n", 0, 0, ("/usr/bin/newuidmap", ""), True).with_own_ids()
    assert (maps.uid_map, maps.gid_map) == (f"0 100000 10\n10 {UID} 1\n", f"0 {GID} 1\n")
    again = IdMaps(f"0 {UID} 1\n5 100 2\n", "0 7 1\n", 0, 0, ("/p", "/p"), False).with_own_ids()
    assert (again.uid_map, again.gid_map) == (f"0 {UID} 1\n5 100 2\n", f"0 7 1\n1 {GID} 1\n")


@pytest.mark.parametrize(
    ("environment", "state", "containers"),
    [
        ({b"XDG_RUNTIME_DIR": b"/x/", b"HOME": b"/h"}, "/x/minilxc", "/h/.local/share/lxc"),
        ({b"HOME": b"/h/"}, "/h/.cache/minilxc", "/h/.local/share/lxc"),
    ],
)
def test_places_of_an_ordinary_user(user, monkeypatch, environment, state, containers):
    user("")
    monkeypatch.setattr(posix, "environ", environment)
    assert (lock.state_directory(), lock.default_path()) == (state, containers)


def test_user_without_a_home_is_told(user, monkeypatch):
    user("")
    monkeypatch.setattr(posix, "environ", {})
    for place in (lock.state_directory, lock.default_path):
        with pytest.raises(MinilxcError) as caught:
            place()
        assert str(caught.value) == "no home folder (HOME is not set)"
