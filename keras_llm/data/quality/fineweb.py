"""The quality rules that FineWeb added to those of Gopher and C4."""

from keras_llm.data.quality.repetition import repeated
from keras_llm.data.quality.rules import (
    Page,
    Rule,
    check_limits,
    refuse_paragraphs,
    rules_step,
    share,
)
from keras_llm.data.quality.words import TERMINAL_PUNCTUATION
from keras_llm.data.steps import Step

SHORT_LINE = 30


def fineweb_quality(
    terminal_punctuation: float | None = 0.12,
    short_lines: float | None = 0.67,
    duplicate_characters: float | None = 0.01,
    newlines: float | None = 0.3,
    unit: str = "page",
) -> Step:
    """Drops pages that look like lists, by FineWeb's own rules.

    Rules for pages: they are refused on paragraphs. None switches a rule off.

    Args:
        terminal_punctuation: Least share of lines that end with a mark that
            ends sentences, of any script. Lines are counted where they are
            not blank.
        short_lines: Largest share of lines with at most 30 characters.
        duplicate_characters: Largest share of characters in lines that stood
            in the page before.
        newlines: Most line ends per token (words and punctuation marks).
        unit: What one document is; "paragraph" is refused.

    Raises:
        InputError: `unit` is not "page", or a limit is no number.

    Source: Penedo et al. (2024), https://arxiv.org/abs/2406.17557, section
    3.6; datatrove 0.10.1.

    Example:

    >>> from keras_llm.data import Counts, Document
    >>> counts = Counts("fineweb_quality")
    >>> menu = Document("Home\\nNews\\nAbout us\\nContact", "a")
    >>> list(fineweb_quality()([menu], counts))
    []
    >>> dict(counts.dropped)
    {'fineweb: lines end a sentence': 1}
    """
    refuse_paragraphs(
        "the FineWeb rules", unit, "gopher_quality() and gopher_repetition()"
    )
    limits = {
        "terminal_punctuation": terminal_punctuation,
        "short_lines": short_lines,
        "duplicate_characters": duplicate_characters,
        "newlines": newlines,
    }
    check_limits(limits)
    rules = [
        Rule("fineweb: lines end a sentence", _ends, low=terminal_punctuation),
        Rule("fineweb: short lines", _short, high=short_lines),
        Rule("fineweb: repeated lines", _repeats, high=duplicate_characters),
        Rule("fineweb: newlines", _newlines, high=newlines),
    ]
    return rules_step("fineweb_quality", rules, {**limits, "unit": unit})


def _filled(page: Page) -> list[str]:
    """Returns the lines that are not blank, cut at "\\n" only."""
    return [line for line in page.text.split("\n") if line.strip()]


def _ends(page: Page) -> float:
    lines = _filled(page)
    ends = [line.endswith(TERMINAL_PUNCTUATION) for line in lines]
    return share(sum(ends), len(lines))


def _short(page: Page) -> float:
    lines = _filled(page)
    return share(sum(len(line) <= SHORT_LINE for line in lines), len(lines))


def _repeats(page: Page) -> float:
    characters = len(page.text) - page.text.count("\n")
    return share(repeated(_filled(page))[1], characters)


def _newlines(page: Page) -> float:
    return share(page.text.count("\n"), len(page.tokens))
