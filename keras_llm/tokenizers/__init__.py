"""Tokenizers: one vocabulary, three engines, identical ids.

`BytePairTokenizer` is a Keras layer. `HostTokenizer` is the same without the
layer and without TensorFlow, for data work that should start in no time.
"""

from typing import Any

from keras_llm.tokenizers.byte_text import IncrementalDecoder
from keras_llm.tokenizers.host import HostTokenizer
from keras_llm.tokenizers.pretokenize import PATTERNS
from keras_llm.tokenizers.vocabulary import Vocabulary

__all__ = [
    "PATTERNS",
    "BytePairTokenizer",
    "HostTokenizer",
    "IncrementalDecoder",
    "Vocabulary",
]


def __getattr__(name: str) -> Any:
    """Imports the layer when it is first used: it brings TensorFlow."""
    if name == "BytePairTokenizer":
        from keras_llm.tokenizers.bpe import BytePairTokenizer

        return BytePairTokenizer
    raise AttributeError(f"{__name__} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
