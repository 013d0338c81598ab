"""Cleaning steps: what is no text is taken out of it, document by document."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.steps import Step
from keras_llm.errors import InputError

# Colours of a terminal, line ends of other systems, then what nobody sees.
# U+200C and U+200D stay: Persian, Indic scripts and emoji are written with
# them. So do tab and line feed.
_ESCAPE = re.compile("\x1b\\[[0-9;?]*[ -/]*[@-~]")
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0001\U000e0020-\U000e007f]"
)
_START = re.compile(
    r"^(?:\*{3} ?START OF (?:THIS|THE) PROJECT GUTENBERG EBOOK.*?\*{3}"
    r"|\*END\*? ?THE SMALL PRINT!.*\*END\*?)[ \t]*$",
    re.MULTILINE | re.IGNORECASE | re.DOTALL,
)
_END = re.compile(
    r"^(?:\*{3} ?END OF (?:THIS|THE) PROJECT GUTENBERG EBOOK"
    r"|End of (?:the )?Project Gutenberg(?:['’]s)? )",
    re.MULTILINE | re.IGNORECASE,
)
_CREDITS = re.compile(
    r"\s*(?:(?:E-?text )?(?:prepared|produced) by|transcribed (?:from|by))\b"
    r"(?:.*\n)+?(?=\s*\n|\Z)",
    re.IGNORECASE,
)
_HEADER = re.compile(r"^(Title|Author): *(\S.*)$", re.MULTILINE)
_LONGEST_HEADER = (
    20_000  # characters in which the start of a book is looked for
)

# In a line of at most 300 characters: it is about the page, not of its text.
# The first five are those of C4.
_PHRASES = """
terms of use; privacy policy; cookie policy; uses cookies; use of cookies;
use cookies; accept cookies; accept all cookies; cookie settings;
enable javascript; javascript is disabled; all rights reserved;
subscribe to our newsletter; skip to content; skip to main content;
cookies akzeptieren; verwendet cookies; alle rechte vorbehalten;
accepter les cookies; utilise des cookies; tous droits réservés;
aceptar cookies; utiliza cookies; todos los derechos reservados
"""
# As a whole line only: the words are everyday ones.
_WHOLE_LINES = """
about us; advertisement; back to top; click here; contact us; follow us;
log in; login; next page; previous page; print this page; read more; register;
search; share on facebook; share this; sign in; sign up; sitemap; subscribe;
anmelden; datenschutz; impressum; mehr lesen; nach oben; registrieren;
mentions légales; lire la suite; se connecter; leer más; iniciar sesión
"""
_LONGEST_NOTICE = 300
_EDGES = " \t.…!»>|•·*:-–"


def control_characters() -> Step:
    r"""Removes control characters and what nobody sees; LF ends every line.

    Zero-width spaces, soft hyphens, marks of direction, byte order marks,
    tag characters and terminal colours go. Tabs stay, and so do the joiners
    U+200C and U+200D. CR, CRLF, form feeds and Unicode's line separators
    become LF.

    Example:

    >>> document = Document("\x1b[1mBold\x1b[0m\r\nin\u200bvi\u00adsible", "a")
    >>> counts = Counts("control_characters")
    >>> [d.text for d in control_characters()([document], counts)]
    ['Bold\ninvisible']
    >>> dict(counts.changed)
    {'control characters': 1}
    """

    def clean(text: str) -> str:
        text = _LINE_ENDS.sub("\n", _ESCAPE.sub("", text))
        return _INVISIBLE.sub("", text)

    return _cleaning("control_characters", clean, "control characters", {})


def white_space(blank_lines: int = 2) -> Step:
    r"""Removes white space at the ends of lines, and too many blank lines.

    White space inside a line stays, and so does that at its beginning: it has
    a meaning in code and verse.

    Args:
        blank_lines: The most that stay together.

    Raises:
        InputError: `blank_lines` is negative.

    Example:

    >>> document = Document("\none  \n\n\n\n\n  two\n", "a")
    >>> counts = Counts("white_space")
    >>> [d.text for d in white_space(blank_lines=1)([document], counts)]
    ['one\n\n  two']
    """
    if blank_lines < 0:
        raise InputError(
            f"Expected blank_lines >= 0. Received: {blank_lines}. The default "
            "is 2."
        )
    longer = re.compile(f"\n{{{blank_lines + 2},}}")
    most = "\n" * (blank_lines + 1)

    def clean(text: str) -> str:
        text = "\n".join(map(str.rstrip, text.split("\n"))).strip("\n")
        return longer.sub(most, text) if most + "\n" in text else text

    settings = {"blank_lines": blank_lines}
    return _cleaning("white_space", clean, "white space", settings)


def gutenberg() -> Step:
    """Removes what Project Gutenberg puts before and behind a book.

    The header with the line "*** START OF ...", the credits after it, and
    everything from "End of Project Gutenberg's ..." on. Title and author go
    into the metadata. A document without such a line stays as it is.

    Example:

    >>> book = '''Title: Emma
    ... *** START OF THIS PROJECT GUTENBERG EBOOK EMMA ***
    ...
    ... Produced by a volunteer
    ...
    ... Emma Woodhouse, handsome, clever, and rich
    ...
    ... *** END OF THIS PROJECT GUTENBERG EBOOK EMMA ***
    ... License'''
    >>> counts = Counts("gutenberg")
    >>> [d] = gutenberg()([Document(book, "emma.txt")], counts)
    >>> d.text, d.metadata
    ('Emma Woodhouse, handsome, clever, and rich\\n', {'title': 'Emma'})
    """

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document in documents:
            found = _START.search(document.text[:_LONGEST_HEADER])
            if found is None:
                yield document
                continue
            counts.change("Gutenberg header and footer")
            header = document.text[: found.start()]
            facts = {k.lower(): v for k, v in _HEADER.findall(header)}
            yield replace(
                document,
                text=_book(document.text[found.end() :]),
                metadata={**facts, **document.metadata},
            )

    return Step("gutenberg", run)


def boilerplate_lines(
    phrases: Sequence[str] = (), longest: int = _LONGEST_NOTICE
) -> Step:
    r"""Removes lines that are about the page: cookie notices, "Sign up".

    A line goes that has a known phrase and at most `longest` characters, or
    that is nothing but a known label. English, German, French and Spanish.
    What is left in a document stays; a document of nothing else is dropped.
    For lines that a whole site repeats, count them across documents.

    Args:
        phrases: Phrases of your own, looked for besides the known ones.
        longest: A longer line is taken for text that mentions the words.

    Raises:
        InputError: `phrases` is one string or has an empty one.

    Source: the policy phrases are those of C4 (Raffel et al. 2020,
        https://arxiv.org/abs/1910.10683); the others are ours.

    Example:

    >>> text = "We use cookies.\nA walk by the sea.\nRead more..."
    >>> counts = Counts("boilerplate_lines")
    >>> [d.text for d in boilerplate_lines()([Document(text, "a")], counts)]
    ['A walk by the sea.']
    """
    if isinstance(phrases, str) or not all(map(str.strip, phrases)):
        raise InputError(
            "Expected a list of phrases, none of them empty. Received: "
            f"{phrases!r:.60}."
        )
    known = [*_entries(_PHRASES), *map(str.lower, phrases)]
    labels = set(_entries(_WHOLE_LINES))

    def clean(text: str) -> str:
        lowered = text.lower()
        present = [phrase for phrase in known if phrase in lowered]
        lines = text.split("\n")
        kept = [
            line
            for line, low in zip(lines, lowered.split("\n"), strict=True)
            if low.strip(_EDGES) not in labels
            and not (len(low) <= longest and any(p in low for p in present))
        ]
        return "\n".join(kept) if len(kept) < len(lines) else text

    settings = {"phrases": list(phrases), "longest": longest}
    return _cleaning("boilerplate_lines", clean, "boilerplate lines", settings)


def _cleaning(
    name: str, clean: Callable[[str], str], kind: str, settings: dict
) -> Step:
    """Makes a step of a function from text to text.

    A document of which nothing is left is dropped.
    """

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document in documents:
            text = clean(document.text)
            if text == document.text:
                yield document
            elif not text.strip():
                counts.drop(document, f"nothing but {kind}")
            else:
                counts.change(kind)
                yield replace(document, text=text)

    return Step(name, run, settings)


def _book(text: str) -> str:
    """Returns a book without its credits and without what follows it."""
    credits = _CREDITS.match(text)
    start = credits.end() if credits else 0
    end = _END.search(text, start)
    return text[start : end.start() if end else None].strip() + "\n"


def _entries(text: str) -> list[str]:
    return [" ".join(entry.split()) for entry in text.split(";")]
