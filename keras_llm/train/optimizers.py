"""AdamW with decay groups, and warm-up followed by a cosine."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_llm.errors import InputError

NOT_DECAYED = ("embedding", "bias", "gamma", "beta", "scale", "sink", "norm")


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
        groups[not _decays(variable)].append(variable)
    return groups


def _decays(variable: Any) -> bool:
    name = variable.path.rsplit("/", 1)[-1].lower()
    return len(variable.shape) >= 2 and not any(
        part in name for part in NOT_DECAYED
    )


@keras.saving.register_keras_serializable("keras_llm")
class AdamW(keras.optimizers.AdamW):
    """AdamW that decays kernels only, also after it was saved and loaded.

    Keras' own exclusion list matches variable names but not paths, and is
    lost when an optimizer is saved; here the rule of `decay_groups` is
    applied whenever the optimizer is built. Arguments as in
    `keras.optimizers.AdamW`; betas and epsilon default to 0.9, 0.95, 1e-8,
    the usual values for language models.

    Source: Loshchilov & Hutter 2017, https://arxiv.org/abs/1711.05101.

    Example:

    >>> optimizer = AdamW(learning_rate=1e-3, weight_decay=0.1)
    >>> float(optimizer.beta_2)
    0.95
    """

    def __init__(
        self,
        learning_rate: Any = 3e-4,
        weight_decay: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.95,
        epsilon: float = 1e-8,
        name: str = "adamw",
        **kwargs: Any,
    ):
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            name=name,
            **kwargs,
        )

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the moments and decides which variables decay."""
        if self.built:
            return
        self.exclude_from_weight_decay(var_list=decay_groups(variables)[1])
        super().build(variables)


@keras.saving.register_keras_serializable("keras_llm")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A straight line up to the peak, then half a cosine down.

    For optimizer step s, counted from 0: `peak * (s + 1) / warmup_steps`
    while `s < warmup_steps`; then from `peak` to `peak * min_ratio`, which is
    reached at `total_steps` and kept.

    Args:
        peak: The highest learning rate.
        total_steps: Optimizer steps of the whole run.
        warmup_steps: Steps of the line. Default: 0, start at the peak.
        min_ratio: Last rate as a share of the peak. Default: 0.1.

    Raises:
        InputError: A value is out of range.

    Source: Loshchilov & Hutter 2016, https://arxiv.org/abs/1608.03983.

    Example:

    >>> rate = WarmupCosine(1.0, total_steps=10, warmup_steps=2)
    >>> [round(float(rate(step)), 2) for step in (0, 1, 2, 6, 10, 99)]
    [0.5, 1.0, 1.0, 0.55, 0.1, 0.1]
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        warmup_steps: int = 0,
        min_ratio: float = 0.1,
        name: str = "warmup_cosine",
    ):
        super().__init__()
        if not peak > 0:
            raise InputError(
                f"Expected a learning rate above zero. Received: {peak!r}. "
                "Usual values lie between 1e-5 and 1e-3."
            )
        if not 0 <= min_ratio <= 1:
            raise InputError(
                f"Expected min_ratio between 0 and 1. Received: {min_ratio!r}."
            )
        self.peak, self.min_ratio, self.name = peak, min_ratio, name
        self._plan = keras.Variable(
            [0.0, 1.0], trainable=False, dtype="float32", name="plan"
        )
        self.plan(total_steps, warmup_steps)

    def plan(self, total_steps: int, warmup_steps: int) -> None:
        """Changes the length; a traced TensorFlow step follows at once.

        Raises:
            InputError: `total_steps` is below 1 or `warmup_steps` outside
                of it.
        """
        if total_steps < 1 or not 0 <= warmup_steps <= total_steps:
            raise InputError(
                "Expected 0 <= warmup_steps <= total_steps and at least one "
                f"step. Received: warmup_steps={warmup_steps}, "
                f"total_steps={total_steps}. Lower warmup_steps or train "
                "longer."
            )
        self.total_steps, self.warmup_steps = total_steps, warmup_steps
        self._plan.assign([float(warmup_steps), float(total_steps)])

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate of optimizer step `step`."""
        step = ops.cast(step, "float32")
        warmup, total = self._plan[0], self._plan[1]
        line = (step + 1.0) / ops.maximum(warmup, 1.0)
        share = (step - warmup) / ops.maximum(total - warmup, 1.0)
        cosine = 0.5 * (1.0 + ops.cos(3.14159265 * ops.clip(share, 0.0, 1.0)))
        curve = self.min_ratio + (1.0 - self.min_ratio) * cosine
        return self.peak * ops.where(step < warmup, line, curve)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "min_ratio": self.min_ratio,
            "name": self.name,
        }
