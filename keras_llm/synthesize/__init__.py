"""Synthetic data: examples that models make, and noise that keeps a label.

`synthesize` has any model (an address, one of ours, a function) make examples
of documents, instructions or prompts, and keeps the good ones. `augment` makes
more of a few labelled texts. Names are imported on first use.
"""

from keras_llm.lazy import lazy

_FILES = {
    "augmenting": ("augment",),
    "back_translation": ("back_translate",),
    "asked": ("Answer",),
    "examples": ("Example",),
    "generator": ("Generator", "Usage"),
    "noises": ("NOISES",),
    "of_conversations": ("Preferences", "Reflect"),
    "of_documents": ("FromDocuments", "Rephrase"),
    "reading": ("document_parts", "instructions_of", "prompts_of"),
    "running": ("SynthesisReport", "synthesize"),
    "self_instruct": ("Novelty", "SelfInstruct"),
    "settings": ("SynthesisSettings",),
    "tasks": ("Models", "Task"),
}
_NAMES = {name: file for file, names in _FILES.items() for name in names}

__all__ = sorted(_NAMES)
__getattr__ = lazy(__name__, _NAMES)


def __dir__() -> list[str]:
    return __all__
