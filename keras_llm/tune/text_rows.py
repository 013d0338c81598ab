"""Rows of plain text for domain tuning, and rows mixed against forgetting."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from keras_llm.data.array_rows import ArrayRows
from keras_llm.data.hold_out import check_seed
from keras_llm.data.pack import pack
from keras_llm.data.rows import Rows
from keras_llm.errors import InputError
from keras_llm.tune.encoding import as_rows, coded, with_ends


def text_rows_of(
    texts: Iterable[str], tokenizer: Any, context_length: int
) -> ArrayRows:
    """Returns texts as packed rows in memory, every token learned.

    As `data.pack_corpus`, for texts that need no folder: the tokenizer's bos
    and eos begin and end a text, one longer than a row is cut into pieces
    that overlap by a token, and empty ones are left out.

    Args:
        texts: The texts.
        tokenizer: The model's tokenizer.
        context_length: Inputs of a row.

    Raises:
        InputError: There is no text, or `context_length` < 1.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> rows = text_rows_of(["ab", "c"], tokenizer, context_length=6)
    >>> rows.inputs["tokens"].tolist(), rows.weights.astype(int).tolist()
    ([[256, 97, 98, 256, 256, 99]], [[1, 1, 1, 0, 1, 1]])
    """

    def encoded() -> Iterator[np.ndarray]:
        for text in texts:
            if text.strip():
                ids = tokenizer.encode(text, disallowed_special=())
                yield with_ends(coded(ids), tokenizer)

    rows = list(pack(encoded(), context_length + 1))
    if not rows:
        raise InputError(
            "Expected at least one text that is not empty. Received: none. "
            "Pass texts to learn from."
        )
    return as_rows(rows, tokenizer)


def mix(
    rows: ArrayRows | Rows,
    others: ArrayRows | Rows,
    share: float,
    seed: int = 0,
) -> ArrayRows:
    """Returns all of `rows` and some others: replay against forgetting.

    Args:
        rows: What is to be learned.
        others: What is to be kept in mind, such as general text.
        share: The share of the result that comes from `others`, above 0 and
            below 1.
        seed: Which of them are taken.

    Returns:
        `rows` first, then the others; `train.fit` shuffles them.

    Raises:
        InputError: There are too few others for this share (none is taken
            twice), the rows are of another width, tokenizer or with other
            inputs, or `share` is out of range.

    Source: Scialom et al. 2022, https://arxiv.org/abs/2205.12393 (rehearsal
    of 1 % of the earlier data keeps earlier skills).

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> new, old = (text_rows_of([word * 50], tokenizer, context_length=8)
    ...             for word in "ab")
    >>> len(new), len(mix(new, old, share=0.25))
    (7, 9)
    """
    check_seed(seed)
    if not 0 < share < 1:
        raise InputError(
            f"Expected a share above 0 and below 1. Received: {share}. 0.1 "
            "makes one row in ten a row of general text."
        )
    count = max(1, round(len(rows) * share / (1 - share)))
    if count > len(others):
        most = len(others) / (len(rows) + len(others))
        raise InputError(
            f"Expected {count} rows of the other text for a share of {share}. "
            f"Received: {len(others)}. Add text, or pass share={most:.2g} or "
            "less."
        )
    chosen = np.random.default_rng(seed).permutation(len(others))[:count]
    return _joined(_all(rows), _all(others, np.sort(chosen)))


def _all(rows: ArrayRows | Rows, indices: Any = None) -> ArrayRows:
    """Some rows, or all, in memory."""
    indices = np.arange(len(rows)) if indices is None else indices
    return ArrayRows(*rows.batch(indices), rows.tokenizer, rows.name)


def _joined(rows: ArrayRows, others: ArrayRows) -> ArrayRows:
    for what, one, two in (
        ("tokens a row", rows.time, others.time),
        ("tokenizer", rows.tokenizer, others.tokenizer),
        ("inputs", sorted(rows.inputs), sorted(others.inputs)),
    ):
        if one != two:
            raise InputError(
                f"Expected both to have the same {what}. Received: {one} and "
                f"{two}. Make both with the same tokenizer, context_length "
                "and kind of rows."
            )
    inputs = {
        name: np.concatenate([array, others.inputs[name]])
        for name, array in rows.inputs.items()
    }
    return ArrayRows(
        inputs,
        np.concatenate([rows.targets, others.targets]),
        np.concatenate([rows.weights, others.weights]),
        *(rows.tokenizer, rows.name),
    )
