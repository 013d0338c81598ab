"""KerasHub's families with experts: their keys and their variables.

Source: the backbones of KerasHub 0.32, `keras_hub/src/models/*/`.
"""

import dataclasses
from collections.abc import Mapping

from keras_llm.weights import AS_IS, Layout, Row, WeightTable
from keras_llm.zoo.dialect import Setting
from keras_llm.zoo.experts import ExpertsRule
from keras_llm.zoo.hub_common import (
    BIASED_ATTENTION,
    BLOCK,
    EMBEDDINGS,
    HEAD_DIM,
    LAYER,
    LLAMA_ATTENTION,
    LLAMA_LIKE,
    LLAMA_OUTER,
    PLAIN_ROPE,
    QWEN_QK_NORMS,
    THETA,
    norms,
)
from keras_llm.zoo.hub_dense import QWEN3
from keras_llm.zoo.hub_family import HubFamily
from keras_llm.zoo.hub_rules import RopeKeys, TiledWindow, only

COUNTS = (Setting("num_experts", "count"), Setting("top_k", "top_k"))


def experts(
    layer: str, names: Mapping[str, str], layout: Layout = AS_IS
) -> tuple[Row, ...]:
    """Returns the rows of a mixture, all experts in one variable.

    Args:
        layer: Their name of the mixture.
        names: Their variable -> ours; several of ours with spaces between.
        layout: How several of ours lie in one of theirs.

    Example:

    >>> experts("moe", {"gate_up": "gate up"})[0].ours
    ('block_{i}/experts/gate', 'block_{i}/experts/up')
    """
    return tuple(
        Row(
            f"{LAYER}/{layer}/{theirs}",
            tuple(f"{BLOCK}/experts/{name}" for name in ours.split()),
            layout,
        )
        for theirs, ours in names.items()
    )


MIXTRAL = HubFamily(
    name="mixtral",
    classes="Mixtral",
    constants={"tie_embeddings": False},
    rules=(
        *(*LLAMA_LIKE, PLAIN_ROPE, TiledWindow("sliding_window")),
        ExpertsRule((*COUNTS, Setting("router_aux_loss_coef", "balance_loss"))),
    ),
    unused=("router_jitter_noise",),
    weights=WeightTable(
        (
            *(*LLAMA_OUTER, *LLAMA_ATTENTION),
            *experts(
                "mixtral_sparse_moe_block",
                {
                    "sparse_feedforward_gate_dense/kernel": "router/kernel",
                    "experts/expert_feedforward_gate_dense": "gate",
                    "experts/expert_feedforward_intermediate_dense": "up",
                    "experts/expert_feedforward_output_dense": "down",
                },
            ),
        )
    ),
    pattern=None,
)

QWEN3_MOE = dataclasses.replace(
    QWEN3,
    name="qwen3_moe",
    classes="Qwen3Moe",
    rules=(
        *QWEN3.rules,
        # On queries and keys KerasHub always has this.
        only("layer_norm_epsilon", "norm_eps", 1e-6),
        ExpertsRule(
            (
                *COUNTS,
                Setting("moe_intermediate_dim", "mlp_dim"),
                Setting("norm_top_k_prob", "normalize"),
                Setting("router_aux_loss_coefficient", "balance_loss"),
            )
        ),
    ),
    fixed={"decoder_sparse_step": 1, "mlp_only_layers": []},
    weights=WeightTable(
        (
            *(*LLAMA_OUTER, *LLAMA_ATTENTION, *QWEN_QK_NORMS),
            *experts(
                "qwen3_sparse_moe_block",
                {
                    "sparse_feedforward_gate_dense/kernel": "router/kernel",
                    "experts/expert_feedforward_gate_dense": "gate up",
                    "experts/expert_feedforward_output_dense": "down",
                },
            ),
        )
    ),
)

GPT_OSS = HubFamily(
    name="gpt_oss",
    classes="GptOss",
    constants={
        **{"bias": "all", "mlp": "clamped_swiglu", "attention_sinks": True},
        **{"tie_embeddings": False},
    },
    rules=(
        *(*LLAMA_LIKE, HEAD_DIM),
        RopeKeys(
            plain=THETA,
            kind="yarn",
            factor="rope_scaling_factor",
            with_factor={"original_context": 4096, "truncate": False},
        ),
        # KerasHub lets a window reach one position further back, and starts
        # with a layer that sees everything, where the published models start
        # with a window.
        TiledWindow("sliding_window", "GL", more=1),
        ExpertsRule(COUNTS, {"router_bias": True, "balance_loss": 0.0}),
    ),
    fixed={"output_router_logits": False},
    weights=WeightTable(
        (
            *(*EMBEDDINGS, *BIASED_ATTENTION),
            *norms("input_layernorm", "post_attention_layernorm"),
            Row(f"{LAYER}/self_attention/sinks", (f"{BLOCK}/attention/sinks",)),
            *experts(
                "sparse_moe_block",
                {
                    "router/router_dense/kernel": "router/kernel",
                    "router/router_dense/bias": "router/bias",
                    "experts/gate_up_proj": "gate up",
                    "experts/gate_up_proj_bias": "gate_bias up_bias",
                    "experts/down_proj": "down",
                    "experts/down_proj_bias": "down_bias",
                },
                Layout(interleave=1),
            ),
        )
    ),
    pattern="o200k",
)
