"""Phi-3, Phi-3.5, Phi-4: Llama with fused projections and LongRoPE.

Sources: `Phi3Config` and `modeling_phi3.py` of `transformers` 5.23; Phi-3,
https://arxiv.org/abs/2404.14219; sizes and factors from the config.json files
of the repositories named below.
"""

from keras_llm.config import Rope
from keras_llm.weights import WeightTable
from keras_llm.zoo import phi3_rope
from keras_llm.zoo.common import (
    COPIES,
    DEPTH_AND_WIDTH,
    GROUPED_HEADS,
    LAYER,
    OUTER,
    PRE_NORMS,
    SHAPE,
    SWIGLU,
    UNTIED,
    WindowRule,
    dense,
    sizes,
)
from keras_llm.zoo.family import Family, Setting, TokenizerRule
from keras_llm.zoo.rope import RopeRule

FUSED = (
    *dense(
        f"{LAYER}.self_attn.qkv_proj",
        *(
            f"block_{{i}}/attention/{part}"
            for part in ("query", "key", "value")
        ),
    ),
    *dense(
        f"{LAYER}.mlp.gate_up_proj", "block_{i}/mlp/gate", "block_{i}/mlp/up"
    ),
    *dense(f"{LAYER}.self_attn.o_proj", "block_{i}/attention/output"),
    *dense(f"{LAYER}.mlp.down_proj", "block_{i}/mlp/down"),
)

MINI, MEDIUM = (32, 3072, 32, 32, 8192), (40, 5120, 40, 10, 17920)
MINI_4 = (32, 3072, 24, 8, 8192)
COLUMNS = (
    *SHAPE,
    *("vocabulary_size", "context_length", "rope", "pattern", "window"),
)
UNTIED_SIZES = {"norm": "rms", "tie_embeddings": False}
PRESETS = {
    **sizes(
        UNTIED_SIZES,
        COLUMNS,
        {
            "phi-3-mini-4k": (
                *("microsoft/Phi-3-mini-4k-instruct", *MINI),
                *(32064, 4096, Rope(), "L", 2047),
            ),
            "phi-3-mini-128k": (
                *("microsoft/Phi-3-mini-128k-instruct", *MINI),
                *(32064, 131072, phi3_rope.PHI_3_MINI, "L", 262144),
            ),
            # Medium: no copies of its files were at hand to compare with.
            "phi-3-medium-4k": (
                *("microsoft/Phi-3-medium-4k-instruct", *MEDIUM),
                *(32064, 4096, Rope(), "L", 2047),
            ),
            "phi-3-medium-128k": (
                *("microsoft/Phi-3-medium-128k-instruct", *MEDIUM),
                *(32064, 131072, phi3_rope.PHI_3_MEDIUM, "L", 131072),
            ),
        },
        license="mit",
        chat="phi3",
    ),
    **sizes(
        UNTIED_SIZES,
        COLUMNS,
        {
            "phi-3.5-mini": (
                *("microsoft/Phi-3.5-mini-instruct", *MINI),
                *(32064, 131072, phi3_rope.PHI_35_MINI, "L", 262144),
            ),
        },
        license="mit",
        chat="phi3.5",
    ),
    **sizes(
        UNTIED_SIZES,
        COLUMNS,
        {
            "phi-4": (
                *("microsoft/phi-4", *MEDIUM),
                *(100352, 16384, Rope(theta=250000.0), "G", None),
            ),
        },
        license="mit",
        chat="phi4",
    ),
    **sizes(
        {"norm": "rms", "tie_embeddings": True},
        COLUMNS,
        {
            "phi-4-mini": (
                *("microsoft/Phi-4-mini-instruct", *MINI_4),
                *(200064, 131072, phi3_rope.PHI_4_MINI, "L", 262144),
            ),
        },
        license="mit",
        chat="phi4_mini",
    ),
}

PHI3 = Family(
    name="phi3",
    model_type="phi3",
    architecture="Phi3ForCausalLM",
    constants={"norm": "rms"},
    rules=(
        *DEPTH_AND_WIDTH,
        *GROUPED_HEADS,
        Setting("rms_norm_eps", "norm_eps", default=1e-5),
        SWIGLU,
        UNTIED,
        RopeRule(
            fraction_key="partial_rotary_factor",
            original_key="original_max_position_embeddings",
            original=4096,
            kind_key="type",
            kinds=("default", "longrope"),
        ),
        WindowRule(listed=False),
        # One dropout of ours is all three of theirs, at the same places.
        Setting("embd_pdrop", "dropout", default=0.0),
        Setting("attention_dropout", "dropout", default=0.0),
        Setting("resid_pdrop", "dropout", default=0.0),
    ),
    weights=WeightTable(
        prefix="model.", rows=(*OUTER, *FUSED, *PRE_NORMS), copies=COPIES
    ),
    tokenizer=TokenizerRule(pattern=None, bos="<s>", eos="<|endoftext|>"),
    chat="phi3",
    # auto_map: code that `transformers` has had itself since 4.41.
    unused=("auto_map", "full_attn_mod", "interpolate_factor"),
    fixed={"attention_bias": False, "mlp_bias": False, "lm_head_bias": False},
    presets=PRESETS,
)
