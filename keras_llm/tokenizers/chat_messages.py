"""Messages of a conversation: what they must be, and in which order."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from keras_llm.errors import InputError

ORDERS = ("any", "system_first", "alternate")
TALKING = ("user", "assistant")


class Message(NamedTuple):
    """One message.

    Attributes:
        role: Who speaks, for example "user".
        content: The text.
        spelled: Special tokens that the text may spell; None for all.
    """

    role: str
    content: str
    spelled: tuple[str, ...] | None = ()


def check_messages(
    messages: str | Sequence[Mapping[str, str]],
    roles: Sequence[str],
    order: str,
    asked: bool,
) -> list[Message]:
    """Returns the messages, or says which one cannot stand where it is.

    Args:
        messages: Dictionaries with "role" and "content", or one string,
            which is a user's message.
        roles: The roles there are.
        order: One of `ORDERS`, see `ChatTemplate`.
        asked: Whether a reply is asked for.

    Raises:
        InputError: There are none, one is no message, or the order is wrong.

    Example:

    >>> check_messages("hi", ["user", "assistant"], "any", True)
    [Message(role='user', content='hi', spelled=())]
    """
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if not isinstance(messages, list | tuple) or not messages:
        raise InputError(
            "Expected a conversation as a string or a list of messages like "
            '{"role": "user", "content": "Hello"}. Received: '
            f"{messages!r:.60}."
        )
    talk = [_message(m, i, roles) for i, m in enumerate(messages, 1)]
    _check_order(talk, order)
    if asked and talk[-1].role == "assistant":
        raise InputError(
            "Expected the last message to be the user's when a reply is "
            "asked for. Received: the assistant's. Add a user message, or "
            "leave the reply out."
        )
    return talk


def _message(value: Any, number: int, roles: Sequence[str]) -> Message:
    if not isinstance(value, Mapping) or set(value) != {"role", "content"}:
        raise InputError(
            f'Expected message {number} to have "role" and "content" and '
            f"nothing else. Received: {value!r:.80}."
        )
    role, content = value["role"], value["content"]
    if not isinstance(content, str):
        raise InputError(
            f"Expected the content of message {number} to be text. Received: "
            f"{type(content).__name__}."
        )
    if role not in roles:
        raise InputError(
            f"Expected the role of message {number} to be one of "
            f"{', '.join(roles)}, which this chat template knows. Received: "
            f"{role!r}."
            + (
                " Put the instruction into the first user message."
                if role == "system"
                else ""
            )
        )
    return Message(role, content)


def _check_order(talk: list[Message], order: str) -> None:
    if order == "any":
        return
    start = 0 if talk[0].role in TALKING else 1
    for number, message in enumerate(talk[start:]):
        wanted = TALKING if order == "system_first" else (TALKING[number % 2],)
        if message.role not in wanted:
            raise InputError(
                f"Expected {' or '.join(wanted)} as the role of message "
                f"{start + number + 1}: this chat template takes "
                + (
                    "a system message only at the start. "
                    if order == "system_first"
                    else "an optional system message, then user and "
                    "assistant in turns, the user first. "
                )
                + f"Received: {message.role!r}."
            )
