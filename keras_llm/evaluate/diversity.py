"""How much texts repeat themselves and each other."""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.overlap import sacrebleu_metrics

Tokens: TypeAlias = str | Sequence[Hashable]  # a text, or ids or words


def distinct_n(texts: Sequence[Tokens], n: int = 2) -> float:
    """Returns the share of different n-grams among all of the texts' n-grams.

    It falls with the amount of text: compare only samples of equal size.

    Args:
        texts: Strings, which spaces cut into words, or lists of token ids.
        n: Tokens of an n-gram.

    Returns:
        Above 0 up to 1; 0.0 if no text has `n` tokens.

    Source: Li et al. 2016, https://aclanthology.org/N16-1014.

    Example:

    >>> distinct_n(["a rose is a rose"], 1)
    0.6
    """
    grams = [gram for text in texts for gram in _ngrams(text, n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def repetition_rates(texts: Sequence[Tokens], n: int = 4) -> np.ndarray:
    """Returns the share of each text's n-grams that stood before in it.

    Args:
        texts, n: As for `distinct_n`.

    Returns:
        float64 `(texts,)`, from 0 to 1; 0 for a text shorter than `n`.

    Source: seq-rep-n of Welleck et al. 2020,
    https://arxiv.org/abs/1908.04319.

    Example:

    >>> repetition_rates(["a b a b", "a b c d"], 1).tolist()
    [0.5, 0.0]
    """
    return np.array(
        [
            1 - distinct_n([text], n) if _ngrams(text, n) else 0.0
            for text in texts
        ]
    )


def repetition_rate(texts: Sequence[Tokens], n: int = 4) -> float:
    """Returns the mean of `repetition_rates`.

    Args:
        texts, n: As for `distinct_n`.

    Raises:
        InputError: There is no text.

    Source: as for `repetition_rates`.

    Example:

    >>> repetition_rate(["so so so so so so so", "quite another text"])
    0.375
    """
    if not len(texts):
        raise InputError("Expected at least one text. Received: none.")
    return float(repetition_rates(texts, n).mean())


def self_bleu(texts: Sequence[str], tokenize: str = "13a") -> float:
    """Returns the mean BLEU of each text against all the others, in percent.

    100: all are the same. N-grams are counted once for each text, not once
    for each pair: of an n-gram only the two largest counts matter.

    Args:
        texts: At least two, of one prompt or one kind.
        tokenize: As for `bleu`.

    Raises:
        InputError: There are fewer than two texts, or sacrebleu is missing.

    Source: Zhu et al. 2018 (Texygen), https://arxiv.org/abs/1802.01886; each
    BLEU is sacrebleu's sentence BLEU (`effective_order=True`).

    Example:

    >>> round(self_bleu(["a cat sat here"] * 3), 3)
    100.0
    """
    if len(texts) < 2:
        raise InputError(
            "Expected at least two texts, each compared with the others. "
            f"Received: {len(texts)}."
        )
    BLEU = sacrebleu_metrics().BLEU
    cut = BLEU(tokenize=tokenize).tokenizer
    words = [cut(text.rstrip()).split() for text in texts]
    orders = [[Counter(_ngrams(w, n)) for w in words] for n in (1, 2, 3, 4)]
    right = np.array([_shared_with_others(counts) for counts in orders]).T
    lengths = np.array(list(map(len, words)))
    scores = [
        BLEU.compute_bleu(
            right[i].tolist(),
            [max(int(lengths[i]) - n, 0) for n in range(4)],
            int(lengths[i]),
            _closest(lengths, i),
            smooth_method="exp",
            effective_order=True,
        ).score
        for i in range(len(texts))
    ]
    return float(np.mean(scores))


def _ngrams(text: Tokens, n: int) -> list[tuple[Any, ...]]:
    tokens = text.split() if isinstance(text, str) else list(text)
    return list(zip(*(tokens[i:] for i in range(n)), strict=False))


def _shared_with_others(counts: list[Counter]) -> list[int]:
    """How many n-grams of each text another text has as often."""
    first, second = Counter(), Counter()
    for counter in counts:
        for gram, count in counter.items():
            low, high = sorted((count, first[gram]))
            second[gram] = max(second[gram], low)
            first[gram] = high
    return [
        sum(
            min(count, second[gram] if count == first[gram] else first[gram])
            for gram, count in counter.items()
        )
        for counter in counts
    ]


def _closest(lengths: np.ndarray, place: int) -> int:
    """The length of another text that is closest, of two the smaller."""
    others = np.delete(lengths, place)
    gaps = np.abs(others - lengths[place])
    return int(others[gaps == gaps.min()].min())
