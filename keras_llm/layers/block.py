"""The transformer block, one for all families."""

from collections.abc import Callable
from typing import Any

import keras

from keras_llm.config import LOCAL, DecoderConfig
from keras_llm.layers.attention import GroupedQueryAttention
from keras_llm.layers.dropout import Dropout
from keras_llm.layers.experts import MixtureOfExperts
from keras_llm.layers.mlp import MLP
from keras_llm.layers.norm import normalization


@keras.saving.register_keras_serializable("keras_llm")
class Block(keras.layers.Layer):
    """One transformer block: attention and MLP, each added to its input.

    With `config.experts` a mixture of experts takes the MLP's place, and its
    losses are added in training.

    Args:
        config: A `DecoderConfig` or its dictionary.
        kind: "G" global, "L" local window, "N" global without rotary.
        remat: Whether activations are computed again in the backward pass
            instead of kept: less memory, about a third more compute.

    Call arguments:
        x: `(batch, time, hidden_dim)`.
        mask: Additive mask `(batch or 1, 1, time, time)`.
        rotary: `(cos, sin)`, or None.

    Returns:
        `(batch, time, hidden_dim)`.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> mask = keras.ops.zeros((1, 1, 3, 3))
    >>> Block(config)(keras.ops.ones((1, 3, 8)), mask).shape
    TensorShape([1, 3, 8])
    """

    def __init__(
        self,
        config: DecoderConfig | dict,
        kind: str = "G",
        remat: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if isinstance(config, dict):
            config = DecoderConfig.from_dict(config)
        self.config, self.kind, self.remat = config, kind, remat
        self._branches(config)

    def _branches(self, config: DecoderConfig) -> None:
        # Branches write to the residual stream 2 * num_layers times; scaled
        # initial weights keep its variance near one (GPT-2).
        kernel = keras.initializers.RandomNormal(stddev=0.02)
        output = keras.initializers.RandomNormal(
            stddev=0.02 * (2 * config.num_layers) ** -0.5
        )
        self.attention = GroupedQueryAttention(
            num_heads=config.num_heads,
            num_kv_heads=config.num_kv_heads,
            head_dim=config.head_dim,
            bias=config.bias,
            qk_norm=config.qk_norm,
            norm=config.norm,
            norm_eps=config.norm_eps,
            window=self.window,
            softcap=config.attention_softcap,
            scale=config.attention_scale,
            sinks=config.attention_sinks,
            dropout=config.dropout,
            kernel_initializer=kernel,
            output_initializer=output,
            dtype=self.dtype_policy,
            name="attention",
        )
        self.mlp = self._mlp(
            config,
            kernel_initializer=kernel,
            output_initializer=output,
            use_bias=config.bias == "all",
            dtype=self.dtype_policy,
        )
        before = config.post_norm != "only"
        after = config.post_norm is not None
        self.attention_norm = self._norm("attention_norm") if before else None
        self.attention_post_norm = (
            self._norm("attention_post_norm") if after else None
        )
        self.mlp_norm = self._norm("mlp_norm") if before else None
        self.mlp_post_norm = self._norm("mlp_post_norm") if after else None
        self._drop = Dropout(config.dropout, dtype=self.dtype_policy)

    @property
    def window(self) -> int | None:
        """Positions this block sees; None: all before."""
        return self.config.window if self.kind == LOCAL else None

    def build(self, input_shape: tuple, *_: Any) -> None:
        """Makes the weights for inputs `(batch, time, hidden_dim)`."""
        shape = (None, None, self.config.hidden_dim)
        for layer in (
            *(self.attention_norm, self.attention, self.attention_post_norm),
            *(self.mlp_norm, self.mlp, self.mlp_post_norm),
        ):
            if layer is not None:
                layer.build(shape)

    def call(
        self,
        x: Any,
        mask: Any,
        rotary: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Applies the block; see the class."""

        # keras.remat wants positional tensors (keras issue 21207), what is
        # added as a loss inside of it is lost, and when it computes again no
        # layer knows by itself that this is training.
        def run(x: Any, mask: Any, *rotary: Any) -> tuple[Any, ...]:
            return self._forward(x, mask, rotary or None, training)

        x, *losses = (keras.remat(run) if self.remat else run)(
            x, mask, *(rotary or ())
        )
        for loss in losses:
            self.add_loss(loss)
        return x

    def _forward(
        self, x: Any, mask: Any, rotary: Any, training: bool | None
    ) -> tuple[Any, ...]:
        """The new `x`, then the losses of the experts."""
        losses: list[Any] = []

        def mix(y: Any) -> Any:
            y, losses[:] = self.mlp.mix(y, training)
            return y

        def plain(y: Any) -> Any:
            # Said, as an adapter in it may drop: see `call`.
            return self.mlp(y, training=training)

        x = self._residual(
            x,
            lambda y: self.attention(y, rotary, mask, training=training),
            mix if self.config.experts else plain,
            training,
        )
        return (x, *losses)

    def step(
        self,
        x: Any,
        key_cache: Any,
        value_cache: Any,
        positions: Any,
        mask: Any,
        rotary: Any,
        write: Callable,
    ) -> tuple[Any, Any, Any]:
        """The block on new tokens with a cache; see the attention layer."""
        caches = []

        def attention(y: Any) -> Any:
            out, *caches[:] = self.attention.step(
                y, key_cache, value_cache, positions, mask, rotary, write
            )
            return out

        x = self._residual(x, attention, self.mlp)
        return x, caches[0], caches[1]

    def _residual(
        self,
        x: Any,
        attention: Callable,
        mlp: Callable,
        training: bool | None = None,
    ) -> Any:
        """Adds both branches; the cached and the full pass share this."""

        def branch(x: Any, pre: Any, inner: Callable, post: Any) -> Any:
            y = inner(pre(x) if pre else x)
            return self._drop(post(y) if post else y, training=training)

        attended = branch(
            x, self.attention_norm, attention, self.attention_post_norm
        )
        parallel = self.config.parallel_block
        y = branch(
            *(x if parallel else x + attended, self.mlp_norm),
            *(mlp, self.mlp_post_norm),
        )
        return x + attended + y

    def compute_output_shape(self, input_shape: tuple, *_: Any) -> tuple:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        own = {
            "config": self.config.to_dict(),
            "kind": self.kind,
            "remat": self.remat,
        }
        return {**super().get_config(), **own}

    def _mlp(self, config: DecoderConfig, **settings: Any) -> Any:
        """The MLP or what takes its place."""
        experts = config.experts
        if experts is None:
            return MLP(config.mlp_dim, config.mlp, name="mlp", **settings)
        return MixtureOfExperts(
            experts.count,
            experts.top_k,
            experts.mlp_dim or config.mlp_dim,
            config.mlp,
            shared=experts.shared,
            normalize=experts.normalize,
            router_bias=experts.router_bias,
            # The loss of the model is a mean over layers that is top_k at
            # even use, as published coefficients mean it.
            balance_loss=experts.balance_loss
            * (experts.top_k / config.num_layers),
            router_z_loss=experts.router_z_loss,
            name="experts",
            **settings,
        )

    def _norm(self, name: str) -> keras.layers.Layer:
        return normalization(self.config, name, self.dtype_policy)
