"""Memorization: what of a model's texts is verbatim in its training data."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_llm.data.duplicates.ngram_index import NgramIndex
from keras_llm.data.rows import Rows
from keras_llm.errors import InputError
from keras_llm.evaluate.finding import Block, Measure, Picture, Table, Words
from keras_llm.evaluate.statistics import standard_error
from keras_llm.evaluate.suffix_automaton import SuffixAutomaton
from keras_llm.progress import track

_BLOCK = 1 << 20  # tokens read at a time
_SHOWN = 20
_EXCERPT = 200  # characters


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerbatimOverlap:
    """The longest part of a sample that the training data has verbatim.

    Attributes:
        sample: Its number.
        tokens: Of the sample.
        longest: Tokens of the longest overlap; 0 for none that is as long as
            `shortest`.
        covered: Share of the sample's tokens in any overlap.
        row: The first training row found with it, None without overlap.
        text: Of the overlap.

    Example:

    >>> VerbatimOverlap(sample=0, tokens=9, longest=0, covered=0.0).row is None
    True
    """

    sample: int
    tokens: int
    longest: int
    covered: float
    row: int | None = None
    text: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemorizationReport:
    """What samples share with the training data; a `Finding`.

    Attributes:
        overlaps: One for each sample, in order.
        shortest: Overlaps of fewer tokens are not looked for.
        memorized: Tokens from which an overlap counts as memorized.
        searched: Training tokens that were read.
        row_length: Overlaps cannot be longer: rows are read one by one.

    Example:

    >>> overlaps = [VerbatimOverlap(sample=0, tokens=9, longest=6, covered=.7)]
    >>> report = MemorizationReport(overlaps=overlaps, shortest=4,
    ...     memorized=50, searched=1000, row_length=65)
    >>> report.measures()["memorization/longest"].value
    6.0
    """

    overlaps: Sequence[VerbatimOverlap]
    shortest: int
    memorized: int
    searched: int
    row_length: int
    title: str = "Memorization"

    def measures(self) -> dict[str, Measure]:
        """Returns the longest overlap, the mean, the shares memorized."""
        longest = np.array([one.longest for one in self.overlaps], "float64")
        covered = np.array([one.covered for one in self.overlaps])
        return {
            "memorization/longest": Measure(
                float(longest.max()), None, len(longest), False
            ),
            "memorization/mean_longest": _mean(longest),
            "memorization/covered": _mean(covered),
            "memorization/memorized": _mean(longest >= self.memorized),
        }

    def blocks(self) -> list[Block]:
        """Returns what was looked for, the longest overlaps, a picture."""
        order = sorted(self.overlaps, key=lambda one: -one.longest)
        rows = [
            {
                "sample": one.sample,
                "tokens": one.tokens,
                "longest overlap": one.longest,
                "covered": one.covered,
                "training row": one.row,
                "text": one.text[:_EXCERPT],
            }
            for one in order[:_SHOWN]
            if one.longest
        ]
        return [
            Words(
                f"{len(self.overlaps):,} samples beside {self.searched:,} "
                f"training tokens. Looked for: {self.shortest} tokens or "
                "more that stand in one training row just so. From "
                f"{self.memorized} tokens on a sample counts as memorized. "
                f"Rows have {self.row_length:,} tokens, so no overlap is "
                "seen to be longer."
            ),
            Table(rows, "The longest overlaps."),
            Picture(self._figure(), "Samples by their longest overlap."),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return dataclasses.asdict(self)

    def _figure(self) -> Any:
        from keras_llm.figures import new_figure

        figure = new_figure(8, 3.2)
        axes = figure.subplots()
        axes.hist([one.longest for one in self.overlaps], bins=30)
        axes.axvline(self.memorized, color="black", linestyle="--")
        axes.set(xlabel="longest overlap (tokens)", ylabel="samples")
        return figure


def memorization(
    samples: Sequence[str],
    rows: Rows,
    tokenizer: Any,
    shortest: int = 12,
    memorized: int = 50,
) -> MemorizationReport:
    """Finds the longest verbatim overlap of samples with training rows.

    The shards are read once, front to back, whatever their size; memory grows
    with the samples alone. Pass what the model wrote, without the prompts.

    Args:
        samples: Texts that the model wrote.
        rows: What it was trained on: `data.open_rows(folder)`.
        tokenizer: The one that packed the rows.
        shortest: Fewest tokens of an overlap, at least 2.
        memorized: Tokens from which a sample counts as memorized.

    Raises:
        InputError: There is no sample, the tokenizer is another, or
            `shortest` is below 2.

    Source: verbatim overlap of 50 tokens as in Lee et al. 2022,
    https://aclanthology.org/2022.acl-long.577.

    Example:

    >>> import tempfile
    >>> from keras_llm.data import Document, open_rows, pack_corpus
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> text = "a rose is a rose is a rose"
    >>> tokenizer = HostTokenizer.train([text], 261)
    >>> folder = tempfile.mkdtemp()
    >>> _ = pack_corpus([Document(text, "")], tokenizer, folder, 64)
    >>> report = memorization(["I say: a rose is a thorn", "no"],
    ...     open_rows(folder), tokenizer, shortest=4)
    >>> [one.text for one in report.overlaps]
    [' a rose is a ', '']
    """
    if not samples:
        raise InputError("Expected at least one sample. Received: none.")
    if shortest < 2:
        raise InputError(
            "Expected to look for overlaps of 2 tokens or more. Received: "
            f"shortest={shortest}."
        )
    rows.require(tokenizer)
    encoded = tokenizer.encode(list(samples), disallowed_special=())
    joined = _joined(encoded)
    automaton = SuffixAutomaton(joined.tolist())
    index = NgramIndex(joined, _places(encoded, shortest), shortest)
    for begin, tokens in _candidates(index, rows):
        automaton.read(tokens.tolist(), begin)
    lengths, places = automaton.matches()
    lengths[lengths < shortest] = 0
    found, at = [], 0
    for number, ids in enumerate(encoded):
        mine = slice(at, at + len(ids))
        found.append(
            _overlap(number, ids, lengths[mine], places[mine], rows, tokenizer)
        )
        at += len(ids) + 1
    return MemorizationReport(
        overlaps=found,
        shortest=shortest,
        memorized=memorized,
        searched=rows.info.tokens,
        row_length=rows.row_length,
    )


def _joined(encoded: Sequence[Sequence[int]]) -> np.ndarray:
    """All samples one after the other, each ended by a number of its own
    that no token has.
    """
    parts = [np.append(ids, -1 - at) for at, ids in enumerate(encoded)]
    return np.concatenate(parts).astype("int64")


def _places(encoded: Sequence[Sequence[int]], size: int) -> np.ndarray:
    """Where in the joined samples n-grams begin that end within their own."""
    at, places = 0, []
    for ids in encoded:
        places.append(np.arange(at, at + max(0, len(ids) - size + 1)))
        at += len(ids) + 1
    return np.concatenate(places)


def _candidates(
    index: NgramIndex, rows: Rows
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields stretches of training tokens of which every n-gram is in the
    index, and where they begin; none leaves its row or its document.
    """
    step = max(1, _BLOCK // rows.row_length)
    begins = range(0, len(rows), step)
    for begin in track(begins, "searching", len(begins)):
        block = rows[begin : begin + step]
        tokens, segments = block["tokens"].ravel(), block["segments"].ravel()
        where, _ = index.find(tokens)
        last = where + index.size - 1
        row = where // rows.row_length
        inside = (segments[where] > 0) & (segments[where] == segments[last])
        inside &= row == last // rows.row_length
        where, row = where[inside], row[inside]
        breaks = np.flatnonzero((np.diff(where) != 1) | (np.diff(row) != 0))
        for run in np.split(where, breaks + 1) if len(where) else ():
            stretch = tokens[run[0] : run[-1] + index.size]
            yield begin * rows.row_length + int(run[0]), stretch


def _overlap(
    number: int,
    ids: Sequence[int],
    lengths: np.ndarray,
    places: np.ndarray,
    rows: Rows,
    tokenizer: Any,
) -> VerbatimOverlap:
    if not len(ids) or not lengths.any():
        return VerbatimOverlap(
            sample=number, tokens=len(ids), longest=0, covered=0.0
        )
    end = int(lengths.argmax())
    longest = int(lengths[end])
    covered = np.zeros(len(ids) + 1, "int64")
    np.add.at(covered, np.arange(len(ids)) - lengths + 1, lengths > 0)
    np.add.at(covered, np.arange(len(ids)) + 1, -1 * (lengths > 0))
    return VerbatimOverlap(
        sample=number,
        tokens=len(ids),
        longest=longest,
        covered=float((np.cumsum(covered)[:-1] > 0).mean()),
        row=int(places[end]) // rows.row_length,
        text=tokenizer.decode(list(ids[end - longest + 1 : end + 1])),
    )


def _mean(values: np.ndarray) -> Measure:
    values = np.asarray(values, "float64")
    mean = float(values.mean())
    return Measure(mean, standard_error(values), len(values), False)
