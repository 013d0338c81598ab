"""Training curves: what a run left in its folder, with what it wrote."""

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_llm.errors import InputError
from keras_llm.figures import new_figure
from keras_llm.train.callbacks import read_history
from keras_llm.train.folder import HISTORY, SAMPLES
from keras_llm.visualize.palette import drawable, line_style

WIDTH, LINES = 92, 2  # letters and lines of a sample in the picture
_LINE = 0.19  # its height in inches


class Sample(NamedTuple):
    """A text that a run generated.

    Attributes:
        step: The optimizer step.
        text: What was generated.

    Example:

    >>> Sample(100, "a rose").step
    100
    """

    step: int
    text: str


def training_curves(
    folder: str | os.PathLike,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns the numbers of a run over its steps.

    Args:
        folder: What `train.fit` wrote to.

    Returns:
        By name, such as "loss", "validation_loss" and "learning_rate": the
        steps, int64, and the values, float64; NaN where one was not finite.
        A name is there from the first step that has it.

    Raises:
        InputError: The folder has no history, or a line of it is damaged.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / HISTORY).write_text('{"step": 5, "loss": 2.0}\\n')
    >>> training_curves(folder)["loss"]
    (array([5]), array([2.]))
    """
    history = read_history(Path(folder) / HISTORY)
    if not history:
        raise InputError(
            f"Expected the folder of a training run, with {HISTORY}. "
            f"Received: {folder}, which has none, or an empty one. Pass what "
            "train.fit had as `out`."
        )
    names = dict.fromkeys(name for line in history for name in line)
    return {
        name: (
            np.array([line["step"] for line in history if name in line]),
            np.array([line[name] for line in history if name in line], "float"),
        )
        for name in names
        if name != "step"
    }


def run_samples(folder: str | os.PathLike) -> list[Sample]:
    """Returns the texts that a run generated; [] if it made none.

    Args:
        folder: What `train.fit` wrote to.

    Raises:
        InputError: A line of its file is damaged.

    Example:

    >>> run_samples("no/such/folder")
    []
    """
    return [
        Sample(line["step"], text)
        for line in read_history(Path(folder) / SAMPLES)
        for text in line["texts"]
    ]


def training_figure(folder: str | os.PathLike, samples: int = 5) -> Any:
    """Draws loss and learning rate of a run, with texts that it generated.

    Args:
        folder: What `train.fit` wrote to; the run may still go on.
        samples: How many texts to show at most, the first of their step,
            spread over the run; the last is among them.

    Returns:
        A `matplotlib.figure.Figure`. The dashed lines are where the texts
        below were generated.

    Raises:
        InputError: As for `training_curves`; matplotlib is missing.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / HISTORY).write_text('{"step": 5, "loss": 2.0}\\n')
    >>> training_figure(folder).axes[0].get_ylabel()
    'loss in nats'
    """
    curves = training_curves(folder)
    shown = _chosen(run_samples(folder), samples)
    notes = [_note(one) for one in shown]
    lines = sum(note.count("\n") + 1 for note in notes)
    height = _LINE * lines + 0.2 * bool(notes)
    figure = new_figure(8, 4.4 + height)
    ratios = [3.0, 1.4, height] if notes else [3.0, 1.4]
    loss, rate, *below = figure.subplots(len(ratios), 1, height_ratios=ratios)
    _draw(loss, curves, {"loss": "training", "validation_loss": "validation"})
    _draw(rate, curves, {"learning_rate": "learning rate"})
    loss.set_ylabel("loss in nats")
    loss.legend(fontsize=8)
    rate.set(xlabel="step", ylabel="learning rate")
    rate.sharex(loss)
    for one in shown:
        loss.axvline(one.step, color="#888888", linestyle="--", linewidth=0.8)
    for axes in below:
        axes.set_axis_off()
        axes.text(
            *(0.0, 1.0, "\n".join(notes)),
            family="monospace",
            fontsize=8,
            va="top",
            transform=axes.transAxes,
        )
    return figure


def _draw(axes: Any, curves: dict, labels: dict[str, str]) -> None:
    """The curves that there are."""
    for index, (name, label) in enumerate(labels.items()):
        if name in curves:
            steps, values = curves[name]
            marker = "." if len(steps) <= 60 else None
            style = line_style(index)
            axes.plot(steps, values, marker=marker, label=label, **style)
    axes.grid(alpha=0.3)


def _chosen(samples: Sequence[Sample], most: int) -> list[Sample]:
    """The first text of some steps, the last step among them."""
    first = list({one.step: one for one in reversed(samples)}.values())[::-1]
    if not first or most < 1:
        return []
    count = min(most, len(first))
    places = np.linspace(len(first) - 1, 0, count).round().astype(int)[::-1]
    return [first[place] for place in places]


def _note(sample: Sample) -> str:
    """A sample as lines of the picture, cut where they are too many."""
    text = drawable(sample.text.replace("\n", "⏎").replace("\t", "⇥"))
    label = f"step {sample.step:>6}  "
    return textwrap.fill(
        text.strip() or "(nothing)",
        WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        max_lines=LINES,
        placeholder=" …",
    )
