"""A model's layers with adapters: found, named, described."""

import re
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_llm.adapters.dense import AdaptedDense
from keras_llm.adapters.settings import Lora
from keras_llm.errors import InputError
from keras_llm.model import Decoder
from keras_llm.weights.table import listing

DEFAULT = "default"  # the name of an adapter


def dense_layers(model: keras.Model) -> dict[str, Any]:
    """Returns a model's built Dense layers by path.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> len(dense_layers(model))
    1
    """
    found = {
        layer.path: layer
        for layer in model._flatten_layers()
        if type(layer) in (keras.layers.Dense, AdaptedDense) and layer.built
    }
    return {path: found[path] for path in sorted(found, key=_natural)}


def adapted_layers(model: keras.Model) -> dict[str, AdaptedDense]:
    """Returns the layers with adapters or integers by path.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> adapted_layers(model)
    {}
    """
    return {
        path: layer
        for path, layer in dense_layers(model).items()
        if isinstance(layer, AdaptedDense)
    }


def layers_of(model: keras.Model, name: str) -> dict[str, AdaptedDense]:
    """Returns the layers that have one adapter by path.

    Raises:
        InputError: There is no adapter of this name.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> from keras_llm.adapters import attach
    >>> _ = attach(model, Lora(targets=("all-linear",)))
    >>> len(layers_of(model, "default"))
    1
    """
    layers = adapted_layers(model)
    found = {p: one for p, one in layers.items() if name in one.adapters}
    if not found:
        raise InputError(
            f"Expected the name of one of the model's adapters. Received: "
            f"{name!r}. There are: {listing(adapter_names(model))}."
        )
    return found


def adapter_names(model: keras.Model) -> list[str]:
    """Returns the names of a model's adapters, the oldest first.

    Example:

    >>> from keras_llm.adapters import attach
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> _ = attach(model, Lora(targets=("all-linear",)), name="mine")
    >>> adapter_names(model)
    ['mine']
    """
    layers = adapted_layers(model).values()
    return list(dict.fromkeys(n for one in layers for n in one.adapters))


def active(model: keras.Model) -> str | None:
    """Returns the name of the active adapter, merged or not, or None.

    Example:

    >>> from keras_llm.adapters import attach
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> _ = attach(model, Lora(targets=("all-linear",)), name="mine")
    >>> active(model)
    'mine'
    """
    layers = adapted_layers(model).values()
    return next((one.active for one in layers if one.active), None)


def is_merged(model: keras.Model) -> bool:
    """Says whether an adapter is merged into the kernels.

    Example:

    >>> from keras_llm.adapters import attach
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> _ = attach(model, Lora(targets=("all-linear",)), name="mine")
    >>> is_merged(model)
    False
    """
    layers = adapted_layers(model).values()
    return any(layer.original is not None for layer in layers)


def lora_of(model: keras.Model, name: str = DEFAULT) -> Lora:
    """Returns the settings of an adapter.

    Raises:
        InputError: There is none of this name.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> from keras_llm.adapters import attach
    >>> _ = attach(model, Lora(rank=3))
    >>> lora_of(model).rank
    3
    """
    return next(iter(layers_of(model, name).values())).adapters[name].lora


def compiled_key(model: keras.Model) -> tuple:
    """Returns what a compiled function of the model depends on.

    Two calls give equal keys if no adapter was put on, taken off, switched
    or merged between them.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> before = compiled_key(model)
    >>> from keras_llm.adapters import attach
    >>> _ = attach(model)
    >>> compiled_key(model) == before
    False
    """
    return tuple(
        (path, layer.integers, layer.active_adapter())
        for path, layer in adapted_layers(model).items()
    )


def base_kernel(layer: Any) -> np.ndarray:
    """Returns the kernel of a Dense layer without adapters, float32.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> [base_kernel(layer).shape for layer in dense_layers(model).values()]
    [(2, 1)]
    """
    kernel = layer.kernel
    if isinstance(layer, AdaptedDense):
        merged = layer.original is not None
        kernel = layer.original if merged else layer.base()
    return np.asarray(ops.convert_to_numpy(kernel), "float32")


def check_new(model: keras.Model, name: str) -> None:
    """Makes sure that a model can get an adapter of this name.

    Raises:
        InputError: The name is no name or is taken, or an adapter is merged.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> check_new(model, "mine")
    """
    check_unmerged(model)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", str(name)):
        raise InputError(
            "Expected a name of letters, digits, '_' and '-' for an adapter. "
            f"Received: {name!r}."
        )
    if name in adapter_names(model):
        raise InputError(
            f"Expected a new name for an adapter. Received: {name!r}, which "
            "the model has. Choose another, or detach that one first."
        )


def check_unmerged(model: keras.Model) -> None:
    """Refuses a model with a merged adapter.

    Raises:
        InputError: One is merged.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> check_unmerged(model)
    """
    if is_merged(model):
        raise InputError(
            "Expected a model whose adapter is not merged. Received: "
            f"{active(model)!r}, merged. Call adapters.unmerge first."
        )


def describe(model: keras.Model) -> None:
    """Has a decoder's config name its adapters, as long as it has some.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> from keras_llm.adapters import attach
    >>> _ = attach(model)
    >>> type(model).__name__, sorted(model.get_config()["adapters"]["adapters"])
    ('AdaptedDecoder', ['default'])
    """
    from keras_llm.adapters.state import AdaptedDecoder

    if type(model) in (Decoder, AdaptedDecoder):
        kind = AdaptedDecoder if adapted_layers(model) else Decoder
        object.__setattr__(model, "__class__", kind)


def refresh(model: keras.Model) -> None:
    """Has train what is active, and drops what Keras compiled before.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> refresh(model)
    """
    for layer in adapted_layers(model).values():
        now = layer.active_adapter()
        for adapter in layer.adapters.values():
            for variable in (adapter.a, adapter.b, adapter.magnitude):
                if variable is not None:
                    variable.trainable = adapter is now
    for name in ("train_function", "test_function", "predict_function"):
        setattr(model, name, None)


def _natural(path: str) -> list:
    """Sorts block_10 after block_9."""
    parts = re.split(r"(\d+)", path)
    return [int(part) if part.isdigit() else part for part in parts]
