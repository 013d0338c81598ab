"""Meshes of JAX's devices, and the processes that own them."""

import jax
import keras
from keras.distribution import DeviceMesh

from keras_llm.errors import InputError
from keras_llm.train.cluster import Cluster
from keras_llm.train.sharding import BATCH, MODEL


def new_mesh(shape: tuple[int, ...]) -> DeviceMesh:
    """Returns a mesh of all devices, for rows and maybe the model.

    Example: see `train.distribution`.
    """
    return DeviceMesh(shape, [BATCH, MODEL][: len(shape)])


def join(cluster: Cluster) -> None:
    """Connects the processes; the first one is the coordinator.

    Raises:
        InputError: JAX has its devices already.

    Example: see `train.distribution`.
    """
    if jax.distributed.is_initialized():
        return
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        keras.distribution.initialize(
            ",".join(cluster.hosts), len(cluster.hosts), cluster.index
        )
    except RuntimeError as error:
        raise InputError(
            "Expected train.distribution(...) before anything else that uses "
            f"JAX. Received: {error}. Move it to the start of the program."
        ) from error
