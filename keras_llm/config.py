"""DecoderConfig: every decoder-only family as data, and never as a name check.

The defaults describe a Llama-like model; a family states its few differences,
a size states only integers. A record is frozen, checked when it is made, and
travels as JSON. Unknown keys are refused by name: nothing is mis-read in
silence.
"""

import dataclasses
import math
from typing import Any

from keras_llm.errors import InputError
from keras_llm.records import Record

GLOBAL, LOCAL, NO_ROTARY = "G", "L", "N"
BIASES = ("none", "qkv", "all")
NORMS = ("rms", "rms_offset", "layer")
MLPS = ("swiglu", "geglu", "clamped_swiglu", "gelu", "gelu_exact")
QK_NORMS = (None, "head", "projection")
POST_NORMS = (None, "sandwich", "only")
SCALINGS = (None, "linear", "llama3", "yarn", "longrope")
PATTERN_LETTERS = {
    GLOBAL: "attends to everything before",
    LOCAL: "attends to the last `window` positions",
    NO_ROTARY: "attends to everything before, without rotary positions",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rope(Record):
    """Rotary position embedding: how fast each pair of channels turns.

    Args:
        theta: Base of the wavelengths. Default: 10000.
        local_theta: Base for local ("L") layers; None uses `theta`. Gemma 3.
        fraction: Share of the head's channels that turn, from the first on.
            1.0 turns all; 0.25 is GPT-NeoX's.
        scaling: None, "linear" (positions divided by `factor`), "llama3"
            (only long wavelengths are stretched), "yarn" or "longrope" (each
            channel pair has a divisor of its own).
        factor: How many times longer the context becomes. Default: 1.
        original_context: Context length in tokens before scaling; needed by
            all but "linear".
        low_frequency, high_frequency: "llama3": wavelengths above
            `original_context / low_frequency` are stretched, those below
            `original_context / high_frequency` are kept. Defaults: 1 and 4.
        beta_fast, beta_slow: "yarn": turns over the original context above
            which a channel is kept, below which it is stretched. 32 and 1.
        truncate: "yarn": whether the bounds of that ramp are rounded to whole
            channels. Default: True.
        short_factors, long_factors: "longrope": the divisor of each channel
            pair's speed, for sequences within `original_context` and for
            longer ones.
        attention_factor: What cosines and sines are multiplied by; None means
            `0.1 * ln(factor) + 1` for "yarn", and for "longrope"
            `sqrt(1 + ln(factor) / ln(original_context))`.

    Raises:
        InputError: A value is out of range or a needed one is missing.

    Source: Su et al. 2021, https://arxiv.org/abs/2104.09864 (rotary);
    Peng et al. 2023, https://arxiv.org/abs/2309.00071 (YaRN); Ding et al.
    2024, https://arxiv.org/abs/2402.13753 (LongRoPE).

    Example:

    >>> Rope(theta=500000.0, scaling="linear", factor=2.0).factor
    2.0
    """

    theta: float = 10000.0
    local_theta: float | None = None
    fraction: float = 1.0
    scaling: str | None = None
    factor: float = 1.0
    original_context: int | None = None
    low_frequency: float = 1.0
    high_frequency: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    short_factors: tuple[float, ...] = ()
    long_factors: tuple[float, ...] = ()
    attention_factor: float | None = None

    def __post_init__(self) -> None:
        self._positive(
            *("theta", "local_theta", "fraction", "factor"),
            *("original_context", "low_frequency", "high_frequency"),
            *("beta_fast", "beta_slow", "attention_factor"),
        )
        self._one_of("scaling", SCALINGS)
        for name in ("short_factors", "long_factors"):
            self._set(name, _factors(name, getattr(self, name)))
        if self.fraction > 1:
            raise InputError(
                "Expected fraction between 0 and 1. "
                f"Received: fraction={self.fraction}."
            )
        if self.scaling in SCALINGS[2:] and not self.original_context:
            raise InputError(
                f"Expected original_context with scaling={self.scaling!r}: "
                "the context length, in tokens, the model was trained with. "
                "Received: None."
            )
        if bool(self.short_factors) != (self.scaling == "longrope") or len(
            self.short_factors
        ) != len(self.long_factors):
            raise InputError(
                "Expected as many short_factors as long_factors with "
                "scaling='longrope', one for each channel pair, and none "
                f"without. Received: scaling={self.scaling!r}, "
                f"{len(self.short_factors)} and {len(self.long_factors)}."
            )


def _factors(name: str, values: Any) -> tuple[float, ...]:
    """A tuple of positive numbers; JSON has lists."""
    if not isinstance(values, list | tuple) or not all(
        isinstance(value, int | float) and value > 0 for value in values
    ):
        raise InputError(
            f"Expected {name} to be a list of numbers above zero. "
            f"Received: {values!r}."
        )
    return tuple(values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experts(Record):
    """Mixture of experts in place of the MLP.

    Args:
        count: Number of experts in a layer.
        top_k: Experts that see each token.
        mlp_dim: Width of one expert; None uses the decoder's `mlp_dim`.
        shared: Experts that see every token. Default: 0.
        normalize: Whether the chosen weights are scaled to sum to one.
        router_bias: Whether the router has a bias. Default: False.
        balance_loss: Weight of the load-balance loss, a mean over layers
            that is `top_k` when experts are used equally, as
            `router_aux_loss_coef` is meant in `transformers`.
        router_z_loss: Weight of the router's z-loss, a sum over layers.

    Raises:
        InputError: A value is out of range.

    Source: Shazeer et al. 2017, https://arxiv.org/abs/1701.06538.

    Example:

    >>> Experts(count=8, top_k=2).normalize
    True
    """

    count: int
    top_k: int
    mlp_dim: int | None = None
    shared: int = 0
    normalize: bool = True
    router_bias: bool = False
    balance_loss: float = 0.01
    router_z_loss: float = 0.0

    def __post_init__(self) -> None:
        self._positive("count", "top_k", "mlp_dim")
        self._whole("shared", 0, self.count)
        for name in ("balance_loss", "router_z_loss"):
            self._between(name, 0, math.inf)
        if self.top_k > self.count:
            raise InputError(
                "Expected top_k to be at most count. "
                f"Received: top_k={self.top_k}, count={self.count}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderConfig(Record):
    """What a decoder-only language model is made of.

    Args:
        vocabulary_size: Number of token ids.
        context_length: Longest sequence in tokens.
        num_layers: Number of blocks.
        hidden_dim: Width of the residual stream.
        num_heads: Query heads.
        num_kv_heads: Key and value heads; None means `num_heads`.
        head_dim: Channels of a head; None means `hidden_dim // num_heads`.
        mlp_dim: Width inside the MLP; None means `4 * hidden_dim` for a plain
            and `8/3 * hidden_dim`, rounded up to 64, for a gated MLP.
        norm: "rms", "rms_offset" (one is added to the scale, Gemma) or
            "layer".
        norm_eps: Added to the variance. Default: 1e-5.
        mlp: "swiglu", "geglu" or "clamped_swiglu" (gated; the last one is
            gpt-oss's), "gelu" (tanh form, as GPT-2) or "gelu_exact" (as
            GPT-NeoX).
        bias: Which projections have a bias: "none", "qkv" or "all".
        rope: Rotary positions; None means a learned position table.
        pattern: One letter a layer, tiled over depth: G global, L local
            window, N global without rotary. "LLLLLG" is Gemma 3.
        window: Positions that an "L" layer sees, itself included.
        qk_norm: None, "head" (RMS over each head, Qwen3) or "projection"
            (RMS over all heads together, OLMo 2); in the form that `norm`
            says.
        post_norm: None (norms before attention and MLP), "sandwich" (before
            and after, Gemma 2) or "only" (after, OLMo 2).
        parallel_block: Attention and MLP read the same input (GPT-NeoX).
        attention_softcap, final_softcap: `cap * tanh(x / cap)` on attention
            scores and on logits; None for none (Gemma 2: 50 and 30).
        attention_scale: Factor on scores; None means `1 / sqrt(head_dim)`.
        embed_scale: Factor on token embeddings; None for none.
        tie_embeddings: Whether the head is the transposed token table.
        attention_sinks: A learned score a head that takes probability but
            has no value (gpt-oss).
        experts: A mixture of experts instead of the MLP; None for none.
        dropout: Share dropped in training after the embeddings, on attention
            weights and on each branch. Default: 0.

    Raises:
        InputError: A field is missing, out of range, or does not fit another.

    Example:

    >>> config = DecoderConfig(
    ...     vocabulary_size=1000, context_length=128, num_layers=6,
    ...     hidden_dim=96, num_heads=4, num_kv_heads=2, pattern="LLG",
    ...     window=32)
    >>> config.head_dim, config.mlp_dim, config.layer_kinds
    (24, 256, 'LLGLLG')
    >>> DecoderConfig.from_dict(config.to_dict()) == config
    True
    """

    vocabulary_size: int
    context_length: int
    num_layers: int
    hidden_dim: int
    num_heads: int
    num_kv_heads: int = None  # type: ignore[assignment]  # filled in
    head_dim: int = None  # type: ignore[assignment]  # filled in
    mlp_dim: int = None  # type: ignore[assignment]  # filled in
    norm: str = "rms"
    norm_eps: float = 1e-5
    mlp: str = "swiglu"
    bias: str = "none"
    rope: Rope | None = Rope()
    pattern: str = GLOBAL
    window: int | None = None
    qk_norm: str | None = None
    post_norm: str | None = None
    parallel_block: bool = False
    attention_softcap: float | None = None
    final_softcap: float | None = None
    attention_scale: float | None = None
    embed_scale: float | None = None
    tie_embeddings: bool = True
    attention_sinks: bool = False
    experts: Experts | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name, record in (("rope", Rope), ("experts", Experts)):
            value = getattr(self, name)
            if isinstance(value, dict):
                self._set(name, record.from_dict(value))
            elif not isinstance(value, record | None):
                raise InputError(
                    f"Expected {name} as {record.__name__}(...) or None. "
                    f"Received: {value!r}."
                )
        self._check_choices()
        self._check_numbers()
        self._fill_in()
        self._check_pattern()

    @property
    def layer_kinds(self) -> str:
        """The pattern tiled over depth: one letter for each layer."""
        tiles = -(-self.num_layers // len(self.pattern))
        return (self.pattern * tiles)[: self.num_layers]

    @property
    def gated(self) -> bool:
        """Whether the MLP has a gate beside its up projection."""
        return self.mlp.endswith("glu")

    def replace(self, **changes: Any) -> "DecoderConfig":
        """Returns a copy with some fields changed; derived ones are redone.

        Example:

        >>> base = DecoderConfig(vocabulary_size=9, context_length=8,
        ...     num_layers=1, hidden_dim=8, num_heads=2)
        >>> base.replace(hidden_dim=16, head_dim=None).head_dim
        8
        """
        return self.from_dict(
            {**{f: getattr(self, f) for f in self.to_dict()}, **changes}
        )

    def _check_choices(self) -> None:
        self._one_of("norm", NORMS)
        self._one_of("mlp", MLPS)
        self._one_of("bias", BIASES)
        self._one_of("qk_norm", QK_NORMS)
        self._one_of("post_norm", POST_NORMS)

    def _check_numbers(self) -> None:
        self._positive(
            *("vocabulary_size", "context_length", "num_layers"),
            *("hidden_dim", "num_heads", "num_kv_heads", "head_dim"),
            *("mlp_dim", "norm_eps", "window", "attention_softcap"),
            *("final_softcap", "attention_scale", "embed_scale"),
        )
        self._between("dropout", 0.0, 1.0)
        if self.dropout == 1:
            raise InputError(
                f"Expected 0 <= dropout < 1. Received: {self.dropout!r}."
            )

    def _fill_in(self) -> None:
        if self.num_kv_heads is None:
            self._set("num_kv_heads", self.num_heads)
        if self.num_heads % self.num_kv_heads:
            raise InputError(
                "Expected num_heads to be a multiple of num_kv_heads. "
                f"Received: num_heads={self.num_heads}, "
                f"num_kv_heads={self.num_kv_heads}."
            )
        if self.head_dim is None:
            if self.hidden_dim % self.num_heads:
                raise InputError(
                    "Expected hidden_dim to be a multiple of num_heads, or "
                    f"head_dim to be given. Received: hidden_dim="
                    f"{self.hidden_dim}, num_heads={self.num_heads}."
                )
            self._set("head_dim", self.hidden_dim // self.num_heads)
        if self.mlp_dim is None:
            gated = -(-self.hidden_dim * 8 // (3 * 64)) * 64
            self._set("mlp_dim", gated if self.gated else 4 * self.hidden_dim)

    def _check_pattern(self) -> None:
        if not isinstance(self.pattern, str):
            raise InputError(
                "Expected a pattern of letters, for example 'LLG'. "
                f"Received: {self.pattern!r}."
            )
        if not self.pattern or set(self.pattern) - set(PATTERN_LETTERS):
            letters = ", ".join(
                f"{k} ({v})" for k, v in PATTERN_LETTERS.items()
            )
            raise InputError(
                f"Expected a pattern of the letters {letters}. "
                f"Received: {self.pattern!r}."
            )
        if LOCAL in self.pattern and not self.window:
            raise InputError(
                "Expected a window, in tokens, because the pattern "
                f"{self.pattern!r} has local layers. Received: window=None."
            )
        if self.rope and int(self.head_dim * self.rope.fraction) % 2:
            raise InputError(
                "Expected an even number of rotary channels in a head. "
                f"Received: head_dim={self.head_dim}, "
                f"fraction={self.rope.fraction}."
            )
        pairs = int(self.head_dim * self.rope.fraction) // 2 if self.rope else 0
        if self.rope and len(self.rope.short_factors) not in (0, pairs):
            raise InputError(
                f"Expected {pairs} short_factors, one for each pair of rotary "
                f"channels. Received: {len(self.rope.short_factors)}."
            )
