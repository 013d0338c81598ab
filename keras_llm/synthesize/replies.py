"""Reading what a model wrote: JSON out of prose, a text between marks."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

_DECODER = json.JSONDecoder(strict=False)  # raw line ends stand in strings
_OPEN = re.compile(r"[{\[]")
_TEXT = re.compile(r"<text>(.*?)(?:</text>|\Z)", re.DOTALL)


def read_objects(reply: str, names: Sequence[str]) -> list[dict[str, str]]:
    """Returns the objects in a reply that have all fields, as texts.

    They may stand in a list, one after the other, in an object around them,
    in a Markdown fence, between sentences. Of a list that was cut off the
    whole objects are read. Nothing in a reply is ever run.

    Args:
        reply: As it came.
        names: The fields. Others are left out; an object that lacks one, or
            in which one is no text or blank, is left out.

    Example:

    >>> read_objects('Sure:\\n[{"q": "1 + 1?", "a": "2"}, {"q": "1', ["q", "a"])
    [{'q': '1 + 1?', 'a': '2'}]
    """
    return [
        {name: value[name].strip() for name in names}
        for value in _objects(_values(reply))
        if all(
            isinstance(value.get(name), str) and value[name].strip()
            for name in names
        )
    ]


def read_text(reply: str) -> str:
    """Returns what stands between <text> and </text>, or else all.

    Example:

    >>> read_text("Here it is. <text>A rose.</text>"), read_text(" A rose. ")
    ('A rose.', 'A rose.')
    """
    found = _TEXT.search(reply)
    return (found[1] if found else reply).strip()


def _values(text: str) -> Iterator[Any]:
    """Yields the lists and objects in a text, the outermost that are whole."""
    place = 0
    while found := _OPEN.search(text, place):
        try:
            value, place = _DECODER.raw_decode(text, found.start())
            yield value
        except ValueError:  # a bracket of prose, or of a list cut off
            place = found.start() + 1
        except RecursionError:  # brackets and nothing else
            return


def _objects(values: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """Yields the objects in lists, and in objects that hold lists."""
    for value in values:
        if isinstance(value, list):
            yield from _objects(iter(value))
        elif isinstance(value, dict):
            yield value
            lists = [one for one in value.values() if isinstance(one, list)]
            yield from _objects(iter(lists))
