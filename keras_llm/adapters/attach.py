"""Adapters on a model: put on, switched, merged, taken off.

Everything is done to the layers in place. What was compiled before a switch
computes as before it: Keras' own compiled functions are dropped here, and
`CausalLM` looks at `compiled_key`.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_llm.adapters.dense import AdaptedDense, adapted, plain
from keras_llm.adapters.frozen import freeze_base, thaw_base
from keras_llm.adapters.settings import Lora
from keras_llm.errors import InputError
from keras_llm.model import Decoder
from keras_llm.weights.table import listing

DEFAULT = "default"


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
    call this in the scope that the model was built in.

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
    _check_name(model, name)
    _check_unmerged(model)
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
    >>> adapter_names(model), active(model)
    (['mine'], None)
    """
    for layer in layers.values():
        adapted(layer).add(name, lora, seed)
    describe(model)
    _refresh(model)


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
    >>> adapter_names(model), active(model)
    (['first', 'second'], 'first')
    """
    if name is not None:
        layers_of(model, name)
    _check_unmerged(model)
    freeze_base(model)
    for layer in adapted_layers(model).values():
        layer.active = name if name in layer.adapters else None
    _refresh(model)


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
    ([], 10)
    """
    _check_unmerged(model)
    for layer in layers_of(model, name).values():
        layer.remove(name)
        plain(layer)
    if not adapter_names(model):
        thaw_base(model)
    describe(model)
    _refresh(model)


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
    >>> _ = attach(model)
    >>> merge(model)
    >>> is_merged(model), len(model.trainable_variables)
    (True, 0)
    """
    _check_unmerged(model)
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
    _refresh(model)


def unmerge(model: keras.Model) -> None:
    """Undoes `merge`, bit for bit.

    Raises:
        InputError: Nothing is merged.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
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
    _refresh(model)


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
    _check_unmerged(model)
    before = [(one, one.active) for one in adapted_layers(model).values()]
    for layer, _ in before:
        layer.active = None
    try:
        yield
    finally:
        for layer, name in before:
            layer.active = name


def adapter_names(model: keras.Model) -> list[str]:
    """Returns the names of a model's adapters, the oldest first.

    Example: see `activate`.
    """
    layers = adapted_layers(model).values()
    return list(dict.fromkeys(n for one in layers for n in one.adapters))


def active(model: keras.Model) -> str | None:
    """Returns the name of the active adapter, merged or not, or None.

    Example: see `activate`.
    """
    layers = adapted_layers(model).values()
    return next((one.active for one in layers if one.active), None)


def is_merged(model: keras.Model) -> bool:
    """Says whether an adapter is merged into the kernels.

    Example: see `merge`.
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
    >>> _ = attach(model)
    >>> compiled_key(model) == before
    False
    """
    return tuple(
        (path, layer.integers, layer.active_adapter())
        for path, layer in adapted_layers(model).items()
    )


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


def describe(model: keras.Model) -> None:
    """Has a decoder's config name its adapters, as long as it has some.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> _ = attach(model)
    >>> type(model).__name__, sorted(model.get_config()["adapters"]["adapters"])
    ('AdaptedDecoder', ['default'])
    """
    from keras_llm.adapters.state import AdaptedDecoder

    if type(model) in (Decoder, AdaptedDecoder):
        kind = AdaptedDecoder if adapted_layers(model) else Decoder
        object.__setattr__(model, "__class__", kind)


def _natural(path: str) -> list:
    """Sorts block_10 after block_9."""
    parts = re.split(r"(\d+)", path)
    return [int(part) if part.isdigit() else part for part in parts]


def _check_name(model: keras.Model, name: str) -> None:
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


def _check_unmerged(model: keras.Model) -> None:
    if is_merged(model):
        raise InputError(
            "Expected a model whose adapter is not merged. Received: "
            f"{active(model)!r}, merged. Call adapters.unmerge first."
        )


def _refresh(model: keras.Model) -> None:
    """Trains what is active, and forgets what was compiled."""
    for layer in adapted_layers(model).values():
        now = layer.active_adapter()
        for adapter in layer.adapters.values():
            for variable in (adapter.a, adapter.b, adapter.magnitude):
                if variable is not None:
                    variable.trainable = adapter is now
    for name in ("train_function", "test_function", "predict_function"):
        setattr(model, name, None)
