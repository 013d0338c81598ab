"""Guards against spikes and NaN: in the step, and around it."""

import contextlib
from typing import Any

from keras import ops

from keras_llm.errors import InputError

MEMORY = 0.98  # decay of the running mean and variance: about 50 steps
FIRST = 32  # steps before the guard decides
MOST = 8  # updates left out in a row; then the level is taken as new


def observing(optimizer: Any, loss: Any, norm: Any) -> Any:
    """Returns a context in which an optimizer knows a step's loss and norm.

    Example:

    >>> import keras
    >>> with observing(keras.optimizers.SGD(), 1.0, 1.0):  # has no guard
    ...     pass
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not hasattr(optimizer, "observing"):
        return contextlib.nullcontext()
    return optimizer.observing(loss, norm)


def guard_of(optimizer: Any) -> "Guard":
    """Returns the guard of an optimizer; an empty one if it has none.

    Example:

    >>> import keras
    >>> guard_of(keras.optimizers.SGD()).limit is None
    True
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return getattr(optimizer, "guard", None) or Guard()


class Guard:
    """Leaves out updates that stand out, with arithmetic only.

    Keeps a running mean and variance of the loss and of the gradient norm,
    of the steps that were applied. An update is left out when one of the two
    is not finite or over `mean + limit * deviation`, from the 33rd step on.
    After eight in a row the level has changed: the guard learns it anew. A
    step that is left out still counts: the schedule and the rows go on.

    Its state is part of the optimizer's, so a resumed run decides the same.

    Args:
        limit: Standard deviations, or None to apply all. Even then the first
            step whose loss or norm is not finite is kept in `first_bad`.

    Raises:
        InputError: The limit is not above zero.

    Source: skipping as in PaLM, https://arxiv.org/abs/2204.02311 section 5.1,
    there by hand.

    Example:

    >>> Guard(6.0).limit
    6.0
    """

    def __init__(self, limit: float | None = None):
        if limit is not None and not limit > 0:
            raise InputError(
                "Expected the guard's limit above zero, in standard "
                f"deviations, or None. Received: {limit!r}. Usual: 6."
            )
        self.limit = limit
        self.observed: tuple[Any, Any] | None = None
        self.allowed: Any = None
        self.counts: Any = None

    def build(self, optimizer: Any) -> None:
        """Makes the state as variables of the optimizer."""
        # Every replica computes the same from all-reduced numbers.
        same = {"aggregation": "only_first_replica"}
        self.counts = optimizer.add_variable(
            (4,), "zeros", "int32", name="guard_counts", **same
        )
        if self.limit is not None:
            self.levels = optimizer.add_variable(
                (2, 2), "zeros", "float32", name="guard_levels", **same
            )

    def decide(self, step: Any, counts: Any = None) -> None:
        """Decides about the step that was observed.

        Args:
            step: From 0.
            counts: Whether it is one at all; None means yes. One that is not
                is left out, and nothing is learned from it.
        """
        self.allowed = None
        if self.observed is None:
            return
        values = ops.stack([ops.cast(x, "float32") for x in self.observed])
        finite = ops.all(ops.isfinite(values))
        kept, skipped, row, bad = (self.counts[i] for i in range(4))
        here = ops.cast(step, "int32") + 1
        bad = ops.where(ops.logical_or(finite, bad > 0), bad, here)
        if self.limit is not None:
            kept = ops.where(row >= MOST, 0, kept)  # learns the new level
            allowed = ops.logical_and(finite, self._calm(values, kept))
            if counts is not None:
                allowed = ops.logical_and(allowed, counts)
            self._remember(values, kept, allowed)
            one = ops.cast(allowed, "int32")
            kept, skipped = kept + one, skipped + 1 - one
            row = (row + 1) * (1 - one)
            self.allowed = allowed
        state = ops.stack([kept, skipped, row, bad])
        if counts is not None:
            state = ops.where(counts, state, self.counts + 0)  # no variable
            self.allowed = counts if self.allowed is None else self.allowed
        self.counts.assign(state)

    def choose(self, value: Any, otherwise: Any) -> Any:
        """Returns the value if this step is applied, else the other."""
        if self.allowed is None:
            return value
        value, otherwise = map(ops.convert_to_tensor, (value, otherwise))
        return ops.where(self.allowed, value, otherwise)

    @property
    def skipped(self) -> int:
        """Updates left out so far."""
        return int(ops.convert_to_numpy(self.counts)[1])

    @property
    def first_bad(self) -> int | None:
        """The first step (from 0) that was not finite, or None."""
        if self.counts is None:
            return None
        bad = int(ops.convert_to_numpy(self.counts)[3])
        return bad - 1 if bad else None

    def _calm(self, values: Any, kept: Any) -> Any:
        mean, variance = self.levels[0], self.levels[1]
        high = mean + self.limit * ops.sqrt(variance)
        return ops.logical_or(kept < FIRST, ops.all(values <= high))

    def _remember(self, values: Any, kept: Any, allowed: Any) -> None:
        mean, variance = self.levels[0], self.levels[1]
        # A plain mean of the first steps, then one that forgets.
        share = ops.maximum(
            1.0 / (ops.cast(kept, "float32") + 1.0), 1.0 - MEMORY
        )
        change = values - mean
        levels = ops.stack(
            [
                mean + share * change,
                (1.0 - share) * (variance + share * ops.square(change)),
            ]
        )
        self.levels.assign(
            self.levels + ops.where(allowed, levels - self.levels, 0.0)
        )
