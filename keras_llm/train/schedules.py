"""Learning-rate schedules: warm-up, then one of five curves.

All count optimizer steps s from 0 and begin with the same line, `peak * (s +
1) / warmup_steps` while `s < warmup_steps`. What follows is a curve of
`share = (s - warmup_steps) / (total_steps - warmup_steps)`, kept at its last
value from `total_steps` on.
"""

import abc
from typing import Any

import keras
from keras import ops

from keras_llm.errors import InputError, check_choice


class Schedule(keras.optimizers.schedules.LearningRateSchedule, abc.ABC):
    """The common part: warm-up, the peak, and a length that may change.

    Args:
        peak: The highest learning rate.
        total_steps: Optimizer steps of the whole run.
        warmup_steps: Steps of the line. Default: 0, start at the peak.
        min_ratio: Lowest rate after the warm-up as a share of the peak.
            Default: 0.1.

    Raises:
        InputError: A value is out of range.

    Example: see `WarmupCosine`.
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        warmup_steps: int = 0,
        min_ratio: float = 0.1,
        name: str | None = None,
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
        self.peak, self.min_ratio = peak, min_ratio
        self.name = name or type(self).__name__
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

    @abc.abstractmethod
    def curve(self, share: Any, step: Any) -> Any:
        """Returns the rate as a share of the peak.

        Args:
            share: Steps since the warm-up over all after it, 0 to 1.
            step: The optimizer step.
        """

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate of optimizer step `step`."""
        step = ops.cast(step, "float32")
        warmup, total = self._plan[0], self._plan[1]
        line = (step + 1.0) / ops.maximum(warmup, 1.0)
        share = (step - warmup) / ops.maximum(total - warmup, 1.0)
        curve = self.curve(ops.clip(share, 0.0, 1.0), step)
        return self.peak * ops.where(step < warmup, line, curve)

    def between(self, curve: Any) -> Any:
        """Returns a curve from 1 to 0 as one from 1 to `min_ratio`."""
        return self.min_ratio + (1.0 - self.min_ratio) * curve

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "min_ratio": self.min_ratio,
            "name": self.name,
        }


@keras.saving.register_keras_serializable("keras_llm")
class WarmupCosine(Schedule):
    """Half a cosine from `peak` down to `peak * min_ratio`.

    After the warm-up `peak * (r + (1 - r) * (1 + cos(pi * share)) / 2)` with
    `r = min_ratio`. Arguments as in `Schedule`.

    Source: Loshchilov & Hutter 2016, https://arxiv.org/abs/1608.03983.

    Example:

    >>> rate = WarmupCosine(1.0, total_steps=10, warmup_steps=2)
    >>> [round(float(rate(step)), 2) for step in (0, 1, 2, 6, 10, 99)]
    [0.5, 1.0, 1.0, 0.55, 0.1, 0.1]
    """

    def curve(self, share: Any, step: Any) -> Any:
        """Returns half a cosine."""
        return self.between(0.5 * (1.0 + ops.cos(3.14159265 * share)))


@keras.saving.register_keras_serializable("keras_llm")
class WarmupLinear(Schedule):
    """A straight line from `peak` down to `peak * min_ratio`.

    After the warm-up `peak * (r + (1 - r) * (1 - share))` with
    `r = min_ratio`. Arguments as in `Schedule`.

    Source: Devlin et al. 2018, https://arxiv.org/abs/1810.04805.

    Example:

    >>> rate = WarmupLinear(1.0, total_steps=12, warmup_steps=2, min_ratio=0)
    >>> [round(float(rate(step)), 2) for step in (0, 2, 7, 12, 99)]
    [0.5, 1.0, 0.5, 0.0, 0.0]
    """

    def curve(self, share: Any, step: Any) -> Any:
        """Returns a falling line."""
        return self.between(1.0 - share)


@keras.saving.register_keras_serializable("keras_llm")
class WarmupStableDecay(Schedule):
    """WSD: the peak is kept, and left in the last part of the steps.

    After the warm-up `peak` until `decay_share` of the steps after it are
    left, then `peak * (r + (1 - r) * (1 - sqrt(d)))`, where d goes from 0 to
    1 over that last part and `r = min_ratio`. A run may be made longer from a
    checkpoint before the decay.

    Args:
        decay_share: Share of the steps after the warm-up. Default: 0.2.
        **arguments: As in `Schedule`.

    Raises:
        InputError: A value is out of range.

    Source: Hu et al. 2024, https://arxiv.org/abs/2404.06395 (WSD); Hägele et
    al. 2024, https://arxiv.org/abs/2405.18392 (the form with a root).

    Example:

    >>> rate = WarmupStableDecay(1.0, 12, 2, min_ratio=0, decay_share=0.4)
    >>> [round(float(rate(step)), 2) for step in (0, 2, 8, 9, 12)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        warmup_steps: int = 0,
        min_ratio: float = 0.1,
        decay_share: float = 0.2,
        name: str | None = None,
    ):
        if not 0 < decay_share <= 1:
            raise InputError(
                "Expected decay_share above 0 and at most 1. Received: "
                f"{decay_share!r}."
            )
        self.decay_share = decay_share
        super().__init__(peak, total_steps, warmup_steps, min_ratio, name)

    def curve(self, share: Any, step: Any) -> Any:
        """Returns one, then one minus a root."""
        begin = 1.0 - self.decay_share
        done = ops.maximum(share - begin, 0.0) / self.decay_share
        return self.between(1.0 - ops.sqrt(done))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "decay_share": self.decay_share}


@keras.saving.register_keras_serializable("keras_llm")
class InverseSquareRoot(Schedule):
    """The rate falls with the root of the steps, whatever their number.

    After the warm-up `peak * sqrt(w / s)` with `w = max(warmup_steps, 1)`,
    never below `peak * min_ratio`. The length of the run plays no part.
    Arguments as in `Schedule`.

    Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 5.3.

    Example:

    >>> rate = InverseSquareRoot(1.0, total_steps=999, warmup_steps=4)
    >>> [round(float(rate(step)), 2) for step in (0, 3, 4, 16, 100, 999)]
    [0.25, 1.0, 1.0, 0.5, 0.2, 0.1]
    """

    def curve(self, share: Any, step: Any) -> Any:
        """Returns the root of a hyperbola."""
        first = ops.maximum(self._plan[0], 1.0)
        root = ops.sqrt(first / ops.maximum(step, first))
        return ops.maximum(root, self.min_ratio)


@keras.saving.register_keras_serializable("keras_llm")
class WarmupConstant(Schedule):
    """The peak is kept after the warm-up; `min_ratio` plays no part.

    Arguments as in `Schedule`.

    Example:

    >>> rate = WarmupConstant(1.0, total_steps=10, warmup_steps=2)
    >>> [float(rate(step)) for step in (0, 1, 2, 99)]
    [0.5, 1.0, 1.0, 1.0]
    """

    def curve(self, share: Any, step: Any) -> Any:
        """Returns ones."""
        return ops.ones_like(share)


SCHEDULES: dict[str, type[Schedule]] = {
    "cosine": WarmupCosine,
    "linear": WarmupLinear,
    "wsd": WarmupStableDecay,
    "inverse_square_root": InverseSquareRoot,
    "constant": WarmupConstant,
}
"""The name in a `TrainConfig` -> its class."""


def schedule(
    name: str,
    peak: float,
    total_steps: int = 1,
    warmup_steps: int = 0,
    min_ratio: float = 0.1,
    decay_share: float = 0.2,
) -> Schedule:
    """Returns a schedule by its name.

    Args:
        name: "cosine", "linear", "wsd", "inverse_square_root" or "constant".
        peak, total_steps, warmup_steps, min_ratio: As in `Schedule`.
        decay_share: Of "wsd" only.

    Raises:
        InputError: The name is unknown or a value out of range.

    Example:

    >>> schedule("wsd", 1e-3, total_steps=100).decay_share
    0.2
    """
    check_choice("schedule", name, tuple(SCHEDULES))
    options: dict[str, Any] = {}
    if name == "wsd":
        options["decay_share"] = decay_share
    return SCHEDULES[name](
        peak, total_steps, warmup_steps, min_ratio, **options
    )
