"""Questions: prompts with what a reward needs to judge their answers."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any

from keras_llm.errors import InputError
from keras_llm.tune.entries import Entry, checked_text, read_entries
from keras_llm.tune.examples import Message
from keras_llm.tune.messages import ending_in, exchange, read_messages


@dataclasses.dataclass(frozen=True)
class Question:
    """A prompt without an answer.

    Attributes:
        prompt: Messages, a user's last.
        record: What a reward may want to know, such as the right answer.
        line: The line of its file, from 1; 0 for one that came from no file.
        where: File and line as errors name them.

    Example:

    >>> Question(exchange("3+4="), {"answer": "7"}).text
    '3+4='
    """

    prompt: tuple[Message, ...]
    record: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    line: int = 0
    where: str = "a question made in code"

    @property
    def text(self) -> str:
        """What the user asks last."""
        return self.prompt[-1]["content"]


def read_questions(
    path: str | os.PathLike, prompt: str = "prompt", encoding: str = "utf-8"
) -> Iterator[Question]:
    """Reads questions: `{"prompt": ..., "answer": ...}` and other fields.

    The prompt is a text or a list of messages, a user's last; all other
    fields become the record, in which rewards look for the answer.

    Args:
        path: JSON Lines or a JSON list, gzipped (.gz) or not.
        prompt: What the field with the prompt is called, such as "question"
            for GSM8K.
        encoding: The file's encoding.

    Returns:
        An iterator, which reads the file as it goes.

    Raises:
        InputError: At once for a missing file; while reading, with file and
            line: no JSON, a prompt that is missing, empty or no text.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "questions.jsonl"
    >>> _ = path.write_text('{"prompt": "3+4=", "answer": "7"}')
    >>> [question.record for question in read_questions(path)]
    [{'answer': '7'}]
    """
    entries = read_entries(path, encoding)
    return (_question(entry, prompt) for entry in entries)


def _question(entry: Entry, name: str) -> Question:
    if name not in entry.fields:
        raise InputError(
            f"Expected a field {name!r} with the question. Received: "
            f"{entry.where} has {', '.join(entry.fields) or 'no field'}. Add "
            "it, or say with prompt=... what it is called."
        )
    value = entry.fields[name]
    if isinstance(value, list):
        messages = read_messages(value, entry.where)
        messages = ending_in("user", messages, entry.where)
    else:
        messages = exchange(checked_text(value, f"field {name!r}", entry.where))
    record = {key: v for key, v in entry.fields.items() if key != name}
    return Question(messages, record, entry.number, entry.where)
