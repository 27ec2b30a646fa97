"""What parent and child say to each other: whole messages, in order, to the last one."""

from __future__ import annotations

import os

import pytest

from minilxc.launch import channel


@pytest.fixture
def ends():
    ours, theirs = channel.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_message_arrives_whole_with_its_descriptors(ends):
    ours, theirs = ends
    reading, writing = os.pipe()
    theirs.send(channel.TERMINALS, "console é \udcff", (reading, writing))
    kind, text, descriptors = ours.receive()
    assert (kind, text, len(descriptors)) == (channel.TERMINALS, "console é \udcff", 2)
    os.write(descriptors[1], b"through")
    assert os.read(reading, 100) == b"through"
    assert not any(os.get_inheritable(descriptor) for descriptor in descriptors)
    for descriptor in (reading, writing, *descriptors):
        os.close(descriptor)


def test_messages_do_not_run_together(ends):
    ours, theirs = ends
    theirs.send(channel.ASK)
    theirs.send(channel.FAILED, "a\0b")
    assert ours.receive() == (channel.ASK, "", ())
    assert ours.receive() == (channel.FAILED, "a\0b", ())


def test_end_of_the_other_side_is_no_message(ends):
    ours, theirs = ends
    theirs.close()
    assert ours.receive() == (b"", "", ())


def test_failure_is_heard_even_when_the_child_ended_without_reading(ends):
    """unix(7): closing with unread data resets the peer; what the child said last must not be lost with that."""
    ours, theirs = ends
    ours.send(channel.GO)
    theirs.send(channel.FAILED, "step\x000\0thing\0reason")
    theirs.close()
    assert ours.receive() == (channel.FAILED, "step\x000\0thing\0reason", ())
    assert ours.receive() == (b"", "", ())


def test_failure_is_a_value_of_step_number_thing_and_reason(ends):
    """In a process of its own, because it leaves by _exit."""
    ours, theirs = ends
    pid = os.fork()
    if pid == 0:
        channel.fail(theirs, "mounts", FileNotFoundError(2, "No such file or directory", "/a\nb"))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert ours.receive() == (channel.FAILED, "mounts\x002\0/a\nb\0No such file or directory", ())


def test_longest_message_is_cut_and_not_refused(ends):
    ours, theirs = ends
    theirs.send(channel.FAILED, "x" * 100_000)
    kind, text, _ = ours.receive()
    assert kind == channel.FAILED
    assert 1000 < len(text) < 100_000


def test_page_is_shared_with_children():
    page = channel.Page()
    assert (page.step, page.execve_errno) == (0, 0)
    pid = os.fork()
    if pid == 0:
        page.step, page.execve_errno = -1, 13
        os._exit(0)
    os.waitpid(pid, 0)
    assert (page.step, page.execve_errno) == (-1, 13)
