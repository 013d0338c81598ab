"""What stock Keras lacks to train exactly under `tf.distribute`, in one file.

Keras 3.15 on TensorFlow 2.21 (see `tests/test_distribution_upstream.py`,
which says when a line here may go):

- `fit` fails on several processes: it reduces the inputs of its first batch
  and then scalar logs by their missing axis (keras issues 20585, 20329).
- Batches that replicas cannot share evenly fail while the model is built
  (19246), or their rows count unequally.
- `steps_per_execution`, `jit_compile` (19005) and accumulation (20582) fail.
- Each replica clips its own part of the gradient, before the sum.

Here every replica runs one step on its rows, sums are made over all replicas
before anything is divided, clipped or updated, and so all replicas compute
the same update.
"""

import re
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_llm.errors import InputError

TESTED = "3.15"


def check_keras(version: str = keras.__version__) -> None:
    """Refuses versions of Keras whose inner workings nobody looked at.

    Raises:
        InputError: The version is not a 3.15.

    Example:

    >>> check_keras("3.15.1")
    """
    if not re.match(rf"{re.escape(TESTED)}\b", version):
        raise InputError(
            f"Expected Keras {TESTED} for training on several devices with "
            "TensorFlow: this relies on its inner workings. Received: Keras "
            f"{version}. Install keras~={TESTED}.0, or use the JAX backend."
        )


def total(values: Any) -> Any:
    """Returns the sums over all replicas; as it is, with one of them.

    Args:
        values: A tensor or a nested structure of tensors, in the function of
            a replica.

    Example:

    >>> float(total(tf.constant(2.0)))
    2.0
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    flat = tf.nest.flatten(values)
    sums = context.all_reduce(tf.distribute.ReduceOp.SUM, flat)
    return tf.nest.pack_sequence_as(values, sums)


def tokens_and_first_row(weights: Any) -> tuple[Any, Any]:
    """Returns the tokens of the global batch, and where our rows begin in it.

    Args:
        weights: float32 `(rows, ...)` of this replica, or other units of an
            objective; the numbers of rows may differ.

    Returns:
        Sum of all weights, at least 1; int64 number of rows that the
        replicas before this one have.

    Example:

    >>> tokens, first = tokens_and_first_row(tf.ones((2, 3)))
    >>> float(tokens), int(first)
    (6.0, 0)
    """
    tokens = tf.reduce_sum(weights)
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tf.maximum(tokens, 1.0), tf.constant(0, tf.int64)
    replica = context.replica_id_in_sync_group
    ours = tf.one_hot(replica, context.num_replicas_in_sync)
    ours *= tf.cast(tf.shape(weights)[0], tf.float32)
    tokens, *rows = tf.unstack(total(tf.concat([[tokens], ours], 0)))
    first = tf.reduce_sum(tf.stack(rows)[:replica])
    return tf.maximum(tokens, 1.0), tf.cast(first, tf.int64)


class StrategyFunctions(keras.Model):
    """A model: its train and test functions under a strategy.

    Without a strategy they are Keras' own.

    Example:

    >>> hasattr(StrategyFunctions, "make_train_function")
    True
    """

    @property
    def distributed(self) -> bool:
        """Whether the model was made in the scope of a strategy."""
        return self._distribute_strategy is not None

    def expect_summed_gradients(self) -> None:
        """Keeps the optimizer from summing gradients over replicas again."""
        inner = getattr(self.optimizer, "inner_optimizer", None)
        for optimizer in filter(None, (self.optimizer, inner)):
            optimizer._all_reduce_sum_gradients = list

    def make_train_function(self, force: bool = False) -> None:
        """Makes what `fit` calls for `steps_per_execution` steps."""
        if not self.distributed:
            return super().make_train_function(force)
        if self.train_function is None or force:
            self.train_function = self._function_of(self.train_step)

    def make_test_function(self, force: bool = False) -> None:
        """Makes what `evaluate` calls."""
        if not self.distributed:
            return super().make_test_function(force)
        if self.test_function is None or force:
            self.test_function = self._function_of(self.test_step)

    def _maybe_symbolic_build(self, *_: Any, **__: Any) -> None:
        """Nothing is left to build but the optimizer."""
        optimizer = self.optimizer
        if self.distributed and optimizer and not optimizer.built:
            with self.distribute_strategy.scope():
                optimizer.build(self.trainable_variables)

    def _function_of(self, step: Any) -> Any:
        strategy, steps = self.distribute_strategy, self.steps_per_execution
        step = tf.autograph.experimental.do_not_convert(step)

        # No tf.function of its own: within the loop below it fails as Keras'
        # does (keras issue 19246).
        def one(data: Any) -> Any:
            logs = strategy.run(step, args=(data,))
            return tf.nest.map_structure(  # the same in all replicas
                lambda log: strategy.experimental_local_results(log)[0], logs
            )

        def more(iterator: Any, done: Any, logs: Any) -> Any:
            following = iterator.get_next_as_optional()
            return tf.cond(
                following.has_value(),
                lambda: (done + 1, one(following.get_value())),
                lambda: (steps, logs),
            )

        @tf.function(reduce_retracing=True, autograph=False)
        def several(iterator: Any) -> Any:
            logs = one(next(iterator))
            if steps == 1:
                return logs
            return tf.while_loop(
                lambda done, _: done < steps,
                lambda done, logs: more(iterator, done, logs),
                (tf.constant(1), logs),
                parallel_iterations=1,
            )[1]

        def function(iterator: Any) -> Any:
            if isinstance(iterator, tf.distribute.DistributedIterator):
                return several(iterator)
            raise InputError(
                "Expected fit or evaluate under a strategy. Received: a "
                "single batch. Leave out train_on_batch and test_on_batch."
            )

        return function


def feed(strategy: Any, parts: Sequence[Any]) -> Any:
    """Returns batches for `fit`: each replica takes those of its own dataset.

    Args:
        strategy: A `tf.distribute.Strategy`.
        parts: A `tf.data.Dataset` for each replica of this process, equally
            long.

    Returns:
        A `tf.distribute.DistributedDataset` with the length of a part.

    Example:

    >>> strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    >>> found = feed(strategy, [tf.data.Dataset.range(3)])
    >>> [int(number) for number in found]
    [0, 1, 2]
    """
    count = len(parts)

    def together(*each: Any) -> Any:
        return tf.nest.map_structure(lambda *values: tf.stack(values), *each)

    def merged(_: Any) -> Any:
        if count == 1:
            return parts[0]
        stacked = tf.data.Dataset.zip(tuple(parts)).map(together)
        return stacked.unbatch().prefetch(count)

    fed = strategy.distribute_datasets_from_function(merged)
    # Keras counts steps by it, TensorFlow has counted each replica's batch.
    fed._cardinality = parts[0].cardinality().numpy()
    return fed
