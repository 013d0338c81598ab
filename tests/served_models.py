"""Tiny language models to export, and their exports, for two test files."""

import dataclasses
import functools

from contract import CONFIGS, decoder

from keras_llm.causal_lm import CausalLM
from keras_llm.sampling import GenerationSettings
from keras_llm.tokenizers import BytePairTokenizer

NEW_TOKENS = 12
PROMPTS = ["", "a rose", "🙂 naïve 日本語", "the king who was upon a time " * 2]


@functools.cache
def tokenizer(bos: str | None = "<|endoftext|>") -> BytePairTokenizer:
    text = "a rose is a rose, the king who was upon a time said: naïve 日本 🙂"
    return BytePairTokenizer.train([text] * 3, 290, bos=bos, progress=False)


def language_model(
    family: str,
    dtype: str = "float32",
    bos: str | None = "<|endoftext|>",
    num_layers: int = 3,
    **settings,
) -> CausalLM:
    config = dataclasses.replace(
        CONFIGS[family],
        num_layers=num_layers,
        vocabulary_size=tokenizer(bos).vocabulary_size,
        context_length=64,
    )
    return CausalLM(
        decoder(config, dtype), tokenizer(bos), GenerationSettings(**settings)
    )
