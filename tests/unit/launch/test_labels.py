"""Labels of security modules: what is decided for which kernel. Needs none of them."""

from __future__ import annotations

import os

import pytest

from minilxc.config.parse import Config
from minilxc.errors import MinilxcError
from minilxc.launch import labels
from minilxc.launch.labels import Labels, Modules

NONE = Modules(apparmor=False, confined=False, mediation=False, selinux=False)
APPARMOR = Modules(apparmor=True, confined=False, mediation=True, selinux=False)
CONFINED = Modules(apparmor=True, confined=True, mediation=True, selinux=False)
HALF = Modules(apparmor=True, confined=False, mediation=False, selinux=False)
SELINUX = Modules(apparmor=False, confined=False, mediation=False, selinux=True)

LESS = "so the container would be confined less than asked"
CURE = "(lxc.apparmor.allow_incomplete = 1 starts without it)"
LESS_THAN_SAID = "so the profile would confine less than it says"
NAME_ONE = "the name of a profile that is loaded, or unconfined"
PROFILE = "lxc.apparmor.profile = p"
ALLOWED = "lxc.apparmor.allow_incomplete = 1"


def decide(text, modules, notes=None):
    config = Config.from_text(text.encode(), "c")
    return labels.decide(config, modules, lambda *note: notes.append(note) if notes is not None else None)


@pytest.mark.parametrize(
    ("text", "modules", "shown"),
    [
        ("", NONE, None),
        ("", APPARMOR, None),
        ("", SELINUX, None),
        ("lxc.apparmor.profile = unconfined", NONE, None),
        ("lxc.apparmor.profile = unconfined", APPARMOR, None),
        ("lxc.apparmor.profile = unconfined", CONFINED, "AppArmor unconfined"),
        ("lxc.apparmor.profile = unchanged", APPARMOR, None),
        ("lxc.apparmor.profile = unchanged", CONFINED, None),
        (PROFILE, APPARMOR, "AppArmor p"),
        (PROFILE, CONFINED, "AppArmor p"),
        (f"{PROFILE}\n{ALLOWED}", NONE, None),
        (f"{PROFILE}\n{ALLOWED}", HALF, "AppArmor p"),
        ("lxc.apparmor.profile = generated", NONE, None),
        ("lxc.apparmor.profile = lxc-container-default-with-nesting", SELINUX, None),
        ("lxc.selinux.context = unconfined_t", NONE, None),
        ("lxc.selinux.context = a_t", SELINUX, "SELinux a_t"),
        ("lxc.selinux.context = a_t\nlxc.selinux.context.keyring = b_t", SELINUX, "SELinux a_t, keyring b_t"),
    ],
)
def test_labels_are_set_where_the_kernel_has_them(text, modules, shown):
    found = decide(text, modules)
    assert (found.describe() if found else None) == shown


@pytest.mark.parametrize(
    ("text", "modules", "line"),
    [
        (PROFILE, NONE, f"c:1: lxc.apparmor.profile: this kernel has no AppArmor, {LESS} {CURE}"),
        (
            "lxc.apparmor.profile = generated-strict",
            NONE,
            f"c:1: lxc.apparmor.profile: this kernel has no AppArmor, {LESS} {CURE}",
        ),
        (PROFILE, SELINUX, f"c:1: lxc.apparmor.profile: this kernel has no AppArmor, {LESS} {CURE}"),
        (
            PROFILE,
            HALF,
            f"c:1: lxc.apparmor.profile: this kernel's AppArmor does not judge mounts, {LESS_THAN_SAID} {CURE}",
        ),
        (
            "lxc.apparmor.profile = generated",
            APPARMOR,
            f"c:1: lxc.apparmor.profile: minilxc generates no profile ({NAME_ONE})",
        ),
        (
            "\nlxc.selinux.context = a_t",
            APPARMOR,
            f"c:2: lxc.selinux.context: this kernel has no SELinux, {LESS}",
        ),
        (
            "lxc.selinux.context.keyring = a_t",
            NONE,
            f"c:1: lxc.selinux.context.keyring: this kernel has no SELinux, {LESS}",
        ),
    ],
)
def test_a_label_that_cannot_be_had_is_refused_with_its_line(text, modules, line):
    with pytest.raises(MinilxcError) as caught:
        decide(text, modules)
    assert str(caught.value) == line


def test_a_start_without_a_profile_that_was_asked_for_is_never_silent():
    notes = []
    decide(f"{PROFILE}\n{ALLOWED}", NONE, notes)
    assert [(level, subject) for level, subject, _ in notes] == [(4, "labels")]
    assert notes[0][2].startswith("c:1: lxc.apparmor.profile: this kernel has no AppArmor")


def test_nesting_and_the_permission_alone_are_no_label():
    assert decide(f"{ALLOWED}\nlxc.apparmor.allow_nesting = 1", NONE) is None


class Procfs:
    """A folder that looks like the part of /proc that labels are written to."""

    def __init__(self, folder, *files):
        self.attr = folder / "self" / "attr"
        for file in files:
            (self.attr / file).parent.mkdir(parents=True, exist_ok=True)
            (self.attr / file).write_text("")
        self.descriptor = os.open(folder, os.O_PATH)

    def content(self):
        return {str(f.relative_to(self.attr)): f.read_text() for f in self.attr.rglob("*") if f.is_file()}


@pytest.mark.parametrize("prefix", ["", "apparmor/"])
def test_a_profile_is_written_to_apparmors_own_file_where_there_is_one(tmp_path, prefix):
    files = [f"{prefix}exec", f"{prefix}current"]
    proc = Procfs(tmp_path, "exec", "current", *files)
    one = Labels(apparmor="p", selinux=None, keyring=None)
    one.for_program(proc.descriptor)
    one.for_itself(proc.descriptor)
    os.close(proc.descriptor)
    others = {"exec": "", "current": ""} if prefix else {}
    assert proc.content() == {**others, files[0]: "exec p", files[1]: "changeprofile p"}


def test_a_context_is_written_for_keyrings_and_programs(tmp_path):
    proc = Procfs(tmp_path, "exec", "current", "keycreate")
    one = Labels(apparmor=None, selinux="a_t", keyring="k_t")
    one.for_keyring(proc.descriptor)
    one.for_program(proc.descriptor)
    assert proc.content() == {"exec": "a_t", "current": "", "keycreate": "k_t"}
    one.for_itself(proc.descriptor)
    os.close(proc.descriptor)
    assert proc.content()["current"] == "a_t"


def test_a_label_that_the_kernel_does_not_take_is_named(tmp_path):
    proc = Procfs(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        Labels(apparmor="p", selinux=None, keyring=None).for_program(proc.descriptor)
    os.close(proc.descriptor)
    assert caught.value.filename == "p"


def test_nothing_is_written_without_a_label(tmp_path):
    nothing = Labels(apparmor=None, selinux=None, keyring=None)
    for write in (nothing.for_keyring, nothing.for_program, nothing.for_itself):
        write(-1)
