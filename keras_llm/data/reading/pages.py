"""The main text of an HTML page, by a library that knows pages."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document, whole
from keras_llm.data.steps import Step
from keras_llm.errors import InputError

EXTRACTORS = ("trafilatura", "resiliparse")
_OPENINGS = ("<!doctype html", "<html")


def main_text(page: str, extractor: str = "trafilatura") -> str:
    """Returns the main text of an HTML page; "" where there is none.

    Args:
        page: The page's HTML, decoded.
        extractor: "trafilatura" finds the text better, "resiliparse" is
            ten times as fast. Which one is used never depends on what
            happens to be installed.

    Raises:
        InputError: The extractor is unknown or not installed.

    Source: https://trafilatura.readthedocs.io (its fast mode),
        https://resiliparse.chatnoir.eu.
    """
    check_extractor(extractor)
    if not page.strip():
        return ""
    find = _trafilatura if extractor == "trafilatura" else _resiliparse
    return whole(find(page))


def html_pages(extractor: str = "trafilatura") -> Step:
    """Replaces documents that are whole HTML pages by their main text.

    For pages in JSON Lines and Parquet; HTML files are read as text already.
    A page without a main text is dropped.

    Args:
        extractor: See `main_text`.

    Raises:
        InputError: The extractor is unknown; while running: not installed.

    Example:

    >>> counts = Counts("html_pages")
    >>> [d.text for d in html_pages()([Document("a < b", "a")], counts)]
    ['a < b']
    """
    check_extractor(extractor)

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document in documents:
            if not is_page(document.text):
                yield document
                continue
            text = main_text(document.text, extractor)
            if text.strip():
                counts.change("HTML page")
                yield replace(document, text=text)
            else:
                counts.drop(document, "no main text in the page")

    return Step("html_pages", run, {"extractor": extractor})


def is_page(text: str) -> bool:
    """Says whether a text is a whole HTML page.

    Example:

    >>> is_page(" <!DOCTYPE html><p>Hi"), is_page("An <html> tag")
    (True, False)
    """
    start = text[:200].lstrip("\ufeff \t\r\n").lower()
    if start.startswith("<?xml"):
        return "<html" in text[:2000].lower()
    return start.startswith(_OPENINGS)


def check_extractor(extractor: str) -> None:
    """Refuses an unknown extractor."""
    if extractor not in EXTRACTORS:
        raise InputError(
            f"Expected one of {', '.join(EXTRACTORS)} to find the text of "
            f"pages. Received: {extractor!r}."
        )


def _trafilatura(page: str) -> str:
    try:
        import trafilatura
    except ImportError as error:
        raise InputError(
            "Expected trafilatura to read HTML pages. Received: "
            f"{error}. Do: pip install 'keras_llm[html]'"
        ) from error
    return trafilatura.extract(page, fast=True) or ""


def _resiliparse(page: str) -> str:
    try:
        from resiliparse.extract.html2text import extract_plain_text
    except ImportError as error:
        raise InputError(
            "Expected resiliparse to read HTML pages. Received: "
            f"{error}. Do: pip install resiliparse"
        ) from error
    return extract_plain_text(page, main_content=True, alt_texts=False)
