"""Counting what is too much to count: little memory, and a known error."""

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping

OTHERS = "(others)"
_HASH = 64  # bits


class Distinct:
    """How many different names there are, and how often each stands there.

    Up to `capacity` different names are counted exactly. Beyond that only
    names whose hash ends in enough zero bits are kept; of those every
    occurrence is counted, so that shares of names by frequency are right
    but for chance. The standard error of `estimate` is at most some
    `sqrt(2 / capacity)` of it: 0.4 % with the default capacity.

    Args:
        capacity: Names held in memory.

    Source: adaptive sampling, Flajolet 1990,
    https://doi.org/10.1007/BF02241657; with counts as in Gibbons 2001,
    "Distinct sampling", https://www.vldb.org/conf/2001/P541.pdf.

    Example:

    >>> words = Distinct(capacity=100)
    >>> words.add({"a": 2, "rose": 1})
    >>> words.add({"a": 1})
    >>> words.estimate, words.total, words.exact
    (2, 4, True)
    >>> words.share_of_types(most=1)
    0.5
    """

    def __init__(self, capacity: int = 100_000):
        self.capacity, self.total, self._level = capacity, 0, 0
        self._counts: Counter[str] = Counter()

    def add(self, counts: Mapping[str, int]) -> None:
        """Counts names; each may stand there several times."""
        self.total += sum(counts.values())
        if self._level:
            counts = {n: c for n, c in counts.items() if self._is_kept(n)}
        self._counts.update(counts)
        while len(self._counts) > self.capacity:
            self._level += 1
            self._counts = Counter(
                {n: c for n, c in self._counts.items() if self._is_kept(n)}
            )

    @property
    def exact(self) -> bool:
        """Whether every name was kept."""
        return self._level == 0

    @property
    def estimate(self) -> int:
        """Returns how many different names there are."""
        return len(self._counts) << self._level

    @property
    def error(self) -> float:
        """Returns the standard error of `estimate`."""
        kept, share = len(self._counts), 0.5**self._level
        return math.sqrt(kept * (1 - share)) / share

    def share_of_types(self, most: int) -> float:
        """Returns which share of the names stands there `most` times or
        fewer."""
        if not self._counts:
            return 0.0
        rare = sum(count <= most for count in self._counts.values())
        return rare / len(self._counts)

    def repeats(self) -> float:
        """Returns which share of all occurrences is not the first of a name.

        What would go if each name were kept once.
        """
        kept = sum(self._counts.values())
        return 1 - len(self._counts) / kept if kept else 0.0

    def _is_kept(self, name: str) -> bool:
        data = name.encode("utf-8")
        digest = hashlib.blake2b(data, digest_size=_HASH // 8).digest()
        return not int.from_bytes(digest) & ((1 << self._level) - 1)


class Frequent:
    """The most frequent names, in bounded memory.

    A count is exact until there are more than `capacity` different names;
    from then on it may be too low by at most `error`.

    Args:
        capacity: Names held in memory.

    Source: Misra and Gries 1982, in the batches of Agarwal et al. 2012,
    "Mergeable summaries", https://doi.org/10.1145/2213556.2213562.

    Example:

    >>> words = Frequent(capacity=2)
    >>> words.add({"the": 5, "rose": 1, "thorn": 1})
    >>> words.top(2), words.error
    ([('the', 4)], 1)
    """

    def __init__(self, capacity: int = 100_000):
        self.capacity, self.error = capacity, 0
        self._counts: Counter[str] = Counter()

    def add(self, counts: Mapping[str, int]) -> None:
        """Counts names."""
        self._counts.update(counts)
        if len(self._counts) <= self.capacity:
            return
        # Half of them go at once: counting stays as fast as a dictionary.
        kept = self.capacity // 2
        cut = heapq.nlargest(kept + 1, self._counts.values())[-1]
        self.error += cut
        self._counts = Counter(
            {n: c - cut for n, c in self._counts.items() if c > cut}
        )

    def top(self, most: int) -> list[tuple[str, int]]:
        """Returns the most frequent names, equal counts by name."""
        return heapq.nsmallest(
            most, self._counts.items(), key=lambda one: (-one[1], one[0])
        )


class Sums:
    """Sums of several quantities by name: the first names, then others.

    Args:
        quantities: How many.
        capacity: Names that have sums of their own; later ones share
            "(others)".

    Example:

    >>> sizes = Sums(2, capacity=1)
    >>> for name in ("a", "b", "a", "c"):
    ...     sizes.add(name, (1, 10))
    >>> sizes.largest()
    [('a', [2, 20]), ('(others)', [2, 20])]
    """

    def __init__(self, quantities: int, capacity: int = 10_000):
        self._quantities, self._capacity = quantities, capacity
        self._sums: dict[str, list[int]] = {}

    def add(self, name: str, values: Iterable[int]) -> None:
        """Adds to the sums of a name."""
        if name not in self._sums and len(self._sums) >= self._capacity:
            name = OTHERS
        sums = self._sums.setdefault(name, [0] * self._quantities)
        for place, value in enumerate(values):
            sums[place] += value

    def largest(self) -> list[tuple[str, list[int]]]:
        """Returns names and sums, the largest second quantity first; what
        others share stands last."""
        return sorted(
            self._sums.items(),
            key=lambda one: (one[0] == OTHERS, -one[1][1], one[0]),
        )
