"""Objective: what a training step minimizes, as sums over a batch.

Pretraining, tuning on instructions, classification and preference tuning are
one training step with different objectives. Each gives sums over its units (a
token, a row, a pair of answers) and how many units there are: then a mean is
exact however a batch is cut into micro-batches and over devices.
"""

import abc
from typing import Any

import keras
from keras import ops

from keras_llm.train.chunked_loss import ChunkedLoss, chunked_loss
from keras_llm.train.losses import (
    TokenLoss,
    compiled_token_loss,
    token_loss,
)

SEEN = "tokens"  # a metric of this name is a sum: tokens that were read


class Objective(abc.ABC):
    """What is minimized; subclasses define `__call__`, and `units` if needed.

    Attributes:
        metrics: Names of `TokenLoss.extras`, which are shown as means over
            units. One called "tokens" is shown as a sum and counts for the
            speed; without it a unit is a token.
        likelihood: Whether `exp(loss)` is a perplexity.

    Example:

    >>> NextToken().units(ops.ones((2, 3))).shape
    TensorShape([2, 3])
    """

    metrics: tuple[str, ...] = ()
    likelihood = True

    def prepare(self, model: keras.Model, jit_compile: bool) -> None:
        """Is told the model, and whether XLA compiles the whole step."""
        del model, jit_compile  # most objectives need neither

    def units(self, weights: Any) -> Any:
        """Returns the units in every row, of any shape `(rows, ...)`.

        Args:
            weights: float32 `(rows, n)` of the targets.
        """
        return weights

    @abc.abstractmethod
    def __call__(
        self,
        model: keras.Model,
        inputs: Any,
        targets: Any,
        weights: Any,
        training: bool | None = None,
    ) -> TokenLoss:
        """Returns the sums of a batch; `tokens` is the sum of `units`.

        Args:
            model: The model that is trained.
            inputs: Arrays of a batch, by name.
            targets: `(rows, n)`.
            weights: float32 `(rows, n)`.
            training: Whether gradients will be asked for.
        """


class NextToken(Objective):
    """Cross-entropy of the next token, the mean over weighted tokens.

    Args:
        z_loss, label_smoothing: See `token_loss`. Default: 0.
        loss_chunk: Tokens whose logits are in memory at a time, "auto" for
            all up to a size, None for all (see `ChunkedLoss`). Default:
            "auto".

    Example:

    >>> NextToken(z_loss=1e-4).z_loss
    0.0001
    """

    def __init__(
        self,
        z_loss: float = 0.0,
        label_smoothing: float = 0.0,
        loss_chunk: int | str | None = "auto",
    ):
        self.z_loss, self.label_smoothing = z_loss, label_smoothing
        self.loss_chunk = loss_chunk
        self._chunked: ChunkedLoss | None = None
        self._token_loss = token_loss

    def prepare(self, model: keras.Model, jit_compile: bool) -> None:
        """Compiles the loss alone where XLA does not compile the step.

        Raises:
            InputError: The loss of this model cannot be computed in chunks.
        """
        self._chunked = chunked_loss(model, self.loss_chunk)
        # XLA cannot compile what is compiled alone inside of a loop.
        self._token_loss = token_loss if jit_compile else compiled_token_loss()

    def __call__(
        self,
        model: keras.Model,
        inputs: Any,
        targets: Any,
        weights: Any,
        training: bool | None = None,
    ) -> TokenLoss:
        """Returns the sums of a batch."""
        chunked = self._chunked
        if chunked is None or not chunked.slices(targets.shape):
            logits = model(decoder_part(inputs), training=training)
            return self.token_loss(logits, targets, weights)
        inputs = decoder_part(inputs)
        return chunked(inputs, targets, weights, self.token_loss, training)

    def token_loss(self, logits: Any, targets: Any, weights: Any) -> TokenLoss:
        """Returns the loss sums of logits `(batch, time, vocabulary)`."""
        return self._token_loss(
            logits, targets, weights, self.z_loss, self.label_smoothing
        )


def decoder_part(inputs: Any) -> Any:
    """Returns what a decoder reads of a batch's arrays.

    Example:

    >>> decoder_part({"tokens": 1, "reference": 2})
    {'tokens': 1}
    """
    if not isinstance(inputs, dict):
        return inputs
    names = ("tokens", "positions", "segments")
    return {name: inputs[name] for name in names if name in inputs}


def tokens_seen(inputs: Any) -> Any:
    """Returns how many tokens a batch has without padding, float32 scalar.

    Example:

    >>> float(tokens_seen({"segments": ops.array([[1, 2, 0]])}))
    2.0
    """
    return ops.sum(ops.cast(inputs["segments"] > 0, "float32"))


def no_loss(objective: Objective) -> TokenLoss:
    """Returns sums of nothing, to which an objective's can be added.

    Example:

    >>> len(no_loss(NextToken()).extras)
    0
    """
    zero = ops.zeros(())
    extras = (zero,) * len(objective.metrics)
    return TokenLoss(zero, zero, zero, zero, extras)
