"""The quality rules of Gopher."""

from collections.abc import Sequence
from functools import partial

from keras_llm.data.quality.rules import (
    OFF,
    Page,
    Range,
    Rule,
    check_limits,
    rules_step,
    share,
)
from keras_llm.data.steps import Step

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
_ELLIPSES = ("...", "…")


def gopher_quality(
    words: Range | None = (50, 100_000),
    mean_word_length: Range | None = (3, 10),
    hashes: float | None = 0.1,
    ellipses: float | None = 0.1,
    bullet_lines: float | None = 0.9,
    ellipsis_lines: float | None = 0.3,
    alphabetic_words: float | None = 0.8,
    stop_words: int | None = 2,
    stop_list: Sequence[str] = STOP_WORDS,
) -> Step:
    """Drops texts that do not look like prose, by Gopher's quality rules.

    For languages written with spaces; for others than English give the
    stop-words, or `stop_words=None`. None switches a rule off. The first rule
    that fails, in this order, is the reason.

    Args:
        words: Least and most words (tokens with a letter or digit).
        mean_word_length: Least and most of their mean length, in characters.
        hashes: Most `#` per token (words and punctuation marks).
        ellipses: Most `...` and `…` per token.
        bullet_lines: Largest share of lines that begin with `•` or `-`.
        ellipsis_lines: Largest share of lines that end with an ellipsis.
        alphabetic_words: Least share of tokens with a letter.
        stop_words: How many different words of `stop_list` it must have.
        stop_list: Frequent words. Default: the eight of the paper.

    Raises:
        InputError: A limit is no number, or a range is upside down.

    Source: Rae et al. (2021), https://arxiv.org/abs/2112.11446, appendix A.1;
    tokens and order as in datatrove 0.10.1, which FineWeb was made with. What
    differs: docs/curate_rules.md.

    Example:

    >>> from keras_llm.data import Counts, Document
    >>> counts = Counts("gopher_quality")
    >>> list(gopher_quality()([Document("# # # " * 50, "a")], counts))
    []
    >>> dict(counts.dropped)
    {'gopher: number of words': 1}
    """
    limits = {
        "words": words,
        "mean_word_length": mean_word_length,
        "hashes": hashes,
        "ellipses": ellipses,
        "bullet_lines": bullet_lines,
        "ellipsis_lines": ellipsis_lines,
        "alphabetic_words": alphabetic_words,
        "stop_words": stop_words,
    }
    check_limits(limits, ranges=("words", "mean_word_length"))
    known = partial(_stop_words, frozenset(stop_list))
    rules = [
        Rule("gopher: number of words", _words, *(words or OFF)),
        Rule(
            "gopher: mean word length",
            _mean_length,
            *(mean_word_length or OFF),
        ),
        Rule("gopher: hashes", _hashes, high=hashes),
        Rule("gopher: ellipses", _ellipses, high=ellipses),
        Rule("gopher: bullet lines", _bullets, high=bullet_lines),
        Rule("gopher: lines end in an ellipsis", _trails, high=ellipsis_lines),
        Rule("gopher: words with a letter", _letters, low=alphabetic_words),
        Rule("gopher: stop-words", known, low=stop_words),
    ]
    settings = {**limits, "stop_list": list(stop_list)}
    return rules_step("gopher_quality", rules, settings)


def _words(page: Page) -> int:
    return len(page.words)


def _mean_length(page: Page) -> float:
    return share(len("".join(page.words)), len(page.words))


def _hashes(page: Page) -> float:
    return share(page.text.count("#"), len(page.tokens))


def _ellipses(page: Page) -> float:
    marks = sum(map(page.text.count, _ELLIPSES))
    return share(marks, len(page.tokens))


def _bullets(page: Page) -> float:
    starts = [line.lstrip()[:1] in ("•", "-") for line in page.lines]
    return share(sum(starts), len(page.lines))


def _trails(page: Page) -> float:
    # Most texts have no ellipsis at all: no need to look at every line.
    if not any(mark in page.text for mark in _ELLIPSES):
        return 0.0
    ends = [line.rstrip().endswith(_ELLIPSES) for line in page.lines]
    return share(sum(ends), len(page.lines))


def _letters(page: Page) -> float:
    lettered = [
        word[-1].isalpha() or any(map(str.isalpha, word)) for word in page.words
    ]
    return share(sum(lettered), len(page.tokens))


def _stop_words(known: frozenset[str], page: Page) -> int:
    return len(known.intersection(page.words))
