"""How good probabilities are, in one number or in several."""

import dataclasses

import numpy as np

from keras_llm.evaluate.calibration import BINS, reliability, sure_and_right
from keras_llm.records import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibrationScores(Record):
    """How good probabilities are.

    Attributes:
        items: Texts or tokens.
        accuracy: Share of them whose likeliest answer is right.
        confidence: Mean probability of the likeliest answer.
        loss: Mean negative log-likelihood of the right answer, in nats.
        entropy: Mean entropy, in nats: what the loss would be if the
            probabilities were true.
        brier: `brier_score`.
        expected_error, adaptive_error, maximum_error: `calibration_error`.
        bins: `Reliability.rows` of equal width.

    Example:

    >>> calibration_scores(np.array([[0.9, 0.1]] * 4),
    ...     np.array([0, 0, 0, 1])).accuracy
    0.75
    """

    items: int
    accuracy: float
    confidence: float
    loss: float
    entropy: float
    brier: float
    expected_error: float
    adaptive_error: float
    maximum_error: float
    bins: list[dict[str, float]]


def calibration_scores(
    probabilities: np.ndarray, targets: np.ndarray, bins: int = BINS
) -> CalibrationScores:
    """Returns all scores of calibration at once.

    Args:
        probabilities, targets, bins: As for `calibration_error`.

    Example:

    >>> found = calibration_scores(np.array([[0.5, 0.5]]), np.array([1]))
    >>> round(found.loss, 4) == round(found.entropy, 4) == 0.6931
    True
    """
    sure, right = sure_and_right(probabilities, targets)
    equal_width = reliability(probabilities, targets, bins)
    equal_mass = reliability(probabilities, targets, bins, equal_mass=True)
    return CalibrationScores(
        items=len(sure),
        accuracy=float(right.mean()),
        confidence=float(sure.mean()),
        loss=mean_loss(probabilities, targets),
        entropy=_entropy(probabilities, targets),
        brier=brier_score(probabilities, targets),
        expected_error=equal_width.expected,
        adaptive_error=equal_mass.expected,
        maximum_error=equal_width.maximum,
        bins=equal_width.rows(),
    )


def brier_score(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Returns the mean squared distance of probabilities from the truth.

    For single labels the sum over labels, from 0 to 2, as Brier defined it
    and as the lm-evaluation-harness computes it. For yes and no one term for
    each, from 0 to 1, as scikit-learn's `brier_score_loss`.

    Args:
        probabilities: `(items, labels)`; for yes and no of any shape.
        targets: int `(items,)`; or 0 and 1 in the shape of `probabilities`.

    Source: Brier 1950,
    https://doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    Example:

    >>> round(brier_score(np.array([[0.8, 0.2]]), np.array([0])), 2)
    0.08
    >>> round(brier_score(np.array([0.2]), np.array([0])), 2)
    0.04
    """
    p, truth = np.asarray(probabilities, "float64"), np.asarray(targets)
    if truth.shape == p.shape:
        return float(np.mean((p - truth) ** 2))
    chosen = np.take_along_axis(p, truth[:, None], -1)[:, 0]
    return float(np.mean((p**2).sum(-1) - 2 * chosen + 1))


def mean_loss(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Returns the mean negative log-likelihood of targets, in nats.

    Args:
        probabilities: `(items, labels)`.
        targets: int `(items,)`, or 0 and 1 `(items, labels)`, where it is
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


def _entropy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    p = np.asarray(probabilities, "float64")
    if np.ndim(targets) == 2:
        p = np.stack([1 - p.ravel(), p.ravel()], axis=-1)
    return float(-(p * np.log(np.clip(p, 1e-300, None))).sum(-1).mean())
