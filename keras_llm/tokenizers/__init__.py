"""Tokenizers: one interface for three algorithms, on the host and in graphs.

`BytePairTokenizer`, `SentencePieceTokenizer` and `WordPieceTokenizer` are
Keras layers; `load` finds out which one a file is for. `HostTokenizer` is
byte-level BPE without the layer and without TensorFlow, for data work that
should start in no time; `load_host` finds out the same for it.
"""

import importlib
from typing import Any

from keras_llm.tokenizers.added import AddedToken
from keras_llm.tokenizers.base import Tokenizer
from keras_llm.tokenizers.byte_text import IncrementalDecoder
from keras_llm.tokenizers.host import HostTokenizer
from keras_llm.tokenizers.loading import load, load_host
from keras_llm.tokenizers.pretokenize import PATTERNS
from keras_llm.tokenizers.vocabulary import Vocabulary

_LAYERS = {
    "BytePairTokenizer": "bpe",
    "SentencePieceTokenizer": "sentence_piece",
    "TokenizerLayer": "layer",
    "WordPieceTokenizer": "word_piece",
}

__all__ = [
    "PATTERNS",
    "AddedToken",
    "BytePairTokenizer",
    "HostTokenizer",
    "IncrementalDecoder",
    "SentencePieceTokenizer",
    "Tokenizer",
    "TokenizerLayer",
    "Vocabulary",
    "WordPieceTokenizer",
    "load",
    "load_host",
]


def __getattr__(name: str) -> Any:
    """Imports a layer when it is first used: it brings TensorFlow."""
    if name in _LAYERS:
        module = importlib.import_module(f"{__name__}.{_LAYERS[name]}")
        return getattr(module, name)
    raise AttributeError(f"{__name__} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
