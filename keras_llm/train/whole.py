"""Values of variables that may be cut over devices of several processes."""

from typing import Any

import keras
import numpy as np
from keras import ops


def whole_value(variable: Any) -> np.ndarray:
    """Returns the whole value of a variable on this host.

    Where other processes hold parts of it, all must call this, for the same
    variables in the same order.

    Example:

    >>> whole_value(keras.Variable([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    if not spans_processes(variable):
        return ops.convert_to_numpy(variable)
    from jax.experimental import multihost_utils

    return np.asarray(
        multihost_utils.process_allgather(variable.value, tiled=True)
    )


def spans_processes(variable: Any) -> bool:
    """Returns whether parts of a variable are in other processes only.

    Example:

    >>> spans_processes(keras.Variable([1.0, 2.0]))
    False
    """
    value = variable.value
    return not (
        getattr(value, "is_fully_addressable", True)
        or value.is_fully_replicated
    )


def alone(model: Any, twin: Any = None) -> Any:
    """Returns a copy of a model on one device of this process.

    Args:
        model: A decoder; all processes call this if its variables are cut
            over them.
        twin: What an earlier call returned, to be used again.

    Example:

    >>> from keras_llm.config import DecoderConfig
    >>> from keras_llm.model import build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> alone(model).count_params()
    1888
    """
    values = [whole_value(variable) for variable in model.variables]
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        if twin is None:
            twin = type(model).from_config(model.get_config())
        for variable, value in zip(twin.variables, values, strict=True):
            variable.assign(value)
    finally:
        keras.distribution.set_distribution(before)
    return twin
