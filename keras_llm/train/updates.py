"""What all optimizers here share, on top of Keras': `Updates`.

Decay groups, a rate for each variable, moments in bfloat16, averaged weights
and the guard. Every choice is made with `where`, never with a branch around
the update, so it works inside XLA and `tf.distribute`.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_llm.errors import InputError, check_choice
from keras_llm.train.guards import Guard
from keras_llm.train.loss_scale import LossScale
from keras_llm.train.rounding import round_at_random

NOT_DECAYED = ("embedding", "bias", "gamma", "beta", "scale", "sink", "norm")
STATES = ("float32", "bfloat16")
MOMENTS = ("_momentum", "_velocity")


def decay_groups(variables: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Splits variables into those that decay and those that do not.

    Kernels decay: variables of two or more axes whose own name does not say
    embedding, bias, norm or scale. A bias with two axes (heads, channels) is
    a bias.

    Args:
        variables: Keras variables.

    Returns:
        The decayed and the other variables, in the order given.

    Example:

    >>> layer = keras.layers.Dense(2)
    >>> layer.build((None, 3))
    >>> [[v.name for v in group] for group in decay_groups(layer.variables)]
    [['kernel'], ['bias']]
    """
    groups: tuple[list[Any], list[Any]] = ([], [])
    for variable in variables:
        groups[not is_kernel(variable)].append(variable)
    return groups


def is_kernel(variable: Any) -> bool:
    """Returns whether a variable is a matrix between two layers.

    Example:

    >>> is_kernel(keras.Variable([1.0, 2.0], name="kernel"))
    False
    """
    name = variable.path.rsplit("/", 1)[-1].lower()
    return len(variable.shape) >= 2 and not any(
        part in name for part in NOT_DECAYED
    )


class Updates(keras.Optimizer):
    """What our optimizers add; stands before Keras' own in the bases.

    Args:
        ema: Decay of the moving average of the weights, which `averages`
            returns; None for none. In step t, counted from 0, the decay is
            `min(ema, (1 + t) / (10 + t))`, so that a short run is not the
            average of its beginning.
        state_dtype: "float32" (as the variables), or "bfloat16" for moments
            of half the size, rounded by chance (see `rounding`). Sums are
            made in float32; averages of weights stay float32.
        rate_scales: Factor on the learning rate by a variable's path (see
            `mup`); weight decay keeps the unscaled rate. Default: all 1.
        starts: Step from which on a variable is trained, by its path (see
            `layerwise`); until then its gradient is zero and it does not
            decay. Default: all from the first.
        guard: Leave out updates whose loss or gradient norm lies this many
            standard deviations over their means; None applies all.
        loss_scale: First factor of the objective, for a model in float16;
            None for none (see `LossScale`).

    Source: Kingma & Ba 2014, https://arxiv.org/abs/1412.6980, section 7.2
    (averaging); https://arxiv.org/abs/2203.03466 (scales).

    Example: see `AdamW`.
    """

    def __init__(
        self,
        *args: Any,
        ema: float | None = None,
        state_dtype: str = "float32",
        rate_scales: Mapping[str, float] | None = None,
        starts: Mapping[str, int] | None = None,
        guard: float | None = None,
        loss_scale: float | None = None,
        **kwargs: Any,
    ):
        check_choice("state_dtype", state_dtype, STATES)
        if ema is not None and not 0 < ema < 1:
            raise InputError(
                f"Expected ema between 0 and 1, or None. Received: {ema!r}."
            )
        super().__init__(*args, **kwargs)
        self.ema, self.state_dtype = ema, state_dtype
        self.rate_scales = dict(rate_scales or {})
        self.starts = dict(starts or {})
        self.guard = Guard(guard)
        self.loss_scale = LossScale(loss_scale) if loss_scale else None
        self._counts: Any = None
        self._averages: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the state and decides which variables decay."""
        if self.built:
            return
        self.exclude_from_weight_decay(var_list=decay_groups(variables)[1])
        self._factors = [self.rate_scales.get(v.path, 1.0) for v in variables]
        self.guard.build(self)
        if self.loss_scale is not None:
            self.loss_scale.build(self)
        if self.ema is not None:
            self._averages = [self.copied(v, "average") for v in variables]
        super().build(variables)

    def copied(self, variable: Any, name: str) -> Any:
        """Returns a new state variable that begins with a variable's value."""
        return self.add_variable_from_reference(
            variable, name, lambda shape, dtype: ops.copy(variable.value)
        )

    def averages(self) -> list[Any] | None:
        """Returns the averaged weights, in the variables' order, or None."""
        return [a.value for a in self._averages] or None

    def add_variable(self, *args: Any, **kwargs: Any) -> Any:
        """Makes a state variable; moments have the chosen dtype."""
        small = self.state_dtype == "bfloat16"
        if small and str(kwargs.get("name")).endswith(MOMENTS):
            kwargs["dtype"] = "bfloat16"
        return super().add_variable(*args, **kwargs)

    @contextlib.contextmanager
    def observing(self, loss: Any, norm: Any) -> Iterator[None]:
        """Tells the next `apply` its loss and gradient norm (scalars)."""
        self.guard.observed = (loss, norm)
        try:
            yield
        finally:
            self.guard.observed = None

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Updates the variables, unless the guard leaves this step out."""
        if not self.built and trainable_variables is not None:
            self.build(list(trainable_variables))
        observed = self.guard.observed
        if self.loss_scale is not None and observed is not None:
            self._counts = self.loss_scale.decide(*observed)
        self.guard.decide(self.iterations, self._counts)
        if self.starts:
            pairs = zip(grads, self._trainable_variables, strict=True)
            grads = [self._if_begun(grad, v) for grad, v in pairs]
        super().apply(grads, trainable_variables)
        if self._counts is not None:  # the schedule waits
            one = ops.cast(self._counts, self.iterations.dtype)
            self.iterations.assign(self.iterations - 1 + one)
        self.guard.allowed = self._counts = None

    def update_step(self, gradient: Any, variable: Any, rate: Any) -> None:
        """Updates one variable at its own learning rate."""
        factor = self._factors[self._get_variable_index(variable)]
        rate = rate if factor == 1.0 else rate * factor
        super().update_step(gradient, variable, rate)

    def assign(self, variable: Any, value: Any) -> None:
        """Sets a variable, if the guard allows it."""
        value = self.guard.choose(value, variable)
        if keras.backend.standardize_dtype(variable.dtype) == "bfloat16":
            value = ops.cast(value, "float32")
            value = round_at_random(value, self.iterations, variable.path)
        super().assign(variable, value)

    def assign_add(self, variable: Any, value: Any) -> None:
        """Adds to a variable, in float32."""
        if keras.backend.standardize_dtype(variable.dtype) == "bfloat16":
            self.assign(variable, ops.cast(variable, "float32") + value)
        else:
            value = self.guard.choose(value, ops.zeros_like(value))
            super().assign_add(variable, value)

    def assign_sub(self, variable: Any, value: Any) -> None:
        """Takes from a variable, in float32."""
        self.assign_add(variable, -value)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = super().get_config()
        return config | {
            "ema": self.ema,
            "state_dtype": self.state_dtype,
            "rate_scales": dict(self.rate_scales),
            "starts": dict(self.starts),
            "guard": self.guard.limit,
            "loss_scale": self.loss_scale and self.loss_scale.first,
        }

    def _backend_apply_gradients(self, grads: Any, variables: Any) -> None:
        super()._backend_apply_gradients(grads, variables)
        if not self._averages:
            return
        step = ops.cast(self.iterations, "float32")
        decay = ops.minimum(self.ema, (1.0 + step) / (10.0 + step))
        for average, variable in zip(
            self._averages, self._trainable_variables, strict=True
        ):
            moved = average + (variable - average) * (1.0 - decay)
            if self._counts is not None:
                moved = ops.where(self._counts, moved, average)
            average.assign(moved)

    def _if_begun(self, value: Any, variable: Any) -> Any:
        """A value, or zero before the variable's first step."""
        start = self.starts.get(variable.path)
        if start is None:
            return value
        return ops.where(self.iterations >= start, value, 0.0)

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        if self.starts:
            return self._decay_begun(variables)
        super()._apply_weight_decay(variables)

    def _decay_begun(self, variables: Sequence[Any]) -> None:
        """Decays the variables that are trained already."""
        if self.weight_decay is None:
            return
        for variable in filter(self._use_weight_decay, variables):
            rate = self.learning_rate * self.weight_decay
            less = variable * ops.cast(rate, variable.dtype)
            variable.assign(variable - self._if_begun(less, variable))

    def _get_current_learning_rate(self) -> Any:
        """Zero where the guard leaves out a step: nothing decays."""
        rate = super()._get_current_learning_rate()
        return self.guard.choose(rate, 0.0)
