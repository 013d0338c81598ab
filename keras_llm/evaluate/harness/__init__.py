"""Benchmarks by the rules of the lm-evaluation-harness, without installing it.

Names are imported on first use, as in `keras_llm.evaluate`.
"""

from keras_llm.lazy import lazy

_FILES = {
    "evaluator": ("evaluate_tasks",),
    "results": ("BenchmarkReport",),
    "scoring": ("METRICS", "Answer", "Metric"),
    "task": ("FewShot", "Task", "TaskGroup"),
    "task_files": ("Selection", "list_tasks", "load_task", "select_tasks"),
}
_NAMES = {name: file for file, names in _FILES.items() for name in names}

__all__ = sorted(_NAMES)
__getattr__ = lazy(__name__, _NAMES)


def __dir__() -> list[str]:
    return __all__
