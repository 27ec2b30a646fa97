"""The pieces that create, destroy and copy are made of, where they need no privilege."""

from __future__ import annotations

import os
import signal

import pytest

from minilxc.errors import MinilxcError
from minilxc.linux.rename import exchange, rename_to_free
from minilxc.log import Log
from minilxc.store import folder, inside, interrupts
from minilxc.store.report import Report
from minilxc.store.tools import Tools
from tests.helpers import machine


@pytest.fixture
def run(tmp_path):
    """run(SHELL TEXT): have it run as a tool, and what comes of it."""

    def act(text, **more):
        with interrupts.kept() as signals:
            Tools("c1", signals, Report("c1", quiet=True), str(tmp_path)).run(["/bin/sh", "-c", text], **more)

    return act


def test_tool_has_a_folder_of_its_own_and_no_input(run, tmp_path):
    run(f'test "$TMPDIR" = {tmp_path} && ! read x && test "$LC_ALL" = C.UTF-8')
    run("exec ls /proc/self/fd", into=str(tmp_path / "descriptors"))
    assert (tmp_path / "descriptors").read_text() == "0\n1\n2\n3\n"  # the last is of the listing itself
    run("echo answer; echo no >&2", into=str(tmp_path / "answer"))
    assert (tmp_path / "answer").read_text() == "answer\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("exit 3", "ended with status 3"),
        ("kill -9 $$", "was killed by signal 9"),
        ("printf 'one\\rtwo\\n\\n'; exit 1", "ended with status 1: two"),
        ("printf '\\033[31mred\\033[0m'; exit 1", "ended with status 1: red"),
        ("echo 'E: first'; echo 'E: second'; exit 1", "ended with status 1: first"),
        (
            r"""echo 'time="x" level=fatal msg="no \"such\" thing"'; exit 1""",
            'ended with status 1: no "such" thing',
        ),
    ],
)
def test_tool_that_fails_is_told_in_its_own_words(run, text, why):
    with pytest.raises(MinilxcError) as caught:
        run(text)
    assert str(caught.value) == f"c1: sh {why} (-v shows all that it says)"


def test_tool_that_cannot_be_executed_is_told():
    with (
        interrupts.kept() as signals,
        pytest.raises(MinilxcError, match=r"ended with status 127: .*No such file"),
    ):
        Tools("c1", signals, Report("c1", quiet=True)).run(["/nowhere/tool"])


def test_signal_ends_a_tool_and_what_it_has_started(run, tmp_path):
    with pytest.raises(interrupts.Interrupted) as caught:
        run(f"sleep 1000 & echo $! >{tmp_path}/pid; kill -TERM {os.getpid()}; wait")
    assert caught.value.status == 128 + signal.SIGTERM
    pid = int((tmp_path / "pid").read_text())
    machine.wait_for(
        lambda: not machine.describe(pid).startswith(f"{pid} sleep"), "the other one has ended, too"
    )


def test_signals_are_kept_and_those_that_are_ignored_stay_so():
    before = signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.kept() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            interrupts.check(signals, "c1")
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(interrupts.Interrupted, match="c1: interrupted by signal 15"):
                interrupts.check(signals, "c1")
            os.kill(os.getpid(), signal.SIGTERM)  # too late: taken off at the end
    finally:
        signal.signal(signal.SIGHUP, before)


def test_rename_takes_no_place_and_exchange_loses_nothing(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    with pytest.raises(FileExistsError):
        rename_to_free(f"{tmp_path}/a", f"{tmp_path}/b")
    exchange(f"{tmp_path}/a", f"{tmp_path}/b")
    assert os.listdir(tmp_path / "a") == ["b"]
    rename_to_free(f"{tmp_path}/a", f"{tmp_path}/c")
    assert sorted(os.listdir(tmp_path)) == ["b", "c"]


def test_path_that_was_made_goes_again_unless_somebody_uses_it(tmp_path):
    path = str(tmp_path / "a" / "b")
    with pytest.raises(LookupError), folder.making(path):
        raise LookupError
    assert os.listdir(tmp_path) == []
    with pytest.raises(LookupError), folder.making(path), folder.making(path):
        raise LookupError
    with folder.making(path), pytest.raises(LookupError), folder.making(path):
        raise LookupError
    assert os.path.isdir(path)


def test_staging_is_gone_unless_it_is_committed(tmp_path):
    with folder.staging(str(tmp_path), "c1", Log()) as staging:
        (tmp_path / os.path.basename(staging.path) / "file").touch()
        folder.sweep(str(tmp_path), "c1", Log())  # not this one: it is held
        assert os.path.exists(staging.take("file"))
    assert os.listdir(tmp_path) == []
    with folder.staging(str(tmp_path), "c1", Log()) as staging:
        staging.commit(f"{tmp_path}/c1")
    assert os.listdir(tmp_path) == ["c1"]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    return tmp_path / "root"


def test_links_of_a_root_file_system_do_not_lead_out_of_it(root, tmp_path):
    (root / "etc" / "hostname").symlink_to(tmp_path / "outside" / "secret")
    (root / "up").symlink_to("../../outside")
    (root / "magic").symlink_to("/proc/self/root")
    assert inside.read(root, "etc/hostname") is None
    assert inside.read(root, "up/secret") is None
    assert not inside.exists(root, "magic/etc/passwd")
    inside.write(root, "etc/hostname", "c1\n")
    assert (root / "etc" / "hostname").read_text() == "c1\n"
    assert not (root / "etc" / "hostname").is_symlink()
    with pytest.raises(FileNotFoundError):
        inside.write(root, "up/secret", "x")
    assert (tmp_path / "outside" / "secret").read_text() == "secret"


def test_file_that_would_be_waited_for_is_not_read(root):
    os.mkfifo(root / "etc" / "passwd")
    assert inside.read(root, "etc/passwd") is None
    assert inside.read(root, "etc") is None
