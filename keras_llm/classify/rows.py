"""Texts and sentences side by side in rows, with what they are.

Several short texts share a row, as documents do in pretraining: segments
keep them apart, positions start anew in each, so nothing but speed changes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_llm.data import ArrayRows
from keras_llm.data.arrays import positions_of
from keras_llm.data.pack import pack
from keras_llm.tune.encoding import EIGHT


class Layout(NamedTuple):
    """Where the tokens of some texts stand in rows.

    Attributes:
        places: int64 `(rows, width)`: which token of all texts, one after
            the other; their number where there is none.
        segments: int32 `(rows, width)`: 1 for a row's first text, 0 for none.
        owners: int64 `(rows, texts)`: which text segment 1, 2, ... of a row
            is; -1 for none.

    Example: see `layout`.
    """

    places: np.ndarray
    segments: np.ndarray
    owners: np.ndarray


def layout(lengths: Sequence[int], width: int) -> Layout:
    """Puts texts of these lengths, at least 1, into rows of a width.

    Args:
        lengths: Tokens of each text, none longer than a row.
        width: Tokens of a row, at least 2.

    Example:

    >>> places, segments, owners = layout([3, 1, 4], width=6)
    >>> segments.tolist(), owners.tolist()
    ([[1, 1, 1, 2, 0, 0], [1, 1, 1, 1, 0, 0]], [[0, 1], [2, -1]])
    """
    total = int(sum(lengths))
    starts = np.cumsum([0, *lengths])
    # `pack` leaves out what has no next token, so a single one gets a filler.
    documents = (
        np.append(np.arange(start, start + length), [total] * (length < 2))
        for start, length in zip(starts, lengths, strict=False)
    )
    rows = list(pack(documents, width))
    places = np.stack([row.tokens for row in rows]).astype(np.int64)
    segments = np.stack([row.segments for row in rows])
    segments = np.where(places < total, segments, 0).astype(np.int32)
    places = np.where(segments > 0, places, total)
    owner = np.append(np.repeat(np.arange(len(lengths)), lengths), -1)
    owners = np.full((len(rows), int(segments.max())), -1, np.int64)
    row, column = np.nonzero(segments)
    owners[row, segments[row, column] - 1] = owner[places[row, column]]
    return Layout(places, segments, owners)


def text_rows(
    documents: Sequence[np.ndarray],
    targets: np.ndarray,
    weights: np.ndarray,
    tokenizer: Any,
) -> ArrayRows:
    """Returns texts and their labels as rows for `train.fit`.

    Args:
        documents: The ids of each text.
        targets: int32 `(texts,)`, or float32 `(texts, labels)`.
        weights: float32 of the same shape.
        tokenizer: What made the ids.

    Returns:
        Rows as wide as the longest text, with the input `texts` and targets
        `(rows, texts of a row)`, or with all labels of the first text, then
        those of the second, and so on.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> documents = [np.array([5, 6, 7]), np.array([8]), np.array([9, 9])]
    >>> rows = text_rows(documents, np.array([1, 0, 1]), np.ones(3), tokenizer)
    >>> rows.inputs["tokens"].tolist(), rows.targets.tolist()
    ([[5, 6, 7, 8, 0, 9, 9, 0]], [[1, 0, 1]])
    """
    inputs, found = _inputs(documents)
    count = found.owners.shape[1]
    texts = np.tile(np.arange(1, count + 1), (len(found.owners), 1))
    none = np.zeros_like(targets[:1])
    chosen = np.concatenate([targets, none])[found.owners]
    counted = np.concatenate([weights, none])[found.owners]
    shape = (len(found.owners), -1)
    return ArrayRows(
        inputs | {"texts": texts},
        chosen.reshape(shape),
        counted.reshape(shape),
        tokenizer.fingerprint,
    )


def tag_rows(
    documents: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    tokenizer: Any,
) -> ArrayRows:
    """Returns sentences with labels of their tokens as rows for `train.fit`.

    Args:
        documents: The ids of each sentence.
        targets: int32 of the same lengths.
        weights: float32 of the same lengths; 0 for a token without a label.
        tokenizer: What made the ids.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> rows = tag_rows([np.array([5, 6, 7])], [np.array([0, 2, 0])],
    ...     [np.array([0, 1, 1])], tokenizer)
    >>> rows.targets.tolist(), rows.weights[0, :3].tolist()
    ([[0, 2, 0, 0, 0, 0, 0, 0]], [0.0, 1.0, 1.0])
    """
    inputs, found = _inputs(documents)
    chosen, counted = (
        np.append(np.concatenate(arrays), 0)[found.places]
        for arrays in (targets, weights)
    )
    return ArrayRows(
        inputs, chosen.astype(np.int32), counted, tokenizer.fingerprint
    )


def _inputs(
    documents: Sequence[np.ndarray],
) -> tuple[dict[str, np.ndarray], Layout]:
    lengths = [len(ids) for ids in documents]
    width = -(-max(lengths) // EIGHT) * EIGHT
    found = layout(lengths, width)
    inputs = {
        "tokens": np.append(np.concatenate(documents), 0)[found.places],
        "positions": positions_of(found.segments),
        "segments": found.segments,
    }
    return inputs, found
