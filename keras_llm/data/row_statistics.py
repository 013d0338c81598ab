"""Statistics of packed rows, from their arrays, in bounded memory."""

from dataclasses import dataclass

import numpy as np

from keras_llm.data.rows import Rows
from keras_llm.progress import track

_STEP_TOKENS = 2**22


@dataclass(frozen=True)
class RowStatistics:
    """What the arrays of packed rows say.

    Attributes:
        rows: Number of rows.
        part_lengths: `part_lengths[n]` parts of documents are n tokens long.
            A document longer than a row has several parts.
        parts_per_row: `parts_per_row[n]` rows have n parts.
        token_counts: How often each id occurs, without padding.

    Example:

    >>> lengths, parts = np.array([0, 0, 3, 1]), np.array([0, 2, 1])
    >>> found = RowStatistics(3, lengths, parts, np.array([5, 4, 0]))
    >>> found.parts, found.tokens_used, found.part_length(0.5)
    (4, 2, 2)
    """

    rows: int
    part_lengths: np.ndarray
    parts_per_row: np.ndarray
    token_counts: np.ndarray

    @property
    def parts(self) -> int:
        """Returns the number of parts of documents in all rows."""
        return int(self.part_lengths.sum())

    @property
    def tokens_used(self) -> int:
        """Returns how many ids occur at all."""
        return int(np.count_nonzero(self.token_counts))

    def part_length(self, share: float) -> int:
        """Returns the length that this share of the parts does not exceed."""
        reached = np.cumsum(self.part_lengths) >= share * self.parts
        return int(np.argmax(reached))


def row_statistics(rows: Rows) -> RowStatistics:
    """Counts lengths, documents per row and tokens of packed rows.

    Args:
        rows: From `open_rows`; read once, a few million tokens at a time.

    Example:

    >>> import tempfile
    >>> from keras_llm.data import Document, open_rows, pack_corpus
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> documents = [Document("rose", ""), Document("is", "")]
    >>> tokenizer = HostTokenizer.train(["a rose is a rose"], 261)
    >>> folder = tempfile.mkdtemp()
    >>> _ = pack_corpus(documents, tokenizer, folder, context_length=15)
    >>> row_statistics(open_rows(folder)).parts_per_row.tolist()
    [0, 0, 1]
    """
    length = rows.row_length
    lengths = np.zeros(length + 1, np.int64)
    per_row = np.zeros(length + 1, np.int64)
    tokens = np.zeros(rows.vocabulary_size, np.int64)
    step = max(1, _STEP_TOKENS // length)
    starts = range(0, len(rows), step)
    for start in track(starts, "counting", len(starts)):
        packed = rows[start : min(start + step, len(rows))]
        segments = packed["segments"]
        per_row += np.bincount(segments.max(axis=1), minlength=length + 1)
        tokens += np.bincount(
            packed["tokens"][segments > 0], minlength=len(tokens)
        )
        # Parts of all rows numbered through, so that one count finds all.
        numbered = segments + np.arange(len(segments))[:, None] * (length + 1)
        sizes = np.bincount(numbered[segments > 0])
        lengths += np.bincount(sizes[sizes > 0], minlength=length + 1)
    last = np.flatnonzero(per_row).max()
    return RowStatistics(len(rows), lengths, per_row[: last + 1], tokens)
