"""MirroredStrategy and MultiWorkerMirroredStrategy as distributions."""

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_llm.errors import InputError
from keras_llm.train.cluster import Cluster, find_cluster
from keras_llm.train.distribution import Distribution
from keras_llm.train.strategy_tensorflow import check_keras, feed

STRATEGIES = {
    tf.distribute.MirroredStrategy: "mirrored",
    tf.distribute.MultiWorkerMirroredStrategy: "multi_worker",
}


class StrategyDistribution(Distribution):
    """A `tf.distribute` strategy that this package trains exactly under.

    Args:
        strategy: A MirroredStrategy or MultiWorkerMirroredStrategy.

    Raises:
        InputError: It is another strategy, or Keras is untested.

    Example:

    >>> StrategyDistribution(tf.distribute.MirroredStrategy(["CPU:0"])).kind
    'mirrored'
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        kind = STRATEGIES.get(type(strategy))
        if kind is None:
            raise InputError(
                "Expected a MirroredStrategy or MultiWorkerMirroredStrategy. "
                f"Received: {type(strategy).__name__}. TPUs train with the "
                "JAX backend; parameter servers are not supported."
            )
        check_keras()
        self.strategy, self.kind = strategy, kind
        self.replicas = strategy.num_replicas_in_sync
        self._gathered = tf.function(
            self._gather,
            input_signature=[tf.TensorSpec((None,), tf.float64)],
            autograph=False,
        )
        resolver: Any = strategy.cluster_resolver
        if kind == "multi_worker" and resolver.cluster_spec().jobs:
            jobs = resolver.cluster_spec().as_dict()
            self.workers = sum(len(hosts) for hosts in jobs.values())
            before = len(jobs.get("chief", []))
            is_worker = resolver.task_type == "worker"
            self.worker = int(resolver.task_id) + before * is_worker

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Returns the strategy's scope."""
        return self.strategy.scope()

    def feed(self, part: Callable[[int, int], Any]) -> Any:
        """Returns batches of which each replica takes its part."""
        here = self.replicas // self.workers
        first = self.worker * here
        parts = [part(first + i, self.replicas) for i in range(here)]
        return feed(self.strategy, parts)

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """Returns the numbers of every process, the chief's first."""
        ours = tf.constant(list(numbers), tf.float64)
        rows = self._gathered(ours).numpy().tolist()
        return rows[:: self.replicas // self.workers]

    def _gather(self, numbers: tf.Tensor) -> tf.Tensor:
        """A row for each replica: the sum of all, of which one is not 0.

        `strategy.gather` would be traced anew at every call.
        """

        def in_replica() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            ours = tf.range(self.replicas) == context.replica_id_in_sync_group
            rows = tf.where(ours[:, None], numbers, tf.zeros_like(numbers))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, rows)

        everywhere = self.strategy.run(in_replica)
        return self.strategy.experimental_local_results(everywhere)[0]


def choose() -> str:
    """Returns the kind that fits the environment and the devices.

    Example:

    >>> choose()
    'single'
    """
    if find_cluster() is not None:
        return "multi_worker"
    several = len(tf.config.list_physical_devices("GPU")) > 1
    return "mirrored" if several else "single"


def make(kind: str, devices: Sequence[str] | None = None) -> Distribution:
    """Makes a distribution; see `train.distribution`.

    Raises:
        InputError: The devices or the other processes are not there.

    Example:

    >>> make("single").replicas
    1
    """
    if devices is not None and kind != "mirrored":
        raise InputError(
            'Expected devices for "mirrored" only. Received: devices='
            f"{list(devices)} for {kind!r}."
        )
    if kind == "auto":
        kind = choose()
    if kind == "single":
        return Distribution()
    check_keras()
    if kind == "mirrored":
        return StrategyDistribution(_mirrored(devices))
    cluster = find_cluster()
    if cluster is None:
        raise InputError(
            "Expected the other processes in TF_CONFIG, SLURM's variables or "
            "KERAS_LLM_HOSTS. Received: none of them names several. Start "
            "with `keras-llm launch --workers 2 -- train ...`, or see "
            "train.cluster."
        )
    return StrategyDistribution(_multi_worker(cluster))


def of(model: Any) -> Distribution:
    """Returns the distribution in whose scope a model was built.

    Raises:
        InputError: See `StrategyDistribution`.

    Example: see `train.distribution_of`.
    """
    strategy = getattr(model, "_distribute_strategy", None)
    return (
        Distribution() if strategy is None else StrategyDistribution(strategy)
    )


def _mirrored(devices: Sequence[str] | None) -> tf.distribute.Strategy:
    gpus = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
    if devices is None and len(gpus) < 2:
        raise InputError(
            f'Expected several GPUs for "mirrored". Received: {len(gpus)}. '
            'Use "auto" or "single", or name the devices: '
            'distribution("mirrored", devices=["CPU:0", "CPU:1"]).'
        )
    known = [_short(device.name) for device in tf.config.list_logical_devices()]
    missing = [n for n in devices or gpus if _short(n) not in known]
    if missing:
        raise InputError(
            f"Expected some of the devices {', '.join(known)}. Received: "
            f"{', '.join(missing)}."
        )
    return tf.distribute.MirroredStrategy(devices)


def _short(device: str) -> str:
    """CPU:0 for /job:localhost/device:CPU:0 and for CPU:0."""
    return device.rsplit("/", 1)[-1].removeprefix("device:")


def _multi_worker(cluster: Cluster) -> tf.distribute.Strategy:
    os.environ["TF_CONFIG"] = cluster.tf_config()  # what TensorFlow reads
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise InputError(
            'Expected distribution("multi_worker") before anything else that '
            f"uses TensorFlow. Received: {error}. Move it to the start of the "
            "program."
        ) from error
