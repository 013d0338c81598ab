"""A run as a page: a picture of the loss, and tables in Markdown."""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.figures import new_figure
from keras_llm.files import atomic_path


def plot_loss(
    history: Sequence[Mapping[str, Any]],
    path: str | os.PathLike,
    title: str = "Loss",
) -> None:
    """Draws training and validation loss over the steps into a PNG file.

    Args:
        history: Lines of `metrics.jsonl` (`train.read_history`): `step`,
            `loss` and, where measured, `validation_loss`, in nats per token.
        path: The picture to write.
        title: Above the curves.

    Raises:
        InputError: matplotlib is missing, or the history is empty.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "loss.png"
    >>> plot_loss([{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}], path)
    >>> path.read_bytes()[1:4]
    b'PNG'
    """
    if not history:
        raise InputError(
            "Expected a history of at least one step. Received: none. Train "
            "for longer than one log_every."
        )
    figure = new_figure()
    axes = figure.subplots()
    curves = {"loss": "training", "validation_loss": "held out"}
    for name, label in curves.items():
        points = [
            (line["step"], line[name])
            for line in history
            if line.get(name) is not None
        ]
        if points:
            marker = "o" if name != "loss" or len(points) < 30 else None
            axes.plot(*zip(*points, strict=True), label=label, marker=marker)
    axes.set(title=title, xlabel="step", ylabel="loss (nats per token)")
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def markdown_table(
    rows: Sequence[Mapping[str, Any]], right: Collection[str] = ()
) -> str:
    """Returns rows of the same keys as a Markdown table.

    Args:
        rows: At least one.
        right: Names of the columns that are aligned to the right.

    Example:

    >>> print(markdown_table([{"name": "a|b", "size": 1}], right=["size"]))
    | name | size |
    | --- | ---: |
    | a\\|b | 1 |
    """

    def line(cells: Any) -> str:
        texts = (str(c).replace("|", "\\|").replace("\n", " ") for c in cells)
        return "| " + " | ".join(texts) + " |"

    head = list(rows[0])
    body = [line(row[name] for name in head) for row in rows]
    marks = ["---:" if name in right else "---" for name in head]
    return "\n".join([line(head), line(marks), *body])
