"""Steps that keep what may be used: licences, sources, and who opted out."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from keras_llm.data.block_list import read_terms
from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.hold_out import content_key
from keras_llm.data.steps import Step
from keras_llm.errors import InputError


def licenses(allow: Sequence[str], unknown: bool = False) -> Step:
    """Drops documents whose license is not among those allowed.

    Args:
        allow: Names, best those of SPDX; "*" stands for anything: "CC-BY-*".
            Upper and lower case are alike.
        unknown: True keeps documents whose license is not known.

    Raises:
        InputError: `allow` is one string or holds no name.

    Example:

    >>> counts = Counts("licenses")
    >>> documents = [
    ...     Document("One", "a", license="MIT"),
    ...     Document("Two", "b", license="CC-BY-NC-4.0"),
    ...     Document("Three", "c"),
    ... ]
    >>> step = licenses(allow=["mit", "CC-BY-4.*"])
    >>> [document.text for document in step(documents, counts)]
    ['One']
    >>> dict(counts.dropped)
    {'license CC-BY-NC-4.0': 1, 'license unknown': 1}
    """
    _check_list("licenses to allow", allow)
    patterns = [pattern.lower() for pattern in allow]

    def refused(document: Document) -> str:
        if document.license is None:
            return "" if unknown else "license unknown"
        name = document.license.lower()
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return ""
        return f"license {document.license}"

    settings = {"allow": list(allow), "unknown": unknown}
    return _filter("licenses", refused, settings)


def sources(block: Sequence[str]) -> Step:
    """Drops documents from blocked places of the web.

    Where a document is from says its metadata "url", or else its source.

    Args:
        block: Domains, with all their subdomains ("example.com"), and
            addresses, with all that is below them ("example.com/forum").

    Raises:
        InputError: `block` is one string or holds no place.

    Example:

    >>> counts = Counts("sources")
    >>> documents = [
    ...     Document("One", "https://www.example.com/a"),
    ...     Document("Two", "https://notexample.com/forum"),
    ... ]
    >>> step = sources(block=["example.com"])
    >>> [document.text for document in step(documents, counts)]
    ['Two']
    >>> dict(counts.dropped)
    {'blocked source example.com': 1}
    """
    _check_list("domains or addresses to block", block)
    places = {_place(entry): entry for entry in block}

    def refused(document: Document) -> str:
        place = _blocked(document, places)
        return f"blocked source {places[place]}" if place else ""

    return _filter("sources", refused, {"block": list(block)})


def opt_out(path: str | os.PathLike) -> Step:
    """Drops documents whose owners do not want them used.

    Args:
        path: A text file, `#` for comments. A line is a domain ("a.example"),
            an address ("https://b.example/diary"), or a document:
            `document_hash` of its text ("document:5d80...").

    Raises:
        InputError: There is no such file, nothing in it, or a hash that is
            none.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "opt_out.txt"
    >>> _ = path.write_text("a.example\\n" + document_hash("My diary."))
    >>> documents = [
    ...     Document("One", "https://a.example/1"),
    ...     Document("My  diary.", "copied.txt"),
    ...     Document("Three", "c.txt"),
    ... ]
    >>> [d.text for d in opt_out(path)(documents, Counts("opt_out"))]
    ['Three']
    """
    entries = [line.strip() for line in read_terms(path)]
    if not entries:
        raise InputError(
            "Expected domains, addresses or document hashes, one a line. "
            f"Received: {path}, which has none."
        )
    hashes = {entry for entry in entries if entry.startswith(_PREFIX)}
    _check_hashes(hashes, path)
    places = {_place(e): e for e in entries if e not in hashes}

    def refused(document: Document) -> str:
        if _blocked(document, places):
            return "source opted out"
        known = hashes and document_hash(document.text) in hashes
        return "document opted out" if known else ""

    # The list itself may be private: the report says which one it was.
    sha256 = hashlib.sha256("\n".join(sorted(entries)).encode()).hexdigest()
    settings = {"path": str(path), "entries": len(entries), "sha256": sha256}
    return _filter("opt_out", refused, settings)


_PREFIX = "document:"


def document_hash(text: str) -> str:
    """Returns what stands for a document in an opt-out list.

    Texts that differ in white space only, or in how accents are composed,
    have the same one.

    Example:

    >>> document_hash("My diary.") == document_hash(" My  diary.")
    True
    """
    return _PREFIX + content_key(text).hex()


def _filter(
    name: str, refused: Callable[[Document], str], settings: dict
) -> Step:
    """Makes a step of a function that says why a document is dropped."""

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document in documents:
            reason = refused(document)
            if reason:
                counts.drop(document, reason)
            else:
                yield document

    return Step(name, run, settings)


def _blocked(document: Document, places: dict[str, str]) -> str:
    """Returns the place that blocks a document, or nothing."""
    url = document.metadata.get("url") or document.source
    if "://" not in str(url):
        return ""
    host, _, rest = _place(str(url)).partition("/")
    labels = host.split(".")
    hosts = [".".join(labels[n:]) for n in range(len(labels))]
    steps = rest.split("/") if rest else []
    paths = ["/".join(["", *steps[:n]]) for n in range(len(steps) + 1)]
    candidates = (h + p for p in paths for h in hosts)
    return next((place for place in candidates if place in places), "")


def _place(url: str) -> str:
    """Returns host and path: no scheme, user, port, query, or last slash."""
    parts = urlsplit(url if "://" in url else f"//{url}")
    return (parts.hostname or "") + parts.path.rstrip("/")


def _check_list(what: str, names: Sequence[str]) -> None:
    if isinstance(names, str) or not names:
        raise InputError(
            f"Expected a list of {what}. Received: {names!r}. Write one name "
            "as a list, too."
        )


def _check_hashes(hashes: Iterable[str], path: str | os.PathLike) -> None:
    length = len(document_hash(""))
    for entry in hashes:
        digits = entry.removeprefix(_PREFIX)
        if len(entry) != length or set(digits) - set("0123456789abcdef"):
            raise InputError(
                f"Expected {_PREFIX} and {length - len(_PREFIX)} digits in "
                f"0-9a-f, see document_hash. Received: {entry!r} in {path}."
            )
