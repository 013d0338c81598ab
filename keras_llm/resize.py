"""More tokens for a decoder that is there: rows added to its embedding."""

import dataclasses

import numpy as np

from keras_llm.adapters import merged_copy
from keras_llm.errors import InputError
from keras_llm.model import Decoder, build_decoder


def resize_embedding(model: Decoder, vocabulary_size: int) -> Decoder:
    """Returns a decoder that knows more ids, with the same weights otherwise.

    Logits of the ids that were there are the same. Each new id starts as the
    mean of all others, in the embedding and in the head: so it is about as
    likely as the average token and takes next to nothing away from the
    others, until it is trained.

    Args:
        model: A decoder. It stays as it is, and the copy does not follow its
            later training.
        vocabulary_size: Ids of the new decoder, at least as many as now;
            usually `tokenizer.vocabulary_size` after `with_tokens`.

    Raises:
        InputError: There would be fewer ids than now.

    Source: Hewitt, 2021, "Initializing New Word Embeddings for Pretrained
    Language Models",
    https://nlp.stanford.edu/~johnhew/vocab-expansion.html.

    Example:

    >>> from keras_llm import DecoderConfig
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> resize_embedding(model, 11).config.vocabulary_size
    11
    """
    size = model.config.vocabulary_size
    if vocabulary_size < size:
        raise InputError(
            f"Expected a vocabulary_size of at least {size}, which the model "
            f"has now. Received: {vocabulary_size}. Ids cannot be taken away: "
            "a tokenizer with fewer tokens works with the model as it is."
        )
    config = dataclasses.replace(model.config, vocabulary_size=vocabulary_size)
    larger = build_decoder(config, model.dtype_policy, model.remat, model.name)
    for old, new in zip(
        merged_copy(model).weights, larger.weights, strict=True
    ):
        new.assign(_grown(np.asarray(old), tuple(new.shape)))
    return larger


def _grown(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the values, along the axis that grows filled with their mean."""
    for axis, size in enumerate(shape):
        more = size - values.shape[axis]
        if more:
            # In float64: a mean over 100,000 rows of bfloat16 would be off.
            mean = values.astype("float64").mean(axis=axis, keepdims=True)
            rows = np.repeat(mean.astype(values.dtype), more, axis=axis)
            values = np.concatenate([values, rows], axis=axis)
    return values
