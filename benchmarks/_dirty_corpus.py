"""Clean texts, and what a crawl makes of them, for benchmarks of curation.

Every kind of dirt stands in `metadata["dirt"]` of its document, so that what
curation finds can be counted. The shares are chosen here, not measured on the
web: they say what was done, not how the web is.
"""

import re
import string
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _small_lm import cut, read

from keras_llm.data import Document, standard_library

BOOKS = (
    "gutenberg/Alice-s-Adventures-in-Wonderland_11.txt",
    "gutenberg/The-Adventures-of-Sherlock-Holmes_1661.latin1.txt",
)
QUIXOTE = "gutenberg/Don-Quijote_2000.latin1.txt"
SHARES = {  # of the clean pages
    **{"furniture": 0.3, "html": 0.15, "mojibake": 0.2, "truncated": 0.1},
    "copied": 0.05,
}
COPIES = (3, 4, 5, 6, 8, 12, 20, 30)  # how often a copied page stands there
JUNK, FOREIGN = 0.25, 0.25  # bytes, as a share of those of the clean pages
SITES = 12
WORDS = (
    "best cheap online buy now deal casino loan credit free shipping bonus "
    "discount price review top quality fast order pills insurance mortgage "
    "poker slots download crack serial keygen watches replica viagra seo "
    "backlinks traffic rank guaranteed winner offer limited click here "
    "subscribe save today coupon code promo weight loss miracle forex crypto"
).split()
FURNITURE = (
    "Home|About us|Contact|Sitemap|Log in|Register|My account|Cart (0)|"
    "Search this site|Newsletter|Share on Facebook|Tweet this|Print page|"
    "Terms of use|Privacy policy|All rights reserved.|Powered by BlogMachine|"
    "This site uses cookies. Accept all|Back to top|Next page|Previous page|"
    "Related articles|Leave a comment|0 comments|Posted in Uncategorized|"
    "Tags: news, world, more|Skip to content|Menu|Subscribe to our feed"
).split("|")


def clean_documents(data: Path) -> list[Document]:
    """Returns pages of some 2,000 characters: books, encyclopedia, manual.

    Paragraphs are lines, as on pages of the web, except in the manual.
    """
    return [
        *_pages("books", "\n\n".join(map(_book, (data / b for b in BOOKS)))),
        *_pages("wikipedia", _articles(data / "wikitext2/valid.txt")),
        *(
            Document(piece, f"python/{number}", metadata={"dirt": "clean"})
            for one in standard_library()
            if one.source.startswith("python/topics/")
            for number, piece in enumerate(cut(one.text))
        ),
    ]


def polluted(
    clean: list[Document], data: Path, seed: int = 0
) -> list[Document]:
    """Returns clean pages as a crawl may have them, among pages of no use."""
    random = np.random.default_rng(seed)
    size = sum(len(document.text) for document in clean)
    pages = [_soiled(document, random) for document in clean]
    chosen = random.random(len(pages)) < SHARES["copied"]
    copies = [
        copy
        for page, copied in zip(pages, chosen, strict=True)
        if copied
        for copy in _copies(page, random)
    ]
    useless = [
        *_until(size * JUNK, _junk(random)),
        *_until(size * FOREIGN, _foreign(data, random)),
    ]
    everything = [*pages, *copies, *useless]
    return [everything[at] for at in random.permutation(len(everything))]


def _pages(domain: str, text: str) -> Iterator[Document]:
    for number, piece in enumerate(cut(text)):
        source = f"{domain}/{number}"
        yield Document(piece.strip(), source, metadata={"dirt": "clean"})


def _book(path: Path) -> str:
    """A book between the marks of Project Gutenberg, a paragraph a line."""
    text = re.split(r"\*\*\* ?(?:START|END) OF.*\n", read(path))[1]
    paragraphs = re.split(r"\n\s*\n", text)
    return "\n\n".join(" ".join(one.split()) for one in paragraphs if one)


def _articles(path: Path) -> str:
    """WikiText without marks; <unk> would be taken for HTML."""
    text = read(path).replace("\n \n", "\n\n").replace("<unk>", "unk")
    return re.sub(r" @(.)@ ", r"\1", text)


def _soiled(document: Document, random: np.random.Generator) -> Document:
    """Dirt of several kinds may fall on one page."""
    text, kinds = document.text, []
    makers = {"truncated": _truncated, "html": _html, "furniture": _furnished}
    for kind, make in makers.items():
        if random.random() < SHARES[kind]:
            text = make(text, random)
            kinds.append(kind)
    broken = text if text.isascii() else _mojibake(text)
    if random.random() < SHARES["mojibake"] and broken != text:
        text = broken
        kinds.append("mojibake")
    return _page(text, document.source, "+".join(kinds) or "clean")


def _copies(page: Document, random: np.random.Generator) -> Iterator[Document]:
    """Half of the copies are exact, the others nearly so."""
    for number in range(random.choice(COPIES) - 1):
        text, kind = page.text, "copy"
        if random.random() < 0.5:
            words = text.split(" ")
            for at in random.integers(len(words), size=len(words) // 60 + 1):
                words[at] = str(random.choice(WORDS))
            text = _furnished(" ".join(words), random)
            kind = "near copy"
        yield _page(text, f"{page.source}/copy/{number}", kind)


def _truncated(text: str, random: np.random.Generator) -> str:
    return text[: int(len(text) * random.uniform(0.1, 0.5))] + "... Read more"


def _html(text: str, random: np.random.Generator) -> str:
    body = "".join(
        f'<p class="body">{one}</p>\n<br/>&nbsp;\n'
        for one in text.replace("&", "&amp;").split("\n\n")
    )
    number = random.integers(1000)
    return (
        f'<div id="c{number}"><a href="/login?id={number}">Log in</a>\n{body}'
        f"<script>var track={number};load('ads.js');</script></div>"
    )


def _furnished(text: str, random: np.random.Generator) -> str:
    """The same lines on all pages of a site."""
    site = np.random.default_rng(int(random.integers(SITES)))
    lines = [str(line) for line in site.permutation(FURNITURE)]
    name = f"Site {site.integers(10**6)} - news and more"
    return "\n".join([name, *lines[:7], "", text, "", *lines[7:16]])


def _mojibake(text: str) -> str:
    """UTF-8 that was read as Windows-1252."""
    return text.encode("utf-8").decode("cp1252", errors="replace")


def _junk(random: np.random.Generator) -> Iterator[Document]:
    """Keywords, letters at random, a phrase again and again, menus."""
    letters = np.array(list(string.ascii_lowercase))
    while True:
        size = int(random.integers(100, 400))
        some = [" ".join(random.choice(WORDS, 6)).capitalize() + "."]
        made = {
            "keywords": " ".join(random.choice(WORDS, size)),
            "gibberish": " ".join(
                "".join(random.choice(letters, random.integers(2, 10)))
                for _ in range(size)
            ),
            "repeated": " ".join(some * (size // 6)),
            "menu": "\n".join(random.choice(FURNITURE, size // 3)),
        }
        for kind, text in made.items():
            yield _page(text, f"junk/{random.integers(2**40)}", kind)


def _foreign(data: Path, random: np.random.Generator) -> Iterator[Document]:
    """A page of Don Quixote, then one of sentences from Tatoeba."""
    spanish = cut(_book(data / QUIXOTE))
    files = [
        path
        for path in sorted((data / "tatoeba").glob("tatoeba.*"))
        if path.suffix != ".eng"
    ]
    while True:
        page = spanish[random.integers(len(spanish))]
        yield _page(page, "foreign/spa", "foreign")
        path = files[random.integers(len(files))]
        lines = random.choice(path.read_text("utf-8").splitlines(), 40)
        yield _page(" ".join(lines), f"foreign/{path.suffix[1:]}", "foreign")


def _until(size: float, documents: Iterator[Document]) -> Iterator[Document]:
    done = 0
    for document in documents:
        yield document
        done += len(document.text)
        if done >= size:
            return


def _page(text: str, source: str, dirt: str) -> Document:
    return Document(text, source, metadata={"dirt": dirt})
