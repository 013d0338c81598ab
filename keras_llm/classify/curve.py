"""The picture of a run: accuracy and loss over steps."""

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any

from keras_llm.figures import new_figure

PANELS = ("accuracy", "loss")


def plot_curve(
    history: Sequence[dict[str, Any]],
    path: str | os.PathLike,
    title: str = "",
    test: float | None = None,
) -> bool:
    """Draws accuracy and loss of training and validation over the steps.

    Args:
        history: Lines of a run's `metrics.jsonl` (`train.read_history`).
        path: Of the picture, .png, .svg or .pdf.
        title: What stands over it.
        test: An accuracy to mark by a line, from 0 to 1.

    Returns:
        Whether it was drawn; without matplotlib (extra `viz`) a sentence on
        standard error says that it was not.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "curve.png"
    >>> plot_curve([{"step": 1, "accuracy": 0.5, "loss": 0.7}], path)
    True
    >>> path.read_bytes()[1:4]
    b'PNG'
    """
    if importlib.util.find_spec("matplotlib") is None:
        print(
            f"{path} was not drawn, because matplotlib is missing: "
            'pip install "keras_llm[viz]".',
            file=sys.stderr,
        )
        return False
    figure = new_figure(8, 3.2)
    for axes, name in zip(figure.subplots(1, 2), PANELS, strict=True):
        for key, label in ((name, "training"), (f"validation_{name}", "held")):
            lines = [one for one in history if one.get(key) is not None]
            steps = [one["step"] for one in lines]
            label = "validation" if label == "held" else label
            axes.plot(steps, [one[key] for one in lines], ".-", label=label)
        if test is not None and name == "accuracy":
            axes.axhline(test, color="grey", label=f"test {test:.2%}")
        axes.set(xlabel="step", ylabel=name)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    return True
