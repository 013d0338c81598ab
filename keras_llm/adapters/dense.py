"""A Dense layer that holds adapters, made of one in place."""

import contextlib
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_llm.adapters.integers import IntegerKernel
from keras_llm.adapters.lora import LoraAdapter
from keras_llm.adapters.settings import Lora
from keras_llm.errors import InputError


class AdaptedDense(keras.layers.Dense):
    """`keras.layers.Dense` with any number of adapters, one of them active.

    Made by `adapted`, which gives a layer this class and keeps the object:
    whoever holds the layer (the model, a cached step) computes with the
    adapter from then on, and the paths of its variables stay.

    Attributes:
        adapters: Name -> `LoraAdapter`.
        active: Name of the one that counts, or None for the plain layer.
        integers: The kernel as integers, or None for floats.
        original: While merged: the kernel before, on the host.

    Example:

    >>> layer = keras.layers.Dense(2, use_bias=False)
    >>> layer.build((None, 3))
    >>> layer = adapted(layer)
    >>> layer.add("mine", Lora(rank=1))
    >>> sorted(v.path.split("/")[-1] for v in layer.variables)
    ['kernel', 'lora_a', 'lora_b']
    """

    adapters: dict[str, LoraAdapter]
    active: str | None
    integers: IntegerKernel | None
    original: np.ndarray | None
    path: str
    _kernel: Any

    @property
    def kernel(self) -> Any:
        """The kernel that the layer computes with, the adapter in it."""
        adapter = self.active_adapter()
        return adapter.merged(self.base()) if adapter else self.base()

    def base(self) -> Any:
        """Returns the kernel without adapters."""
        return self.integers.floats() if self.integers else self._kernel

    def active_adapter(self) -> LoraAdapter | None:
        """Returns the adapter to add: None also where it is merged."""
        if self.active is None or self.original is not None:
            return None
        return self.adapters.get(self.active)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Applies kernel, adapter, bias and activation."""
        if self.integers:
            x = self.integers.product(inputs, training)
        else:
            x = ops.matmul(inputs, self._kernel)
        if adapter := self.active_adapter():
            x = adapter.applied(inputs, x, self.base, training)
        if self.bias is not None:
            x = ops.add(x, self.bias)
        return x if self.activation is None else self.activation(x)

    def add(self, name: str, lora: Lora, seed: int = 0) -> None:
        """Adds an adapter that changes nothing yet, and does not count yet."""
        kernel = self.base()
        adapter = LoraAdapter(
            lora, *kernel.shape, seed=seed, name=name, dtype=_policy(self)
        )
        with self._open(), _scopes(self.path):
            adapter.build()
            self.adapters[name] = adapter
        adapter.start_from(kernel)

    def remove(self, name: str) -> None:
        """Removes an adapter; nothing happens where there is none."""
        self.active = None if self.active == name else self.active
        self.adapters.pop(name, None)

    def round_base(self, bits: int, group: int | None) -> None:
        """Replaces the float kernel by integers, and frees it."""
        kernel = ops.convert_to_numpy(self._kernel)
        with self._open(), _scopes(self.path):
            integers = IntegerKernel(
                bits, group, *kernel.shape, name=f"kernel_int{bits}"
            )
            integers.build()
            self.integers = integers
        integers.assign(kernel)
        self._untrack_variable(self._kernel)
        # Past Keras' own `del`, which collects garbage for each layer. Only
        # setting it would leave the floats to TensorFlow's list of children.
        super(keras.layers.Layer, self).__delattr__("_kernel")
        self._kernel = None

    def merge(self) -> None:
        """Adds the active adapter to the kernel; the old one is kept."""
        merged = ops.convert_to_numpy(self.kernel)
        self.original = np.array(ops.convert_to_numpy(self._kernel))
        self._kernel.assign(merged)

    def unmerge(self) -> None:
        """Puts back the kernel from before, bit for bit."""
        self._kernel.assign(self.original)
        self.original = None

    def save_own_variables(self, store: Any) -> None:
        """Writes kernel and bias without adapters, as Keras' Dense does."""
        kernel = None if self.integers else self._kernel
        kernel = kernel if self.original is None else self.original
        known = [v for v in (kernel, self.bias) if v is not None]
        for index, variable in enumerate(known):
            store[str(index)] = variable

    def load_own_variables(self, store: Any) -> None:
        """Reads what `save_own_variables` wrote."""
        kernel = None if self.integers else self._kernel
        known = [v for v in (kernel, self.bias) if v is not None]
        if len(store) != len(known):
            raise InputError(
                f"Expected {len(known)} variables for {self.path}. Received: "
                f"{len(store)}. Restore the model's adapters, and whether its "
                "kernels are integers, before its weights."
            )
        for index, variable in enumerate(known):
            variable.assign(store[str(index)])

    def get_config(self) -> dict[str, Any]:
        """Refuses: a config of layers says nothing of adapters.

        Raises:
            InputError: Always.
        """
        raise InputError(
            "Expected a model without adapters, to describe its layers. "
            f"Received: {self.path} with some. Save a copy from "
            "adapters.merged_copy, or the weights and adapters.save_adapter."
        )

    @contextlib.contextmanager
    def _open(self) -> Any:
        """Lets a built layer have more variables, as `enable_lora` does."""
        self._tracker.unlock()
        try:
            yield
        finally:
            self._tracker.lock()


def adapted(layer: keras.layers.Dense) -> AdaptedDense:
    """Gives a built Dense layer the class `AdaptedDense`, in place.

    Raises:
        InputError: The layer is not built, quantized by Keras, or has Keras'
            own LoRA.

    Example: see `AdaptedDense`.
    """
    if isinstance(layer, AdaptedDense):
        return layer
    if not layer.built or layer.quantization_mode or layer.lora_enabled:
        raise InputError(
            "Expected a built Dense layer without Keras' own quantization "
            f"or LoRA. Received: {layer.path or layer.name}. Build the model "
            "first, and use adapters.quantize_base for integers."
        )
    object.__setattr__(layer, "__class__", AdaptedDense)
    wrapped: Any = layer
    wrapped._tracker.unlock()
    wrapped.adapters, wrapped.active = {}, None
    wrapped.integers, wrapped.original = None, None
    wrapped._tracker.lock()
    return wrapped


def plain(layer: AdaptedDense) -> None:
    """Gives a layer without adapters and integers its first class back.

    Example:

    >>> layer = keras.layers.Dense(2)
    >>> layer.build((None, 3))
    >>> plain(adapted(layer))
    >>> type(layer).__name__
    'Dense'
    """
    if not layer.adapters and layer.integers is None:
        object.__setattr__(layer, "__class__", keras.layers.Dense)


@contextlib.contextmanager
def _scopes(path: str) -> Any:
    """Opens the name scopes of a path, so that new variables are below it."""
    with contextlib.ExitStack() as stack:
        for part in path.split("/"):
            stack.enter_context(keras.name_scope(part))
        yield


def _policy(layer: keras.layers.Layer) -> Any:
    """The layer's precision, with float32 variables."""
    compute = layer.compute_dtype
    mixed = compute in ("bfloat16", "float16")
    return f"mixed_{compute}" if mixed else compute
