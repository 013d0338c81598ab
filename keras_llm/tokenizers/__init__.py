"""Tokenizers: one vocabulary, three engines, identical ids.

`BytePairTokenizer` is a Keras layer. `HostTokenizer` is the same without the
layer and without TensorFlow, for data work that should start in no time.
"""

import importlib
from typing import Any

_PUBLIC = {
    "BytePairTokenizer": "bpe",
    "HostTokenizer": "host",
    "IncrementalDecoder": "byte_text",
    "PATTERNS": "pretokenize",
    "Vocabulary": "vocabulary",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used."""
    if name in _PUBLIC:
        module = importlib.import_module(f"{__name__}.{_PUBLIC[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
