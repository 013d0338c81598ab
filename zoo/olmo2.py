"""OLMo 2: Llama with norms after each branch and on whole queries and keys.

Sources: `Olmo2Config` and `modeling_olmo2.py` of `transformers` 5.23; OLMo 2,
https://arxiv.org/abs/2501.00656; sizes from the config.json files at
https://huggingface.co/allenai/OLMo-2-1124-7B and the others named below.
"""

from keras_llm.config import Rope
from keras_llm.weights import WeightTable
from keras_llm.zoo.common import (
    ATTENTION,
    COPIES,
    DEPTH_AND_WIDTH,
    GATED_MLP,
    GROUPED_HEADS,
    LAYER,
    OUTER,
    QK_NORMS,
    SHAPE,
    SWIGLU,
    UNTIED,
    norms,
    sizes,
)
from keras_llm.zoo.family import Family, Setting, TokenizerRule
from keras_llm.zoo.rope import RopeRule

POST_NORMS = norms(
    {
        f"{LAYER}.post_attention_layernorm": "block_{i}/attention_post_norm",
        f"{LAYER}.post_feedforward_layernorm": "block_{i}/mlp_post_norm",
    }
)
CONSTANTS = {"norm": "rms", "post_norm": "only", "qk_norm": "projection"}

OLMO2 = Family(
    name="olmo2",
    model_type="olmo2",
    architecture="Olmo2ForCausalLM",
    constants=CONSTANTS,
    rules=(
        *DEPTH_AND_WIDTH,
        *GROUPED_HEADS,
        Setting("rms_norm_eps", "norm_eps", default=1e-5),
        SWIGLU,
        UNTIED,
        RopeRule(),
    ),
    weights=WeightTable(
        prefix="model.",
        rows=(*OUTER, *ATTENTION, *GATED_MLP, *POST_NORMS, *QK_NORMS),
        copies=COPIES,
    ),
    tokenizer=TokenizerRule(pattern="llama3", bos=None, eos="<|endoftext|>"),
    chat="olmo2",
    fixed={"attention_bias": False, "attention_dropout": 0},
    presets=sizes(
        {
            **CONSTANTS,
            "norm_eps": 1e-6,
            "vocabulary_size": 100352,
            "context_length": 4096,
            "tie_embeddings": False,
            "rope": Rope(theta=500000.0),
        },
        SHAPE,
        # No copies of the 1B's and 32B's files were at hand to compare with.
        {
            "olmo-2-1b": ("allenai/OLMo-2-0425-1B", 16, 2048, 16, 16, 8192),
            "olmo-2-7b": ("allenai/OLMo-2-1124-7B", 32, 4096, 32, 32, 11008),
            "olmo-2-13b": ("allenai/OLMo-2-1124-13B", 40, 5120, 40, 40, 13824),
            "olmo-2-32b": ("allenai/OLMo-2-0325-32B", 64, 5120, 40, 8, 27648),
        },
        license="apache-2.0",
    ),
)
