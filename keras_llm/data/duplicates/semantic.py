"""Semantic duplicates: documents whose embeddings point the same way."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_llm.data.document import Document
from keras_llm.data.duplicates.clusters import Clusters
from keras_llm.data.registry import function_at, name_of
from keras_llm.data.staged import (
    Notes,
    Round,
    StagedStep,
    Verdict,
    keep_if,
    split_like,
    staged,
)
from keras_llm.errors import InputError

_BATCH = 256  # documents embedded at a time
_TILE = 2048  # documents compared with as many at a time


def semantic_duplicates(
    embed: Callable[[list[str]], Any] | str, threshold: float = 0.95
) -> StagedStep:
    """Drops documents that say the same as an earlier one in other words.

    Two documents are alike when the cosine of their embeddings is `threshold`
    or more; of those that hang together the first is kept. Every document is
    compared with every other: time grows with their square, so run
    `exact_duplicates` and `near_duplicates` first. The embeddings are held in
    memory, the documents wait in a temporary folder (`TMPDIR`).

    Args:
        embed: Returns the embeddings of at most 256 texts, float
            `(texts, width)`. Other processes need it as
            "package.module:function".
        threshold: Least cosine, above 0 and at most 1. What it means depends
            on the model: look at what is dropped.

    Raises:
        InputError: `threshold` is out of range, or `embed` returns something
            else than a finite vector for each text.

    Source: SemDeDup, Abbas et al. 2023, https://arxiv.org/abs/2303.09540,
    which compares within clusters of k-means only and keeps another one.

    Example:

    >>> from keras_llm.data import Counts
    >>> def embed(texts):
    ...     return [[text.count("cat"), text.count("dog")] for text in texts]
    >>> documents = [Document(text, text) for text in ("a cat", "dog", "cats")]
    >>> counts = Counts("semantic_duplicates")
    >>> [d.source for d in semantic_duplicates(embed)(documents, counts)]
    ['a cat', 'dog']
    """
    if not 0 < threshold <= 1:
        raise InputError(
            "Expected a threshold above 0 and at most 1. Received: "
            f"{threshold}. 0.95 drops little else than the same statements."
        )

    function = function_at(embed) if isinstance(embed, str) else embed

    def note(documents: Iterable[Document], _: Verdict) -> Notes:
        texts = (document.text for document in documents)
        return {"vectors": _vectors(function, texts)}

    def decide(notes: Sequence[Notes]) -> list[Verdict]:
        parts = [note["vectors"] for note in notes]
        filled = [part for part in parts if len(part)]
        if not filled:
            return split_like(np.ones(0, bool), parts)
        clusters = Clusters(sum(map(len, filled)))
        for pairs in _alike(np.concatenate(filled), threshold):
            clusters.join(*pairs)
        return split_like(clusters.firsts(), parts)

    return staged(
        "semantic_duplicates",
        [Round(note, decide)],
        keep_if("says the same as an earlier document"),
        {"embed": name_of(embed), "threshold": threshold},
    )


def _vectors(
    embed: Callable[[list[str]], Any], texts: Iterable[str]
) -> np.ndarray:
    """Returns embeddings of length 1, float32 `(texts, width)`."""
    batches = []
    texts = iter(texts)
    while batch := list(itertools.islice(texts, _BATCH)):
        vectors = np.asarray(embed(batch), "float32")
        if vectors.ndim != 2 or len(vectors) != len(batch):
            raise InputError(
                f"Expected embeddings of shape ({len(batch)}, width) for "
                f"{len(batch)} texts. Received: {vectors.shape}."
            )
        if not np.isfinite(vectors).all():
            raise InputError(
                "Expected finite embeddings. Received: NaN or infinity from "
                "embed."
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        # A vector of zeros has no direction: it stays, and is like no other.
        batches.append(vectors / np.where(lengths, lengths, 1))
    return np.concatenate(batches or [np.zeros((0, 0), "float32")])


def _alike(
    vectors: np.ndarray, threshold: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the pairs with a cosine of the threshold, a tile at a time."""
    begins = range(0, len(vectors), _TILE)
    for a, b in itertools.combinations_with_replacement(begins, 2):
        cosines = vectors[a : a + _TILE] @ vectors[b : b + _TILE].T
        # Rounding takes a vector's cosine with itself below 1.
        first, second = np.nonzero(cosines >= threshold - 1e-6)
        yield first + a, second + b
