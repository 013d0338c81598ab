"""Windows of tokens scored one by one, as whole sequences."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_llm.evaluate.pairs_rule import Window
from keras_llm.evaluate.window_subject import Scores, padded


def one_by_one(
    model: Any, batch_size: int
) -> Callable[[Sequence[Window]], list[Scores]]:
    """Returns a function that scores windows as whole sequences.

    The plain way, for comparison: the longest first, padded to the longest
    of a batch, all logits of all positions.

    Args:
        model: A decoder from `build_decoder`.
        batch_size: Sequences at once.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> score = one_by_one(model, batch_size=2)
    >>> [len(one.likeliest) for one in score([([1, 2, 3], 2), ([1, 4], 1)])]
    [2, 1]
    """
    forward = _forward(model)

    def score(windows: Sequence[Window]) -> list[Scores]:
        order = sorted(range(len(windows)), key=lambda i: -len(windows[i][0]))
        found: dict[int, Scores] = {}
        for begin in range(0, len(order), batch_size):
            batch = order[begin : begin + batch_size]
            rows = [windows[index][0] for index in batch]
            tokens = padded(rows).astype("int32")
            values, likeliest = forward(tokens, [len(row) for row in rows])
            equal = likeliest == tokens[:, 1:]
            for row, index in enumerate(batch):
                ids, scored = windows[index]
                part = slice(len(ids) - 1 - scored, len(ids) - 1)
                found[index] = Scores(values[row, part], equal[row, part])
        return [found[index] for index in range(len(windows))]

    return score


def _forward(model: Any) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """A compiled `score.with_likeliest`, from arrays to arrays."""
    from keras import backend, ops

    from keras_llm.score import with_likeliest

    function: Any = functools.partial(with_likeliest, model)
    if backend.backend() == "tensorflow":
        import tensorflow as tf

        specs = [
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None], tf.int32),
        ]
        function = tf.function(function, input_signature=specs, autograph=False)

    def forward(
        tokens: np.ndarray, lengths: list[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        own, ids, _ = function(
            *(ops.convert_to_tensor(x, "int32") for x in (tokens, lengths))
        )
        return ops.convert_to_numpy(own), ops.convert_to_numpy(ids)

    return forward
