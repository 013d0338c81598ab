"""KerasHub's families: one table of keys and one of paths for each.

Source: the backbones of KerasHub 0.32, `keras_hub/src/models/*/`. Where they
differ from the published models, the tables follow KerasHub, because equal
logits are what a conversion owes; a comment says so.
"""

import dataclasses

from keras_llm.weights import AS_IS, Layout, Row, WeightTable
from keras_llm.zoo.dialect import YES_OR_NO, Setting
from keras_llm.zoo.hub_family import Heads, HubFamily
from keras_llm.zoo.hub_rules import (
    LENGTH,
    ScaledRope,
    TiledWindow,
)

# === Keys ===

DROPOUT = Setting("dropout", "dropout", 0.0)
SIZE = (
    Setting("vocabulary_size", "vocabulary_size"),
    Setting("num_layers", "num_layers"),
    Setting("hidden_dim", "hidden_dim"),
)
MLP_WIDTH = Setting("intermediate_dim", "mlp_dim")
HEADS = (Setting("num_heads", "num_heads"),)
GROUPED_HEADS = (
    Setting("num_query_heads", "num_heads"),
    Setting("num_key_value_heads", "num_kv_heads"),
)
HEAD_DIM = Setting("head_dim", "head_dim", None)
EPS = Setting("layer_norm_epsilon", "norm_eps")
CONTEXT = Setting(LENGTH, "context_length")
OWN_CONTEXT = Setting("max_sequence_length", "context_length")
TIED = Setting("tie_word_embeddings", "tie_embeddings", True, YES_OR_NO)
PLAIN_ROPE = ScaledRope(
    "linear", "rope_scaling_factor", {"rope_max_wavelength": "theta"}
)
LLAMA_LIKE = (*SIZE, DROPOUT, MLP_WIDTH, *GROUPED_HEADS, EPS, CONTEXT)


# === Paths ===

KERNEL, BIAS, SCALE = ("kernel",), ("bias",), ("scale",)
BOTH, NORM = ("kernel", "bias"), ("gamma", "beta")
SPLIT, JOINED, HEADS_FIRST = Heads(), Heads(axis=0), Heads(first=True)


def rows(
    theirs: str, ours: str, names: tuple[str, ...], layout: Layout = AS_IS
) -> tuple[Row, ...]:
    """Returns one row for each variable of a layer."""
    return tuple(
        Row(f"{theirs}/{name}", (f"{ours}/{name}",), layout) for name in names
    )


def attention(layer: str, split: Heads, biased: bool = False) -> tuple:
    """Returns the rows of four projections with the heads on an axis."""
    names = BOTH if biased else KERNEL
    into = (
        row
        for part in ("query", "key", "value")
        for row in rows(f"{layer}/{part}", f"{ATTENTION}/{part}", names, split)
    )
    out = f"{layer}/attention_output", f"{ATTENTION}/output"
    return (*into, *rows(*out, KERNEL, JOINED), *rows(*out, names[1:]))


BLOCK, ATTENTION, MLP = "block_{i}", "block_{i}/attention", "block_{i}/mlp"
LAYER = "transformer_layer_{i}"
EMBEDDINGS = (
    *rows("token_embedding", "token_embedding", ("embeddings",)),
    *rows("token_embedding", "token_embedding", ("reverse_embeddings",)),
)


def norms(names: dict[str, str], weights: tuple[str, ...] = SCALE) -> tuple:
    """Returns the rows of normalizations: their layer -> ours."""
    return tuple(
        row
        for theirs, ours in names.items()
        for row in rows(theirs, ours, weights)
    )


def mlp(layers: dict[str, str], names: tuple[str, ...] = KERNEL) -> tuple:
    """Returns the rows of an MLP's projections: their layer -> ours."""
    return tuple(
        row
        for theirs, ours in layers.items()
        for row in rows(f"{LAYER}/{theirs}", f"{MLP}/{ours}", names)
    )


PLAIN_MLP = {
    "feedforward_intermediate_dense": "up",
    "feedforward_output_dense": "down",
}
GATED_MLP = mlp({"feedforward_gate_dense": "gate", **PLAIN_MLP})
LLAMA_ATTENTION = attention(f"{LAYER}/self_attention", SPLIT)
FINAL_NORM = norms({"sequence_output_layernorm": "final_norm"})
LLAMA_NORMS = norms(
    {
        f"{LAYER}/self_attention_layernorm": f"{BLOCK}/attention_norm",
        f"{LAYER}/feedforward_layernorm": f"{BLOCK}/mlp_norm",
    }
)
LLAMA_OUTER = (*EMBEDDINGS, *FINAL_NORM, *LLAMA_NORMS)
GPT_NORMS = norms(
    {
        f"{LAYER}/self_attention_layer_norm": f"{BLOCK}/attention_norm",
        f"{LAYER}/feedforward_layer_norm": f"{BLOCK}/mlp_norm",
        "layer_norm": "final_norm",
    },
    NORM,
)

# === Families ===

GPT2 = HubFamily(
    name="gpt2",
    classes="GPT2",
    constants={
        **{"norm": "layer", "norm_eps": 1e-5, "mlp": "gelu", "bias": "all"},
        **{"rope": None, "tie_embeddings": True},
    },
    rules=(*SIZE, DROPOUT, MLP_WIDTH, *HEADS, OWN_CONTEXT),
    weights=WeightTable(
        (
            *EMBEDDINGS,
            *rows("position_embedding", "position_embedding", ("embeddings",)),
            *attention(f"{LAYER}/self_attention", SPLIT, biased=True),
            *mlp(PLAIN_MLP, BOTH),
            *GPT_NORMS,
        )
    ),
    pattern="gpt2",
)
LLAMA = HubFamily(
    name="llama",
    classes="Llama",
    # KerasHub's config forgets whether the head is tied: a tied model does
    # not load back. Ours gets a head of its own on the way there.
    constants={"tie_embeddings": False},
    rules=(
        *LLAMA_LIKE,
        ScaledRope(
            kind="llama3",
            factor="rope_frequency_adjustment_factor",
            plain={"rope_max_wavelength": "theta"},
            scaled={
                "rope_low_freq_factor": "low_frequency",
                "rope_high_freq_factor": "high_frequency",
                "rope_pretraining_sequence_length": "original_context",
            },
            neutral=None,
        ),
    ),
    # KerasHub reads this factor and computes without it.
    fixed={"rope_position_scaling_factor": 1.0},
    weights=WeightTable((*LLAMA_OUTER, *LLAMA_ATTENTION, *GATED_MLP)),
    pattern=None,
)
LLAMA3 = dataclasses.replace(
    LLAMA, name="llama3", classes="Llama3", pattern="llama3", chat="llama3"
)
QWEN = HubFamily(
    name="qwen",
    classes="Qwen",
    constants={"bias": "qkv"},
    rules=(
        *LLAMA_LIKE,
        TIED,
        PLAIN_ROPE,
        TiledWindow(
            "sliding_window_size", switch="use_sliding_window_attention"
        ),
    ),
    weights=WeightTable(
        (
            *LLAMA_OUTER,
            *attention(f"{LAYER}/self_attention", SPLIT, biased=True),
            *GATED_MLP,
        )
    ),
    pattern="qwen2",
)

HUB_FAMILIES = {family.name: family for family in (GPT2, LLAMA, LLAMA3, QWEN)}
