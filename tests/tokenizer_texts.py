"""Texts for the tokenizer tests: written here, adversarial, and real."""

import bz2
import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies

PATTERNS = (
    *("gpt2", "gpt4", "llama3", "qwen2"),
    *("digits", "o200k", "tekken"),
)

HOUSE = """The little house stood at the end of the lane, and nobody's cat \
would go past it. It's said that they'd have gone if they'd known better; \
"we've seen it," she'll say, 'and we're not going back!'
    def visit(house, year=1987):
        if house.door[0] != "open":  # 12345 67 8
            return {'rooms': 10_000, "cost": 3.50}


Das kleine Häuschen stand am Ende der Straße. Größe: 42 m².
La petite maison était au bout de l'allée ; c'est là qu'il a vécu.
小さな家は小道の終わりに立っていた。猫は通り過ぎなかった。１２３
Маленький домик стоял в конце переулка. Ёж бежал мимо.
البيت الصغير يقف في نهاية الطريق ١٢٣٤.
छोटा घर गली के अंत में खड़ा था। १२३
작은 집은 길 끝에 서 있었다.
บ้านหลังเล็กอยู่สุดซอย
Το μικρό σπίτι στεκόταν στο τέλος του δρόμου.
\t\ttabs\tand  two  spaces   three\r\nCRLF\r\n\r\n  end \u00a0\u3000wide\u2003
e\u0301 n\u0303 👩‍👩‍👧 🇫🇷 ½ Ⅷ ² ʼn ǅ ªº İı ẞ ﬁ
"""

PIECES = (
    *"'stmdSTMDrvleRVLEſaZ19 \t\n\r.!-_\x00\x1c\x0b\x85\u00a0\u3000\u2028",
    *"éÉßµ日本语ﬁªºǅʼ²½Ⅷ٣९१𝟘𐍈ก็\u0301\u0308\u200d\ufeff\ufffd",
    *"👩🇫",
    *("'s", "'ll", "'VE", "'Re", "'ſ", "''", " '", "\r\n", "   ", "\n \n"),
    *("123", "1234567", "the", " the", "...", "!\n", "!\n\n ", "<|end|>"),
    *("<|endoftext|>", "aaaa", "abab", "\n\n\n", "日本国", "\t\t "),
)

BROKEN = (
    *(b"\x80", b"\xbf", b"\xc0", b"\xc1", b"\xc2", b"\xdf", b"\xe0", b"\xed"),
    *(b"\xe2\x82", b"\xf0\x9f\x98", b"\xf0\x90", b"\xf4\x90", b"\xf5", b"\xff"),
    *(b"\xed\xa0\x80", b"\xe0\x80\x80", b"\xf8\x88\x80\x80\x80", b"a", b" "),
    *("é".encode(), "日".encode(), "😀".encode(), b"\xef\xbb\xbf", b"\x00"),
)

texts = strategies.lists(
    strategies.one_of(
        strategies.lists(strategies.sampled_from(PIECES), max_size=30).map(
            "".join
        ),
        strategies.text(max_size=40),
    ),
    max_size=12,
)

broken_texts = strategies.lists(
    strategies.lists(
        strategies.one_of(
            strategies.sampled_from(BROKEN), strategies.binary(max_size=4)
        ),
        max_size=12,
    ).map(b"".join),
    max_size=8,
)


def real_texts(folder: Path, every: int) -> Iterator[str]:
    """Yields pieces of every text in the folder of real data.

    Args:
        folder: The shared data.
        every: 1 yields everything; n yields one of n pieces of 4,000
            characters, and the first piece of each file.
    """
    for data in _files(folder):
        # Latin-1 and other old encodings stay: broken UTF-8 is a test, too.
        text = data.decode("utf-8", errors="replace")
        step = 4000 * every
        for start in range(0, len(text), step):
            yield text[start : start + 4000]


def _files(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path.suffix == ".model" or ".model." in path.name:
            continue
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if not name.endswith("/"):
                        yield archive.read(name)
        elif path.suffix == ".bz2":
            yield bz2.decompress(path.read_bytes())
        elif path.suffix == ".gz":
            yield gzip.decompress(path.read_bytes())
        else:
            yield path.read_bytes()
