"""Numbers of a stream at a glance: histogram, mean, a random sample."""

import heapq
import math
from collections import Counter
from typing import Generic, NamedTuple, TypeVar

import numpy as np

_FINE = 32  # bins of a factor of two
_COARSE = 4  # bins that a histogram puts together
Item = TypeVar("Item")


class Lengths:
    """A histogram of whole numbers of any size, on a logarithmic scale.

    32 bins of a factor of two: a quantile is off by 1.1 % at most.

    Source: Masson et al. 2019, "DDSketch", https://arxiv.org/abs/1908.10693.

    Example:

    >>> lengths = Lengths()
    >>> for value in (0, 100, 100, 1000):
    ...     lengths.add(value)
    >>> round(lengths.quantile(0.5)), lengths.smallest, lengths.largest
    (100, 0, 1000)
    """

    def __init__(self) -> None:
        self.count = self.smallest = self.largest = 0
        self._bins: Counter[int] = Counter()

    def add(self, value: int) -> None:
        """Counts a number, 0 or more."""
        self.smallest = min(value, self.smallest) if self.count else value
        self.largest = max(value, self.largest)
        self.count += 1
        self._bins[_bin(value)] += 1

    def quantile(self, share: float) -> float:
        """Returns the middle of the bin that a share of the numbers is
        below."""
        wanted, seen = share * (self.count - 1), 0
        for place in sorted(self._bins):
            seen += self._bins[place]
            if seen > wanted:
                return min(max(_middle(place), self.smallest), self.largest)
        return 0.0

    def histogram(self) -> list[tuple[float, float, int]]:
        """Returns from, to (not included) and how many, without gaps."""
        joined: Counter[int] = Counter()
        for place, count in self._bins.items():
            joined[place // _COARSE] += count
        return [
            (_edge(place), _edge(place + 1), joined[place])
            for place in range(min(joined), max(joined) + 1)
        ]


class Mean:
    """The mean of numbers as they come, with its standard error.

    Source: Welford 1962, https://doi.org/10.1080/00401706.1962.10490022.

    Example:

    >>> mean = Mean()
    >>> for value in (1.0, 2.0, 3.0):
    ...     mean.add(value)
    >>> mean.value, round(mean.error, 4)
    (2.0, 0.5774)
    """

    def __init__(self) -> None:
        self.count, self.value, self._squares = 0, 0.0, 0.0

    def add(self, value: float) -> None:
        """Takes a number in."""
        self.count += 1
        away = value - self.value
        self.value += away / self.count
        self._squares += away * (value - self.value)

    @property
    def error(self) -> float | None:
        """Returns the standard error, None below two numbers."""
        if self.count < 2:
            return None
        return math.sqrt(self._squares / (self.count - 1) / self.count)


class Drawn(NamedTuple, Generic[Item]):
    """An item of a sample; the smaller its rank, the longer it stays."""

    rank: float
    number: int
    item: Item
    size: int


class Sample(Generic[Item]):
    """A random sample of a stream, bounded by its size; a seed decides it.

    Every item is as likely to be in it as any other: each gets a random
    rank, and as the sample grows too large those of the highest rank leave.

    Args:
        room: Largest sum of the sizes in the sample.
        seed: The same seed and stream give the same sample.

    Source: bottom-k sampling, Cohen and Kaplan 2007,
    https://doi.org/10.1145/1281100.1281133.

    Example:

    >>> sample = Sample(room=30, seed=0)
    >>> for number in range(1000):
    ...     sample.add(number, size=10)
    >>> len(sample.items()), sample.seen
    (3, 1000)
    """

    def __init__(self, room: int, seed: int = 0):
        self.room, self.seen, self._size = room, 0, 0
        self._random = np.random.default_rng(seed)
        self._limit = math.inf
        self._heap: list[tuple[float, int, Drawn[Item]]] = []

    def add(self, item: Item, size: int) -> None:
        """Lets an item take part."""
        rank = float(self._random.random())
        self.seen += 1
        if rank >= self._limit:
            return
        drawn = Drawn(rank, self.seen, item, size)
        heapq.heappush(self._heap, (-rank, self.seen, drawn))
        self._size += size
        while self._size > self.room and len(self._heap) > 1:
            highest = heapq.heappop(self._heap)[2]
            self._size -= highest.size
            self._limit = highest.rank

    def items(self) -> list[Item]:
        """Returns the sample in the order of the stream."""
        drawn = sorted((d for _, _, d in self._heap), key=lambda d: d.number)
        return [one.item for one in drawn]


def _bin(value: int) -> int:
    return math.floor(math.log2(value) * _FINE) if value else -1


def _edge(place: int) -> float:
    """Where a bin of the histogram begins; below 1 is nothing but 0."""
    return 2 ** (place * _COARSE / _FINE) if place >= 0 else 0.0


def _middle(place: int) -> float:
    return 2 ** ((place + 0.5) / _FINE) if place >= 0 else 0.0
