"""An answer of a model, as feedback speaks of it."""

import dataclasses
from typing import Any

from keras_llm.records import Record

Prompt = str | list[dict[str, str]]
"""A text to continue, or the messages of a chat (`role` and `content`)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer(Record):
    """One answer of a model, and what it answered to.

    Attributes:
        id: A name for it that no other answer has.
        prompt: A text, or the messages of a chat up to the answer.
        text: The answer.
        model: Name and version of the model.
        adapter: Name and version of its adapter; "" for none.
        settings: How it was generated.

    Example:

    >>> Answer(id="1", prompt="Once", text=" upon a time", model="rose").text
    ' upon a time'
    """

    id: str
    prompt: Prompt
    text: str
    model: str
    adapter: str = ""
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


def text_of(prompt: Prompt) -> str:
    """Returns what was asked: the text, or a chat's last message.

    Example:

    >>> text_of([{"role": "user", "content": "Hi"}]), text_of("Once")
    ('Hi', 'Once')
    """
    return prompt if isinstance(prompt, str) else prompt[-1]["content"]
