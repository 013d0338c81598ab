"""HTML left over in texts: taken out where it is markup, not code."""

import html
import html.entities
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.reading.kinds import SOURCE
from keras_llm.data.steps import Step

# Elements of HTML, https://html.spec.whatwg.org/#elements-3, and the old ones
# center, font and tt. Blocks stand on lines of their own.
_BLOCKS = frozenset(
    "address article aside blockquote body br center dd details dialog div dl"
    " dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 head header"
    " hr html legend li main nav ol p pre section summary table tbody tfoot"
    " thead title tr ul".split()
)
_INLINE = frozenset(
    "a abbr audio b bdi bdo button canvas caption cite code col colgroup data"
    " datalist del dfn em embed font i iframe img input ins kbd label link map"
    " mark meta meter object option output picture progress q s samp select"
    " small source span strong sub sup td textarea template th time track tt u"
    " var video wbr".split()
)
# Their end tag may be left out, or there is none.
_ALONE = frozenset(
    "body br col dd dt embed head hr html img input li link meta option p"
    " source tbody td tfoot th thead tr track wbr".split()
)
_TAG = re.compile(
    r"<(/?)([A-Za-z][A-Za-z0-9]*)"
    r"((?:\s+[A-Za-z_:@][\w:.-]*"
    r"(?:\s*=\s*(?:\"[^\"<]*\"|'[^'<]*'|[^\s\"'=<>`]+))?)*)\s*/?>"
)
# Elements whose content is no text, comments, and the document type.
_HIDDEN = re.compile(
    r"<(script|style|noscript|template)\b[^<>]*>|<(!)--|<!doctype\b[^<>]*>",
    re.IGNORECASE,
)
_ENDS = {
    name: re.compile(rf"</{name}\s*>", re.IGNORECASE)
    for name in ("script", "style", "noscript", "template")
} | {"!": re.compile("-->")}
_ENTITY = re.compile(
    r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]\w{1,31});"
)
# What Markdown shows as it is: fenced blocks and code spans.
_CODE = re.compile(
    r"^ {0,3}(`{3,}|~{3,})[^\n]*\n.*?(?:^ {0,3}\1[^\n]*$|\Z)"
    r"|(?<!`)`[^`\n]+`(?!`)",
    re.MULTILINE | re.DOTALL,
)


def html_leftovers() -> Step:
    r"""Removes tags, scripts, styles, comments and entities of HTML from text.

    For texts with some markup left in them; whole pages are better read by
    `read_documents`, which finds their main text. What may be code
    stays: `a < b`, tags that HTML does not have (`vector<int>`), short ones
    that are opened, without attributes, and never closed (`List<A>`),
    everything in code fences and code spans of Markdown, and every document
    whose source is a file of source code.

    Entities are read once: "&amp;lt;" becomes "&lt;".

    Example:

    >>> text = "<p>Fish &amp; chips<br>if <b>a</b> < b, <code>`<i>`</code></p>"
    >>> counts = Counts("html_leftovers")
    >>> [d] = html_leftovers()([Document(text, "a.txt")], counts)
    >>> print(d.text)
    Fish & chips
    if a < b, `<i>`
    >>> dict(counts.changed)
    {'HTML': 1}
    """

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document in documents:
            text = document.text
            if not _is_code(document.source):
                text = _without_markup(text)
            if text == document.text:
                yield document
            elif not text.strip():
                counts.drop(document, "nothing but HTML")
            else:
                counts.change("HTML")
                yield replace(document, text=text.strip("\n"))

    return Step("html_leftovers", run)


def _is_code(source: str) -> bool:
    """Says whether a document is a file of source code."""
    return Path(source.lower().removesuffix(".gz")).suffix in SOURCE


def _without_markup(text: str) -> str:
    """Returns a text without markup; code of Markdown as it was."""
    if "<" not in text and "&" not in text:
        return text
    if "`" not in text and "~~~" not in text:
        return _plain(text)
    closed = _closed(text)
    pieces, end = [], 0
    for code in _CODE.finditer(text):
        pieces += [_plain(text[end : code.start()], closed), code[0]]
        end = code.end()
    return "".join([*pieces, _plain(text[end:], closed)])


def _closed(text: str) -> set[str]:
    """Returns the elements that have an end tag somewhere."""
    return {name.lower() for slash, name, _ in _TAG.findall(text) if slash}


def _plain(text: str, closed: set[str] | None = None) -> str:
    """Returns a stretch without tags, hidden parts and entities."""
    if "<" in text:
        text = _without_hidden(text)
        closed = _closed(text) if closed is None else closed
        text = _TAG.sub(lambda tag: _instead(tag, closed), text)
    # After the tags, so that one that was written as text stays.
    return _ENTITY.sub(_character, text) if "&" in text else text


def _without_hidden(text: str) -> str:
    """Returns a text without scripts, comments and the like.

    What is never closed stays. The end of each kind is looked for in vain
    once, so that time grows with the text only.
    """
    pieces, end, open_ended = [], 0, set()
    for start in _HIDDEN.finditer(text):
        kind = (start[1] or start[2] or "").lower()
        if start.start() < end or kind in open_ended:
            continue
        last = _ENDS[kind].search(text, start.end()) if kind else start
        if last is None:
            open_ended.add(kind)
            continue
        pieces.append(text[end : start.start()])
        end = last.end()
    return "".join([*pieces, text[end:]])


def _character(entity: re.Match[str]) -> str:
    """Returns what an entity stands for; itself where there is none."""
    name = entity[0][1:]
    known = name[0] == "#" or name in html.entities.html5
    return html.unescape(entity[0]) if known else entity[0]


def _instead(tag: re.Match[str], closed: set[str]) -> str:
    """Returns what a tag leaves: nothing, a line end, or itself."""
    slash, name, attributes = tag.groups()
    name = name.lower()
    if name not in _BLOCKS and name not in _INLINE:
        return tag[0]
    markup = slash or name in _ALONE or name in closed or "=" in attributes
    if not markup:
        return tag[0]
    if name in ("td", "th"):
        return " "
    return "\n" if name in _BLOCKS else ""
