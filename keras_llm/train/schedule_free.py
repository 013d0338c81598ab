"""Schedule-free AdamW: averaging instead of a falling learning rate."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_llm.errors import InputError
from keras_llm.train.updates import Updates


@keras.saving.register_keras_serializable("keras_llm")
class ScheduleFreeAdamW(Updates):
    """AdamW whose average is the model; needs warm-up but no end.

    With gradient g at y, rate r of step t (from 1), decay w and squared
    gradients v as in Adam:

        z <- z - r * (g / (sqrt(v / (1 - beta_2^t)) + epsilon) + w * y)
        x <- x + c * (z - x),  c = r^2 / (sum of r^2 so far)
        y <- beta_1 * x + (1 - beta_1) * z

    The variables hold y while training; x, the weights to validate, sample
    from and save, is what `averages` returns. Only z and v are kept: as much
    memory as AdamW. (Keras 3.15's own weighs warm-up steps fully, decays x,
    reads z after its change on TensorFlow, and never gives x.)

    Args:
        learning_rate: A number or a schedule; a constant one after the
            warm-up. Default: 1e-3; often 2 to 10 times AdamW's is best.
        weight_decay: Of kernels (see `decay_groups`). Default: 0.1.
        beta_1: How near y is to x. Default: 0.9.
        beta_2, epsilon: As in AdamW. Defaults: 0.95, 1e-8.
        **kwargs: See `Updates`; there is no `ema`, x is one already.

    Raises:
        InputError: `ema` is given.

    Source: Defazio et al. 2024, https://arxiv.org/abs/2405.15682.

    Example:

    >>> float(ScheduleFreeAdamW(1e-3).beta_1)
    0.9
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        weight_decay: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.95,
        epsilon: float = 1e-8,
        name: str = "schedule_free",
        **kwargs: Any,
    ):
        if kwargs.get("ema") is not None:
            raise InputError(
                "Expected no ema: schedule-free training averages by itself. "
                f"Received: ema={kwargs['ema']}."
            )
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            name=name,
            **kwargs,
        )
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables: Sequence[Any]) -> None:
        """Makes z, v and the sum of squared rates."""
        if self.built:
            return
        super().build(variables)
        self._rates = self.add_variable(
            (), "zeros", "float32", "only_first_replica", name="squared_rates"
        )
        self._origins = [self.copied(v, "origin") for v in variables]
        self._velocities = self.add_optimizer_variables(variables, "velocity")

    def averages(self) -> list[Any]:
        """Returns x, from y and z."""
        return [
            z + (variable - z) / self.beta_1
            for z, variable in zip(
                self._origins, self._trainable_variables, strict=True
            )
        ]

    def update_step(self, gradient: Any, variable: Any, rate: Any) -> None:
        """Updates z, x and y of one variable."""
        index = self._get_variable_index(variable)
        z, v = self._origins[index], self._velocities[index]
        step = ops.cast(self.iterations + 1, "float32")
        factor = self._factors[index]
        mean = _mean(v, ops.square(gradient), self.beta_2)
        root = ops.sqrt(mean / (1.0 - ops.power(self.beta_2, step)))
        y = ops.convert_to_tensor(variable)
        before = ops.convert_to_tensor(z)
        after = before - rate * factor * gradient / (root + self.epsilon)
        if self._use_weight_decay(variable):
            after = after - rate * self.weight_decay * y
        x = before + (y - before) / self.beta_1
        x = x + self._share * (after - x)
        self.assign(v, mean)
        self.assign(z, after)
        self.assign(variable, self.beta_1 * x + (1.0 - self.beta_1) * after)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        names = ("beta_1", "beta_2", "epsilon")
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own}

    def _backend_update_step(
        self, grads: Any, variables: Any, rate: Any
    ) -> None:
        squared = ops.square(ops.cast(rate, "float32"))
        total = self._rates + squared
        self._share = squared / ops.maximum(total, 1e-30)
        self.assign(self._rates, total)
        super()._backend_update_step(grads, variables, rate)

    def _apply_weight_decay(self, variables: Any) -> None:
        """Nothing here: `update_step` decays z, at y."""


def _mean(old: Any, new: Any, decay: float) -> Any:
    old = ops.cast(old, "float32")
    return old + (new - old) * (1.0 - decay)
