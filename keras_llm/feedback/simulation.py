"""What active learning would have saved, on texts whose labels are known."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_llm.errors import InputError, check_choice
from keras_llm.feedback.active import METHODS, rank
from keras_llm.records import Record

RANDOM = "random"

Classifier = Callable[[np.ndarray, np.ndarray], tuple[Any, float]]
"""(indices of texts with a label, their labels) -> (probabilities of all
texts, accuracy on texts of a test)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Simulation(Record):
    """How accurate a classifier was with so many labels.

    Attributes:
        method: How texts were chosen.
        seed: Of the first texts, and of "random".
        labels: How many labels each round had.
        accuracy: What the classifier then reached.
        chosen: The texts in the order in which they got a label.

    Example:

    >>> found = Simulation(method="entropy", seed=0, labels=(10, 20),
    ...     accuracy=(0.8, 0.9), chosen=tuple(range(20)))
    >>> found.labels_for(0.85), found.labels_for(0.99)
    (20, None)
    """

    method: str
    seed: int
    labels: tuple[int, ...]
    accuracy: tuple[float, ...]
    chosen: tuple[int, ...]

    def labels_for(self, accuracy: float) -> int | None:
        """Returns the fewest labels that reached an accuracy, or None."""
        rounds = zip(self.labels, self.accuracy, strict=True)
        return next((n for n, reached in rounds if reached >= accuracy), None)


def simulate(
    train_and_predict: Classifier,
    labels: Any,
    method: str,
    *,
    start: int,
    batch: int,
    rounds: int,
    seed: int,
    embeddings: Any = None,
) -> Simulation:
    """Labels texts in rounds as a person would, with labels that are known.

    The first texts are random, the same for each method with this seed.

    Args:
        train_and_predict: Takes the indices of the texts with a label and
            their labels; returns probabilities of all texts as for `rank`,
            and the accuracy on other texts.
        labels: `(texts,)`: the label of each text.
        method: "random", or a method of `rank`.
        start: How many texts have a label in the first round.
        batch: How many get one between two rounds.
        rounds: How often the classifier is trained.
        seed: Of the random choices.
        embeddings: For diversity, as for `rank`.

    Raises:
        InputError: The method is unknown, a number is below one, or there
            are too few texts.

    Example:

    >>> labels = np.array([0, 0, 0, 1, 1, 1])
    >>> def train_and_predict(indices, given):
    ...     share = given.mean()
    ...     return np.tile([1 - share, share], (6, 1)), len(indices) / 6
    >>> simulate(train_and_predict, labels, "entropy", start=2, batch=2,
    ...     rounds=3, seed=0).labels
    (2, 4, 6)
    """
    check_choice("method", method, (RANDOM, *METHODS))
    labels = np.asarray(labels)
    most = start + batch * (rounds - 1)
    if min(start, batch, rounds) < 1 or most > len(labels):
        raise InputError(
            f"Expected start, batch and rounds of one or more, and at most "
            f"{len(labels)} labels. Received: start={start}, batch={batch}, "
            f"rounds={rounds}: {most} labels."
        )
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen, reached = order[:start], []
    for _ in range(rounds):
        probabilities, accuracy = train_and_predict(chosen, labels[chosen])
        reached.append(float(accuracy))
        if len(chosen) == most:
            break
        new = order[len(chosen) : len(chosen) + batch]
        if method != RANDOM:
            new = rank(
                probabilities,
                embeddings,
                method=method,
                count=batch,
                labelled=chosen,
            )
        chosen = np.concatenate([chosen, new])
    return Simulation(
        method=method,
        seed=seed,
        labels=tuple(range(start, most + 1, batch)),
        accuracy=tuple(reached),
        chosen=tuple(int(i) for i in chosen),
    )
