"""`keras.distribution` on JAX as distributions: data and model parallel."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import keras
import numpy as np
from keras.distribution import DataParallel, DeviceMesh, LayoutMap
from keras.src.backend.jax import core as jax_variables

from keras_llm.errors import InputError
from keras_llm.mesh import mesh_shape
from keras_llm.train.cluster import find_cluster
from keras_llm.train.distribution import Distribution
from keras_llm.train.mesh_jax import join, new_mesh
from keras_llm.train.sharding import (
    BATCH,
    MODEL,
    axes_of,
    check_heads,
    cut_variables,
)
from keras_llm.train.whole import alone, spans_processes

KINDS = ("auto", "single", "data_parallel", "model_parallel", "fsdp")


class Cut(keras.distribution.ModelParallel):
    """ModelParallel by the rules of `train.sharding`.

    Args:
        mesh: With the axes "batch" and "model", or "batch" alone.

    Example: see `train.distribution`.
    """

    def __init__(self, mesh: DeviceMesh):
        super().__init__(
            layout_map=LayoutMap(mesh),
            batch_dim_name=BATCH,
            auto_shard_dataset=False,
        )
        self._sizes = dict(zip(mesh.axis_names, mesh.shape, strict=True))

    def get_variable_layout(self, variable: Any) -> Any:
        """Returns the layout that the rules say."""
        if getattr(variable, "_layout", None) is not None:
            return variable._layout
        axes = axes_of(variable.path, tuple(variable.shape), self._sizes)
        return keras.distribution.TensorLayout(axes, self.device_mesh)

    def get_tensor_layout(self, path: str) -> None:
        """Returns None: XLA cuts what is computed as it sees fit."""


class JaxDistribution(Distribution):
    """Devices of JAX, over which rows and maybe variables are cut.

    Args:
        kind: "data_parallel", "model_parallel" or "fsdp".
        mesh: Its first axis cuts the rows.

    Attributes:
        shards: Parts into which a batch is cut.

    Example: see `train.distribution`.
    """

    def __init__(self, kind: str, mesh: DeviceMesh):
        self.kind, self.mesh = kind, mesh
        self.worker, self.workers = jax.process_index(), jax.process_count()
        self.replicas = mesh.devices.size
        self.shards = mesh.shape[0]
        self._twin: tuple[Any, Any] | None = None
        self._keras = (
            DataParallel(mesh, auto_shard_dataset=False)
            if kind == "data_parallel"
            else Cut(mesh)
        )

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """The scope of the `keras.distribution`.

        Keras 3.15 compiles the initializers of large variables, which fails
        with seeds that move on (UnexpectedTracerError). Here each variable
        is made whole, then cut.
        """
        before = jax_variables.should_shard_at_init
        jax_variables.should_shard_at_init = lambda *_: False
        try:
            with self._keras.scope():
                yield
        finally:
            jax_variables.should_shard_at_init = before

    def feed(self, part: Callable[[int, int], Any]) -> Any:
        """Returns the rows that the devices of this process take."""
        import tensorflow as tf

        ours = self._ours()
        if len(ours) == self.shards:
            return part(0, 1).map(self._filled)
        parts = [part(index, self.shards) for index in ours]
        if len(parts) == 1:
            return parts[0]

        def together(*each: Any) -> Any:
            return tf.nest.map_structure(lambda *x: tf.concat(x, 0), *each)

        return tf.data.Dataset.zip(tuple(parts)).map(together).prefetch(1)

    def local(self, model: Any) -> Any:
        """Returns a copy on one device, if there are several processes."""
        if self.workers == 1:
            return model
        known, twin = self._twin or (None, None)
        twin = alone(model, twin if known is model else None)
        self._twin = (model, twin)
        return twin

    def spread(self, arrays: Any, axis: int) -> Any:
        """Cuts an axis of traced arrays over the devices, as rows are."""
        mesh = self.mesh.backend_mesh
        spec = jax.sharding.PartitionSpec(*[None] * axis, mesh.axis_names[0])
        return jax.lax.with_sharding_constraint(
            arrays, jax.sharding.NamedSharding(mesh, spec)
        )

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """Returns the numbers of every process, the chief's first."""
        if self.workers == 1:
            return super().gather(numbers)
        from jax.experimental import multihost_utils

        # JAX would round float64: it carries the bits.
        bits = np.array(list(numbers), np.float64).view(np.uint32)
        rows = np.asarray(multihost_utils.process_allgather(bits))
        rows = rows.reshape(self.workers, -1)
        return [np.ascontiguousarray(r).view(np.float64).tolist() for r in rows]

    def _filled(self, inputs: Any, targets: Any, weights: Any = None) -> tuple:
        """A batch with empty rows at its end that all shards can share."""
        import tensorflow as tf

        if weights is None:
            weights = tf.ones_like(targets, tf.float32)
        rows = targets.shape[0]
        rows = tf.shape(targets)[0] if rows is None else rows
        missing = -rows % self.shards

        def fill(x: Any) -> Any:
            return tf.pad(x, [(0, missing)] + [(0, 0)] * (len(x.shape) - 1))

        return tf.nest.map_structure(fill, (inputs, targets, weights))

    def _ours(self) -> list[int]:
        """Parts of a batch that devices of this process see."""
        rows = self.mesh.backend_mesh.devices.reshape(self.shards, -1)
        return [
            index
            for index, row in enumerate(rows)
            if any(device.process_index == self.worker for device in row)
        ]


def choose() -> str:
    """Returns the kind that fits the environment and the devices.

    Example: see `train.distribution`.
    """
    several = find_cluster() is not None or jax.device_count() > 1
    return "data_parallel" if several else "single"


def make(kind: str, mesh: Sequence[int] | str | None = None) -> Distribution:
    """Makes a distribution; see `train.distribution`.

    Args:
        kind: "auto" or one of the kinds above.
        mesh: Of "model_parallel": devices for rows and for the model, as
            `(2, 4)` or "2x4". Default: all for the model.

    Raises:
        InputError: The mesh does not fit the kind or the devices.

    Example: see `train.distribution`.
    """
    if kind == "single":
        _without_mesh(kind, mesh)
        return Distribution()
    cluster = find_cluster()
    if cluster is not None:
        join(cluster)
    if kind == "auto":
        kind = choose()
        if kind == "single":
            return make(kind, mesh)
    count = jax.device_count()
    if kind != "model_parallel":
        _without_mesh(kind, mesh)
        return JaxDistribution(kind, new_mesh((count,)))
    return JaxDistribution(kind, new_mesh(mesh_shape(mesh, count)))


def of(model: Any) -> Distribution:
    """Returns the distribution in whose scope a model was built.

    One made with `keras.distribution` will do, too.

    Raises:
        InputError: Its variables are on other devices than what is set now,
            or are all whole where they should be cut.

    Example: see `train.distribution_of`.
    """
    now = keras.distribution.distribution()
    meshes = {
        id(mesh): mesh
        for mesh in (_mesh_of(variable) for variable in model.variables)
    }
    if len(meshes) > 1 or (now is not None and None in meshes.values()):
        raise InputError(
            "Expected all variables of the model to be made for the same "
            "devices. Received: a model that was built before the "
            "distribution was set, or partly. Build it within "
            "train.distribution(...).scope()."
        )
    mesh = next(iter(meshes.values()), None)
    if mesh is None:
        return Distribution()
    found = JaxDistribution(_kind(model, mesh), mesh)
    _check(model, mesh)
    found.takes_part = not found.chief and any(
        map(spans_processes, model.variables)
    )
    return found


def _without_mesh(kind: str, mesh: Any) -> None:
    if mesh is not None:
        raise InputError(
            'Expected a mesh for "model_parallel" only. Received: mesh='
            f"{mesh} for {kind!r}."
        )


def _mesh_of(variable: Any) -> Any:
    layout = getattr(variable, "_layout", None)
    return None if layout is None else layout.device_mesh


def _kind(model: Any, mesh: DeviceMesh) -> str:
    if MODEL in mesh.axis_names:
        return "model_parallel"
    cut = next(cut_variables(model.variables), None)
    return "data_parallel" if cut is None else "fsdp"


def _check(model: Any, mesh: DeviceMesh) -> None:
    """Refuses what would train, but not as it was meant."""
    sizes = dict(zip(mesh.axis_names, mesh.shape, strict=True))
    if mesh.axis_names[0] != BATCH or set(sizes) - {BATCH, MODEL}:
        raise InputError(
            'Expected a mesh with the axes "batch" and maybe "model". '
            f"Received: {mesh.axis_names}. Use train.distribution(...)."
        )
    if getattr(model, "config", None) is not None:
        check_heads(model.config, sizes)
    cut = next(cut_variables(model.variables), None)
    if sizes.get(MODEL, 1) > 1 and cut is None:
        raise InputError(
            "Expected variables that are cut over the devices. Received: "
            f"{len(model.variables)} variables, all of them whole: no "
            "pattern of the layout map matches their paths. Use "
            "train.layout_map(model, mesh)."
        )
