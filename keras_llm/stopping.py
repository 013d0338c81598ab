"""Stop strings: where a text ends, also while it is still coming in."""

from collections.abc import Sequence

SEPARATOR = "\x1f"  # between stop strings that are sent as one


def cut(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Returns the text before the first stop string, and whether one is there.

    Example:

    >>> cut("yes. no", ["."])
    ('yes', True)
    >>> cut("yes", ["."])
    ('yes', False)
    """
    found = [place for stop in stops if (place := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


class StopStream:
    """Passes streamed text on, but never a part of a stop string.

    Args:
        stops: Strings that end the text.

    Attributes:
        stopped: Whether a stop string came.

    Example:

    >>> stream = StopStream(["END"])
    >>> [stream.push(piece) for piece in ("one E", "N", "two", "ENDx")]
    ['one ', '', 'ENtwo', '']
    >>> stream.stopped
    True
    """

    def __init__(self, stops: Sequence[str]):
        self.stopped = False
        self._stops = tuple(stops)
        self._held = ""

    def push(self, text: str) -> str:
        """Returns the text that is certain not to belong to a stop string."""
        text, self.stopped = cut(self._held + text, self._stops)
        keep = 0 if self.stopped else self._undecided(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """Returns what was held back, once no more text comes."""
        held, self._held = self._held, ""
        return held

    def _undecided(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop string."""
        sizes = (
            size
            for stop in self._stops
            for size in range(1, min(len(stop), len(text) + 1))
            if text.endswith(stop[:size])
        )
        return max(sizes, default=0)
