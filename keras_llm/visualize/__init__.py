"""Pictures of a model at work: one call, one matplotlib figure.

The functions take any Keras model from tokens to logits, or a `CausalLM`, with
a text or with ids. Each picture has a function beside it that returns its
numbers.
"""

from keras_llm.lazy import lazy

_FILES = {
    "attention": ("attention_figure", "attention_weights"),
    "lens": ("LensLayer", "logit_lens", "logit_lens_figure"),
    "losses": ("token_loss_figure", "token_losses"),
    "neighbours": (
        "embedding_neighbours",
        "export_projector",
        "neighbours_figure",
    ),
    "observing": ("Call", "observe"),
}
_NAMES = {name: file for file, names in _FILES.items() for name in names}

__all__ = sorted(_NAMES)
__getattr__ = lazy(__name__, _NAMES)


def __dir__() -> list[str]:
    return __all__
