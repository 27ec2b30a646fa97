"""From a graph of decisions to BPF instructions.

A `Graph` is built from its ends: a return first, then what leads to it. Equal nodes are one node, so
branches that go on alike share their code. `linear` lays the graph out in a program.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from .program import AND, JUMP, JUMP_AT_LEAST, JUMP_EQUAL, LOAD, RETURN, Instruction

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_ALONE = 3  # more tests in a row would make the way longer than halving does
_MAX_OFFSET = 255  # jt and jf are bytes
_HUGE = 1 << 20  # branches that share much would count up to astronomic sizes


class Graph:
    """Decision nodes, known by their index. A node's followers are always older than it."""

    __slots__ = ("nodes", "_known")

    def __init__(self) -> None:
        self.nodes: list[tuple[int, int, int, int]] = []
        """(opcode, k, follower, follower when a jump's test fails); a return has no followers: -1."""
        self._known: dict[tuple[int, int, int, int], int] = {}

    def _node(self, code: int, k: int, then: int = -1, otherwise: int = -1) -> int:
        node = (code, k, then, otherwise)
        index = self._known.setdefault(node, len(self.nodes))
        if index == len(self.nodes):
            self.nodes.append(node)
        return index

    def answer(self, action: int) -> int:
        """A return of `action`."""
        return self._node(RETURN, action)

    def load(self, offset: int, then: int) -> int:
        """A = the word of seccomp_data at `offset`; nothing at all where `then` does not look at it."""
        if self.nodes[then][0] in (LOAD, RETURN):
            return then
        return self._node(LOAD, offset, then)

    def mask(self, bits: int, then: int) -> int:
        """A &= bits."""
        return self._node(AND, bits, then)

    def test(self, code: int, k: int, then: int, otherwise: int) -> int:
        """A conditional jump; nothing at all where both ways are the same."""
        return then if then == otherwise else self._node(code, k, then, otherwise)

    def search(self, ranges: Sequence[tuple[int, int]]) -> int:
        """The tree that finds A's range. `ranges` are (first value, node), ascending; the first begins at 0.

        Neighbours with the same node are one range. Where few numbers stand alone among others that have
        one node, each is one test for equality, which takes fewer instructions than halving.
        """
        merged: list[tuple[int, int]] = []
        for start, node in ranges:
            if not merged or merged[-1][1] != node:
                merged.append((start, node))
        return self._search(merged)

    def _search(self, ranges: list[tuple[int, int]]) -> int:
        around = ranges[-1][1]
        alone: list[tuple[int, int]] = []
        for (start, node), (end, _) in pairwise(ranges):
            if node != around:
                if end != start + 1 or len(alone) == _MAX_ALONE:
                    break
                alone.append((start, node))
        else:
            for start, node in reversed(alone):
                around = self.test(JUMP_EQUAL, start, node, around)
            return around
        middle = len(ranges) // 2
        upper = self._search(ranges[middle:])
        lower = self._search(ranges[:middle])
        return self.test(JUMP_AT_LEAST, ranges[middle][0], upper, lower)


def linear(graph: Graph, root: int) -> tuple[Instruction, ...]:
    """The program that starts at `root`.

    It is written from its end, so that the distance of every jump is known: of a node's two followers
    the larger lies farther away. A return out of a jump's reach is written again, nearer; any other
    node is reached through a long jump.
    """
    program: list[Instruction] = []  # backwards
    placed: dict[int, int] = {}  # node to its position in `program`

    def write(code: int, jt: int, jf: int, k: int) -> int:
        program.append(Instruction(code, jt, jf, k))
        return len(program) - 1

    def reach(node: int, limit: int) -> int:
        """A position of `node`, or of a jump to it, at most `limit` instructions after the next one."""
        if len(program) - 1 - placed[node] > limit:
            code, k, _, _ = graph.nodes[node]
            if code == RETURN:
                placed[node] = write(code, 0, 0, k)
            else:
                return write(JUMP, 0, 0, len(program) - 1 - placed[node])
        return placed[node]

    for node in _order(graph, root):
        code, k, then, otherwise = graph.nodes[node]
        if code == RETURN:
            placed[node] = write(code, 0, 0, k)
        elif otherwise < 0:
            reach(then, 0)
            placed[node] = write(code, 0, 0, k)
        else:
            far, near = (then, otherwise) if placed[then] < placed[otherwise] else (otherwise, then)
            # reaching the near one may write one more instruction between the far one and the jump
            at = {far: reach(far, _MAX_OFFSET - 1), near: reach(near, _MAX_OFFSET)}
            here = len(program) - 1
            placed[node] = write(code, here - at[then], here - at[otherwise], k)
    return tuple(reversed(program))


def _order(graph: Graph, root: int) -> list[int]:
    """All nodes that `root` leads to, followers first, the larger of two before the smaller."""
    size = [0] * (root + 1)
    for index, (_, _, then, otherwise) in enumerate(graph.nodes[: root + 1]):
        size[index] = min(1 + sum(size[follower] for follower in (then, otherwise) if follower >= 0), _HUGE)
    order: list[int] = []
    seen: set[int] = set()
    pending = [(root, False)]
    while pending:
        node, followed = pending.pop()
        if followed:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            pending.append((node, True))
            followers = [follower for follower in graph.nodes[node][2:] if follower >= 0]
            # the last one pushed is written first
            pending += [(follower, False) for follower in sorted(followers, key=size.__getitem__)]
    return order
