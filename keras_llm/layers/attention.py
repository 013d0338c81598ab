"""Grouped-query attention."""

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_llm.config import BIASES, NORMS, QK_NORMS
from keras_llm.errors import InputError, check_choice
from keras_llm.layers.attend import attend, is_float32
from keras_llm.layers.cache import Overwriting, scatter
from keras_llm.layers.dropout import Dropout
from keras_llm.layers.fused import fused_attention, has_fused_attention
from keras_llm.layers.mask import visibility
from keras_llm.layers.norm import NORMALIZATIONS
from keras_llm.layers.rope import rotate


@keras.saving.register_keras_serializable("keras_llm")
class GroupedQueryAttention(keras.layers.Layer):
    """Causal self-attention with fewer key and value heads than query heads.

    `num_kv_heads == num_heads` is multi-head, 1 is multi-query attention.

    Args:
        num_heads: Query heads.
        num_kv_heads: Key and value heads; None means `num_heads`.
        head_dim: Channels of a head; None means `hidden_dim // num_heads`.
        bias: "none", "qkv" or "all".
        qk_norm: None, "head" (RMS over a head) or "projection" (RMS over
            all heads together), before the rotation.
        norm: Form of `qk_norm`: "rms" or "rms_offset". Default: "rms".
        norm_eps: Added to the variance in `qk_norm`. Default: 1e-5.
        window: Positions a query sees when no mask is passed; None: all.
        softcap: Soft cap on the scores; None for none.
        scale: Factor on the scores; None means `1 / sqrt(head_dim)`.
        sinks: Whether each head has a learned sink score.
        dropout: Share of attention weights dropped in training.
        output_initializer: Initializer of the output projection. Default:
            `kernel_initializer`.

    Call arguments:
        x: `(batch, time, hidden_dim)`.
        rotary: `(cos, sin)` from `RotaryEmbedding`, or None for no rotation.
        mask: Additive mask from `CausalMask`; None means causal, within
            `window`.

    Returns:
        `(batch, time, hidden_dim)`.

    Raises:
        InputError: `bias`, `qk_norm` or `norm` is none of these words, or
            the query heads cannot share the key heads evenly.

    Source: Ainslie et al. 2023, https://arxiv.org/abs/2305.13245.

    Example:

    >>> layer = GroupedQueryAttention(num_heads=4, num_kv_heads=2)
    >>> layer(ops.ones((2, 3, 16))).shape
    TensorShape([2, 3, 16])
    """

    def __init__(
        self,
        num_heads: int,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: str = "none",
        qk_norm: str | None = None,
        norm: str = "rms",
        norm_eps: float = 1e-5,
        window: int | None = None,
        softcap: float | None = None,
        scale: float | None = None,
        sinks: bool = False,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        output_initializer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_choice("bias", bias, BIASES)
        check_choice("qk_norm", qk_norm, QK_NORMS)
        check_choice("norm", norm, NORMS)
        self.num_heads, self.head_dim = num_heads, head_dim
        self.num_kv_heads = num_kv_heads or num_heads
        if num_heads % self.num_kv_heads:
            raise InputError(
                "Expected num_heads to be a multiple of num_kv_heads. "
                f"Received: num_heads={num_heads}, "
                f"num_kv_heads={num_kv_heads}."
            )
        self.bias, self.qk_norm = bias, qk_norm
        self.norm, self.norm_eps = norm, norm_eps
        self.window, self.softcap, self.scale = window, softcap, scale
        self.sinks, self.dropout = sinks, dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(
            output_initializer or kernel_initializer
        )
        self._drop = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs of shape `(..., hidden_dim)`."""
        hidden = input_shape[-1]
        dim = self._dim = self.head_dim or hidden // self.num_heads
        self._scale = self.scale or dim**-0.5
        self.query = self._dense(self.num_heads * dim, "query", hidden)
        self.key = self._dense(self.num_kv_heads * dim, "key", hidden)
        self.value = self._dense(self.num_kv_heads * dim, "value", hidden)
        self.output_projection = self._dense(
            hidden, "output", self.num_heads * dim
        )
        self.query_norm = self._norm("query_norm", self.num_heads)
        self.key_norm = self._norm("key_norm", self.num_kv_heads)
        self.sink_scores = self.sinks and self.add_weight(
            shape=(self.num_heads,), initializer="zeros", name="sinks"
        )

    def call(
        self,
        x: Any,
        rotary: Any = None,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Attends over the sequence; see the class."""
        batch, time = ops.shape(x)[:2]
        if mask is None:
            mask = self._causal(time)
        query, key, value = self._heads(x, (batch, time), rotary)
        shape = ops.shape(x)[:-1]
        if self._can_fuse(query, training):
            # One mask for all rows knows no documents: it is just causal.
            plain = self.window is None and mask.shape[0] == 1 != batch
            mixed = fused_attention(
                query, key, value, None if plain else mask, self._scale
            )
            return self._projected(mixed, shape)
        return self._attend(query, key, value, mask, shape, training)

    def attention_weights(
        self,
        x: Any,
        rotary: Any = None,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Returns where each position looks, for people to look at.

        Args:
            x, rotary, mask: As for calling.
            training: Not used: nothing is dropped.

        Returns:
            `(batch, heads, time, time)`; a row's sum is 1, or what a sink
            leaves.
        """
        del training
        batch, time = ops.shape(x)[:2]
        if mask is None:
            mask = self._causal(time)
        kept: list[Any] = []

        def keep(weights: Any) -> Any:
            kept.append(weights)
            return weights

        sinks = self.sink_scores if self.sinks else None
        query, key, value = self._heads(x, (batch, time), rotary)
        attend(
            *(query, key, value, mask),
            scale=self._scale,
            softcap=self.softcap,
            sinks=sinks,
            drop=keep,
        )
        return kept[0]

    def _causal(self, time: Any) -> Any:
        order = ops.expand_dims(ops.arange(time, dtype="int32"), 0)
        return visibility(order, order, self.window)

    def step(
        self,
        x: Any,
        key_cache: Any,
        value_cache: Any,
        positions: Any,
        mask: Any,
        rotary: Any = None,
        write: Callable = scatter,
    ) -> tuple[Any, Any, Any]:
        """Attends from new tokens to the cache, after adding them to it.

        Args:
            x: `(batch * time, hidden_dim)`: tokens in one axis, so that
                every projection is a plain matrix product.
            key_cache, value_cache: `(batch, kv_heads, slots, head_dim)`.
            positions: int32 `(batch, time)`.
            mask: Additive, broadcastable to `(batch, 1, time, slots)`.
            rotary: `(cos, sin)` or None.
            write: `cache.scatter`, `cache.slice_write` or an `Overwriting`.

        Returns:
            `(output, key_cache, value_cache)`, output shaped as `x`.
        """
        query, key, value = self._heads(x, ops.shape(positions), rotary)
        key_cache = write(key_cache, key, positions)
        value_cache = write(value_cache, value, positions)
        output = self._attend(
            query,
            ops.cast(key_cache, query.dtype),
            ops.cast(value_cache, query.dtype),
            mask,
            ops.shape(x)[:-1],
            looped=isinstance(write, Overwriting),
        )
        return output, key_cache, value_cache

    def compute_output_shape(self, input_shape: tuple, *_: Any) -> tuple:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        save = keras.initializers.serialize
        names = (
            *("num_heads", "num_kv_heads", "head_dim", "bias", "qk_norm"),
            *("norm", "norm_eps", "window", "softcap", "scale", "sinks"),
            "dropout",
        )
        own = {name: getattr(self, name) for name in names}
        own["kernel_initializer"] = save(self.kernel_initializer)
        own["output_initializer"] = save(self.output_initializer)
        return {**super().get_config(), **own}

    def _heads(self, x: Any, rows: tuple, rotary: Any) -> tuple:
        """Projects to heads, normalizes, rotates, puts heads before time."""
        batch, time = rows

        def split(dense: Any, norm: Any, count: int, turn: bool) -> Any:
            heads = dense(x)
            if norm and self.qk_norm == "projection":
                heads = norm(heads)
            heads = ops.reshape(heads, (batch, time, count, self._dim))
            if norm and self.qk_norm == "head":
                heads = norm(heads)
            if turn and rotary is not None:
                heads = rotate(heads, *rotary)
            return ops.transpose(heads, (0, 2, 1, 3))

        return (
            split(self.query, self.query_norm, self.num_heads, True),
            split(self.key, self.key_norm, self.num_kv_heads, True),
            split(self.value, None, self.num_kv_heads, False),
        )

    def _attend(
        self,
        query: Any,
        key: Any,
        value: Any,
        mask: Any,
        shape: tuple,
        training: bool | None = None,
        looped: bool = False,
    ) -> Any:
        mixed = attend(
            query,
            key,
            value,
            mask,
            self._scale,
            self.softcap,
            self.sink_scores if self.sinks else None,
            functools.partial(self._drop, training=training),
            looped,
        )
        return self._projected(mixed, shape)

    def _can_fuse(self, query: Any, training: bool | None) -> bool:
        """Whether one kernel does all that this layer is asked for."""
        more = self.softcap is not None or self.sinks
        return (
            has_fused_attention()
            and not is_float32(query)
            and not more
            and not (self.dropout and training)
        )

    def _projected(self, mixed: Any, shape: tuple) -> Any:
        """From heads to the output."""
        mixed = ops.transpose(mixed, (0, 2, 1, 3))
        width = self.num_heads * self._dim
        return self.output_projection(ops.reshape(mixed, (*shape, width)))

    def _dense(self, units: int, name: str, inputs: int) -> Any:
        output = name == "output"
        layer = keras.layers.Dense(
            units,
            use_bias=self.bias == "all" or (self.bias == "qkv" and not output),
            # An initializer used twice gives the same values twice.
            kernel_initializer=(
                self.output_initializer if output else self.kernel_initializer
            ).clone(),
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build((None, inputs))
        return layer

    def _norm(self, name: str, heads: int) -> Any:
        if self.qk_norm is None:
            return None
        width = self._dim * (heads if self.qk_norm == "projection" else 1)
        layer = NORMALIZATIONS[self.norm](
            epsilon=self.norm_eps, dtype=self.dtype_policy, name=name
        )
        layer.build((None, width))
        return layer
