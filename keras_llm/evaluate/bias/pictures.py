"""Pictures of the bias findings: bars, and a map of values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_llm.evaluate.finding import Picture
from keras_llm.figures import new_figure


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: np.ndarray,
    caption: str,
) -> Picture:
    """Draws values `(rows, columns)` on colours around zero, with numbers.

    Raises:
        InputError: matplotlib is missing.

    Example:

    >>> heat_map(["old"], ["doctor"], np.array([[0.5]]), "Gaps.").caption
    'Gaps.'
    """
    figure = new_figure(2.5 + 0.55 * len(columns), 1.8 + 0.32 * len(rows))
    axes = figure.subplots()
    most = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    # PuOr: told apart by those who do not see red and green apart.
    image = axes.imshow(
        values, cmap="PuOr_r", vmin=-most, vmax=most, aspect="auto"
    )
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    for (row, column), value in np.ndenumerate(values):
        dark = abs(value) > 0.75 * most
        axes.text(
            column,
            row,
            f"{round(value, 1) + 0.0:.1f}",  # no -0.0
            ha="center",
            va="center",
            fontsize=7,
            color="white" if dark else "black",
        )
    figure.colorbar(image, ax=axes)
    return Picture(figure, caption)


def bars(
    rows: Sequence[Mapping[str, Any]], label: str, caption: str
) -> Picture:
    """Draws bars in a panel for each kind, each to its own scale.

    Args:
        rows: `kind`, `group`, `value`, and `error`, a standard error or None.
        label: Of the values.
        caption: Below.

    Raises:
        InputError: matplotlib is missing.

    Example:

    >>> row = {"kind": "age", "group": "old", "value": 9.0, "error": None}
    >>> bars([row], "per million words", "Mentions.").caption
    'Mentions.'
    """
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    panels = [[row for row in rows if row["kind"] == kind] for kind in kinds]
    figure = new_figure(7.0, 0.6 + 0.45 * len(kinds) + 0.22 * len(rows))
    columns = figure.subplots(
        len(kinds), 1, squeeze=False, height_ratios=list(map(len, panels))
    )[:, 0]
    for axes, kind, some in zip(columns, kinds, panels, strict=True):
        places = range(len(some))
        axes.barh(
            places,
            [row["value"] for row in some],
            xerr=[row["error"] or 0.0 for row in some],
        )
        axes.set_yticks(places, [row["group"] for row in some])
        axes.set_ylim(len(some) - 0.4, -0.6)  # the first on top, no margins
        axes.set_xlim(left=0)
        axes.set_title(kind, loc="left", fontsize="medium")
        axes.grid(axis="x", alpha=0.3)
    columns[-1].set_xlabel(label)
    return Picture(figure, caption)
