"""Counting who is mentioned next to what, in one pass and bounded memory."""

import collections
import re
from collections.abc import Iterator

import numpy as np

from keras_llm.data.document import Document
from keras_llm.evaluate.bias.mentions import WordLists
from keras_llm.evaluate.bias.terms import Terms

PIECE = 1 << 20  # characters looked at together
MOST_SOURCES = 1000
OTHERS = "(other sources)"
_LINE = re.compile(r":\d+$")
_SPACE = re.compile(r"\s")


class CorpusCounts:
    """What was counted so far.

    Attributes:
        terms: All terms, in the order of the counts.
        is_about: bool `(terms, groups)`: which groups a term speaks of, in
            the order of `WordLists.labels`.
        near: Terms that something may stand near, all lists together.
        documents: How many were added.
        words: How many, by white space.
        by_source: Source -> mentions `(terms,)`; `source_sizes` has its
            documents and words.
        together: `(terms, near)`: how often a term had one within the window.
        mentioning: `(groups,)`: documents that mention a group.
        lengths: Documents by the power of two that their words reach.

    Example:

    >>> lists = WordLists({"age": {"old": ["elderly"]}}, {"jobs": ["nurse"]})
    >>> counts = CorpusCounts(lists, window=5)
    >>> counts.add(Document("The elderly nurse sat.", "a.txt:1"))
    >>> counts.words, counts.by_source["a.txt"].tolist()
    (4, [1, 1])
    >>> counts.together.tolist()
    [[1], [0]]
    """

    def __init__(self, lists: WordLists, window: int):
        labels = lists.labels()
        near = dict.fromkeys(t for some in lists.near.values() for t in some)
        about = {
            term: lists.groups_of(term)
            for kind, group in labels
            for term in lists.groups[kind][group]
        }
        self.terms = list(dict.fromkeys([*about, *near]))
        self.near = list(near)
        self.is_about = np.array(
            [
                [label in about.get(term, ()) for label in labels]
                for term in self.terms
            ]
        )
        self._speaks = np.any(self.is_about, axis=1)
        self._window = window
        self._find = Terms(self.terms).find
        self._place = {term: i for i, term in enumerate(self.terms)}
        columns = {term: i for i, term in enumerate(self.near)}
        self._near = np.array([columns.get(term, -1) for term in self.terms])
        self.documents = self.words = 0
        self.by_source: dict[str, np.ndarray] = {}
        self.source_sizes: dict[str, np.ndarray] = {}
        self.together = np.zeros((len(self.terms), len(self.near)), "int64")
        self.mentioning = np.zeros(len(labels), "int64")
        self.lengths: collections.Counter[int] = collections.Counter()
        # For the error of a rate: sums over documents of count squared, of
        # count times words, and of words squared.
        self._squares = np.zeros((3, len(labels)))

    def add(self, document: Document) -> None:
        """Counts one document."""
        source = self._source(document)
        groups, words = np.zeros(self.is_about.shape[1]), 0
        for piece in _pieces(document.text):
            found, places, size = self._found(piece)
            np.add.at(self.by_source[source], found, 1)
            self._count_together(found, places)
            groups += self.is_about[found].sum(axis=0)
            words += size
        self.source_sizes[source] += (1, words)
        self.mentioning += groups > 0
        squared = np.full_like(groups, words**2)
        self._squares += (groups**2, groups * words, squared)
        self.documents += 1
        self.words += words
        self.lengths[words.bit_length()] += 1

    def rate_errors(self) -> np.ndarray | None:
        """Returns standard errors of mentions per word, `(groups,)`.

        None below two documents. Whole documents are what is sampled: words
        of one text are not independent.

        Source: the ratio estimator, Cochran 1977, "Sampling Techniques",
        equation 6.13.
        """
        if self.documents < 2 or not self.words:
            return None
        total = sum(self.by_source.values()) @ self.is_about
        rate = total / self.words
        counts, both, words = self._squares
        spread = counts - 2 * rate * both + rate**2 * words
        scale = self.documents / (self.documents - 1)
        return np.sqrt(np.maximum(spread, 0) * scale) / self.words

    def _source(self, document: Document) -> str:
        """The document's source without its line; a new one has no counts."""
        name = _LINE.sub("", document.source)
        if name not in self.by_source and len(self.by_source) >= MOST_SOURCES:
            name = OTHERS
        if name not in self.by_source:
            self.by_source[name] = np.zeros(len(self.terms), "int64")
            self.source_sizes[name] = np.zeros(2, "int64")
        return name

    def _found(self, text: str) -> tuple[np.ndarray, np.ndarray, int]:
        """Terms, at which word they stand, and the number of words."""
        found = list(self._find(text))
        terms = np.array([self._place[one.term] for one in found], "int64")
        letters = np.array([one.start for one in found], "int64")
        begins = _word_starts(text)
        return terms, np.searchsorted(begins, letters, "right"), len(begins)

    def _count_together(self, found: np.ndarray, places: np.ndarray) -> None:
        """Adds each pair of a mention and a near term within the window."""
        near = self._near[found] >= 0
        others, at = self._near[found[near]], places[near]
        about = self._speaks[found]
        terms, where = found[about], places[about]
        first = np.searchsorted(at, where - self._window, "left")
        after = np.searchsorted(at, where + self._window, "right")
        sizes = after - first
        begins = np.repeat(first - np.cumsum(sizes) + sizes, sizes)
        columns = others[begins + np.arange(sizes.sum())]
        np.add.at(self.together, (np.repeat(terms, sizes), columns), 1)


def _pieces(text: str) -> Iterator[str]:
    """Cuts a long text at white space; no piece is much over `PIECE`."""
    begin = 0
    while len(text) - begin > PIECE:
        cut = _SPACE.search(text, begin + PIECE)
        end = cut.start() if cut else len(text)
        yield text[begin:end]
        begin = end
    yield text[begin:]


def _word_starts(text: str) -> np.ndarray:
    """Places of the first letters of words, by ASCII white space."""
    codes = np.frombuffer(
        text.encode("utf-32-le", "surrogatepass"), dtype="uint32"
    )
    letter = codes > 32
    before = np.concatenate([[False], letter[:-1]])
    return np.flatnonzero(letter & ~before)
