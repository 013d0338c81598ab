"""Feedback: what people say of a model's answers, kept to train on.

A `FeedbackStore` is one SQLite file with answers, thumbs, corrections,
choices between two answers, and labels of texts; it writes them as the JSON
lines that preference, instruction and classifier tuning read. `rank` says
which texts are most worth a label (active learning), `drift` how far live
prompts have moved away from the texts a model was trained on.
"""

from keras_llm.feedback.active import (
    bald,
    entropy,
    k_center,
    least_confidence,
    margin,
    rank,
)
from keras_llm.feedback.answer import Answer
from keras_llm.feedback.drift import DriftReport, drift
from keras_llm.feedback.shift import Shift, shift
from keras_llm.feedback.simulation import Simulation, simulate
from keras_llm.feedback.store import FeedbackStore
from keras_llm.feedback.texts import read_texts

__all__ = [
    "Answer",
    "DriftReport",
    "FeedbackStore",
    "Shift",
    "Simulation",
    "bald",
    "drift",
    "entropy",
    "k_center",
    "least_confidence",
    "margin",
    "rank",
    "read_texts",
    "shift",
    "simulate",
]
