"""Mistral: Llama with a window, in its first version only, and wide heads.

Sources: `MistralConfig` and `modeling_mistral.py` of `transformers` 5.23;
Jiang et al. 2023, https://arxiv.org/abs/2310.06825; sizes from the
config.json files at https://huggingface.co/mistralai.
"""

from keras_llm.config import LOCAL, Rope
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

# SentencePiece up to 7B v0.3 and Small 22B; Nemo and Small 24B have byte
# pairs in their tokenizer.json.
TOKENIZER = TokenizerRule(pattern=None, bos="<s>", eos="</s>")
SHARED = {"head_dim": 128, "tie_embeddings": False}
COLUMNS = ("vocabulary_size", "context_length", *SHAPE, "rope")
FURTHER = (*COLUMNS, "license", "chat")
B7 = (32768, 32, 4096, 32, 8, 14336)
OPEN, FAST = ("apache-2.0", None), Rope(theta=1e6)

PRESETS = {
    **sizes(
        {**SHARED, "pattern": LOCAL, "window": 4096},
        COLUMNS,
        {"mistral-7b-v0.1": ("mistralai/Mistral-7B-v0.1", 32000, *B7, Rope())},
        license="apache-2.0",
    ),
    **sizes(
        SHARED,
        FURTHER,
        {
            "mistral-7b-v0.2": (
                "mistralai/Mistral-7B-Instruct-v0.2",
                *(32000, *B7, FAST, "apache-2.0", "mistral_v1"),
            ),
            "mistral-7b-v0.3": (
                *("mistralai/Mistral-7B-v0.3", 32768, *B7, FAST, *OPEN),
            ),
            "mistral-nemo-12b": (
                "mistralai/Mistral-Nemo-Base-2407",
                *(131072, 128000, 40, 5120, 32, 8, 14336, FAST, *OPEN),
            ),
            # No copies of the next two files were at hand: counts are compared.
            "mistral-small-22b": (
                "mistralai/Mistral-Small-Instruct-2409",
                *(32768, 32768, 56, 6144, 48, 8, 16384, FAST),
                *("mrl", "mistral_v3"),
            ),
            "mistral-small-24b": (
                "mistralai/Mistral-Small-24B-Base-2501",
                *(131072, 32768, 40, 5120, 32, 8, 32768),
                *(Rope(theta=1e8), *OPEN),
            ),
        },
    ),
}

MISTRAL = Family(
    name="mistral",
    model_type="mistral",
    architecture="MistralForCausalLM",
    constants={},
    rules=(
        *HEIR_LIKE,
        HEAD_DIM,
        RopeRule(),
        WindowRule(listed=False, window=4096),
    ),
    weights=LLAMA_WEIGHTS,
    tokenizer=TOKENIZER,
    chat="mistral_v3",
    fixed={"attention_dropout": 0},
    presets=PRESETS,
)
