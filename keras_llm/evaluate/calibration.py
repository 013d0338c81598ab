"""Whether probabilities mean what they say: 0.8 should be right in 8 of 10.

In arrays, for classifiers; `token_calibration` does the same for language
models, whose probabilities are too many to keep.
"""

from typing import Any, NamedTuple

import numpy as np

from keras_llm.errors import check_choice
from keras_llm.figures import new_figure

BINS = 15
KINDS = ("expected", "adaptive", "maximum")
FEW = 5  # items of a bin, below which its accuracy is chance
_POINTS, _BARS = ("confidence", "accuracy"), ("confidence", "counts")


class Reliability(NamedTuple):
    """Items in bins by confidence; bins without an item are left out.

    Attributes:
        counts: Items of each bin, float64 `(bins,)` as all.
        confidence: Their mean confidence.
        accuracy: Share of them that is right.

    Example:

    >>> table = Reliability(np.array([3, 1]), np.array([0.5, 0.9]),
    ...     np.array([0.5, 1.0]))
    >>> round(table.expected, 3), round(table.maximum, 3)
    (0.025, 0.1)
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def expected(self) -> float:
        """Mean over items of the gap between confidence and accuracy."""
        gaps = np.abs(self.confidence - self.accuracy)
        return float((self.counts * gaps).sum() / self.counts.sum())

    @property
    def maximum(self) -> float:
        """The largest gap of a bin."""
        return float(np.abs(self.confidence - self.accuracy).max())

    def rows(self) -> list[dict[str, float]]:
        """Returns a row for each bin, from unsure to sure."""
        columns = zip(*(column.tolist() for column in self), strict=True)
        return [dict(zip(self._fields, row, strict=True)) for row in columns]


def calibration_error(
    probabilities: np.ndarray,
    targets: np.ndarray,
    bins: int = BINS,
    kind: str = "expected",
) -> float:
    """Returns how far confidence and accuracy are apart, from 0 to 1.

    Items are put into bins by how sure the model is; each bin's accuracy is
    compared with its mean confidence. With many labels each yes or no counts
    as an item.

    Args:
        probabilities: `(items, labels)`.
        targets: int `(items,)`, or 0 and 1 `(items, labels)`.
        bins: Default: 15, as in the paper.
        kind: "expected" (ECE): the mean gap over items, of bins of equal
            width; "adaptive": the same of bins of equally many items;
            "maximum" (MCE): the largest gap of a bin of equal width.

    Raises:
        InputError: Another kind.

    Source: Naeini et al. 2015; Guo et al. 2017,
    https://arxiv.org/abs/1706.04599; for "adaptive" Nguyen and O'Connor 2015,
    https://aclanthology.org/D15-1182.

    Example:

    >>> round(calibration_error(np.array([[0.9, 0.1]] * 4),
    ...     np.array([0, 0, 0, 1])), 2)  # says 0.9, is right in 0.75
    0.15
    """
    check_choice("kind", kind, KINDS)
    table = reliability(probabilities, targets, bins, kind == "adaptive")
    return table.maximum if kind == "maximum" else table.expected


def reliability(
    probabilities: np.ndarray,
    targets: np.ndarray,
    bins: int = BINS,
    equal_mass: bool = False,
) -> Reliability:
    """Returns confidence and accuracy of items in bins by confidence.

    Args:
        probabilities, targets, bins: As for `calibration_error`.
        equal_mass: Whether bins have equally many items, not equal widths.

    Example:

    >>> reliability(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0])).rows()
    [{'counts': 1.0, 'confidence': 0.6, 'accuracy': 0.0}, {'counts': 1.0, ...
    """
    sure, right = sure_and_right(probabilities, targets)
    order = np.argsort(sure, kind="stable")
    ones = np.ones(len(sure))
    cells = np.stack([ones, sure[order], right[order]])
    return reliability_of_cells(cells, bins, equal_mass)


def reliability_of_cells(
    cells: np.ndarray, bins: int = BINS, equal_mass: bool = False
) -> Reliability:
    """Returns bins made of whole cells: single items, or many alike.

    Args:
        cells: `(3, cells)`, from unsure to sure: how many items, and the sums
            of their confidence and of how many are right.
        bins, equal_mass: As for `reliability`.

    Example:

    >>> cells = np.array([[2.0, 2.0], [0.8, 1.8], [1.0, 2.0]])
    >>> reliability_of_cells(cells, 10).accuracy.tolist()
    [0.5, 1.0]
    """
    cells = cells[:, cells[0] > 0]
    counts, sure, _ = cells
    if equal_mass:
        middle = np.cumsum(counts) - (counts + 1) / 2
        places = middle * bins // counts.sum()
    else:
        places = np.minimum(sure / counts * bins, bins - 1)
    places = places.astype(int)
    counts, sure, right = (
        np.bincount(places, weights=row, minlength=bins) for row in cells
    )
    held = counts > 0
    counts, sure, right = counts[held], sure[held], right[held]
    return Reliability(counts, sure / counts, right / counts)


def reliability_figure(tables: dict[str, list[dict[str, float]]]) -> Any:
    """Draws accuracy over confidence, and how many items are where.

    A bin of fewer than five items is a hollow point: it says little. Where no
    confidence is below 0.5, as with two labels, the axis begins there.

    Args:
        tables: `CalibrationScores.bins` by title, side by side.

    Raises:
        InputError: matplotlib is missing.

    Example:

    >>> rows = [{"counts": 3.0, "confidence": 0.5, "accuracy": 0.4}]
    >>> len(reliability_figure({"raw": rows}).axes)
    2
    """
    figure = new_figure(4.2 * len(tables), 5)
    axes = figure.subplots(
        2, len(tables), squeeze=False, sharex=True, height_ratios=[3, 1]
    )
    every = [row["confidence"] for rows in tables.values() for row in rows]
    least = 0.5 if min(every) >= 0.5 else 0.0
    for column, (title, rows) in enumerate(tables.items()):
        above, below = axes[:, column]
        _draw_points(above, rows)
        above.set(title=title, xlim=(least - 0.02, 1.02), ylim=(-0.03, 1.03))
        x, counts = ([row[key] for row in rows] for key in _BARS)
        below.bar(x, counts, width=0.03 * (1 - least))
        below.set(xlabel="confidence", ylabel="items", yscale="log")
        below.minorticks_off()  # over less than a decade labels would overlap
    for one in axes.flat:
        one.grid(alpha=0.3)
    return figure


def _draw_points(axes: Any, rows: list[dict[str, float]]) -> None:
    """The accuracy of each bin, beside what it would be at best."""
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfect")
    many = np.array([row["counts"] >= FEW for row in rows])
    points = np.array([[row[key] for key in _POINTS] for row in rows])
    (line,) = axes.plot(*points.T, linewidth=1, alpha=0.5)
    for chosen, name, inside in (
        (many, "found", line.get_color()),
        (~many, f"of fewer than {FEW} items", "white"),
    ):
        if chosen.any():
            axes.scatter(
                *points[chosen].T,
                label=name,
                facecolor=inside,
                edgecolor=line.get_color(),
                zorder=3,
            )
    axes.set(ylabel="accuracy")
    axes.legend()


def sure_and_right(
    probabilities: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the confidence of each item, and 1.0 where it is right, else 0.

    Args:
        probabilities, targets: As for `calibration_error`.

    Returns:
        Two of float64 `(items,)`; with many labels each yes or no is an item.

    Example:

    >>> sure_and_right(np.array([[0.9, 0.1]]), np.array([1]))
    (array([0.9]), array([0.]))
    """
    p, truth = np.asarray(probabilities, "float64"), np.asarray(targets)
    if truth.ndim == 2:
        p = np.stack([1 - p.ravel(), p.ravel()], axis=-1)
        truth = truth.ravel()
    return p.max(-1), (p.argmax(-1) == truth.astype(int)).astype("float64")
