"""The active adapter in the kernels, and out again, or off for a while."""

import contextlib
from collections.abc import Iterator

import keras

from keras_llm.adapters.layers import (
    active,
    adapted_layers,
    adapter_names,
    check_unmerged,
    is_merged,
    layers_of,
    refresh,
)
from keras_llm.errors import InputError


def merge(model: keras.Model) -> None:
    """Adds the active adapter to the kernels: it then costs nothing more.

    Nothing is trained while merged. The kernels from before are kept on the
    host, for `unmerge`.

    Raises:
        InputError: No adapter is active, one is merged already, or it lies
            on kernels of integers, which would be rounded once more.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> from keras_llm.adapters import attach
    >>> _ = attach(model)
    >>> merge(model)
    >>> is_merged(model), len(model.trainable_variables)
    (True, 0)
    """
    check_unmerged(model)
    name = active(model)
    if name is None:
        raise InputError(
            "Expected an active adapter to merge. Received: a model with "
            f"{', '.join(adapter_names(model)) or 'none at all'}. Call "
            "adapters.activate, or adapters.attach, first."
        )
    layers = layers_of(model, name)
    if any(layer.integers for layer in layers.values()):
        raise InputError(
            "Expected kernels of floats to merge into. Received: integers, "
            "which would be rounded once more. Use adapters.merged_copy for "
            "a decoder of floats."
        )
    for layer in layers.values():
        layer.merge()
    refresh(model)


def unmerge(model: keras.Model) -> None:
    """Undoes `merge`, bit for bit.

    Raises:
        InputError: Nothing is merged.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> from keras_llm.adapters import attach
    >>> _ = attach(model)
    >>> merge(model)
    >>> unmerge(model)
    >>> is_merged(model)
    False
    """
    if not is_merged(model):
        raise InputError(
            "Expected a model whose adapter is merged. Received: one with "
            "nothing merged. Call adapters.merge first."
        )
    for layer in adapted_layers(model).values():
        if layer.original is not None:
            layer.unmerge()
    refresh(model)


@contextlib.contextmanager
def adapter_off(model: keras.Model) -> Iterator[None]:
    """Makes the model its base inside of the block, what trains unchanged.

    For a reference beside the model in training: it counts where the model
    is called, also while a function is traced. A function that was traced
    outside stays what it was.

    Raises:
        InputError: The adapter is merged.

    Example:

    >>> import numpy as np
    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> tokens = np.array([[1, 2]])
    >>> base = model(tokens)
    >>> from keras_llm.adapters import attach
    >>> _ = attach(model)
    >>> for variable in model.trainable_variables:
    ...     variable.assign(variable + 1.0) is None
    False
    False
    False
    False
    >>> with adapter_off(model):
    ...     float(abs(model(tokens) - base).numpy().max())
    0.0
    """
    check_unmerged(model)
    before = [(one, one.active) for one in adapted_layers(model).values()]
    for layer, _ in before:
        layer.active = None
    try:
        yield
    finally:
        for layer, name in before:
            layer.active = name
