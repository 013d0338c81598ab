"""The numbers of a step as means over tokens, the same in all replicas."""

from typing import Any

import keras
from keras import ops

from keras_llm.train.losses import TokenLoss


class SameEverywhere(keras.metrics.Metric):
    """Metric that all replicas update with the same numbers.

    Example:

    >>> issubclass(TokenMetrics, SameEverywhere)
    True
    """

    def add_variable(self, *args: Any, **kwargs: Any) -> Any:
        """Makes a variable of which one replica's copy is read."""
        kwargs["aggregation"] = "only_first_replica"
        return super().add_variable(*args, **kwargs)


class GradientNorm(SameEverywhere, keras.metrics.Mean):
    """Mean of the gradient norm over steps.

    Example:

    >>> GradientNorm("gradient_norm").name
    'gradient_norm'
    """


class TokenMetrics(SameEverywhere):
    """Loss, perplexity and accuracy as means over weighted tokens.

    `result()` is a dictionary: `loss` in nats per token, `perplexity =
    exp(loss)`, `accuracy` between 0 and 1, `tokens` counted.

    Example:

    >>> metric = TokenMetrics()
    >>> metric.update_state(TokenLoss(6.0, 6.0, 3.0, 1.0))
    >>> float(metric.result()["loss"])
    2.0
    """

    def __init__(self, name: str = "tokens"):
        super().__init__(name=name, dtype="float32")
        self.sums = {
            part: self.add_variable(shape=(), initializer="zeros", name=part)
            for part in ("cross_entropy", "tokens", "correct")
        }

    def update_state(self, loss: TokenLoss) -> None:
        """Adds the sums of a batch."""
        for part, variable in self.sums.items():
            variable.assign_add(ops.cast(getattr(loss, part), "float32"))

    def result(self) -> dict[str, Any]:
        """Returns the means since the last reset."""
        tokens = ops.maximum(self.sums["tokens"], 1.0)
        loss = self.sums["cross_entropy"] / tokens
        return {
            "loss": loss,
            "perplexity": ops.exp(loss),
            "accuracy": self.sums["correct"] / tokens,
            "tokens": self.sums["tokens"] * 1.0,
        }
