"""Conversations to learn from, in the forms that they are published in."""

import functools
import os
from collections.abc import Iterator

from keras_llm.errors import InputError
from keras_llm.tune.entries import Entry, read_entries
from keras_llm.tune.examples import Conversation, Message
from keras_llm.tune.messages import (
    check_unread,
    ending_in,
    exchange,
    prompt_of,
    read_messages,
)
from keras_llm.tune.shapes import Shape, parsed

JOINT = "\n\n"
ALPACA_JOINT = "\n\n### Input:\n"
"""Between instruction and input in Alpaca's prompt and in the book's."""


def read_conversations(
    path: str | os.PathLike, joint: str = JOINT, encoding: str = "utf-8"
) -> Iterator[Conversation]:
    """Reads conversations in any of the forms that are in use.

    - OpenAI: `{"messages": [{"role": ..., "content": ...}, ...]}`
    - ShareGPT: `{"conversations": [{"from": "human", "value": ...}, ...]}`,
      with an optional "system"
    - Alpaca: `{"instruction": ..., "input": ..., "output": ...}`, where
      "input" and "system" are optional
    - prompt and completion: `{"prompt": ..., "completion": ...}`, texts or
      lists of messages. A text becomes a user's message.

    A file is JSON Lines (read line by line) or one JSON list, gzipped (.gz)
    or not. Its first example decides the form; only messages and prompt with
    completion may be mixed, because `FeedbackStore.write_instructions` does.
    Other fields, such as an id, are left out.

    Args:
        path: The file.
        joint: What stands between Alpaca's instruction and input. Default: an
            empty line. For the template "alpaca" pass `ALPACA_JOINT`, which
            makes its published prompt.
        encoding: The file's encoding.

    Returns:
        An iterator, which reads the file as it goes.

    Raises:
        InputError: At once for a missing file; while reading, with file and
            line: no JSON, broken text, an unknown form, a field that is
            missing, of another type or empty, roles out of order, tools.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "chats.jsonl"
    >>> _ = path.write_text('{"instruction": "Add.", "input": "1 and 2", '
    ...                     '"output": "3"}')
    >>> [conversation] = read_conversations(path)
    >>> conversation.messages[0], conversation.line
    ({'role': 'user', 'content': 'Add.\\n\\n1 and 2'}, 1)
    """
    shapes = [
        Shape(("messages",), _openai, "messages"),
        Shape(("conversations",), _sharegpt),
        Shape(("prompt", "completion"), _completion, "messages"),
        Shape(
            ("instruction", "output"), functools.partial(_alpaca, joint=joint)
        ),
    ]
    return parsed(
        read_entries(path, encoding),
        shapes,
        "Preferences are read by read_pairs, labels by read_labelled.",
    )


def joined(prompt: object, answer: object, where: str) -> tuple[Message, ...]:
    """Returns a prompt and its answer as messages, each a text or a list.

    Raises:
        InputError: The messages are none, or not in turns.

    Example:

    >>> joined("Hi", [{"role": "assistant", "content": "Hello"}], "here")
    ({'role': 'user', 'content': 'Hi'},
     {'role': 'assistant', 'content': 'Hello'})
    """
    both = [
        [{"role": role, "content": said}]
        if not isinstance(said, list)
        else said
        for role, said in (("user", prompt), ("assistant", answer))
    ]
    messages = read_messages([*both[0], *both[1]], where)
    return ending_in("assistant", messages, where)


def _openai(entry: Entry) -> Conversation:
    messages = read_messages(entry.fields["messages"], entry.where)
    return _conversation(messages, entry)


def _sharegpt(entry: Entry) -> Conversation:
    said = entry.fields["conversations"]
    messages = read_messages(said, entry.where, "from", "value")
    if system := entry.optional("system"):
        messages = (*exchange(system=system), *messages)
    return _conversation(messages, entry)


def _completion(entry: Entry) -> Conversation:
    if "label" in entry.fields:
        raise InputError(
            "Expected good answers only. Received: a field 'label' beside "
            f"prompt and completion in {entry.where}, which says that some "
            "are bad. Read the file with read_ratings, or leave bad answers "
            "and the field out."
        )
    values = entry.fields["prompt"], entry.fields["completion"]
    return _conversation(joined(*values, entry.where), entry)


def _alpaca(entry: Entry, joint: str) -> Conversation:
    answer = exchange("", entry.text("output"))[1:]
    return _conversation((*prompt_of(entry, joint), *answer), entry)


def _conversation(messages: tuple[Message, ...], entry: Entry) -> Conversation:
    check_unread(entry.fields, entry.where)
    ending_in("assistant", messages, entry.where)
    return Conversation(messages, entry.number, entry.where)
