"""Evaluation: is the model good on text it has never seen."""

from keras_llm.evaluate.bits import (
    BitsReport,
    bits_per_byte,
    rolling_windows,
    unigram_bits,
    xz_bits,
)
from keras_llm.evaluate.experts import expert_load
from keras_llm.evaluate.report import markdown_table, plot_loss
from keras_llm.evaluate.rouge import rouge

__all__ = [
    "BitsReport",
    "bits_per_byte",
    "expert_load",
    "markdown_table",
    "plot_loss",
    "rolling_windows",
    "rouge",
    "unigram_bits",
    "xz_bits",
]
