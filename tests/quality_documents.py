"""2,000 real documents for the quality rules, from ../shared/data.

Standard library only: the script that asks datatrove runs in another Python.
"""

import gzip
import json
import re
import zipfile
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NUMBERS = {
    "wikitext page": 80,
    "wikitext section": 400,
    "gutenberg chapter": 200,
    "scitldr abstract": 700,
    "udhr declaration": 100,
    "dirty": 520,
}


def documents(folder: Path = DATA) -> list[tuple[str, str]]:
    """Returns pairs of kind and text; always the same ones in one order."""
    makers = (wikitext, gutenberg, scitldr, udhr, dirty)
    found = [pair for maker in makers for pair in maker(folder)]
    return [
        pair
        for kind, number in NUMBERS.items()
        for pair in spread([p for p in found if p[0].startswith(kind)], number)
    ]


def spread(items: list, number: int) -> list:
    """Takes `number` items at equal distances."""
    return [items[place * len(items) // number] for place in range(number)]


def wikitext(folder: Path) -> list[tuple[str, str]]:
    """Cuts the two files at their headings, " = Title = "."""
    pages, sections = [], []
    for name in ("valid", "test"):
        text = (folder / "wikitext2" / f"{name}.txt").read_text("utf-8")
        pages += re.split(r"(?m)^(?= = [^=\n]+ = $)", text)[1:]
    for page in pages:
        sections += re.split(r"(?m)^(?= = = [^=\n]+ = = $)", page)[1:]
    return [("wikitext page", page.strip()) for page in pages] + [
        ("wikitext section", section.strip()) for section in sections
    ]


def gutenberg(folder: Path) -> list[tuple[str, str]]:
    """Cuts books at lines that say chapter, at most 10,000 characters."""
    chapters = []
    for path in sorted((folder / "gutenberg").glob("*.txt")):
        encoding = "latin-1" if "latin1" in path.name else "utf-8"
        text = path.read_text(encoding).replace("\r\n", "\n")
        chapters += re.split(r"(?m)^(?=(?:CHAPTER|Chapter|Capítulo) )", text)
    long = [part for part in chapters if len(part) > 500]
    return [("gutenberg chapter", part[:10_000]) for part in long]


def scitldr(folder: Path) -> list[tuple[str, str]]:
    """The sentences of an abstract, with spaces between them."""
    lines = (folder / "scitldr" / "train.jsonl").read_text("utf-8").split("\n")
    abstracts = [json.loads(line)["source"] for line in lines if line]
    return [("scitldr abstract", " ".join(parts)) for parts in abstracts]


def udhr(folder: Path) -> list[tuple[str, str]]:
    """Whole declarations in hundreds of languages, as their files are."""
    with zipfile.ZipFile(folder / "udhr" / "udhr2.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".txt"))
        texts = [archive.read(n).decode("utf-8", "replace") for n in names]
    return [("udhr declaration", t) for t in texts if len(t) > 500]


def dirty(folder: Path) -> list[tuple[str, str]]:
    """Every defect of the labelled sample; the kind says which."""
    path = folder / "dirty" / "dirty_sample.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [(f"dirty {row['kind']}", row["text"]) for row in rows]
