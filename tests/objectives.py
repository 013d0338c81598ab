"""An objective whose unit is a row, for tests of the training step."""

from typing import Any

from keras import ops

from keras_llm.train import Objective, TokenLoss
from keras_llm.train.objective import decoder_part, tokens_seen


class RowLoss(Objective):
    """Softplus of each row's mean cross-entropy: no sum over tokens."""

    metrics = ("row_nats", "tokens")
    likelihood = False

    def units(self, weights: Any) -> Any:
        """One for a row with any target."""
        return ops.cast(ops.any(weights > 0, axis=1), "float32")

    def __call__(
        self,
        model: Any,
        inputs: Any,
        targets: Any,
        weights: Any,
        training: bool | None = None,
    ) -> TokenLoss:
        logits = model(decoder_part(inputs), training=training)
        logits = ops.log_softmax(ops.cast(logits, "float32"))
        index = ops.expand_dims(targets, -1)
        nats = -ops.squeeze(ops.take_along_axis(logits, index, -1), -1)
        count = ops.maximum(ops.sum(weights, axis=1), 1.0)
        each = ops.sum(nats * weights, axis=1) / count
        units = self.units(weights)
        loss = ops.sum(ops.softplus(each) * units)
        return TokenLoss(
            objective=loss,
            cross_entropy=loss,
            tokens=ops.sum(units),
            correct=ops.sum(ops.cast(each < 3.0, "float32") * units),
            extras=(ops.sum(each * units), tokens_seen(inputs)),
        )
