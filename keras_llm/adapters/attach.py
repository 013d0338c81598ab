"""Adapters on a model: put on, switched, taken off.

Everything is done to the layers in place. What was compiled before a switch
computes as before it: Keras' own compiled functions are dropped here, and
`CausalLM` looks at `compiled_key`.
"""

from collections.abc import Mapping
from typing import Any

import keras

from keras_llm.adapters.dense import adapted, plain
from keras_llm.adapters.frozen import freeze_base, thaw_base
from keras_llm.adapters.layers import (
    DEFAULT,
    adapted_layers,
    adapter_names,
    check_new,
    check_unmerged,
    dense_layers,
    describe,
    layers_of,
    refresh,
)
from keras_llm.adapters.settings import Lora
from keras_llm.errors import InputError
from keras_llm.weights.table import listing


def attach(
    model: keras.Model,
    lora: Lora | None = None,
    name: str = DEFAULT,
    seed: int = 0,
) -> list[str]:
    """Puts a new adapter on a model's Dense layers, and switches it on.

    From then on the adapter alone is trained. It changes nothing until it
    is. Any built Keras model will do, a decoder or not; layers of experts
    and `EinsumDense` are no Dense layers and get none. For several devices,
    call this in the scope that the model was built in. A model that was
    compiled must be compiled again, as its optimizer knows other variables.

    Args:
        model: A built model; changed in place.
        lora: What the adapter is like. Default: `Lora()`.
        name: Name of the adapter: letters, digits, "_", "-".
        seed: Start of its random values.

    Returns:
        The paths of the layers that have it.

    Raises:
        InputError: No layer matches, the model has an adapter of this name,
            or one is merged.

    Source: Hu et al. 2021, https://arxiv.org/abs/2106.09685.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> attach(model, Lora(rank=2))
    ['block_0/attention/query', 'block_0/attention/value']
    >>> sum(v.shape[0] * v.shape[1] for v in model.trainable_variables)
    64
    """
    lora = lora or Lora()
    check_new(model, name)
    known = dense_layers(model)
    chosen = {path: known[path] for path in known if lora.wants(path)}
    if not chosen:
        raise InputError(
            "Expected targets that match the paths of Dense layers. Received: "
            f"{', '.join(lora.targets)}. There are: {listing(known, 12)}."
        )
    put_on(model, chosen, name, lora, seed)
    activate(model, name)
    return list(chosen)


def put_on(
    model: keras.Model,
    layers: Mapping[str, Any],
    name: str,
    lora: Lora,
    seed: int = 0,
) -> None:
    """Adds an adapter to some layers; it is not switched on.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> put_on(model, dense_layers(model), "mine", Lora(rank=1))
    >>> adapter_names(model), len(model.trainable_variables)
    (['mine'], 2)
    """
    for layer in layers.values():
        adapted(layer).add(name, lora, seed)
    describe(model)
    refresh(model)


def activate(model: keras.Model, name: str | None) -> None:
    """Switches to one of a model's adapters, or to none.

    What is active counts and is trained; the others rest. Without any, the
    model is the base, and nothing of it is trained.

    Args:
        model: A model with adapters.
        name: Name of an adapter, or None.

    Raises:
        InputError: There is none of this name, or one is merged.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> for name in ("first", "second"):
    ...     _ = attach(model, name=name)
    >>> activate(model, "first")
    >>> adapter_names(model), len(model.trainable_variables)
    (['first', 'second'], 4)
    """
    if name is not None:
        layers_of(model, name)
    check_unmerged(model)
    freeze_base(model)
    for layer in adapted_layers(model).values():
        layer.active = name if name in layer.adapters else None
    refresh(model)


def detach(model: keras.Model, name: str = DEFAULT) -> None:
    """Takes an adapter off; what it has learned is lost.

    If it was active, none is afterwards. After the last one the weights that
    trained before train again, integers excepted.

    Args:
        model: A model with adapters.
        name: Name of the adapter.

    Raises:
        InputError: There is none of this name, or one is merged.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> _ = attach(model)
    >>> detach(model)
    >>> adapter_names(model), len(model.trainable_variables)
    ([], 11)
    """
    check_unmerged(model)
    for layer in layers_of(model, name).values():
        layer.remove(name)
        plain(layer)
    if not adapter_names(model):
        thaw_base(model)
    describe(model)
    refresh(model)
