"""Pairs of answers that were judged in both orders, counted in every way."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from keras_llm.compare.pairs import Difference, ItemScores, compare_pairs
from keras_llm.compare.ratings import bradley_terry, elo
from keras_llm.compare.verdicts import FIRST, SECOND, TIE
from keras_llm.evaluate.statistics import Interval, resampled

RESAMPLES = 1_000  # of ratings
_POINTS = {FIRST: 1.0, TIE: 0.5, SECOND: 0.0}


class Match(NamedTuple):
    """Two answers to one prompt, judged in both orders.

    Attributes:
        item: The prompt's number.
        a: A model.
        b: The other.
        verdicts: "first" where `a` is better, "second" where `b` is, "tie",
            or None where the reply could not be read: with `a` in the first
            place, and with `b` there.
        replies: The judge's.

    Example:

    >>> Match(0, "x", "y", ("first", "second"), ("[[A]]", "[[A]]")).points
    0.5
    """

    item: int
    a: str
    b: str
    verdicts: tuple[str | None, str | None]
    replies: tuple[str, str]

    @property
    def points(self) -> float | None:
        """Of `a`: 1 for a win, 0.5 for a tie or a contradiction, else 0.

        None where one of the two replies could not be read.
        """
        one, other = self.verdicts
        if one is None or other is None:
            return None
        return _POINTS[one] if one == other else 0.5

    @property
    def consistent(self) -> bool | None:
        """Whether both orders gave the same; None if one is unreadable."""
        return None if None in self.verdicts else len({*self.verdicts}) == 1


class Rating(NamedTuple):
    """A model among others.

    Attributes:
        model: Its name.
        value: On the scale of chess, 1000 being the mean of all.
        interval: 95 %, by bootstrap over the prompts.
        error: Standard error, from the same bootstrap.

    Example:

    >>> Rating("a", 1040.0, Interval(1010.0, 1071.0), 15.0).value
    1040.0
    """

    model: str
    value: float
    interval: Interval
    error: float


def scored(matches: Sequence[Match]) -> Iterator[tuple[Match, float]]:
    """Yields the matches whose replies could be read, with `a`'s points.

    Example:

    >>> match = Match(0, "x", "y", ("tie", None), ("[[tie]]", "Hm."))
    >>> list(scored([match]))
    []
    """
    for match in matches:
        points = match.points
        if points is not None:
            yield match, points


def points_of(matches: Sequence[Match], a: str, b: str) -> list[float]:
    """Returns what `a` has of each readable match with `b`.

    Example:

    >>> match = Match(0, "x", "y", ("first", "first"), ("[[A]]", "[[B]]"))
    >>> points_of([match], "x", "y")
    [1.0]
    """
    return [points for match, points in scored(matches) if match[1:3] == (a, b)]


def preferences(
    matches: Sequence[Match], models: Sequence[str], seed: int = 0
) -> list[Difference]:
    """Returns who is preferred, pair by pair, corrected for all pairs.

    A lead is the first one's win rate, ties counted half, minus one half.

    Example:

    >>> match = Match(0, "x", "y", ("first", "first"), ("[[A]]", "[[B]]"))
    >>> preferences([match] * 9, ["x", "y"])[0].lead.difference
    0.5
    """
    pairs = {
        f"{a} against {b}": ItemScores({a: points / 2, b: (1 - points) / 2})
        for a, b in itertools.combinations(models, 2)
        for points in [np.array(points_of(matches, a, b))]
        if len(points)
    }
    return compare_pairs(pairs, seed=seed)


def ratings(
    matches: Sequence[Match], models: Sequence[str], seed: int = 0
) -> list[Rating]:
    """Returns the models from best to worst, by Bradley and Terry.

    Args:
        matches: At least one.
        models: Their names, at least two.
        seed: Of the bootstrap over prompts.

    Example:

    >>> match = Match(0, "x", "y", ("first", "first"), ("[[A]]", "[[B]]"))
    >>> [one.model for one in ratings([match], ["y", "x"])]
    ['x', 'y']
    """
    wins = _wins(matches, models)
    values = elo(bradley_terry(wins.sum(axis=0)))
    drawn = resampled(
        wins,
        lambda several: elo(bradley_terry(several.sum(axis=1))),
        resamples=RESAMPLES,
        seed=seed,
    )
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    errors = drawn.std(axis=0, ddof=1)
    found = [
        Rating(
            model=name,
            value=float(values[n]),
            interval=Interval(float(low[n]), float(high[n])),
            error=float(errors[n]),
        )
        for n, name in enumerate(models)
    ]
    return sorted(found, key=lambda one: -one.value)


def first_place(matches: Sequence[Match]) -> list[bool]:
    """Returns, of every verdict but ties, whether the first place won.

    Example:

    >>> first_place([Match(0, "x", "y", ("first", "tie"), ("", ""))])
    [True]
    """
    return [
        verdict == first
        for match in matches
        for verdict, first in zip(match.verdicts, (FIRST, SECOND), strict=True)
        if verdict in (FIRST, SECOND)
    ]


def longer_wins(
    matches: Sequence[Match], answers: Mapping[str, Sequence[str]]
) -> list[float]:
    """Returns what the longer answer has of each readable match.

    Answers of equal length are left out.

    Example:

    >>> match = Match(0, "x", "y", ("first", "first"), ("[[A]]", "[[B]]"))
    >>> longer_wins([match], {"x": ["yes"], "y": ["no"]})
    [1.0]
    """
    found = []
    for match, points in scored(matches):
        a, b = (len(answers[one][match.item]) for one in match[1:3])
        if a != b:
            found.append(points if a > b else 1 - points)
    return found


def _wins(matches: Sequence[Match], models: Sequence[str]) -> np.ndarray:
    """Wins of one over the other, `(items, models, models)`."""
    place = {name: n for n, name in enumerate(models)}
    items = 1 + max(match.item for match in matches)
    wins = np.zeros((items, len(place), len(place)))
    for match, points in scored(matches):
        a, b = place[match.a], place[match.b]
        wins[match.item, a, b], wins[match.item, b, a] = points, 1 - points
    return wins
