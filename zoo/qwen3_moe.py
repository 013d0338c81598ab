"""Qwen3 with experts: 128 or 160 narrow ones, eight for each token.

Sources: `Qwen3MoeConfig` and `modeling_qwen3_moe.py` of `transformers` 5.23;
Yang et al. 2025, https://arxiv.org/abs/2505.09388; sizes from the config.json
files and cards at https://huggingface.co/Qwen.
"""

from keras_llm.config import Experts, Rope
from keras_llm.weights import WeightTable
from keras_llm.zoo.common import (
    ATTENTION,
    COPIES,
    LAYER,
    OUTER,
    PRE_NORMS,
    QK_NORMS,
    SHAPE,
    WindowRule,
    sizes,
)
from keras_llm.zoo.experts import BALANCE, TOP_K, ExpertsRule, expert_rows
from keras_llm.zoo.family import YES_OR_NO, Family, Setting
from keras_llm.zoo.qwen2 import SWITCH, TOKENIZER
from keras_llm.zoo.qwen3 import CONSTANTS, HEIR_OF_128, SHARED
from keras_llm.zoo.rope import RopeRule

EXPERTS = (
    Setting("num_experts", "count", others=("num_local_experts",)),
    TOP_K,
    Setting("moe_intermediate_size", "mlp_dim", default=768),
    Setting("norm_topk_prob", "normalize", False, YES_OR_NO),
    BALANCE,
)
ROWS = (
    *OUTER,
    *ATTENTION,
    *QK_NORMS,
    *PRE_NORMS,
    *expert_rows(
        f"{LAYER}.mlp", gate="gate_proj", up="up_proj", down="down_proj"
    ),
)


def experts(count: int, width: int) -> Experts:
    """Eight for each token."""
    return Experts(count=count, top_k=8, mlp_dim=width, balance_loss=0.001)


PRESETS = {
    **sizes(
        {**SHARED, "tie_embeddings": False},
        (*SHAPE, "experts"),
        {
            "qwen3-30b-a3b": (
                "Qwen/Qwen3-30B-A3B",
                *(48, 2048, 32, 4, 6144, experts(128, 768)),
            ),
            "qwen3-235b-a22b": (
                "Qwen/Qwen3-235B-A22B",
                *(94, 4096, 64, 4, 12288, experts(128, 1536)),
            ),
        },
        license="apache-2.0",
        chat="qwen3",
    ),
    **sizes(
        {
            **SHARED,
            "tie_embeddings": False,
            "context_length": 262144,
            "rope": Rope(theta=1e7),
        },
        (*SHAPE, "experts"),
        {
            # No copy of its file was at hand: only the count is compared.
            "qwen3-coder-30b-a3b": (
                "Qwen/Qwen3-Coder-30B-A3B-Instruct",
                *(48, 2048, 32, 4, 5472, experts(128, 768)),
            ),
            "qwen3-coder-480b-a35b": (
                "Qwen/Qwen3-Coder-480B-A35B-Instruct",
                *(62, 6144, 96, 8, 8192, experts(160, 2560)),
            ),
        },
        license="apache-2.0",
        chat="chatml",
    ),
}

QWEN3_MOE = Family(
    name="qwen3_moe",
    model_type="qwen3_moe",
    architecture="Qwen3MoeForCausalLM",
    constants=CONSTANTS,
    rules=(
        *HEIR_OF_128,
        RopeRule(),
        # Here the window is on all layers or on none.
        WindowRule(listed=False, switch=SWITCH, window=4096),
        ExpertsRule(EXPERTS),
    ),
    weights=WeightTable(prefix="model.", rows=ROWS, copies=COPIES),
    tokenizer=TOKENIZER,
    chat="qwen3",
    unused=("max_window_layers", "output_router_logits"),
    fixed={
        "attention_bias": False,
        "attention_dropout": 0,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        # Qwen3-Coder says also what it has not.
        "qkv_bias": False,
        "use_qk_norm": True,
        "shared_expert_intermediate_size": 0,
    },
    presets=PRESETS,
)
