"""Personal data in texts: found by rule and check digit, replaced, counted."""

from keras_llm.data.personal.detectors import KINDS
from keras_llm.data.personal.findings import Detector, Span
from keras_llm.data.personal.replacing import privacy

__all__ = ["KINDS", "Detector", "Span", "privacy"]
