"""ROUGE: how many words of a reference a text has, by `rouge-score`."""

from collections.abc import Sequence

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.references import reference_lists

KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")


def rouge(
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
    kinds: Sequence[str] = KINDS,
    stemmer: bool = True,
) -> dict[str, float]:
    """Returns mean F measures between texts and their references.

    The numbers are those of the package `rouge-score`, Google's own
    reimplementation of ROUGE-1.5.5. Of several references the one with the
    best F measure counts, for each kind alone.

    Args:
        predictions: The texts.
        references: One for each, or several.
        kinds: "rouge1", "rouge2", ... (n-grams), "rougeL" (longest common
            subsequence), "rougeLsum" (the same by lines). Default: all four.
        stemmer: Whether words are cut to their stems (Porter). Default: True.

    Returns:
        Means from 0 to 1, by kind.

    Raises:
        InputError: There are no texts or not as many references, or
            `rouge-score` is missing.

    Source: Lin 2004, https://aclanthology.org/W04-1013; the package
    https://github.com/google-research/google-research/tree/master/rouge.

    Example:

    >>> rouge(["a cat sat"], ["the cat sat"], kinds=["rouge1"])
    {'rouge1': 0.66...}
    """
    each = rouge_each(predictions, references, kinds, stemmer)
    return {kind: float(values.mean()) for kind, values in each.items()}


def rouge_each(
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
    kinds: Sequence[str] = KINDS,
    stemmer: bool = True,
) -> dict[str, np.ndarray]:
    """Returns the F measures of each text, whose means are `rouge`.

    Args and errors as for `rouge`.

    Returns:
        float64 `(texts,)`, by kind.

    Example:

    >>> rouge_each(["a cat", "x"], ["a cat", "y"], ["rouge1"])["rouge1"]
    array([1., 0.])
    """
    scorer = _scorer(kinds, stemmer)
    lists = reference_lists(predictions, references)
    rows = [
        scorer.score_multi(several, text)
        for text, several in zip(predictions, lists, strict=True)
    ]
    return {
        kind: np.array([row[kind].fmeasure for row in rows], "float64")
        for kind in kinds
    }


def _scorer(kinds: Sequence[str], stemmer: bool):
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise InputError(
            "Expected the package rouge-score for ROUGE. Received: none. "
            'Install it with pip install "keras_llm[eval]".'
        ) from error
    return RougeScorer(list(kinds), use_stemmer=stemmer)
