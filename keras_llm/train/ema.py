"""Averaged weights: put in for validation, samples, files, and at the end."""

import contextlib
from collections.abc import Iterator
from typing import Any

from keras import ops


def averages_of(optimizer: Any) -> list[Any] | None:
    """Returns an optimizer's averaged weights, or None if it has none.

    They are those of `Updates` with `ema` (a moving average) and of
    `ScheduleFreeAdamW`, in the order of the trainable variables.

    Example:

    >>> import keras
    >>> averages_of(keras.optimizers.SGD()) is None
    True
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not hasattr(optimizer, "averages") or not optimizer.built:
        return None
    return optimizer.averages()


@contextlib.contextmanager
def averaged(model: Any, optimizer: Any) -> Iterator[list[Any] | None]:
    """Puts the averaged weights into a model for a while.

    Afterwards the model has exactly the weights it had, so that looking at it
    does not change the run. Within itself it does nothing more.

    Args:
        model: A Keras model with the variables the optimizer was built with.
        optimizer: Any optimizer; nothing happens if it has no averages.

    Yields:
        The weights that training goes on with, as tensors in the order of
        `model.trainable_variables`; None if nothing was changed.

    Example:

    >>> import keras
    >>> from keras_llm.train import AdamW
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> optimizer = AdamW(0.1, ema=0.5)
    >>> optimizer.build(model.trainable_variables)
    >>> with averaged(model, optimizer) as weights:
    ...     len(weights)
    2
    """
    averages = averages_of(optimizer)
    if averages is None or getattr(model, "_is_averaged", False):
        yield None
        return
    variables = model.trainable_variables
    weights = [ops.copy(variable.value) for variable in variables]
    _assign(variables, averages)
    model._is_averaged = True
    try:
        yield weights
    finally:
        model._is_averaged = False
        _assign(variables, weights)


def keep_averages(model: Any, optimizer: Any) -> None:
    """Makes the averaged weights those of the model, at the end of a run.

    Example:

    >>> import keras
    >>> keep_averages(keras.Sequential(), keras.optimizers.SGD())
    """
    averages = averages_of(optimizer)
    if averages is not None:
        _assign(model.trainable_variables, averages)


def _assign(variables: list[Any], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        # JAX gives away a variable's array: it must not be the average's.
        variable.assign(ops.copy(value))
