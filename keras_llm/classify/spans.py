"""From tags of words to spans, and how many of them are right."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_llm.errors import InputError

OUTSIDE = "O"


class Span(NamedTuple):
    """Some words that are one thing.

    Attributes:
        kind: What it is.
        start: Its first word, counted from 0.
        end: The word after its last one.

    Example:

    >>> Span("location", 3, 5).kind
    'location'
    """

    kind: str
    start: int
    end: int


def spans_of(tags: Sequence[str]) -> list[Span]:
    """Returns the spans that tags mark.

    "B-" begins a span and "I-" goes on with it; "E-" ends one and "S-" is
    one. As usual in evaluation, an "I-" after nothing of its kind begins a
    span.

    Args:
        tags: One for each word.

    Source: the `conlleval` script of CoNLL-2000, as in seqeval.

    Example:

    >>> spans_of(["B-location", "I-location", "O", "I-person"])
    [Span(kind='location', start=0, end=2), Span(kind='person', start=3, end=4)]
    """
    found: list[Span] = []
    kind, start = "", 0
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, _, here = tag.partition("-")
        goes_on = kind and here == kind and prefix in "IE"
        if kind and not goes_on:
            found.append(Span(kind, start, place))
            kind = ""
        if not goes_on and here:
            kind, start = here, place
        if kind and prefix in "ES":
            found.append(Span(kind, start, place + 1))
            kind = ""
    return found


def span_scores(
    truth: Sequence[Sequence[str]], found: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Returns precision, recall and F1 of spans: right if all of it is.

    Args:
        truth: The tags of each sentence.
        found: Those that were given.

    Returns:
        `precision`, `recall`, `f1` over all spans; `macro_f1`, the mean over
        kinds; `kinds`: by name `precision`, `recall`, `f1`, `support`.

    Raises:
        InputError: The two have other lengths.

    Source: the numbers are seqeval's, https://github.com/chakki-works/seqeval.

    Example:

    >>> scores = span_scores([["B-x", "O", "B-y"]], [["B-x", "O", "O"]])
    >>> scores["precision"], scores["recall"], scores["macro_f1"]
    (1.0, 0.5, 0.5)
    """
    if [len(tags) for tags in truth] != [len(tags) for tags in found]:
        raise InputError(
            "Expected as many tags as there are words. Received: sentences "
            "of other lengths."
        )
    right, given = _all(truth), _all(found)
    kinds = sorted({span.kind for _, span in right | given})
    each = {
        kind: _rates(*({p for p in some if p[1].kind == kind} for some in both))
        for kind in kinds
        for both in [(right, given)]
    }
    over_all = _rates(right, given)
    del over_all["support"]
    macro = sum(one["f1"] for one in each.values()) / max(len(each), 1)
    return {**over_all, "macro_f1": macro, "kinds": each}


def _all(sentences: Sequence[Sequence[str]]) -> set[tuple[int, Span]]:
    return {
        (number, span)
        for number, tags in enumerate(sentences)
        for span in spans_of(tags)
    }


def _rates(right: set, given: set) -> dict[str, Any]:
    hits = len(right & given)
    precision = hits / len(given) if given else 0.0
    recall = hits / len(right) if right else 0.0
    both = precision + recall
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / both if both else 0.0,
        "support": len(right),
    }
