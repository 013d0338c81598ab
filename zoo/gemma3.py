"""Gemma 3, text only: five layers with a window to one without, two bases.

Sources: `Gemma3TextConfig` and `modeling_gemma3.py` of `transformers` 5.23;
Gemma 3, https://arxiv.org/abs/2503.19786; sizes from the config.json files at
https://huggingface.co/google/gemma-3-270m and gemma-3-1b-pt, and from the
`text_config` in those of gemma-3-4b-pt, gemma-3-12b-pt and gemma-3-27b-pt.
"""

from keras_llm.config import Rope
from keras_llm.weights import WeightTable
from keras_llm.zoo.common import COPIES, QK_NORMS, WindowRule, sizes
from keras_llm.zoo.family import Family, Larger, Setting
from keras_llm.zoo.gemma import (
    COLUMNS,
    CONSTANTS,
    FIXED,
    GEMMA_LIKE,
    HEADS,
    SENTENCE_PIECE,
    SHARED,
)
from keras_llm.zoo.gemma2 import ROWS
from keras_llm.zoo.rope import RopeRule
from keras_llm.zoo.scales import QueryScale

DIFFERENCES = {**CONSTANTS, "post_norm": "sandwich", "qk_norm": "head"}
ROPE = Rope(theta=1e6, local_theta=1e4)
LONG_ROPE = Rope(theta=1e6, local_theta=1e4, scaling="linear", factor=8.0)

GEMMA3 = Family(
    name="gemma3",
    model_type="gemma3_text",
    architecture="Gemma3ForCausalLM",
    constants=DIFFERENCES,
    rules=(
        *GEMMA_LIKE,
        *HEADS,
        RopeRule(theta=1e6, local_theta=1e4),
        WindowRule("LLLLLG", window=4096),
        QueryScale(),
        Setting("final_logit_softcapping", "final_softcap", default=None),
    ),
    weights=WeightTable(
        prefix="model.",
        rows=(*ROWS, *QK_NORMS),
        copies=COPIES,
        renamed=(
            ("language_model.model.", "model."),
            ("language_model.lm_head.", "lm_head."),
            ("model.language_model.", "model."),
            ("model.vision_tower.", "vision_tower."),
            ("model.multi_modal_projector.", "multi_modal_projector."),
        ),
        others=("vision_tower.", "multi_modal_projector."),
    ),
    # The sizes from 4B on also see.
    larger=Larger(
        name="gemma3",
        key="text_config",
        unused=(
            *("vision_config", "mm_tokens_per_image", "boi_token_index"),
            *("eoi_token_index", "image_token_index"),
        ),
        fixed={"tie_word_embeddings": True},
        defaults={
            "model_type": "gemma3_text",
            "vocab_size": 262208,
            "max_position_embeddings": 131072,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
        },
    ),
    tokenizer=SENTENCE_PIECE,
    chat="gemma3",
    # attn_logit_softcapping: written, but not applied by `transformers`.
    unused=("cache_implementation",),
    fixed={
        **FIXED,
        "attn_logit_softcapping": None,
        "use_bidirectional_attention": False,
        "sliding_window_pattern": 6,
        "_sliding_window_pattern": 6,
    },
    presets=sizes(
        {
            **SHARED,
            **DIFFERENCES,
            "vocabulary_size": 262144,
            "pattern": "LLLLLG",
        },
        (
            *(*COLUMNS, "attention_scale"),
            *("window", "context_length", "rope"),
        ),
        {
            "gemma-3-270m": (
                *("google/gemma-3-270m", 18, 640, 640**0.5),
                *(4, 1, 256, 2048, None, 512, 32768, ROPE),
            ),
            "gemma-3-1b": (
                *("google/gemma-3-1b-pt", 26, 1152, 1152**0.5),
                *(4, 1, 256, 6912, None, 512, 32768, ROPE),
            ),
        },
        license="gemma",
    )
    # The text part of models that also see: 64 more token ids, for images.
    # Of them and of the 1B no copy of a file was at hand: counts are compared.
    | sizes(
        {
            **SHARED,
            **DIFFERENCES,
            "vocabulary_size": 262208,
            "context_length": 131072,
            "pattern": "LLLLLG",
            "window": 1024,
            "rope": LONG_ROPE,
        },
        (*COLUMNS, "attention_scale"),
        {
            "gemma-3-4b": (
                *("google/gemma-3-4b-pt", 34, 2560, 2560**0.5),
                *(8, 4, 256, 10240, None),
            ),
            "gemma-3-12b": (
                *("google/gemma-3-12b-pt", 48, 3840, 3840**0.5),
                *(16, 8, 256, 15360, None),
            ),
            "gemma-3-27b": (
                *("google/gemma-3-27b-pt", 62, 5376, 5376**0.5),
                *(32, 16, 128, 21504, 168**-0.5),
            ),
        },
        license="gemma",
    ),
)
