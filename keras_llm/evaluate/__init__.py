"""Evaluation: is the model good, is it honest, is it fair.

Names are imported on first use: metrics, filters and reports need neither
Keras nor TensorFlow.
"""

from keras_llm.lazy import lazy

_FILES = {
    "answers": ("exact_match", "normalize_answer", "token_f1"),
    "bits": (
        "BitsReport",
        "bits_per_byte",
        "unigram_bits",
        "xz_bits",
    ),
    "diversity": (
        "distinct_n",
        "repetition_rate",
        "repetition_rates",
        "self_bleu",
    ),
    "generation": (
        "GenerationReport",
        "Scored",
        "generation_metrics",
        "generation_scores",
    ),
    "overlap": ("Overlap", "bleu", "chrf", "sentence_scores", "ter"),
    "corrections": ("holm",),
    "experts": ("expert_load",),
    "finding": (
        "Code",
        "Finding",
        "HeatMap",
        "Measure",
        "Picture",
        "Table",
        "Title",
        "Words",
    ),
    "error_report": ("ErrorReport",),
    "group_tests": ("GroupResult", "compare_groups"),
    "grouping": (
        "EvaluatedItem",
        "Group",
        "count_words",
        "embedding_groups",
        "item_groups",
    ),
    "mistakes": ("find_mistakes",),
    "pairs_rule": (
        "encode_pair",
        "fit_prompt",
        "move_spaces",
        "pair_window",
        "rolling_windows",
    ),
    "gate": (
        "Failure",
        "Gate",
        "baseline_gates",
        "check_gates",
        "parse_gate",
    ),
    "report": ("markdown_table", "plot_loss"),
    "rouge_scores": ("rouge", "rouge_each"),
    "statistics": (
        "Interval",
        "Paired",
        "bootstrap",
        "paired",
        "standard_error",
    ),
    "subject": (
        "Continuation",
        "Likelihood",
        "Prompt",
        "ScoredTokens",
        "Subject",
    ),
}
_NAMES = {name: file for file, names in _FILES.items() for name in names}

__all__ = sorted(_NAMES)
__getattr__ = lazy(__name__, _NAMES)


def __dir__() -> list[str]:
    return __all__
