"""What a classifier's training minimizes."""

from typing import Any

import keras
from keras import ops

from keras_llm.train.losses import TokenLoss
from keras_llm.train.objective import (
    SEEN,
    NextToken,
    Objective,
    tokens_seen,
)


class OneLabel(NextToken):
    """Cross-entropy of the one label of each text, or of each token.

    The mean over texts by their weights. Targets are int32 `(rows, texts)`,
    or `(rows, time)` for labels of tokens; a weight of 0 leaves one out.

    Args:
        label_smoothing: As in `token_loss`. Default: 0.

    Example:

    >>> OneLabel(label_smoothing=0.1).metrics
    ('tokens',)
    """

    metrics = (SEEN,)
    likelihood = False

    def __init__(self, label_smoothing: float = 0.0):
        super().__init__(label_smoothing=label_smoothing, loss_chunk=None)

    def __call__(
        self,
        model: keras.Model,
        inputs: Any,
        targets: Any,
        weights: Any,
        training: bool | None = None,
    ) -> TokenLoss:
        """Returns the sums of a batch."""
        logits = model(inputs, training=training)
        loss = self.token_loss(logits, targets, weights)
        return loss._replace(extras=(tokens_seen(inputs),))


class ManyLabels(Objective):
    """Cross-entropy of each label's yes or no, where a text has any number.

    `log(1 + exp(x)) - x y`, the mean over texts and labels by their weights;
    `accuracy` is the share of right decisions at a probability of 0.5.
    Targets are float32 `(rows, texts * labels)`.

    Example:

    >>> import numpy as np
    >>> logits = lambda inputs, training: np.zeros((1, 1, 2), "float32")
    >>> inputs = {"segments": np.ones((1, 3), "int32")}
    >>> loss = ManyLabels()(logits, inputs, np.array([[1.0, 0.0]]),
    ...     np.ones((1, 2), "float32"))
    >>> round(float(loss.cross_entropy / loss.tokens), 4)  # log(2)
    0.6931
    """

    metrics = (SEEN,)
    likelihood = False

    def __call__(
        self,
        model: keras.Model,
        inputs: Any,
        targets: Any,
        weights: Any,
        training: bool | None = None,
    ) -> TokenLoss:
        """Returns the sums of a batch."""
        logits = model(inputs, training=training)
        logits = ops.reshape(ops.cast(logits, "float32"), ops.shape(targets))
        targets = ops.cast(targets, "float32")
        weights = ops.cast(weights, "float32")
        entropy = ops.sum((ops.softplus(logits) - logits * targets) * weights)
        right = ops.equal(logits > 0, targets > 0.5)
        return TokenLoss(
            entropy,
            entropy,
            ops.sum(weights),
            ops.sum(ops.cast(right, "float32") * weights),
            (tokens_seen(inputs),),
        )
