"""Near duplicates: documents that have most of their n-grams in common."""

from collections.abc import Iterable, Sequence

import numpy as np

from keras_llm.data.document import Document
from keras_llm.data.duplicates.clusters import Alike, join_by_keys, share_a_key
from keras_llm.data.duplicates.minhash import MinHash
from keras_llm.data.duplicates.shingle_sets import ShingleSets, jaccard
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

FOUND = 0.985  # of the pairs just at the threshold
MOST_ROWS = 8


def near_duplicates(
    threshold: float | None = 0.7,
    words: int = 5,
    bands: int = 25,
    rows: int | None = None,
) -> StagedStep:
    """Drops documents that are nearly the same as an earlier one.

    Two documents are alike when their n-grams of words have a Jaccard index
    (n-grams in common / n-grams in either) of `threshold` or more. MinHash
    finds nearly all such pairs, 99 in 100 at the threshold itself with the
    defaults; the n-grams of each are then compared, so that no other pair is
    joined. Of documents that hang together by pairs the first is kept.
    Documents of fewer than `words` words are all kept.

    The documents wait in a temporary folder (`TMPDIR`) until all have been
    seen; some 50 bytes of each are held in memory.

    Args:
        threshold: Least Jaccard index. None compares nothing and drops what
            has a band in common, as FineWeb does with `bands=14, rows=8`.
        words: Words of an n-gram.
        bands: Chances of a pair to be found.
        rows: Smallest hashes that must agree in a band: more of them find
            fewer pairs of little in common, and miss more of the others.
            Default: the most that find 98.5 % of the pairs at the threshold,
            5 at 0.7; FineWeb's 8 without a threshold.

    Raises:
        InputError: A setting is out of range.

    Source: MinHash as in Broder 1997,
    https://doi.org/10.1109/SEQUEN.1997.666900; bands, n-grams and clusters as
    in FineWeb, Penedo et al. 2024, https://arxiv.org/abs/2406.17557.

    Example:

    >>> from keras_llm.data import Counts
    >>> text = "It was the best of times, it was the worst of times, it was"
    >>> documents = [Document(f"{text} the {end}", end)
    ...     for end in ("age", "spring")]
    >>> counts = Counts("near_duplicates")
    >>> [d.source for d in near_duplicates()(documents, counts)]
    ['age']
    """
    _check(
        threshold, words=words, bands=bands, rows=1 if rows is None else rows
    )
    rows = _most_rows(threshold, bands) if rows is None else rows
    minhash = MinHash(words, bands, rows)

    def keys(documents: Iterable[Document], _: Verdict) -> Notes:
        return {"keys": minhash.keys(one.text for one in documents)}

    def ngrams(documents: Iterable[Document], suspected: Verdict) -> Notes:
        chosen = zip(documents, suspected, strict=True)
        texts = [document.text for document, one in chosen if one]
        sets = ShingleSets.of(texts, words)
        return {
            "suspected": suspected,
            "keys": minhash.keys(texts),
            "numbers": sets.numbers,
            "ends": sets.ends,
        }

    def compared(notes: Sequence[Notes]) -> list[Verdict]:
        kept = _firsts(notes, _Comparison(notes, threshold or 0))
        verdicts = [~note["suspected"] for note in notes]
        for verdict, mine in zip(verdicts, kept, strict=True):
            verdict[~verdict] = mine
        return verdicts

    exact = (Round(keys, _suspected), Round(ngrams, compared))
    return staged(
        "near_duplicates",
        (Round(keys, _firsts),) if threshold is None else exact,
        keep_if("near duplicate of an earlier document"),
        {
            "threshold": threshold,
            "words": words,
            "bands": bands,
            "rows": rows,
        },
    )


def _most_rows(threshold: float | None, bands: int) -> int:
    """The most rows with which a pair at the threshold is still found."""
    if threshold is None:
        return MOST_ROWS
    return next(
        (
            rows
            for rows in range(MOST_ROWS, 1, -1)
            if 1 - (1 - threshold**rows) ** bands >= FOUND
        ),
        1,
    )


def _suspected(notes: Sequence[Notes]) -> list[Verdict]:
    """Says which documents share a band with another."""
    return _by_shard(share_a_key(_Bands(notes)), notes)


def _firsts(
    notes: Sequence[Notes], alike: Alike | None = None
) -> list[Verdict]:
    """Says which documents are the first of their cluster."""
    count = sum(note["keys"].shape[1] for note in notes)
    clusters = join_by_keys(_Bands(notes), count, alike)
    return _by_shard(clusters.firsts(), notes)


class _Bands:
    """The keys of all shards, read one band at a time."""

    def __init__(self, notes: Sequence[Notes]):
        self._keys = [note["keys"] for note in notes]

    def __len__(self) -> int:
        return len(self._keys[0]) if self._keys else 0

    def __getitem__(self, number: int) -> np.ndarray:
        return np.concatenate([keys[number] for keys in self._keys])


def _by_shard(verdict: np.ndarray, notes: Sequence[Notes]) -> list[Verdict]:
    return split_like(verdict, [note["keys"][0] for note in notes])


class _Comparison:
    """Says which pairs of documents are alike, whatever shards they are in.

    Memory: the n-grams stay where the notes are, on disk for instance.
    """

    def __init__(self, notes: Sequence[Notes], threshold: float):
        self._sets = [ShingleSets(n["numbers"], n["ends"]) for n in notes]
        self._ends = np.cumsum(list(map(len, self._sets)))
        self._threshold = threshold

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        indices = jaccard(self._of(first), self._of(second))
        return indices >= self._threshold

    def _of(self, documents: np.ndarray) -> list[np.ndarray]:
        shards = np.searchsorted(self._ends, documents, side="right")
        # Counted from the end of its shard, a place is negative.
        places = documents - self._ends[shards]
        return [
            sets[place + len(sets)]
            for sets, place in zip(
                map(self._sets.__getitem__, shards.tolist()),
                places.tolist(),
                strict=True,
            )
        ]


def _check(threshold: float | None, **counts: int) -> None:
    if threshold is not None and not 0 < threshold <= 1:
        raise InputError(
            "Expected a threshold above 0 and at most 1, or None. Received: "
            f"{threshold}. 0.7 is usual."
        )
    for name, count in counts.items():
        if count < 1:
            raise InputError(
                f"Expected {name} to be at least 1. Received: {count}."
            )
