"""Attention maps: where each token looks, in each layer and head."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_llm.errors import InputError
from keras_llm.figures import new_figure
from keras_llm.layers import GroupedQueryAttention
from keras_llm.visualize.observing import (
    Call,
    all_layers,
    observe,
    read_text,
)
from keras_llm.visualize.palette import name_tokens

KERAS = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
NAMED = 40  # tokens up to which each has its name beside the map


def attention_weights(
    model: Any, text: Any, tokenizer: Any = None
) -> dict[str, np.ndarray]:
    """Returns the attention weights of every attention layer.

    Args:
        model: A `CausalLM`, or any Keras model whose attention layers are
            ours or Keras's `MultiHeadAttention` / `GroupQueryAttention`.
        text: A string, or the ids of one text.
        tokenizer: Of a Keras model, for a string.

    Returns:
        By the layer's path, in order: float32 `(heads, time, time)`, each
        row's sum is 1 (less where an attention sink takes a share).

    Raises:
        InputError: The model has no such layer, or the text no two tokens.

    Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> attention_weights(model, [1, 2, 3])["block_0/attention"].shape
    (2, 3, 3)
    """
    model, ids, _ = read_text(model, text, tokenizer)
    layers = all_layers(model, (GroupedQueryAttention, *KERAS))
    if not layers:
        raise InputError(
            "Expected a model with attention layers of keras_llm or of "
            f"Keras. Received: {model.name} without one."
        )
    _, calls = observe(model, np.array([ids], "int32"), layers)
    return {
        layer.path: _weights(layer, calls[layer.path])
        for layer in sorted(layers, key=lambda one: _place(one, calls))
    }


def attention_figure(
    model: Any,
    text: Any,
    layer: int = -1,
    heads: Sequence[int] | None = None,
    tokenizer: Any = None,
) -> Any:
    """Draws where each token looks, a map for each head of a layer.

    Args:
        model: As for `attention_weights`.
        text: A string, or the ids of one text.
        layer: Which attention layer, from 0; negative counts from the last.
        heads: Which heads. Default: all of them.
        tokenizer: Of a Keras model, for a string and for names of tokens.

    Returns:
        A `matplotlib.figure.Figure`. A row is a token, and its columns are
        the tokens that it looks at.

    Raises:
        InputError: As for `attention_weights`; there is no such layer or
            head; matplotlib is missing.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> len(attention_figure(model, [1, 2, 3]).axes)  # the last: the scale
    3
    """
    *_, labels = read_text(model, text, tokenizer)
    maps = list(attention_weights(model, text, tokenizer).items())
    name, weights = maps[_index("layer", layer, len(maps))]
    chosen = range(len(weights)) if heads is None else heads
    chosen = [_index("head", head, len(weights)) for head in chosen]
    columns = min(len(chosen), 4)
    rows = -(-len(chosen) // columns)
    side = 3.0 if len(labels) <= NAMED // 2 else 4.5
    figure = new_figure(side * columns + 0.8, side * rows + 0.4)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(chosen) :]:
        axes.set_axis_off()
    for axes, head in zip(panels, chosen, strict=False):
        image = axes.imshow(weights[head], vmin=0, vmax=1, cmap="Blues")
        axes.set_title(f"head {head}", fontsize=9)
        how = "" if name_tokens(axes, labels, NAMED) else " (position)"
        axes.set(xlabel=f"looked at{how}", ylabel=f"token{how}")
    figure.colorbar(image, ax=panels.tolist(), label="attention weight")
    figure.suptitle(name)
    return figure


def _weights(layer: Any, call: Call) -> np.ndarray:
    """The weights of one call, computed again from what it was given."""
    if isinstance(layer, GroupedQueryAttention):
        weights = layer.attention_weights(*call.args, **call.kwargs)
    else:
        asked = {**call.kwargs, "return_attention_scores": True}
        weights = layer(*call.args, **asked)[1]
    return ops.convert_to_numpy(ops.cast(weights, "float32"))[0]


def _place(layer: Any, calls: dict[str, Call]) -> int:
    return list(calls).index(layer.path)


def _index(what: str, index: int, count: int) -> int:
    if not -count <= index < count:
        raise InputError(
            f"Expected a {what} from 0 to {count - 1}. Received: {index}."
        )
    return index % count
