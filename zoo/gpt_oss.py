"""gpt-oss: experts with a clamped gate, attention sinks, every other window.

Sources: `GptOssConfig` and `modeling_gpt_oss.py` of `transformers` 5.23; the
model card, https://arxiv.org/abs/2508.10925; sizes from the config.json files
at https://huggingface.co/openai/gpt-oss-20b and gpt-oss-120b.
"""

from keras_llm.config import Experts, Rope
from keras_llm.weights import Layout, Row, WeightTable
from keras_llm.zoo.common import (
    ATTENTION,
    COPIES,
    DEPTH_AND_WIDTH,
    KV_HEADS,
    LAYER,
    OUTER,
    PRE_NORMS,
    UNTIED,
    WindowRule,
    dense,
    sizes,
)
from keras_llm.zoo.experts import BALANCE, TOP_K, ExpertsRule
from keras_llm.zoo.family import Family, Setting, TokenizerRule
from keras_llm.zoo.packed import PackedRule
from keras_llm.zoo.rope import RopeRule

OURS, THEIRS = "block_{i}/experts", f"{LAYER}.mlp.experts"
# Gate and up take turns, channel by channel; matrices lie as ours.
TURNS = Layout(interleave=1)
EXPERTS = (
    Row(f"{THEIRS}.gate_up_proj", (f"{OURS}/gate", f"{OURS}/up"), TURNS),
    Row(
        f"{THEIRS}.gate_up_proj_bias",
        (f"{OURS}/gate_bias", f"{OURS}/up_bias"),
        TURNS,
    ),
    Row(f"{THEIRS}.down_proj", (f"{OURS}/down",)),
    Row(f"{THEIRS}.down_proj_bias", (f"{OURS}/down_bias",)),
)
ROWS = (
    *OUTER,
    *ATTENTION,
    *PRE_NORMS,
    Row(f"{LAYER}.self_attn.sinks", ("block_{i}/attention/sinks",)),
    *dense(f"{LAYER}.mlp.router", f"{OURS}/router"),
    *EXPERTS,
)
CONSTANTS = {"norm": "rms", "bias": "all", "attention_sinks": True}
YARN = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}

PRESETS = sizes(
    {
        **CONSTANTS,
        "vocabulary_size": 201088,
        "context_length": 131072,
        "hidden_dim": 2880,
        "mlp_dim": 2880,
        "mlp": "clamped_swiglu",
        "num_heads": 64,
        "num_kv_heads": 8,
        "head_dim": 64,
        "pattern": "LG",
        "window": 128,
        "tie_embeddings": False,
        "rope": Rope(
            theta=150000.0,
            scaling="yarn",
            factor=32.0,
            original_context=4096,
            truncate=False,
        ),
    },
    ("num_layers", "experts"),
    {
        f"gpt-oss-{size}": (
            f"openai/gpt-oss-{size}",
            layers,
            Experts(count=count, top_k=4, router_bias=True, balance_loss=0.9),
        )
        for size, layers, count in (("20b", 24, 32), ("120b", 36, 128))
    },
    license="apache-2.0",
    chat="harmony",
)

GPT_OSS = Family(
    name="gpt_oss",
    model_type="gpt_oss",
    architecture="GptOssForCausalLM",
    constants=CONSTANTS,
    rules=(
        *DEPTH_AND_WIDTH,
        KV_HEADS,
        Setting("head_dim", "head_dim", default=64),
        Setting("rms_norm_eps", "norm_eps", default=1e-5),
        Setting("hidden_act", "mlp", "silu", {"silu": "clamped_swiglu"}),
        UNTIED,
        RopeRule(theta=150000.0, scaling=YARN),
        WindowRule("LG", window=128),
        ExpertsRule(
            (Setting("num_local_experts", "count"), TOP_K, BALANCE),
            {"router_bias": True},
        ),
        # As published, the experts' matrices are packed.
        PackedRule("mxfp4"),
    ),
    weights=WeightTable(prefix="model.", rows=ROWS, copies=COPIES),
    tokenizer=TokenizerRule(
        pattern="o200k", bos="<|startoftext|>", eos="<|return|>"
    ),
    chat="harmony",
    # The older names of num_experts_per_tok and of the original context.
    unused=(
        *("output_router_logits", "experts_per_token"),
        "initial_context_length",
    ),
    fixed={
        "attention_bias": True,
        "attention_dropout": 0,
        "swiglu_limit": 7,
        "swiglu_alpha": 1.702,
    },
    presets=PRESETS,
)
