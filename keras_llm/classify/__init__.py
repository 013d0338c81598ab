"""Classification of texts and labels of words, on any decoder.

A language model that has read much needs few labelled examples: its layers
are kept, and a head to the labels takes the place of that to the vocabulary.
"""

from keras_llm.classify.calibration import (
    Calibration,
    calibrate,
    calibration_report,
)
from keras_llm.classify.classifier import Classifier
from keras_llm.classify.curve import plot_curve
from keras_llm.classify.metrics import classification_report, evaluate
from keras_llm.classify.model import (
    ClassifierModel,
    sequence_model,
    token_model,
)
from keras_llm.classify.objectives import ManyLabels, OneLabel
from keras_llm.classify.pooling import Pooling
from keras_llm.classify.settings import (
    ClassifierSettings,
    Ids,
    TaggerSettings,
)
from keras_llm.classify.span_report import SpanReport, span_report
from keras_llm.classify.spans import Span, span_scores, spans_of
from keras_llm.classify.tagger import Tagger, evaluate_tags, tagger_report
from keras_llm.classify.tagging import tokens
from keras_llm.classify.thresholds import choose_threshold
from keras_llm.classify.training import sequence
from keras_llm.evaluate.calibration import calibration_error
from keras_llm.evaluate.label_counts import label_scores as scores

__all__ = [
    "Calibration",
    "Classifier",
    "ClassifierModel",
    "ClassifierSettings",
    "Ids",
    "ManyLabels",
    "OneLabel",
    "Pooling",
    "Span",
    "SpanReport",
    "Tagger",
    "TaggerSettings",
    "calibrate",
    "calibration_error",
    "calibration_report",
    "choose_threshold",
    "classification_report",
    "evaluate",
    "evaluate_tags",
    "plot_curve",
    "scores",
    "sequence",
    "sequence_model",
    "span_report",
    "span_scores",
    "spans_of",
    "tagger_report",
    "token_model",
    "tokens",
]
