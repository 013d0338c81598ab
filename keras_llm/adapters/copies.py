"""Plain decoders of adapted ones: what exports and other tools work on."""

from typing import Any

import numpy as np
from keras import ops

from keras_llm.adapters.layers import adapted_layers
from keras_llm.model import Decoder, build_decoder
from keras_llm.sketch import blank_decoder


def merged_copy(model: Decoder, dtype: Any = None) -> Decoder:
    """Returns a decoder without adapters that computes the same.

    Args:
        model: A decoder, on which nothing changes. Its active adapter is
            merged, integers become floats.
        dtype: Precision of the copy. Default: the decoder's own.

    Returns:
        A new decoder; or the same one, if there is nothing to do.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> from keras_llm.adapters import attach
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> merged_copy(model) is model
    True
    >>> _ = attach(model)
    >>> copy = merged_copy(model)
    >>> len(copy.weights), type(copy).__name__
    (11, 'Decoder')
    """
    if dtype is None and not adapted_layers(model):
        return model
    copy = blank_decoder(model.config, dtype or model.dtype_policy)
    values = plain_values(model)
    for weight in copy.weights:
        weight.assign(values[weight.path]())
    return copy


def plain_values(model: Decoder) -> dict[str, Any]:
    """Returns functions that give a plain decoder's weights, by path.

    One is made at a time: a decoder of integers may be all that fits.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> plain_values(model)["block_0/attention/query/kernel"]().shape
    (8, 8)
    """

    def value(variable: Any) -> Any:
        return lambda: ops.convert_to_numpy(variable)

    def kernel(layer: Any) -> Any:
        return lambda: np.asarray(ops.convert_to_numpy(layer.kernel))

    values = {weight.path: value(weight) for weight in model.weights}
    for path, layer in adapted_layers(model).items():
        values[f"{path}/kernel"] = kernel(layer)
    return values


def float32_copy(model: Decoder) -> Decoder:
    """Returns a decoder with the same weights that computes in float32.

    Weights of a mixed-precision decoder are float32 already; what it computes
    is rounded to bfloat16, which changes greedy text. The copy does not
    follow later training. Of a model with adapters it is the plain decoder
    that computes the same, as `merged_copy` makes it.

    Example:

    >>> from keras_llm import DecoderConfig
    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> float32_copy(build_decoder(config, "mixed_bfloat16")).compute_dtype
    'float32'
    """
    if adapted_layers(model):
        return merged_copy(model, "float32")
    copy = build_decoder(model.config, "float32")
    copy.set_weights(model.get_weights())
    return copy
