"""Comparing models, whatever they are made of.

`open_subject` makes of a run, a folder, an artifact or an address something
that the evaluation can ask. Names are imported on first use.
"""

from keras_llm.lazy import lazy

_FILES = {
    "comparison_report": ("ComparisonReport",),
    "endpoint_subject": ("EndpointSubject",),
    "grade_report": ("GradeReport",),
    "judge_report": ("JudgeReport",),
    "judging": ("grade", "judge", "judge_all"),
    "litert_subject": ("LitertSubject",),
    "opening": ("open_subject",),
    "pairs": ("Difference", "ItemScores", "compare_pairs"),
    "ratings": ("bradley_terry", "elo"),
    "saved_model_subject": ("SavedModelSubject",),
    "transformers_subject": ("Seq2SeqSubject", "TransformersSubject"),
    "versus": ("compare",),
}
_NAMES = {name: file for file, names in _FILES.items() for name in names}

__all__ = sorted(_NAMES)
__getattr__ = lazy(__name__, _NAMES)


def __dir__() -> list[str]:
    return __all__
