"""TokenTrainer: a decoder with a training step of its own, for `model.fit`.

What stock Keras gets wrong for language models and this step does not:

- The loss is the mean over weighted tokens (or other units of an `Objective`)
  of the whole batch, also when the batch is cut into micro-batches (Keras
  averages per sample or per part).
- Micro-batches run inside one step, so learning-rate schedules count
  optimizer steps (Keras' `gradient_accumulation_steps` counts micro-steps).
- The gradient norm is clipped once, over everything, and kept as a metric.
"""

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_llm.errors import InputError
from keras_llm.train.distribution import Distribution, distribution_of
from keras_llm.train.ema import averaged
from keras_llm.train.guards import guard_of, observing
from keras_llm.train.loss_scale import factor_needed
from keras_llm.train.losses import TokenLoss
from keras_llm.train.objective import NextToken, Objective
from keras_llm.train.token_metrics import (
    GradientNorm,
    GroupNorms,
    TokenMetrics,
)

# A type checker takes one class as a base, so it reads TensorFlow's.
if keras.backend.backend() == "jax" and not TYPE_CHECKING:
    from keras_llm.train.step_jax import BackendStep
else:
    from keras_llm.train.step_tensorflow import BackendStep


class TokenTrainer(BackendStep):
    """Trains a decoder on an objective through stock `compile` and `fit`.

    Data are `(inputs, targets, weights)`: a dictionary of int32 `(batch,
    time)` arrays (tokens, positions, segments), int32 targets and float32
    weights of the same shape; without weights every target counts 1. Other
    objectives may have more inputs, and targets `(batch, n)` of any kind.

    Args:
        decoder: Keras model from that dictionary to logits `(batch, time,
            vocabulary)`. Its variables are trained in place.
        accumulate: Micro-batches in a step; equal to the big batch, with the
            activations of only one micro-batch in memory. Default: 1.
        clip_norm: Upper limit of the global gradient norm; None for none.
        objective: What is minimized. Default: `NextToken`.
        **loss: Arguments of that default.

    Raises:
        InputError: A value is out of range, the decoder is not built, it was
            built in another scope (see `train.distribution`), or its loss
            cannot be computed in chunks.

    Example:

    >>> import numpy as np
    >>> decoder = keras.Sequential(
    ...     [keras.Input((None,)), keras.layers.Embedding(8, 8)])
    >>> trainer = TokenTrainer(decoder, accumulate=2, clip_norm=1.0)
    >>> trainer.compile(optimizer="adam")
    >>> tokens = np.arange(8).reshape(2, 4)
    >>> logs = trainer.fit(tokens, (tokens + 1) % 8, verbose=0).history
    >>> sorted(logs)[:4]
    ['accuracy', 'gradient_norm', 'learning_rate', 'loss']
    """

    def __init__(
        self,
        decoder: keras.Model,
        accumulate: int = 1,
        clip_norm: float | None = None,
        objective: Objective | None = None,
        name: str = "token_trainer",
        **loss: Any,
    ):
        super().__init__(name=name)
        if not isinstance(accumulate, int) or accumulate < 1:
            raise InputError(
                "Expected accumulate to be an integer of at least 1: "
                f"micro-batches in a step. Received: {accumulate!r}."
            )
        if clip_norm is not None and not clip_norm > 0:
            raise InputError(
                "Expected clip_norm above zero, or None for no clipping. "
                f"Received: {clip_norm!r}."
            )
        if not decoder.built:
            raise InputError(
                "Expected a decoder that has its variables. Received: one "
                f"that is not built ({decoder.name}). Call it on a batch "
                "first, or use build_decoder."
            )
        self.decoder = decoder
        self.distribution = self._distribution_of(decoder)
        self.accumulate, self.clip_norm = accumulate, clip_norm
        self.objective = objective or NextToken(**loss)
        self.objective.prepare(decoder, False)
        with self.distribution.scope():
            self.token_metrics = TokenMetrics(
                self.objective.metrics, self.objective.likelihood
            )
            self.norm_metric = GradientNorm("gradient_norm")
            paths = [v.path for v in decoder.trainable_variables]
            self.group_norms = GroupNorms(paths)

    def compile(
        self, optimizer: Any, jit_compile: Any = None, **kwargs: Any
    ) -> None:
        """As `keras.Model.compile`, without a loss: it is built in.

        Args:
            optimizer: A Keras optimizer or its name.
            jit_compile: Whether XLA compiles the whole step. Default: False
                on TensorFlow (bfloat16 is slower with it on a CPU; the loss
                is compiled alone), True on JAX.

        Raises:
            InputError: A loss or metrics are passed, or an optimizer without
                loss scaling for a decoder in float16.
        """
        given = [k for k in ("loss", "metrics") if kwargs.get(k) is not None]
        if given:
            raise InputError(
                f"Expected no {' or '.join(given)}: TokenTrainer has those "
                "of its objective built in. Pass the optimizer only."
            )
        if jit_compile is None:
            jit_compile = keras.backend.backend() == "jax"
        self._check_float16(optimizer)
        kwargs["auto_scale_loss"] = False  # the step does it
        self.objective.prepare(self.decoder, bool(jit_compile))
        with self.distribution.scope():
            super().compile(optimizer, jit_compile=jit_compile, **kwargs)
            if factor_needed(self.optimizer) and not self.optimizer.built:
                self.optimizer.build(self.trainable_variables)  # has a factor
        if self.distribution.replicas > 1:
            self.expect_summed_gradients()

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`, on averaged weights if there are any."""
        with averaged(self.decoder, self.optimizer):
            return super().evaluate(*args, **kwargs)

    def observing(self, loss: TokenLoss, norm: Any) -> Any:
        """Returns the context in which the optimizer applies this step."""
        mean = loss.cross_entropy / ops.maximum(loss.tokens, 1.0)
        return observing(self.optimizer, mean, norm)

    def call(
        self,
        inputs: Any,
        training: bool | None = None,
        targets: Any = None,
        weights: Any = None,
    ) -> Any:
        """Returns the decoder's logits; with targets, their loss sums."""
        if targets is None:
            own = _own_inputs(self.decoder, inputs)
            return self.decoder(own, training=training)
        return self.objective(self.decoder, inputs, targets, weights, training)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """What `fit` resets at the start of an epoch."""
        return [self.token_metrics, self.norm_metric, self.group_norms]

    def unpack(self, data: Any) -> tuple[Any, Any, Any]:
        """Returns inputs, targets and weights; weights default to ones."""
        inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
        if weights is None:
            weights = ops.ones_like(targets, dtype="float32")
        return inputs, targets, ops.cast(weights, "float32")

    def parts(self, batch: tuple) -> tuple:
        """Returns a batch as `(accumulate, size, ...)`: its micro-batches.

        Rows that fill up the last one weigh zero. All have one size, which
        XLA wants to know, and which the devices can share.
        """
        parts = self.accumulate * self.distribution.shards
        missing = -ops.shape(batch[1])[0] % parts

        def split(x: Any) -> Any:
            padding = [(0, missing)] + [(0, 0)] * (len(x.shape) - 1)
            parts = (self.accumulate, -1, *ops.shape(x)[1:])
            return ops.reshape(ops.pad(x, padding), parts)

        return keras.tree.map_structure(split, batch)

    def parts_in_use(self, weights: Any) -> Any:
        """Returns how many micro-batches have tokens, or empty ones before.

        Args:
            weights: `(accumulate, size, time)`, from `parts`.
        """
        count = ops.arange(1, self.accumulate + 1)
        filled = ops.any(weights > 0, axis=(1, 2))
        return ops.max(ops.where(filled, count, 0))

    def clip(self, gradients: list[Any]) -> tuple[list[Any], Any, Any]:
        """Returns the gradients within the limit, and the norms they had.

        Returns:
            Gradients, the norm of all, and `(groups,)` of groups of layers.
        """
        squares = [ops.sum(ops.square(g)) for g in gradients]
        norm, groups = ops.sqrt(sum(squares)), self.group_norms.of(squares)
        if self.clip_norm is None:
            return gradients, norm, groups
        scale = self.clip_norm / ops.maximum(norm, self.clip_norm)
        clipped = [g * ops.cast(scale, g.dtype) for g in gradients]
        return clipped, norm, groups

    def record(
        self,
        loss: TokenLoss,
        norm: Any = None,
        groups: Any = None,
        fits: Any = None,
    ) -> dict[str, Any]:
        """Adds a batch to the metrics and returns the means so far.

        A guard leaves out what is not finite, so the metrics do so, too, and
        gradients that do not fit into float16 have no norm.
        """
        counts = None
        if norm is not None and guard_of(self.optimizer).limit is not None:
            finite = ops.isfinite(loss.objective + norm)
            loss = keras.tree.map_structure(
                lambda x: ops.where(finite, x, 0.0), loss
            )
            norm = ops.where(finite, norm, 0.0)
            groups = ops.where(finite, groups, 0.0)
            counts = ops.cast(finite, "float32")
        if fits is not None:
            norm = ops.where(fits, norm, 0.0)
            groups = ops.where(fits, groups, 0.0)
            counts = ops.cast(fits, "float32") * (
                1.0 if counts is None else counts
            )
        self.token_metrics.update_state(loss)
        logs = self.token_metrics.result()
        if norm is not None:
            self.norm_metric.update_state(norm, sample_weight=counts)
            self.group_norms.update_state(groups, sample_weight=counts)
            logs["gradient_norm"] = self.norm_metric.result()
        return logs

    def _check_float16(self, optimizer: Any) -> None:
        layers = self.decoder._flatten_layers()
        if "float16" not in {layer.compute_dtype for layer in layers}:
            return
        if not factor_needed(optimizer):
            raise InputError(
                "Expected an optimizer with loss scaling for a decoder that "
                "computes in float16. Received: "
                f"{getattr(optimizer, 'name', optimizer)} without. Use "
                "AdamW(..., loss_scale=2.0**15), or another of train's."
            )

    def _distribution_of(self, decoder: keras.Model) -> Distribution:
        """How decoder and trainer, which must agree, are distributed."""
        here, there = (
            getattr(model, "_distribute_strategy", None)
            for model in (self, decoder)
        )
        if here is not there:
            raise InputError(
                "Expected the decoder and its trainer to be made in the same "
                f"scope. Received: {there or 'no strategy'} for the decoder, "
                f"{here or 'none'} for the trainer. Build the model within "
                "train.distribution(...).scope(), and call fit."
            )
        return distribution_of(decoder)


def _own_inputs(model: keras.Model, inputs: Any) -> Any:
    """What a model reads; the rest of a batch is for the objective."""
    known = getattr(model, "input", None)
    if not isinstance(inputs, dict) or not isinstance(known, dict):
        return inputs
    return {name: inputs[name] for name in inputs if name in known}
