"""A part of the corpus by rank: what lies between percentiles of a number."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from keras_llm.data.document import Document
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


def keep_percentiles(
    field: str, low: float = 0.0, high: float = 100.0
) -> StagedStep:
    """Keeps the documents between two percentiles of a number they have.

    The percentiles are those of the documents that come in, so the same share
    is kept whatever the numbers are. For perplexities CCNet's head, middle
    and tail are 0 to 30, 30 to 60 and 60 to 100.

    Args:
        field: Of the metadata, for example "bits_per_byte" or "quality".
            Documents without this number stay.
        low, high: Percentiles, from 0 to 100; documents at them stay.

    Raises:
        InputError: The percentiles are out of range or order.

    Source: CCNet, Wenzek et al. 2019, https://arxiv.org/abs/1911.00359.

    Example:

    >>> from keras_llm.data import Counts
    >>> documents = [Document("", f"{n}", metadata={"n": n}) for n in range(5)]
    >>> step, counts = keep_percentiles("n", 0, 50), Counts("keep_percentiles")
    >>> [d.source for d in step(documents, counts)]
    ['0', '1', '2']
    >>> dict(counts.dropped)
    {'n outside the percentiles 0 to 50': 2}
    """
    low, high = check_percentiles((low, high))

    def note(documents: Iterable[Document], _: Verdict) -> Notes:
        values = [document.metadata.get(field) for document in documents]
        known = [math.nan if one is None else float(one) for one in values]
        return {"values": np.array(known, "float64")}

    def decide(notes: Sequence[Notes]) -> list[Verdict]:
        parts = [note["values"] for note in notes]
        values = np.concatenate([np.zeros(0), *parts])
        known = values[~np.isnan(values)]
        if not len(known):
            return split_like(np.ones(len(values), bool), parts)
        least, most = np.percentile(known, (low, high))
        outside = (values < least) | (values > most)  # NaN is not
        return split_like(~outside, parts)

    reason = f"{field} outside the percentiles {low:g} to {high:g}"
    settings = {"field": field, "low": low, "high": high}
    return staged(
        "keep_percentiles", [Round(note, decide)], keep_if(reason), settings
    )


def check_percentiles(keep: tuple[float, float]) -> tuple[float, float]:
    """Returns two percentiles, the lower one first.

    Raises:
        InputError: They are something else.

    Example:

    >>> check_percentiles((1, 99))
    (1, 99)
    """
    if len(keep) != 2 or not 0 <= keep[0] < keep[1] <= 100:
        raise InputError(
            "Expected two percentiles from 0 to 100, the lower one first. "
            f"Received: {tuple(keep)}."
        )
    return keep[0], keep[1]
