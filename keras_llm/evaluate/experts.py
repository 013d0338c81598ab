"""Which experts a model uses."""

from typing import Any

import numpy as np

from keras_llm.errors import InputError
from keras_llm.layers import watch_experts
from keras_llm.model import Decoder


def expert_load(model: Decoder, inputs: Any) -> np.ndarray:
    """Returns the share of tokens' choices that fall on each expert.

    Equal use is `1 / count` everywhere. Padding counts as tokens do.

    Args:
        model: A decoder with experts.
        inputs: Token ids `(batch, time)`, or the dictionary of packed rows.

    Returns:
        float32 `(num_layers, count)`; each row sums to one.

    Raises:
        InputError: The model has no experts.

    Example:

    >>> from keras_llm import DecoderConfig, Experts, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=3, hidden_dim=8, num_heads=2,
    ...     experts=Experts(count=4, top_k=2)))
    >>> expert_load(model, np.array([[1, 2, 3]])).shape
    (3, 4)
    """
    if model.config.experts is None:
        raise InputError(
            "Expected a model with experts. Received: one with "
            "config.experts=None, which uses all of itself for every token."
        )
    shares: list[np.ndarray] = []
    with watch_experts(lambda share: shares.append(np.asarray(share))):
        model(inputs)
    return np.stack(shares)
