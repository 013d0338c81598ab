"""Windows of tokens laid into rows, so that what they share is read once.

A row is a prefix tree, node by node in depth-first order. A token sees the
nodes above it: the tokens that stand before it in its own windows. So the
choices after one question, contexts that begin alike and repeated requests
cost one reading, and a continuation of one token costs none of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from keras_llm.evaluate.pairs_rule import Window


class Tree(NamedTuple):
    """A row of tokens.

    Attributes:
        tokens: int32 `(nodes,)`, depth first.
        depths: int32 `(nodes,)`: each token's position in its window.
        ends: int32 `(nodes,)`: the first node after a node's descendants, so
            that node `i` sees node `j` where `j <= i < ends[j]`.
        places: For each window of the row: its number, and int32 `(scored,)`,
            the node that predicts each of its scored tokens.

    Example: see `prefix_trees`.
    """

    tokens: np.ndarray
    depths: np.ndarray
    ends: np.ndarray
    places: list[tuple[int, np.ndarray]]


class _Growing:
    """A tree while windows are added to it, in lexicographic order."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.depths: list[int] = []
        self.ends: list[int] = []
        self.places: list[tuple[int, np.ndarray]] = []
        self._read: Sequence[int] = ()  # the last window's tokens
        self._path: list[int] = []  # and their nodes

    @property
    def size(self) -> int:
        return len(self.tokens)

    def shared(self, read: Sequence[int]) -> int:
        """How many first tokens a window has in common with the last one."""
        pairs = zip(read, self._read, strict=False)
        most = min(len(read), len(self._read))
        return next((i for i, (a, b) in enumerate(pairs) if a != b), most)

    def add(
        self, number: int, read: Sequence[int], scored: int, shared: int
    ) -> None:
        """Adds a window's own tokens behind those that it shares."""
        self._close(shared)
        begin = self.size
        self.tokens += read[shared:]
        self.depths += range(shared, len(read))
        self.ends += [0] * (self.size - begin)
        self._path[shared:] = range(begin, self.size)
        self._read = read
        nodes = np.array(self._path[len(read) - scored :], "int32")
        self.places.append((number, nodes))

    def finish(self) -> Tree:
        """Returns the tree."""
        self._close(0)
        lists = (self.tokens, self.depths, self.ends)
        tokens, depths, ends = np.array(lists, "int32")
        return Tree(tokens, depths, ends, self.places)

    def _close(self, depth: int) -> None:
        """No node below this depth of the path gets more descendants."""
        for node in self._path[depth:]:
            self.ends[node] = self.size


def prefix_trees(
    windows: Mapping[int, Window], longest: int, linear: float
) -> Iterator[Tree]:
    """Lays windows into rows that share what it pays to share.

    Reading `n` tokens is taken to cost `n * (linear + n)`: attention looks at
    all pairs of a row. A window joins the row of the one before it, in
    lexicographic order, where that costs less than a row of its own.

    Args:
        windows: By number; see `pairs_rule`. A window's last token is not
            read.
        longest: Most tokens of a row with several windows.
        linear: Tokens of a row at which attention to all pairs costs as much
            as everything else. 0: every window has a row of its own.

    Yields:
        The rows; each window is in one of them.

    Source: the mask of tree attention, Miao et al. 2023 (SpecInfer),
    https://arxiv.org/abs/2305.09781.

    Example:

    >>> two = {0: ([1, 2, 3], 1), 1: ([1, 2, 4, 5], 2)}
    >>> [tree] = prefix_trees(two, longest=9, linear=99)
    >>> tree.tokens.tolist(), tree.depths.tolist(), tree.ends.tolist()
    ([1, 2, 4], [0, 1, 2], [3, 3, 3])
    >>> [(number, nodes.tolist()) for number, nodes in tree.places]
    [(0, [1]), (1, [1, 2])]
    """

    def cost(size: int) -> float:
        return size * (linear + size)

    row = _Growing()
    for read, scored, number in sorted(
        (tokens[:-1], scored, number)
        for number, (tokens, scored) in windows.items()
    ):
        shared = row.shared(read) if linear else 0
        size, whole = row.size, row.size + len(read) - shared
        if size and (
            whole > longest or cost(whole) > cost(size) + cost(len(read))
        ):
            yield row.finish()
            row, shared = _Growing(), 0
        row.add(number, read, scored, shared)
    if row.size:
        yield row.finish()
