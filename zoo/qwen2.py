"""Qwen2 and Qwen2.5: Llama with biases on query, key and value.

Sources: `Qwen2Config` and `modeling_qwen2.py` of `transformers` 5.23; Qwen2,
https://arxiv.org/abs/2407.10671; Qwen2.5, https://arxiv.org/abs/2412.15115;
sizes from the config.json files at https://huggingface.co/Qwen.
"""

from keras_llm.config import Rope
from keras_llm.zoo.common import (
    HEAD_DIM,
    HEIR_LIKE,
    LLAMA_WEIGHTS,
    SHAPE,
    WindowRule,
    sizes,
)
from keras_llm.zoo.family import Family, TokenizerRule
from keras_llm.zoo.rope import RopeRule

SWITCH = "use_sliding_window"
WINDOW = WindowRule(switch=SWITCH, first="max_window_layers", window=4096)
TOKENIZER = TokenizerRule(pattern="qwen2", bos=None, eos="<|endoftext|>")
CONSTANTS = {"bias": "qkv"}

SHARED = {**CONSTANTS, "rope": Rope(theta=1e6)}
COLUMNS = (
    *("license", "norm_eps", "vocabulary_size", "context_length"),
    *("tie_embeddings", *SHAPE),
)
SMALL, LARGE = ("apache-2.0", 1e-6, 151936), ("apache-2.0", 1e-6, 152064)
LARGER = ("apache-2.0", 1e-5, 152064)
B0, B1 = (True, 24, 896, 14, 2, 4864), (True, 28, 1536, 12, 2, 8960)
B7, B72 = (False, 28, 3584, 28, 4, 18944), (False, 80, 8192, 64, 8, 29568)

PRESETS = sizes(
    SHARED,
    COLUMNS,
    {
        # Qwen2: no copies of its files were at hand; counts are compared.
        "qwen2-0.5b": ("Qwen/Qwen2-0.5B", *SMALL, 131072, *B0),
        "qwen2-1.5b": ("Qwen/Qwen2-1.5B", *SMALL, 131072, *B1),
        "qwen2-7b": ("Qwen/Qwen2-7B", *LARGE, 131072, *B7),
        "qwen2-72b": (
            *("Qwen/Qwen2-72B", "tongyi-qianwen", 1e-5, 152064, 131072, *B72),
        ),
        "qwen2.5-0.5b": ("Qwen/Qwen2.5-0.5B", *SMALL, 32768, *B0),
        "qwen2.5-1.5b": ("Qwen/Qwen2.5-1.5B", *SMALL, 131072, *B1),
        "qwen2.5-3b": (
            *("Qwen/Qwen2.5-3B", "qwen-research", 1e-6, 151936, 32768),
            *(True, 36, 2048, 16, 2, 11008),
        ),
        "qwen2.5-7b": ("Qwen/Qwen2.5-7B", *LARGE, 131072, *B7),
        "qwen2.5-14b": (
            *("Qwen/Qwen2.5-14B", *LARGER, 131072),
            *(False, 48, 5120, 40, 8, 13824),
        ),
        "qwen2.5-32b": (
            *("Qwen/Qwen2.5-32B", *LARGER, 131072),
            *(False, 64, 5120, 40, 8, 27648),
        ),
        "qwen2.5-72b": (
            *("Qwen/Qwen2.5-72B", "qwen", 1e-5, 152064, 131072, *B72),
        ),
    },
)

QWEN2 = Family(
    name="qwen2",
    model_type="qwen2",
    architecture="Qwen2ForCausalLM",
    constants=CONSTANTS,
    rules=(*HEIR_LIKE, HEAD_DIM, RopeRule(), WINDOW),
    weights=LLAMA_WEIGHTS,
    tokenizer=TOKENIZER,
    chat="qwen2.5",
    fixed={"attention_dropout": 0, "use_mrope": False},
    presets=PRESETS,
)
