"""Hooks: which run when and where, what they are told, and what becomes of a start when one fails."""

from __future__ import annotations

import os
import re
import signal

import pytest

from tests.helpers import machine
from tests.system import test_failures as failures

BOTH = pytest.mark.parametrize("verb", ["execute", "start"])
MAPPED = ("lxc.idmap = u 0 200000 65536", "lxc.idmap = g 0 300000 65536")
ORDER = ("pre-start", "pre-mount", "mount", "autodev", "start", "start-host", "stop", "post-stop")
STARTS = ORDER[:6]
POLICY = "2\ndenylist\nmkdir errno ECONNREFUSED\n"


class Hooks:
    """Hooks of a box that append to a file: those on the host to `log`, those inside to `inside`."""

    def __init__(self, box, lines, policy) -> None:
        self.box = box
        self.usual = lines
        self.policy = policy
        self.log = box.folder / "hooklog"
        self.log.touch()
        self.log.chmod(0o666)
        self.inside = box.root / "hooklog"
        self.inside.touch()
        self.inside.chmod(0o666)

    def script(self, kind: str, text: str) -> str:
        """The config line of a hook with this shell text; `$log` is the file."""
        folder = self.box.root if kind == "start" else self.box.folder
        number = len(list(folder.glob("hook-*")))
        path = folder / f"hook-{number}"
        log = "/hooklog" if kind == "start" else self.log
        path.write_text(f"#!/bin/sh\nlog={log}\n{text}\n")
        path.chmod(0o755)
        return f"lxc.hook.{kind} = {f'/{path.name}' if kind == 'start' else path}"

    def lines(self) -> list[str]:
        """What the hooks on the host wrote."""
        return self.log.read_text().splitlines()

    def lines_inside(self) -> list[str]:
        """What the start hooks wrote."""
        return self.inside.read_text().splitlines()


@pytest.fixture
def hooks(container):
    """hooks(LINE..., policy=TEXT): a container with these lines, to be given hooks."""

    def make(*lines, policy=None):
        return Hooks(container(), lines, policy)

    return make


def configure(made, *lines):
    made.box.configure(*made.usual, *lines, policy=made.policy)
    return made.box


# Order, arguments, environment


@BOTH
def test_each_kind_runs_in_its_place_with_name_section_and_kind(hooks, verb):
    made = hooks()
    box = configure(made, *(made.script(kind, 'echo "$1 $2 $3 $#" >> $log') for kind in reversed(ORDER)))
    assert box.run("sh", "-c", "echo init >> /hooklog; exit 4", verb=verb) == (4, "", "")
    told = [line.split() for line in made.lines()]
    assert [words[2] for words in told] == [kind for kind in ORDER if kind != "start"]
    assert all(words[:2] == [box.name, "lxc"] for words in told)
    assert [words[3] for words in told] == ["3", "3", "3", "3", "3", "9", "3"]  # stop: with six namespaces
    assert made.lines_inside() == [f"{box.name} lxc start 3", "init"]


def test_hooks_of_a_kind_run_in_the_order_of_the_config_with_words_of_their_own(hooks):
    made = hooks()
    first, second = (
        made.script("pre-start", 'echo "1 $*" >> $log'),
        made.script("pre-start", 'echo "2 $*" >> $log'),
    )
    box = configure(made, f"{second} 'a  b' c; true", first)
    assert box.run("true").status == 0
    assert made.lines() == ["2 a  b c", f"1 {box.name} lxc pre-start"]


def test_empty_value_takes_hooks_back(hooks):
    made = hooks()
    box = configure(
        made, "lxc.hook.mount = /bin/false", "lxc.hook.start = /bin/false", "lxc.hook.mount =", "lxc.hook ="
    )
    assert box.run("true") == (0, "", "")


@pytest.mark.parametrize("version", [0, 1])
def test_hooks_are_told_about_the_container(hooks, version):
    made = hooks()
    show = "env | grep ^LXC_ | sort >> $log; echo >> $log"
    box = configure(
        made,
        *(made.script(kind, show) for kind in ORDER),
        f"lxc.hook.version = {version}",
        f"lxc.console.logfile = {made.box.folder}/console",
        "lxc.console.path = none",
    )
    (box.folder / "console").touch()
    box.read("true", options=("-l", "info"))
    texts = [*made.log.read_text().split("\n\n")[:-1], made.inside.read_text().strip()]
    shown = [dict(line.split("=", 1) for line in text.splitlines()) for text in texts]
    by_kind = dict(zip([kind for kind in ORDER if kind != "start"] + ["start"], shown, strict=True))
    always = {
        "LXC_NAME": box.name,
        "LXC_CONFIG_FILE": str(box.file),
        "LXC_ROOTFS_MOUNT": str(box.root),
        "LXC_ROOTFS_PATH": str(box.root),
        "LXC_CGNS_AWARE": "1",
        "LXC_LOG_LEVEL": "INFO",
        "LXC_HOOK_VERSION": str(version),
        "LXC_CONSOLE": "none",
        "LXC_CONSOLE_LOGPATH": f"{box.folder}/console",
    }
    for kind, variables in by_kind.items():
        expected = dict(always)
        if version == 1:
            expected.update(LXC_HOOK_TYPE=kind, LXC_HOOK_SECTION="lxc")
        pid = variables.pop("LXC_PID", None)
        assert (pid is not None) == (kind in ("start-host", "stop", "post-stop"))
        spaces = {name: variables.pop(name) for name in list(variables) if name.endswith("_NS")}
        if kind in ("stop", "post-stop"):
            expected["LXC_TARGET"] = "stop"
            assert set(spaces) == {f"LXC_{kind}_NS" for kind in "MNT PID UTS IPC NET CGROUP".split()}
        else:
            assert spaces == {}
        assert variables == expected, kind


def test_environment_is_the_callers_on_the_host_and_the_configs_inside(hooks):
    made = hooks(
        "lxc.environment = OF_ALL=1",
        "lxc.environment.hooks = OF_HOOKS=1",
        "lxc.environment.runtime = OF_INIT=1",
    )
    show = "echo $(env | grep -E '^(OF_|CALLER)' | sort) >> $log"
    box = configure(made, *(made.script(kind, show) for kind in ORDER))
    out = box.read(
        "sh", "-c", "echo $(env | grep -E '^(OF_|CALLER)' | sort)", env={**os.environ, "CALLER": "x"}
    )
    on_host, hosts_tree, inside = "CALLER=x OF_HOOKS=1", "CALLER=x OF_ALL=1 OF_HOOKS=1", "OF_ALL=1 OF_HOOKS=1"
    assert made.lines() == [on_host, *[hosts_tree] * 3, on_host, on_host, on_host]
    assert made.lines_inside() == [inside]
    assert out == "OF_ALL=1 OF_INIT=1\n"


def test_stop_hook_can_enter_the_namespaces(hooks):
    made = hooks("lxc.uts.name = inside", "lxc.time.offset.boot = 7h")
    box = configure(
        made,
        made.script("stop", 'shift 3; echo "$@" >> $log; nsenter --uts=$LXC_UTS_NS hostname >> $log'),
        made.script("post-stop", "[ ! -e $LXC_UTS_NS ] || echo still there >> $log"),
    )
    assert box.run("true") == (0, "", "")
    spaces, name = made.lines()
    assert re.sub(r"/proc/[0-9]+/fd/[0-9]+", "P", spaces) == "mnt:P pid:P uts:P ipc:P net:P cgroup:P time:P"
    assert name == "inside"


def test_reboot_is_told_to_the_stop_hook_and_an_end_with_status_129_is_none(hooks):
    made = hooks()
    box = configure(made, made.script("stop", "echo $LXC_TARGET >> $log"))
    box.allow("again")
    again = "if test -e /again; then exit 129; fi; touch /again; busybox reboot -f"
    assert box.run("sh", "-c", again, verb="start").status == 129
    assert made.lines() == ["reboot", "stop"]


def test_program_of_execute_runs_once_also_when_it_calls_reboot(hooks):
    made = hooks()
    box = configure(made, made.script("stop", "echo $LXC_TARGET >> $log"))
    assert box.run("busybox", "reboot", "-f").status == 128 + signal.SIGHUP
    assert made.lines() == ["stop"]


# Where


@pytest.mark.parametrize("lines", [(), MAPPED], ids=["unmapped", "mapped"])
def test_hooks_run_in_the_namespaces_of_their_kind(hooks, lines):
    made = hooks("lxc.uts.name = inside", *lines)
    show = "echo $(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/net) $(readlink /proc/self/ns/user) >> $log"
    box = configure(made, *(made.script(kind, show) for kind in ORDER))
    out = box.read("sh", "-c", "cd /proc/self/ns; echo $(readlink mnt) $(readlink net) $(readlink user)")
    here = " ".join(os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "net", "user"))
    assert made.lines() == [here, *[out.strip()] * 3, *[here] * 3]
    assert made.lines_inside() == [out.strip()]


def test_mount_hook_may_mount_below_the_root_file_system_and_the_host_does_not_see_it(hooks):
    made = hooks()
    (made.box.root / "srv").mkdir()
    text = "mount -t tmpfs t $LXC_ROOTFS_MOUNT/srv && echo data > $LXC_ROOTFS_MOUNT/srv/file"
    box = configure(made, made.script("mount", text))
    assert box.read("cat", "/srv/file") == "data\n"
    assert list((box.root / "srv").iterdir()) == []


def test_autodev_hook_adds_a_device_and_does_not_run_without_autodev(hooks):
    made = hooks()
    failing = made.script("autodev", "exit 1")
    box = configure(
        made,
        made.script("autodev", "mknod $LXC_ROOTFS_MOUNT/dev/special c 1 9; ls $LXC_ROOTFS_MOUNT/dev >> $log"),
    )
    assert box.read("stat", "-c", "%t:%T", "/dev/special") == "1:9\n"
    assert made.lines() == ["special"]  # the usual ones come later
    box = configure(made, failing, "lxc.autodev = 0")
    box.allow("dev/fd", "dev/stdin", "dev/stdout", "dev/stderr", "dev/console")
    assert box.run("true").status == 0


def test_hook_that_mounts_over_the_root_file_system_stops_the_start(hooks):
    made = hooks()
    box = configure(made, made.script("mount", "mount --bind /usr $LXC_ROOTFS_MOUNT"))
    line = f"minilxc: {box.name}: root file system: {box.root}: another mount covers it\n"
    assert box.run("true") == (1, "", line)


@pytest.mark.parametrize("unshare", [0, 1])
def test_what_pre_start_mounts_stays_off_the_host_when_the_monitor_is_apart(hooks, unshare):
    made = hooks(f"lxc.monitor.unshare = {unshare}")
    for name in ("place", "root/srv"):
        (made.box.folder / name).mkdir()
    place = made.box.folder / "place"
    box = configure(
        made,
        made.script("pre-start", f"mount -t tmpfs t {place} && echo data > {place}/file"),
        made.script(
            "start-host", f"[ -e {place}/file ] && echo seen; ls /proc/{os.getpid()}/root{place} >> $log"
        ),
        made.script("post-stop", f"umount {place}"),
        f"lxc.mount.entry = {place} srv none bind",
    )
    assert box.read("cat", "/srv/file") == "data\n"
    assert made.lines() == ([] if unshare else ["file"])


def test_hooks_have_the_callers_umask_and_directory_no_descriptors_and_usual_signals(hooks):
    made = hooks()
    show = (
        "exec 3>&- 4>&-; ls -l /proc/self/fd | grep -vE ' (0|1|2|10) -> |/proc/|total| 3$' >> $log\n"
        "echo $(umask) $(grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\n') $PWD >> $log"
    )
    box = configure(made, *(made.script(kind, show) for kind in ORDER))
    with open(os.devnull) as extra:
        box.read("true", pass_fds=(extra.fileno(),), umask=0o027)
    usual = "0027 SigBlk: 0000000000000000SigIgn: 0000000000000000"
    assert made.lines() == [f"{usual} {box.folder}"] * 7
    assert made.lines_inside() == [f"{usual} /"]


# Confinement of start hooks


@BOTH
@pytest.mark.parametrize("lines", [(), MAPPED], ids=["unmapped", "mapped"])
@pytest.mark.parametrize("nnp", [0, 1])
@pytest.mark.parametrize("user", [0, 1000])
def test_start_hook_is_confined_exactly_as_init(hooks, verb, lines, nnp, user):
    made = hooks(
        *lines,
        f"lxc.no_new_privs = {nnp}",
        "lxc.cap.drop = sys_module net_raw sys_time",
        f"lxc.init.uid = {user}",
        f"lxc.init.gid = {user}",
        "lxc.prlimit.nofile = 100:200",
        policy=POLICY,
    )
    status = "grep -E '^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups)' /proc/self/status; ulimit -n; ulimit -Hn"
    box = configure(made, made.script("start", f"{{ {status}; try-syscall mkdir; }} >> $log"))
    shown = box.read("sh", "-c", f"{status}; try-syscall mkdir", verb=verb)
    assert made.inside.read_text() == shown
    assert "Seccomp:\t2" in shown
    assert box.calls("mkdir") == ["ECONNREFUSED"]


def test_start_hook_that_the_policy_kills_stops_the_start(hooks):
    made = hooks(policy="2\ndenylist\nmkdir kill\n")
    line = made.script("start", "exec try-syscall mkdir")
    box = configure(made, line)
    expected = f"minilxc: {box.name}: start hook: /hook-0: was killed by SIGSYS ({box.line_of(line)})\n"
    assert box.run("true") == (1, "", expected)


def test_start_hook_must_exist_inside(hooks):
    made = hooks()
    outside = made.script("pre-start", "exit 0").replace("pre-start", "start")
    box = configure(made, outside)
    command = outside.rpartition(" = ")[2]
    expected = f"minilxc: {box.name}: start hook: {command}: ended with status 127 ({box.line_of(outside)})\n"
    assert box.run("true") == (1, "", expected)
    (box.root / "bin" / "sh").unlink()
    box.may_make.add(str(box.root / "bin" / "sh"))
    expected = f"minilxc: {box.name}: start hook: /bin/sh: No such file or directory\n"
    assert box.run("busybox", "true") == (1, "", expected)


def test_shell_that_is_a_link_of_procfs_is_not_executed(hooks):
    """CVE-2019-5736: it would be minilxc's own interpreter, of the host."""
    made = hooks()
    line = made.script("start", "true")
    (made.box.root / "bin" / "sh").unlink()
    (made.box.root / "bin" / "sh").symlink_to("/proc/self/exe")
    box = configure(made, line)
    result = box.run("busybox", "true")
    assert result == (1, "", f"minilxc: {box.name}: start hook: /bin/sh: Too many levels of symbolic links\n")


@BOTH
def test_start_hook_cannot_look_into_what_will_be_confined(hooks, verb):
    made = hooks("lxc.cap.drop = sys_ptrace", policy=POLICY)
    text = (
        "[ -r /proc/1/mem ] && head -c 1 /proc/1/mem 2>&1 | grep -v denied >> $log\n"
        "readlink /proc/1/exe >> $log; readlink /proc/1/fd/0 >> $log\n"
        r"busybox tr -d '\000' < /proc/1/environ | wc -c >> $log"
    )
    box = configure(made, made.script("start", text))
    assert box.run("true", verb=verb, env={"CALLERS": "secret"}) == (0, "", "")
    assert made.lines_inside() == ["0"]


# Failures


@pytest.mark.parametrize("kind", STARTS)
def test_failed_hook_stops_the_start_and_those_of_the_end_run(hooks, kind):
    made = hooks()
    texts = dict.fromkeys(ORDER, 'echo "$3" >> $log')
    texts[kind] += "; exit 7"
    lines = {each: made.script(each, text) for each, text in texts.items()}
    box = configure(made, *lines.values())
    command = lines[kind].rpartition(" = ")[2]
    where = box.line_of(lines[kind])
    expected = f"minilxc: {box.name}: {kind} hook: {command}: ended with status 7 ({where})\n"
    assert box.run("touch", "/tmp/ran") == (1, "", expected)
    outside = [each for each in STARTS[: STARTS.index(kind) + 1] if each != "start"]
    assert made.lines() == [*outside, "stop", "post-stop"]


def test_failed_hook_is_named_by_the_line_that_failed_although_another_is_the_same(hooks):
    made = hooks()
    line = made.script("mount", f"[ -e {made.box.folder}/twice ] && exit 1; touch {made.box.folder}/twice")
    box = configure(made, line, line)
    box.may_make.add(str(box.folder / "twice"))
    place = box.file.read_text().splitlines().index(line) + 2
    assert box.run("true").err.endswith(f": ended with status 1 ({box.file}:{place})\n")


def test_hook_killed_by_a_signal_is_told_so(hooks):
    made = hooks()
    line = made.script("start-host", "kill -ABRT $$")
    box = configure(made, line)
    result = box.run("true")
    assert result.err.endswith(f": was killed by SIGABRT ({box.line_of(line)})\n")


@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_failure_of_a_stop_or_post_stop_hook_is_told_and_stops_nothing(hooks, quiet):
    made = hooks()
    bad = {kind: made.script(kind, "exit 5") for kind in ("stop", "post-stop")}
    good = {kind: made.script(kind, 'echo "$3" >> $log') for kind in ("stop", "post-stop")}
    box = configure(made, *bad.values(), *good.values())
    log = box.folder / "log"
    log.touch()
    shown = "".join(
        f"minilxc: {kind} hook: {line.rpartition(' = ')[2]}: ended with status 5 ({box.line_of(line)})\n"
        for kind, line in bad.items()
    )
    result = box.run("sh", "-c", "exit 3", options=("-o", str(log), *quiet))
    assert result == (3, "", "" if quiet else shown)
    assert made.lines() == ["stop", "post-stop"]
    told = [line.split(" ", 3)[3].strip() for line in log.read_text().splitlines()]
    assert told == [
        f"ERROR    {kind} hook - {line.rpartition(' = ')[2]}: ended with status 5 ({box.line_of(line)})"
        for kind, line in bad.items()
    ]


def test_output_is_in_the_log_at_debug_and_nowhere_else(hooks):
    made = hooks()
    text = r"printf 'out %s\n' $3; echo err >&2; printf 'tail\033'"
    lines = {kind: made.script(kind, text) for kind in ORDER}
    box = configure(made, *lines.values())
    log = box.folder / "log"
    log.touch()
    assert box.run("echo", "payload", options=("-o", str(log), "-l", "debug")) == (0, "payload\n", "")
    told = [line.split(" ", 3)[3].strip() for line in log.read_text().splitlines()]
    assert [line for line in told if " hook - " in line and "DEBUG    hook" not in line] == [
        f"DEBUG    {kind} hook - {lines[kind].rpartition(' = ')[2]}: {said}"
        for kind in ORDER
        for said in (f"out {kind}", "err", r"tail\x1b")
    ]


@pytest.mark.parametrize("kind", ["pre-start", "mount"])
def test_hook_may_print_without_end_and_leave_a_process_behind(hooks, kind):
    made = hooks()
    box = configure(made, made.script(kind, "head -c 3000000 /dev/zero; sleep 1000 & echo $! >> $log"))
    log = box.folder / "log"
    log.touch()
    assert box.run("true", verb="start", options=("-o", str(log), "-l", "debug")) == (0, "", "")
    if kind == "pre-start":
        (pid,) = map(int, made.lines())
        os.kill(pid, signal.SIGKILL)
        machine.wait_until_gone(pid)


@BOTH
def test_container_that_ends_during_a_start_host_hook_is_told_as_such(hooks, verb):
    made = hooks()
    box = configure(made, made.script("start-host", "kill -KILL $LXC_PID; sleep 0.1; exit 0"))
    line = "start-host hook: the container ended before its program was executed"
    assert box.run("true", verb=verb) == (1, "", f"minilxc: {box.name}: {line}\n")


# Hooks that never end


def sleepers(process):
    return sum(" sleep 1000" in machine.describe(pid) for pid in machine.descendants(process.pid))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("lines", [(), ("lxc.namespace.keep = pid",)], ids=["", "pid kept"])
@pytest.mark.parametrize("kind", STARTS)
def test_interrupt_ends_a_hook_with_all_that_it_started_and_the_start(hooks, kind, lines, number):
    made = hooks(*lines)
    box = configure(
        made,
        *(made.script(earlier, "true") for earlier in STARTS[: STARTS.index(kind)]),
        made.script(kind, "trap '' TERM INT HUP; echo begun >> $log; sleep 1000 & sleep 1000; sleep 1000"),
        made.script("post-stop", "echo post-stop >> $log"),
    )
    process = box.popen("touch", "/tmp/ran")
    machine.wait_for(lambda: sleepers(process) == 2, "the hook runs, and what it starts")
    below = machine.descendants(process.pid)
    process.send_signal(number)
    out, err = process.communicate()
    assert (process.returncode, out) == (128 + number, "")
    assert (
        err.endswith(f"interrupted by signal {int(number)}\n")
        or f"interrupted by signal {int(number)} (" in err
    )
    assert err.count("\n") == 1
    machine.wait_until_gone(*below)
    assert made.lines()[-1] == "post-stop"


def test_interrupted_hook_may_clean_up(hooks):
    made = hooks()
    box = configure(
        made,
        made.script(
            "pre-start", "trap 'echo clean >> $log; exit 0' TERM; echo begun >> $log; sleep 1000 & wait"
        ),
    )
    process = box.popen("true")
    machine.wait_for(lambda: sleepers(process) == 1, "the hook runs")
    below = machine.descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM
    assert made.lines() == ["begun", "clean"]
    machine.wait_until_gone(*below)


@pytest.mark.parametrize("kind", ["stop", "post-stop"])
def test_interrupt_ends_a_hook_of_the_end_and_the_status_stays(hooks, kind):
    made = hooks()
    box = configure(made, made.script(kind, "echo begun >> $log; sleep 1000"))
    process = box.popen("sh", "-c", "exit 6")
    machine.wait_for(lambda: sleepers(process) == 1, "the hook runs")
    below = machine.descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 6
    machine.wait_until_gone(*below)


@pytest.mark.parametrize("kind", STARTS)
def test_killed_parent_takes_its_hook_along(hooks, kind):
    made = hooks()
    box = configure(made, made.script(kind, "echo begun >> $log; exec sleep 1000"))
    process = box.popen("true")
    machine.wait_for(lambda: made.lines() or made.lines_inside(), "the hook runs")
    below = machine.descendants(process.pid)
    process.kill()
    machine.wait_until_gone(*below)


# Steps


def test_each_step_of_hooks_may_fail_and_leaves_nothing(hooks):
    made = hooks("lxc.monitor.unshare = 1", "lxc.time.offset.boot = 1s")
    box = configure(made, *(made.script(kind, "true") for kind in ORDER))
    names = failures.run(box, "true", side="names").err.splitlines()
    tried = []
    for side in ("parent", "child"):
        own = [line.partition(":")[2] for line in dict.fromkeys(names) if line.startswith(f"{side}:")]
        for number, name in enumerate(own):
            if name.endswith("hook") or name in ("monitor namespace", "namespaces", "root file system"):
                result = failures.run(box, "true", side=side, number=number)
                assert result.err.startswith(f"minilxc: {box.name}: {name}: the thing: Exchange full")
                assert result.err.count("\n") == 1
                tried.append(name)
    assert tried == [
        *(
            "monitor namespace",
            "pre-start hook",
            "stop hook",
            "namespaces",
            "pre-mount hook",
            "mount hook",
            "autodev hook",
        ),
        *("root file system", "start hook", "start-host hook"),
    ]
    assert box.run("sh", "-c", "exit 7") == (7, "", "")
