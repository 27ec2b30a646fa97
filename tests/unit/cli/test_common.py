"""What the commands for containers share, and what they need no container for."""

from __future__ import annotations

import re

import pytest

from minilxc.cli import autostart, common, ls, options, top, wait
from minilxc.errors import MinilxcError, UsageError
from minilxc.monitor.facts import Statistics
from tests.unit.cli.test_commands import minilxc


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 bytes"),
        (1006, "1006 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.00 KiB"),
        (1172, "1.14 KiB"),
        (2**20 - 1, "1024.00 KiB"),
        (2**20, "1.00 MiB"),
        (3 * 2**60, "3.00 EiB"),
        (2**75, "32768.00 EiB"),
    ],
)
def test_sizes_are_written_as_lxc_writes_them(number, text):
    assert common.size(number) == text


def test_table_has_columns_and_nothing_that_a_terminal_would_obey():
    assert (
        common.table([("NAME", "X"), ("a\x1b[31m", "1"), ("b", "22")])
        == "NAME      X\na\\x1b[31m 1\nb         22"
    )


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "1s"])
def test_what_is_no_number_of_seconds_is_refused(text):
    with pytest.raises(UsageError, match=re.escape(f"-t takes a number of seconds, not '{text}'")):
        common.seconds(text, wait.TIMEOUT, wait.COMMAND)


def test_name_is_an_option_or_the_first_word():
    for line in ("-n c1 file", "c1 file", "--name=c1 -- file", "-P /p c1 file"):
        given = options.read(_WORDS, line.split())
        container, words = common.container(_WORDS, given)
        assert (container.name, words) == ("c1", ["file"])
    with pytest.raises(UsageError, match="no container is named"):
        common.container(_WORDS, options.read(_WORDS, []))


_WORDS = options.Command("try", "a try", common.ONE, words="-n NAME FILE")


def test_value_that_may_be_left_out_stands_in_the_same_word():
    given = options.read(ls.COMMAND, ["--nesting", "3"])
    assert (given.get(ls.NESTING), given.words) == ("", ["3"])
    assert options.read(ls.COMMAND, ["--nesting=3"]).get(ls.NESTING) == "3"
    assert "--nesting[=DEPTH]" in ls.COMMAND.help()


@pytest.mark.parametrize("width", [0, 1, 5, 12, 13, 80])
def test_names_fill_the_lines(width):
    names = ["one", "three", "four", "sixteen"]
    lines = list(ls._side_by_side(names, width))
    assert " ".join(lines).split() == names
    assert all(len(line) <= max(width, 7) for line in lines)


class Fake:
    """A member of an autostart."""

    def __init__(self, name, order=0, delay=0):
        self.name, self.order, self.delay = name, order, delay


def waves(*members, delays=True):
    return [[one.name for one in wave] for wave in autostart._waves(members, delays)]


def test_those_of_one_order_start_together_up_to_a_delay():
    assert waves(Fake("a"), Fake("b"), Fake("c", 1)) == [["a", "b"], ["c"]]
    assert waves(Fake("a"), Fake("b", delay=1), Fake("c")) == [["a", "b"], ["c"]]
    assert waves(Fake("a", delay=1), Fake("b", delay=1)) == [["a"], ["b"]]
    assert waves(Fake("a"), Fake("b", delay=1), Fake("c"), delays=False) == [["a", "b", "c"]]
    assert waves() == []


USES = [
    top._Use("b", Statistics(cpu=3, memory=1, swap=9, kernel_memory=2, written=1)),
    top._Use("a", Statistics(cpu=1, memory=2, read=5, written=5, kernel_memory=1)),
    top._Use("c", Statistics()),
]


@pytest.mark.parametrize(
    ("order", "names"), [("n", "abc"), ("c", "bac"), ("m", "abc"), ("s", "bac"), ("b", "abc"), ("k", "bac")]
)
def test_top_sorts_names_upwards_and_numbers_downwards(order, names):
    assert "".join(use.name for use in top._sorted(list(USES), order, False)) == names
    assert "".join(use.name for use in top._sorted(list(USES), order, True)) == names[::-1]


def test_total_adds_what_is_known():
    assert top._total(USES)[0] == "TOTAL 3"
    assert top._total(USES)[7] == "3 bytes"
    assert top._total([]) == ("TOTAL 0", *["-"] * 9)


def test_live_table_without_its_library_says_which(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rich.live", None)
    with pytest.raises(MinilxcError, match=r"needs the Python library rich .*minilxc\[top\]"):
        top._live(None, 1.0, "n", False)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("ls", "-F", "NMAE"), "unknown column 'NMAE' (did you mean 'NAME'?)"),
        (
            ("ls", "--filter", "("),
            "'(' is no regular expression: missing ), unterminated subpattern at position 0",
        ),
        (("ls", "--nesting=x"), "--nesting takes a number, not 'x' (usage: minilxc ls [REGEX] [OPTION]...)"),
        (("top", "-s", "x"), "cannot sort by 'x' (there are n, c, b, m, s, k)"),
        (("top", "-d", "0"), "-d takes a number above 0 (usage: minilxc top [OPTION]...)"),
        (("info",), "no container is named (-n NAME) (usage: minilxc info -n NAME [OPTION]...)"),
        (("cgroup", "c1"), "which file? (usage: minilxc cgroup -n NAME FILE [VALUE] [OPTION]...)"),
        (("freeze", "a", "b"), "unexpected word 'b' (usage: minilxc freeze -n NAME [OPTION]...)"),
    ],
)
def test_wrong_lines_are_told(words, line):
    assert minilxc(*words) == (2, "", f"minilxc: {line}\n")
