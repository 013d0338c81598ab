"""KerasHub's Gemma: its keys and its variables.

Source: the backbones of KerasHub 0.32, `keras_hub/src/models/gemma*/`.
"""

import dataclasses

from keras_llm.weights import WeightTable
from keras_llm.zoo.dialect import Setting
from keras_llm.zoo.hub_common import (
    BLOCK,
    CONTEXT,
    EMBEDDINGS,
    HEAD_DIM,
    HEADS_FIRST,
    MLP_WIDTH,
    SCALE,
    SHARED,
    SWITCH,
    attention,
    layers,
)
from keras_llm.zoo.hub_family import HubFamily
from keras_llm.zoo.hub_rules import RopeKeys, TiledWindow, Times
from keras_llm.zoo.scales import WidthRoot

GEMMA_BLOCK = "decoder_block_{i}"
SANDWICH = {True: "sandwich", False: None}
GEMMA_LIKE = (
    *(*SHARED, HEAD_DIM, CONTEXT, WidthRoot("hidden_dim")),
    Setting("use_post_attention_norm", "post_norm", False, SANDWICH),
    Setting("use_post_ffw_norm", "post_norm", False, SANDWICH),
    Setting("attention_logit_soft_cap", "attention_softcap", None),
    Setting("final_logit_soft_cap", "final_softcap", None),
)
GEMMA = HubFamily(
    name="gemma",
    classes="Gemma",
    constants={
        **{"norm": "rms_offset", "norm_eps": 1e-6, "mlp": "geglu"},
        **{"tie_embeddings": True},
    },
    rules=(
        *(*GEMMA_LIKE, RopeKeys()),
        Times("intermediate_dim", "mlp_dim"),
        TiledWindow("sliding_window_size", "LG", SWITCH),
    ),
    # KerasHub divides queries by the root of head_dim even where this says
    # otherwise, and gives another epsilon to the last normalization only.
    fixed={"query_head_dim_normalize": True, "layer_norm_epsilon": 1e-6},
    weights=WeightTable(
        (
            *EMBEDDINGS,
            *attention(f"{GEMMA_BLOCK}/attention", HEADS_FIRST),
            *layers(
                {
                    f"{GEMMA_BLOCK}/ffw_gating": f"{BLOCK}/mlp/gate",
                    f"{GEMMA_BLOCK}/ffw_gating_2": f"{BLOCK}/mlp/up",
                    f"{GEMMA_BLOCK}/ffw_linear": f"{BLOCK}/mlp/down",
                }
            ),
            *layers(
                {
                    f"{GEMMA_BLOCK}/{theirs}": f"{BLOCK}/{ours}"
                    for theirs, ours in {
                        "attention/query_norm": "attention/query_norm",
                        "attention/key_norm": "attention/key_norm",
                        "pre_attention_norm": "attention_norm",
                        "post_attention_norm": "attention_post_norm",
                        "pre_ffw_norm": "mlp_norm",
                        "post_ffw_norm": "mlp_post_norm",
                    }.items()
                }
                | {"final_normalization": "final_norm"},
                SCALE,
            ),
        )
    ),
    pattern=None,
)
GEMMA3 = dataclasses.replace(
    GEMMA,
    name="gemma3",
    classes="Gemma3",
    rules=(
        *(*GEMMA_LIKE, MLP_WIDTH),
        Setting(
            "use_query_key_norm", "qk_norm", True, {True: "head", False: None}
        ),
        RopeKeys(
            kind="linear",
            factor="global_rope_scaling_factor",
            base={"theta": 1e6, "local_theta": 1e4},
        ),
        TiledWindow("sliding_window_size", "LLLLLG", SWITCH),
    ),
    fixed={
        **GEMMA.fixed,
        "local_rope_scaling_factor": 1.0,
        "vision_encoder": None,
        "use_bidirectional_attention": False,
        "is_embedding_model": False,
    },
    unused=("pooling_intermediate_dim", "embedding_dim"),
    filler={"image_size": 896},
    tokenizer={"has_vision_tokens": False},
)
