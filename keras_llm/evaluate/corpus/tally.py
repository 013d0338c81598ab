"""One pass over a corpus: everything that is counted document by document."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from keras_llm.data.document import Document
from keras_llm.data.hold_out import content_key
from keras_llm.data.quality.words import is_word, tokens_of
from keras_llm.evaluate.corpus.pronouns import PronounCounts
from keras_llm.evaluate.corpus.readability import LANGUAGE
from keras_llm.evaluate.corpus.running import Lengths, Mean, Sample
from keras_llm.evaluate.corpus.sketches import Distinct, Frequent, Sums

UNKNOWN = "unknown"
QUANTITIES = ("documents", "bytes", "words", "tokens")
CHUNK = 1000  # word forms looked at together: the window of their variety
SHORTEST_LINE = 20  # characters; shorter ones repeat by nature
LONGEST = 1 << 20  # characters of a document that the sample holds
_LINE_KEY = 200  # characters; longer lines are told apart by a hash
_MARKS = 1.5  # a point of the curve wherever the words grow by this
_PLACE = re.compile(r"(?::\d+|#\d+)+$")
_YEAR = re.compile(r"\d{4}")
_DATES = ("date", "published", "created", "timestamp", "time", "year")


def source_of(document: Document) -> str:
    """Returns a document's source without its line or part.

    Example:

    >>> source_of(Document("A", "notes/a.jsonl:12#3"))
    'notes/a.jsonl'
    """
    return _PLACE.sub("", document.source)


def domain_of(document: Document) -> str:
    """Returns the host that a document is from, "" if from none.

    Example:

    >>> domain_of(Document("A", "https://www.example.org/a?b"))
    'example.org'
    """
    url = str(document.metadata.get("url") or document.source)
    if "://" not in url:
        return ""
    host = urlsplit(url).hostname or ""
    return host.removeprefix("www.")


def year_of(document: Document) -> str:
    """Returns the year that a document's metadata tells, "" if none.

    Example:

    >>> year_of(Document("A", "a", metadata={"date": "2021-05-03T10:00"}))
    '2021'
    """
    for name in _DATES:
        found = _YEAR.match(str(document.metadata.get(name, "")))
        if found and 1000 <= int(found[0]) <= 2199:
            return found[0]
    return ""


KINDS: dict[str, Callable[[Document], str]] = {
    "source": source_of,
    "domain": domain_of,
    "language": lambda document: document.language or UNKNOWN,
    "license": lambda document: document.license or UNKNOWN,
    "year": year_of,
}
"""How documents are grouped: kind -> name of a document's group, or ""."""


class Tally:
    """What was counted so far.

    Memory does not grow with the corpus; see `sketches` for the errors.

    Args:
        tokenizer: Has `encode(text, disallowed_special=())`; None counts no
            tokens.
        sample_bytes: Text held for what looks at a sample only.
        seed: Of the sample.

    Attributes:
        sums: Documents, bytes, words (by white space) and tokens.
        groups: Kind -> the same by group.
        words: Word forms in lower case.
        curve: How many words were read and how many forms they had, at
            growing numbers of words.
        variety: Forms in each window of 1,000 words.

    Example:

    >>> tally = Tally()
    >>> tally.add(Document("A rose is a rose.", "a.txt:1", language="en"))
    >>> tally.sums, tally.words.estimate
    ([1, 17, 5, 0], 3)
    """

    def __init__(
        self, tokenizer: Any = None, sample_bytes: int = 1 << 24, seed: int = 0
    ):
        self._tokenizer = tokenizer
        self.sums = [0] * len(QUANTITIES)
        self.characters = 0
        self.groups = {kind: Sums(len(QUANTITIES)) for kind in KINDS}
        self.lengths = Lengths()
        self.byte_counts = np.zeros(256, "int64")
        self.words, self.top_words = Distinct(), Frequent()
        self.curve: list[tuple[int, int]] = []
        self.variety = Mean()
        self.texts, self.lines = Distinct(), Distinct()
        self.top_lines = Frequent()
        self.pronouns = PronounCounts()
        self.sample: Sample[Document] = Sample(sample_bytes, seed)
        self._next = CHUNK

    def add(self, document: Document) -> None:
        """Counts one document."""
        text = document.text
        data = text.encode("utf-8")
        words = len(text.split())
        sizes = (1, len(data), words, self._tokens(text))
        self.sums = [a + b for a, b in zip(self.sums, sizes, strict=True)]
        for kind, name_of in KINDS.items():
            if name := name_of(document):
                self.groups[kind].add(name, sizes)
        self.characters += len(text)
        self.lengths.add(words)
        self.byte_counts += np.bincount(
            np.frombuffer(data, "uint8"), minlength=256
        )
        self.texts.add({content_key(text).hex(): 1})
        self._add_words(document)
        self._add_lines(text)
        held = replace(document, text=text[:LONGEST])
        self.sample.add(held, min(len(data), LONGEST))

    def _tokens(self, text: str) -> int:
        if self._tokenizer is None:
            return 0
        return len(self._tokenizer.encode(text, disallowed_special=()))

    def _add_words(self, document: Document) -> None:
        forms = [
            one.lower() for one in tokens_of(document.text) if is_word(one)
        ]
        for counts in _chunks(forms):
            self.words.add(counts)
            self.top_words.add(counts)
            if self.words.total >= self._next:
                self.curve.append((self.words.total, self.words.estimate))
                self._next = round(self.words.total * _MARKS)
            if sum(counts.values()) == CHUNK:
                self.variety.add(len(counts))
        if document.language == LANGUAGE:
            self.pronouns.add(Counter(forms))

    def _add_lines(self, text: str) -> None:
        lines = Counter(_line_keys(text))
        self.lines.add(lines)
        self.top_lines.add(lines)


def _chunks(words: Sequence[str]) -> Iterator[Counter[str]]:
    for start in range(0, len(words), CHUNK):
        yield Counter(words[start : start + CHUNK])


def _line_keys(text: str) -> Iterator[str]:
    """Yields the lines that are long enough to repeat by no chance."""
    for line in text.split("\n"):
        plain = " ".join(line.split())
        if len(plain) < SHORTEST_LINE:
            continue
        if len(plain) > _LINE_KEY:
            plain = f"{plain[:_LINE_KEY]}… {content_key(plain).hex()}"
        yield plain
