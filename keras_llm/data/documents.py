"""Reading documents from files and folders, in an order that never changes."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document, write_jsonl
from keras_llm.data.reading.archives import read_archive
from keras_llm.data.reading.encodings import (
    DETECT,
    check_encoding,
    detect_encoding,
)
from keras_llm.data.reading.files import Found, find_files
from keras_llm.data.reading.kinds import Extractor, Reading
from keras_llm.data.reading.pages import check_extractor
from keras_llm.data.reading.records import (
    read_jsonl,
    read_parquet,
    read_table,
)
from keras_llm.data.reading.whole_files import (
    read_extracted,
    read_page,
    read_text,
)
from keras_llm.errors import InputError

__all__ = ["Document", "Reader", "read_documents", "write_jsonl"]

_MANY = {
    "jsonl": read_jsonl,
    "table": read_table,
    "archive": read_archive,
    "parquet": read_parquet,
}
_OF_ENCODING = ("text", "jsonl", "table")


class Reader(Iterator[Document]):
    """Yields documents and counts what it had to leave out.

    Attributes:
        counts: A `Counts` named "read": files and lines that gave no document,
            with the reason.
        files: The files that the documents come from, where they do.
        reading: How these files are read.

    Example:

    >>> reader = Reader(iter([Document("Hi", "me")]), Counts("read"), "here")
    >>> [document.text for document in reader]
    ['Hi']
    >>> reader.counts.documents_out
    1
    """

    def __init__(
        self,
        documents: Iterator[Document],
        counts: Counts,
        where: str,
        files: Sequence[Found] = (),
        reading: Reading | None = None,
    ):
        self.counts = counts
        self.files = files
        self.reading = reading
        self._documents = documents
        self._where = where

    def __next__(self) -> Document:
        """Returns the next document.

        Raises:
            InputError: There was not a single one.
        """
        try:
            document = next(self._documents)
        except StopIteration:
            self.check(self.counts)
            raise
        self.counts.kept(document.text)
        return document

    def check(self, counts: Counts) -> None:
        """Refuses a corpus without a single document, when all is read.

        Args:
            counts: Of reading.

        Raises:
            InputError: It says why there is none.
        """
        if not counts.documents_out:
            raise InputError(
                "Expected at least one document. Received: none in "
                f"{self._where} ({counts.reasons()}). Pass files with "
                "text."
            )


def read_documents(
    *paths: str | os.PathLike,
    text_field: str = "text",
    encoding: str = "utf-8",
    errors: str = "strict",
    html: str = "trafilatura",
    extractors: Mapping[str, Extractor] | None = None,
) -> Reader:
    """Reads documents from files and folders.

    One document each: text (.txt .md .rst ...), source code (.py .c .js ...)
    and HTML pages (.html .htm .xhtml), of which the main text is taken. Many
    documents each: JSON Lines (.jsonl .ndjson), tables with the names of the
    columns in the first line (.csv .tsv), Parquet, and archives of the web
    (.warc .wet). All but Parquet may be compressed (.gz .zst). A folder is
    read recursively in sorted order, without hidden files and folders; files
    of other types in it are counted drops. A file named directly is read as
    text when its suffix is unknown.

    The rule for broken text: a file named directly that is binary or not in
    `encoding` is an error; inside a folder it is a counted drop ("binary",
    "not UTF-8"); a broken line or row of a file with many documents is always
    an error.

    Args:
        paths: Files and folders, read in the order given. An address
            ("s3://bucket/folder", "https://host/a.jsonl.gz") is opened by
            fsspec, if that is installed with what such addresses need.
        text_field: Field of JSON Lines, column of tables and Parquet with
            the text.
        encoding: Encoding of text, JSON Lines and tables, or "detect":
            `counts.found` then says how many files were in which encoding,
            and `counts.samples` names those that were not in UTF-8. A byte
            order mark is removed, CRLF in text files becomes LF. HTML says
            its encoding itself; this is the one of pages that do not.
        errors: "strict", or "replace" to put U+FFFD in place of bad bytes.
        html: Who finds the main text of pages: "trafilatura" (extra `html`)
            finds it better, "resiliparse" is ten times as fast.
        extractors: Suffix -> function from the bytes of such a file to its
            text, for PDF and other formats. It raises ValueError for files
            that it cannot read.

    Returns:
        A `Reader`: an iterator of `Document` with `.counts`.

    Raises:
        InputError: At once for a missing path, a folder without a readable
            file, an unknown encoding; while reading for broken files and when
            there was no document at all.

    Example:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "b.txt").write_text("two")
    >>> _ = (folder / "a.jsonl").write_text('{"text": "one"}')
    >>> _ = (folder / "c.png").write_bytes(b"...")
    >>> _ = (folder / "d.doc").write_bytes(b"three")
    >>> reader = read_documents(folder, extractors={".doc": bytes.decode})
    >>> [document.text for document in reader]
    ['one', 'two', 'three']
    >>> dict(reader.counts.dropped)
    {'unknown file type .png': 1}
    """
    check_encoding(encoding, errors)
    check_extractor(html)
    extractors = dict(extractors or {})
    _check_suffixes(extractors)
    counts = Counts("read")
    reading = Reading(text_field, encoding, errors, counts, html, extractors)
    files = [file for path in paths for file in find_files(path, reading)]
    where = ", ".join(str(path) for path in paths) or "no path at all"
    return Reader(read_found(files, reading), counts, where, files, reading)


def read_found(files: Sequence[Found], reading: Reading) -> Iterator[Document]:
    """Yields the documents of files.

    Args:
        files: What `find_files` found.
        reading: How they are read; what could not be is counted there.
    """
    for file in files:
        path, kind, explicit = file
        extract = reading.extractors.get(kind)
        if extract:
            yield from read_extracted(path, reading, explicit, extract)
            continue
        own = _with_encoding(file, reading)
        if kind in _MANY:
            yield from _MANY[kind](path, own)
        elif kind == "page":
            yield from read_page(path, own, explicit)
        else:
            yield from read_text(path, own, explicit)


def _with_encoding(file: Found, reading: Reading) -> Reading:
    """Returns how a file is read, its encoding detected where that is asked.

    Files in UTF-8 are counted, the others named.
    """
    if reading.encoding != DETECT:
        return reading
    if file.kind not in _OF_ENCODING:
        return replace(reading, encoding="utf-8")
    found = detect_encoding(file.path)
    named = 0 if found == "utf-8" else 1000
    reading.counts.find(f"encoding {found}", str(file.path), named)
    return replace(reading, encoding=found)


def _check_suffixes(extractors: Mapping[str, Extractor]) -> None:
    for suffix in extractors:
        if not suffix.startswith(".") or suffix != suffix.lower():
            raise InputError(
                'Expected suffixes such as ".pdf" for extractors, in lower '
                f"case. Received: {suffix!r}."
            )
