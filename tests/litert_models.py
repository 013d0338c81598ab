"""Tiny models with a tokenizer, for the tests of LiteRT."""

import functools
from pathlib import Path

from contract import CONFIGS, decoder

from keras_llm import CausalLM
from keras_llm.export import _worker, litert_convert, litert_graph
from keras_llm.model import Decoder
from keras_llm.tokenizers import BytePairTokenizer

CORPUS = [
    "The quick brown fox jumps over the lazy dog. Ein schöner Tag, 日本語."
]
CONTEXT = 64


@functools.cache
def tokenizer() -> BytePairTokenizer:
    return BytePairTokenizer.train(CORPUS * 3, 300, progress=False)


@functools.cache
def language_model(family: str) -> CausalLM:
    """A tiny model of a family whose every weight matters."""
    config = CONFIGS[family].replace(
        vocabulary_size=tokenizer().vocabulary_size, context_length=CONTEXT
    )
    return CausalLM(decoder(config), tokenizer())


def convert_growing(model: Decoder, path: Path) -> dict:
    """Writes a `.tflite` with a cache that grows; returns its signatures."""
    signatures = litert_graph.expected_signatures(model.config, (None,), None)
    litert_convert.convert(model, signatures, path)
    return signatures


def runtime(path, prompt: str, new_tokens: int, chat: bool = False) -> str:
    """The text of the stock LiteRT-LM runtime."""
    return _worker.run(
        "litert_bundle:answer",
        path=path,
        prompt=prompt,
        new_tokens=new_tokens,
        chat=chat,
    )
