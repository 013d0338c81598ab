"""Probabilities that mean what they say: one temperature for all logits."""

import dataclasses
from typing import Any

import numpy as np

from keras_llm.classify.encoding import labelled
from keras_llm.errors import InputError
from keras_llm.evaluate.calibration import calibration_error
from keras_llm.evaluate.calibration_report import CalibrationReport
from keras_llm.evaluate.probability_scores import calibration_scores, mean_loss
from keras_llm.evaluate.temperature import least_temperature
from keras_llm.records import Record
from keras_llm.tune import label_ids, label_matrix


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration(Record):
    """What `calibrate` found.

    Attributes:
        temperature: What logits are divided by: above 1 where the classifier
            was too sure of itself.
        examples: How many it was found on.
        loss_before, loss_after: Mean negative log-likelihood, in nats.
        error_before, error_after: `calibration_error`.

    Example:

    >>> "temperature" in Calibration.__dataclass_fields__
    True
    """

    temperature: float
    examples: int
    loss_before: float
    loss_after: float
    error_before: float
    error_after: float


def calibrate(classifier: Any, examples: Any) -> tuple[Any, Calibration]:
    """Returns the classifier with a temperature, and what that changes.

    One number cannot be learned by heart, so the validation set will do; but
    not texts that it was trained on, of which it is too sure.

    Args:
        classifier: A `Classifier`; it stays as it is.
        examples: As `validation` of `sequence`.

    Raises:
        InputError: There is no example, or a label is unknown.

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599.

    Example:

    >>> from keras_llm import BytePairTokenizer, DecoderConfig, build_decoder
    >>> from keras_llm.classify import (Classifier, ClassifierSettings, Ids,
    ...     sequence_model)
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2))
    >>> classifier = Classifier(sequence_model(decoder, 2), tokenizer,
    ...     ClassifierSettings(labels=("a", "b"), ids=Ids(length=16)))
    >>> better, found = calibrate(classifier, [("rose", "a"), ("is", "b")])
    >>> found.loss_after <= found.loss_before
    True
    """
    logits, targets = _logits_and_targets(classifier, examples)
    temperature = best_temperature(logits, targets)
    better = classifier.replace(temperature=temperature)
    before, after = (one.of_logits(logits) for one in (classifier, better))
    return better, Calibration(
        temperature=temperature,
        examples=len(logits),
        loss_before=mean_loss(before, targets),
        loss_after=mean_loss(after, targets),
        error_before=calibration_error(before, targets),
        error_after=calibration_error(after, targets),
    )


def calibration_report(classifier: Any, examples: Any) -> CalibrationReport:
    """Returns how far a classifier's probabilities can be believed.

    Args:
        classifier: A `Classifier`; its temperature is compared with 1.
        examples: Labelled texts that neither the classifier nor its
            temperature was fitted on.

    Raises:
        InputError: There is no example, or a label is unknown.

    Example:

    >>> from keras_llm import BytePairTokenizer, DecoderConfig, build_decoder
    >>> from keras_llm.classify import (Classifier, ClassifierSettings, Ids,
    ...     sequence_model)
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2))
    >>> classifier = Classifier(sequence_model(decoder, 2), tokenizer,
    ...     ClassifierSettings(labels=("a", "b"), ids=Ids(length=16)))
    >>> calibration_report(classifier, [("rose", "a"), ("is", "b")]).raw.items
    2
    """
    logits, targets = _logits_and_targets(classifier, examples)
    raw, calibrated = (
        calibration_scores(one.of_logits(logits), targets)
        for one in (classifier.replace(temperature=1.0), classifier)
    )
    return CalibrationReport(
        title="Calibration of the classifier",
        name="calibration",
        unit="texts",
        raw=raw,
        calibrated=calibrated,
        temperature=classifier.temperature,
    )


def best_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """Returns the temperature with the least negative log-likelihood.

    The loss has one minimum in the temperature: see
    `evaluate.temperature.least_temperature`.

    Args:
        logits: `(texts, labels)`.
        targets: int `(texts,)`, or 0 and 1 `(texts, labels)`.

    Returns:
        A number from 0.02 to 50; an end of the range where the loss has no
        minimum, because all texts are right.

    Example:

    >>> logits = np.array([[2.0, 0.0]] * 4)  # sure of 0.88, right in 3 of 4
    >>> round(best_temperature(logits, np.array([0, 0, 0, 1])), 3)
    1.82
    """
    logits = np.asarray(logits, np.float64)

    def losses(temperatures: np.ndarray) -> np.ndarray:
        return np.array([_loss(logits / t, targets) for t in temperatures])

    return least_temperature(losses)


def _logits_and_targets(
    classifier: Any, examples: Any
) -> tuple[np.ndarray, np.ndarray]:
    examples = labelled(examples)
    if not examples:
        raise InputError(
            "Expected examples to calibrate a classifier. Received: none."
        )
    find = label_matrix if classifier.settings.many else label_ids
    return classifier.logits(examples), find(examples, classifier.labels)


def _loss(logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean negative log-likelihood of logits."""
    if np.ndim(targets) == 2:
        return float(np.mean(np.logaddexp(0.0, logits) - logits * targets))
    top = logits - logits.max(-1, keepdims=True)
    chosen = np.take_along_axis(top, np.asarray(targets)[:, None], -1)[:, 0]
    return float(np.mean(np.log(np.exp(top).sum(-1)) - chosen))
