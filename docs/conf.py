"""Sphinx: the pages as HTML, and those of man/ as manual pages. Built by scripts/docs."""

import tomllib
from pathlib import Path

with open(Path(__file__).parent.parent / "pyproject.toml", "rb") as file:
    release = tomllib.load(file)["project"]["version"]

project = "minilxc"
author = "the minilxc authors"
extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "alabaster"
smartquotes = False  # "--option" stays as it is typed

man_make_section_directory = True
man_pages = [
    ("man/minilxc", "minilxc", "run LXC containers, with the seccomp policy loaded last", "", 1),
    ("man/minilxc-start", "minilxc-start", "run a container", "", 1),
    ("man/minilxc-execute", "minilxc-execute", "run one program in a container", "", 1),
    ("man/minilxc-create", "minilxc-create", "make a container", "", 1),
    ("man/minilxc-destroy", "minilxc-destroy", "remove a container", "", 1),
    ("man/minilxc-copy", "minilxc-copy", "copy a container", "", 1),
    ("man/minilxc-rename", "minilxc-rename", "give a container another name", "", 1),
    ("man/minilxc-checkconfig", "minilxc-checkconfig", "check a container's config", "", 1),
    ("man/minilxc-config", "minilxc-config", "show what is in force in a container's config", "", 1),
    ("man/minilxc-keys", "minilxc-keys", "explain the keys of a container's config", "", 1),
    ("man/minilxc-info", "minilxc-info", "show what a container is, has and uses", "", 1),
    ("man/minilxc-ls", "minilxc-ls", "list containers", "", 1),
    ("man/minilxc-wait", "minilxc-wait", "wait until a container has come to a state", "", 1),
    ("man/minilxc-freeze", "minilxc-freeze", "stop all that runs in a container", "", 1),
    ("man/minilxc-unfreeze", "minilxc-unfreeze", "let a frozen container go on", "", 1),
    ("man/minilxc-monitor", "minilxc-monitor", "tell the states that containers go through", "", 1),
    ("man/minilxc-cgroup", "minilxc-cgroup", "read or write a file of a container's control groups", "", 1),
    ("man/minilxc-autostart", "minilxc-autostart", "start or stop the containers that start at boot", "", 1),
    ("man/minilxc-top", "minilxc-top", "show what the containers that run use, again and again", "", 1),
    ("man/minilxc-links", "minilxc-links", "make links with the names of LXC's commands", "", 1),
    ("man/minilxc.container.conf", "minilxc.container.conf", "the config of a container", "", 5),
    ("man/minilxc-seccomp", "minilxc-seccomp", "work on seccomp policies without a container", "", 1),
]
