"""Rules about one text: a measure and the range in which it may lie."""

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.quality.words import is_word, tokens_of
from keras_llm.data.steps import Step
from keras_llm.errors import InputError

_BLANK_LINES = re.compile(r"\n\n+")
_LINE_ENDS = re.compile(r"\n+")
Range = Sequence[float | None]
OFF = (None, None)


class Page:
    """A text with what several rules measure, computed once.

    Example:

    >>> Page("Hello, you two!").words
    ['Hello', 'you', 'two']
    """

    def __init__(self, text: str):
        self.text = text

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """Words and punctuation marks."""
        return tokens_of(self.text)

    @cached_property
    def words(self) -> list[str]:
        """The tokens with a letter or a digit."""
        return [token for token in self.tokens if is_word(token)]

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their ends."""
        return self.text.splitlines()

    @cached_property
    def blocks(self) -> list[str]:
        """The paragraphs: what stands between blank lines."""
        return _BLANK_LINES.split(self.text.strip())

    @cached_property
    def rows(self) -> list[str]:
        """The lines, where blank ones count as part of the line's end."""
        return _LINE_ENDS.split(self.text)

    @cached_property
    def numbers(self) -> np.ndarray:
        """A number for each token; equal tokens have equal numbers."""
        known = defaultdict(itertools.count().__next__)
        numbers = map(known.__getitem__, self.tokens)
        return np.fromiter(numbers, np.uint64, len(self.tokens))

    @cached_property
    def lengths(self) -> np.ndarray:
        """Characters of each token."""
        return np.fromiter(map(len, self.tokens), np.int64, len(self.tokens))


@dataclass(frozen=True)
class Rule:
    """A text fails it where the measure leaves the range.

    Attributes:
        name: The reason in reports, for example "gopher: mean word length".
        measure: From a `Page` to a number.
        low: The least the measure may be; None: no bound.
        high: The most it may be; None: no bound.

    Example:

    >>> rule = Rule("few words", lambda page: len(page.words), low=3)
    >>> rule.fails(Page("Only two"))
    True
    """

    name: str
    measure: Callable[[Page], float]
    low: float | None = None
    high: float | None = None

    def fails(self, page: Page) -> bool:
        """Says whether the measure of a text lies outside the range."""
        value = self.measure(page)
        return (self.low is not None and value < self.low) or (
            self.high is not None and value > self.high
        )


def share(part: float, whole: float) -> float:
    """Returns `part / whole`; 0 of nothing is 0.

    Example:

    >>> share(1, 4), share(0, 0)
    (0.25, 0.0)
    """
    return part / whole if whole else 0.0


def first_failed(rules: Iterable[Rule], text: str) -> str | None:
    """Returns the name of the first rule a text fails; None: it passes all.

    Example:

    >>> rule = Rule("few words", lambda page: len(page.words), low=3)
    >>> first_failed([rule], "Only two")
    'few words'
    """
    page = Page(text)
    return next((rule.name for rule in rules if rule.fails(page)), None)


def rules_step(
    name: str, rules: Iterable[Rule], settings: dict[str, Any]
) -> Step:
    """Returns a step that drops a document at the first rule it fails.

    Rules without any bound are left out. Documents are judged one by one and
    are not changed.

    Example:

    >>> rule = Rule("few words", lambda page: len(page.words), low=3)
    >>> step = rules_step("long enough", [rule], {"words": 3})
    >>> counts = Counts("long enough")
    >>> [d.source for d in step([Document("Only two", "a")], counts)]
    []
    >>> dict(counts.dropped)
    {'few words': 1}
    """
    rules = [r for r in rules if r.low is not None or r.high is not None]

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document in documents:
            failed = first_failed(rules, document.text)
            if failed:
                counts.drop(document, failed)
            else:
                yield document

    return Step(name, run, settings)


def check_limits(settings: dict[str, Any], ranges: Sequence[str] = ()) -> None:
    """Refuses limits that are no numbers, and ranges that are upside down.

    Args:
        settings: Name -> a number, or None for "off".
        ranges: Names of those that are pairs (low, high).

    Raises:
        InputError: One of them is something else; it is named.

    Example:

    >>> check_limits({"words": (50, None), "hashes": None}, ["words"])
    """
    for name, value in settings.items():
        pair = name in ranges and value is not None
        kind = "a pair (low, high) in order" if name in ranges else "a number"
        values = value if pair and isinstance(value, (tuple, list)) else [value]
        bounds = [bound for bound in values if bound is not None]
        if len(values) != 1 + pair or not _ascending(bounds):
            raise InputError(
                f"Expected {name} to be {kind}, or None to switch the rule "
                f"off. Received: {value!r:.60}."
            )


def _ascending(bounds: list[Any]) -> bool:
    """Says whether all are numbers, none of them below the one before."""
    numbers = all(
        isinstance(bound, (int, float)) and not isinstance(bound, bool)
        for bound in bounds
    )
    return numbers and bounds == sorted(bounds)


def refuse_paragraphs(rules: str, unit: str, instead: str) -> None:
    """Refuses to run rules for pages on paragraphs.

    Args:
        rules: What the rules are called.
        unit: What one document is: "page" or "paragraph".
        instead: What to use on paragraphs.

    Raises:
        InputError: `unit` is "paragraph", or neither.

    Example:

    >>> refuse_paragraphs("The FineWeb rules", "page", "gopher_quality()")
    """
    if unit == "paragraph":
        raise InputError(
            f"Expected whole pages: {rules} count lines and sentences of a "
            "page, and drop nearly half of all clean paragraphs. Received: "
            f'unit="paragraph". Use {instead}, or join the paragraphs of a '
            "page to one document first."
        )
    if unit != "page":
        raise InputError(
            'Expected unit="page" or unit="paragraph": what one document is. '
            f"Received: {unit!r}."
        )
