"""Mask of a packed row: which tokens each token may look at."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from keras_llm.data.pack import Row
from keras_llm.errors import InputError
from keras_llm.figures import new_figure
from keras_llm.layers import CausalMask
from keras_llm.visualize.observing import token_label
from keras_llm.visualize.palette import COLOURS, name_tokens

_HIDDEN, _PADDING = "#f4f4f4", "#bbbbbb"
Packed = Row | Mapping[str, Any]


def row_mask(row: Packed, window: int | None = None) -> np.ndarray:
    """Returns which tokens of a packed row each token may look at.

    It is the mask that the decoder's layers use. The last token of the row
    is left out: it is only a target.

    Args:
        row: A `Row` of `data.pack`, or one row of `data.open_rows`, such as
            `rows[[3]]`.
        window: How many positions a local layer sees; None: a global layer.

    Returns:
        bool `(time, time)`: `mask[i, j]` says whether token `i` sees `j`.

    Raises:
        InputError: `row` is of another kind, or more than one row.

    Example:

    >>> from keras_llm.data import pack
    >>> row = next(pack([[5, 6], [7, 8]], row_length=5))
    >>> row_mask(row).astype(int)
    array([[1, 0, 0, 0],
           [1, 1, 0, 0],
           [0, 0, 1, 0],
           [0, 0, 1, 1]])
    """
    _, segments = _read(row)
    places = np.arange(len(segments), dtype="int32")[None]
    mask = CausalMask(window, dtype="float32")(places, segments[None])
    return ops.convert_to_numpy(mask)[0, 0] == 0


def mask_figure(
    row: Packed, window: int | None = None, tokenizer: Any = None
) -> Any:
    """Draws who sees whom in a packed row, a colour for each document.

    Args:
        row: As for `row_mask`.
        window: Positions that local layers see; their mask is drawn beside
            that of global layers. Default: None, global layers only, without
            a title.
        tokenizer: Names the tokens, in rows of up to 40.

    Returns:
        A `matplotlib.figure.Figure`. A row of the picture is a token, and
        its columns are the tokens that it looks at. Padding is grey.

    Raises:
        InputError: As for `row_mask`; matplotlib is missing.

    Example:

    >>> from keras_llm.data import pack
    >>> row = next(pack([[5, 6], [7, 8]], row_length=5))
    >>> [one.get_title() for one in mask_figure(row, window=1).axes]
    ['global layers', 'local layers, window 1']
    """
    from matplotlib.colors import ListedColormap

    tokens, segments = _read(row)
    masks = {"": row_mask(row)}
    if window is not None:
        masks = {
            "global layers": masks[""],
            f"local layers, window {window}": row_mask(row, window),
        }
    labels = [
        token_label(int(token), tokenizer) if segment else "pad"
        for token, segment in zip(tokens, segments, strict=True)
    ]
    figure = new_figure(4.6 * len(masks), 4.8)
    panels = figure.subplots(1, len(masks), squeeze=False)[0]
    colours = ListedColormap([_HIDDEN, _PADDING, *COLOURS[:6]])
    shades = np.where(segments > 0, 2 + (segments - 1) % 6, 1)
    for axes, (title, mask) in zip(panels, masks.items(), strict=True):
        table = np.where(mask, shades[:, None], 0)
        axes.imshow(table, vmin=0, vmax=7, cmap=colours)
        axes.set_title(title, fontsize=9)
        if not name_tokens(axes, labels):
            axes.set(xlabel="looked at (position)", ylabel="token (position)")
    return figure


def _read(row: Packed) -> tuple[np.ndarray, np.ndarray]:
    """What a model reads of a row: tokens and segments."""
    found = row._asdict() if isinstance(row, Row) else row
    if not isinstance(found, Mapping) or not {"tokens", "segments"} <= {*found}:
        raise InputError(
            "Expected a packed row: a Row of data.pack, or rows[[0]] of "
            f"data.open_rows. Received: {type(row).__name__}."
        )
    tokens, segments = (
        np.atleast_2d(np.asarray(found[name], "int32"))
        for name in ("tokens", "segments")
    )
    if len(segments) != 1:
        raise InputError(
            f"Expected one packed row. Received: {len(segments)}. Choose one, "
            "as in rows[[0]]."
        )
    return tokens[0, :-1], segments[0, :-1]
