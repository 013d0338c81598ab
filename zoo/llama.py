"""Llama's architecture: the one that `DecoderConfig`'s defaults describe.

Llama 1 to 3.3, TinyLlama, SmolLM2 and all else whose model_type is "llama".

Sources: `LlamaConfig` and `modeling_llama.py` of `transformers` 5.23; sizes
from the config.json files at https://huggingface.co/meta-llama, TinyLlama and
HuggingFaceTB, of Llama 1 from table 2 of Touvron et al. 2023,
https://arxiv.org/abs/2302.13971, and the conversion script of `transformers`.
"""

import dataclasses

from keras_llm.config import Rope
from keras_llm.zoo.common import (
    FREQUENCIES,
    LLAMA_LIKE,
    LLAMA_WEIGHTS,
    SHAPE,
    UNTIED,
    sizes,
)
from keras_llm.zoo.family import Family, Setting, TokenizerRule
from keras_llm.zoo.rope import RopeRule

BIASES = {False: "none", True: "all"}
RULES = (
    *LLAMA_LIKE,
    Setting(
        "hidden_act",
        "mlp",
        default="silu",
        values={"silu": "swiglu", "gelu_pytorch_tanh": "geglu"},
    ),
    # They must agree: we have biases everywhere or nowhere.
    Setting("attention_bias", "bias", default=False, values=BIASES),
    Setting("mlp_bias", "bias", default=False, values=BIASES),
    UNTIED,
    RopeRule(),
)


def stretched(factor: float) -> Rope:
    """Llama 3's rotary positions, for a context longer than the first 8192."""
    return Rope(
        theta=5e5, scaling="llama3", factor=factor, original_context=8192
    )


COLUMNS = (
    *("license", "vocabulary_size", "context_length", "tie_embeddings"),
    *("rope", "norm_eps", *SHAPE),
)
# Llama 1's was not for commerce: granted by Meta on request. No copy of its
# config.json, nor of Llama 3.1 70B's and 405B's, was at hand to compare with.
FIRST = ("other", 32000, 2048, False, Rope(), 1e-6)
FIRST_65B = (*FIRST[:-1], 1e-5)
SECOND = ("llama2", 32000, 4096, False, Rope(), 1e-5)
THIRD = ("llama3", 128256, 8192, False, Rope(theta=5e5), 1e-5)
LONG = ("llama3.1", 128256, 131072, False, stretched(8.0), 1e-5)
SMALL = ("llama3.2", 128256, 131072, True, stretched(32.0), 1e-5)
TINY = ("apache-2.0", 32000, 2048, False, Rope(), 1e-5)
SMOL = ("apache-2.0", 49152, 8192, True, Rope(theta=1e5), 1e-5)
SMOL_2B = ("apache-2.0", 49152, 8192, True, Rope(theta=1.3e5), 1e-5)
B8, B70 = (32, 4096, 32, 8, 14336), (80, 8192, 64, 8, 28672)
B7, B13 = (32, 4096, 32, 32, 11008), (40, 5120, 40, 40, 13824)
ROWS = {
    "llama-1-7b": ("huggyllama/llama-7b", *FIRST, *B7),
    "llama-1-13b": ("huggyllama/llama-13b", *FIRST, *B13),
    "llama-1-30b": (
        *("huggyllama/llama-30b", *FIRST, 60, 6656, 52, 52, 17920),
    ),
    "llama-1-65b": (
        *("huggyllama/llama-65b", *FIRST_65B, 80, 8192, 64, 64, 22016),
    ),
    "llama-2-7b": ("meta-llama/Llama-2-7b-hf", *SECOND, *B7),
    "llama-2-13b": ("meta-llama/Llama-2-13b-hf", *SECOND, *B13),
    "llama-2-70b": ("meta-llama/Llama-2-70b-hf", *SECOND, *B70),
    "llama-3-8b": ("meta-llama/Meta-Llama-3-8B", *THIRD, *B8),
    "llama-3-70b": ("meta-llama/Meta-Llama-3-70B", *THIRD, *B70),
    "llama-3.1-8b": ("meta-llama/Llama-3.1-8B", *LONG, *B8),
    "llama-3.1-70b": ("meta-llama/Llama-3.1-70B", *LONG, *B70),
    "llama-3.1-405b": (
        *("meta-llama/Llama-3.1-405B", *LONG, 126, 16384, 128, 8, 53248),
    ),
    "llama-3.2-1b": (
        *("meta-llama/Llama-3.2-1B", *SMALL, 16, 2048, 32, 8, 8192),
    ),
    "llama-3.2-3b": (
        *("meta-llama/Llama-3.2-3B", *SMALL, 28, 3072, 24, 8, 8192),
    ),
    "tinyllama-1.1b": (
        "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T",
        *(*TINY, 22, 2048, 32, 4, 5632),
    ),
    "smollm2-135m": (
        *("HuggingFaceTB/SmolLM2-135M", *SMOL, 30, 576, 9, 3, 1536),
    ),
    "smollm2-360m": (
        *("HuggingFaceTB/SmolLM2-360M", *SMOL, 32, 960, 15, 5, 2560),
    ),
    "smollm2-1.7b": (
        *("HuggingFaceTB/SmolLM2-1.7B", *SMOL_2B, 24, 2048, 32, 32, 8192),
    ),
}
TALKING = {
    "llama-3.3-70b": (
        *("meta-llama/Llama-3.3-70B-Instruct", "llama3.3", *LONG[1:], *B70),
    ),
}
PRESETS = {
    **sizes({}, COLUMNS, ROWS),
    **sizes({}, COLUMNS, TALKING, chat="llama3.1"),
}

LLAMA = Family(
    name="llama",
    model_type="llama",
    architecture="LlamaForCausalLM",
    constants={"norm": "rms"},
    rules=RULES,
    weights=dataclasses.replace(LLAMA_WEIGHTS, ignored=FREQUENCIES),
    tokenizer=TokenizerRule(
        pattern="llama3", bos="<|begin_of_text|>", eos="<|end_of_text|>"
    ),
    chat="llama3",
    # pretraining_tp: how sums were split, not what they are; is_llama_config:
    # a mark of the tool that converted SmolLM2; max_sequence_length: beside
    # max_position_embeddings in Llama 1's files.
    unused=("pretraining_tp", "is_llama_config", "max_sequence_length"),
    fixed={"attention_dropout": 0, "rope_interleaved": False},
    presets=PRESETS,
)
