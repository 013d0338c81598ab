"""Loss scaling, without which small gradients are zero in float16.

float16 has five bits for the exponent: numbers below 6e-8 are lost, and those
above 65,504 are infinite. The objective is multiplied by a factor, and the
gradients are divided by it once they are float32, before they are clipped.
Where the factor was too large, a gradient is infinite: the step is left out
and the factor halved. After 2,000 good steps it is doubled.
"""

from typing import Any

from keras import ops

from keras_llm.errors import InputError

FIRST, MOST = 2.0**15, 2.0**24
PATIENCE = 2000  # good steps before the factor grows


def factor_needed(optimizer: Any) -> bool:
    """Returns whether an optimizer expects gradients of a scaled objective.

    Example:

    >>> factor_needed("adam")
    False
    """
    return getattr(optimizer, "loss_scale", None) is not None


def factor_of(optimizer: Any) -> Any:
    """Returns the factor of the coming step; None without loss scaling.

    Example:

    >>> import keras
    >>> factor_of(keras.optimizers.SGD()) is None
    True
    """
    return optimizer.loss_scale.factor if factor_needed(optimizer) else None


def unscaled(gradients: list[Any], factor: Any) -> list[Any]:
    """Returns float32 gradients of the objective itself.

    Example:

    >>> [float(g) for g in unscaled([ops.array(8.0)], 4.0)]
    [2.0]
    """
    if factor is None:
        return gradients
    return [gradient / factor for gradient in gradients]


def fits(loss: Any, norm: Any, factor: Any) -> Any:
    """Returns whether a step counts: no overflow that a factor explains.

    A loss that is not finite, or a gradient at factor 1, is not the factor's
    fault: such a step counts, and whoever looks for NaN will find it.

    Args:
        loss, norm: Of the step, without the factor.
        factor: What it had; None without loss scaling, and None is returned.

    Example:

    >>> bool(fits(2.0, float("inf"), 4.0)), bool(fits(2.0, 1.0, 4.0))
    (False, True)
    """
    if factor is None:
        return None
    blameless = ops.logical_or(factor <= 1.0, ~ops.isfinite(loss))
    return ops.logical_or(ops.isfinite(norm), blameless)


class LossScale:
    """The factor as a part of an optimizer's state.

    It is saved and resumed with the optimizer, and the same on all devices.

    Args:
        first: The factor to begin with, a power of two: multiplying by it
            rounds nothing.

    Raises:
        InputError: It is no power of two from 1 to 2**24.

    Source: Micikevicius et al. 2017, https://arxiv.org/abs/1710.03740,
    section 3.2.

    Example:

    >>> LossScale(2.0**15).first
    32768.0
    """

    def __init__(self, first: float = FIRST):
        if first not in (2.0**power for power in range(25)):
            raise InputError(
                "Expected loss_scale to be a power of two from 1 to 2**24, "
                f"or None. Received: {first!r}. Usual: {FIRST:g}."
            )
        self.first = first
        self.state: Any = None

    def build(self, optimizer: Any) -> None:
        """Makes the state: the factor, good steps with it, steps left out."""
        self.state = optimizer.add_variable(
            (3,),
            lambda shape, dtype: ops.array([self.first, 0.0, 0.0], dtype),
            "float32",
            name="loss_scale",
            aggregation="only_first_replica",
        )

    @property
    def factor(self) -> Any:
        """The factor of the coming step."""
        return self.state[0]

    @property
    def skipped(self) -> int:
        """Steps left out so far."""
        return int(ops.convert_to_numpy(self.state)[2])

    def decide(self, loss: Any, norm: Any) -> Any:
        """Returns whether the step counts, and prepares the next factor."""
        factor, good, skipped = (self.state[i] for i in range(3))
        counts = fits(loss, norm, factor)
        good = ops.where(counts, good + 1.0, 0.0)
        grows = good >= PATIENCE
        larger = ops.minimum(ops.where(grows, 2.0 * factor, factor), MOST)
        self.state.assign(
            ops.stack(
                [
                    ops.where(counts, larger, ops.maximum(factor / 2.0, 1.0)),
                    ops.where(grows, 0.0, good),
                    ops.where(counts, skipped, skipped + 1.0),
                ]
            )
        )
        return counts
