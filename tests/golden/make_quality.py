"""Writes golden/quality_rules.json: what datatrove says about 2,000 texts.

Run it by hand, in an environment of its own, from any folder:

    python -m venv /tmp/peer
    /tmp/peer/bin/pip install datatrove==0.10.1 spacy nltk regex
    /tmp/peer/bin/python tests/golden/make_quality.py [PATH]

Every rule runs alone, the others switched off, and every filter runs whole.
Texts are not written, only the decisions: a bit per document (1: dropped) and,
of filters that change texts, four hexadecimal digits of each text they keep.
Whole filters are timed, in CPU seconds.
"""

import hashlib
import inspect
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from datatrove.data import Document  # noqa: E402
from datatrove.pipeline.filters import (  # noqa: E402
    C4ParagraphFilter,
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.text import split_into_parts  # noqa: E402
from quality_documents import documents  # noqa: E402

TIMED = 5  # Every fifth text is enough to time a filter.
TIMES = ("gopher_quality", "gopher_repetition", "c4_quality", "fineweb_quality")
GOLDEN = Path(__file__).parent / "quality_rules.json"
OFF = {
    GopherQualityFilter: None,
    GopherRepetitionFilter: None,
    # FineWeb's rules have no switch: limits that nothing can fail.
    FineWebQualityFilter: {
        "line_punct_thr": -1.0,
        "short_line_thr": 2.0,
        "char_duplicates_ratio": 2.0,
        "new_line_ratio": 1e9,
    },
}
ALONE = {
    "gopher: number of words": (
        GopherQualityFilter,
        ("min_doc_words", "max_doc_words"),
    ),
    "gopher: mean word length": (
        GopherQualityFilter,
        ("min_avg_word_length", "max_avg_word_length"),
    ),
    "gopher: bullet lines": (GopherQualityFilter, ("max_bullet_lines_ratio",)),
    "gopher: lines end in an ellipsis": (
        GopherQualityFilter,
        ("max_ellipsis_lines_ratio",),
    ),
    "gopher: words with a letter": (
        GopherQualityFilter,
        ("max_non_alpha_words_ratio",),
    ),
    "gopher: stop-words": (GopherQualityFilter, ("min_stop_words",)),
    "gopher: hashes and ellipses": (
        GopherQualityFilter,
        ("max_symbol_word_ratio",),
    ),
    "gopher: repeated paragraphs": (GopherRepetitionFilter, ("dup_para_frac",)),
    "gopher: characters of repeated paragraphs": (
        GopherRepetitionFilter,
        ("dup_para_char_frac",),
    ),
    "gopher: repeated lines": (GopherRepetitionFilter, ("dup_line_frac",)),
    "gopher: characters of repeated lines": (
        GopherRepetitionFilter,
        ("dup_line_char_frac",),
    ),
    "fineweb: lines end a sentence": (
        FineWebQualityFilter,
        ("line_punct_thr",),
    ),
    "fineweb: short lines": (FineWebQualityFilter, ("short_line_thr",)),
    "fineweb: repeated lines": (
        FineWebQualityFilter,
        ("char_duplicates_ratio",),
    ),
    "fineweb: newlines": (FineWebQualityFilter, ("new_line_ratio",)),
}
WHOLE = {
    "gopher_quality": GopherQualityFilter,
    "gopher_repetition": GopherRepetitionFilter,
    "c4_quality": C4QualityFilter,
    "c4_quality of FineWeb": lambda: C4QualityFilter(
        filter_no_terminal_punct=False
    ),
    "c4_quality, lines only": lambda: C4QualityFilter(min_num_sentences=-1),
    "c4_quality, sentences only": lambda: C4QualityFilter(
        filter_no_terminal_punct=False, min_words_per_line=-1
    ),
    "c4_paragraphs": C4ParagraphFilter,
    "fineweb_quality": FineWebQualityFilter,
}


def main(path: Path) -> None:
    texts = [text for _, text in documents()]
    golden = {
        "peer": "datatrove 0.10.1",
        "documents": len(texts),
        "sha256": hashlib.sha256("\0".join(texts).encode()).hexdigest(),
        "megabytes_per_second": {
            name: speed(WHOLE[name](), texts[::TIMED]) for name in TIMES
        },
        "decisions": decisions(texts),
    }
    path.write_text(json.dumps(golden, indent=1) + "\n")


def decisions(texts: list[str]) -> dict[str, dict[str, str]]:
    """Returns what every filter says about every text.

    Text by text, so that datatrove's cache of words serves all filters.
    """
    steps = {name: make() for name, make in {**alone(), **WHOLE}.items()}
    kept = [
        {name: ask(step, text) for name, step in steps.items()}
        for text in texts
    ]
    found = {}
    for name in steps:
        answers = [row[name] for row in kept]
        bits = "".join("1" if text is None else "0" for text in answers)
        found[name] = {"dropped": f"{int('1' + bits, 2):x}"}
        if name.startswith("c4_quality"):
            found[name]["texts"] = "".join(map(digest, answers))
    return found


def ask(step, text: str) -> str | None:
    """Returns the text that a filter keeps; None: it drops it."""
    document = Document(text=text, id="0")
    answer = step.filter(document)
    kept = answer if isinstance(answer, bool) else answer[0]
    return document.text if kept else None


def digest(text: str | None) -> str:
    """Returns four characters that stand for a text."""
    if text is None:
        return "----"
    return hashlib.sha256(text.encode()).hexdigest()[:4]


def speed(step, texts: list[str]) -> float:
    """Returns megabytes per second of CPU time, without the start of spaCy."""
    ask(step, "Starts spaCy. Now.")
    split_into_parts.cache_clear()
    start = time.process_time()
    for text in texts:
        ask(step, text)
    size = sum(len(text.encode()) for text in texts)
    return round(size / 1e6 / (time.process_time() - start), 3)


def alone() -> dict[str, Callable]:
    """Returns, by the name of a rule, what makes a filter of it alone."""
    makers = {
        name: lambda kind=kind, on=on: kind(**off(kind, on))
        for name, (kind, on) in ALONE.items()
    }
    for field, name in (
        ("top_n_grams", "gopher: most frequent {}-gram"),
        ("dup_n_grams", "gopher: repeated {}-grams"),
    ):
        for pair in defaults(GopherRepetitionFilter)[field]:
            kept = {**off(GopherRepetitionFilter, ()), field: (pair,)}
            makers[name.format(pair[0])] = lambda kept=kept: (
                GopherRepetitionFilter(**kept)
            )
    return makers


def defaults(kind: type) -> dict:
    return {
        name: parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
    }


def off(kind: type, on: tuple[str, ...]) -> dict:
    """Returns settings that switch off every limit but those named."""
    limits = OFF[kind] or {
        name: () if name.endswith("n_grams") else None
        for name in defaults(kind)
        if name.startswith(("min_", "max_", "dup_", "top_"))
    }
    return {name: value for name, value in limits.items() if name not in on}


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else GOLDEN)
