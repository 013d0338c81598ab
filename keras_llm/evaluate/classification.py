"""How good a classifier is, each number with its error."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.calibration import calibration_error
from keras_llm.evaluate.finding import Block, Measure, Picture, Table, Words
from keras_llm.evaluate.label_counts import label_errors, label_scores, roc_auc
from keras_llm.evaluate.probability_scores import brier_score, mean_loss
from keras_llm.evaluate.statistics import standard_error
from keras_llm.figures import new_figure

WRITTEN = 20  # labels up to which a confusion matrix shows numbers
_LESS_IS_BETTER = ("loss", "calibration_error", "brier")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationReport:
    """How good a classifier is; a `Finding`.

    Attributes:
        title: The heading of its section.
        name: Before the names of its measures, as in "spam/accuracy".
        numbers: `examples`, `accuracy` (of many labels: the share of texts
            with all of them right), `loss`, `calibration_error`, `brier`,
            `auc`, and what `label_scores` gives; AUCs are None where a label
            is on no text or on all.
        errors: Standard errors by the same names.

    Example:

    >>> report = classification_scores(np.array([0, 1]),
    ...     np.array([[0.9, 0.1], [0.8, 0.2]]), ("ham", "spam"))
    >>> report.measures()["classification/auc"].value
    1.0
    """

    title: str
    name: str
    numbers: dict[str, Any]
    errors: dict[str, float | None]

    def measures(self) -> dict[str, Measure]:
        """Returns every number that is one of all texts."""
        return {
            f"{self.name}/{key}": Measure(
                value,
                self.errors.get(key),
                self.numbers["examples"],
                key not in _LESS_IS_BETTER,
            )
            for key, value in self.numbers.items()
            if isinstance(value, float)
        }

    def blocks(self) -> list[Block]:
        """Returns the scores, those of each label, and the confusions."""
        rows = [
            {"score": name.partition("/")[2], "value": measure}
            for name, measure in self.measures().items()
        ]
        labels = [
            {"label": name, **row}
            for name, row in self.numbers["labels"].items()
        ]
        blocks: list[Block] = [
            Words(f"{self.numbers['examples']:,} labelled texts."),
            Table(rows, "Scores of all texts, ± standard error."),
            Table(labels, "Scores of each label."),
        ]
        confusion = self.numbers.get("confusion")
        if confusion is not None:
            names = list(self.numbers["labels"])
            caption = "Confusion matrix: a row for each true label."
            figure = confusion_figure(confusion, names)
            blocks.append(Picture(figure, caption))
        return blocks

    def to_dict(self) -> dict[str, Any]:
        """Returns the numbers, and their errors as `errors`."""
        return {**self.numbers, "errors": self.errors}


def classification_scores(
    targets: np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[str],
    found: np.ndarray | None = None,
    title: str = "Classification",
    name: str = "classification",
) -> ClassificationReport:
    """Returns all scores of a classifier's probabilities.

    The AUC of two labels is that of the second; of more, the mean of each
    against the rest. Errors: of accuracy, loss and Brier score those of a
    mean; of F1, precision, recall and MCC by bootstrap; of the AUC of two
    labels DeLong's.

    Args:
        targets: int `(texts,)`; of many labels 0 and 1 `(texts, labels)`.
        probabilities: `(texts, labels)`.
        labels: Their names.
        found: What was given, in the form of `targets`. Default: the
            likeliest label; of many labels those of at least 0.5.
        title: The heading of the report's section.
        name: Before the names of its measures.

    Raises:
        InputError: There is no text, or the shapes do not fit.

    Example:

    >>> found = classification_scores(np.array([0, 1, 1]),
    ...     np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), ("ham", "spam"))
    >>> found.numbers["labels"]["spam"]["recall"]
    0.5
    """
    targets, p = np.asarray(targets), np.asarray(probabilities, "float64")
    several = targets.ndim == 2
    expected = (len(targets), len(labels))
    fits = p.shape == expected and (not several or targets.shape == expected)
    if not len(targets) or not fits:
        raise InputError(
            "Expected at least one text, and probabilities (texts, labels) of "
            f"{len(labels)} labels. Received: targets {targets.shape}, "
            f"probabilities {p.shape}."
        )
    likely = (p >= 0.5).astype(int) if several else p.argmax(-1)
    given = likely if found is None else np.asarray(found)
    scores = label_scores(targets, given, labels)
    area, areas = _areas(targets, p)
    for row, own in zip(scores["labels"].values(), areas, strict=True):
        row["auc"] = own
    right = given == targets
    right = right.all(-1) if several else right
    numbers = {
        "examples": len(targets),
        "accuracy": float(right.mean()),
        "loss": mean_loss(p, targets),
        "calibration_error": calibration_error(p, targets),
        "brier": brier_score(p, targets),
        "auc": area and area[0],
        **scores,
    }
    errors = {
        **label_errors(targets, given, len(labels)),
        "accuracy": standard_error(right),
        "loss": _error_of(mean_loss, p, targets),
        "brier": _error_of(brier_score, p, targets),
        "auc": area and area[1],
    }
    return ClassificationReport(
        title=title, name=name, numbers=numbers, errors=errors
    )


def confusion_figure(
    confusion: Sequence[Sequence[int]], labels: Sequence[str]
) -> Any:
    """Draws a confusion matrix: the darker, the larger the share of its row.

    Args:
        confusion: Counts, a row for each true label.
        labels: Their names.

    Raises:
        InputError: matplotlib is missing.

    Example:

    >>> len(confusion_figure([[3, 1], [0, 2]], ("ham", "spam")).axes)
    2
    """
    counts = np.asarray(confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = 3 + 0.35 * len(labels)
    figure = new_figure(size + 1, size)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true label")
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=45, ha="right")
    axes.set_yticks(places, labels)
    axes.set(xlabel="given", ylabel="true")
    if len(labels) <= WRITTEN:
        for (row, column), count in np.ndenumerate(counts):
            dark = shares[row, column] > 0.5
            axes.text(
                *(column, row, f"{count:,}"),
                ha="center",
                va="center",
                color="white" if dark else "black",
            )
    return figure


def _areas(targets: np.ndarray, p: np.ndarray) -> tuple[Any, list[Any]]:
    """The AUC with its error, and the AUC of each label against the rest."""
    several, count = targets.ndim == 2, p.shape[1]
    truths = targets.T if several else [targets == i for i in range(count)]
    found = [roc_auc(true, p[:, i]) for i, true in enumerate(truths)]
    each = [one and one[0] for one in found]
    if not several and count == 2:
        return found[1], each
    known = [area for area in each if area is not None]
    whole = len(known) == count
    return (float(np.mean(known)), None) if whole else None, each


def _error_of(score: Any, p: np.ndarray, targets: np.ndarray) -> float | None:
    """The standard error of a score that is a mean over texts."""
    each = [score(p[i : i + 1], targets[i : i + 1]) for i in range(len(p))]
    return standard_error(np.array(each))
