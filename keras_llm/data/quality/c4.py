"""The rules of C4 and mC4: lines that are no prose, pages with too little."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.quality.rules import (
    Page,
    Rule,
    check_limits,
    refuse_paragraphs,
    rules_step,
)
from keras_llm.data.quality.words import count_sentences
from keras_llm.data.steps import Step

_CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")
_ENDS = (".", "?", "!", '"', "'")
_POLICY = re.compile(
    "terms of use|privacy policy|cookie policy|uses cookies|use of cookies"
    "|use cookies"
)
PLACEHOLDER, SCRIPT = "lorem ipsum", "javascript"
PARAGRAPHS = 3


@dataclass(frozen=True)
class _Limits:
    """The settings of `c4_quality`."""

    terminal_punctuation: bool
    words_per_line: int
    word_length: int | None
    sentences: int


def c4_quality(
    terminal_punctuation: bool = True,
    words_per_line: int = 3,
    word_length: int | None = 1000,
    sentences: int = 5,
    unit: str = "page",
) -> Step:
    """Removes lines that are no sentences, and pages with few of them.

    Citation marks as in Wikipedia ("[12]", "[edit]") are cut out. A line goes
    that has a word of more than 1000 characters, does not end like a
    sentence, has few words, or speaks of JavaScript, cookies or terms of use.
    A page goes that says "lorem ipsum", has a `{`, or keeps too few
    sentences. Lines are counted as changes, by rule. The count of sentences
    is a rule for pages: it is refused on paragraphs.

    Args:
        terminal_punctuation: Whether lines must end in `. ? ! " '` and not in
            "...". FineWeb switches this off.
        words_per_line: Least words of a line.
        word_length: Most characters of a word; None: no limit.
        sentences: Least sentences of a page, after lines were removed. Give 0
            for paragraphs.
        unit: What one document is. "paragraph" is refused while `sentences`
            is above 0.

    Raises:
        InputError: A limit is no number, or sentences of paragraphs were to
            be counted.

    Source: Raffel et al. (2020), https://jmlr.org/papers/v21/20-074.html,
    section 2.2; datatrove 0.10.1. The list of bad words is not part of it:
    see `blocked_terms`. What differs: docs/curate_rules.md.

    Example:

    >>> counts = Counts("c4_quality")
    >>> page = Document("Home | News\\nIt rained all day. [1]\\nWe sat.", "a")
    >>> step = c4_quality(terminal_punctuation=False, sentences=1)
    >>> [document.text for document in step([page], counts)]
    ['Home | News\\nIt rained all day.']
    >>> dict(counts.changed)
    {'c4: lines with few words': 1}
    """
    if sentences or unit != "paragraph":
        refuse_paragraphs("the C4 rules", unit, "c4_quality(sentences=0, ...)")
    limits = _Limits(
        terminal_punctuation, words_per_line, word_length, sentences
    )
    check_limits(
        {k: v for k, v in vars(limits).items() if k != "terminal_punctuation"}
    )

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document in documents:
            removed: Counter[str] = Counter()
            text, failed = _cleaned(document.text, limits, removed)
            if failed:
                counts.drop(document, failed)
                continue
            for rule in removed:
                counts.change(rule)
            yield replace(document, text=text)

    return Step("c4_quality", run, {**vars(limits), "unit": unit})


def c4_paragraphs(characters: int = 200, unit: str = "page") -> Step:
    """Drops pages without three long lines, the rule of mC4.

    A rule for pages: it is refused on paragraphs.

    Args:
        characters: What a long line has at least.
        unit: What one document is; "paragraph" is refused.

    Raises:
        InputError: `unit` is not "page", or `characters` is no number.

    Source: Xue et al. (2021), https://arxiv.org/abs/2010.11934, section 3.1.

    Example:

    >>> counts = Counts("c4_paragraphs")
    >>> list(c4_paragraphs()([Document("Short.\\nShort.", "a")], counts))
    []
    >>> dict(counts.dropped)
    {'c4: three long lines': 1}
    """
    refuse_paragraphs("the C4 rules", unit, "minimum_length()")
    settings = {"characters": characters}
    check_limits(settings)

    def third_longest(page: Page) -> int:
        lengths = sorted(map(len, page.text.split("\n")))
        return lengths[-PARAGRAPHS] if len(lengths) >= PARAGRAPHS else -1

    rule = Rule("c4: three long lines", third_longest, low=characters)
    return rules_step("c4_paragraphs", [rule], {**settings, "unit": unit})


def _cleaned(
    text: str, limits: _Limits, removed: Counter[str]
) -> tuple[str, str | None]:
    """Returns the lines that stay, and why the whole page goes, if it does."""
    kept = []
    for line in text.splitlines():
        line = line.strip()
        words = line.split()
        if _has_long_word(line, words, limits.word_length):
            removed["c4: lines with a long word"] += 1
            continue
        line = _CITATION.sub("", line)
        rule = _line_rule(line, words, limits)
        if rule:
            removed[rule] += 1
            continue
        lower = line.lower()
        if PLACEHOLDER in lower:
            return "", "c4: lorem ipsum"
        if SCRIPT in lower:
            removed["c4: lines about JavaScript"] += 1
        elif "{" in line:
            return "", "c4: curly bracket"
        elif _POLICY.search(lower):
            removed["c4: lines about cookies and terms"] += 1
        else:
            kept.append(line)
    if _too_few(kept, limits.sentences):
        return "", "c4: number of sentences"
    kept_text = "\n".join(kept).strip()
    return kept_text, None if kept_text else "c4: no line left"


def _line_rule(line: str, words: list[str], limits: _Limits) -> str | None:
    """Names what is wrong with the form of a line."""
    ends = line.endswith(_ENDS) and not line.endswith("...")
    if limits.terminal_punctuation and not ends:
        return "c4: lines that end no sentence"
    if len(words) < limits.words_per_line:
        return "c4: lines with few words"
    return None


def _has_long_word(line: str, words: list[str], most: int | None) -> bool:
    """Says whether a word is too long; a short line has none."""
    if most is None or len(line) <= most:
        return False
    return any(len(word) > most for word in words)


def _too_few(lines: list[str], least: int) -> bool:
    """Says whether the lines have fewer sentences; stops when it knows."""
    found = 0
    for line in lines:
        if found >= least:
            break
        found += count_sentences(line)
    return found < least
