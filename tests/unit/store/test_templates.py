"""What templates make of their options and of an image's description; nothing is installed or unpacked."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from minilxc.errors import MinilxcError, UsageError
from minilxc.store import tools
from minilxc.store.templates import busybox, debian, oci


def lines(sections):
    return [line for section in sections for line in section.lines]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root file system with users, and with links that would lead out of it."""
    (tmp_path / "root" / "etc").mkdir(parents=True)
    root = tmp_path / "root"
    (root / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\nbroken\nweb:x:1000:1001::/:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\nstaff:x:50:web\n")
    return root


@pytest.mark.parametrize(
    ("user", "uid", "gid"),
    [
        ("", "0", "0"),
        ("web", "1000", "1001"),
        ("1000", "1000", "1001"),
        ("web:staff", "1000", "50"),
        ("web:7", "1000", "7"),
        ("4321", "4321", "0"),
        ("4321:staff", "4321", "50"),
    ],
)
def test_user_of_an_image_is_looked_up_in_it(root, user, uid, gid):
    found = lines(oci.translate({"config": {"User": user}}, str(root)))
    assert ("lxc.init.uid", uid) in found
    assert ("lxc.init.gid", gid) in found


@pytest.mark.parametrize(("user", "what"), [("nobody", "user 'nobody'"), ("web:nobody", "group 'nobody'")])
def test_user_that_an_image_does_not_have_is_told(root, user, what):
    with pytest.raises(MinilxcError, match=f"the image's {what} is not in its /etc/"):
        oci.translate({"config": {"User": user}}, str(root))


def test_users_are_not_those_of_the_host(root):
    (root / "etc" / "passwd").unlink()
    (root / "etc" / "passwd").symlink_to("/etc/passwd")  # leads to itself inside
    with pytest.raises(MinilxcError):
        oci.translate({"config": {"User": "daemon"}}, str(root))


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "written"),
    [
        (None, None, "/bin/sh"),
        (["/init"], None, "/init"),
        (["/init"], ["-x", "a b"], "/init -x 'a b'"),
        (None, ["sh", "-c", "echo 'it'"], "sh -c \"echo 'it'\""),
        ([], ["x", ""], "x ''"),
    ],
)
def test_command_of_an_image_is_entry_point_and_arguments(root, entrypoint, cmd, written):
    found = lines(oci.translate({"config": {"Entrypoint": entrypoint, "Cmd": cmd}}, str(root)))
    assert ("lxc.init.cmd", written) in found
    assert ("lxc.execute.cmd", written) in found


def test_environment_of_an_image_has_a_path_and_nothing_of_the_callers(root):
    found = lines(oci.translate({"config": {"Env": ["A=b c", "HOME"]}, "architecture": "386"}, str(root)))
    assert [value for key, value in found if key == "lxc.environment"] == [oci._PATH, "A=b c"]
    assert ("lxc.arch", "i386") in found
    found = lines(oci.translate({"config": {"Env": ["PATH=/x"]}, "architecture": "abacus"}, str(root)))
    assert [value for key, value in found if key == "lxc.environment"] == ["PATH=/x"]
    assert "lxc.arch" not in dict(found)


@pytest.mark.parametrize(
    ("word", "signal"),
    [(None, "SIGTERM"), ("SIGQUIT", "SIGQUIT"), ("INT", "SIGINT"), ("9", "9"), ("SIGNOTHING", "SIGTERM"),
     ("RTMIN+3", "SIGRTMIN+3")],
)  # fmt: skip
def test_stop_signal_of_an_image_is_what_halts(root, word, signal):
    assert ("lxc.signal.halt", signal) in lines(oci.translate({"config": {"StopSignal": word}}, str(root)))


def test_working_folder_of_an_image_is_made_inside(root):
    outside = root.parent / "outside"
    outside.mkdir()
    (root / "srv").symlink_to(outside)
    (root / str(outside)[1:]).mkdir(parents=True)  # where the link leads, inside
    oci.translate({"config": {"WorkingDir": "/srv/a/b"}}, str(root))
    assert list(outside.iterdir()) == []
    assert (root / str(outside)[1:] / "a" / "b").is_dir()


def archive(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name in names:
            file.addfile(tarfile.TarInfo(name), io.BytesIO())
    return path


def test_image_is_known_by_what_is_in_it(tmp_path):
    layout = tmp_path / "layout"
    layout.mkdir()
    with pytest.raises(MinilxcError, match="is a folder, but no OCI layout"):
        oci.source(str(layout))
    (layout / "oci-layout").touch()
    assert oci.source(str(layout)) == f"oci:{layout}"
    for names, kind in (
        (["index.json", "./oci-layout"], "oci-archive"),
        (["x.tar", "manifest.json"], "docker-archive"),
    ):
        path = archive(tmp_path / "image.tar", *names)
        assert oci.source(str(path)) == f"{kind}:{path}"
    with pytest.raises(MinilxcError, match="an archive, but not of an image"):
        oci.source(str(archive(tmp_path / "other.tar", "x")))
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(MinilxcError, match="not an archive"):
        oci.source(str(tmp_path / "text"))
    assert oci.source("docker-archive:/a/b:c") == "docker-archive:/a/b:c"
    with pytest.raises(MinilxcError, match="no such image"):
        oci.source("/nowhere")


@pytest.mark.parametrize(
    ("template", "what"),
    [
        (
            debian.Debian(),
            "neither mmdebstrap nor debootstrap is installed (Debian's packages are called so)",
        ),
        (busybox.Busybox(), "busybox is not installed (Debian's package busybox-static has one)"),
        (oci.Oci("oci:x"), "skopeo is not installed (Debian's package is called skopeo)"),
    ],
)
def test_tool_that_is_missing_is_told_with_its_package(template, what, monkeypatch):
    monkeypatch.setattr(tools, "find", lambda name: None)
    with pytest.raises(MinilxcError) as caught:
        template.prepare()
    assert str(caught.value) == what


@pytest.mark.parametrize(
    "words",
    [
        {"release": "--help"},
        {"arch": "a b"},
        {"packages": "vim,-x"},
        {"variant": "$(x)"},
        {"mirror": "--x"},
        {"release": "a\nb"},
    ],
)
def test_word_that_a_bootstrapper_might_take_for_an_option_is_refused(words):
    with pytest.raises(UsageError):
        debian.Debian(**words)


def test_release_is_the_hosts_only_where_that_is_debians(monkeypatch, tmp_path):
    release = tmp_path / "os-release"
    real = open
    monkeypatch.setattr(
        "builtins.open", lambda path, *a, **k: real(release if "os-release" in str(path) else path, *a, **k)
    )
    for text, wanted in (
        ("ID=debian\nVERSION_CODENAME=trixie\n", "trixie"),
        ("ID=ubuntu\nVERSION_CODENAME=jammy\n", "stable"),
        ('ID="debian"\n', "stable"),
    ):
        release.write_text(text)
        assert debian._own_release() == wanted
    release.unlink()
    assert debian._own_release() == "stable"


def test_busybox_must_be_static():
    assert busybox.is_static("/bin/busybox")
    assert not busybox.is_static(os.path.realpath("/bin/sh"))
    assert not busybox.is_static("/etc/passwd")
    with pytest.raises(MinilxcError, match="has no shell and no init"):
        busybox.Busybox("/sbin/ldconfig").prepare()
