"""Looking rules up says what trying them says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minilxc.seccomp.matching import Matchers
from minilxc.seccomp.policy import Filter
from minilxc.seccomp.rules import Condition, Conditions, matching

VALUES = st.sampled_from([0, 1, 2, 7, 8, 0xFF, 1 << 32, (1 << 32) + 1, 1 << 63, (1 << 64) - 1])
OPERATORS = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "&="])


@st.composite
def filters(draw: st.DrawFn) -> tuple[Filter, ...]:
    found = []
    for arg in draw(st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True)):
        op, value = draw(OPERATORS), draw(VALUES)
        found.append(Filter(arg, op, value, value | draw(VALUES) if op == "&=" else 0))
    return tuple(found)


@given(st.lists(filters(), min_size=1, max_size=8), st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1))
def test_looking_up_is_trying(rules: list[tuple[Filter, ...]], asked: list[tuple[int, int, int]]) -> None:
    stage = Conditions(tuple(Condition(each, at, f"p:{at}") for at, each in enumerate(rules)))
    matchers = Matchers()
    for words in asked:
        assert matchers(stage, words) == matching(stage, words)
