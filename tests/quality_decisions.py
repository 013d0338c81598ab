"""What our rules and datatrove's say about the same 2,000 real documents.

The other side is golden/quality_rules.json, made by golden/make_quality.py.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from keras_llm.data import (
    Counts,
    Document,
    Step,
    c4_paragraphs,
    c4_quality,
    fineweb_quality,
    gopher_quality,
    gopher_repetition,
)

GOLDEN = Path(__file__).parent / "golden" / "quality_rules.json"
QUALITY = {
    "gopher: number of words": {"words": (50, 100_000)},
    "gopher: mean word length": {"mean_word_length": (3, 10)},
    "gopher: hashes and ellipses": {"hashes": 0.1, "ellipses": 0.1},
    "gopher: bullet lines": {"bullet_lines": 0.9},
    "gopher: lines end in an ellipsis": {"ellipsis_lines": 0.3},
    "gopher: words with a letter": {"alphabetic_words": 0.8},
    "gopher: stop-words": {"stop_words": 2},
}
REPETITION = {
    "gopher: repeated paragraphs": {"paragraphs": 0.3},
    "gopher: characters of repeated paragraphs": {"paragraph_characters": 0.2},
    "gopher: repeated lines": {"lines": 0.3},
    "gopher: characters of repeated lines": {"line_characters": 0.2},
    "gopher: most frequent 2-gram": {"top": ((2, 0.20),)},
    "gopher: most frequent 3-gram": {"top": ((3, 0.18),)},
    "gopher: most frequent 4-gram": {"top": ((4, 0.16),)},
    "gopher: repeated 5-grams": {"repeated": ((5, 0.15),)},
    "gopher: repeated 6-grams": {"repeated": ((6, 0.14),)},
    "gopher: repeated 7-grams": {"repeated": ((7, 0.13),)},
    "gopher: repeated 8-grams": {"repeated": ((8, 0.12),)},
    "gopher: repeated 9-grams": {"repeated": ((9, 0.11),)},
    "gopher: repeated 10-grams": {"repeated": ((10, 0.10),)},
}
FINEWEB = {
    "fineweb: lines end a sentence": {"terminal_punctuation": 0.12},
    "fineweb: short lines": {"short_lines": 0.67},
    "fineweb: repeated lines": {"duplicate_characters": 0.01},
    "fineweb: newlines": {"newlines": 0.3},
}
ALONE: dict[Callable[..., Step], tuple[dict, dict]] = {
    gopher_quality: (
        QUALITY,
        {
            "words": None,
            "mean_word_length": None,
            "hashes": None,
            "ellipses": None,
            "bullet_lines": None,
            "ellipsis_lines": None,
            "alphabetic_words": None,
            "stop_words": None,
        },
    ),
    gopher_repetition: (
        REPETITION,
        {
            "paragraphs": None,
            "paragraph_characters": None,
            "lines": None,
            "line_characters": None,
            "top": (),
            "repeated": (),
        },
    ),
    fineweb_quality: (
        FINEWEB,
        {
            "terminal_punctuation": None,
            "short_lines": None,
            "duplicate_characters": None,
            "newlines": None,
        },
    ),
}
WHOLE = {
    "gopher_quality": {},
    "gopher_repetition": {},
    "c4_quality": {},
    "c4_quality of FineWeb": {"terminal_punctuation": False},
    "c4_quality, lines only": {"sentences": 0},
    "c4_quality, sentences only": {
        "terminal_punctuation": False,
        "words_per_line": 0,
    },
    "c4_paragraphs": {},
    "fineweb_quality": {},
}
MAKERS = {
    maker.__name__: maker
    for maker in (
        gopher_quality,
        gopher_repetition,
        c4_quality,
        c4_paragraphs,
        fineweb_quality,
    )
}


def steps() -> dict[str, Step]:
    """Returns each rule as a step of its own, and the whole steps."""
    alone = {
        name: maker(**{**off, **limits})
        for maker, (rules, off) in ALONE.items()
        for name, limits in rules.items()
    }
    return {**alone, **{name: whole(name) for name in WHOLE}}


def whole(name: str) -> Step:
    """Returns a whole step, by the name that the golden file has."""
    maker = name.removesuffix(" of FineWeb").split(",")[0]
    return MAKERS[maker](**WHOLE[name])


def ask(step: Step, text: str) -> str | None:
    """Returns the text that a step keeps; None: it drops it."""
    kept = list(step([Document(text, "a")], Counts(step.name)))
    return kept[0].text if kept else None


def golden(texts: list[str], path: Path = GOLDEN) -> dict:
    """Returns datatrove's decisions, which must be about these texts."""
    found = json.loads(path.read_text())
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    assert digest == found["sha256"], "make_quality.py read other texts"
    return found["decisions"]


def dropped(decisions: dict[str, str]) -> list[bool]:
    """Returns one answer per text from the bits of the golden file."""
    return [bit == "1" for bit in f"{int(decisions['dropped'], 16):b}"[1:]]


def differences(
    step: Step, texts: list[str], decisions: dict[str, str]
) -> list[tuple[int, str]]:
    """Returns the texts on which the two disagree, and how."""
    found = []
    digests = decisions.get("texts")
    for number, (text, theirs) in enumerate(
        zip(texts, dropped(decisions), strict=True)
    ):
        ours = ask(step, text)
        if (ours is None) != theirs:
            found.append(
                (number, "only they drop" if theirs else "only we drop")
            )
        elif ours is not None and digests:
            known = hashlib.sha256(ours.encode()).hexdigest()[:4]
            if known != digests[4 * number : 4 * number + 4]:
                found.append((number, "other lines"))
    return found
