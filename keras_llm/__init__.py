"""keras_llm: build a language model of your own in Keras, from text to server.

The public page: every exported name once. Heavy modules are imported on first
use, so that `import keras_llm` and `keras-llm --help` do not wait for
TensorFlow.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "BytePairTokenizer": "keras_llm.tokenizers",
    "CausalLM": "keras_llm.causal_lm",
    "DecoderConfig": "keras_llm.config",
    "Experts": "keras_llm.config",
    "ExportError": "keras_llm.errors",
    "GenerationSettings": "keras_llm.sampling",
    "InputError": "keras_llm.errors",
    "Rope": "keras_llm.config",
    "build_decoder": "keras_llm.model",
    "decoder_step": "keras_llm.step",
    "float32_copy": "keras_llm.causal_lm",
    "resize_embedding": "keras_llm.resize",
}

_MODULES = (
    "adapters",
    "classify",
    "compare",
    "data",
    "estimate",
    "evaluate",
    "executors",
    "export",
    "feedback",
    "layers",
    "pruning",
    "quantize",
    "search",
    "synthesize",
    "tokenizers",
    "train",
    "tune",
    "visualize",
    "zoo",
)

__all__ = ["__version__", *_MODULES, *_PUBLIC]


def __getattr__(name: str) -> Any:
    """Imports a public name or subpackage when it is first used."""
    if name in _MODULES:
        return importlib.import_module(f"keras_llm.{name}")
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'keras_llm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
