"""From examples to ids with a mark on what is learned, ready to be packed.

A token travels as one number, `2 * id + learned`, so that the packing of
documents (`data.pack`) carries both without knowing of it.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_llm.data.array_rows import ArrayRows
from keras_llm.data.arrays import training_arrays
from keras_llm.data.counts import Counts
from keras_llm.data.pack import Row, pack
from keras_llm.errors import InputError, check_choice
from keras_llm.tokenizers.chat_encoding import Piece, encode_pieces
from keras_llm.tokenizers.chat_template import ChatTemplate
from keras_llm.tune.examples import Message

LEARN = ("answers", "last", "all")
TOO_LONG = ("drop", "cut", "error")
EIGHT = 8  # widths are multiples of it: matrix units like them


def coded(ids: Sequence[int], learned: Any = 1) -> np.ndarray:
    """Returns tokens as `2 * id + learned`, int32.

    Example:

    >>> coded([5, 6], [0, 1]).tolist()
    [10, 13]
    """
    return np.asarray(ids, np.int32) * 2 + np.asarray(learned, np.int32)


def encode_chat(
    messages: Sequence[Message],
    tokenizer: Any,
    template: ChatTemplate,
    learn: str,
    where: str,
) -> np.ndarray:
    """Returns the coded tokens of a conversation.

    Args:
        messages: The conversation, the assistant last.
        tokenizer: The model's tokenizer.
        template: Its chat template.
        learn: "answers": all that the assistant writes; "last": its last
            answer; "all": every token.
        where: File and line, for errors.

    Raises:
        InputError: The template does not take these messages.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> from keras_llm.tokenizers.chat import TEMPLATES
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> messages = [{"role": "user", "content": "b"},
    ...             {"role": "assistant", "content": "c"}]
    >>> codes = encode_chat(messages, tokenizer, TEMPLATES["keras_llm"],
    ...                     "answers", "here")
    >>> (codes >> 1).tolist(), (codes & 1).tolist()
    ([256, 257, 98, 260, 258, 99, 260], [0, 0, 0, 0, 0, 1, 1])
    """
    try:
        ids, mask = template.encode(tokenizer, messages)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    learned = np.asarray(mask, np.int32)
    if learn == "all":
        learned = np.ones_like(learned)
    elif learn == "last":
        end = len(learned) - int(np.argmax(learned[::-1]))
        before = np.flatnonzero(learned[:end] == 0)
        learned[: before[-1] if len(before) else 0] = 0
    return coded(ids, learned)


def encode_plain(
    messages: Sequence[Message], tokenizer: Any, learn: str, where: str
) -> np.ndarray:
    """Returns the coded tokens of a prompt and its completion, no template.

    The tokenizer's bos and eos, where it has them, begin and end the text;
    the eos is learned with the completion.

    Args:
        messages: A user's message and the assistant's.
        tokenizer: The model's tokenizer.
        learn: As in `encode_chat`.
        where: File and line, for errors.

    Raises:
        InputError: There are other messages: they need a template.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> codes = encode_plain([{"role": "user", "content": "b"},
    ...     {"role": "assistant", "content": "c"}], tokenizer, "answers", "")
    >>> (codes >> 1).tolist(), (codes & 1).tolist()
    ([256, 98, 99, 256], [0, 0, 1, 1])
    """
    roles = [message["role"] for message in messages]
    if roles != ["user", "assistant"]:
        raise InputError(
            "Expected a prompt and a completion where there is no chat "
            f"template. Received: messages by {', '.join(roles)} in {where}. "
            "Pass a template."
        )
    prompt, answer = (message["content"] for message in messages)
    pieces = [Piece(prompt, spelled=()), Piece(answer, True, spelled=())]
    ids, mask = encode_pieces(tokenizer, pieces)
    return with_ends(coded(ids, 1 if learn == "all" else mask), tokenizer)


def with_ends(codes: np.ndarray, tokenizer: Any) -> np.ndarray:
    """Puts the tokenizer's bos before and its eos, learned, after a text.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> (with_ends(coded([97]), tokenizer) >> 1).tolist()
    [256, 97, 256]
    """
    first, last = (
        coded([] if end is None else [end], learned)
        for end, learned in ((tokenizer.bos_id, 0), (tokenizer.eos_id, 1))
    )
    return np.concatenate([first, codes, last])


class Fitting:
    """Which examples are short enough; the others are counted, or refused.

    Args:
        limit: The most tokens of an example.
        too_long: What happens to longer ones: "drop" leaves them out, "cut"
            leaves the end of the answer out, "error" refuses them.
        counts: Filled with what was dropped or cut, why and where.

    Raises:
        InputError: `limit` < 2, or another `too_long`.

    Example:

    >>> fitting = Fitting(2, "drop", Counts("chat rows"))
    >>> fitting(coded([5, 6, 7]), "a.jsonl, line 1") is None
    True
    >>> fitting.counts.reasons()
    'chat rows: 1 longer than 2 tokens (a.jsonl, line 1)'
    """

    def __init__(self, limit: int, too_long: str, counts: Counts):
        check_choice("too_long", too_long, TOO_LONG)
        if limit < 2:
            raise InputError(
                f"Expected room for 2 tokens or more. Received: {limit}. "
                "Raise context_length."
            )
        self.limit, self.too_long = limit, too_long
        self.counts = counts

    def __call__(self, codes: np.ndarray, where: str) -> np.ndarray | None:
        """Returns an example that fits, cut if need be, or None.

        Raises:
            InputError: It is too long, and that is an error.
        """
        if len(codes) > self.limit:
            if self.too_long == "error":
                raise InputError(
                    f"Expected examples of at most {self.limit} tokens. "
                    f"Received: {len(codes)} in {where}. Raise "
                    'context_length, or pass too_long="drop" or "cut".'
                )
            if self.too_long == "drop":
                self.counts.drop(where, f"longer than {self.limit} tokens")
                return None
            codes = codes[: self.limit]
            self.counts.change(f"cut to {self.limit} tokens")
        if not (codes[1:] & 1).any():
            self.counts.drop(where, f"without an answer in {self.limit} tokens")
            return None
        return codes

    def finish(self, made: int) -> None:
        """Prints what was left out to standard error.

        Raises:
            InputError: No example is left.
        """
        if not made:
            raise InputError(
                "Expected at least one example to learn from. Received: none "
                f"({self.counts.reasons()}). Raise context_length, pass "
                'too_long="cut", or add examples.'
            )
        changes = [f"{n} {kind}" for kind, n in self.counts.changed.items()]
        if self.counts.dropped:
            changes.append(f"left out {self.counts.reasons()}")
        if changes:
            print("; ".join(changes), file=sys.stderr)


def side_by_side(parts: Sequence[np.ndarray], time: int) -> Row:
    """Returns coded texts as one row, each a segment of its own.

    Args:
        parts: The texts, which fit into `time + 1` tokens.
        time: Inputs of the row.

    Example:

    >>> row = side_by_side([coded([5, 6]), coded([7, 8])], time=5)
    >>> row.segments.tolist()
    [1, 1, 2, 2, 0, 0]
    """
    return next(pack(parts, time + 1))


def width_for(lengths: Iterable[int], most: int) -> int:
    """Returns the inputs of a row for the longest of some texts.

    Args:
        lengths: Their tokens; the last token of a row is no input.
        most: The widest.

    Example:

    >>> width_for([5, 11], most=64)
    16
    """
    longest = max(lengths) - 1
    return min(-(-longest // EIGHT) * EIGHT, most)


def as_rows(rows: Iterator[Row] | Iterable[Row], tokenizer: Any) -> ArrayRows:
    """Returns rows of coded tokens as what `train.fit` takes.

    Args:
        rows: At least one row.
        tokenizer: What made the ids.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> rows = as_rows([side_by_side([coded([5, 6, 7], [0, 0, 1])], 2)],
    ...                tokenizer)
    >>> rows.targets.tolist(), rows.weights.tolist()
    ([[6, 7]], [[0.0, 1.0]])
    """
    codes, segments = (np.stack(arrays) for arrays in zip(*rows, strict=True))
    inputs, targets, weights = training_arrays(codes >> 1, segments)
    weights *= codes[:, 1:] & 1
    return ArrayRows(inputs, targets, weights, tokenizer.fingerprint)
