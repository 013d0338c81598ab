"""Which adapters a model has, as a record: to build the same again."""

import dataclasses
from typing import Any

import keras

from keras_llm.adapters.attach import activate, put_on
from keras_llm.adapters.dense import adapted
from keras_llm.adapters.layers import (
    active,
    adapted_layers,
    adapter_names,
    dense_layers,
    describe,
    is_merged,
)
from keras_llm.adapters.settings import Lora
from keras_llm.errors import InputError
from keras_llm.model import Decoder
from keras_llm.records import Record
from keras_llm.weights.table import listing


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdapterState(Record):
    """What `attach` and `quantize_base` made of a model, without values.

    Args:
        adapters: Name -> its "lora" as a dictionary, its "seed", and the
            paths of its "layers".
        active: Name of the active one, or None.
        merged: Whether that is merged into the kernels.
        integers: Path of a layer -> bits and group of its kernel.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> from keras_llm.adapters import attach
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> state_of(model) == AdapterState()
    True
    >>> _ = attach(model)
    >>> state_of(model).adapters["default"]["layers"]
    ['block_0/attention/query', 'block_0/attention/value']
    """

    adapters: dict[str, dict[str, Any]] = dataclasses.field(
        default_factory=dict
    )
    active: str | None = None
    merged: bool = False
    integers: dict[str, list[int]] = dataclasses.field(default_factory=dict)


def state_of(model: keras.Model) -> AdapterState:
    """Returns the state of a model's adapters.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> from keras_llm.adapters import attach
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> _ = attach(model)
    >>> state_of(model).active
    'default'
    """
    layers = adapted_layers(model)
    adapters = {}
    for name in adapter_names(model):
        paths = [path for path in layers if name in layers[path].adapters]
        adapter = layers[paths[0]].adapters[name]
        lora = adapter.lora.to_dict()
        lora["targets"] = list(lora["targets"])  # as JSON gives it back
        seed = adapter.seed
        adapters[name] = {"lora": lora, "seed": seed, "layers": paths}
    return AdapterState(
        adapters=adapters,
        active=active(model),
        merged=is_merged(model),
        integers={
            path: [layer.integers.bits, layer.integers.group]
            for path, layer in layers.items()
            if layer.integers
        },
    )


def restore(model: keras.Model, state: AdapterState) -> None:
    """Gives a plain model the variables that a state tells of.

    The values come afterwards, from `load_weights`; then `merge`, if the
    state says so.

    Args:
        model: A model as it was before adapters; changed in place.
        state: From `state_of`.

    Raises:
        InputError: The model has no such layers.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> from keras_llm.adapters import attach
    >>> config = DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2)
    >>> first, second = build_decoder(config), build_decoder(config)
    >>> _ = attach(first)
    >>> restore(second, state_of(first))
    >>> state_of(second) == state_of(first)
    True
    """
    known = dense_layers(model)
    wanted = {p for one in state.adapters.values() for p in one["layers"]}
    if unknown := sorted((wanted | set(state.integers)) - set(known)):
        raise InputError(
            "Expected a model with the layers that the adapters were on. "
            f"Received: one without {listing(unknown)}."
        )
    for path, (bits, group) in state.integers.items():
        adapted(known[path]).round_base(bits, group)
    for name, one in state.adapters.items():
        layers = {path: known[path] for path in one["layers"]}
        put_on(model, layers, name, Lora.from_dict(one["lora"]), one["seed"])
    describe(model)
    if state.adapters or state.integers:
        activate(model, state.active)


@keras.saving.register_keras_serializable("keras_llm")
class AdaptedDecoder(Decoder):
    """The class of a decoder while it has adapters or integers.

    Its config names them, so that a `.keras` file or a copy from the config
    has them too. A merged one is unmerged there.

    Example: see `keras_llm.adapters.attach.describe`.
    """

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` builds the same decoder from."""
        state = dataclasses.replace(state_of(self), merged=False)
        return {**super().get_config(), "adapters": state.to_dict()}

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> Any:
        """Builds the decoder that `get_config` described."""
        config = dict(config)
        state = AdapterState.from_dict(config.pop("adapters"))
        model = Decoder.from_config(config, custom_objects)
        restore(model, state)
        return model
