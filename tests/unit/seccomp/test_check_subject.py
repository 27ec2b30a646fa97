"""The questions that checks ask about filters, against trying every word of a small argument."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from minilxc.seccomp.checks.subject import holds_at, overlap
from minilxc.seccomp.policy import Filter
from minilxc.seccomp.rules import holds
from minilxc.seccomp.wording import call_text, listed

BITS = 5
WORDS = range(1 << BITS)
VALUES = st.integers(0, (1 << BITS + 1) - 1)  # some beyond what an argument can have


@st.composite
def filters(draw: st.DrawFn, arg: int = 0) -> Filter:
    op = draw(st.sampled_from(("==", "!=", "<", "<=", ">", ">=", "&=")))
    value, mask = draw(VALUES), draw(VALUES)
    return Filter(arg, op, value & mask, mask) if op == "&=" else Filter(arg, op, value, 0)


@settings(max_examples=500, deadline=None)
@given(filters())
def test_always_never_or_sometimes(test: Filter) -> None:
    answers = {holds(test, word) for word in WORDS}
    assert holds_at(test, BITS) == (answers.pop() if len(answers) == 1 else None)


@settings(max_examples=800, deadline=None)
@given(filters(), filters())
def test_two_filters_overlap_where_a_word_passes_both(first: Filter, second: Filter) -> None:
    found = overlap([first], [second], BITS)
    both = [word for word in WORDS if holds(first, word) and holds(second, word)]
    if found is None:
        assert both == []
    else:
        assert found[0] in both
        assert found[1:] == (0,) * 5


@settings(max_examples=200, deadline=None)
@given(filters(0), filters(1), filters(0), filters(1))
def test_each_argument_counts(a: Filter, b: Filter, c: Filter, d: Filter) -> None:
    found = overlap([a, b], [c, d], BITS)
    possible = [any(holds(one, word) and holds(two, word) for word in WORDS) for one, two in ((a, c), (b, d))]
    assert (found is not None) == all(possible)


def test_lists_and_calls_are_text() -> None:
    assert [listed(list("abc"[:n])) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert listed([str(n) for n in range(10)]) == "0, 1, 2, 3, 4, 5, 6 and 3 more"
    assert call_text("socket", (16, 0x10000, 0, 9, 0, 0)) == "socket(16, 0x10000, 0, 9)"
    assert call_text("getpid", (0,) * 6) == "getpid()"
