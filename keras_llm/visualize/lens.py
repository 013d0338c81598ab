"""Logit lens: what a model would say if it stopped after each layer."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_llm.errors import InputError
from keras_llm.figures import new_figure
from keras_llm.layers import Block
from keras_llm.visualize.observing import (
    all_layers,
    observe,
    read_text,
    token_label,
)
from keras_llm.visualize.palette import drawable

Head = Callable[[Any], Any]


class LensLayer(NamedTuple):
    """What one layer would say.

    Attributes:
        name: The layer's, or "output" for the model's own logits.
        best: int `(time,)`, the likeliest next token at each place.
        probability: float32 `(time,)`, of that token.
        target_probability: float32 `(time,)`, of the token that does come
            next; NaN at the last place.

    Example:

    >>> LensLayer("output", *[np.zeros(3)] * 3).name
    'output'
    """

    name: str
    best: np.ndarray
    probability: np.ndarray
    target_probability: np.ndarray


def logit_lens(
    model: Any,
    text: Any,
    tokenizer: Any = None,
    layers: tuple = (Block,),
    head: Head | None = None,
) -> list[LensLayer]:
    """Reads every layer's hidden states through the model's own head.

    Args:
        model: A `CausalLM`, or any Keras model from tokens to logits.
        text: A string, or the ids of one text.
        tokenizer: Of a Keras model, for a string.
        layers: Kinds of the layers whose outputs `(1, time, width)` are
            read. Default: our decoder's blocks.
        head: From hidden states to logits. Default: our decoder's final norm
            and embedding.

    Returns:
        The layers from first to last, then the model's output.

    Raises:
        InputError: The model has no such layers, or no head of ours and none
            was given.

    Source: nostalgebraist 2020, "interpreting GPT: the logit lens",
    https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=2, hidden_dim=8, num_heads=2))
    >>> [layer.name for layer in logit_lens(model, [1, 2, 3])]
    ['block_0', 'block_1', 'output']
    """
    model, ids, _ = read_text(model, text, tokenizer)
    chosen = all_layers(model, layers)
    if not chosen:
        wanted = " or ".join(kind.__name__ for kind in layers)
        raise InputError(
            f"Expected a model with layers of the kind {wanted}. Received: "
            f"{model.name} without one. Pass layers=(YourLayer,)."
        )
    head = head or decoder_head(model)
    output, calls = observe(model, np.array([ids], "int32"), chosen)
    states = {name: head(call.output) for name, call in calls.items()}
    return [
        _layer(name, logits, ids)
        for name, logits in {**states, "output": output}.items()
    ]


def logit_lens_figure(
    model: Any,
    text: Any,
    tokenizer: Any = None,
    layers: tuple = (Block,),
    head: Head | None = None,
) -> Any:
    """Draws each layer's likeliest next token at each place.

    The colour is its probability, bold what does come next.

    Args and errors as for `logit_lens`; matplotlib may be missing.

    Returns:
        A `matplotlib.figure.Figure`: a column for each token read, a row for
        each layer, the last at the top.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=2, hidden_dim=8, num_heads=2))
    >>> len(logit_lens_figure(model, [1, 2, 3]).axes[0].texts)  # cells
    9
    """
    found = logit_lens(model, text, tokenizer, layers, head)
    if not isinstance(model, keras.Model):
        tokenizer = model.tokenizer
    _, ids, labels = read_text(model, text, tokenizer)
    figure = new_figure(max(6.0, 0.75 * len(ids)), 0.4 * len(found) + 1.8)
    axes = figure.subplots()
    table = np.stack([layer.probability for layer in found])
    image = axes.imshow(
        table, vmin=0, vmax=1, cmap="Blues", aspect="auto", origin="lower"
    )
    for row, layer in enumerate(found):
        for column, number in enumerate(layer.best):
            comes = column + 1 < len(ids) and ids[column + 1] == number
            axes.text(
                *(
                    column,
                    row,
                    drawable(token_label(int(number), tokenizer))[:10],
                ),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if table[row, column] > 0.6 else "black",
                fontweight="bold" if comes else "normal",
            )
    axes.set_yticks(range(len(found)), [layer.name for layer in found])
    labels = [drawable(label) for label in labels]
    axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
    axes.set_xlabel("token read")
    figure.colorbar(image, label="probability of the likeliest")
    return figure


def decoder_head(model: keras.Model) -> Head:
    """Returns how our decoder turns hidden states into logits.

    Raises:
        InputError: The model lacks `final_norm` or `token_embedding`.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> decoder_head(model)(ops.ones((1, 3, 8))).shape
    TensorShape([1, 3, 9])
    """
    names = {layer.name for layer in model.layers}
    missing = {"final_norm", "token_embedding"} - names
    if missing:
        raise InputError(
            "Expected a decoder of build_decoder, whose head is known. "
            f"Received: {model.name} without {' and '.join(sorted(missing))}. "
            "Pass head=, a function from hidden states to logits."
        )
    norm = model.get_layer("final_norm")
    embedding = model.get_layer("token_embedding")
    return lambda hidden: embedding(norm(hidden), reverse=True)


def _layer(name: str, logits: Any, ids: list[int]) -> LensLayer:
    logits = ops.cast(logits, "float32")
    table = ops.convert_to_numpy(ops.softmax(logits, axis=-1))[0]
    best = table.argmax(-1)
    places = np.arange(len(ids))
    target = np.full(len(ids), np.nan, "float32")
    target[:-1] = table[places[:-1], ids[1:]]
    return LensLayer(name, best, table[places, best], target)
