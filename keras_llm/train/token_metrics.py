"""The numbers of a step as means over tokens, the same in all replicas."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_llm.train.losses import TokenLoss
from keras_llm.train.objective import SEEN


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

    Args:
        extras: Names of an objective's own means (see `Objective`).
        likelihood: Whether there is a perplexity.

    Example:

    >>> metric = TokenMetrics()
    >>> metric.update_state(TokenLoss(6.0, 6.0, 3.0, 1.0))
    >>> float(metric.result()["loss"])
    2.0
    """

    def __init__(
        self,
        extras: Iterable[str] = (),
        likelihood: bool = True,
        name: str = "tokens",
    ):
        super().__init__(name=name, dtype="float32")
        self.likelihood = likelihood
        self.sums = self._zeros(("cross_entropy", "tokens", "correct"))
        self.extras = self._zeros(extras, "extra_")

    def _zeros(self, names: Iterable[str], prefix: str = "") -> dict[str, Any]:
        return {
            name: self.add_variable((), "zeros", name=prefix + name)
            for name in names
        }

    def update_state(self, loss: TokenLoss) -> None:
        """Adds the sums of a batch."""
        variables = [*self.sums.values(), *self.extras.values()]
        values = (loss.cross_entropy, loss.tokens, loss.correct, *loss.extras)
        for variable, value in zip(variables, values, strict=True):
            variable.assign_add(ops.cast(value, "float32"))

    def result(self) -> dict[str, Any]:
        """Returns the means since the last reset."""
        tokens = ops.maximum(self.sums["tokens"], 1.0)
        loss = self.sums["cross_entropy"] / tokens
        own = {name: total / tokens for name, total in self.extras.items()}
        seen = self.extras.get(SEEN, self.sums["tokens"])
        return {
            "loss": loss,
            **({"perplexity": ops.exp(loss)} if self.likelihood else {}),
            "accuracy": self.sums["correct"] / tokens,
            **own,
            SEEN: seen * 1.0,
        }


def group_of(path: str) -> str:
    """Returns the group of layers a variable belongs to, by its path.

    Example:

    >>> group_of("block_3/attention/query/kernel")
    'block_3'
    """
    return path.split("/", 1)[0]


class GroupNorms(SameEverywhere):
    """Mean over steps of the gradient norm of each group of layers.

    A group is a layer of the decoder: `token_embedding`, `block_0`, ... It
    is no part of the logs: `norms()` returns it.

    Args:
        paths: Of the variables, in the order of the gradients.

    Example:

    >>> norms = GroupNorms(["a/kernel", "a/bias", "b/kernel"])
    >>> norms.update_state(norms.of([9.0, 16.0, 4.0]))
    >>> norms.norms()
    {'a': 5.0, 'b': 2.0}
    """

    def __init__(self, paths: Iterable[str], name: str = "group_norms"):
        super().__init__(name=name, dtype="float32")
        groups = [group_of(path) for path in paths]
        self.groups = list(dict.fromkeys(groups))
        self._numbers = [self.groups.index(group) for group in groups]
        shape = (len(self.groups),)
        self.total = self.add_variable(shape, "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def of(self, squares: list[Any]) -> Any:
        """Returns `(groups,)` norms from each gradient's sum of squares."""
        squares = [ops.cast(square, "float32") for square in squares]
        sums = ops.segment_sum(
            ops.stack(squares), np.array(self._numbers), len(self.groups)
        )
        return ops.sqrt(sums)

    def update_state(self, norms: Any, sample_weight: Any = None) -> None:
        """Adds a step; a weight of 0 leaves it out."""
        self.total.assign_add(norms)
        self.count.assign_add(1.0 if sample_weight is None else sample_weight)

    def result(self) -> dict[str, Any]:
        """Returns nothing for the logs, which are numbers."""
        return {}

    def norms(self) -> dict[str, float]:
        """Returns the means since the last reset."""
        total, count = map(ops.convert_to_numpy, (self.total, self.count))
        means = (total / max(float(count), 1.0)).tolist()
        return dict(zip(self.groups, means, strict=True))
