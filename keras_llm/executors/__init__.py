"""Executors: a function over tasks, here, in processes, or on a cluster."""

from keras_llm.executors.executor import Executor, Inline
from keras_llm.executors.markers import done_once, is_done

__all__ = ["Executor", "Inline", "done_once", "is_done"]
