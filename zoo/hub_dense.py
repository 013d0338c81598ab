"""KerasHub's families without experts: their keys and their variables.

Source: the backbones of KerasHub 0.32, `keras_hub/src/models/*/`. Where they
differ from the published models, the tables follow KerasHub, because equal
logits are what a conversion owes; a comment says so.
"""

import dataclasses

from keras_llm.weights import Row, WeightTable
from keras_llm.zoo.dialect import Setting
from keras_llm.zoo.hub_common import (
    BIASED_ATTENTION,
    BLOCK,
    BOTH,
    CONTEXT,
    DROPOUT,
    EMBEDDINGS,
    EPS,
    GATED_MLP,
    GPT_NORMS,
    HEAD_DIM,
    JOINED,
    KERNEL,
    LAYER,
    LLAMA_ATTENTION,
    LLAMA_LIKE,
    LLAMA_OUTER,
    MLP_WIDTH,
    ONE_KIND_OF_HEADS,
    OWN_CONTEXT,
    PLAIN_MLP,
    PLAIN_ROPE,
    QKV,
    QWEN_QK_NORMS,
    SHARED,
    SIZE,
    SWITCH,
    THETA,
    TIED,
    attention,
    layers,
    norms,
)
from keras_llm.zoo.hub_family import Heads, HubFamily
from keras_llm.zoo.hub_rules import (
    LongRope,
    RopeKeys,
    RotaryLayers,
    TiledWindow,
    only,
)

GPT_LIKE = (*SIZE, DROPOUT, MLP_WIDTH, ONE_KIND_OF_HEADS, OWN_CONTEXT)

GPT2 = HubFamily(
    name="gpt2",
    classes="GPT2",
    constants={
        **{"norm": "layer", "norm_eps": 1e-5, "mlp": "gelu", "bias": "all"},
        **{"rope": None, "tie_embeddings": True},
    },
    rules=GPT_LIKE,
    weights=WeightTable(
        (
            *(*EMBEDDINGS, *GPT_NORMS, *BIASED_ATTENTION),
            *layers(
                {"position_embedding": "position_embedding"}, ("embeddings",)
            ),
            *layers(PLAIN_MLP, BOTH),
        )
    ),
    pattern="gpt2",
)

GPT_NEO_X = HubFamily(
    name="gpt_neo_x",
    classes="GPTNeoX",
    constants={
        # KerasHub has the tanh form of GELU; published models have the exact.
        **{"norm": "layer", "mlp": "gelu", "bias": "all"},
        **{"parallel_block": True, "tie_embeddings": True},
    },
    rules=(
        *(*GPT_LIKE, EPS),
        RopeKeys(
            plain={
                "rotary_max_wavelength": "theta",
                "rotary_percentage": "fraction",
            }
        ),
    ),
    weights=WeightTable(
        (
            *(*EMBEDDINGS, *GPT_NORMS),
            *(
                Row(
                    f"{LAYER}/self_attention/query_key_value/{name}",
                    tuple(f"{BLOCK}/attention/{part}/{name}" for part in QKV),
                    Heads(interleave="head_dim"),
                )
                for name in BOTH
            ),
            *layers(
                {
                    f"{LAYER}/self_attention/attention_output": (
                        f"{BLOCK}/attention/output"
                    ),
                    **PLAIN_MLP,
                },
                BOTH,
            ),
        )
    ),
    pattern="gpt2",
)

LLAMA = HubFamily(
    name="llama",
    classes="Llama",
    # KerasHub's config forgets whether the head is tied, and a tied model
    # does not load back. Ours gets a head of its own on the way there.
    constants={"tie_embeddings": False},
    rules=(
        *LLAMA_LIKE,
        RopeKeys(
            plain=THETA,
            kind="llama3",
            factor="rope_frequency_adjustment_factor",
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

MISTRAL = HubFamily(
    name="mistral",
    classes="Mistral",
    constants={"tie_embeddings": False},
    rules=(*LLAMA_LIKE, HEAD_DIM, PLAIN_ROPE, TiledWindow("sliding_window")),
    weights=LLAMA.weights,
    pattern=None,
)

QWEN = HubFamily(
    name="qwen",
    classes="Qwen",
    constants={"bias": "qkv"},
    rules=(
        *(*LLAMA_LIKE, TIED, PLAIN_ROPE),
        TiledWindow("sliding_window_size", switch=SWITCH),
    ),
    weights=WeightTable((*LLAMA_OUTER, *BIASED_ATTENTION, *GATED_MLP)),
    pattern="qwen2",
)

QWEN3 = HubFamily(
    name="qwen3",
    classes="Qwen3",
    constants={"qk_norm": "head"},
    rules=(
        *(*SHARED, MLP_WIDTH, CONTEXT, HEAD_DIM, TIED, PLAIN_ROPE),
        # On queries and keys KerasHub always has 1e-5. Published models have
        # 1e-6, which is as good as equal; anything else is not.
        only("layer_norm_epsilon", "norm_eps", 1e-6, 1e-5),
        TiledWindow("sliding_window_size"),
    ),
    weights=WeightTable(
        (*LLAMA_OUTER, *LLAMA_ATTENTION, *QWEN_QK_NORMS, *GATED_MLP)
    ),
    pattern="qwen2",
)

PHI3 = HubFamily(
    name="phi3",
    classes="Phi3",
    constants={"tie_embeddings": False},
    rules=(*SHARED, MLP_WIDTH, EPS, OWN_CONTEXT, LongRope()),
    weights=WeightTable(
        (
            *(*EMBEDDINGS, *GATED_MLP, *attention(f"{LAYER}/attention")),
            *norms("pre_attention_layernorm", "post_attention_layernorm"),
        )
    ),
    pattern=None,
)

SMOLLM3 = HubFamily(
    name="smollm3",
    classes="SmolLM3",
    constants={"tie_embeddings": True},
    rules=(
        *(*SIZE, MLP_WIDTH, EPS),
        Setting("attention_dropout", "dropout"),
        Setting("num_attention_heads", "num_heads"),
        Setting("num_key_value_heads", "num_kv_heads"),
        Setting("max_position_embeddings", "context_length"),
        Setting("attention_bias", "bias", False, {False: "none", True: "qkv"}),
        RotaryLayers("rope_layer_enabled_list", "layer_types"),
        RopeKeys(plain={"rope_theta": "theta"}),
    ),
    fixed={"mlp_bias": False, "partial_rotary_factor": 1.0},
    weights=WeightTable(
        (
            *EMBEDDINGS,
            *layers(
                {
                    f"{LAYER}/self_attn/{part[0]}_proj": (
                        f"{BLOCK}/attention/{part}"
                    )
                    for part in QKV
                },
                BOTH,
            ),
            *layers(
                {f"{LAYER}/o_proj": f"{BLOCK}/attention/output"},
                KERNEL,
                JOINED,
            ),
            *layers(
                {
                    f"{LAYER}/mlp/{part}_proj": f"{BLOCK}/mlp/{part}"
                    for part in ("gate", "up", "down")
                }
            ),
            *norms("input_layernorm", "post_attention_layernorm"),
        ),
        ignored=(f"{LAYER}/rotary_emb/inv_freq",),
    ),
    pattern="llama3",
)
