"""Files that are one document each: text, HTML pages, and users' formats."""

from collections.abc import Iterator

from keras_llm.data.document import Document, whole
from keras_llm.data.reading.encodings import html_encoding, signed
from keras_llm.data.reading.kinds import Extractor, Reading
from keras_llm.data.reading.opening import Location, open_bytes
from keras_llm.data.reading.pages import main_text
from keras_llm.errors import InputError


def read_text(
    path: Location, reading: Reading, explicit: bool
) -> Iterator[Document]:
    """Yields one document: the whole file, without a byte order mark, CRLF
    turned into LF.

    A file that is binary or cannot be decoded is an error when the user named
    it (`explicit`), and a counted drop inside a folder.
    """
    data = _content(path)
    text = _decode(data, reading.encoding, path, reading, explicit)
    if text is not None:
        yield from _document(unix_lines(text), "empty", path, reading)


def read_page(
    path: Location, reading: Reading, explicit: bool
) -> Iterator[Document]:
    """Yields the main text of an HTML file, which says its encoding itself.

    Bad files as for `read_text`.
    """
    data = _content(path)
    encoding = html_encoding(data, stated=reading.encoding)
    page = _decode(data, encoding, path, reading, explicit)
    if page is not None:
        text = main_text(page, reading.html)
        yield from _document(text, "no main text", path, reading)


def read_extracted(
    path: Location, reading: Reading, explicit: bool, extract: Extractor
) -> Iterator[Document]:
    """Yields the text that a user's function finds in the bytes of a file.

    A ValueError of that function is an error when the user named the file,
    and a counted drop inside a folder.
    """
    try:
        text = extract(_content(path))
    except ValueError as error:
        if explicit:
            raise InputError(
                f"Expected a file that its extractor reads. Received: {path}, "
                f"of which it says: {error}"
            ) from error
        reading.counts.drop(str(path), "its extractor cannot read it")
        return
    if not isinstance(text, str):
        raise InputError(
            "Expected an extractor to return a string. Received: a "
            f"{type(text).__name__} for {path}."
        )
    yield from _document(whole(text), "no text found", path, reading)


def unix_lines(text: str) -> str:
    """Returns a text whose lines end with LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _content(path: Location) -> bytes:
    with open_bytes(path) as file:
        return file.read()


def _document(
    text: str, without: str, path: Location, reading: Reading
) -> Iterator[Document]:
    """Yields the document of a file, or counts why there is none."""
    if text.strip():
        yield Document(text, str(path))
    else:
        reading.counts.drop(str(path), without)


def _decode(
    data: bytes, encoding: str, path: Location, reading: Reading, explicit: bool
) -> str | None:
    """Returns the text; None: it is none, which is counted."""
    try:
        text = data.decode(signed(encoding), reading.errors)
    except UnicodeDecodeError as error:
        text, problem = "", _undecodable(data, error, encoding)
    else:
        problem = "binary" if "\0" in text else ""
    if not problem:
        return text
    if explicit:
        raise InputError(_refusal(path, problem))
    reading.counts.drop(str(path), problem.split(" (")[0])
    return None


def _undecodable(data: bytes, error: UnicodeDecodeError, encoding: str) -> str:
    """Names the problem; what stands in brackets is for messages only."""
    if b"\0" in data:
        return "binary"
    return f"not {encoding.upper()} (first bad byte at offset {error.start})"


def _refusal(path: Location, problem: str) -> str:
    """Says what to do about a file that is not text."""
    if problem == "binary":
        return (
            f"Expected a text file. Received: {path}, which is binary (it has "
            "NUL bytes). Pass text, HTML, JSONL (.jsonl), CSV or Parquet "
            "(.parquet), or a function that finds its text: "
            'extractors={".pdf": function}.'
        )
    return (
        f"Expected text in the stated encoding. Received: {path} is {problem}. "
        'Pass encoding="latin-1" (or the right one), encoding="detect", or '
        'errors="replace" to put U+FFFD in place of bad bytes.'
    )
