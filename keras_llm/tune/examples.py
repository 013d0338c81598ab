"""The records that models are tuned on, each with the place it came from."""

import dataclasses
from collections.abc import Iterable
from typing import Protocol, TypeVar

from keras_llm.data.hold_out import check_hold_out, hold_out_rank

Message = dict[str, str]
"""One message of a chat: `role` and `content`."""


class Placed(Protocol):
    """Anything that knows its file and line."""

    @property
    def where(self) -> str:
        """Names the place in errors: "chats.jsonl, line 3"."""
        ...


Example = TypeVar("Example", bound=Placed)


@dataclasses.dataclass(frozen=True)
class Conversation:
    """A chat to learn from.

    Attributes:
        messages: Dictionaries with `role` and `content`: user and assistant
            in turns after an optional system message, the assistant last.
        line: The line of its file, or the number of the item in a JSON list,
            from 1; 0 for one that came from no file.
        where: File and line as errors name them.

    Example:

    >>> Conversation(({"role": "user", "content": "Hi"},
    ...               {"role": "assistant", "content": "Hello"})).line
    0
    """

    messages: tuple[Message, ...]
    line: int = 0
    where: str = "a conversation made in code"


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two answers to one prompt, of which one is preferred.

    Attributes:
        prompt: Messages, a user's last.
        chosen: The better answer.
        rejected: The other one.
        line: As in `Conversation`.
        where: As in `Conversation`.

    Example:

    >>> Pair(({"role": "user", "content": "Hi"},), "Hello", "What?").chosen
    'Hello'
    """

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    line: int = 0
    where: str = "a pair made in code"


@dataclasses.dataclass(frozen=True)
class Rating:
    """One answer, and whether it is a good one.

    Attributes:
        prompt: Messages, a user's last.
        answer: The answer.
        good: Whether it was liked.
        line: As in `Conversation`.
        where: As in `Conversation`.

    Example:

    >>> Rating(({"role": "user", "content": "Hi"},), "What?", False).good
    False
    """

    prompt: tuple[Message, ...]
    answer: str
    good: bool
    line: int = 0
    where: str = "a rating made in code"


@dataclasses.dataclass(frozen=True)
class Labelled:
    """A text, or two, and what it is.

    Attributes:
        text: The text.
        labels: Its label; several or none where texts may have many.
        text_pair: The second text of a pair task, or None.
        line: As in `Conversation`.
        where: As in `Conversation`.

    Example:

    >>> Labelled("Win a prize now", ("spam",)).labels
    ('spam',)
    """

    text: str
    labels: tuple[str, ...]
    text_pair: str | None = None
    line: int = 0
    where: str = "a text made in code"


@dataclasses.dataclass(frozen=True)
class Tagged:
    """A sentence with a tag for each word.

    Attributes:
        words: The words.
        labels: One tag a word: "O", or "B-" and "I-" before the kind of span.
        line: The line of its first word.
        where: File and line as errors name them.

    Example:

    >>> Tagged(("in", "Paris"), ("O", "B-location")).words
    ('in', 'Paris')
    """

    words: tuple[str, ...]
    labels: tuple[str, ...]
    line: int = 0
    where: str = "a sentence made in code"


def held_out(
    examples: Iterable[Example], fraction: float = 0.1, seed: int = 0
) -> tuple[list[Example], list[Example]]:
    """Splits examples by their content, so that equal ones stay together.

    Where an example goes depends on its content, `fraction` and `seed` only,
    not on its place or on the others, as in `data.hold_out`. What is equal
    is the prompt (or text): answers to one prompt are not torn apart.

    Args:
        examples: Records of this module.
        fraction: Expected share held out, 0 <= fraction < 1. Default: 0.1.
        seed: Another seed holds out others. Default: 0.

    Returns:
        `(to train on, held out)`, each in the order given.

    Raises:
        InputError: `fraction` or `seed` is out of range.

    Example:

    >>> texts = [Labelled(str(n), ("a",)) for n in range(1000)]
    >>> train, held = held_out(texts)
    >>> len(train) + len(held), 70 < len(held) < 130
    (1000, True)
    """
    check_hold_out(fraction, seed)
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        held = hold_out_rank(_key(example), seed) < fraction
        sides[held].append(example)
    return sides


def _key(example: Placed) -> str:
    """What decides the side: the prompt, the text or the words."""
    for name in ("prompt", "messages", "text", "words"):
        value = getattr(example, name, None)
        if name == "messages" and value:
            value = value[:-1]
        if value:
            return str(value)
    return str(example)
