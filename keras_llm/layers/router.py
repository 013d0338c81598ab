"""The router of a mixture of experts, and what can be said of its choices."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

_watcher: contextvars.ContextVar[Callable[[Any], None] | None] = (
    contextvars.ContextVar("watcher", default=None)
)


@contextlib.contextmanager
def watch_experts(watcher: Callable[[Any], None]) -> Iterator[None]:
    """Calls `watcher` with the share of choices on each expert, `(count,)`.

    Once for each mixture that is run inside, in the order of layers.

    Example:

    >>> from keras_llm.layers import MixtureOfExperts
    >>> layer = MixtureOfExperts(count=2, top_k=2, inner_dim=4)
    >>> with watch_experts(lambda shares: print(shares.numpy().tolist())):
    ...     _ = layer(ops.ones((3, 8)))
    [0.5, 0.5]
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def watched(chosen: Any, count: int) -> None:
    """Tells the watcher, if there is one, what was chosen of `count`.

    Example:

    >>> watched(ops.array([[0], [1]]), 2)
    """
    watcher = _watcher.get()
    if watcher is not None:
        watcher(fractions(chosen, count))


def fractions(chosen: Any, count: int) -> Any:
    """Returns the share of choices on each expert, float32 `(count,)`.

    Example:

    >>> fractions(ops.array([[0], [0], [1], [0]]), 2).numpy().tolist()
    [0.75, 0.25]
    """
    hits = ops.one_hot(chosen, count, dtype="float32")
    return ops.mean(hits, axis=(0, 1))


def balance(scores: Any, chosen: Any) -> Any:
    """Returns the balance loss; 1.0 when experts are used equally.

    `count * sum over e of fraction[e] * probability[e]`.

    Args:
        scores: float32 `(rows, count)`.
        chosen: int32 `(rows, top_k)`.

    Source: Fedus et al. 2021, https://arxiv.org/abs/2101.03961, section 2.2.

    Example:

    >>> float(balance(ops.zeros((2, 4)), ops.array([[0], [0]])))
    1.0
    """
    count = scores.shape[-1]
    probability = ops.mean(ops.softmax(scores, axis=-1), axis=0)
    return count * ops.sum(fractions(chosen, count) * probability)


@keras.saving.register_keras_serializable("keras_llm")
class Router(keras.layers.Layer):
    """Scores of every expert for a token, in float32 in any precision.

    Rounded scores would choose other experts, and the choice is not smooth.

    Args:
        count: Number of experts.
        use_bias: Whether scores have a bias. Default: False.

    Call arguments:
        x: `(..., hidden_dim)`.

    Returns:
        float32 `(..., count)`.

    Example:

    >>> Router(4)(ops.ones((2, 3, 8))).shape
    TensorShape([2, 3, 4])
    """

    def __init__(
        self,
        count: int,
        use_bias: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.count, self.use_bias = count, use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs of shape `(..., hidden_dim)`."""
        self.kernel = self.add_weight(
            (input_shape[-1], self.count),
            self.kernel_initializer,
            autocast=False,
            name="kernel",
        )
        self.bias = (
            self.add_weight((self.count,), "zeros", autocast=False, name="bias")
            if self.use_bias
            else None
        )

    def call(self, x: Any) -> Any:
        """Returns the scores; see the class."""
        x, kernel = ops.cast(x, "float32"), ops.cast(self.kernel, "float32")
        scores = ops.matmul(x, kernel)
        if self.bias is None:
            return scores
        return scores + ops.cast(self.bias, "float32")

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Returns the input's shape with `count` at the end."""
        return (*input_shape[:-1], self.count)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        own = {
            "count": self.count,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
        }
        return {**super().get_config(), **own}
