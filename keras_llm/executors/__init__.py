"""Executors: a function over tasks, here, in processes, or on a cluster."""

from keras_llm.executors.executor import Executor, Inline
from keras_llm.executors.local_processes import Local
from keras_llm.executors.markers import done_once, is_done
from keras_llm.executors.opening import ENGINES, open_executor, processors

__all__ = [
    "ENGINES",
    "Executor",
    "Inline",
    "Local",
    "done_once",
    "is_done",
    "open_executor",
    "processors",
]
