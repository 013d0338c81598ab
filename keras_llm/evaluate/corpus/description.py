"""CorpusDescription: what a corpus is made of, as a record and a finding."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from keras_llm.evaluate.finding import Block, Measure
from keras_llm.records import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusDescription(Record):
    """What `describe_corpus` counted, as plain values.

    Shares are from 0 to 1; an `error` is a standard error; what was not
    measured is None.

    Attributes:
        documents: How many.
        bytes: Of text, in UTF-8.
        characters: Code points.
        words: By white space.
        tokens: None without a tokenizer.
        groups: Kind ("source", "domain", "language", "license", "year") ->
            groups, the largest first: `name`, `documents`, `bytes`, `words`,
            `tokens`, `share` (of all bytes). Documents without one are in
            none; of languages and licences they are "unknown".
        lengths: Of documents in words: `smallest`, `largest`, `mean`,
            `quantiles` and `histogram`.
        vocabulary: Of word forms in lower case: `running`, `types` (different
            ones) with `types_error`, `once_share` and `rare_share` (of the
            types, those that stand there once, 1 to 4 times),
            `in_a_thousand` (types in each 1,000 words), `curve`, `heaps`
            (`k` and `beta` of types = k * words ** beta), `top`, `top_error`
            (by how much a count may be too low).
        readability: Of the English documents of the sample: `documents`,
            `ease` (Flesch), `grade` (Flesch-Kincaid) with errors, and
            `histogram` of the ease.
        compression: `byte_entropy` (bits per byte, each by itself),
            `xz_bits_per_byte` of the first `xz_bytes` of the sample.
        duplicates: `equal_share` (documents with the text of an earlier one),
            `near_share` (of the `near_documents` different texts of the
            sample, those nearly the same as an earlier one), `line_share` (of
            `lines`, those that stood there before), `top_lines`; `..._exact`
            says whether all was counted.
        pronouns: Of English documents: `female`, `male`, `share` of the
            female ones, its `error` and 95 % `interval`.
        sample: `documents`, `bytes` and `seed`.

    Example:

    >>> from keras_llm.data import Document
    >>> from keras_llm.evaluate import describe_corpus
    >>> found = describe_corpus([Document("A rose.", "a", language="en")])
    >>> CorpusDescription.from_dict(found.to_dict()) == found
    True
    """

    documents: int
    bytes: int
    characters: int
    words: int
    tokens: int | None
    groups: Mapping[str, Sequence[Mapping[str, Any]]]
    lengths: Mapping[str, Any]
    vocabulary: Mapping[str, Any]
    readability: Mapping[str, Any] | None
    compression: Mapping[str, Any]
    duplicates: Mapping[str, Any]
    pronouns: Mapping[str, Any] | None
    sample: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Returns the heading of its section."""
        return "What the corpus is made of"

    def measures(self) -> dict[str, Measure]:
        """Returns its numbers by name, `description/...`."""
        words, copies = self.vocabulary, self.duplicates
        found: dict[str, tuple[Any, ...]] = {
            "documents": (self.documents,),
            "bytes": (self.bytes,),
            "words": (self.words,),
            "tokens": (self.tokens,),
            "bytes_per_token": (
                self.bytes / self.tokens if self.tokens else None,
            ),
            "types": (words["types"], words["types_error"] or None),
            "types_in_1000": (
                words["in_a_thousand"],
                words["in_a_thousand_error"],
            ),
            "byte_entropy": (self.compression["byte_entropy"],),
            "xz_bits_per_byte": (self.compression["xz_bits_per_byte"],),
            "equal_documents": (copies["equal_share"],),
            "near_documents": (copies["near_share"],),
            "repeated_lines": (copies["line_share"],),
        }
        if self.readability:
            for name in ("ease", "grade"):
                error = self.readability[f"{name}_error"]
                found[f"reading_{name}"] = (self.readability[name], error)
        if self.pronouns:
            share, error = self.pronouns["share"], self.pronouns["error"]
            found["female_pronouns"] = (share, error)
        return {
            f"description/{name}": Measure(*value, higher_is_better=None)
            for name, value in found.items()
            if value[0] is not None
        }

    def blocks(self) -> list[Block]:
        """Returns warnings, tables and pictures, from top to bottom.

        Raises:
            InputError: matplotlib is missing.
        """
        from keras_llm.evaluate.corpus.showing import blocks_of

        return blocks_of(self)
