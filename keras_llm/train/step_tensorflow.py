"""The training step in TensorFlow: tape, micro-batch loop, one update."""

from typing import Any

import tensorflow as tf

from keras_llm.layers import dispatch_by, next_seeds, rows_from
from keras_llm.train.loss_scale import factor_of, fits, unscaled
from keras_llm.train.losses import TokenLoss
from keras_llm.train.objective import no_loss
from keras_llm.train.strategy_tensorflow import (
    StrategyFunctions,
    tokens_and_first_row,
    total,
)


class BackendStep(StrategyFunctions):
    """`train_step` and `test_step` of `TokenTrainer` on TensorFlow.

    Example:

    >>> hasattr(BackendStep, "train_step")
    True
    """

    def train_step(self, data: Any) -> dict[str, Any]:
        """One optimizer step on a batch; returns the metrics so far."""
        batch = self.unpack(data)
        units = self.objective.units(batch[2])
        tokens, first_row = tokens_and_first_row(units)
        compute = self._shares
        if self.distributed and self.jit_compile:
            # XLA sees one device: what crosses devices stays outside.
            compute = tf.function(compute, jit_compile=True, autograph=False)
        factor = factor_of(self.optimizer)
        share = tokens if factor is None else tokens / factor
        loss, gradients = total(compute(batch, share, first_row))
        next_seeds(self.decoder._flatten_layers())
        gradients, norm, groups = self.clip(unscaled(gradients, factor))
        counts = fits(loss.objective, norm, factor)
        rate = tf.identity(self.optimizer.learning_rate)
        with self.observing(loss, norm):
            self.optimizer.apply(gradients, self.trainable_variables)
        logs = self.record(loss, norm, groups, counts)
        return {**logs, "learning_rate": rate}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Scores a batch; returns the means so far."""
        inputs, targets, weights = self.unpack(data)
        with dispatch_by("blocks" if self.jit_compile else "slices"):
            loss = self.call(inputs, False, targets, weights)
        return self.record(total(loss))

    def _shares(
        self, batch: tuple, tokens: Any, first_row: Any
    ) -> tuple[TokenLoss, list[Any]]:
        """Our rows' sums, and their share of the global mean's gradient."""
        # XLA wants shapes that do not depend on what a router chooses.
        with dispatch_by("blocks" if self.jit_compile else "slices"):
            if self.accumulate > 1:
                return self._accumulated(batch, tokens, first_row)
            with rows_from(first_row):
                return self._gradients(batch, tokens)

    def _gradients(
        self, batch: tuple, tokens: Any
    ) -> tuple[TokenLoss, list[Any]]:
        """Sums of a (micro-)batch and its share of the mean's gradient."""
        inputs, targets, weights = batch
        with tf.GradientTape() as tape:
            loss = self.call(inputs, True, targets, weights)
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
        self, batch: tuple, tokens: Any, first_row: Any
    ) -> tuple[TokenLoss, list[Any]]:
        """As `_gradients`, one slice of the batch at a time."""
        parts = self.parts(batch)
        rows, used = tf.shape(parts[1])[1], self.parts_in_use(parts[2])

        def add(index: Any, loss: Any, sums: Any) -> tuple:
            part = tf.nest.map_structure(lambda x: x[index], parts)
            done = tf.cast(index * rows, tf.int64)
            with rows_from(first_row + done):
                more, gradients = self._gradients(part, tokens)
            return (
                index + 1,
                tf.nest.map_structure(tf.add, loss, more),
                [a + b for a, b in zip(sums, gradients, strict=True)],
            )

        start = [
            tf.zeros(variable.shape, variable.dtype)
            for variable in self.trainable_variables
        ]
        # One at a time: parallel iterations would keep all activations.
        _, loss, gradients = tf.while_loop(
            lambda index, *_: index < used,
            add,
            (tf.constant(0), no_loss(self.objective), start),
            parallel_iterations=1,
        )
        return loss, gradients
