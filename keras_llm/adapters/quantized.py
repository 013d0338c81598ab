"""quantize_base: integers under an adapter (QLoRA)."""

import keras

from keras_llm.adapters.dense import adapted
from keras_llm.adapters.frozen import count, freeze_base
from keras_llm.adapters.layers import (
    adapted_layers,
    dense_layers,
    describe,
    is_merged,
)
from keras_llm.adapters.settings import ALL, matches
from keras_llm.errors import InputError
from keras_llm.weights.table import listing

GROUP = 64  # of 4 bits


def quantize_base(
    model: keras.Model,
    bits: int = 8,
    group: int | None = None,
    targets: tuple[str, ...] = (ALL,),
) -> int:
    """Rounds the kernels of a model's Dense layers to integers, in place.

    The floats are freed, and made again for each product, in training also
    on the way back. Only adapters can be trained then: call `attach`, before
    or after. Tables, norms, biases and experts stay floats. Generation would
    make the floats for each token: generate from `merged_copy` where there is
    memory for it.

    Args:
        model: A built model; changed in place, and not back.
        bits: 8, or 4: two values in a byte.
        group: Inputs of a column that share a scale. Default: all for 8
            bits, 64 for 4.
        targets: Patterns of layer paths, as in `Lora`. Default: all.

    Returns:
        Bytes that the kernels take now.

    Raises:
        InputError: Bits or group cannot be, no layer matches, a layer has
            integers already, or an adapter is merged.

    Source: Dettmers et al. 2023, https://arxiv.org/abs/2305.14314 (with a
    grid of even steps here, not NF4).

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=64, num_heads=2))
    >>> before = kernel_bytes(model)
    >>> round(before / quantize_base(model, bits=4), 1)
    7.5
    """
    if bits not in (8, 4) or (group is not None and group < 1):
        raise InputError(
            "Expected 8 or 4 bits, and a group of at least 1 input or None. "
            f"Received: bits={bits!r}, group={group!r}."
        )
    if is_merged(model):
        raise InputError(
            "Expected a model whose adapter is not merged. Received: a "
            "merged one. Call adapters.unmerge first."
        )
    for layer in _chosen(model, targets):
        adapted(layer).round_base(bits, group or (GROUP if bits == 4 else None))
    describe(model)
    freeze_base(model)
    return kernel_bytes(model)


def kernel_bytes(model: keras.Model) -> int:
    """Returns the bytes of the kernels of a model's Dense layers.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> kernel_bytes(model)
    8
    """
    total = 0
    for layer in dense_layers(model).values():
        integers = getattr(layer, "integers", None)
        for variable in integers.variables if integers else [layer._kernel]:
            width = keras.backend.standardize_dtype(variable.dtype)
            total += count([variable]) * _bytes(width)
    return total


def _chosen(model: keras.Model, targets: tuple[str, ...]) -> list:
    """The layers to round."""
    targets = (targets,) if isinstance(targets, str) else tuple(targets)
    known = dense_layers(model)
    chosen = [path for path in known if matches(targets, path)]
    rounded = adapted_layers(model)
    done = [p for p in chosen if p in rounded and rounded[p].integers]
    if not chosen or done:
        raise InputError(
            "Expected targets that match Dense layers whose kernels are "
            f"floats. Received: {', '.join(targets)}, "
            + (f"of which {listing(done)} are integers." if done else "")
            + (f"There are: {listing(known, 12)}." if not chosen else "")
        )
    return [known[path] for path in chosen]


def _bytes(dtype: str) -> int:
    """The bytes of a number."""
    import ml_dtypes  # knows bfloat16  # noqa: F401
    import numpy as np

    return np.dtype(dtype).itemsize
