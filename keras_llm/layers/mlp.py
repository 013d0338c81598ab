"""The MLP of a block, plain or gated."""

from typing import Any

import keras
from keras import ops

from keras_llm.errors import check_choice

ACTIVATIONS = {
    "swiglu": ops.silu,
    "geglu": lambda x: ops.gelu(x, approximate=True),
    "gelu": lambda x: ops.gelu(x, approximate=True),
    "gelu_exact": lambda x: ops.gelu(x, approximate=False),
}


@keras.saving.register_keras_serializable("keras_llm")
class MLP(keras.layers.Layer):
    """Two projections around an activation, or three with a gate.

    Plain (`"gelu"`, `"gelu_exact"`): `down(act(up(x)))`.
    Gated (`"swiglu"`, `"geglu"`): `down(act(gate(x)) * up(x))`.

    Args:
        inner_dim: Width between the projections.
        kind: "swiglu", "geglu", "gelu" (tanh form) or "gelu_exact".
        use_bias: Whether the projections have a bias. Default: False.
        output_initializer: Initializer of the down projection, which writes
            to the residual stream. Default: the same as the others.

    Call arguments:
        x: `(..., hidden_dim)`.

    Returns:
        Same shape as `x`.

    Raises:
        InputError: `kind` is none of these words.

    Source: Shazeer 2020, https://arxiv.org/abs/2002.05202 (gated forms).

    Example:

    >>> MLP(16, "swiglu")(keras.ops.ones((2, 3, 8))).shape
    TensorShape([2, 3, 8])
    """

    def __init__(
        self,
        inner_dim: int,
        kind: str = "swiglu",
        use_bias: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        output_initializer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_choice("kind", kind, tuple(ACTIVATIONS))
        self.inner_dim, self.kind, self.use_bias = inner_dim, kind, use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(
            output_initializer or kernel_initializer
        )
        self._activation = ACTIVATIONS[kind]
        self.gate = (
            self._dense(inner_dim, "gate") if kind.endswith("glu") else None
        )
        self.up = self._dense(inner_dim, "up")

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs of shape `(..., hidden_dim)`."""
        self.down = self._dense(input_shape[-1], "down")
        if self.gate:
            self.gate.build(input_shape)
        self.up.build(input_shape)
        self.down.build((*input_shape[:-1], self.inner_dim))

    def call(self, x: Any) -> Any:
        """Applies the projections; see the class."""
        if self.gate:
            return self.down(self._activation(self.gate(x)) * self.up(x))
        return self.down(self._activation(self.up(x)))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        save = keras.initializers.serialize
        own = {
            "inner_dim": self.inner_dim,
            "kind": self.kind,
            "use_bias": self.use_bias,
            "kernel_initializer": save(self.kernel_initializer),
            "output_initializer": save(self.output_initializer),
        }
        return {**super().get_config(), **own}

    def _dense(self, units: int, name: str) -> keras.layers.Dense:
        initializer = (
            self.output_initializer
            if name == "down"
            else self.kernel_initializer
        )
        return keras.layers.Dense(
            units,
            use_bias=self.use_bias,
            kernel_initializer=initializer,
            dtype=self.dtype_policy,
            name=name,
        )
