"""How hard a packed row is to learn from, by what its tokens say."""

import zlib
from collections.abc import Callable, Iterator

import numpy as np

from keras_llm.data.rows import Rows
from keras_llm.errors import InputError
from keras_llm.progress import track

_BLOCK_ROWS = 1024
Packed = dict[str, np.ndarray]


def row_scores(rows: Rows, by: str) -> np.ndarray:
    """Returns a number for each row: the higher, the harder.

    Args:
        rows: From `open_rows`. Of a mixture each row of the sources is
            scored once, in the order of the sources.
        by: "length": mean tokens of a row's documents, or of the parts of
            them that are in the row. "compression": bytes that zlib makes of
            a byte of the token ids; repetitive text has less. For rows of
            some hundred tokens: at 512 it ranks rows as compression of their
            text does (0.92), at 64 it does not (0.07). "rarity": mean bits of
            a token under the frequencies of these rows.

    Returns:
        float64, (rows.info.rows,).

    Raises:
        InputError: No such score.

    Source: rarity: Platanios et al. 2019, Competence-based curriculum
    learning, whose sum is a mean here, since rows are all alike in length.

    Example:

    >>> import tempfile
    >>> from keras_llm.data import Document, open_rows, pack_corpus
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> documents = [Document("a rose is a rose", "stein.txt")]
    >>> tokenizer = HostTokenizer.train([documents[0].text], 261)
    >>> folder = tempfile.mkdtemp()
    >>> _ = pack_corpus(documents, tokenizer, folder, context_length=8)
    >>> row_scores(open_rows(folder), "length").tolist()
    [9.0, 9.0, 2.0]
    """
    if by not in SCORES:
        raise InputError(
            f"Expected a score among {', '.join(SCORES)}. Received: {by!r}. "
            "Or give a number for each row yourself."
        )
    score = SCORES[by](rows)
    found = [score(block) for block in _blocks(rows, f"scoring by {by}")]
    return np.concatenate(found) if found else np.empty(0)


def _blocks(rows: Rows, doing: str) -> Iterator[Packed]:
    """Yields all rows in the order of their files, many at a time."""
    number = rows.info.rows
    begins = range(0, number, _BLOCK_ROWS)
    for begin in track(begins, doing, len(begins)):
        yield rows.stored(np.arange(begin, min(begin + _BLOCK_ROWS, number)))


def _length(rows: Rows) -> Callable[[Packed], np.ndarray]:
    def score(block: Packed) -> np.ndarray:
        segments = block["segments"]
        return (segments > 0).sum(axis=1) / segments.max(axis=1)

    return score


def _compression(rows: Rows) -> Callable[[Packed], np.ndarray]:
    def ratio(tokens: np.ndarray) -> float:
        raw = tokens.astype(rows.manifest.token_dtype).tobytes()
        return len(zlib.compress(raw)) / len(raw)

    def score(block: Packed) -> np.ndarray:
        pairs = zip(block["tokens"], block["segments"] > 0, strict=True)
        return np.array([ratio(tokens[real]) for tokens, real in pairs])

    return score


def _rarity(rows: Rows) -> Callable[[Packed], np.ndarray]:
    counts = np.zeros(rows.vocabulary_size, np.int64)
    for block in _blocks(rows, "counting tokens"):
        real = block["tokens"][block["segments"] > 0]
        counts += np.bincount(real, minlength=len(counts))
    # An id that never comes is never looked up.
    bits = np.log2(counts.sum() / np.maximum(counts, 1))

    def score(block: Packed) -> np.ndarray:
        real = block["segments"] > 0
        return (bits[block["tokens"]] * real).sum(axis=1) / real.sum(axis=1)

    return score


SCORES = {"length": _length, "compression": _compression, "rarity": _rarity}
