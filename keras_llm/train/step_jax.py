"""The training step in JAX: pure functions of the state, one loop.

Under a strategy the arrays are global: the step is written for the whole
batch, and XLA cuts it over devices as the arrays are cut.
"""

from typing import Any

import keras
from keras import ops

from keras_llm.layers import next_seeds, rows_from
from keras_llm.train.loss_scale import factor_of, fits, unscaled
from keras_llm.train.losses import TokenLoss
from keras_llm.train.objective import no_loss


class BackendStep(keras.Model):
    """`train_step` and `test_step` of `TokenTrainer` on JAX.

    Example:

    >>> hasattr(BackendStep, "test_step")
    True
    """

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.fit`, on the devices the decoder was built for."""
        with self.distribution.scope():
            return super().fit(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`, on those devices."""
        with self.distribution.scope():
            return super().evaluate(*args, **kwargs)

    def expect_summed_gradients(self) -> None:
        """Does nothing: a gradient here is that of the global batch."""

    def train_step(self, state: tuple, data: Any) -> tuple[dict, tuple]:
        """One optimizer step; returns the metrics so far and the new state."""
        trainable, fixed, optimizer, metrics = state
        batch = self.unpack(data)
        tokens = ops.maximum(ops.sum(self.objective.units(batch[2])), 1.0)
        mapping = list(zip(self.optimizer.variables, optimizer, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            rate = ops.convert_to_tensor(self.optimizer.learning_rate)
            factor = factor_of(self.optimizer)
        share = tokens if factor is None else tokens / factor
        gradients, loss, fixed = self._accumulated(
            trainable, fixed, batch, share
        )
        fixed = self._with_next_seeds(fixed)
        gradients, norm, groups = self.clip(unscaled(gradients, factor))
        counts = fits(loss.objective, norm, factor)
        with self.observing(loss, norm):
            trainable, optimizer = self.optimizer.stateless_apply(
                optimizer, gradients, trainable
            )
        logs, metrics = self._recorded(metrics, loss, norm, groups, counts)
        logs["learning_rate"] = rate
        return logs, (trainable, fixed, optimizer, metrics)

    def test_step(self, state: tuple, data: Any) -> tuple[dict, tuple]:
        """Scores a batch; returns the means so far and the new state."""
        trainable, fixed, metrics = state
        inputs, targets, weights = self.unpack(data)
        loss, fixed = self.stateless_call(
            trainable, fixed, inputs, False, targets, weights
        )
        logs, metrics = self._recorded(metrics, loss)
        return logs, (trainable, fixed, metrics)

    def _recorded(
        self, metrics: list, loss: TokenLoss, *norms: Any
    ) -> tuple[dict, list]:
        variables = self.metrics_variables
        mapping = list(zip(variables, metrics, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            logs = self.record(loss, *norms)
        return logs, [scope.get_current_value(v) for v in variables]

    def _with_next_seeds(self, fixed: list) -> list:
        """The state of dropout's generators, moved on once a step."""
        variables = self.non_trainable_variables
        mapping = list(zip(variables, fixed, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            next_seeds(self.decoder._flatten_layers())
        return [scope.get_current_value(v) for v in variables]

    def _objective(
        self, trainable: list, fixed: list, batch: tuple, tokens: Any, row: Any
    ) -> tuple[Any, tuple]:
        """A micro-batch's share of the mean loss, its sums and new state."""
        inputs, targets, weights = batch
        with rows_from(row):
            loss, fixed, losses = self.stateless_call(
                *(trainable, fixed, inputs, True, targets, weights),
                return_losses=True,
            )
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
            sums, (loss, fixed) = gradient(trainable, fixed, batch, tokens, 0)
            return sums, loss, fixed

        # Each micro-batch is cut over all devices, as the batch is.
        parts = self.distribution.spread(self.parts(batch), axis=1)
        rows = parts[1].shape[1]

        def add(index: Any, carry: tuple) -> tuple:
            sums, loss, fixed = carry
            part = jax.tree.map(lambda x: x[index], parts)
            more, (extra, fixed) = gradient(
                trainable, fixed, part, tokens, index * rows
            )
            sums, loss = jax.tree.map(ops.add, (sums, loss), (more, extra))
            return sums, loss, fixed

        start = (
            jax.tree.map(ops.zeros_like, trainable),
            no_loss(self.objective),
            fixed,
        )
        used = self.parts_in_use(parts[2])
        return jax.lax.fori_loop(0, used, add, start)
