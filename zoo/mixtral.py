"""Mixtral: Mistral with eight experts in every layer, two for each token.

Sources: `MixtralConfig` and `modeling_mixtral.py` of `transformers` 5.23;
Jiang et al. 2024, https://arxiv.org/abs/2401.04088; sizes from the
config.json files at https://huggingface.co/mistralai.
"""

from keras_llm.config import Experts, Rope
from keras_llm.weights import WeightTable
from keras_llm.zoo.common import (
    ATTENTION,
    COPIES,
    HEAD_DIM,
    HEIR_LIKE,
    LAYER,
    OUTER,
    PRE_NORMS,
    WindowRule,
    sizes,
)
from keras_llm.zoo.experts import BALANCE, TOP_K, ExpertsRule, expert_rows
from keras_llm.zoo.family import Family, Setting
from keras_llm.zoo.mistral import COLUMNS, SHARED, TOKENIZER
from keras_llm.zoo.rope import RopeRule

COUNT = Setting("num_local_experts", "count", others=("num_experts",))
ROWS = (
    *OUTER,
    *ATTENTION,
    *PRE_NORMS,
    *expert_rows(f"{LAYER}.block_sparse_moe", gate="w1", up="w3", down="w2"),
)


def eight(balance_loss: float) -> Experts:
    """Eight experts, two for each token."""
    return Experts(count=8, top_k=2, balance_loss=balance_loss)


PRESETS = sizes(
    {**SHARED, "rope": Rope(theta=1e6)},
    (*COLUMNS[:-1], "experts"),
    {
        "mixtral-8x7b": (
            "mistralai/Mixtral-8x7B-v0.1",
            *(32000, 32768, 32, 4096, 32, 8, 14336, eight(0.02)),
        ),
        "mixtral-8x22b": (
            "mistralai/Mixtral-8x22B-v0.1",
            *(32768, 65536, 56, 6144, 48, 8, 16384, eight(0.001)),
        ),
    },
    license="apache-2.0",
)

MIXTRAL = Family(
    name="mixtral",
    model_type="mixtral",
    architecture="MixtralForCausalLM",
    constants={},
    rules=(
        *HEIR_LIKE,
        HEAD_DIM,
        RopeRule(theta=1e6),
        WindowRule(listed=False),
        ExpertsRule((COUNT, TOP_K, BALANCE)),
    ),
    weights=WeightTable(prefix="model.", rows=ROWS, copies=COPIES),
    tokenizer=TOKENIZER,
    chat="mistral_v1",
    unused=("output_router_logits",),
    fixed={"attention_dropout": 0, "router_jitter_noise": 0},
    presets=PRESETS,
)
