"""describe_corpus: one pass over documents, and what a sample adds to it."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.duplicates.near import near_duplicates
from keras_llm.data.quality.language_id import language
from keras_llm.errors import InputError
from keras_llm.evaluate.bits import xz_bits
from keras_llm.evaluate.corpus.description import CorpusDescription
from keras_llm.evaluate.corpus.readability import (
    LANGUAGE,
    TextSize,
    ease_of,
    grade_of,
)
from keras_llm.evaluate.corpus.running import Mean
from keras_llm.evaluate.corpus.sketches import Frequent
from keras_llm.evaluate.corpus.tally import QUANTITIES, Tally
from keras_llm.progress import track

TOP = 50  # words, and lines
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
NEAR = 0.7  # Jaccard index from which documents count as alike
XZ_BYTES = 1 << 21
BIN = 5  # points of reading ease
EASE_LIMITS = (-50, 120)  # what is beyond is counted at the ends


def describe_corpus(
    documents: Iterable[Document],
    tokenizer: Any = None,
    identify: bool = True,
    sample_bytes: int = 1 << 24,
    seed: int = 0,
    progress: bool = True,
) -> CorpusDescription:
    """Counts what a corpus is made of, in one pass and bounded memory.

    All documents are counted; readability, compression and near duplicates
    are measured on a sample. What is estimated says so, with its error.

    Args:
        documents: For example `read_corpus(...)` or `read_documents(...)`.
        tokenizer: Counts tokens: anything with `encode(text,
            disallowed_special=())`. Default: no tokens.
        identify: Whether the language of a document that states none is
            identified (py3langid).
        sample_bytes: Text of the sample. Default: 16 MiB; the whole corpus
            if that is smaller.
        seed: Of the sample.
        progress: Whether a bar is shown.

    Raises:
        InputError: There is no document, `sample_bytes` is not positive, or
            py3langid is missing.

    Source: of each number, see docs/corpus_report.md.

    Example:

    >>> texts = ["A rose is a rose.", "A thorn is sharp."]
    >>> found = describe_corpus(
    ...     [Document(text, "a", language="en") for text in texts])
    >>> found.documents, found.words, found.vocabulary["types"]
    (2, 9, 5)
    """
    if sample_bytes < 1:
        raise InputError(
            f"Expected a sample of 1 byte or more. Received: {sample_bytes}."
        )
    tally = Tally(tokenizer, sample_bytes, seed)
    if identify:
        documents = _identified(documents)
    for document in track(documents, "counting") if progress else documents:
        tally.add(document)
    if not tally.sums[0]:
        raise InputError("Expected at least one document. Received: none.")
    sample = tally.sample.items()
    size, length, words, tokens = tally.sums
    return CorpusDescription(
        documents=size,
        bytes=length,
        words=words,
        tokens=tokens if tokenizer is not None else None,
        characters=tally.characters,
        groups=_groups(tally, tokenizer is not None),
        lengths=_lengths(tally),
        vocabulary=_vocabulary(tally),
        readability=_readability(sample),
        compression=_compression(tally, sample),
        duplicates=_duplicates(tally, sample),
        pronouns=_pronouns(tally),
        sample={
            "documents": len(sample),
            "bytes": sum(len(one.text.encode("utf-8")) for one in sample),
            "seed": seed,
        },
    )


def _identified(documents: Iterable[Document]) -> Iterator[Document]:
    """Yields documents, those without a language with the one found."""
    step = language(keep=None, threshold=0.0)
    for document in documents:
        if document.language is None:
            document = next(iter(step.run([document], Counts(step.name))))
        yield document


def _groups(tally: Tally, tokens: bool) -> dict[str, list[dict[str, Any]]]:
    """Sizes of each group, and its share of all bytes."""
    whole = max(tally.sums[1], 1)
    found: dict[str, list[dict[str, Any]]] = {}
    for kind, sums in tally.groups.items():
        rows = sums.largest()
        names = without_folder([name for name, _ in rows])
        for name, (_, values) in zip(names, rows, strict=True):
            row: dict[str, Any] = {"name": name}
            row |= dict(zip(QUANTITIES, values, strict=True))
            row["tokens"] = row["tokens"] if tokens else None
            row["share"] = values[1] / whole
            found.setdefault(kind, []).append(row)
    return found


def without_folder(names: Sequence[str]) -> list[str]:
    """Returns paths as seen from the folder that they have in common.

    Where that is on this machine is nobody's business. Other names stay.

    Example:

    >>> without_folder(["/home/me/a/one.txt", "/home/me/b/two.txt", "web"])
    ['a/one.txt', 'b/two.txt', 'web']
    """
    paths = [name for name in names if os.path.isabs(name)]
    if not paths:
        return list(names)
    common = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [
        os.path.relpath(name, common) if os.path.isabs(name) else name
        for name in names
    ]


def _lengths(tally: Tally) -> dict[str, Any]:
    lengths = tally.lengths
    return {
        "smallest": lengths.smallest,
        "largest": lengths.largest,
        "mean": tally.sums[2] / tally.sums[0],
        "quantiles": {str(q): lengths.quantile(q) for q in QUANTILES},
        "histogram": [
            {"from": low, "to": high, "documents": count}
            for low, high, count in lengths.histogram()
        ],
    }


def _vocabulary(tally: Tally) -> dict[str, Any]:
    words = tally.words
    curve = [*tally.curve]
    if not curve or curve[-1][0] != words.total:
        curve.append((words.total, words.estimate))
    return {
        "running": words.total,
        "types": words.estimate,
        "types_error": words.error,
        "once_share": words.share_of_types(1),
        "rare_share": words.share_of_types(4),
        "in_a_thousand": tally.variety.value if tally.variety.count else None,
        "in_a_thousand_error": tally.variety.error,
        "curve": [{"words": n, "types": v} for n, v in curve],
        "heaps": _heaps(curve),
        "top": _top(tally.top_words, words.total),
        "top_error": tally.top_words.error,
    }


def _heaps(curve: Sequence[tuple[int, int]]) -> dict[str, float] | None:
    """Fits types = k * words ** beta on logarithms; None below 3 points.

    Source: Heaps 1978, "Information retrieval", section 7.5.
    """
    if len(curve) < 3:
        return None
    words, types = np.log(np.array(curve, "float64")).T
    beta, k = np.polyfit(words, types, 1)
    return {"k": float(np.exp(k)), "beta": float(beta)}


def _top(names: Frequent, total: int) -> list[dict[str, Any]]:
    return [
        {"name": name, "count": count, "share": count / total}
        for name, count in names.top(TOP)
    ]


def _readability(sample: Sequence[Document]) -> dict[str, Any] | None:
    """Flesch's numbers of the English documents; None without any."""
    ease, grade, bins = Mean(), Mean(), Counter[int]()
    for document in sample:
        if document.language != LANGUAGE:
            continue
        size = TextSize.of(document.text)
        if not size.words or not size.sentences:
            continue
        value = ease_of(size)
        ease.add(value)
        grade.add(grade_of(size))
        low, high = EASE_LIMITS
        bins[int(min(max(value, low), high - 1) // BIN) * BIN] += 1
    if not ease.count:
        return None
    return {
        "documents": ease.count,
        "ease": ease.value,
        "ease_error": ease.error,
        "grade": grade.value,
        "grade_error": grade.error,
        "histogram": [
            {"from": low, "to": low + BIN, "documents": bins[low]}
            for low in range(min(bins), max(bins) + 1, BIN)
        ],
    }


def _compression(tally: Tally, sample: Sequence[Document]) -> dict[str, Any]:
    counts = tally.byte_counts[tally.byte_counts > 0]
    shares = counts / max(counts.sum(), 1)
    texts, size = [], 0
    for document in sample:
        if size >= XZ_BYTES:
            break
        texts.append(document.text)
        size += len(document.text.encode("utf-8"))
    return {
        "byte_entropy": float(-(shares * np.log2(shares)).sum()),
        "xz_bits_per_byte": xz_bits(texts) / size if size else None,
        "xz_bytes": size,
    }


def _duplicates(tally: Tally, sample: Sequence[Document]) -> dict[str, Any]:
    # Equal texts are counted apart: what is near is what is left.
    different = list({one.text: one for one in sample}.values())
    counts = Counts("near_duplicates")
    for _ in near_duplicates(NEAR)(different, counts):
        pass
    near = sum(counts.dropped.values())
    return {
        "equal_share": tally.texts.repeats(),
        "equal_exact": tally.texts.exact,
        "near_share": near / len(different),
        "near_documents": len(different),
        "near_exact": len(sample) == tally.sums[0],
        "near_threshold": NEAR,
        "lines": tally.lines.total,
        "line_share": tally.lines.repeats(),
        "lines_exact": tally.lines.exact,
        "top_lines": [
            row
            for row in _top(tally.top_lines, max(tally.lines.total, 1))
            if row["count"] > 1
        ][:20],
        "top_lines_error": tally.top_lines.error,
    }


def _pronouns(tally: Tally) -> dict[str, Any] | None:
    counts = tally.pronouns
    if counts.share is None:
        return None
    return {
        "female": counts.female,
        "male": counts.male,
        "documents": counts.documents,
        "share": counts.share,
        "error": counts.error,
        "interval": list(counts.interval() or ()) or None,
    }
