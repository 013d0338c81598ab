"""Bias and safety: whom a model and its data favour, insult or refuse.

Every part asks a `Subject` and returns a `Finding`; see docs/bias.md for what
each number means and what it does not show.
"""

from keras_llm.lazy import lazy

_FILES = {
    "corpus": ("CorpusBiasReport", "corpus_bias"),
    "counterfactuals": (
        "CounterfactualReport",
        "TextPair",
        "counterfactual",
    ),
    "crows": ("CrowsReport", "SentencePair", "crows_pairs", "read_crows_pairs"),
    "log_odds": ("weighted_log_odds",),
    "mentions": ("WordLists", "load_words"),
    "questions": ("QuestionReport", "bbq"),
    "refusing": ("ATTACKS", "RefusalReport", "is_refusal", "refusals"),
    "swaps": ("Swap", "Swapped", "load_swaps"),
    "templates": ("TemplateReport", "template_gaps"),
    "terms": ("Terms",),
    "toxic": (
        "BlockList",
        "ToxicityReport",
        "classifier_scorer",
        "toxicity",
    ),
}
_NAMES = {name: file for file, names in _FILES.items() for name in names}

__all__ = sorted(_NAMES)
__getattr__ = lazy(__name__, _NAMES)


def __dir__() -> list[str]:
    return __all__
