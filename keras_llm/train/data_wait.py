"""How long a run waits for its data."""

from typing import Any


class DataWait:
    """Counts the seconds that the consumer of a dataset waits for batches.

    The time is taken in the graph of the dataset, so it works wherever the
    batches are asked for, in Python or within a `tf.function`.

    Example:

    >>> import tensorflow as tf
    >>> wait = DataWait()
    >>> [int(x) for x in wait.timed(tf.data.Dataset.range(3))]
    [0, 1, 2]
    >>> 0.0 < wait.seconds() < 10.0
    True
    """

    def __init__(self) -> None:
        import tensorflow as tf

        with tf.device("CPU:0"):  # where datasets run
            self._sum = tf.Variable(0.0, dtype=tf.float64)

    def timed(self, dataset: Any) -> Any:
        """Returns the same batches, of which the time is taken."""
        import tensorflow as tf

        clock = tf.data.Dataset.counter().map(lambda _: tf.timestamp())
        options = tf.data.Options()
        # Fetching ahead would be timed instead of waiting.
        options.experimental_optimization.inject_prefetch = False

        def count(before: Any, batch: Any, after: Any) -> Any:
            with tf.control_dependencies(
                [self._sum.assign_add(after - before)]
            ):
                return tf.nest.map_structure(tf.identity, batch)

        # zip asks its inputs one after the other: clock, batch, clock.
        timed = tf.data.Dataset.zip(clock, dataset, clock).map(count)
        return timed.with_options(options)

    def seconds(self) -> float:
        """Returns the sum so far."""
        return float(self._sum.numpy())
