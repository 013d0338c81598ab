"""What a corpus is made of: statistics, balance, a datasheet, Croissant."""

from keras_llm.lazy import lazy

_FILES = {
    "answers": ("Answers", "answers_template", "load_answers"),
    "balance": ("balance_warnings",),
    "describing": ("describe_corpus",),
    "description": ("CorpusDescription",),
    "funnel": ("CurationFunnel", "read_funnel"),
    "json_ld": ("croissant",),
    "readability": ("reading_ease", "school_grade", "syllables"),
    "sheet": ("datasheet", "open_questions"),
    "written": ("WrittenDescription", "write_description"),
}
_NAMES = {name: file for file, names in _FILES.items() for name in names}

__all__ = sorted(_NAMES)
__getattr__ = lazy(__name__, _NAMES)


def __dir__() -> list[str]:
    return __all__
