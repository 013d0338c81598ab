"""The MLP of a block, plain or gated."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_llm.errors import check_choice

LIMIT, STEEPNESS = 7.0, 1.702  # of gpt-oss's clamped gate


def _tanh_gelu(x: Any) -> Any:
    return ops.gelu(x, approximate=True)


def _clamped_swiglu(gate: Any, up: Any) -> Any:
    gate = ops.minimum(gate, LIMIT)
    up = ops.clip(up, -LIMIT, LIMIT)
    return (up + 1.0) * gate * ops.sigmoid(STEEPNESS * gate)


PLAIN: dict[str, Callable] = {
    "gelu": _tanh_gelu,
    "gelu_exact": lambda x: ops.gelu(x, approximate=False),
}
"""Kind -> `f(up)`."""
GATED: dict[str, Callable] = {
    "swiglu": lambda gate, up: ops.silu(gate) * up,
    "geglu": lambda gate, up: _tanh_gelu(gate) * up,
    "clamped_swiglu": _clamped_swiglu,
}
"""Kind -> `f(gate, up)`."""


@keras.saving.register_keras_serializable("keras_llm")
class MLP(keras.layers.Layer):
    """Two projections around an activation, or three with a gate.

    Plain (`"gelu"`, `"gelu_exact"`): `down(act(up(x)))`.
    Gated (`"swiglu"`, `"geglu"`): `down(act(gate(x)) * up(x))`.
    `"clamped_swiglu"`: as SwiGLU, with `1 + up(x)`, a steeper sigmoid and both
    sides kept within 7.

    Args:
        inner_dim: Width between the projections.
        kind: "swiglu", "geglu", "clamped_swiglu", "gelu" (tanh form) or
            "gelu_exact".
        use_bias: Whether the projections have a bias. Default: False.
        output_initializer: Initializer of the down projection, which writes
            to the residual stream. Default: the same as the others.

    Call arguments:
        x: `(..., hidden_dim)`.

    Returns:
        Same shape as `x`.

    Raises:
        InputError: `kind` is none of these words.

    Source: Shazeer 2020, https://arxiv.org/abs/2002.05202 (gated forms);
    https://github.com/openai/gpt-oss (the clamped one).

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
        check_choice("kind", kind, (*GATED, *PLAIN))
        self.inner_dim, self.kind, self.use_bias = inner_dim, kind, use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(
            output_initializer or kernel_initializer
        )
        self.gate = self._dense(inner_dim, "gate") if kind in GATED else None
        self.up = self._dense(inner_dim, "up")

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs of shape `(..., hidden_dim)`."""
        self.down = self._dense(input_shape[-1], "down")
        if self.gate:
            self.gate.build(input_shape)
        self.up.build(input_shape)
        self.down.build((*input_shape[:-1], self.inner_dim))

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Applies the projections, to which Keras passes `training` on."""
        del training
        if self.gate:
            return self.down(GATED[self.kind](self.gate(x), self.up(x)))
        return self.down(PLAIN[self.kind](self.up(x)))

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
            # Used twice it would give the same values twice.
            kernel_initializer=initializer.clone(),
            dtype=self.dtype_policy,
            name=name,
        )
