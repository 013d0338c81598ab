"""Rates by depth: lower layers know the language, upper ones the task."""

import re
from collections.abc import Callable
from typing import Any

import keras

from keras_llm.errors import InputError

_BLOCK = re.compile(r"(?:^|/)block_(\d+)(?:/|$)")
_INPUT = re.compile(r"(?:^|/)(?:token|position)_embedding(?:/|$)")


def layer_rates(model: keras.Model, decay: float) -> dict[str, float]:
    """Returns factors on the learning rate that fall with the depth.

    `decay ** n` for a variable n layers below the top: the top (final norm,
    a classifier's head) has n = 0, the last block 1, ..., the token table
    `num_layers + 1`. A tied head is the token table.

    Args:
        model: A decoder, or a model over one.
        decay: Factor from one layer to the one below. Usual: 0.65 to 0.95.

    Returns:
        Factors by variable path; those that are 1 are left out.

    Raises:
        InputError: The model has no blocks, or decay is not in (0, 1].

    Source: Howard & Ruder 2018, https://arxiv.org/abs/1801.06146 (ULMFiT,
    1 / 2.6); Clark et al. 2020, https://arxiv.org/abs/2003.10555 (by layer).

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=2, hidden_dim=8, num_heads=2))
    >>> rates = layer_rates(decoder, 0.5)
    >>> rates["block_1/mlp/up/kernel"], rates["token_embedding/embeddings"]
    (0.5, 0.125)
    """
    if not 0 < decay <= 1:
        raise InputError(
            "Expected layer_decay above 0 and at most 1: the factor from a "
            f"layer's learning rate to that below. Received: {decay!r}."
        )
    rates = _by_depth(model, lambda below: decay**below)
    return {path: rate for path, rate in rates.items() if rate != 1.0}


def unfreezing(model: keras.Model, every: int) -> dict[str, int]:
    """Returns from which step on each variable is trained, top first.

    A variable n layers below the top starts at step `n * every`.

    Args:
        model: A decoder, or a model over one.
        every: Steps from one layer to the next one below.

    Returns:
        Steps by variable path; those that are 0 are left out.

    Raises:
        InputError: The model has no blocks.

    Source: Howard & Ruder 2018, https://arxiv.org/abs/1801.06146, section
    3.3 (gradual unfreezing).

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=2, hidden_dim=8, num_heads=2))
    >>> unfreezing(decoder, 100)["block_0/mlp/up/kernel"]
    200
    """
    starts = _by_depth(model, lambda below: below * every)
    return {path: start for path, start in starts.items() if start}


def _by_depth(model: keras.Model, value: Callable[[int], Any]) -> dict:
    """What each trainable variable gets for its layers below the top."""
    paths = [variable.path for variable in model.trainable_variables]
    blocks = [int(found[1]) for path in paths if (found := _BLOCK.search(path))]
    if not blocks:
        raise InputError(
            "Expected a model with trainable variables in block_0, block_1, "
            "... for rates by depth. Received: a model without. Leave out "
            "layer_decay and unfreeze_every."
        )
    top = max(blocks) + 2

    def depth(path: str) -> int:
        if found := _BLOCK.search(path):
            return int(found[1]) + 1
        return 0 if _INPUT.search(path) else top

    return {path: value(top - depth(path)) for path in paths}
