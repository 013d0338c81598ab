"""Packing: documents of any length into rows of one length (best fit)."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from keras_llm.errors import InputError

OPEN_ROWS = 1_000
SHORTEST = 2  # A piece of one token has no target.

Ids = Sequence[int] | np.ndarray


class Row(NamedTuple):
    """One packed row, context_length + 1 tokens long.

    Attributes:
        tokens: int32, (row_length,); 0 where nothing is.
        segments: int32, (row_length,); 1 for the first document of the row,
            2 for the next, 0 where nothing is.

    Example:

    >>> tokens, segments = next(pack([[5, 6], [7, 8]], row_length=5))
    >>> segments.tolist()
    [1, 1, 2, 2, 0]
    """

    tokens: np.ndarray
    segments: np.ndarray


@dataclass
class PackCounts:
    """What packing made of the documents.

    Attributes:
        documents: Documents packed, without the empty ones.
        empty: Documents without a token, left out.
        tokens: Tokens in documents, with begin and end tokens.
        targets: Tokens that will be predicted, each exactly once per epoch.
        rows: Rows made.
        row_length: Tokens per row.

    Example:

    >>> counts = PackCounts()
    >>> rows = list(pack([[5, 6, 7], [8, 9]], row_length=5, counts=counts))
    >>> counts.rows, counts.targets, counts.padding_share
    (1, 3, 0.25)
    """

    documents: int = 0
    empty: int = 0
    tokens: int = 0
    targets: int = 0
    rows: int = 0
    row_length: int = 0

    @property
    def padding_share(self) -> float:
        """Returns the share of row positions without a target.

        Position 0 of each row is not counted: no row can have a target there.
        """
        places = self.rows * (self.row_length - 1)
        return 1 - self.targets / places if places else 0.0


def pack(
    documents_ids: Iterable[Ids],
    row_length: int,
    bos_id: int | None = None,
    eos_id: int | None = None,
    counts: PackCounts | None = None,
    open_rows: int = OPEN_ROWS,
) -> Iterator[Row]:
    """Packs documents into rows with little padding and no truncation.

    A document becomes [bos] + ids + [eos]. One longer than a row is cut into
    pieces that overlap by one token, so every token but the first of a
    document is a target exactly once. Each piece goes to the open row with
    the least room that still holds it (best fit, as in "Fewer Truncations
    Improve Language Modeling", Ding et al. 2024, but on a stream); when more
    than `open_rows` rows are open the fullest one is closed. The same
    documents in the same order give the same rows.

    Args:
        documents_ids: Token ids of one document after the other.
        row_length: Tokens per row: context_length + 1, because inputs and
            targets are the row without its last and its first token.
        bos_id: Token put before each document; None for none.
        eos_id: Token put after each document; None for none.
        counts: Filled while rows are made.
        open_rows: Rows kept open at a time; more rows pack tighter.

    Raises:
        InputError: `row_length` < 2 or `open_rows` < 1.

    Example:

    >>> rows = list(pack([[5, 6, 7], [8]], row_length=8, eos_id=1))
    >>> rows[0].tokens.tolist(), rows[0].segments.tolist()
    ([5, 6, 7, 1, 8, 1, 0, 0], [1, 1, 1, 1, 2, 2, 0, 0])
    """
    if row_length < SHORTEST or open_rows < 1:
        raise InputError(
            "Expected row_length >= 2 (context_length + 1) and open_rows >= 1. "
            f"Received: row_length={row_length}, open_rows={open_rows}."
        )
    counts = counts if counts is not None else PackCounts()
    counts.row_length = row_length
    return _pack(documents_ids, row_length, bos_id, eos_id, counts, open_rows)


def _pack(
    documents_ids: Iterable[Ids],
    row_length: int,
    bos_id: int | None,
    eos_id: int | None,
    counts: PackCounts,
    open_rows: int,
) -> Iterator[Row]:
    """Yields the rows of `pack`."""
    rows = _OpenRows(row_length)
    for ids in documents_ids:
        if len(ids) == 0:
            counts.empty += 1
            continue
        document = _with_ends(ids, bos_id, eos_id)
        counts.documents += 1
        counts.tokens += len(document)
        for piece in _pieces(document, row_length):
            counts.targets += len(piece) - 1
            full = rows.put(piece)
            if full is None and rows.number > open_rows:
                full = rows.fullest()
            if full is not None:
                counts.rows += 1
                yield _row(full, row_length)
    while rows.number:
        counts.rows += 1
        yield _row(rows.fullest(), row_length)


class _OpenRows:
    """Rows that still have room, found by how much room they have.

    `_sizes` has bit r set when a row with r free places is open, so that the
    tightest fit is the lowest set bit from the length on: no search.
    """

    def __init__(self, row_length: int):
        self.number = 0
        self._row_length = row_length
        self._sizes = 0
        self._by_room: dict[int, deque[list[np.ndarray]]] = defaultdict(deque)

    def put(self, piece: np.ndarray) -> list[np.ndarray] | None:
        """Adds a piece to the tightest row; returns the row if it is full."""
        fitting = self._sizes >> len(piece)
        if fitting:
            room = len(piece) + _lowest_bit(fitting)
            row = self._take(room)
        else:
            room, row = self._row_length, []
        row.append(piece)
        room -= len(piece)
        if room < SHORTEST:
            return row
        self._by_room[room].append(row)
        self._sizes |= 1 << room
        self.number += 1
        return None

    def fullest(self) -> list[np.ndarray]:
        """Removes and returns the row with the least room, the oldest of
        those first.
        """
        return self._take(_lowest_bit(self._sizes))

    def _take(self, room: int) -> list[np.ndarray]:
        """Removes and returns the oldest row with this much room."""
        rows = self._by_room[room]
        row = rows.popleft()
        if not rows:
            self._sizes ^= 1 << room
        self.number -= 1
        return row


def _lowest_bit(bits: int) -> int:
    """Returns the place of the lowest set bit."""
    return (bits & -bits).bit_length() - 1


def _with_ends(ids: Ids, bos_id: int | None, eos_id: int | None) -> np.ndarray:
    """Returns [bos] + ids + [eos] as int32."""
    first = [] if bos_id is None else [bos_id]
    last = [] if eos_id is None else [eos_id]
    return np.concatenate([first, ids, last], dtype=np.int32, casting="unsafe")


def _pieces(document: np.ndarray, row_length: int) -> Iterator[np.ndarray]:
    """Yields pieces of at most `row_length`; the last token of one is the
    first of the next, where it is context and no target.
    """
    for start in range(0, len(document) - 1, row_length - 1):
        yield document[start : start + row_length]


def _row(pieces: list[np.ndarray], row_length: int) -> Row:
    """Lays the pieces of a row side by side."""
    tokens = np.zeros(row_length, np.int32)
    segments = np.zeros(row_length, np.int32)
    end = 0
    for number, piece in enumerate(pieces, start=1):
        begin, end = end, end + len(piece)
        tokens[begin:end] = piece
        segments[begin:end] = number
    return Row(tokens, segments)
