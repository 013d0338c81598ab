"""Which kind of file a name says it is, and how files are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keras_llm.data.counts import Counts
from keras_llm.data.reading.opening import Location, suffix_of

TEXT = frozenset(".txt .text .md .markdown .rst .tex".split())
SOURCE = frozenset(
    ".py .pyi .pyx .c .h .cc .cpp .cxx .hpp .cs .go .java .js .jsx .mjs .ts"
    " .tsx .kt .rs .rb .php .swift .scala .sh .sql .r .jl .lua .pl .hs .ml"
    " .clj .ex .erl .dart .css".split()
)
_KINDS = {
    **dict.fromkeys(TEXT | SOURCE, "text"),
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    **dict.fromkeys((".csv", ".tsv"), "table"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "page"),
    **dict.fromkeys((".warc", ".wet"), "archive"),
}

Extractor = Callable[[bytes], str]


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes:
        text_field: The field or column that holds the text.
        encoding: Of text; HTML pages say theirs.
        errors: "strict" or "replace".
        counts: What could not be read, and why.
        html: Who finds the main text of pages, see `pages.EXTRACTORS`.
        extractors: Suffix -> function from the bytes of a file to its text.
    """

    text_field: str
    encoding: str
    errors: str
    counts: Counts
    html: str = "trafilatura"
    extractors: Mapping[str, Extractor] = field(default_factory=dict)


def kind_of(path: Location) -> str | None:
    """Returns "text", "jsonl", "table", "page", "archive", "parquet", or None
    for an unknown suffix.

    A final ".gz" or ".zst" is looked through, except for Parquet.

    Example:

    >>> from pathlib import Path
    >>> kind_of(Path("a/b.jsonl.gz")), kind_of(Path("page.HTM"))
    ('jsonl', 'page')
    """
    if path.name.lower().endswith(".parquet"):
        return "parquet"
    return _KINDS.get(suffix_of(path))
