"""The words of benchmarks, and where a corpus has many of them in a row."""

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from keras_llm.data.document import Document
from keras_llm.data.duplicates.ngram_index import NgramIndex
from keras_llm.errors import InputError

FEWEST = 8
_PUNCTUATION = re.compile(r"[^\w\s]|_")
_BLOCK = 1 << 19  # words looked up at a time


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contaminated:
    """An item that stands in the training corpus, as a whole or in part.

    Attributes:
        benchmark: Its benchmark.
        item: Its number there.
        share: Of its n-grams that were found.
        source: Of the first document that one was found in.
        text: The first of its n-grams that was found.

    Example:

    >>> Contaminated(benchmark="copa", item=3, share=1.0, source="a.txt",
    ...     text="the man lost his balance").item
    3
    """

    benchmark: str
    item: int
    share: float
    source: str
    text: str


def words_of(text: str) -> list[str]:
    """Returns the words of a text without letter case and punctuation.

    Example:

    >>> words_of("It's a “rose”, is it?")
    ['its', 'a', 'rose', 'is', 'it']
    """
    return _PUNCTUATION.sub("", text.lower()).split()


class Items:
    """All items as numbers of words, with an index for each size of n-gram.

    Args:
        benchmarks: By name, the text of each item in the benchmark's order.
        size: Words of an n-gram, at least 8.

    Raises:
        InputError: A benchmark is empty, there is none, or `size` is below 8.

    Example:

    >>> Items({"fables": ["A hare. A tortoise."]}, size=13).vocabulary
    {'a': 1, 'hare': 2, 'tortoise': 3}
    """

    def __init__(self, benchmarks: Mapping[str, Sequence[str]], size: int):
        _check(benchmarks, size)
        self.names = [
            (name, number)
            for name, texts in benchmarks.items()
            for number in range(len(texts))
        ]
        words = [words_of(t) for texts in benchmarks.values() for t in texts]
        self.benchmarks, self.size = benchmarks, size
        # 0 is every word that no item has.
        self.vocabulary = {
            word: number
            for number, word in enumerate(
                dict.fromkeys(itertools.chain.from_iterable(words)), 1
            )
        }
        self.spelled = ["", *self.vocabulary]
        self.lengths = np.array([len(one) for one in words])
        self.begins = np.cumsum(self.lengths) - self.lengths
        self.ids = np.fromiter(
            (self.vocabulary[word] for one in words for word in one), "int64"
        )
        self.indexes = [
            _SizeIndex(self, n) for n in sorted(self._sizes()) if n >= FEWEST
        ]

    def _sizes(self) -> set[int]:
        return {int(n) for n in np.minimum(self.lengths, self.size)}

    def look_in(
        self,
        numbers: np.ndarray,
        ends: np.ndarray,
        documents: Sequence[Document],
    ) -> None:
        """Notes what of the items stands in a few documents."""
        for index in self.indexes:
            for group, document in zip(*index.find(numbers, ends), strict=True):
                source = documents[int(document)].source
                index.sources.setdefault(int(group), source)

    def benchmarks_in(
        self, numbers: np.ndarray, ends: np.ndarray
    ) -> dict[int, str]:
        """Returns a benchmark for each document that has some of its items:
        that of the item which comes first.
        """
        firsts: dict[int, int] = {}
        for index in self.indexes:
            for group, document in zip(*index.find(numbers, ends), strict=True):
                item, at = index.item_of(int(group)), int(document)
                firsts[at] = min(item, firsts.get(at, item))
        return {at: self.names[item][0] for at, item in firsts.items()}

    def too_short(self) -> dict[str, list[int]]:
        """Returns the items that are not looked for, by benchmark."""
        short: dict[str, list[int]] = {name: [] for name in self.benchmarks}
        for (name, number), length in zip(
            self.names, self.lengths, strict=True
        ):
            if length < FEWEST:
                short[name].append(number)
        return short

    def found(self) -> list[Contaminated]:
        """Returns the contaminated items in their order."""
        pairs = [pair for index in self.indexes for pair in index.found()]
        return [one for _, one in sorted(pairs, key=lambda pair: pair[0])]


class _SizeIndex:
    """The n-grams of one size, those of the items that are not shorter; of
    items below the full size, only those as long as an n-gram.
    """

    def __init__(self, items: Items, size: int):
        self.items, full = items, size == items.size
        chosen = items.lengths >= size if full else items.lengths == size
        self.numbers = np.flatnonzero(chosen)
        self.counts = items.lengths[self.numbers] - size + 1
        self.places = np.concatenate(
            [
                np.arange(begin, begin + count)
                for begin, count in zip(
                    items.begins[self.numbers], self.counts, strict=True
                )
            ]
        )
        self.index = NgramIndex(items.ids, self.places, size)
        self.sources: dict[int, str] = {}

    def find(
        self, numbers: np.ndarray, ends: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the n-grams in a few documents: their groups, and which
        document has each.
        """
        where, which = self.index.find(numbers)
        documents = np.searchsorted(ends, where, side="right")
        last = np.searchsorted(ends, where + self.index.size - 1, side="right")
        within = documents == last
        return which[within], documents[within]

    def item_of(self, group: int) -> int:
        """Returns the first item that has an n-gram."""
        place = self.index.places[group]
        begins = self.items.begins[self.numbers]
        at = int(np.searchsorted(begins, place, side="right")) - 1
        return int(self.numbers[at])

    def found(self) -> Iterator[tuple[int, Contaminated]]:
        """Yields the items with an n-gram that was found."""
        groups = np.split(self.index.groups, np.cumsum(self.counts)[:-1])
        begins = np.cumsum(self.counts) - self.counts
        for number, begin, mine in zip(
            self.numbers, begins, groups, strict=True
        ):
            seen = [n for n, one in enumerate(mine) if one in self.sources]
            if not seen:
                continue
            place = self.places[begin + seen[0]]
            ids = self.items.ids[place : place + self.index.size]
            name, item = self.items.names[number]
            yield (
                int(number),
                Contaminated(
                    benchmark=name,
                    item=item,
                    share=len(seen) / len(mine),
                    source=self.sources[int(mine[seen[0]])],
                    text=" ".join(self.items.spelled[one] for one in ids),
                ),
            )


def blocks_of(
    vocabulary: Mapping[str, int], corpus: Iterable[Document]
) -> Iterator[tuple[np.ndarray, np.ndarray, list[Document]]]:
    """Yields the words of a few documents by number, where each document
    ends, and the documents.

    Example:

    >>> corpus = [Document("A hare!", "x"), Document("The hare", "y")]
    >>> ((numbers, ends, documents),) = blocks_of({"hare": 1}, corpus)
    >>> numbers.tolist(), ends.tolist()
    ([0, 1, 0, 1], [2, 4])
    """
    numbers: list[int] = []
    ends: list[int] = []
    documents: list[Document] = []
    for document in corpus:
        words = words_of(document.text)
        numbers.extend(map(vocabulary.get, words, itertools.repeat(0)))
        ends.append(len(numbers))
        documents.append(document)
        if len(numbers) >= _BLOCK:
            yield np.array(numbers), np.array(ends), documents
            numbers, ends, documents = [], [], []
    if ends:
        yield np.array(numbers, "int64"), np.array(ends), documents


def _check(benchmarks: Mapping[str, Sequence[str]], size: int) -> None:
    empty = [name for name, texts in benchmarks.items() if not len(texts)]
    if empty or not benchmarks:
        raise InputError(
            "Expected benchmarks with at least one item each. Received: "
            f"{', '.join(empty) + ' without any' if empty else 'none'}."
        )
    if size < FEWEST:
        raise InputError(
            f"Expected n-grams of at least {FEWEST} words, because fewer are "
            f"shared by chance. Received: size={size}."
        )
