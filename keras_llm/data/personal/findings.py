"""`Span`: where something personal stands in a text."""

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """A stretch of a text and what it is.

    Attributes:
        start: Place of the first character.
        end: Place behind the last one.
        kind: For example "email"; the placeholder is made from it.

    Example:

    >>> Span(9, 14, "name")
    Span(start=9, end=14, kind='name')
    """

    start: int
    end: int
    kind: str


Detector = Callable[[str], Iterable[Span]]


def without_overlaps(
    spans: Iterable[Span], kinds: dict[str, int]
) -> list[Span]:
    """Returns the spans in order, those that overlap an earlier one left out.

    Of those that start together the longest stays; of equal ones the kind
    with the lower rank.

    Args:
        spans: Any spans of one text.
        kinds: Kind -> rank; kinds that are not there come last.

    Example:

    >>> spans = [Span(3, 9, "phone"), Span(0, 5, "card"), Span(0, 2, "ip")]
    >>> without_overlaps(spans, {})
    [Span(start=0, end=5, kind='card')]
    """
    kept: list[Span] = []
    last = len(kinds)
    ordered = sorted(
        spans, key=lambda s: (s.start, -s.end, kinds.get(s.kind, last))
    )
    for span in ordered:
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept
