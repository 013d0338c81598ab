"""Exact duplicates: documents, and paragraphs or lines across documents."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.duplicates.hashes import is_among, repeated, run_starts
from keras_llm.data.hold_out import content_key
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

SAME_TEXT = "same text as an earlier document"
_KEY = 8  # bytes of a part's hash
_PARTINGS = {
    "line": (re.compile(r"\n"), "\n"),
    "paragraph": (re.compile(r"\n\s*\n"), "\n\n"),
}


def exact_duplicates() -> StagedStep:
    """Drops a document whose text was seen before.

    Texts are compared by `content_key`: after NFC and with every run of white
    space as one space. 16 bytes per document are held in memory.

    Example:

    >>> documents = [Document("a b", "one"), Document("a  b", "two")]
    >>> counts = Counts("exact_duplicates")
    >>> [d.source for d in exact_duplicates()(documents, counts)]
    ['one']
    >>> dict(counts.dropped)
    {'same text as an earlier document': 1}
    """

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        seen: set[bytes] = set()
        for document in documents:
            key = content_key(document.text)
            if key in seen:
                counts.drop(document, SAME_TEXT)
            else:
                seen.add(key)
                yield document

    def note(documents: Iterable[Document], _: Verdict) -> Notes:
        keys = b"".join(content_key(one.text) for one in documents)
        return {"keys": np.frombuffer(keys, "<u8").reshape(-1, 2)}

    def decide(notes: Sequence[Notes]) -> list[Verdict]:
        parts = [note["keys"] for note in notes]
        _, first = np.unique(np.concatenate(parts), axis=0, return_index=True)
        kept = np.zeros(sum(map(len, parts)), bool)
        kept[first] = True
        return split_like(kept, parts)

    return StagedStep(
        "exact_duplicates",
        run,
        rounds=(Round(note, decide),),
        filter=keep_if(SAME_TEXT),
    )


def duplicate_paragraphs(most: int = 1, shortest: int = 40) -> StagedStep:
    """Takes paragraphs out of documents when earlier ones have them already.

    Paragraphs are what blank lines separate; they are compared with every
    run of white space as one space. What is left of a document goes on, and
    a document of which nothing is left is dropped.

    Args:
        most: Documents that may have a paragraph: the first ones that do.
        shortest: Paragraphs of fewer characters are left alone.

    Raises:
        InputError: `most` or `shortest` is below 1.

    8 bytes of each paragraph are held in memory; the documents wait in a
    temporary folder (`TMPDIR`) until all have been seen.

    Source: paragraphs across documents as in CCNet, Wenzek et al. 2020,
    https://aclanthology.org/2020.lrec-1.494.

    Example:

    >>> documents = [Document("Subscribe now!\\n\\nOnce upon a time", "1"),
    ...     Document("Far away\\n\\nSubscribe  now!", "2")]
    >>> step = duplicate_paragraphs(shortest=8)
    >>> [d.text for d in step(documents, Counts("duplicate_paragraphs"))]
    ['Subscribe now!\\n\\nOnce upon a time', 'Far away']
    """
    return _of_parts("duplicate_paragraphs", "paragraph", False, most, shortest)


def duplicate_lines(most: int = 1, shortest: int = 40) -> StagedStep:
    """Takes lines out of documents when earlier ones have them already.

    As `duplicate_paragraphs`, line by line. Lines of code and verse repeat by
    nature: this is for text whose lines are sentences or paragraphs.

    Args:
        most: Documents that may have a line: the first ones that do.
        shortest: Lines of fewer characters are left alone.

    Raises:
        InputError: `most` or `shortest` is below 1.

    Example:

    >>> documents = [Document("Read more here\\nOnce", "1"),
    ...     Document("Upon a time\\nRead more here", "2")]
    >>> step = duplicate_lines(shortest=8)
    >>> [d.text for d in step(documents, Counts("duplicate_lines"))]
    ['Read more here\\nOnce', 'Upon a time']
    """
    return _of_parts("duplicate_lines", "line", False, most, shortest)


def repeated_lines(most: int = 10, shortest: int = 1) -> StagedStep:
    """Takes lines out everywhere that many documents have: boilerplate.

    Menus, notices and footers stand in many documents of a site, just so. In
    contrast to `duplicate_lines`, no document keeps such a line.

    Args:
        most: A line in more documents than these is boilerplate.
        shortest: Lines of fewer characters are left alone.

    Raises:
        InputError: `most` or `shortest` is below 1.

    Example:

    >>> documents = [Document(f"Home\\nPage {n}", str(n)) for n in range(3)]
    >>> step = repeated_lines(most=2)
    >>> [d.text for d in step(documents, Counts("repeated_lines"))]
    ['Page 0', 'Page 1', 'Page 2']
    """
    return _of_parts("repeated_lines", "line", True, most, shortest)


def _of_parts(
    name: str, unit: str, everywhere: bool, most: int, shortest: int
) -> StagedStep:
    """Returns a step that takes lines or paragraphs out of documents."""
    if most < 1 or shortest < 1:
        raise InputError(
            "Expected most and shortest to be at least 1. Received: "
            f"most={most}, shortest={shortest}."
        )
    parting, joint = _PARTINGS[unit]

    def note(documents: Iterable[Document], _: Verdict) -> Notes:
        keys, sizes = bytearray(), []
        for document in documents:
            parts = parting.split(document.text)
            before = len(keys)
            keys += b"".join(_key(p) for p in parts if _long(p, shortest))
            sizes.append((len(keys) - before) // _KEY)
        hashes = np.frombuffer(bytes(keys), "<u8")
        return {"hashes": hashes, "sizes": np.array(sizes, "int64")}

    def decide(notes: Sequence[Notes]) -> list[Verdict]:
        return _kept(notes, everywhere, most)

    def filter(
        documents: Iterable[Document], verdict: Verdict, counts: Counts
    ) -> Iterator[Document]:
        kept = iter(verdict.tolist())
        for document in documents:
            parts = parting.split(document.text)
            left = [p for p in parts if not _long(p, shortest) or next(kept)]
            text = joint.join(left)
            if len(left) == len(parts):
                yield document
            elif text.strip():
                counts.change(f"without a {unit} of other documents")
                yield replace(document, text=text)
            else:
                counts.drop(document, f"only {unit}s of other documents")

    settings = {"most": most, "shortest": shortest}
    return staged(name, [Round(note, decide)], filter, settings)


def _long(part: str, shortest: int) -> bool:
    return len(part) >= shortest and len(part.strip()) >= shortest


def _key(part: str) -> bytes:
    """Returns a hash of a part without its white space."""
    plain = " ".join(part.split()).encode("utf-8")
    return hashlib.blake2b(plain, digest_size=_KEY).digest()


def _kept(notes: Sequence[Notes], everywhere: bool, most: int) -> list[Verdict]:
    """Says of each part whether its document keeps it."""
    # Most parts stand in one place only: the others alone are sorted.
    known = repeated(np.concatenate([note["hashes"] for note in notes]))
    verdicts, hashes, documents, before = [], [], [], 0
    for note in notes:
        unique = ~is_among(note["hashes"], known)
        owners = np.repeat(np.arange(len(note["sizes"])), note["sizes"])
        verdicts.append(unique)
        hashes.append(note["hashes"][~unique])
        documents.append(owners[~unique] + before)
        before += len(note["sizes"])
    earlier, of_all = _documents_with(
        np.concatenate(hashes), np.concatenate(documents)
    )
    kept = of_all <= most if everywhere else earlier < most
    for verdict, own in zip(verdicts, split_like(kept, hashes), strict=True):
        verdict[~verdict] = own
    return verdicts


def _documents_with(
    hashes: np.ndarray, documents: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns for each part how many earlier documents have it, and how many
    in all; `documents` is in ascending order.
    """
    order = np.argsort(hashes, kind="stable")
    hashes, documents = hashes[order], documents[order]
    new = np.ones(len(hashes), "int64")
    new[1:] = (np.diff(hashes) != 0) | (np.diff(documents) != 0)
    starts = run_starts(hashes)
    sizes = np.diff(starts, append=len(hashes))
    number = np.cumsum(new)
    counts = np.add.reduceat(new, starts) if len(starts) else starts
    earlier, of_all = np.empty((2, len(hashes)), "int64")
    earlier[order] = number - np.repeat(number[starts], sizes)
    of_all[order] = np.repeat(counts, sizes)
    return earlier, of_all
