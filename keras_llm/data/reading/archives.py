"""Archives of the web: WARC with pages, WET with their text."""

import http.client
import io
import zlib
from collections.abc import Iterator
from socket import socket
from typing import NamedTuple, cast

from keras_llm.data.document import Document, whole
from keras_llm.data.reading.encodings import html_encoding, signed
from keras_llm.data.reading.kinds import Reading
from keras_llm.data.reading.opening import Location, open_bytes
from keras_llm.data.reading.pages import main_text
from keras_llm.errors import InputError

_PAGES = ("text/html", "application/xhtml+xml")


class Record(NamedTuple):
    """One record: the place of its first byte, its headers, its content.

    Names of headers are in lower case.
    """

    offset: int
    headers: dict[str, str]
    content: bytes


def read_archive(path: Location, reading: Reading) -> Iterator[Document]:
    """Yields the documents of a WARC or WET file, which may be compressed.

    A `conversion` record is text already (WET). Of a `response` the main text
    of the page is found; other things than pages and plain text, and answers
    other than 200, are counted drops. Other records are passed over.

    The source is the address, which stands in the metadata as "url" too, and
    so do "date" and, where the archive has found them, "languages".
    """
    for record in records(path):
        kind = record.headers.get("warc-type")
        url = record.headers.get("warc-target-uri", "").strip("<>")
        if kind == "conversion":
            text = record.content.decode("utf-8", "replace")
            problem = "empty"
        elif kind == "response" and url.startswith("http"):
            text, problem = _answer(record.content, reading)
        else:
            continue
        if text.strip():
            yield _document(whole(text), url, record.headers)
        else:
            reading.counts.drop(url, problem)


def records(path: Location) -> Iterator[Record]:
    """Yields the records of an archive, one held in memory at a time.

    Raises:
        InputError: The file is cut, or no archive; the place is named.

    Source: ISO 28500:2017,
        https://iipc.github.io/warc-specifications/specifications/warc-format.
    """
    offset = 0
    with open_bytes(path) as file:
        while line := file.readline(1 << 16):
            start, offset = offset, offset + len(line)
            if not line.strip():
                continue
            if not line.startswith(b"WARC/"):
                raise _broken(path, start, "no record starts there")
            headers, read = _headers(file)
            length = headers.get("content-length", "")
            if not length.isdecimal():
                raise _broken(path, start, "the record has no length")
            content = file.read(int(length))
            if len(content) < int(length):
                raise _broken(path, start, "the record is cut off")
            offset += read + int(length)
            yield Record(start, headers, content)


def _headers(file: io.BufferedIOBase) -> tuple[dict[str, str], int]:
    """Returns the headers of a record and how many bytes they took."""
    headers, read = {}, 0
    while line := file.readline(1 << 20):
        read += len(line)
        if not line.strip():
            break
        name, _, value = line.decode("utf-8", "replace").partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers, read


def _document(text: str, url: str, headers: dict[str, str]) -> Document:
    facts = {
        "url": url,
        "date": headers.get("warc-date"),
        "languages": headers.get("warc-identified-content-language"),
    }
    known = {name: fact for name, fact in facts.items() if fact}
    return Document(text, url, metadata=known)


def _answer(content: bytes, reading: Reading) -> tuple[str, str]:
    """Returns the text of an HTTP answer, and what is wrong if it is empty."""
    response = http.client.HTTPResponse(cast(socket, _Connection(content)))
    try:
        response.begin()
        body = response.read()
        coding = response.headers.get("Content-Encoding", "").lower()
        if coding in ("gzip", "deflate", "x-gzip"):
            body = zlib.decompress(body, wbits=47)
    except (http.client.HTTPException, zlib.error, ValueError):
        return "", "broken HTTP answer"
    kind = response.headers.get_content_type()
    if response.status != 200:
        return "", f"HTTP status {response.status}"
    if kind not in (*_PAGES, "text/plain"):
        return "", f"content type {kind}"
    header = response.headers.get("Content-Type", "")
    encoding = html_encoding(body, header)
    text = body.decode(signed(encoding), "replace").replace("\0", "")
    if kind == "text/plain":
        return text, "empty"
    return main_text(text, reading.html), "no main text"


class _Connection(io.BytesIO):
    """Bytes that `http.client` reads as if they came from a connection."""

    def makefile(self, mode: str) -> io.BytesIO:
        return self


def _broken(path: Location, offset: int, problem: str) -> InputError:
    return InputError(
        f"Expected a WARC file. Received: {path}, at byte {offset} of its "
        f"content {problem}. Copy the file again."
    )
