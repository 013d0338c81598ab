"""Log-probabilities of given tokens."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_llm.errors import InputError


def log_probabilities(
    model: Any, tokens: Any, lengths: Any = None, temperature: float = 1.0
) -> Any:
    """Returns how likely each token was, given the tokens before it.

    Args:
        model: A decoder from `build_decoder`.
        tokens: int32 `(batch, time)`.
        lengths: int32 `(batch,)`, how many tokens of each row are text and no
            padding. None: all; a row may then depend on how wide it was
            padded, where scaled positions ask how long the text is.
        temperature: What logits are divided by; 1 scores the model as it is.

    Returns:
        float32 natural logarithms `(batch, time - 1)`; column `i` belongs to
        token `i + 1`.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> log_probabilities(model, np.array([[1, 2, 3]])).shape
    TensorShape([1, 2])
    """
    logits = _predicting(model, tokens, lengths)
    if temperature != 1.0:
        logits = logits / temperature
    return _picked(logits, tokens[:, 1:]) - ops.logsumexp(logits, axis=-1)


def with_likeliest(
    model: Any, tokens: Any, lengths: Any
) -> tuple[Any, Any, Any]:
    """Returns how likely each token was, and which one was the likeliest.

    Args:
        model, tokens, lengths: As for `log_probabilities`.

    Returns:
        float32 log-probabilities `(batch, time - 1)`; the likeliest ids,
        int32, and their log-probabilities, float32, both of this shape.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> own, ids, best = with_likeliest(model, np.array([[1, 2, 3]]), [3])
    >>> bool((best >= own).numpy().all())
    True
    """
    logits = _predicting(model, tokens, lengths)
    total = ops.logsumexp(logits, axis=-1)
    best = ops.cast(ops.argmax(logits, axis=-1), "int32")
    own = _picked(logits, tokens[:, 1:]) - total
    return own, best, ops.max(logits, axis=-1) - total


def _picked(logits: Any, ids: Any) -> Any:
    """The logit of one id in each place."""
    picked = ops.take_along_axis(logits, ops.expand_dims(ids, -1), axis=-1)
    return picked[..., 0]


def _predicting(model: Any, tokens: Any, lengths: Any) -> Any:
    """The logits of every token but the first."""
    inputs = {"tokens": ops.convert_to_tensor(tokens)[:, :-1]}
    if lengths is not None:
        order = ops.expand_dims(
            ops.arange(ops.shape(tokens)[1] - 1, dtype="int32"), 0
        )
        last = ops.expand_dims(lengths, 1) - 2  # it predicts the last token
        inputs["positions"] = ops.clip(order, 0, ops.maximum(last, 0))
        inputs["segments"] = ops.cast(order <= last, "int32")
    return model(inputs)


def scorer(
    model: Any, temperature: float = 1.0
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a compiled `log_probabilities` from array to array.

    Args:
        model, temperature: As for `log_probabilities`.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> bool((scorer(model)(np.array([[1, 2, 3]])) < 0).all())
    True
    """
    function = functools.partial(
        log_probabilities, model, temperature=temperature
    )
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        spec = tf.TensorSpec([None, None], tf.int32)
        function = tf.function(
            function, input_signature=[spec], autograph=False
        )

    def score(tokens: np.ndarray) -> np.ndarray:
        return ops.convert_to_numpy(function(ops.cast(tokens, "int32")))

    return score


def checked_temperature(temperature: float | None) -> float | None:
    """Returns the temperature of calibrated scores, if it can be one.

    Raises:
        InputError: It is no number above zero.

    Example:

    >>> checked_temperature(1.5)
    1.5
    """
    if temperature is None:
        return None
    number = isinstance(temperature, (int, float, np.floating))
    if not number or not 0 < temperature < float("inf"):
        raise InputError(
            "Expected a temperature above zero, as "
            "keras_llm.evaluate.calibrated finds it. Received: "
            f"{temperature!r}."
        )
    return float(temperature)


def found_temperature(temperature: float | None) -> float:
    """Returns the temperature of a calibrated model.

    Raises:
        InputError: The model was not calibrated.

    Example:

    >>> found_temperature(1.5)
    1.5
    """
    if temperature is None:
        raise InputError(
            "Expected a calibrated model for calibrated scores. Received: one "
            "without a temperature. Make one with "
            "keras_llm.evaluate.calibrated(lm, texts)."
        )
    return temperature
