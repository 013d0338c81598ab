"""Longest common substrings with many texts, in one pass over each."""

from collections.abc import Iterable, Sequence

import numpy as np


class SuffixAutomaton:
    """All substrings of a text, and the longest of them found elsewhere.

    A state is a set of substrings that end at the same places; its link
    leads to the longest suffix that ends at others, too.

    Args:
        ids: The text, numbers.

    Source: Blumer et al. 1985; matching as in Chang and Lawler 1994.

    Example:

    >>> automaton = SuffixAutomaton([1, 2, 3, 1, 2])
    >>> automaton.read([9, 2, 3, 1, 8], place=100)
    >>> lengths, places = automaton.matches()
    >>> lengths.tolist()
    [1, 1, 2, 3, 1]
    """

    def __init__(self, ids: Sequence[int]):
        self._next: list[dict[int, int]] = [{}]
        self._link, self._length = [-1], [0]
        self._prefixes: list[int] = []
        last = 0
        for one in ids:
            last = self._append(one, last)
            self._prefixes.append(last)
        self._best = [0] * len(self._length)
        self._where = [-1] * len(self._length)

    def read(self, ids: Iterable[int], place: int) -> None:
        """Notes the longest substrings that another text shares.

        Args:
            ids: The other text.
            place: Of its first number, told by `matches`.
        """
        state, length = 0, 0
        for at, one in enumerate(ids, place):
            while state and one not in self._next[state]:
                state = self._link[state]
                length = self._length[state]
            if one not in self._next[state]:
                continue
            state, length = self._next[state][one], length + 1
            if length > self._best[state]:
                self._best[state] = length
                self._where[state] = at - length + 1

    def matches(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the longest match that ends at each number of the text.

        Returns:
            int `(numbers,)`: its length, 0 for none; and where it begins in
            what was read, -1 for nowhere.
        """
        best, where = self._best[:], self._where[:]
        order = sorted(range(1, len(best)), key=self._length.__getitem__)
        for state in reversed(order):  # a match has its suffixes, too
            link = self._link[state]
            if link and best[state] and best[link] < self._length[link]:
                skipped = best[state] - self._length[link]
                where[link] = where[state] + skipped
                best[link] = self._length[link]
        for state in order:  # a state without one has its link's
            if not best[state]:
                link = self._link[state]
                best[state], where[state] = best[link], where[link]
        ends = self._prefixes
        return np.array([best[s] for s in ends], "int64"), np.array(
            [where[s] for s in ends], "int64"
        )

    def _append(self, one: int, last: int) -> int:
        state = self._state(self._length[last] + 1, {}, 0)
        while last != -1 and one not in self._next[last]:
            self._next[last][one] = state
            last = self._link[last]
        if last != -1:
            self._link[state] = self._suffix(last, one)
        return state

    def _suffix(self, last: int, one: int) -> int:
        """The state of the longest suffix that was there before."""
        found = self._next[last][one]
        if self._length[found] == self._length[last] + 1:
            return found
        clone = self._state(
            self._length[last] + 1, self._next[found].copy(), self._link[found]
        )
        while last != -1 and self._next[last].get(one) == found:
            self._next[last][one] = clone
            last = self._link[last]
        self._link[found] = clone
        return clone

    def _state(self, length: int, following: dict[int, int], link: int) -> int:
        self._next.append(following)
        self._length.append(length)
        self._link.append(link)
        return len(self._next) - 1
