"""Logits of rows of any lengths, in batches of texts of like length."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_llm import adapters
from keras_llm.layers import Dropout

BATCH = 64  # rows of a forward pass


class Forward:
    """A model's logits of id lists, compiled once, without much padding.

    Args:
        model: From `sequence_model` or `token_model`.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> from keras_llm.classify.model import token_model
    >>> forward = Forward(token_model(build_decoder(DecoderConfig(
    ...     vocabulary_size=9, context_length=8, num_layers=1, hidden_dim=8,
    ...     num_heads=2)), classes=3))
    >>> [one.shape for one in forward([np.array([1, 2]), np.array([3])])]
    [(2, 3), (1, 3)]
    """

    def __init__(self, model: Any):
        self.model = model
        self._functions: dict[bool, Any] = {}
        self._compiled_with: tuple = ()

    def __call__(
        self, rows: Sequence[np.ndarray], dropout: bool = False
    ) -> list[np.ndarray]:
        """Returns float32 `(places, classes)` for each row.

        Args:
            rows: The ids of each text.
            dropout: Whether dropout drops, as in training.

        Returns:
            One place for a text, or one for each of its tokens.
        """
        found: list[Any] = [None] * len(rows)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for begin in range(0, len(order), BATCH):
            some = order[begin : begin + BATCH]
            logits = self._logits([rows[i] for i in some], dropout)
            for i, one in zip(some, logits, strict=True):
                found[i] = one[: len(rows[i])]
        return found

    def _logits(self, rows: list[np.ndarray], dropout: bool) -> np.ndarray:
        tokens = np.zeros((len(rows), max(map(len, rows))), np.int32)
        segments = np.zeros_like(tokens)
        for padded, inside, row in zip(tokens, segments, rows, strict=True):
            padded[: len(row)], inside[: len(row)] = row, 1
        function = self._function(dropout)
        return ops.convert_to_numpy(
            function(*map(ops.convert_to_tensor, (tokens, segments)))
        )

    def _function(self, dropout: bool) -> Any:
        """The compiled model; anew after an adapter was switched."""
        key = adapters.compiled_key(self.model)
        if key != self._compiled_with:
            self._functions, self._compiled_with = {}, key
        if dropout not in self._functions:
            self._functions[dropout] = compiled(self.model, dropout)
        return self._functions[dropout]


def compiled(model: Any, training: bool = False) -> Any:
    """Returns a function from tokens and segments to logits.

    Example: see `Forward`.
    """

    def function(tokens: Any, segments: Any) -> Any:
        return model(row_inputs(tokens, segments), training=training)

    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    specs = [tf.TensorSpec([None, None], tf.int32)] * 2
    return tf.function(function, input_signature=specs, autograph=False)


def row_inputs(tokens: Any, segments: Any) -> dict[str, Any]:
    """Returns the inputs of rows with one text each, padding behind it.

    Args:
        tokens: int32 `(rows, time)`.
        segments: int32 of the same shape: 1 in the text, 0 in padding.

    Returns:
        `tokens`, `positions` and `segments`; positions are 0 in padding, as
        in training: some families ask for the highest one.

    Example:

    >>> inputs = row_inputs(np.array([[5, 6, 0]]), np.array([[1, 1, 0]]))
    >>> inputs["positions"].numpy().tolist()
    [[0, 1, 0]]
    """
    order = ops.arange(ops.shape(tokens)[1], dtype="int32")
    positions = ops.expand_dims(order, 0) * ops.cast(segments, "int32")
    return {"tokens": tokens, "positions": positions, "segments": segments}


def drops(model: Any) -> bool:
    """Says whether a model has any dropout.

    Example:

    >>> drops(keras.Sequential([keras.layers.Dense(2)]))
    False
    """
    layers = model._flatten_layers()
    return any(isinstance(one, Dropout) and one.rate for one in layers)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the probabilities of logits `(..., classes)`, float32.

    Example:

    >>> softmax(np.zeros((1, 2))).tolist()
    [[0.5, 0.5]]
    """
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return (powers / powers.sum(-1, keepdims=True)).astype(np.float32)
