"""Pictures of the bias findings: bars, and a map of values."""

from collections.abc import Sequence

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
        dark = abs(value) > 0.6 * most
        axes.text(
            column,
            row,
            f"{value:.1f}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if dark else "black",
        )
    figure.colorbar(image, ax=axes)
    return Picture(figure, caption)


def bars(
    names: Sequence[str],
    values: Sequence[float],
    errors: Sequence[float | None],
    label: str,
    caption: str,
) -> Picture:
    """Draws a bar for each name, with its standard error where there is one.

    Raises:
        InputError: matplotlib is missing.

    Example:

    >>> bars(["she"], [9.0], [None], "per million words", "Mentions.").caption
    'Mentions.'
    """
    figure = new_figure(7.0, 1.2 + 0.28 * len(names))
    axes = figure.subplots()
    places = np.arange(len(names))
    widths = [0.0 if error is None else error for error in errors]
    axes.barh(places, values, xerr=widths)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)
    return Picture(figure, caption)
