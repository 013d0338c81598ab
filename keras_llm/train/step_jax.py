"""The training step in JAX: pure functions of the state, one loop."""

from typing import Any

import keras
from keras import ops

from keras_llm.train.losses import TokenLoss


class BackendStep(keras.Model):
    """`train_step` and `test_step` of `TokenTrainer` on JAX.

    Example:

    >>> hasattr(BackendStep, "test_step")
    True
    """

    def train_step(self, state: tuple, data: Any) -> tuple[dict, tuple]:
        """One optimizer step; returns the metrics so far and the new state."""
        trainable, fixed, optimizer, metrics = state
        batch = self.unpack(data)
        tokens = ops.maximum(ops.sum(batch[2]), 1.0)
        gradients, loss, fixed = self._accumulated(
            trainable, fixed, batch, tokens
        )
        gradients, norm = self.clip(gradients)
        mapping = list(zip(self.optimizer.variables, optimizer, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            rate = ops.convert_to_tensor(self.optimizer.learning_rate)
        with self.observing(loss, norm):
            trainable, optimizer = self.optimizer.stateless_apply(
                optimizer, gradients, trainable
            )
        logs, metrics = self._recorded(metrics, loss, norm)
        logs["learning_rate"] = rate
        return logs, (trainable, fixed, optimizer, metrics)

    def test_step(self, state: tuple, data: Any) -> tuple[dict, tuple]:
        """Scores a batch; returns the means so far and the new state."""
        trainable, fixed, metrics = state
        inputs, targets, weights = self.unpack(data)
        logits, fixed = self.stateless_call(
            trainable, fixed, inputs, training=False
        )
        loss = self.token_loss(logits, targets, weights)
        logs, metrics = self._recorded(metrics, loss)
        return logs, (trainable, fixed, metrics)

    def _recorded(
        self, metrics: list, loss: TokenLoss, norm: Any = None
    ) -> tuple[dict, list]:
        variables = self.metrics_variables
        mapping = list(zip(variables, metrics, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            logs = self.record(loss, norm)
        return logs, [scope.get_current_value(v) for v in variables]

    def _objective(
        self, trainable: list, fixed: list, batch: tuple, tokens: Any
    ) -> tuple[Any, tuple]:
        """A micro-batch's share of the mean loss, its sums and new state."""
        inputs, targets, weights = batch
        logits, fixed, losses = self.stateless_call(
            trainable, fixed, inputs, training=True, return_losses=True
        )
        loss = self.token_loss(logits, targets, weights)
        objective = loss.objective / tokens
        if losses:  # of layers, per batch: weigh by its share
            objective += sum(losses) * loss.tokens / tokens
        return objective, (loss, fixed)

    def _accumulated(
        self, trainable: list, fixed: list, batch: tuple, tokens: Any
    ) -> tuple[list, TokenLoss, list]:
        import jax

        gradient = jax.grad(self._objective, has_aux=True)
        if self.accumulate == 1:
            sums, (loss, fixed) = gradient(trainable, fixed, batch, tokens)
            return sums, loss, fixed

        parts = self.parts(batch)

        def add(index: Any, carry: tuple) -> tuple:
            sums, loss, fixed = carry
            part = jax.tree.map(lambda x: x[index], parts)
            more, (extra, fixed) = gradient(trainable, fixed, part, tokens)
            sums, loss = jax.tree.map(ops.add, (sums, loss), (more, extra))
            return sums, loss, fixed

        zero = ops.zeros(())
        start = (
            jax.tree.map(ops.zeros_like, trainable),
            TokenLoss(zero, zero, zero, zero),
            fixed,
        )
        used = self.parts_in_use(parts[2])
        return jax.lax.fori_loop(0, used, add, start)
