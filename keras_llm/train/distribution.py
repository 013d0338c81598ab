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

KINDS = ("auto", "single", "mirrored", "multi_worker")
REFUSED = {
    "tpu": "TPUs train with the JAX backend: set KERAS_BACKEND=jax.",
    "parameter_server": "Keras 3 does not train with parameter servers: use "
    '"multi_worker", or the JAX backend.',
}


class Distribution:
    """One device; what trains on several overrides what is different.

    Attributes:
        kind: "single", "mirrored", "multi_worker", ...
        replicas: Devices that each compute a part of a batch.
        worker, workers: Which process this is, and how many there are.

    Example:

    >>> Distribution().replicas
    1
    """

    kind = "single"
    replicas = 1
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

    Kinds on TensorFlow: "single"; "mirrored", the GPUs of this machine;
    "multi_worker", several processes, which the environment names (see
    `train.cluster`) and which all run the same program with the same
    arguments and see the same files; "auto", whichever of them fits.

    Call it before anything else uses TensorFlow.

    Args:
        kind: One of the above.
        **options: `devices` of "mirrored", as in `["GPU:0", "GPU:1"]`.

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
    check_choice("strategy", kind, KINDS)
    if keras.backend.backend() != "tensorflow":
        if kind not in ("auto", "single"):
            raise InputError(
                f"Expected the TensorFlow backend for {kind!r}. Received: "
                f"{keras.backend.backend()}. Use keras.distribution there."
            )
        return Distribution()
    from keras_llm.train import distribution_tensorflow as on_tensorflow

    if kind == "auto":
        kind = on_tensorflow.choose()
    return on_tensorflow.make(kind, **options)


def distribution_of(model: Any) -> Distribution:
    """Returns the distribution in whose scope a model was built.

    Raises:
        InputError: Something is active that would train wrongly in silence.

    Example:

    >>> distribution_of(keras.Sequential([keras.layers.Dense(1)])).kind
    'single'
    """
    refuse_silent()
    if keras.backend.backend() != "tensorflow":
        return Distribution()
    from keras_llm.train import distribution_tensorflow as on_tensorflow

    return on_tensorflow.of(model)


def refuse_silent() -> None:
    """Raises where Keras ignores what was asked for without a word.

    Raises:
        InputError: `keras.distribution` is set on TensorFlow.

    Example:

    >>> refuse_silent()
    """
    if keras.distribution.distribution() is None:
        return
    raise InputError(
        "Expected no keras.distribution: on the TensorFlow backend Keras "
        "trains on one device and does not say so. Received: "
        f"{keras.distribution.distribution()}. Call "
        "keras.distribution.set_distribution(None), and use "
        'train.distribution("mirrored") or the JAX backend.'
    )
