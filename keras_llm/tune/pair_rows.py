"""Rows of preferences: two answers side by side, or one with its rating."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from keras_llm.conversation import chosen_template, required
from keras_llm.data.array_rows import ArrayRows
from keras_llm.data.counts import Counts
from keras_llm.tokenizers.chat_template import ChatTemplate
from keras_llm.tune.encoding import (
    Fitting,
    as_rows,
    encode_chat,
    encode_plain,
    side_by_side,
    width_for,
)
from keras_llm.tune.examples import Pair, Rating

PLAIN = "plain"
"""In place of a template's name: the prompt is continued as text."""

Encode = Callable[[Pair | Rating, str], np.ndarray]


def pair_rows(
    pairs: Iterable[Pair],
    tokenizer: Any,
    template: ChatTemplate | str | None,
    context_length: int,
    too_long: str = "drop",
    counts: Counts | None = None,
) -> ArrayRows:
    """Returns pairs as rows: the chosen answer, then the rejected one.

    Each stands behind the prompt and is a segment of its own (1 and 2) with
    positions from 0, so that one forward pass scores both and neither sees
    the other. Targets of the answers have a weight of 1; `segments` at the
    same place tells which answer a target belongs to.

    Args:
        pairs: From `read_pairs`; read once. Those of two equal answers are
            left out and counted.
        tokenizer: The model's tokenizer.
        template: A chat template, the name of one, None for our own, or
            "plain": prompt and answer are one text, as in `completion_rows`.
        context_length: The most tokens of a prompt with one answer.
        too_long: As in `chat_rows`; a pair is dropped as a whole.
        counts: As in `chat_rows`.

    Returns:
        Rows of the longest pair's width, rounded up to 8 and at most twice
        `context_length`; their positions stay below `context_length`.

    Raises:
        InputError: As for `chat_rows`.

    Source: Rafailov et al. 2023, https://arxiv.org/abs/2305.18290 (DPO).

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> pair = Pair(({"role": "user", "content": "a"},), "b", "cd")
    >>> rows = pair_rows([pair], tokenizer, "plain", context_length=8)
    >>> rows.inputs["tokens"][0].tolist()
    [256, 97, 98, 256, 256, 97, 99, 100]
    >>> rows.inputs["segments"][0].tolist()
    [1, 1, 1, 1, 2, 2, 2, 2]
    >>> rows.weights[0].astype(int).tolist()
    [0, 1, 1, 0, 0, 1, 1, 1]
    """
    encode = _encoder(tokenizer, template)
    fitting = Fitting(context_length, too_long, counts or Counts("pairs"))
    made: list[list[np.ndarray]] = []
    for pair in pairs:
        parts = _both(pair, encode, fitting)
        if parts is not None:
            made.append(parts)
    fitting.finish(len(made))
    lengths = (len(chosen) + len(rejected) for chosen, rejected in made)
    time = width_for(lengths, 2 * context_length)
    return as_rows((side_by_side(parts, time) for parts in made), tokenizer)


def rating_rows(
    ratings: Iterable[Rating],
    tokenizer: Any,
    template: ChatTemplate | str | None,
    context_length: int,
    too_long: str = "drop",
    counts: Counts | None = None,
) -> ArrayRows:
    """Returns single answers with their rating as rows, for KTO.

    Args:
        ratings: From `read_ratings` or `ratings_of`; read once.
        tokenizer: As in `pair_rows`, and so are the others.
        template: A chat template.
        context_length: The most inputs of a row.
        too_long: What happens to those that do not fit.
        counts: Filled with what was left out.

    Returns:
        Rows, one answer each, as wide as the longest one rounded up to 8.
        Beside the usual inputs they have "label": float32 `(rows, 1)`, 1 for
        a good answer and 0 for a bad one.

    Raises:
        InputError: As for `chat_rows`.

    Source: Ethayarajh et al. 2024, https://arxiv.org/abs/2402.01306 (KTO).

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> rating = Rating(({"role": "user", "content": "a"},), "b", True)
    >>> rows = rating_rows([rating], tokenizer, "plain", context_length=8)
    >>> rows.inputs["label"].tolist(), rows.weights.astype(int).tolist()
    ([[1.0]], [[0, 1, 1, 0, 0, 0, 0, 0]])
    """
    encode = _encoder(tokenizer, template)
    fitting = Fitting(context_length + 1, too_long, counts or Counts("ratings"))
    texts, labels = [], []
    for rating in ratings:
        codes = fitting(encode(rating, rating.answer), rating.where)
        if codes is not None:
            texts.append(codes)
            labels.append([float(rating.good)])
    fitting.finish(len(texts))
    time = width_for(map(len, texts), context_length)
    rows = as_rows((side_by_side([t], time) for t in texts), tokenizer)
    return rows.with_inputs(label=np.array(labels, np.float32))


def _both(
    pair: Pair, encode: Encode, fitting: Fitting
) -> list[np.ndarray] | None:
    """Both answers behind the prompt, or None where one does not fit."""
    parts = []
    for answer in (pair.chosen, pair.rejected):
        codes = fitting(encode(pair, answer), pair.where)
        if codes is None:
            return None
        parts.append(codes)
    if np.array_equal(*parts):
        fitting.counts.drop(pair.where, "with two equal answers")
        return None
    return parts


def _encoder(tokenizer: Any, template: ChatTemplate | str | None) -> Encode:
    """Returns what encodes a prompt with an answer; the answer is learned."""
    plain = template == PLAIN
    chat = None if plain else required(chosen_template(tokenizer, template))

    def encode(example: Pair | Rating, answer: str) -> np.ndarray:
        reply = {"role": "assistant", "content": answer}
        messages = [*example.prompt, reply]
        if chat is None:
            return encode_plain(messages, tokenizer, "last", example.where)
        return encode_chat(messages, tokenizer, chat, "last", example.where)

    return encode
