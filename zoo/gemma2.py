"""Gemma 2: every other layer sees a window; soft caps; norms on both sides.

Sources: `Gemma2Config` and `modeling_gemma2.py` of `transformers` 5.23;
Gemma 2, https://arxiv.org/abs/2408.00118; sizes from the config.json files at
https://huggingface.co/google/gemma-2-2b, gemma-2-9b and gemma-2-27b (the
first files of the 9B had a query_pre_attn_scalar of 224).
"""

from keras_llm.weights import WeightTable
from keras_llm.zoo.common import (
    ATTENTION,
    COPIES,
    GATED_MLP,
    LAYER,
    OUTER,
    WindowRule,
    norms,
    sizes,
)
from keras_llm.zoo.family import Family
from keras_llm.zoo.gemma import (
    COLUMNS,
    CONSTANTS,
    FIXED,
    GEMMA_LIKE,
    HEADS,
    SENTENCE_PIECE,
    SHARED,
)
from keras_llm.zoo.rope import RopeRule
from keras_llm.zoo.scales import QueryScale, SoftCap

SANDWICH_NORMS = norms(
    {
        f"{LAYER}.input_layernorm": "block_{i}/attention_norm",
        f"{LAYER}.post_attention_layernorm": "block_{i}/attention_post_norm",
        f"{LAYER}.pre_feedforward_layernorm": "block_{i}/mlp_norm",
        f"{LAYER}.post_feedforward_layernorm": "block_{i}/mlp_post_norm",
    }
)
ROWS = (*OUTER, *ATTENTION, *GATED_MLP, *SANDWICH_NORMS)

GEMMA2 = Family(
    name="gemma2",
    model_type="gemma2",
    architecture="Gemma2ForCausalLM",
    constants={**CONSTANTS, "post_norm": "sandwich"},
    rules=(
        *GEMMA_LIKE,
        *HEADS,
        RopeRule(),
        WindowRule("LG", window=4096),
        QueryScale(),
        SoftCap("attn_logit_softcapping", "attention_softcap", absent=50.0),
        SoftCap("final_logit_softcapping", "final_softcap", absent=30.0),
    ),
    weights=WeightTable(prefix="model.", rows=ROWS, copies=COPIES),
    tokenizer=SENTENCE_PIECE,
    chat="gemma",
    # sliding_window_size: the older name of sliding_window, beside it.
    unused=("cache_implementation", "sliding_window_size"),
    fixed=FIXED,
    presets=sizes(
        {
            **SHARED,
            "post_norm": "sandwich",
            "pattern": "LG",
            "window": 4096,
            "attention_softcap": 50.0,
            "final_softcap": 30.0,
        },
        (*COLUMNS, "attention_scale"),
        {
            "gemma-2-2b": (
                *("google/gemma-2-2b", 26, 2304, 2304**0.5),
                *(8, 4, 256, 9216, None),
            ),
            "gemma-2-9b": (
                *("google/gemma-2-9b", 42, 3584, 3584**0.5),
                *(16, 8, 256, 14336, None),
            ),
            "gemma-2-27b": (
                *("google/gemma-2-27b", 46, 4608, 4608**0.5),
                *(32, 16, 128, 36864, 144**-0.5),
            ),
        },
        license="gemma",
    ),
)
