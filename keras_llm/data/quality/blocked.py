"""Documents with terms of a block-list."""

import os
from collections.abc import Iterable, Iterator, Sequence

from keras_llm.data.block_list import BlockList
from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.steps import Step
from keras_llm.errors import InputError


def blocked_terms(
    terms: str | os.PathLike | Sequence[str], most: int = 0
) -> Step:
    """Drops documents that have terms of a block-list.

    Terms are whole words and phrases, found however they are written (see
    `BlockList`). A list knows no context: a medical or legal text, or one
    about a group of people, has such words too. Look at the rejects.

    Args:
        terms: The terms, or a text file with one in each line, `#` for
            comments.
        most: How many places with a term a document may have.

    Raises:
        InputError: There is no such file, no term, or `most` is negative.

    Source: the idea, Raffel et al. (2020),
    https://jmlr.org/papers/v21/20-074.html; what it does to texts about
    minorities, Dodge et al. (2021), https://arxiv.org/abs/2104.08758.

    Example:

    >>> counts = Counts("blocked_terms")
    >>> documents = [Document("Darn it!", "a"), Document("Socks.", "b")]
    >>> step = blocked_terms(["darn it"])
    >>> [document.source for document in step(documents, counts)]
    ['b']
    >>> dict(counts.dropped)
    {'blocked terms': 1}
    """
    if most < 0:
        raise InputError(
            f"Expected most >= 0. Received: {most}. 0 drops every document "
            "with a term."
        )
    named = isinstance(terms, (str, os.PathLike))
    block_list = BlockList.load(terms) if named else BlockList(terms)

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document in documents:
            if block_list.count(document.text) > most:
                counts.drop(document, "blocked terms")
            else:
                yield document

    settings = {"terms": list(block_list.terms), "most": most}
    return Step("blocked_terms", run, settings)
