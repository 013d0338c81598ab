"""Probabilities that mean what they say: one temperature for all logits."""

import dataclasses
from typing import Any

import numpy as np

from keras_llm.classify.encoding import labelled
from keras_llm.errors import InputError
from keras_llm.records import Record
from keras_llm.tune import label_ids, label_matrix

BINS = 15
RANGE = (0.02, 50.0)  # temperatures that are searched
STEPS = 60  # of golden section: 1e-12 of the range
_GOLDEN = (5**0.5 - 1) / 2


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
    examples = labelled(examples)
    if not examples:
        raise InputError(
            "Expected examples to find a temperature on. Received: none."
        )
    find = label_matrix if classifier.settings.many else label_ids
    targets = find(examples, classifier.labels)
    logits = classifier.logits(examples)
    temperature = best_temperature(logits, targets)
    better = classifier.replace(temperature=temperature)
    before, after = (one.of_logits(logits) for one in (classifier, better))
    return better, Calibration(
        temperature=temperature,
        examples=len(examples),
        loss_before=mean_loss(before, targets),
        loss_after=mean_loss(after, targets),
        error_before=calibration_error(before, targets),
        error_after=calibration_error(after, targets),
    )


def best_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """Returns the temperature with the least negative log-likelihood.

    The loss has one minimum in the temperature (it is convex in its
    inverse), which golden-section search finds.

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

    def loss(log_temperature: float) -> float:
        return _loss(logits * np.exp(-log_temperature), targets)

    low, high = map(float, np.log(RANGE))
    for _ in range(STEPS):
        width = _GOLDEN * (high - low)
        if loss(high - width) <= loss(low + width):
            high = low + width
        else:
            low = high - width
    return float(np.exp((low + high) / 2))


def _loss(logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean negative log-likelihood of logits."""
    if np.ndim(targets) == 2:
        return float(np.mean(np.logaddexp(0.0, logits) - logits * targets))
    top = logits - logits.max(-1, keepdims=True)
    chosen = np.take_along_axis(top, np.asarray(targets)[:, None], -1)[:, 0]
    return float(np.mean(np.log(np.exp(top).sum(-1)) - chosen))


def mean_loss(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Returns the mean negative log-likelihood of targets, in nats.

    Args:
        probabilities: `(texts, labels)`.
        targets: int `(texts,)`, or 0 and 1 `(texts, labels)`, where it is
            the mean over all labels.

    Example:

    >>> round(mean_loss(np.array([[0.5, 0.5]]), np.array([1])), 4)
    0.6931
    """
    p = np.clip(np.asarray(probabilities, np.float64), 1e-12, 1 - 1e-12)
    if np.ndim(targets) == 2:
        logs = np.where(np.asarray(targets) > 0.5, np.log(p), np.log1p(-p))
        return float(-logs.mean())
    chosen = np.take_along_axis(p, np.asarray(targets)[:, None], -1)
    return float(-np.log(chosen).mean())


def calibration_error(
    probabilities: np.ndarray, targets: np.ndarray, bins: int = BINS
) -> float:
    """Returns how far confidence and accuracy are apart, from 0 to 1 (ECE).

    Texts are put into bins of equal width by how sure the classifier is; the
    mean over texts of how far the bin's accuracy is from its confidence.
    With many labels each yes or no counts as a text.

    Args:
        probabilities: `(texts, labels)`.
        targets: int `(texts,)`, or 0 and 1 `(texts, labels)`.
        bins: Default: 15, as in the paper.

    Source: Naeini et al. 2015; Guo et al. 2017,
    https://arxiv.org/abs/1706.04599.

    Example:

    >>> round(calibration_error(np.array([[0.9, 0.1]] * 4),
    ...     np.array([0, 0, 0, 1])), 2)  # says 0.9, is right in 0.75
    0.15
    """
    p = np.asarray(probabilities, np.float64)
    if np.ndim(targets) == 2:
        p = np.stack([1 - p.ravel(), p.ravel()], axis=-1)
        targets = np.ravel(targets).astype(int)
    sure, right = p.max(-1), p.argmax(-1) == targets
    places = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = np.bincount(places, weights=sure - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(sure))
