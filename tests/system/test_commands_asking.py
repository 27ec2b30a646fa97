"""The commands that ask containers: info, ls, top, cgroup."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers import machine
from tests.helpers.background import collect
from tests.helpers.container import MINILXC

VETH = (
    "lxc.net.0.type = veth",
    "lxc.net.0.flags = up",
    "lxc.net.0.ipv4.address = 10.98.7.2/24",
    "lxc.net.0.ipv4.address = 10.98.7.3/24",
    "lxc.net.0.ipv6.address = fd00:98::7/64",
)


def labels(output):
    return [line.partition(":")[0] for line in output.splitlines()]


def value(output, label):
    return [line.partition(":")[2].strip() for line in output.splitlines() if line.startswith(f"{label}:")]


# info


def test_info_has_the_labels_of_lxc_info(place):
    web = place.start("web", *VETH)
    result = place.run("info", "-n", web.name)
    assert (result.status, result.err) == (0, "")
    out = result.out
    assert labels(out)[:7] == ["Name", "State", "PID", "IP", "IP", "IP", "CPU use"]
    assert labels(out)[-4:] == ["Link", " TX bytes", " RX bytes", " Total bytes"]
    assert (value(out, "Name"), value(out, "State")) == ([web.name], ["RUNNING"])
    assert value(out, "PID") == [str(web.init_pid)]
    assert value(out, "IP") == ["10.98.7.2", "10.98.7.3", "fd00:98::7"]
    assert re.search(r"(?m)^State:          RUNNING$", out)
    assert re.search(r"(?m)^CPU use:        \d+\.\d\d seconds$", out)


def test_info_counts_what_goes_through_the_link_as_the_container_sees_it(place):
    """lxc-info swaps the host's counters, too: what the host's end receives the container has sent."""
    web = place.start("web", *VETH, "lxc.net.0.veth.pair = vt98x")
    out = place.run("info", "-n", web.name, "-S", "-H").out
    assert value(out, "Link") == ["vt98x"]
    folder = Path("/sys/class/net/vt98x/statistics")
    machine.wait_for(
        lambda: (
            value(place.run("info", "-n", web.name, "-SH").out, " TX bytes")
            == [(folder / "rx_bytes").read_text().strip()]
        ),
        "the link is quiet",
    )


def test_info_raw_has_numbers_alone(place):
    one = place.start("one")
    out = place.run("info", one.name, "-SH").out
    for label in ("CPU use", "Memory use"):
        (number,) = value(out, label)
        assert number.isdecimal()
        assert int(number) > 0


def test_info_of_a_share_of_the_facts(place):
    one = place.start("one")
    assert place.run("info", "-n", one.name, "-s").out == "State:          RUNNING\n"
    assert place.run("info", "-n", one.name, "-p").out == f"PID:            {one.init_pid}\n"
    assert place.run("info", "-n", one.name, "-i").out == ""


def test_info_tells_config_values_that_the_container_was_started_with(place):
    one = place.start("one", "lxc.uts.name = before", "lxc.net.0.type = empty")
    config = place.path / one.name / "config"
    config.write_text(config.read_text().replace("before", "after"))
    assert place.run("info", "-n", one.name, "-c", "lxc.uts.name").out == "lxc.uts.name = before\n"
    result = place.run(
        "info", "-n", one.name, "-H", "-c", "lxc.uts.name", "-c", "lxc.net.0", "-c", "lxc.hook.start"
    )
    assert result == (0, "before\nempty\n\n", "")
    collect(one)
    assert place.run("info", "-n", one.name, "-c", "lxc.uts.name").out == "lxc.uts.name = after\n"


def test_info_of_an_unknown_key_is_an_error(place):
    one = place.define("one")
    result = place.run("info", "-n", one.name, "-c", "lxc.utsname.x")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("minilxc: lxc.utsname.x: unknown key")


def test_info_of_a_container_that_does_not_exist_is_one_line(place):
    assert place.run("info", "-n", "nobody") == (1, "", "minilxc: nobody: doesn't exist\n")
    assert place.run("info", "-q", "-n", "nobody") == (1, "", "")


def test_info_of_one_that_is_only_defined(place):
    one = place.define("one")
    assert place.run("info", one.name) == (0, f"Name:           {one.name}\nState:          STOPPED\n", "")


def test_container_without_a_folder_exists_while_it_runs(place):
    name = place.name("loose")
    place.box.configure("lxc.init.cmd = /bin/sleep 1000")
    assert place.run("start", "-n", name, "-f", place.box.file) == (0, "", "")
    assert place.run("info", name, "-s").out == "State:          RUNNING\n"
    assert place.run("ls") == (0, f"{name}\n", "")
    assert place.run("ls", "--defined") == (0, "", "")
    place.close()
    assert place.run("info", name).status == 1
    assert place.run("ls") == (0, "", "")


def test_info_as_a_document(place):
    web = place.start("web", *VETH)
    found = json.loads(place.run("info", web.name, "--json", "-c", "lxc.net.0.type").out)
    assert (found["name"], found["state"], found["pid"]) == (web.name, "RUNNING", web.init_pid)
    assert found["ips"] == ["10.98.7.2", "10.98.7.3", "fd00:98::7"]
    assert found["interfaces"] == ["eth0", "lo"]
    assert [set(link) for link in found["links"]] == [{"name", "sent", "received"}]
    assert found["statistics"]["cpu"] > 0
    assert found["lines"] == [["lxc.net.0.type", "veth"]]


def test_statistics_count_what_the_container_does(place):
    """The numbers are those of the container's own groups, not of anybody else's."""
    busy = place.start("busy", "lxc.init.cmd = /bin/sh -c 'while :; do :; done'")
    idle = place.start("idle")
    machine.wait_for(lambda: busy.statistics().cpu > 100_000_000, "a tenth of a second was used")
    assert idle.statistics().cpu < 100_000_000


# ls


def test_ls_chooses_by_state(place):
    running, frozen = place.start("a-runs"), place.start("b-frozen")
    stopped = place.define("c-stopped")
    frozen.freeze()

    def ls(*words):
        result = place.run("ls", "-1", *words)
        assert (result.status, result.err) == (0, "")
        return result.out.split()

    assert ls() == [running.name, frozen.name, stopped.name]
    # Recorded of LXC 5.0.2: a frozen one is listed as running, too.
    assert ls("--running") == ls("--active") == [running.name, frozen.name]
    assert ls("--frozen") == ls("--frozen", "--running") == [frozen.name]
    assert ls("--stopped") == [stopped.name]
    assert ls("--stopped", "--active") == []
    assert ls("b-") == ls("--filter", "b-fr") == [frozen.name]


def test_ls_chooses_by_all_groups_that_are_given(place):
    place.define("none")
    web = place.define("web", "lxc.group = web")
    both = place.define("both", "lxc.group = onboot", "lxc.group = web")
    assert place.run("ls", "-g", "web").out.split() == [both.name, web.name]
    assert place.run("ls", "-g", "web,onboot").out.split() == [both.name]
    assert place.run("ls", "-g", "web", "-g", "onboot").out.split() == [both.name]


def test_ls_table_has_the_columns_of_lxc_ls(place):
    web = place.start("web", *VETH, "lxc.group = a b", "lxc.start.auto = 1")
    title, line = place.run("ls", "-f").out.splitlines()
    assert title.split() == ["NAME", "STATE", "AUTOSTART", "GROUPS", "IPV4", "IPV6", "UNPRIVILEGED"]
    assert re.split(r" {1,}(?=\S)", line.replace(", ", ",")) == [
        web.name, "RUNNING", "1", "a,b", "10.98.7.2,10.98.7.3", "fd00:98::7", "false",
    ]  # fmt: skip
    assert line.index("RUNNING") == title.index("STATE")
    title, line = place.run("ls", "-F", "name,pid,ram,interface").out.splitlines()
    assert title.split() == ["NAME", "PID", "RAM", "INTERFACE"]
    assert line.split()[1] == str(web.init_pid)
    assert re.fullmatch(r"\d+\.\d\dMB", line.split()[2])
    assert line.endswith("eth0, lo")


def test_ls_on_a_terminal_fills_its_lines(place):
    names = [place.define(str(number)).name for number in range(3)]
    master, slave = pty.openpty()
    width = len(names[0]) * 2 + 3
    ran = subprocess.run(
        ["sh", "-c", f'stty cols {width}; exec "$0" ls -P "$1"', MINILXC, place.path],
        stdin=slave, stdout=slave, stderr=slave, check=True,
    )  # fmt: skip
    assert ran.returncode == 0
    shown = os.read(master, 4096).decode()
    os.close(master)
    os.close(slave)
    assert shown.split("\r\n") == [f"{names[0]}  {names[1]}", names[2], ""]


def test_ls_of_a_broken_config_lists_the_container(place):
    bad = place.define("bad", "lxc.nonsense = 1", "lxc.group = web")
    assert place.run("ls") == (0, f"{bad.name}\n", "")
    assert place.run("ls", "-g", "web").out == f"{bad.name}\n"


def test_ls_of_nothing(place):
    assert place.run("ls") == (0, "", "")
    assert place.run("ls", "-f").out.split()[0] == "NAME"
    assert place.run("ls", "--json") == (0, "[]\n", "")


def test_nested_containers_are_listed_with_the_way_to_them(place):
    outer = place.start("outer")
    (place.box.root / "var/lib/lxc/inner").mkdir(parents=True)
    (place.box.root / "var/lib/lxc/inner/config").write_text("")
    place.box.allow("var", "var/lib", "var/lib/lxc", "var/lib/lxc/inner", "var/lib/lxc/inner/config")
    assert place.run("ls", "--nesting") == (0, f"{outer.name}\n{outer.name}/inner\n", "")
    assert place.run("ls", "--nesting=0") == (0, f"{outer.name}\n", "")
    found = json.loads(place.run("ls", "--nesting", "--json").out)
    assert found[1] == {"name": f"{outer.name}/inner", "state": "STOPPED", "pid": None}


def test_nested_names_do_not_lead_out_of_the_container(place):
    """Whoever rules a container makes /var/lib/lxc a link, a name an escape sequence, a config a link."""
    outer = place.start("outer")
    host = place.box.folder / "host"
    (host / "secret").mkdir(parents=True)
    (host / "secret" / "config").write_text("")
    lib = place.box.root / "var" / "lib"
    lib.mkdir(parents=True)
    up = "../" * 20
    (lib / "lxc").symlink_to(f"{up}{host}")
    assert place.run("ls", "--nesting") == (0, f"{outer.name}\n", "")
    (lib / "lxc").unlink()
    (lib / "lxc").mkdir()
    for name in ("\x1b[31mred", "a b", ".hidden", "linked", "folder"):
        (lib / "lxc" / name).mkdir()
    for name in ("\x1b[31mred", "a b", ".hidden"):
        (lib / "lxc" / name / "config").write_text("")
    (lib / "lxc" / "linked" / "config").symlink_to(f"{up}{host}/secret/config")
    (lib / "lxc" / "folder" / "config").mkdir()
    (lib / "lxc" / "out").symlink_to(f"{up}{host}/secret")
    assert place.run("ls", "--nesting") == (0, f"{outer.name}\n", "")
    place.box.may_make |= {str(path) for path in (host, *host.rglob("*"))}
    place.box.may_make |= {
        str(path) for path in ((place.box.root / "var"), *(place.box.root / "var").rglob("*"))
    }


def test_nested_place_that_does_not_answer_is_told_and_left_out(place):
    """A monitor's socket that nobody serves holds nobody up."""
    import socket

    outer = place.start("outer")
    from minilxc.launch import runtime

    folder = place.box.root / runtime.place_of_root("/var/lib/lxc").lstrip("/") / "inner"
    folder.mkdir(parents=True)
    place.box.may_make |= {
        str(path) for path in (place.box.root / "run", *(place.box.root / "run").rglob("*"))
    }
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here = os.open(folder, os.O_PATH)
    end.bind(f"/proc/self/fd/{here}/command")
    os.close(here)
    end.listen()
    place.box.may_make.add(str(folder / "command"))
    began = time.monotonic()
    result = place.run("ls", "--nesting")
    end.close()
    assert time.monotonic() - began < 9
    assert (result.status, result.out) == (1, f"{outer.name}\n")
    assert result.err == f"minilxc: {outer.name}: what is inside does not answer\n"


# top


def test_top_without_a_terminal_prints_one_table(place):
    one = place.start("one")
    lines = place.run("top").out.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", one.name, "TOTAL"]


def test_top_sorts_by_what_is_asked_for(place):
    busy = place.start("b-busy", "lxc.init.cmd = /bin/sh -c 'while :; do :; done'")
    idle = place.start("a-idle")
    machine.wait_for(lambda: busy.statistics().cpu > 100_000_000, "a tenth of a second was used")

    def names(*words):
        return [use["name"] for use in json.loads(place.run("top", "--json", *words).out)]

    assert names() == names("-s", "c", "-r") == [idle.name, busy.name]
    assert names("-s", "c") == names("-r") == [busy.name, idle.name]


def test_top_in_batch_mode_prints_lines_again_and_again(place):
    one = place.start("one")
    process = place.popen("top", "-b", "-d", "0.05")
    title, *lines = [process.stdout.readline().rstrip("\n") for _ in range(4)]
    process.kill()
    assert title.split(",")[:3] == ["time_ms", "container", "cpu_nanos"]
    for line in lines:
        assert len(line.split(",")) == len(title.split(","))
        assert line.split(",")[1] == one.name


def test_top_on_a_terminal_is_drawn_again_and_ends_with_q(place):
    pytest.importorskip("rich")
    one = place.start("one")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["sh", "-c", 'stty cols 150 rows 20; exec "$0" top -P "$1" -d 0.1', MINILXC, place.path],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    place.box.look_after(process)
    os.close(slave)
    shown = b""
    while shown.count(one.name.encode()) < 3:
        assert select.select([master], [], [], 10)[0]
        shown += os.read(master, 65536)
    os.write(master, b"q")
    while True:  # so that it is not held up by what nobody reads
        try:
            if not os.read(master, 65536):
                break
        except OSError:
            break
    assert process.wait(10) == 0
    os.close(master)
    assert b"NAME" in shown


# cgroup


def test_cgroup_reads_and_writes_a_file_of_the_container(place):
    one = place.start("one")
    assert place.run("cgroup", "-n", one.name, "pids.max") == (0, "max\n", "")
    assert place.run("cgroup", one.name, "pids.max", "50") == (0, "", "")
    assert place.run("cgroup", one.name, "pids.max") == (0, "50\n", "")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("pids.nonsense",), "none of its control groups has a file 'pids.nonsense'"),
        (("../pids.max",), "'../pids.max' is no name of a file of control groups"),
        (("pids.max", "many"), "pids.max = many: Invalid argument"),
    ],
)
def test_cgroup_tells_what_cannot_be(place, words, line):
    one = place.start("one")
    assert place.run("cgroup", "-n", one.name, *words) == (1, "", f"minilxc: {one.name}: {line}\n")


def test_cgroup_of_one_that_does_not_run(place):
    one = place.define("one")
    assert place.run("cgroup", one.name, "pids.max") == (1, "", f"minilxc: {one.name}: is not running\n")
