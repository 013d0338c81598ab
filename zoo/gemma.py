"""Gemma: scaled embeddings, norms around one, gated GELU, wide heads.

Sources: `GemmaConfig` and `modeling_gemma.py` of `transformers` 5.23; Gemma,
https://arxiv.org/abs/2403.08295; sizes from the config.json files at
https://huggingface.co/google/gemma-2b and gemma-7b.
"""

from keras_llm.weights import WeightTable
from keras_llm.zoo.common import (
    COPIES,
    DEPTH_AND_WIDTH,
    LLAMA_ROWS,
    RMS_EPS,
    TIED,
    sizes,
)
from keras_llm.zoo.family import Family, Setting, TokenizerRule
from keras_llm.zoo.rope import RopeRule
from keras_llm.zoo.scales import WidthRoot

# Common to all generations of Gemma.
HEADS = (
    Setting("num_key_value_heads", "num_kv_heads"),
    Setting("head_dim", "head_dim", default=256),
)
# "gelu" in the first files of Gemma 1 means the tanh form too.
TANH = {"gelu_pytorch_tanh": "geglu", "gelu": "geglu"}
GATED_GELU = (
    Setting("hidden_act", "mlp", "gelu_pytorch_tanh", TANH),
    Setting("hidden_activation", "mlp", "gelu_pytorch_tanh", TANH),
)
GEMMA_LIKE = (*DEPTH_AND_WIDTH, RMS_EPS, *GATED_GELU, TIED, WidthRoot())
CONSTANTS = {"norm": "rms_offset"}
COLUMNS = (
    *("num_layers", "hidden_dim", "embed_scale", "num_heads"),
    *("num_kv_heads", "head_dim", "mlp_dim"),
)
SHARED = {
    **CONSTANTS,
    "norm_eps": 1e-6,
    "mlp": "geglu",
    "vocabulary_size": 256000,
    "context_length": 8192,
}
SENTENCE_PIECE = TokenizerRule(pattern=None, bos="<bos>", eos="<eos>")
FIXED = {
    "attention_bias": False,
    "attention_dropout": 0,
    "use_bidirectional_attention": None,
}

GEMMA = Family(
    name="gemma",
    model_type="gemma",
    architecture="GemmaForCausalLM",
    constants=CONSTANTS,
    rules=(*GEMMA_LIKE, *HEADS, RopeRule()),
    weights=WeightTable(prefix="model.", rows=LLAMA_ROWS, copies=COPIES),
    tokenizer=SENTENCE_PIECE,
    chat="gemma",
    fixed=FIXED,
    presets=sizes(
        SHARED,
        COLUMNS,
        {
            "gemma-2b": (
                *("google/gemma-2b", 18, 2048, 2048**0.5),
                *(8, 1, 256, 16384),
            ),
            "gemma-7b": (
                *("google/gemma-7b", 28, 3072, 3072**0.5),
                *(16, 16, 256, 24576),
            ),
        },
        license="gemma",
    ),
)
