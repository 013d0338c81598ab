"""Curation steps: each takes documents, hands some on, and counts the rest."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.errors import InputError


@dataclass(frozen=True)
class Step:
    """A named curation step.

    Attributes:
        name: How reports call it.
        run: A generator function `run(documents, counts)`. It yields the
            documents that go on and calls `counts.drop(document, reason)` for
            the others, `counts.change(kind)` for those it changed.
        settings: JSON values that explain the step in `curate.json`.

    Other processes make a step again from its name and settings; see
    `make_step` for steps of your own.

    Example:

    >>> def english(documents, counts):
    ...     for document in documents:
    ...         if document.language == "en":
    ...             yield document
    ...         else:
    ...             counts.drop(document, "not English")
    >>> step = Step("english", english)
    >>> counts = Counts("english")
    >>> [d.text for d in step([Document("Hola", "a", language="es")], counts)]
    []
    >>> counts.reasons()
    'english: 1 not English (a)'
    """

    name: str
    run: Callable[[Iterable[Document], Counts], Iterator[Document]]
    settings: dict[str, Any] = field(default_factory=dict)

    def __reduce__(self) -> tuple[Any, ...]:
        """Is sent to other processes by name and settings."""
        from keras_llm.data.registry import sent

        return sent(self)

    def __call__(
        self, documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        """Yields the documents that go on; counts what comes and goes."""
        counts.settings = self.settings

        def seen() -> Iterator[Document]:
            for document in documents:
                counts.saw(document.text)
                yield document

        for document in self.run(seen(), counts):
            counts.kept(document.text)
            yield document


def repair(mojibake: bool = True) -> Step:
    """Repairs text: canonical composition (NFC), then mojibake.

    Mojibake is text that was decoded with the wrong encoding once ("cafÃ©").
    It is repaired by ftfy (Speer, https://github.com/rspeer/python-ftfy) with
    everything else it could do switched off: quotes, ligatures, character
    widths, HTML entities, line ends and control characters stay as they are.
    No document is dropped.

    Args:
        mojibake: False leaves mojibake alone and needs no ftfy.

    Raises:
        InputError: ftfy is not installed.

    Example:

    >>> counts = Counts("repair")
    >>> [d.text for d in repair()([Document("cafÃ©", "a")], counts)]
    ['café']
    >>> dict(counts.changed)
    {'mojibake': 1}
    """
    fix = _ftfy() if mojibake else None

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document in documents:
            # ASCII is NFC and cannot be mojibake: most code and much English.
            if document.text.isascii():
                yield document
                continue
            text = unicodedata.normalize("NFC", document.text)
            if text != document.text:
                counts.change("NFC")
            fixed = fix(text) if fix else text
            if fixed != text:
                counts.change("mojibake")
            yield replace(document, text=fixed)

    return Step("repair", run, {"unicode": "NFC", "mojibake": mojibake})


def minimum_length(characters: int = 200) -> Step:
    """Drops documents shorter than `characters`, outer white space aside.

    Raises:
        InputError: `characters` is negative.

    Example:

    >>> counts = Counts("minimum_length")
    >>> list(minimum_length(5)([Document("  hi  ", "a")], counts))
    []
    >>> dict(counts.dropped)
    {'shorter than 5 characters': 1}
    """
    if characters < 0:
        raise InputError(
            f"Expected characters >= 0. Received: {characters}. Use 0 to keep "
            "every document."
        )

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document in documents:
            if len(document.text.strip()) < characters:
                counts.drop(document, f"shorter than {characters} characters")
            else:
                yield document

    return Step("minimum_length", run, {"characters": characters})


def split_long(characters: int = 20_000) -> Step:
    """Cuts long documents into parts at blank lines, or else at line ends.

    For corpora of a few large files (a book, `input.txt`), which could not be
    split into training and held-out documents otherwise. The parts joined
    give the text again. Parts of one book are alike: held-out figures
    are then a little flattering.

    Args:
        characters: The longest part.

    Raises:
        InputError: `characters` is not positive.

    Example:

    >>> counts = Counts("split_long")
    >>> book = Document("one\\n\\ntwo\\n\\nthree", "book")
    >>> [d.text for d in split_long(12)([book], counts)]
    ['one\\n\\ntwo\\n\\n', 'three']
    """
    if characters < 1:
        raise InputError(
            f"Expected characters >= 1. Received: {characters}. The default "
            "is 20000."
        )

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document in documents:
            if len(document.text) <= characters:
                yield document
                continue
            counts.change("cut into parts")
            for number, text in enumerate(_parts(document.text, characters)):
                yield replace(
                    document, text=text, source=f"{document.source}#{number}"
                )

    return Step("split_long", run, {"characters": characters})


def _parts(text: str, characters: int) -> Iterator[str]:
    """Yields the parts of a text, each at most `characters` long."""
    start = 0
    while len(text) - start > characters:
        end = start + characters
        for mark in ("\n\n", "\n", " "):
            cut = text.rfind(mark, start, end)
            if cut > start:
                end = cut + len(mark)
                break
        yield text[start:end]
        start = end
    yield text[start:]


def _ftfy() -> Callable[[str], str]:
    """Returns ftfy's repair of mojibake and nothing else."""
    try:
        import ftfy
    except ImportError as error:
        raise InputError(
            "Expected ftfy to repair mojibake. Received: it is not installed. "
            "Do: pip install 'keras_llm[data]', or pass mojibake=False."
        ) from error
    config = ftfy.TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        remove_control_chars=False,
        normalization="NFC",
        explain=False,
    )
    return lambda text: ftfy.fix_text(text, config)
