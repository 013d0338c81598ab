"""A corpus of any size that looks like the web: real texts, and synthetic ones
of their words, with planted copies, broken encodings, addresses, menus.
"""

import itertools
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from keras_llm.data import gutenberg, read_documents, split_long
from keras_llm.data.counts import Counts

MENUS = [
    "Home | News | Contact | About us",
    "Sign up for our weekly letter and never miss a story again",
    "Copyright 2024 The Daily Example. All rights reserved.",
]
FILE_BYTES = 25_000_000
PARTS = 3000  # characters of a real document


def make(folder: Path, size: int, data: Path, seed: int = 0) -> list[Path]:
    """Writes JSON Lines files of about `size` bytes; returns them.

    The same size and seed give the same bytes.
    """
    folder.mkdir(parents=True)
    texts = itertools.chain(real_texts(data), synthetic_texts(data, seed))
    paths, written = [], 0
    while written < size:
        paths.append(folder / f"part-{len(paths):03d}.jsonl")
        most = min(FILE_BYTES, size - written)
        with open(paths[-1], "w", encoding="utf-8") as file:
            while file.tell() < most:
                text = next(texts)
                file.write(json.dumps({"text": text}, ensure_ascii=False))
                file.write("\n")
            written += file.tell()
    return paths


def real_texts(data: Path) -> Iterator[str]:
    """Yields books and articles in parts, and a set of labelled defects."""
    step = split_long(PARTS)
    books = gutenberg()(documents_of(data), Counts("gutenberg"))
    yield from (part.text for part in step(books, Counts("split_long")))
    dirty = data / "dirty" / "dirty_sample.jsonl.gz"
    yield from (document.text for document in read_documents(dirty))


def documents_of(data: Path):
    return read_documents(
        data / "gutenberg", data / "wikitext2", encoding="detect"
    )


def synthetic_texts(data: Path, seed: int) -> Iterator[str]:
    """Yields texts without end."""
    chance = random.Random(seed)
    real = "\n".join(document.text for document in documents_of(data))
    words = re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", real)
    sentences = [
        " ".join(found.split())
        for found in re.findall(r"[A-ZÁÉ][^.!?]{30,300}[.!?]", real)
    ]
    earlier: list[str] = []
    while True:
        text = paragraphs(chance, words, sentences)
        defect = chance.random()
        if defect < 0.06 and earlier:
            text = chance.choice(earlier)
        elif defect < 0.12 and earlier:
            text = nearly(chance, chance.choice(earlier), words)
        elif defect < 0.15:
            text = f"“{text}” — café, naïve, señor".encode().decode(
                "cp1252", "replace"
            )
        elif defect < 0.20:
            number = chance.randrange(1000, 10000)
            text += f"\nAsk jo{number}@example.org or +1 212 555 {number}."
        elif defect < 0.30:
            text = "\n".join([MENUS[0], text, *MENUS[1:]])
        elif defect < 0.35:
            text = f"<div class='story'><p>{text}</p><br>&copy; us</div>"
        elif defect < 0.38:
            text = " ".join(chance.choices(words, k=12))
        elif defect < 0.40:
            text = "Buy now and save. " * 80
        if len(earlier) < 5000:
            earlier.append(text)
        else:
            earlier[chance.randrange(5000)] = text
        yield text


def paragraphs(
    chance: random.Random, words: list[str], sentences: list[str]
) -> str:
    """Returns a few paragraphs: real sentences among words by frequency."""
    made = []
    for _ in range(chance.randint(2, 7)):
        parts = []
        for _ in range(chance.randint(2, 6)):
            salad = " ".join(chance.choices(words, k=chance.randint(8, 24)))
            parts += [salad.capitalize() + ".", chance.choice(sentences)]
        made.append(" ".join(parts))
    return "\n\n".join(made)


def nearly(chance: random.Random, text: str, words: list[str]) -> str:
    """Returns a text with one word in a hundred exchanged."""
    parts = text.split(" ")
    for _ in range(max(1, len(parts) // 100)):
        parts[chance.randrange(len(parts))] = chance.choice(words)
    return " ".join(parts)
