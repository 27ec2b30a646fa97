"""The table of keys: every row is whole, and says the truth about what it takes."""

from __future__ import annotations

import pytest

from minilxc.config.keys import ACCEPTED, ACTS, GROUPS, KEYS, LATER, NETWORK, NO_VALUE, REFUSED, TABLE, Key
from minilxc.config.parse import Config

SUBSYSTEMS = {
    "cgroups", "config", "credentials", "devices", "hooks", "idmap", "init", "limits", "log", "monitor",
    "mounts", "namespaces", "network", "rootfs", "seccomp", "terminal",
}  # fmt: skip


@pytest.mark.parametrize("key", TABLE, ids=lambda key: key.name)
def test_a_row_is_whole(key: Key) -> None:
    assert key.help.endswith(".")
    assert key.since
    assert key.subsystem in SUBSYSTEMS
    assert key.support in (ACTS, ACCEPTED, LATER, REFUSED)
    assert bool(key.why) == (key.support in (ACCEPTED, REFUSED))
    assert key.parse.__doc__ is not None
    assert key.parse.__doc__.splitlines()[0].endswith(".")
    assert bool(key.group) == bool(key.member)
    assert key.many or not key.merge


@pytest.mark.parametrize("key", [key for key in TABLE if key.example], ids=lambda key: key.name)
def test_the_example_of_a_row_parses(key: Key) -> None:
    hash(key.parse(key.example))


@pytest.mark.parametrize("key", [key for key in TABLE if key.harmless], ids=lambda key: key.name)
def test_harmless_values_parse_and_are_not_refused(key: Key) -> None:
    for value in key.harmless:
        assert key.refusal(key.parse(value)) is None


def test_keys_without_an_example_take_only_an_empty_value() -> None:
    assert [key.name for key in TABLE if not key.example] == ["lxc.net", "lxc.hook"]


def test_names_are_unique_and_each_row_is_found_in_one_way() -> None:
    names = [key.name for key in TABLE]
    assert len(names) == len(set(names))
    assert len(KEYS) + len(GROUPS) + len(NETWORK) == len(TABLE)


def test_old_names_are_unique_and_no_new_ones() -> None:
    old = [name for key in TABLE for name in key.old]
    assert len(old) == len(set(old))
    assert not set(old) & {key.name for key in TABLE}


def test_names_belong_to_lxc_or_to_minilxc() -> None:
    assert all(key.name.startswith(("lxc.", "minilxc.")) for key in TABLE)


def test_a_default_is_never_refused() -> None:
    for key in TABLE:
        if key.support in (LATER, REFUSED):
            assert key.refusal(key.default) is None


def test_what_an_empty_value_stands_for_parses() -> None:
    for key in TABLE:
        if key.empty not in (None, NO_VALUE):
            assert key.empty is not None
            key.parse(key.empty)


def test_every_key_is_cleared_by_an_empty_value_or_says_that_it_needs_one() -> None:
    for key in TABLE:
        name = (
            key.name.replace(".I", ".0")
            .replace("CTRL.FILE", "a.b")
            .replace("NAME", "core")
            .replace("NS", "net")
        )
        if key.name == "lxc.include" or not key.example or key.empty is not None:
            continue
        text = f"lxc.net.0.type = {key.net_type}\n" if key.net_type else ""
        text += f"{name} = {key.example}\n{name} =\nlxc.net =\n"
        assert Config.from_text(text.encode(), "c").names() == ()


def test_a_row_of_minilxcs_own_would_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from minilxc.config import values

    row = Key("minilxc.test", parse=values.boolean, help="A.", example="1", subsystem="config", since="0.1")
    monkeypatch.setitem(KEYS, row.name, row)
    assert Config.from_text(b"minilxc.test = 1", "c").get("minilxc.test") is True
