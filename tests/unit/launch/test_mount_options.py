"""The words of a mount entry: which flag, which option, and which none."""

from __future__ import annotations

import pytest

from minilxc.config.values import MountEntry
from minilxc.errors import ConfigError
from minilxc.launch import mounts
from minilxc.linux import mount as kernel

FLAGS = {
    "ro": kernel.MOUNT_ATTR_RDONLY,
    "nosuid": kernel.MOUNT_ATTR_NOSUID,
    "nodev": kernel.MOUNT_ATTR_NODEV,
    "noexec": kernel.MOUNT_ATTR_NOEXEC,
    "noatime": kernel.MOUNT_ATTR_NOATIME,
    "nodiratime": kernel.MOUNT_ATTR_NODIRATIME,
    "strictatime": kernel.MOUNT_ATTR_STRICTATIME,
}


def read(words, *, entry=True):
    return mounts.read_options(words.split(","), "c:1", entry=entry)


def test_kernel_constants_are_those_of_linux_mount_h():
    """mount_setattr(2)."""
    assert FLAGS == {
        "ro": 1,
        "nosuid": 2,
        "nodev": 4,
        "noexec": 8,
        "noatime": 0x10,
        "nodiratime": 0x80,
        "strictatime": 0x20,
    }
    assert (kernel.MS_UNBINDABLE, kernel.MS_PRIVATE, kernel.MS_SLAVE, kernel.MS_SHARED) == (
        1 << 17,
        1 << 18,
        1 << 19,
        1 << 20,
    )


@pytest.mark.parametrize(("word", "flag"), FLAGS.items())
def test_flag_word_sets_its_flag_and_no_other(word, flag):
    assert read(word).attr_set == flag


@pytest.mark.parametrize(
    "words",
    [
        "ro,rw",
        "nosuid,suid",
        "nodev,dev",
        "noexec,exec",
        "noatime,atime",
        "noatime,relatime",
        "strictatime,nostrictatime",
        "nodiratime,diratime",
    ],
)
def test_opposite_word_takes_an_earlier_one_back(words):
    assert read(words).attr_set == 0


def test_last_of_two_access_time_words_counts():
    assert read("noatime,strictatime").attr_set == kernel.MOUNT_ATTR_STRICTATIME
    assert read("strictatime,noatime").attr_set == kernel.MOUNT_ATTR_NOATIME


def test_access_time_word_clears_the_whole_field_first():
    """The kernel answers EINVAL when MOUNT_ATTR__ATIME is set without being cleared (mount_setattr(2))."""
    assert read("noatime").attr_clr & kernel.MOUNT_ATTR_ATIME == kernel.MOUNT_ATTR_ATIME


@pytest.mark.parametrize(
    ("word", "propagation", "recursive"),
    [
        ("private", kernel.MS_PRIVATE, False),
        ("rprivate", kernel.MS_PRIVATE, True),
        ("shared", kernel.MS_SHARED, False),
        ("rslave", kernel.MS_SLAVE, True),
        ("unbindable", kernel.MS_UNBINDABLE, False),
        ("runbindable", kernel.MS_UNBINDABLE, True),
    ],
)
def test_propagation_words(word, propagation, recursive):
    flags = read(word)
    assert (flags.propagation, flags.propagation_recursive) == (propagation, recursive)


@pytest.mark.parametrize("word", ["defaults", "async", "nomand", ""])
def test_word_for_what_is_usual_changes_nothing(word):
    flags = read(word)
    assert (flags.attr_set, flags.attr_clr, flags.propagation, flags.options) == (0, 0, 0, ())


@pytest.mark.parametrize(
    "word", ["size=5m", "mode=755", "lowerdir=/a:/b", "a=", "sync", "dirsync", "lazytime", "mand"]
)
def test_option_goes_to_the_file_system(word):
    assert read(word).options == (word,)


def test_words_of_lxc():
    flags = read("create=dir,optional,relative,bind")
    assert (flags.create, flags.optional, flags.relative, flags.bind, flags.recursive) == (
        "dir",
        True,
        True,
        True,
        False,
    )
    assert read("rbind").recursive
    assert read("create=file").create == "file"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bogus", "c:1: mount option 'bogus' is unknown"),
        ("optionalx", "c:1: mount option 'optionalx' is unknown"),
        ("RO", "c:1: mount option 'RO' is unknown"),
        ("=x", "c:1: mount option '=x' is unknown"),
        ("create=socket", "c:1: mount option 'create=socket' is unknown (create=dir or create=file)"),
        ("create=", "c:1: mount option 'create=' is unknown (create=dir or create=file)"),
        ("idmap=", "c:1: mount option 'idmap=' names no map (container, or a path)"),
        ("rr", "c:1: mount option 'rr' is unknown"),
    ],
)
def test_unknown_word_is_refused(word, message):
    """LXC 5.0.2 takes any (lxc-keys.md 4.5)."""
    with pytest.raises(ConfigError) as caught:
        read(word)
    assert str(caught.value) == message


@pytest.mark.parametrize("word", ["optional", "relative", "create=dir"])
def test_words_of_an_entry_are_none_of_a_root_file_system(word):
    with pytest.raises(ConfigError):
        read(word, entry=False)


def entry(source, target, fstype, options):
    return mounts.from_entry(MountEntry(source, target, fstype, tuple(options.split(","))), "c:1", ("/root",))


def test_bind_has_no_file_system_and_no_options():
    mount = entry("/a", "b", "none", "bind,ro")
    assert (mount.fstype, mount.source, mount.target, mount.attr_set) == (
        None,
        "/a",
        "b",
        kernel.MOUNT_ATTR_RDONLY,
    )
    with pytest.raises(ConfigError) as caught:
        entry("/a", "b", "none", "bind,size=5")
    assert str(caught.value) == "c:1: a bind mount takes no option 'size=5'"


def test_type_none_without_bind_is_refused():
    with pytest.raises(ConfigError) as caught:
        entry("/a", "b", "none", "ro")
    assert str(caught.value) == "c:1: file system type 'none' without 'bind' in the options"


def test_file_system_keeps_its_sources_name():
    mount = entry("mine", "b", "tmpfs", "size=5")
    assert (mount.fstype, mount.options) == ("tmpfs", ("source=mine", "size=5"))


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("a/b", "a/b"),
        ("/root/a", "a"),
        ("/root", ""),
        ("/root/", ""),
        ("/rootless/a", None),
        ("/", None),
        ("/other", None),
    ],
)
def test_absolute_target_must_lie_below_the_root_file_system(target, wanted):
    mount = entry("x", target, "tmpfs", "defaults")
    assert (mount.target if mount else None) == wanted


# --- targets that are made


@pytest.fixture
def root(tmp_path):
    import os

    (tmp_path / "root").mkdir()
    descriptor = os.open(tmp_path / "root", os.O_PATH)
    yield descriptor, tmp_path
    os.close(descriptor)


@pytest.mark.parametrize("link", ["/outside", "../outside", "../../../../../../outside", "{}/outside"])
@pytest.mark.parametrize("create", ["dir", "file"])
def test_made_target_stays_below_the_root(root, link, create):
    """RESOLVE_IN_ROOT: an absolute link, and `..` at the root, are the container's own (openat2(2))."""
    import os

    descriptor, folder = root
    (folder / "outside").mkdir()
    (folder / "root" / "link").symlink_to(link.format(folder))
    try:
        os.close(mounts.open_target(descriptor, "link/a/b", create))
    except OSError:
        pass
    assert list((folder / "outside").iterdir()) == []


def test_dangling_link_is_not_followed_to_make_a_file(root):
    import os

    descriptor, folder = root
    (folder / "root" / "link").symlink_to(f"{folder}/made")
    with pytest.raises(OSError):  # noqa: PT011  which one is the kernel's to say
        os.close(mounts.open_target(descriptor, "link", "file"))
    assert not (folder / "made").exists()
    assert os.listdir(folder / "root") == ["link"]


def test_link_is_refused_where_it_must_not_be_followed(root):
    import errno

    descriptor, folder = root
    (folder / "root" / "real").mkdir()
    (folder / "root" / "link").symlink_to("real")
    with pytest.raises(OSError) as caught:  # noqa: PT011
        mounts.open_target(descriptor, "link", "", follow=False)
    assert caught.value.errno == errno.ELOOP


def test_existing_target_is_left_as_it_is(root):
    import os

    descriptor, folder = root
    (folder / "root" / "file").write_text("kept")
    os.close(mounts.open_target(descriptor, "file", "file"))
    os.close(mounts.open_target(descriptor, "file", "dir"))
    assert (folder / "root" / "file").read_text() == "kept"
