"""Pictures of a sweep and of a power law."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_llm.figures import new_figure
from keras_llm.search.power_law import PowerLaw

BEYOND = 3.0  # how far over the largest size the law is drawn


def plot_sweep(
    rows: Sequence[dict[str, Any]],
    names: Sequence[str],
    path: str | os.PathLike,
) -> None:
    """Draws the loss of each trial over each searched value.

    Trials of full length are filled, shorter ones are hollow.

    Args:
        rows: Of `sweep`.
        names: What was searched; a panel each.
        path: Of the picture, .png, .svg or .pdf.

    Raises:
        InputError: matplotlib is missing.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "sweep.png"
    >>> row = {"learning_rate": 0.1, "steps": 9, "score": 2.0}
    >>> plot_sweep([row], ["learning_rate"], path)
    >>> path.read_bytes()[1:4]
    b'PNG'
    """
    figure = new_figure(4.0 * len(names) + 0.5, 4.0)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    done = [row for row in rows if row["score"] is not None]
    longest = max((row["steps"] for row in done), default=0)
    for axes, name in zip(panels, names, strict=True):
        for full in (False, True):
            some = [r for r in done if (r["steps"] == longest) == full]
            axes.scatter(
                [row[name] for row in some],
                [row["score"] for row in some],
                facecolors="C0" if full else "none",
                edgecolors="C0",
                label=f"{longest} steps" if full else "fewer",
            )
        axes.set(xlabel=name.replace("_", " "), xscale="log")
        axes.xaxis.set_minor_formatter("")
        if name != "learning_rate":
            tried = sorted({row[name] for row in done})
            axes.set_xticks(tried, [str(value) for value in tried])
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("loss")
    panels[0].legend()
    figure.savefig(path, dpi=120)


def plot_power_law(
    law: PowerLaw,
    name: str,
    path: str | os.PathLike,
    predict: Sequence[float] = (),
) -> None:
    """Draws the points, the law, its interval, and what it predicts.

    Args:
        law: From `fit_power_law`.
        name: Of x, for the axis.
        path: Of the picture.
        predict: Sizes to mark.

    Raises:
        InputError: matplotlib is missing.

    Example:

    >>> import pathlib, tempfile
    >>> from keras_llm.search.power_law import fit_power_law
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "law.png"
    >>> x = [1.0, 2.0, 4.0, 8.0]
    >>> law = fit_power_law(x, [1 + 1 / n for n in x], samples=9)
    >>> plot_power_law(law, "parameters", path, predict=[16.0])
    >>> path.read_bytes()[1:4]
    b'PNG'
    """
    figure = new_figure(6.0, 4.0)
    axes = figure.subplots()
    sizes = [x for x, _ in law.points]
    far = max([*sizes, *predict])
    line = np.geomspace(min(sizes), far * BEYOND, 100)
    edges = np.array([law.interval(x) for x in line])
    axes.fill_between(line, *edges.T, alpha=0.2, label="9 of 10 runs")
    axes.plot(line, [law.at(x) for x in line])
    axes.scatter(*np.array(law.points).T, label="runs")
    if predict:
        axes.scatter(
            predict,
            [law.at(x) for x in predict],
            marker="x",
            color="C3",
            label="predicted",
        )
    axes.set(
        xscale="log",
        xlabel=name,
        ylabel="loss",
        title=f"{law.a:.3g} + {law.b:.3g} * x^-{law.c:.3g}",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
