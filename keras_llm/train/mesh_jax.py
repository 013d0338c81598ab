"""Meshes of JAX's devices, and the processes that own them."""

import re
from collections.abc import Sequence

import jax
import keras
from keras.distribution import DeviceMesh

from keras_llm.errors import InputError
from keras_llm.train.cluster import Cluster
from keras_llm.train.sharding import BATCH, MODEL


def parse_mesh(text: str) -> tuple[int, ...]:
    """Returns the shape that is written as "2x4".

    Raises:
        InputError: It is not two numbers above zero.

    Example:

    >>> parse_mesh("2x4")
    (2, 4)
    """
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
        raise InputError(
            "Expected a mesh as ROWSxMODEL, as in 2x4: devices over which "
            f"rows are cut, and the model. Received: {text!r}."
        )
    rows, model = text.split("x")
    return int(rows), int(model)


def mesh_shape(mesh: Sequence[int] | str | None, count: int) -> tuple[int, ...]:
    """Returns the shape of a mesh for rows and the model.

    Args:
        mesh: As in `train.distribution`.
        count: Devices that there are.

    Raises:
        InputError: They are not as many as the mesh has.

    Example:

    >>> mesh_shape("2x4", 8)
    (2, 4)
    """
    if isinstance(mesh, str):
        mesh = parse_mesh(mesh)
    shape = (1, count) if mesh is None else tuple(mesh)
    if len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] != count:
        raise InputError(
            f"Expected a mesh of two numbers whose product is {count}, the "
            f"number of devices. Received: {shape}. On CPUs, XLA_FLAGS="
            "--xla_force_host_platform_device_count=4 makes four."
        )
    return shape


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
