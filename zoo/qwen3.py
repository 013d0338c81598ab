"""Qwen3: Llama with normalized queries and keys, and heads of 128.

Sources: `Qwen3Config` and `modeling_qwen3.py` of `transformers` 5.23; Yang et
al. 2025, https://arxiv.org/abs/2505.09388; sizes from the config.json files
at https://huggingface.co/Qwen. The context length is that of the published
models, which are tuned for talking; those called Base say 32768.
"""

from keras_llm.config import Rope
from keras_llm.weights import WeightTable
from keras_llm.zoo.common import (
    COPIES,
    HEIR_LIKE,
    LLAMA_ROWS,
    QK_NORMS,
    SHAPE,
    sizes,
)
from keras_llm.zoo.family import Family, Setting
from keras_llm.zoo.qwen2 import TOKENIZER, WINDOW
from keras_llm.zoo.rope import RopeRule

CONSTANTS = {"qk_norm": "head"}
HEIR_OF_128 = (*HEIR_LIKE, Setting("head_dim", "head_dim", default=128))
SHARED = {
    **CONSTANTS,
    "vocabulary_size": 151936,
    "context_length": 40960,
    "head_dim": 128,
    "norm_eps": 1e-6,
    "rope": Rope(theta=1e6),
}

PRESETS = sizes(
    SHARED,
    ("tie_embeddings", *SHAPE),
    {
        "qwen3-0.6b": ("Qwen/Qwen3-0.6B", True, 28, 1024, 16, 8, 3072),
        "qwen3-1.7b": ("Qwen/Qwen3-1.7B", True, 28, 2048, 16, 8, 6144),
        "qwen3-4b": ("Qwen/Qwen3-4B", True, 36, 2560, 32, 8, 9728),
        "qwen3-8b": ("Qwen/Qwen3-8B", False, 36, 4096, 32, 8, 12288),
        "qwen3-14b": ("Qwen/Qwen3-14B", False, 40, 5120, 40, 8, 17408),
        "qwen3-32b": ("Qwen/Qwen3-32B", False, 64, 5120, 64, 8, 25600),
    },
    license="apache-2.0",
    chat="qwen3",
)

QWEN3 = Family(
    name="qwen3",
    model_type="qwen3",
    architecture="Qwen3ForCausalLM",
    constants=CONSTANTS,
    rules=(*HEIR_OF_128, RopeRule(), WINDOW),
    weights=WeightTable(
        prefix="model.", rows=(*LLAMA_ROWS, *QK_NORMS), copies=COPIES
    ),
    tokenizer=TOKENIZER,
    chat="qwen3",
    fixed={"attention_bias": False, "attention_dropout": 0},
    presets=PRESETS,
)
