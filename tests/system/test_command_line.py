"""The command line of what starts containers: errors, statuses, the log, and --dry-run."""

from __future__ import annotations

import os
import re
import signal
import subprocess

import pytest

from tests.helpers.container import MINILXC, Result

BOTH = pytest.mark.parametrize("verb", ["execute", "start"])
POLICY = "2\ndenylist\nmkdir errno ECONNREFUSED\n[arm]\nmkdir kill\n"


def minilxc(*words, **more):
    ran = subprocess.run(
        [MINILXC, *words],
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        stdin=subprocess.DEVNULL,
        **more,
    )
    return Result(ran.returncode, ran.stdout, ran.stderr)


@BOTH
@pytest.mark.parametrize("program", ["nowhere", "/bin/nowhere"])
def test_missing_program_gives_127(container, verb, program):
    """As shells, env(1) and chroot(1)."""
    box = container()
    result = box.run(program, verb=verb)
    step = "execve" if "/" in program else "program"
    line = f"minilxc: {box.name}: {step}: {program}: No such file or directory\n"
    assert result == (127, "", line)


@BOTH
@pytest.mark.parametrize("program", ["plain", "/bin/plain"])
def test_program_that_is_not_executable_gives_126(container, verb, program):
    box = container()
    (box.root / "bin" / "plain").write_text("x")
    step = "execve" if "/" in program else "program"
    line = f"minilxc: {box.name}: {step}: {program}: Permission denied\n"
    assert box.run(program, verb=verb) == (126, "", line)


def test_program_that_only_root_may_execute_is_told_to_another_user(container):
    box = container("lxc.init.uid = 1000", "lxc.init.gid = 1000")
    (box.root / "bin" / "tool").write_text("#!/bin/sh\n")
    (box.root / "bin" / "tool").chmod(0o700)
    assert box.run("tool").err == f"minilxc: {box.name}: program: tool: Permission denied\n"
    assert box.run("/bin/tool").err == f"minilxc: {box.name}: execve: /bin/tool: Permission denied\n"


def test_programs_config_key_is_named_when_it_is_missing(container):
    box = container("lxc.init.cmd = /bin/nowhere")
    line = f"minilxc: {box.name}: execve: /bin/nowhere: No such file or directory (from lxc.init.cmd)\n"
    assert box.run(verb="start") == (127, "", line)


def test_execute_without_a_command_is_a_wrong_command_line(container):
    """lxc-execute crashes (lxc-keys.md 3)."""
    box = container()
    line = f"minilxc: {box.file}: there is no command to execute (-- COMMAND, or lxc.execute.cmd)\n"
    assert box.run() == (2, "", line)


@BOTH
def test_config_error_gives_1_and_its_line(container, verb):
    box = container("lxc.autodef = 1")
    where = box.line_of("lxc.autodef = 1")
    result = box.run("true", verb=verb)
    assert (result.status, result.out) == (1, "")
    assert re.fullmatch(
        f"minilxc: {re.escape(where)}: .*'?lxc.autodef'?.*\\(did you mean 'lxc.autodev'\\?\\)\n", result.err
    )


@BOTH
def test_definition_on_the_command_line_is_on_top_of_the_config(container, verb):
    box = container("lxc.uts.name = one")
    options = ("-s", "lxc.uts.name=two", "-s", "lxc.environment=A=b=c")
    assert box.read("sh", "-c", "hostname; echo $A", verb=verb, options=options) == "two\nb=c\n"


@pytest.mark.parametrize("define", ["lxc.uts.name", "uts.name=x", "=x", "lxc.nothing=1", "lxc.autodev=yes"])
def test_wrong_definition_is_refused_and_named(container, define):
    box = container()
    result = box.run("true", options=("-s", define))
    assert (result.status in (1, 2), result.out, result.err.count("\n")) == (True, "", 1)
    assert f"-s {define}" in result.err or f"'{define}'" in result.err


def test_config_is_found_in_the_containers_folder(container):
    box = container()
    (box.folder / "place" / box.name).mkdir(parents=True)
    os.link(box.file, box.folder / "place" / box.name / "config")
    result = minilxc("execute", "-n", box.name, "-P", str(box.folder / "place"), "--", "echo", "found")
    assert result == (0, "found\n", "")


def test_missing_config_names_the_places(tmp_path):
    assert minilxc("execute", "-n", "c1", "-P", str(tmp_path), "--", "true") == (
        1,
        "",
        f"minilxc: c1: there is no config (-f FILE, or {tmp_path}/c1/config)\n",
    )
    assert minilxc("execute", "-n", "c1", "-f", f"{tmp_path}/nowhere", "--", "true").status == 1


@BOTH
def test_control_characters_of_the_users_text_never_reach_the_terminal(container, verb):
    """CWE-150: a name or a path must not move the cursor of who reads the error."""
    box = container("lxc.init.cwd = /a\x1b[31mb\x07")
    err = box.run("true", verb=verb).err
    assert "\\x1b[31mb\\x07" in err
    assert err.removesuffix("\n").isprintable()
    err = container().run("/x\x1b[2J\ny\udcff", verb=verb).err
    assert err.removesuffix("\n").isprintable()
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["execute -n x -f", "checkconfig -f", "seccomp check"])
def test_interrupt_before_anything_is_there_says_nothing(container, command):
    pipe = container().folder / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen([MINILXC, *command.split(), str(pipe)], stderr=subprocess.PIPE)
    with open(pipe, "w"):  # minilxc has opened it and waits for what it says
        process.send_signal(signal.SIGINT)
        assert process.communicate()[1] == b""
    assert process.returncode == -signal.SIGINT


# --- the log


def test_log_at_debug_has_the_plan_and_at_info_has_not(container):
    box = container("lxc.uts.name = named", policy=POLICY + f"# {os.urandom(8).hex()}\n")
    log = box.folder / "log"
    box.may_make.add(str(log))
    assert box.run("true", options=("-o", str(log), "-l", "INFO")) == (0, "", "")
    info = log.read_text()
    log.unlink()
    box.policy_file.write_text(POLICY + f"# {os.urandom(8).hex()}\n")
    assert box.run("true", options=("-o", str(log), "-l", "DEBUG")) == (0, "", "")
    debug = log.read_text()
    plan = box.read("true", options=("--dry-run",)).splitlines()
    for line in plan:
        subject, text = line[:12].strip(), line[13:]
        assert f" {subject} - {text}\n" in debug
    assert " DEBUG " not in info
    assert str(box.policy_file) not in info  # a policy line is DEBUG (design 5, style)
    assert "skipped" in debug or "[arm]" in debug  # what the policy's lines mean is told there


def test_log_line_has_name_time_level_and_subject(container):
    box = container()
    log = box.folder / "deep" / "log"
    box.may_make |= {str(log), str(log.parent)}
    box.run("true", options=("-o", str(log), "-l", "1"))
    for line in log.read_text().splitlines():
        assert re.fullmatch(rf"minilxc {box.name} \d{{14}}\.\d{{3}} [A-Z]+ +[^-]+ - .*", line)


def test_log_to_a_pipe_that_nobody_reads_is_refused(container):
    box = container()
    pipe = box.folder / "pipe"
    os.mkfifo(pipe)
    line = f"minilxc: {pipe}: No such device or address (-o FILE or lxc.log.file)\n"
    assert box.run("true", options=("-o", str(pipe))) == (1, "", line)


def test_error_is_in_the_log_too(container):
    box = container("lxc.init.cwd = /nowhere")
    log = box.folder / "log"
    box.may_make.add(str(log))
    err = box.run("true", options=("-o", str(log))).err
    assert log.read_text().partition(" - ")[2] == err.removeprefix("minilxc: ")
    assert " ERROR " in log.read_text()


def test_log_of_the_config_is_written(container):
    box = container(base=False)
    log = box.folder / "log"
    box.may_make.add(str(log))
    box.configure(f"lxc.log.file = {log}", "lxc.log.level = debug")
    box.read("true")
    assert " DEBUG " in log.read_text()


def test_unknown_log_level_is_a_wrong_command_line(container):
    result = container().run("true", options=("-l", "LOUD"))
    levels = "TRACE, DEBUG, INFO, NOTICE, WARN, ERROR, CRIT, ALERT, FATAL"
    assert result == (2, "", f"minilxc: unknown log level 'LOUD' ({levels})\n")


def test_log_that_cannot_be_written_is_told(container):
    result = container().run("true", options=("-o", "/proc/nowhere/log"))
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert "/proc/nowhere" in result.err


@BOTH
def test_quiet_keeps_errors_off_the_terminal_but_not_the_payloads_output(container, verb):
    box = container()
    assert box.run("/nowhere", verb=verb, options=("-q",)) == (127, "", "")
    assert box.run("sh", "-c", "echo out; echo err >&2; exit 3", verb=verb, options=("-q",)) == (
        3,
        "out\n",
        "err\n",
    )


# --- --dry-run


@BOTH
def test_dry_run_tells_the_plan_and_changes_nothing(container, verb):
    """(The inventory, and the look at the container's files, are the second half of this test.)"""
    box = container(
        "lxc.uts.name = named",
        "lxc.mount.entry = none a/b tmpfs create=dir,size=1m",
        "lxc.prlimit.nofile = 5:6",
        policy=POLICY,
    )
    plan = box.read("echo", "not run", verb=verb, options=("--dry-run",))
    assert "not run\n" not in plan.replace("echo 'not run'", "").replace("program      ", "")
    for line in ("host name    named", "limit        ", "seccomp      ", "program      echo 'not run'"):
        assert any(shown.startswith(line) for shown in plan.splitlines()), line
    assert "tmpfs on /a/b" in plan


def test_dry_run_finds_the_errors_that_a_start_finds(container):
    box = container(policy="2\ndenylist\nmkmod\n")
    assert box.run("true", options=("--dry-run",)) == box.run("true")


# --- who may start


def test_ordinary_user_is_told_what_the_config_lacks(container):
    box = container()
    result = box.run("true", wrap=("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"))
    why = "a container of an ordinary user needs an id map"
    hint = "(add lxc.idmap = u 0 1000 1 and lxc.idmap = g 0 1000 1)"
    assert result == (1, "", f"minilxc: {box.file}: {why} {hint}\n")


def test_root_without_the_powers_is_told_what_failed(container):
    box = container()
    result = box.run("true", wrap=("setpriv", "--bounding-set=-sys_admin"))
    assert result == (1, "", f"minilxc: {box.name}: clone: clone3: Operation not permitted\n")


def test_hostile_folder_of_the_caller_is_not_trusted(container):
    """`-I`: no ctypes.py of the current folder or of PYTHONPATH in a program that runs as root (design 7)."""
    box = container()
    for module in ("ctypes", "_ctypes", "select", "fcntl", "minilxc", "stat"):
        (box.folder / f"{module}.py").write_text("raise SystemExit('hostile code ran')\n")
    environment = {
        "PYTHONPATH": str(box.folder),
        "PYTHONHOME": str(box.folder),
        "PATH": "/bin",
        "PYTHONSTARTUP": "x.py",
    }
    assert box.run("true", env=environment) == (0, "", "")


def test_callers_environment_may_be_empty(container):
    assert container().run("echo", "ok", env={}) == (0, "ok\n", "")


def test_deleted_working_directory_of_the_caller_is_no_hindrance(container):
    box = container()
    place = box.folder / "gone"
    place.mkdir()
    box.remember_files()
    box.may_make.add(str(place))
    result = box.run("echo", "ok", cwd=place, preexec_fn=place.rmdir)
    assert (result.status, result.out) == (0, "ok\n")  # the shell that finds the interpreter may grumble


# --- checkconfig


def test_good_config_is_called_good(container):
    box = container("lxc.uts.name = named", policy=POLICY)
    result = minilxc("checkconfig", "-f", str(box.file))
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines()[-1] == "good"


def test_every_error_of_a_config_is_told_with_its_line(container):
    lines = ("lxc.autodev = maybe", "lxc.nothing = 1", "lxc.cap.drop = fly")
    box = container(*lines)
    result = minilxc("checkconfig", "-f", str(box.file))
    assert result.status == 1
    for line in lines:
        assert f"{box.line_of(line)}: " in result.out + result.err


def test_errors_of_the_policy_are_told_with_their_line(container):
    box = container(policy="2\ndenylist\nmkmod errno 1\n")
    result = minilxc("checkconfig", "-f", str(box.file))
    assert result.status == 1
    assert f"{box.policy_file}:3: mkmod: " in result.out + result.err


def test_policy_is_judged_beside_a_wrong_config(container):
    box = container("lxc.autodev = maybe", "lxc.nothing = 1", policy="2\ndenylist\nmkmod errno 1\nopne\n")
    result = minilxc("checkconfig", "-f", str(box.file))
    assert result.status == 1
    told = result.err.splitlines()
    for start in (box.line_of("lxc.autodev = maybe"), f"{box.policy_file}:3", f"{box.policy_file}:4"):
        assert [line for line in told if line.startswith(f"minilxc: {start}: ")], told


def test_policy_is_judged_beside_a_plan_that_cannot_be(container):
    box = container(
        "lxc.init.cwd = relative", "lxc.namespace.keep = mnt", policy="2\ndenylist\nmkmod errno 1\n"
    )
    told = minilxc("checkconfig", "-f", str(box.file)).err
    assert "mount namespace" in told
    assert f"{box.policy_file}:3: mkmod: " in told


def test_file_system_that_the_kernel_lacks_is_told(container):
    line = "lxc.mount.entry = none a nosuchfs create=dir"
    box = container(line, "lxc.mount.entry = none a otherfs create=dir,optional")
    result = minilxc("checkconfig", "-f", str(box.file))
    assert result.status == 1
    assert result.err == f"minilxc: {box.line_of(line)}: this kernel lacks the file system 'nosuchfs'\n"
    assert "good" not in result.out.splitlines()


def test_check_of_a_config_starts_nothing(container):
    box = container("lxc.mount.entry = none a/b tmpfs create=dir", policy=POLICY)
    box.remember_files()
    assert minilxc("checkconfig", "-f", str(box.file)).status == 0
