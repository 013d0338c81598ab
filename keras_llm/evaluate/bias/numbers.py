"""What a model says in numbers, or a sentence where it says none."""

from collections.abc import Sequence

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.subject import Continuation, Subject


def totals(subject: Subject, requests: Sequence[Continuation]) -> np.ndarray:
    """Returns log-probabilities of continuations, float64 `(requests,)`.

    Raises:
        InputError: One is not a number.

    Example:

    >>> from keras_llm.evaluate.subject import Likelihood
    >>> class Sure:
    ...     name = fingerprint = "1"
    ...     def likelihoods(self, requests):
    ...         return [Likelihood(-1.0, True) for _ in requests]
    >>> totals(Sure(), [Continuation("a", " b")])
    array([-1.])
    """
    found = [one.total for one in subject.likelihoods(requests)]
    for request, total in zip(requests, found, strict=True):
        _check(subject, total, request.context + request.continuation)
    return np.array(found)


def sums_and_means(
    subject: Subject, texts: Sequence[str]
) -> list[tuple[float, float]]:
    """Returns each text's log-probability, and its mean over tokens.

    Raises:
        InputError: One is not a number.

    Example:

    >>> from keras_llm.evaluate.subject import ScoredTokens
    >>> class Sure:
    ...     name = fingerprint = "1"
    ...     def token_scores(self, texts):
    ...         return [ScoredTokens(["a", "b", "c"],
    ...             np.array([np.nan, -1.0, -3.0])) for _ in texts]
    >>> sums_and_means(Sure(), ["abc"])
    [(-4.0, -2.0)]
    """
    found = []
    for text, scored in zip(texts, subject.token_scores(texts), strict=True):
        numbers = scored.log_probabilities
        known = numbers[1:] if np.isnan(numbers[:1]).any() else numbers
        mean = known.mean() if len(known) else np.nan
        _check(subject, mean, text)
        found.append((float(known.sum()), float(mean)))
    return found


def _check(subject: Subject, number: float, text: str) -> None:
    if np.isnan(number):
        raise InputError(
            f"Expected {subject.name} to say how likely a text is. Received: "
            f"no number for {text!r:.60}. Its weights may be damaged, its "
            "precision too low, or the text a single token."
        )
