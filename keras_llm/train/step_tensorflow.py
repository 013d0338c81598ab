"""The training step in TensorFlow: tape, micro-batch loop, one update."""

from typing import Any

import tensorflow as tf

from keras_llm.layers import exact_slices
from keras_llm.train.losses import TokenLoss


class BackendStep:
    """`train_step` and `test_step` of `TokenTrainer` on TensorFlow.

    Example:

    >>> hasattr(BackendStep, "train_step")
    True
    """

    def train_step(self: Any, data: Any) -> dict[str, Any]:
        """One optimizer step on a batch; returns the metrics so far."""
        batch = self.unpack(data)
        tokens = tf.maximum(tf.reduce_sum(batch[2]), 1.0)
        # XLA wants shapes that do not depend on what a router chooses.
        with exact_slices(not self.jit_compile):
            if self.accumulate == 1:
                loss, gradients = self._gradients(batch, tokens)
            else:
                loss, gradients = self._accumulated(batch, tokens)
        gradients, norm = self.clip(gradients)
        rate = tf.identity(self.optimizer.learning_rate)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {**self.record(loss, norm), "learning_rate": rate}

    def test_step(self: Any, data: Any) -> dict[str, Any]:
        """Scores a batch; returns the means so far."""
        inputs, targets, weights = self.unpack(data)
        with exact_slices(not self.jit_compile):
            logits = self(inputs, training=False)
        return self.record(self.token_loss(logits, targets, weights))

    def _gradients(
        self: Any, batch: tuple, tokens: Any
    ) -> tuple[TokenLoss, list[Any]]:
        """Sums of a (micro-)batch and its share of the mean's gradient."""
        inputs, targets, weights = batch
        with tf.GradientTape() as tape:
            logits = self(inputs, training=True)
            loss = self.token_loss(logits, targets, weights)
            objective = loss.objective / tokens
            if self.losses:  # of layers, per batch: weigh by its share
                objective += tf.add_n(self.losses) * loss.tokens / tokens
        gradients = tape.gradient(
            objective,
            [variable.value for variable in self.trainable_variables],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return loss, [tf.convert_to_tensor(g) for g in gradients]

    def _accumulated(
        self: Any, batch: tuple, tokens: Any
    ) -> tuple[TokenLoss, list[Any]]:
        """As `_gradients`, one slice of the batch at a time."""
        parts = self.parts(batch)

        def add(index: Any, loss: Any, sums: Any) -> tuple:
            part = tf.nest.map_structure(lambda x: x[index], parts)
            more, gradients = self._gradients(part, tokens)
            return (
                index + 1,
                TokenLoss(*(a + b for a, b in zip(loss, more, strict=True))),
                [a + b for a, b in zip(sums, gradients, strict=True)],
            )

        zero = tf.zeros(())
        start = [
            tf.zeros(variable.shape, variable.dtype)
            for variable in self.trainable_variables
        ]
        # One at a time: parallel iterations would keep all activations.
        _, loss, gradients = tf.while_loop(
            lambda index, *_: index < self.accumulate,
            add,
            (tf.constant(0), TokenLoss(zero, zero, zero, zero), start),
            parallel_iterations=1,
        )
        return loss, gradients
