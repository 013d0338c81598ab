"""Per-token loss: which words surprised the model."""

from typing import Any

import numpy as np
from keras import ops

from keras_llm.figures import new_figure
from keras_llm.visualize.observing import read_text
from keras_llm.visualize.palette import drawable

LINE = 84  # letters of a line of the picture
_LETTER = 0.095  # width in inches of a letter of the font below
_HEIGHT = 0.3


def token_losses(
    model: Any, text: Any, tokenizer: Any = None
) -> tuple[list[str], np.ndarray]:
    """Returns the loss of every token of a text.

    Args:
        model: A `CausalLM`, or any Keras model from tokens to logits.
        text: A string, or the ids of one text, within the context.
        tokenizer: Of a Keras model, for a string and for names of tokens.

    Returns:
        The tokens as drawn, and float64 `(tokens,)`: each one's negative
        log-probability in nats, NaN for the first, which nothing predicts.

    Raises:
        InputError: The text has no two tokens.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> names, losses = token_losses(model, [1, 2, 3])
    >>> bool(abs(losses[1] - np.log(9)) < 0.3)  # knows nothing yet
    True
    """
    model, ids, labels = read_text(model, text, tokenizer)
    logits = ops.cast(model(np.array([ids], "int32")), "float32")[0]
    table = ops.convert_to_numpy(ops.log_softmax(logits, axis=-1))
    losses = np.full(len(ids), np.nan)
    losses[1:] = -table[np.arange(len(ids) - 1), ids[1:]]
    return labels, losses


def token_loss_figure(model: Any, text: Any, tokenizer: Any = None) -> Any:
    """Draws a text with every token on a colour: the darker, the worse.

    Args, errors: as for `token_losses`; matplotlib may be missing.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> [t.get_text() for t in token_loss_figure(model, [1, 2]).axes[0].texts]
    ['1', '2']
    """
    labels, losses = token_losses(model, text, tokenizer)
    labels = [drawable(label) for label in labels]
    lines = wrapped(labels)
    figure = new_figure(_LETTER * (LINE + 8), _HEIGHT * len(lines) + 0.9)
    axes = figure.subplots()
    colours, scale = _colours(losses)
    for row, line in enumerate(lines):
        column = 0
        for place in line:
            axes.text(
                *(column, -row, labels[place]),
                family="monospace",
                fontsize=11,
                va="center",
                color="white" if scale(losses[place]) > 0.6 else "black",
                bbox={"facecolor": colours[place], "lw": 0, "pad": 1.5},
            )
            column += len(labels[place]) + 0.4
    axes.set(xlim=(-1, LINE + 7), ylim=(-len(lines) + 0.4, 0.6))
    axes.set_axis_off()
    _scale_bar(figure, axes, scale)
    return figure


def wrapped(labels: list[str], width: int = LINE) -> list[list[int]]:
    """Returns the places of the tokens that share a line.

    A drawn line end ("⏎") ends its line too.

    Example:

    >>> wrapped(["a", "b", "⏎", "c"])
    [[0, 1, 2], [3]]
    """
    lines: list[list[int]] = [[]]
    used = 0.0
    for place, label in enumerate(labels):
        if used + len(label) > width and lines[-1]:
            lines.append([])
            used = 0.0
        lines[-1].append(place)
        used += len(label) + 0.4
        if label.endswith("⏎"):
            used = float(width)
    return lines


def _colours(losses: np.ndarray) -> tuple[list, Any]:
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    scale = Normalize(0, max(1.0, float(np.nanmax(losses))))
    table = colormaps["Reds"]
    return [
        "#eeeeee" if np.isnan(loss) else table(scale(loss)) for loss in losses
    ], scale


def _scale_bar(figure: Any, axes: Any, scale: Any) -> None:
    from matplotlib.cm import ScalarMappable

    figure.colorbar(
        ScalarMappable(norm=scale, cmap="Reds"),
        ax=axes,
        orientation="horizontal",
        label="loss in nats",
        shrink=0.4,
        aspect=40,
        pad=0.01,
    )
