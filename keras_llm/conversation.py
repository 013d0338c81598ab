"""Around a chat template: which one a model has, where a reply ends."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.tokenizers.chat import TEMPLATES, ChatTemplate

OWN = "keras_llm"  # the template of tokenizers that this library trains


def chosen_template(
    tokenizer: Any, chat: ChatTemplate | str | None
) -> ChatTemplate | None:
    """Returns the chat template of a model.

    Args:
        tokenizer: The model's tokenizer.
        chat: A template, the name of one in `chat.TEMPLATES`, or None for
            our own where the tokenizer has its special tokens.

    Raises:
        InputError: No template has this name, or the tokenizer lacks a
            special token of the template.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["text"], 261, progress=False)
    >>> chosen_template(tokenizer, None) == TEMPLATES["keras_llm"]
    True
    """
    if chat is None:
        own = TEMPLATES[OWN]
        return None if own.missing_from(tokenizer) else own
    if isinstance(chat, str):
        if chat not in TEMPLATES:
            raise InputError(
                "Expected the name of a chat template out of "
                f"{', '.join(TEMPLATES)}. Received: {chat!r}."
            )
        chat = TEMPLATES[chat]
    chat.check_tokenizer(tokenizer)
    return chat


def required(chat: ChatTemplate | None) -> ChatTemplate:
    """Returns the template of a model that is to chat.

    Raises:
        InputError: It has none.

    Example:

    >>> required(TEMPLATES["chatml"]).end
    ('<|im_end|>',)
    """
    if chat is None:
        raise InputError(
            "Expected a model with a chat template. Received: one without. "
            "Pass the one it was trained with, for example CausalLM(model, "
            'tokenizer, chat="chatml"); the names are in '
            "keras_llm.tokenizers.chat.TEMPLATES."
        )
    return chat


def all_end_ids(
    tokenizer: Any,
    chat: ChatTemplate | None,
    given: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Returns the ids that end a text: the given ones, then a turn's.

    Args:
        tokenizer: The model's tokenizer.
        chat: The chat template, or None.
        given: What ends a text; None for the tokenizer's eos.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["text"], 261, progress=False)
    >>> all_end_ids(tokenizer, TEMPLATES["keras_llm"])
    (256, 260)
    """
    known = tokenizer.special_tokens
    ends = [tokenizer.eos_id] if given is None else [*given]
    ends += [known[token] for token in (chat.end if chat else ())]
    return tuple(dict.fromkeys(i for i in ends if i is not None))


def check_ids(ids: Iterable[int], vocabulary_size: int) -> None:
    """Makes sure that a model has all of these ids.

    Raises:
        InputError: It has not.

    Example:

    >>> check_ids((0, 8), 9)
    """
    if wrong := [i for i in ids if not 0 <= i < vocabulary_size]:
        raise InputError(
            f"Expected end_ids from 0 to {vocabulary_size - 1}, the model's "
            f"vocabulary. Received: {', '.join(map(str, wrong))}."
        )


def after(pieces: Iterable[str], mark: str | None) -> Iterator[str]:
    """Yields streamed text from behind a mark on; all of it without a mark.

    Example:

    >>> list(after(["hidden <fi", "nal>sho", "wn"], "<final>"))
    ['sho', 'wn']
    """
    before, found = "", mark is None
    for piece in pieces:
        if not found and mark is not None:
            before += piece
            _, found, piece = before.partition(mark)
        if found and piece:
            yield piece
