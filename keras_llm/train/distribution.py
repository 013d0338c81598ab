"""Over which devices a model trains: one interface for all strategies.

The batch size, the learning rate and the seed mean the same on any number of
devices: a batch is cut into parts of equal size, each row is seen once an
epoch, and the sums behind loss, clipping and metrics are those of the whole
batch. A checkpoint knows nothing of devices.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_llm.errors import InputError, check_choice

KINDS = {
    "tensorflow": ("auto", "single", "mirrored", "multi_worker"),
    "jax": ("auto", "single", "data_parallel", "model_parallel", "fsdp"),
}
ALL_KINDS = tuple(dict.fromkeys([k for kinds in KINDS.values() for k in kinds]))
REFUSED = {
    "tpu": "TPUs train with the JAX backend: set KERAS_BACKEND=jax.",
    "parameter_server": "Keras 3 does not train with parameter servers: use "
    '"multi_worker", or the JAX backend.',
}
ELSEWHERE = {
    "mirrored": 'JAX has "data_parallel" for that.',
    "multi_worker": 'JAX has "data_parallel" for that, over all processes.',
    "data_parallel": 'TensorFlow has "mirrored" and "multi_worker" for that.',
    "model_parallel": "TensorFlow does not cut a model over devices: set "
    "KERAS_BACKEND=jax.",
    "fsdp": "TensorFlow does not cut a model over devices: set "
    "KERAS_BACKEND=jax.",
}


class Distribution:
    """One device; what trains on several overrides what is different.

    Attributes:
        kind: "single", "mirrored", "multi_worker", "fsdp", ...
        replicas: Devices that compute together.
        shards: Parts of a batch that an array's rows must come in: on JAX
            its number of rows is a multiple.
        takes_part: Whether this process, not the chief, holds parts of
            variables that the chief needs to save.
        worker, workers: Which process this is, and how many there are.

    Example:

    >>> Distribution().replicas
    1
    """

    kind = "single"
    replicas = 1
    shards = 1
    takes_part = False
    worker, workers = 0, 1

    @property
    def chief(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.worker == 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Returns the context in which to build the model."""
        return contextlib.nullcontext()

    def feed(self, part: Callable[[int, int], Any]) -> Any:
        """Returns batches for `model.fit`.

        Args:
            part: Takes `(index, count)` and returns a `tf.data.Dataset` of
                that part of each global batch; all parts are equally long.
        """
        return part(0, 1)

    def local(self, model: Any) -> Any:
        """Returns the model for use by this process alone: to generate, save.

        Itself, where that works. With several processes on JAX a copy, which
        the next call renews; all processes call this.
        """
        return model

    def spread(self, arrays: Any, axis: int) -> Any:
        """Returns the arrays of a step, cut along an axis over the devices."""
        del axis
        return arrays

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """Returns the numbers of every process, the chief's first.

        All processes wait here for each other.
        """
        return [[float(number) for number in numbers]]

    def any(self, flag: bool) -> bool:
        """Returns whether the flag is set in any process; all wait here."""
        return any(row[0] for row in self.gather([flag]))

    def require(self, kind: str) -> None:
        """Raises an InputError unless "auto" or this kind was asked for."""
        if kind not in ("auto", self.kind):
            raise InputError(
                f'Expected a model built for strategy="{kind}", as the '
                f"setting says. Received: {self.kind}. Build it within "
                f'train.distribution("{kind}").scope().'
            )

    def require_same(self, step: int) -> None:
        """Raises an InputError unless all processes are at the same step."""
        steps = [int(row[0]) for row in self.gather([step])]
        if len(set(steps)) > 1:
            raise InputError(
                "Expected all processes to continue from the same checkpoint."
                f" Received: steps {steps}, the chief's first. They must all "
                "see the same folder `out`: put it on a shared disk."
            )


def distribution(kind: str = "auto", **options: Any) -> Distribution:
    """Returns how to train on the devices that are there.

    Build the model in its scope; `fit` then finds it by itself:

        with train.distribution("mirrored").scope():
            model = build_decoder(config)
        train.fit(model, rows, steps=1000)

    Several processes are named by the environment (see `train.cluster`); all
    run the same program with the same arguments and see the same files. Call
    this before anything else uses TensorFlow or JAX.

    Args:
        kind: On TensorFlow: "single"; "mirrored", the GPUs of this machine;
            "multi_worker", several processes. On JAX, over all devices of
            all processes: "single"; "data_parallel", the model whole on each
            device; "model_parallel", cut by heads, width, experts and
            vocabulary; "fsdp", cut over the devices that also share the
            rows. "auto": what fits the environment.
        **options: `devices` of "mirrored", as in `["GPU:0", "GPU:1"]`;
            `mesh` of "model_parallel", as in `(2, 4)` or "2x4": over 2 parts
            of a batch, and each with the model over 4. Default: the model
            over all.

    Raises:
        InputError: The kind is unknown or not for this backend, the devices
            are not there, or Keras has an untested version.

    Example:

    >>> with distribution("single").scope():
    ...     model = keras.Sequential([keras.layers.Dense(1)])
    """
    if kind in REFUSED:
        raise InputError(
            f"Expected one of {', '.join(KINDS)}. Received: {kind!r}. "
            f"{REFUSED[kind]}"
        )
    check_choice("strategy", kind, ALL_KINDS)
    backend = keras.backend.backend()
    if kind not in KINDS.get(backend, ("auto", "single")):
        raise InputError(
            f"Expected one of {', '.join(KINDS.get(backend, ()))} on the "
            f"{backend} backend. Received: {kind!r}. {ELSEWHERE[kind]}"
        )
    return _backend().make(kind, **_known(kind, options))


def distribution_of(model: Any) -> Distribution:
    """Returns the distribution in whose scope a model was built.

    Raises:
        InputError: Something is active that would train wrongly in silence.

    Example:

    >>> distribution_of(keras.Sequential([keras.layers.Dense(1)])).kind
    'single'
    """
    refuse_silent()
    return _backend().of(model)


def refuse_silent() -> None:
    """Raises where Keras ignores what was asked for without a word.

    Raises:
        InputError: `keras.distribution` is set on TensorFlow.

    Example:

    >>> refuse_silent()
    """
    backend = keras.backend.backend()
    if backend == "jax" or keras.distribution.distribution() is None:
        return
    raise InputError(
        "Expected no keras.distribution: on the TensorFlow backend Keras "
        "trains on one device and does not say so. Received: "
        f"{keras.distribution.distribution()}. Call "
        "keras.distribution.set_distribution(None), and use "
        'train.distribution("mirrored") or the JAX backend.'
    )


def _backend() -> Any:
    """The module that makes and finds distributions on this backend."""
    if keras.backend.backend() == "jax":
        from keras_llm.train import distribution_jax

        return distribution_jax
    from keras_llm.train import distribution_tensorflow

    return distribution_tensorflow


def _known(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    known = {"tensorflow": {"devices"}, "jax": {"mesh"}}
    unknown = set(options) - known.get(keras.backend.backend(), set())
    if unknown:
        raise InputError(
            "Expected the options that strategies of the "
            f"{keras.backend.backend()} backend have. Received: "
            f"{', '.join(sorted(unknown))} for {kind!r}."
        )
    return options
