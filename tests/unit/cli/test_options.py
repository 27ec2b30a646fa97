"""The options of a command line: what getopt_long(3) would make of them."""

from __future__ import annotations

import pytest

from minilxc.cli import options, start
from minilxc.errors import UsageError

EXECUTE = start.EXECUTE
START = start.START
USAGE = "usage: minilxc execute -n NAME [OPTION]... [--] [COMMAND [ARG]...]"


def given(line, command=EXECUTE):
    return options.read(command, line.split())


@pytest.mark.parametrize(
    "line",
    ["-n c1", "-nc1", "--name c1", "--name=c1", "--nam c1", "--nam=c1", "-n c0 -n c1", "-qn c1", "-qnc1"],
)
def test_value_of_an_option_may_be_given_in_each_way(line):
    assert given(line).get(options.NAME) == "c1"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-n c1 true", "true"),
        ("-n c1 -- true", "true"),
        ("-n c1 -- -x", "-x"),
        ("-n c1 -- -- x", "-- x"),
        ("-n c1 sh -c x -- y", "sh -c x -- y"),
        ("-n c1 - x", "- x"),
        ("-n c1", ""),
        ("-n c1 --", ""),
        ("-n c1 sh --name x", "sh --name x"),
    ],
)
def test_first_word_that_is_no_option_ends_the_options(line, words):
    """The command's own options are its own."""
    assert given(line).words == words.split()


def test_repeated_option_keeps_its_values_in_order():
    assert given("-s a=1 -sb=2 --define=c=3 -n x").all(options.DEFINE) == ["a=1", "b=2", "c=3"]


def test_option_that_was_not_given_has_no_value():
    assert given("-n c1").get(options.FILE) is None
    assert given("-n c1").all(options.DEFINE) == []
    assert options.QUIET not in given("-n c1")
    assert options.QUIET in given("-qn c1")


def test_empty_values_are_values():
    assert options.read(EXECUTE, ["-n", "", "--rcfile="]).get(options.NAME) == ""
    assert options.read(EXECUTE, ["-n", "", "--rcfile="]).get(options.FILE) == ""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-n", f"option -n needs a value (NAME) ({USAGE})"),
        ("--name", f"option --name needs a value (NAME) ({USAGE})"),
        ("-qn", f"option -n needs a value (NAME) ({USAGE})"),
        ("--quiet=yes", f"option --quiet takes no value ({USAGE})"),
        ("-z", f"unknown option '-z' ({USAGE})"),
        ("-qz", f"unknown option '-z' ({USAGE})"),
        ("--nmae=c1", "unknown option '--nmae' (did you mean '--name'?)"),
        ("--log", "unknown option '--log' (did you mean '--logfile'?)"),
        ("--=x", f"unknown option '--' ({USAGE})"),
        ("-F", f"unknown option '-F' ({USAGE})"),
    ],
)
def test_wrong_option_is_told_with_what_would_be_right(line, message):
    with pytest.raises(UsageError) as caught:
        given(line)
    assert str(caught.value) == message


@pytest.mark.parametrize("command", [EXECUTE, START], ids=["execute", "start"])
def test_help_names_every_option_once_and_letters_are_not_used_twice(command):
    text = command.help()
    for option in command.options:
        assert text.count(f"--{option.long}") >= 1
        assert option.help in text
    letters = [option.letter for option in command.options if option.letter]
    assert len(letters) == len(set(letters))
    assert len({option.long for option in command.options}) == len(command.options)


@pytest.mark.parametrize("command", [EXECUTE, START], ids=["execute", "start"])
def test_options_are_lxcs(command):
    """Design 8: option letters as in LXC, so that fingers and scripts need not learn."""
    letters = {option.long: option.letter for option in command.options}
    lxc = {
        "name": "n",
        "rcfile": "f",
        "lxcpath": "P",
        "define": "s",
        "logfile": "o",
        "logpriority": "l",
        "quiet": "q",
    }
    assert {long: letters[long] for long in lxc} == lxc
    if command is START:
        assert (letters["foreground"], letters["daemon"]) == ("F", "d")


# --- words of the command itself

OWN = options.Command("own", "do something", (options.NAME, options.FILE), words="DO [WORD]...")


@pytest.mark.parametrize(
    "line",
    ["do it -n c1", "-n c1 do it", "do -n c1 it", "do it --name=c1", "do -nc1 -- it", "-n c1 -- do it"],
)
def test_words_of_a_command_stand_anywhere_beside_its_options(line):
    assert given(line, OWN).words == ["do", "it"]
    assert given(line, OWN).get(options.NAME) == "c1"


def test_what_follows_two_dashes_is_a_word():
    assert given("do -- -n --x", OWN).words == ["do", "-n", "--x"]


def test_usage_names_the_words():
    assert OWN.usage() == "usage: minilxc own DO [WORD]... [OPTION]..."
