"""The compiled programs that starts share: what is not ours, or not whole, is made anew and never used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CACHE = Path("/run/minilxc/seccomp")
POLICY = "2\ndenylist\nmkdir errno ECONNREFUSED\n"


def entry_of(box) -> Path:
    """The entry that the first start of this box's policy has made."""
    before = set(CACHE.iterdir()) if CACHE.exists() else set()
    assert box.calls("mkdir", "/nowhere/x", "0755") == ["ECONNREFUSED"]
    (new,) = set(CACHE.iterdir()) - before
    return new


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: os.chown(entry, 12345, 12345),
        lambda entry: entry.chmod(0o622),
        lambda entry: entry.write_bytes(entry.read_bytes()[:-8]),
        lambda entry: entry.write_bytes(entry.read_bytes()[:-1] + b"\x7f"),
        lambda entry: entry.write_bytes(b""),
    ],
    ids=["somebody else's", "writable for all", "cut", "changed", "empty"],
)
def test_spoilt_entry_is_not_used_and_made_anew(container, spoil):
    box = container(policy=POLICY)
    entry = entry_of(box)
    whole = entry.read_bytes()
    spoil(entry)
    assert box.calls("mkdir", "/nowhere/x", "0755") == ["ECONNREFUSED"]
    assert entry.read_bytes() == whole
    assert (entry.stat().st_uid, entry.stat().st_mode & 0o777) == (0, 0o600)


def test_changed_policy_is_noticed(container):
    box = container(policy=POLICY)
    entry_of(box)
    policy = next(path for path in box.folder.iterdir() if path.is_file() and path.read_text() == POLICY)
    policy.write_text(POLICY.replace("ECONNREFUSED", "ECONNRESET"))
    assert box.calls("mkdir", "/nowhere/x", "0755") == ["ECONNRESET"]
