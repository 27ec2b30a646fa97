"""The settings of lxc.conf."""

from __future__ import annotations

import pytest

from minilxc.config import system
from minilxc.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", {}),
        ("lxc.lxcpath = /srv/lxc\n", {"lxc.lxcpath": "/srv/lxc"}),
        ("  lxc.lxcpath=/a b \nlxc.lxcpath = /c", {"lxc.lxcpath": "/c"}),
        ("# lxc.lxcpath = /srv\nfoo = 1\nlxc.cgroup.use = @all\nlxc.lxcpath =\n", {"lxc.cgroup.use": "@all"}),
    ],
)
def test_lines_of_settings_count_and_others_do_not(tmp_path, text, settings):
    (tmp_path / "lxc.conf").write_text(text)
    assert system.read(str(tmp_path / "lxc.conf")) == settings


def test_without_a_file_nothing_is_set(tmp_path):
    assert system.read(str(tmp_path / "none")) == {}


def test_folder_in_its_place_is_told(tmp_path):
    with pytest.raises(ConfigError, match="Is a directory"):
        system.read(str(tmp_path))
