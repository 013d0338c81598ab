"""Decontamination: no item of a benchmark stays in the training corpus."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.documents import read_documents
from keras_llm.data.duplicates.benchmark_words import (
    FEWEST,
    Items,
    blocks_of,
)
from keras_llm.data.steps import Step

_PATH = str | os.PathLike

_log = logging.getLogger(__name__)


def decontaminate(
    benchmarks: Mapping[str, str | os.PathLike | Sequence[str]],
    size: int = 13,
) -> Step:
    """Drops documents that have words of a benchmark's items in a row.

    Letter case and punctuation aside, `size` words of an item must stand
    there; of a shorter item all words, if there are at least 8. Items of
    fewer words are not looked for: a warning says how many.
    `evaluate.contamination` counts by the same rule.

    Args:
        benchmarks: By name, a file that `read_documents` reads (one item in
            each document), or the texts of the items themselves: question
            and right answer, for example.
        size: Words of an n-gram, at least 8.

    Raises:
        InputError: A benchmark is empty or cannot be read, there is none, or
            `size` is below 8.

    Source: 13 words as in Brown et al. 2020, appendix C,
    https://arxiv.org/abs/2005.14165, which takes out a passage where this
    takes out the document; cut books with `split_long` first.

    Example:

    >>> item = "What did the quick brown fox do to the lazy dog? It jumped."
    >>> step = decontaminate({"fables": [item]})
    >>> documents = [Document(f"A riddle: {item.upper()}", "riddles"),
    ...     Document("What did the quick brown fox do then?", "tale")]
    >>> counts = Counts("decontaminate")
    >>> [d.source for d in step(documents, counts)]
    ['tale']
    >>> dict(counts.dropped)
    {'has words of fables': 1}
    """
    texts = {name: _texts(given) for name, given in benchmarks.items()}
    items = Items(texts, size)
    short = sum(map(len, items.too_short().values()))
    if short:
        _log.warning(
            "%d of %d items have fewer than %d words and are not looked for.",
            short,
            len(items.names),
            FEWEST,
        )

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for numbers, ends, block in blocks_of(items.vocabulary, documents):
            found = items.benchmarks_in(numbers, ends)
            for at, document in enumerate(block):
                if at in found:
                    counts.drop(document, f"has words of {found[at]}")
                else:
                    yield document

    named = {
        name: str(given) if isinstance(given, _PATH) else texts[name]
        for name, given in benchmarks.items()
    }
    return Step("decontaminate", run, {"benchmarks": named, "size": size})


def _texts(given: str | os.PathLike | Sequence[str]) -> list[str]:
    if isinstance(given, _PATH):
        return [document.text for document in read_documents(given)]
    return list(given)
