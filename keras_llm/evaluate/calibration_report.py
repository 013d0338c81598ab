"""What a temperature changes: probabilities raw and calibrated."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_llm.evaluate.calibration import reliability_figure
from keras_llm.evaluate.finding import Block, Measure, Picture, Table, Words
from keras_llm.evaluate.probability_scores import CalibrationScores

# Name of a measure -> field of `CalibrationScores`, and whether more is better.
_MEASURES: Mapping[str, tuple[str, bool | None]] = {
    "ece": ("expected_error", False),
    "adaptive_ece": ("adaptive_error", False),
    "maximum_ce": ("maximum_error", False),
    "brier": ("brier", False),
    "loss": ("loss", False),
    "entropy": ("entropy", None),
    "accuracy": ("accuracy", True),
    "confidence": ("confidence", None),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibrationReport:
    """How far a model's probabilities can be believed; a `Finding`.

    Attributes:
        title: The heading of its section.
        name: Before the names of its measures, as in "calibration/ece".
        unit: What was counted: "tokens" or "texts".
        raw: Without a temperature.
        calibrated: By the temperature, on the same items.
        temperature: What logits were divided by.
        fitted_on: Items that the temperature was found on, none of them among
            those measured; None where the model came with it.

    Example:

    >>> import numpy as np
    >>> from keras_llm.evaluate import calibration_scores
    >>> scores = calibration_scores(np.array([[0.9, 0.1]]), np.array([0]))
    >>> report = CalibrationReport(title="Calibration", name="calibration",
    ...     unit="texts", raw=scores, calibrated=scores, temperature=1.0)
    >>> round(report.measures()["calibration/ece"].value, 2)
    0.1
    """

    title: str
    name: str
    unit: str
    raw: CalibrationScores
    calibrated: CalibrationScores
    temperature: float
    fitted_on: int | None = None

    def measures(self) -> dict[str, Measure]:
        """Returns the raw scores, then the calibrated ones and why."""
        both = {"": self.raw, "calibrated_": self.calibrated}
        found = {
            f"{self.name}/{prefix}{name}": Measure(
                getattr(scores, field), None, scores.items, better
            )
            for prefix, scores in both.items()
            for name, (field, better) in _MEASURES.items()
        }
        found[f"{self.name}/temperature"] = Measure(
            self.temperature, None, self.fitted_on, None
        )
        return found

    def blocks(self) -> list[Block]:
        """Returns a sentence, the scores before and after, the diagrams."""
        both = {"raw": self.raw, "calibrated": self.calibrated}
        rows = [
            {
                "score": name,
                **{key: getattr(one, field) for key, one in both.items()},
            }
            for name, (field, _) in _MEASURES.items()
        ]
        figure = reliability_figure(
            {key: one.bins for key, one in both.items()}
        )
        return [
            Words(self._sentence()),
            Table(rows, f"Of {self.raw.items:,} {self.unit}; loss in nats."),
            Picture(
                figure,
                "Accuracy over confidence; on the dashed line, probabilities "
                "are what they say.",
            ),
            Table(self.raw.bins, "The bins of the raw diagram."),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return dataclasses.asdict(self)

    def _sentence(self) -> str:
        raw, gap = self.raw, self.raw.confidence - self.raw.accuracy
        opinion = "too sure of itself" if gap > 0 else "not sure enough"
        source = (
            "came with the model"
            if self.fitted_on is None
            else f"was found on {self.fitted_on:,} other {self.unit}"
        )
        return (
            f"The likeliest answer has a probability of {raw.confidence:.3f} "
            f"on average and is right in {raw.accuracy:.3f}: the model is "
            f"{opinion}. It expects a loss of {raw.entropy:.3f} nats (its "
            f"entropy) and has one of {raw.loss:.3f}. A temperature of "
            f"{self.temperature:.3f}, which {source}, brings the expected "
            f"calibration error from {raw.expected_error:.4f} to "
            f"{self.calibrated.expected_error:.4f}."
        )
