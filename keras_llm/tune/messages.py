"""Messages of an example: what they must be, with the line where they stand."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.tokenizers.chat_messages import TALKING
from keras_llm.tune.entries import Entry, checked_text
from keras_llm.tune.examples import Message

ROLES = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
}
UNREAD = (
    *("tool_calls", "tool_call_id", "function_call", "tools", "functions"),
    *("images", "audio", "history", "weight"),
)


def read_messages(
    values: Any, where: str, role: str = "role", content: str = "content"
) -> tuple[Message, ...]:
    """Returns the messages of a chat, their roles by the names of templates.

    Args:
        values: A list of objects.
        where: File and line, for errors.
        role: The field that says who speaks.
        content: The field with the text.

    Raises:
        InputError: One is no message of text, a role is unknown, or they are
            not an optional system message and then user and assistant in
            turns.

    Example:

    >>> read_messages([{"from": "human", "value": "Hi"}], "here", "from",
    ...               "value")
    ({'role': 'user', 'content': 'Hi'},)
    """
    if not isinstance(values, list | tuple) or not values:
        raise InputError(
            "Expected a list of messages, each with "
            f"{role!r} and {content!r}. Received: {values!r:.40} in {where}. "
            "Write the messages, or remove the example."
        )
    messages = tuple(
        _message(value, f"message {number}", where, role, content)
        for number, value in enumerate(values, 1)
    )
    _check_turns(messages, where)
    return messages


def ending_in(
    role: str, messages: Sequence[Message], where: str
) -> tuple[Message, ...]:
    """Returns messages of which the last is by `role`.

    Raises:
        InputError: It is not.

    Example:

    >>> ending_in("user", [{"role": "user", "content": "Hi"}], "here")
    ({'role': 'user', 'content': 'Hi'},)
    """
    last = messages[-1]["role"]
    if last != role:
        what = "an answer" if role == "assistant" else "a question"
        raise InputError(
            f"Expected the last message by {role!r}. Received: one by "
            f"{last!r} in {where}. Add {what} at the end, or remove the "
            "last message."
        )
    return tuple(messages)


def exchange(*texts: str, system: str = "") -> tuple[Message, ...]:
    """Returns texts as messages: user and assistant in turns.

    Args:
        texts: What they say, the user first.
        system: A system message before it; "" for none.

    Example:

    >>> [message["role"] for message in exchange("Hi", "Hello", system="Hm")]
    ['system', 'user', 'assistant']
    """
    said = [
        {"role": TALKING[number % 2], "content": text}
        for number, text in enumerate(texts)
    ]
    first = [{"role": "system", "content": system}] if system else []
    return (*first, *said)


def check_unread(fields: Mapping[str, Any], where: str) -> None:
    """Refuses fields that change what an example means and are not read.

    Raises:
        InputError: One of them is there and not empty.

    Example:

    >>> check_unread({"id": 3, "tools": None}, "a.jsonl, line 1")
    """
    found = [name for name in UNREAD if fields.get(name) not in (None, [], "")]
    if found:
        raise InputError(
            "Expected conversations of text. Received: the field "
            f"{found[0]!r} in {where}, which is not read. Remove the field, "
            "or the example."
        )


def prompt_of(entry: Entry, joint: str) -> tuple[Message, ...]:
    """Returns the prompt of Alpaca's fields: instruction, input and system.

    Args:
        entry: The example.
        joint: What stands between instruction and input.

    Raises:
        InputError: There is no instruction, or a field is no text.

    Example:

    >>> entry = Entry({"instruction": "Add", "input": "1, 2"}, "here", 1)
    >>> prompt_of(entry, ": ")
    ({'role': 'user', 'content': 'Add: 1, 2'},)
    """
    text = entry.text("instruction")
    if extra := entry.optional("input"):
        text += joint + extra
    return exchange(text, system=entry.optional("system"))


def _message(
    value: Any, name: str, where: str, role: str, content: str
) -> Message:
    if not isinstance(value, Mapping) or not {role, content} <= value.keys():
        raise InputError(
            f"Expected {name} with {role!r} and {content!r}. Received: "
            f"{value!r:.60} in {where}. Add what is missing, or remove the "
            "example."
        )
    check_unread(value, where)
    speaker = value[role]
    if speaker not in ROLES:
        raise InputError(
            f"Expected the role of {name} out of {', '.join(ROLES)}. "
            f"Received: {speaker!r} in {where}. Rename it, or remove the "
            "example."
        )
    text = checked_text(value[content], f"{content!r} of {name}", where)
    return {"role": ROLES[speaker], "content": text}


def _check_turns(messages: Sequence[Message], where: str) -> None:
    start = 0 if messages[0]["role"] in TALKING else 1
    for number, message in enumerate(messages[start:]):
        wanted = TALKING[number % 2]
        if message["role"] != wanted:
            raise InputError(
                "Expected an optional system message, then user and "
                "assistant in turns, the user first. Received: "
                f"{message['role']!r} as the role of message "
                f"{start + number + 1} in {where}, not {wanted!r}. Join "
                "messages of one role, or remove the example."
            )
    if start == len(messages):
        raise InputError(
            "Expected a message by the user. Received: a system message "
            f"alone in {where}. Add messages, or remove the example."
        )
