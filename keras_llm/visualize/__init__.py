"""Pictures of models, texts and runs: one call, one matplotlib figure.

What shows a model at work takes any Keras model from tokens to logits, or a
`CausalLM`, with a text or with ids; what shows a plan takes a config or
settings. Each picture has a function beside it that returns its numbers.
"""

from keras_llm.lazy import lazy

_FILES = {
    "attention": ("attention_figure", "attention_weights"),
    "cache_lines": ("cache_figure", "cache_sizes"),
    "event_files": ("log_figure",),
    "expert_map": ("expert_imbalance", "expert_load_figure"),
    "lens": ("LensLayer", "logit_lens", "logit_lens_figure"),
    "losses": ("token_loss_figure", "token_losses"),
    "mask_map": ("mask_figure", "row_mask"),
    "memory_bars": ("Serving", "memory_figure", "memory_parts"),
    "merges": ("Merge", "merge_steps", "merge_tree_figure"),
    "neighbours": (
        "embedding_neighbours",
        "export_projector",
        "neighbours_figure",
    ),
    "observing": ("Call", "observe"),
    "quantization_map": (
        "QuantizationError",
        "quantization_errors",
        "quantization_figure",
    ),
    "rotary_lines": ("rotary_figure", "rotary_speeds"),
    "run_curves": (
        "Sample",
        "run_samples",
        "training_curves",
        "training_figure",
    ),
    "sampling_bars": (
        "SamplingStage",
        "sampling_figure",
        "sampling_stages",
    ),
    "schedule_lines": ("schedule_figure", "schedule_rates"),
    "token_boxes": ("Token", "text_tokens", "token_figure"),
}
_NAMES = {name: file for file, names in _FILES.items() for name in names}

__all__ = sorted(_NAMES)
__getattr__ = lazy(__name__, _NAMES)


def __dir__() -> list[str]:
    return __all__
