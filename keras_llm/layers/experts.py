"""Mixture of experts: a router and many MLPs, of which few see a token."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_llm.errors import InputError, check_choice
from keras_llm.layers.dispatch import dispatch
from keras_llm.layers.mlp import GATED, MLP, PLAIN
from keras_llm.layers.router import Router, balance, watched


@keras.saving.register_keras_serializable("keras_llm")
class MixtureOfExperts(keras.layers.Layer):
    """Many MLPs; a router chooses `top_k` of them for each token.

    `y = sum over chosen e of weight[e] * MLP_e(x)`, plus the shared experts'
    output. Every token gets all its experts: no capacity, nothing dropped.

    Cost of a token: the router (`2 * hidden_dim * count` FLOPs) and the
    `top_k + shared` MLPs; the other experts are not computed. Beside that,
    rows are sorted by expert and put back. In training on TensorFlow without
    XLA there is no padding. Under XLA and on JAX, the rows of an expert are
    cut into blocks of about `sqrt(32 * rows of an expert)`, which wastes a
    quarter of the products at 500 rows, and copies an expert's weights once
    for each of its blocks. One token alone reads the weights of its experts
    only. See `layers.dispatch`.

    In training two losses are added with `add_loss`, means over all tokens of
    the batch:

    - balance: `count * sum over e of fraction[e] * probability[e]`, the share
      of choices that fell on an expert and its mean probability; 1.0 when
      experts are used equally;
    - router z: `mean(log(sum(exp(scores)))^2)`, which keeps scores small.

    Args:
        count: Number of experts.
        top_k: Experts that see each token.
        inner_dim: Width of one expert.
        kind: As in `MLP`.
        use_bias: Whether the experts' projections have a bias.
        shared: Experts that see every token: an MLP of `shared * inner_dim`.
        normalize: Whether the weights of the chosen experts sum to one.
        router_bias: Whether the router has a bias.
        balance_loss, router_z_loss: Weights of the two losses.
        kernel_initializer: Initializer of the matrices, each expert alone.
        output_initializer: Initializer of the down projections.

    Call arguments:
        x: `(..., hidden_dim)`.
        training: Whether the losses are added.

    Returns:
        Same shape as `x`.

    Raises:
        InputError: `kind` is not a kind of MLP, or `top_k` is not between 1
            and `count`.

    Source: Shazeer et al. 2017, https://arxiv.org/abs/1701.06538 (the layer);
    Fedus et al. 2021, https://arxiv.org/abs/2101.03961 (balance loss);
    Zoph et al. 2022, https://arxiv.org/abs/2202.08906 (router z-loss).

    Example:

    >>> layer = MixtureOfExperts(count=4, top_k=2, inner_dim=16)
    >>> layer(ops.ones((2, 3, 8))).shape
    TensorShape([2, 3, 8])
    """

    def __init__(
        self,
        count: int,
        top_k: int,
        inner_dim: int,
        kind: str = "swiglu",
        use_bias: bool = False,
        shared: int = 0,
        normalize: bool = True,
        router_bias: bool = False,
        balance_loss: float = 0.0,
        router_z_loss: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        output_initializer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_choice("kind", kind, (*GATED, *PLAIN))
        if not 1 <= top_k <= count:
            raise InputError(
                "Expected top_k between 1 and count. "
                f"Received: top_k={top_k}, count={count}."
            )
        self.count, self.top_k, self.inner_dim = count, top_k, inner_dim
        self.kind, self.use_bias, self.shared_count = kind, use_bias, shared
        self.normalize, self.router_bias = normalize, router_bias
        self.balance_loss, self.router_z_loss = balance_loss, router_z_loss
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(
            output_initializer or kernel_initializer
        )
        self.router = Router(
            count,
            router_bias,
            self.kernel_initializer.clone(),
            dtype=self.dtype_policy,
            name="router",
        )
        self.shared = self._shared_mlp() if shared else None

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs of shape `(..., hidden_dim)`."""
        hidden, inner = input_shape[-1], self.inner_dim
        self.router.build(input_shape)
        if self.shared:
            self.shared.build(input_shape)
        sides = {"gate": (hidden, inner)} if self.kind in GATED else {}
        sides |= {"up": (hidden, inner), "down": (inner, hidden)}
        for name, shape in sides.items():
            self._add(name, shape)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Applies router and experts; see the class."""
        y, losses = self.mix(x, training)
        for loss in losses:
            self.add_loss(loss)
        return y

    def mix(
        self, x: Any, training: bool | None = None
    ) -> tuple[Any, tuple[Any, ...]]:
        """As calling, but returns `(y, losses)` instead of adding them.

        Inside of `keras.remat` an added loss would be lost: return it first.
        """
        rows = ops.reshape(x, (-1, x.shape[-1]))
        scores = self.router(rows)
        best, chosen = ops.top_k(scores, self.top_k)
        chosen = ops.cast(chosen, "int32")
        watched(chosen, self.count)
        losses = self._losses_of(scores, chosen) if training else ()
        shares = ops.cast(self._shares(scores, best), self.compute_dtype)
        y = dispatch(rows, chosen, shares, self._weights(), self.expert)
        y = ops.reshape(y, ops.shape(x))
        if self.shared:
            y = y + self.shared(x, training=training)
        return y, losses

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        names = ("count", "top_k", "inner_dim", "kind", "use_bias")
        names += ("normalize", "router_bias", "balance_loss", "router_z_loss")
        save = keras.initializers.serialize
        own = {
            **{name: getattr(self, name) for name in names},
            "shared": self.shared_count,
            "kernel_initializer": save(self.kernel_initializer),
            "output_initializer": save(self.output_initializer),
        }
        return {**super().get_config(), **own}

    def _shares(self, scores: Any, best: Any) -> Any:
        """Weights of the chosen experts, from all scores and the best."""
        among = best if self.normalize else scores
        return ops.exp(best - ops.logsumexp(among, axis=-1, keepdims=True))

    def expert(self, x: Any, project: Callable) -> Any:
        """What an expert does to the rows it was sent.

        Args:
            x: `(..., hidden_dim)`.
            project: From rows and "gate", "up" or "down" to their product
                with that matrix of the expert, bias added.

        Returns:
            `(..., hidden_dim)`.
        """
        if self.kind in GATED:
            inner = GATED[self.kind](project(x, "gate"), project(x, "up"))
        else:
            inner = PLAIN[self.kind](project(x, "up"))
        return project(inner, "down")

    def _losses_of(self, scores: Any, chosen: Any) -> tuple[Any, ...]:
        """The weighted losses of a batch, float32."""
        losses = []
        if self.balance_loss:
            losses.append(self.balance_loss * balance(scores, chosen))
        if self.router_z_loss:
            squares = ops.square(ops.logsumexp(scores, axis=-1))
            losses.append(self.router_z_loss * ops.mean(squares))
        return tuple(losses)

    def _weights(self) -> dict[str, Any]:
        """All experts' weights in the compute dtype."""
        names = ("gate", "up", "down")
        names += tuple(f"{name}_bias" for name in names)
        return {
            name: ops.cast(getattr(self, name), self.compute_dtype)
            for name in names
            if getattr(self, name, None) is not None
        }

    def _add(self, name: str, shape: tuple[int, int]) -> None:
        initializer = (
            self.output_initializer
            if name == "down"
            else self.kernel_initializer
        )
        setattr(
            self,
            name,
            self.add_weight(
                (self.count, *shape), _each_alone(initializer), name=name
            ),
        )
        if self.use_bias:
            name = f"{name}_bias"
            bias = self.add_weight((self.count, shape[1]), "zeros", name=name)
            setattr(self, name, bias)

    def _shared_mlp(self) -> MLP:
        return MLP(
            self.shared_count * self.inner_dim,
            self.kind,
            self.use_bias,
            self.kernel_initializer,
            self.output_initializer,
            dtype=self.dtype_policy,
            name="shared",
        )


def _each_alone(initializer: Any) -> Callable:
    """Initializes `(count, in, out)` as `count` matrices `(in, out)`.

    Whole, the number of experts would count as inputs; and with one seed all
    experts would be equal.
    """
    config = initializer.get_config()
    if "seed" in config:
        config["seed"] = keras.random.SeedGenerator(config["seed"])
    initializer = type(initializer)(**config)

    def initialize(shape: tuple, dtype: Any = None) -> Any:
        count, *alone = shape
        return ops.stack(
            [initializer(tuple(alone), dtype=dtype) for _ in range(count)]
        )

    return initialize
