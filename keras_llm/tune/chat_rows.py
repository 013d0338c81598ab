"""Rows of conversations and completions: only what is answered is learned."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from keras_llm.conversation import chosen_template, required
from keras_llm.data.array_rows import ArrayRows
from keras_llm.data.counts import Counts
from keras_llm.data.pack import pack as best_fit
from keras_llm.errors import check_choice
from keras_llm.tokenizers.chat_template import ChatTemplate
from keras_llm.tune.encoding import (
    LEARN,
    Fitting,
    as_rows,
    encode_chat,
    encode_plain,
    side_by_side,
    width_for,
)
from keras_llm.tune.examples import Conversation

Encode = Callable[[Conversation], np.ndarray]


def chat_rows(
    conversations: Iterable[Conversation],
    tokenizer: Any,
    template: ChatTemplate | str | None,
    context_length: int,
    learn: str = "answers",
    pack: bool = True,
    too_long: str = "drop",
    counts: Counts | None = None,
) -> ArrayRows:
    """Returns conversations as rows to train on, ready for `train.fit`.

    A conversation stays whole. Several share a row (best fit, as in
    `data.pack`), with positions that begin anew and attention that does not
    cross, so that the loss is that of rows of their own.

    Args:
        conversations: From `read_conversations`; read once.
        tokenizer: The model's tokenizer.
        template: A chat template, the name of one in
            `tokenizers.chat.TEMPLATES`, or None for our own.
        context_length: The most inputs of a row. A conversation may have one
            token more, because its last one is only a target.
        learn: What has a weight of 1 as a target: "answers", all that the
            assistant writes with the token that ends its turn; "last", only
            its last answer; "all", every token.
        pack: False gives each conversation a row of its own; then rows are
            as wide as the longest one, rounded up to 8.
        too_long: Conversations that do not fit: "drop" leaves them out and
            says how many, "cut" leaves their end out, "error" refuses them.
        counts: Filled with what was left out, why and where. Default: that is
            only printed, to standard error.

    Returns:
        Rows with `tokens`, `positions` and `segments`; targets and weights
        `(rows, context_length)`.

    Raises:
        InputError: The template is unknown, or the tokenizer lacks its
            special tokens; a conversation does not suit it, or is too long;
            none is left.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> from keras_llm.tune.messages import exchange
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> rows = chat_rows([Conversation(exchange("b", "c"))], tokenizer,
    ...                  None, context_length=8)
    >>> rows.targets[0, :6].tolist(), rows.weights[0].astype(int).tolist()
    ([257, 98, 260, 258, 99, 260], [0, 0, 0, 0, 1, 1, 0, 0])
    """
    chat = required(chosen_template(tokenizer, template))

    def encode(one: Conversation) -> np.ndarray:
        return encode_chat(one.messages, tokenizer, chat, learn, one.where)

    check_choice("learn", learn, LEARN)
    fitting = Fitting(
        context_length + 1, too_long, counts or Counts("chat rows")
    )
    texts = _fitting(conversations, encode, fitting)
    return _rows(texts, tokenizer, context_length, pack)


def completion_rows(
    conversations: Iterable[Conversation],
    tokenizer: Any,
    context_length: int,
    learn: str = "answers",
    pack: bool = True,
    too_long: str = "drop",
    counts: Counts | None = None,
) -> ArrayRows:
    """Returns prompts and completions as rows, without a chat template.

    The text is bos + prompt + completion + eos, as far as the tokenizer has
    those. Prompt and completion are encoded as one text: a token across
    their border counts as learned.

    Args:
        conversations: Of one user's message, the prompt, and one of the
            assistant, the completion.
        tokenizer: As in `chat_rows`, and so are the others.
        context_length: The most inputs of a row.
        learn: "answers" (or "last"): the completion and the eos; "all".
        pack: Whether several share a row.
        too_long: What happens to those that do not fit.
        counts: Filled with what was left out.

    Raises:
        InputError: A conversation has more messages, or as in `chat_rows`.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> from keras_llm.tune.messages import exchange
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> rows = completion_rows([Conversation(exchange("b", "c"))], tokenizer,
    ...                        context_length=4)
    >>> rows.targets.tolist(), rows.weights.tolist()
    ([[98, 99, 256, 0]], [[0.0, 1.0, 1.0, 0.0]])
    """

    def encode(one: Conversation) -> np.ndarray:
        return encode_plain(one.messages, tokenizer, learn, one.where)

    check_choice("learn", learn, LEARN)
    fitting = Fitting(
        context_length + 1, too_long, counts or Counts("completion rows")
    )
    texts = _fitting(conversations, encode, fitting)
    return _rows(texts, tokenizer, context_length, pack)


def _fitting(
    conversations: Iterable[Conversation], encode: Encode, fitting: Fitting
) -> Iterator[np.ndarray]:
    made = 0
    for one in conversations:
        codes = fitting(encode(one), one.where)
        if codes is not None:
            made += 1
            yield codes
    fitting.finish(made)


def _rows(
    texts: Iterator[np.ndarray],
    tokenizer: Any,
    context_length: int,
    pack: bool,
) -> ArrayRows:
    if pack:
        return as_rows(best_fit(texts, context_length + 1), tokenizer)
    alone = list(texts)
    time = width_for(map(len, alone), context_length)
    return as_rows((side_by_side([t], time) for t in alone), tokenizer)
