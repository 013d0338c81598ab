"""What several families share: config keys, names of weights, sizes.

Most published decoders descend from Llama and keep its keys and names. A
family file takes what fits from here and adds what is its own.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from keras_llm.config import GLOBAL, LOCAL, DecoderConfig
from keras_llm.errors import InputError
from keras_llm.weights import TRANSPOSED, Layout, Row, WeightTable
from keras_llm.zoo.family import YES_OR_NO, Setting, Size

# === Keys of config.json ===

DEPTH_AND_WIDTH = (
    Setting("vocab_size", "vocabulary_size"),
    Setting("max_position_embeddings", "context_length"),
    Setting("num_hidden_layers", "num_layers"),
    Setting("hidden_size", "hidden_dim"),
    Setting("num_attention_heads", "num_heads"),
    Setting("intermediate_size", "mlp_dim"),
)
HEAD_DIM = Setting("head_dim", "head_dim", default=None)
GROUPED_HEADS = (
    Setting("num_key_value_heads", "num_kv_heads", default=None),
    HEAD_DIM,
)
RMS_EPS = Setting("rms_norm_eps", "norm_eps", default=1e-6)
SWIGLU = Setting("hidden_act", "mlp", "silu", {"silu": "swiglu"})
UNTIED = Setting("tie_word_embeddings", "tie_embeddings", False, YES_OR_NO)
TIED = dataclasses.replace(UNTIED, default=True)
LLAMA_LIKE = (*DEPTH_AND_WIDTH, *GROUPED_HEADS, RMS_EPS)
# Llama's heirs: what each takes for a missing key is its own.
KV_HEADS = Setting("num_key_value_heads", "num_kv_heads")
EPS = Setting("rms_norm_eps", "norm_eps")
HEIR_LIKE = (*DEPTH_AND_WIDTH, KV_HEADS, EPS, SWIGLU, UNTIED)

KINDS = {"full_attention": GLOBAL, "sliding_attention": LOCAL}


@dataclasses.dataclass(frozen=True)
class WindowRule:
    """Which layers attend within a window, and how far.

    Args:
        default: The pattern where `layer_types` is not given.
        listed: Whether `layer_types` is written and may be read.
        switch: A key that turns all windows off when false; None for none.
        window: How far where `sliding_window` is missing; null is no window.
        first: Where `layer_types` is not given, the key that has the index
            of the first layer with a window; None: `default` says it.

    Example:

    >>> rule = WindowRule("LG")
    >>> rule.read({"sliding_window": 8, "layer_types":
    ...     ["sliding_attention", "sliding_attention", "full_attention"] * 2})
    {'pattern': 'LLG', 'window': 8}
    """

    default: str = LOCAL
    listed: bool = True
    switch: str | None = None
    window: int | None = None
    first: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that it reads."""
        listed = "layer_types" if self.listed else None
        optional = (listed, self.switch, self.first)
        return ("sliding_window", *(key for key in optional if key))

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the fields `pattern` and `window`.

        Raises:
            InputError: A kind of layer is unknown, or a layer has none.
        """
        pattern = self._pattern(values)
        window = values.get("sliding_window", self.window)
        if self.switch and not values.get(self.switch):
            window = None
        if window is None:
            pattern = pattern.replace(LOCAL, GLOBAL)
        pattern = shortest_tile(pattern)
        return {
            "pattern": pattern,
            "window": window if LOCAL in pattern else None,
        }

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns the keys."""
        # Readers of listed layers want a window even where none is used.
        window = config.window or (self.window if self.listed else None)
        values: dict[str, Any] = {"sliding_window": window}
        if self.listed:
            theirs = {ours: name for name, ours in KINDS.items()}
            values["layer_types"] = [
                theirs.get(kind, "full_attention")
                for kind in config.layer_kinds
            ]
        if self.switch:
            values[self.switch] = config.window is not None
        if self.first:
            values[self.first] = f"{config.layer_kinds}L".index(LOCAL)
        return values

    def _pattern(self, values: Mapping[str, Any]) -> str:
        """One letter for each layer, or a pattern that tiles."""
        depth = values.get("num_hidden_layers")
        kinds = values.get("layer_types") if self.listed else None
        if kinds:
            check_kinds(kinds, depth)
            return "".join(KINDS[kind] for kind in kinds)
        if self.first and depth:
            first = min(values.get(self.first, depth), depth)
            return GLOBAL * first + LOCAL * (depth - first)
        return self.default


def check_kinds(kinds: Sequence[str], depth: int | None) -> None:
    """Refuses a `layer_types` that is not understood.

    Raises:
        InputError: It is no list, a kind is unknown, or they are not one
            for each layer.

    Example:

    >>> check_kinds(["full_attention"], 1)
    """
    if not isinstance(kinds, list | tuple):
        raise InputError(
            "Expected layer_types in config.json to be a list. Received: "
            f"{kinds!r}."
        )
    unknown = sorted({str(kind) for kind in kinds} - set(KINDS))
    if unknown or len(kinds) != (depth or len(kinds)):
        raise InputError(
            f"Expected layer_types in config.json of {', '.join(KINDS)}, one "
            f"for each of {depth} layers. Received: {len(kinds)} kinds; "
            f"unknown: {', '.join(unknown) or 'nothing'}."
        )


def shortest_tile(pattern: str) -> str:
    """Returns the shortest pattern that tiles to this one.

    Example:

    >>> shortest_tile("LLGLLGLL")
    'LLG'
    """
    return next(
        pattern[:size]
        for size in range(1, len(pattern) + 1)
        if (pattern[:size] * len(pattern)).startswith(pattern)
    )


# === Names of weights ===


def dense(
    theirs: str,
    *ours: str,
    layout: Layout = TRANSPOSED,
    names: tuple[str, str] = ("kernel", "bias"),
) -> tuple[Row, Row]:
    """Returns the rows of a projection: its weight and its bias.

    Args:
        theirs: Their name without `.weight`.
        *ours: The layer of ours; several where theirs is fused.
        layout: As in `Row`, of the weight; the bias has one axis.
        names: Our names of the two variables.

    Example:

    >>> [row.theirs for row in dense("h.{i}.up", "block_{i}/mlp/up")]
    ['h.{i}.up.weight', 'h.{i}.up.bias']
    """
    weight, bias = (tuple(f"{path}/{name}" for path in ours) for name in names)
    return (
        Row(f"{theirs}.weight", weight, layout),
        Row(f"{theirs}.bias", bias, layout),
    )


def norms(pairs: Mapping[str, str]) -> tuple[Row, ...]:
    """Returns the rows of RMS normalizations: their layer -> ours.

    Example:

    >>> norms({"model.norm": "final_norm"})[0].ours
    ('final_norm/scale',)
    """
    return tuple(
        Row(f"{theirs}.weight", (f"{ours}/scale",))
        for theirs, ours in pairs.items()
    )


LAYER = "model.layers.{i}"
ATTENTION = tuple(
    row
    for theirs, ours in (
        ("q_proj", "query"),
        ("k_proj", "key"),
        ("v_proj", "value"),
        ("o_proj", "output"),
    )
    for row in dense(
        f"{LAYER}.self_attn.{theirs}", f"block_{{i}}/attention/{ours}"
    )
)
QK_NORMS = norms(
    {
        f"{LAYER}.self_attn.q_norm": "block_{i}/attention/query_norm",
        f"{LAYER}.self_attn.k_norm": "block_{i}/attention/key_norm",
    }
)
GATED_MLP = tuple(
    row
    for part in ("gate", "up", "down")
    for row in dense(f"{LAYER}.mlp.{part}_proj", f"block_{{i}}/mlp/{part}")
)
PRE_NORMS = norms(
    {
        f"{LAYER}.input_layernorm": "block_{i}/attention_norm",
        f"{LAYER}.post_attention_layernorm": "block_{i}/mlp_norm",
    }
)
OUTER = (
    Row("model.embed_tokens.weight", ("token_embedding/embeddings",)),
    *norms({"model.norm": "final_norm"}),
    Row("lm_head.weight", ("token_embedding/reverse_embeddings",), TRANSPOSED),
)
COPIES = (("lm_head.weight", "model.embed_tokens.weight"),)
# Rotary frequencies that old files carry along.
FREQUENCIES = (f"{LAYER}.self_attn.rotary_emb.inv_freq",)
LLAMA_ROWS = (*OUTER, *ATTENTION, *GATED_MLP, *PRE_NORMS)
LLAMA_WEIGHTS = WeightTable(LLAMA_ROWS, "model.", copies=COPIES)


# === Sizes ===

SHAPE = ("num_layers", "hidden_dim", "num_heads", "num_kv_heads", "mlp_dim")


def sizes(
    shared: Mapping[str, Any],
    columns: tuple[str, ...],
    rows: Mapping[str, tuple],
    license: str | None = None,
    chat: str | None = None,
) -> dict[str, Size]:
    """Returns presets from a table: one line each.

    Args:
        shared: Fields of `DecoderConfig` that all lines have in common.
        columns: The fields that the lines state, in order; "license" and
            "chat" may be among them.
        rows: Preset -> its repository on the hub, then the columns.
        license: The licence of the weights, as an SPDX identifier or the
            hub's name for it.
        chat: The chat template of the models tuned for talking; None for
            base models.

    Example:

    >>> table = sizes({"vocabulary_size": 99, "context_length": 64},
    ...     ("num_layers", "hidden_dim", "num_heads"),
    ...     {"toy-1k": ("me/toy", 2, 16, 4)}, "mit")
    >>> table["toy-1k"].config.head_dim
    4
    """
    presets = {}
    for name, (repo, *values) in rows.items():
        fields = {**shared, **dict(zip(columns, values, strict=True))}
        presets[name] = Size(
            repo=repo,
            license=fields.pop("license", license),
            chat=fields.pop("chat", chat),
            config=DecoderConfig.from_dict(fields),
        )
    return presets
