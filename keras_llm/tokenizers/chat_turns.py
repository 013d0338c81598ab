"""What stands around the text of a message in a conversation."""

import dataclasses
from typing import NamedTuple

from keras_llm.errors import InputError
from keras_llm.records import Record


class _Strip(NamedTuple):
    """Which white space around a message's text is left out."""

    left: str | None = ""
    right: str | None = ""

    def __call__(self, text: str) -> str:
        return text.lstrip(self.left).rstrip(self.right)


STRIPS = {
    "none": _Strip(),
    "both": _Strip(None, None),
    "end": _Strip("", None),
    "newlines": _Strip("\n", ""),
}


def check_texts(record: Record, *names: str) -> None:
    """Refuses a field that is no string.

    Raises:
        InputError: With the field and what it holds.

    Example:

    >>> check_texts(Turn(prefix="Q: "), "prefix")
    """
    for name in names:
        value = getattr(record, name)
        if not isinstance(value, str):
            raise InputError(
                f"Expected {name} of a {type(record).__name__} to be a "
                f"string. Received: {value!r:.60}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Turn(Record):
    """What stands around the text of one role.

    Args:
        prefix: What stands before it.
        suffix: What stands after it.
        strip: White space left out of the text: "none", "both" ends, its
            "end", or the "newlines" it begins with.

    Example:

    >>> Turn(prefix="Q: ", suffix="|", strip="both").around(" why? ")
    'Q: why?|'
    """

    prefix: str = ""
    suffix: str = ""
    strip: str = "none"

    def __post_init__(self) -> None:
        check_texts(self, "prefix", "suffix")
        self._one_of("strip", tuple(STRIPS))

    def around(self, text: str) -> str:
        """Returns the whole turn."""
        return self.prefix + STRIPS[self.strip](text) + self.suffix


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fold(Record):
    """How a system message stands inside of a user's turn.

    Args:
        at: The "first" or the "last" user message takes it.
        prefix: What stands before the system message.
        suffix: What stands between it and the user's text.
        strip: How that user's text is stripped, as in `Turn`.

    Example:

    >>> Fold(suffix=": ").joined("Be brief", "Hi")
    'Be brief: Hi'
    """

    at: str = "first"
    prefix: str = ""
    suffix: str = "\n\n"
    strip: str = "none"

    def __post_init__(self) -> None:
        check_texts(self, "prefix", "suffix")
        self._one_of("at", ("first", "last"))
        self._one_of("strip", tuple(STRIPS))

    def joined(self, system: str, text: str) -> str:
        """Returns the text of that user's turn."""
        return self.prefix + system + self.suffix + STRIPS[self.strip](text)
