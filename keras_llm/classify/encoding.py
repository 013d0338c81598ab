"""Texts to ids: started, ended, joined to pairs, cut to a length."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_llm.classify.settings import Ids
from keras_llm.errors import InputError
from keras_llm.tune import Labelled, read_labelled

NEWLINE = "\n"


def ids_for(lm: Any, length: int | None, pairs: bool) -> Ids:
    """Returns how a language model's texts become rows.

    Its start id comes before a text and its tokenizer's eos, if there is
    one, after it and between the texts of a pair; else a line break is
    between them.

    Args:
        lm: A `CausalLM`.
        length: The most tokens. None: the model's context.
        pairs: Whether there are two texts.

    Raises:
        InputError: `length` is more than the context.

    Example: see `keras_llm.classify.sequence`.
    """
    context: int = lm.config.context_length
    length = length or context
    if length > context:
        raise InputError(
            f"Expected length to be at most the model's context of {context} "
            f"tokens. Received: {length}."
        )
    end, between = lm.tokenizer.eos_id, ()
    if pairs:
        line = lm.tokenizer.encode(NEWLINE, disallowed_special=())
        between = tuple(line) if end is None else (end,)
    return Ids(length=length, start=lm.start_id, end=end, between=between)


def labelled(examples: Any) -> list[Labelled]:
    """Returns examples as records: from a file, or from pairs.

    Args:
        examples: A path for `tune.read_labelled`; `tune.Labelled` records;
            or `(text, label)`, where the label may be a list of labels.

    Raises:
        InputError: The file cannot be used, or an example is something else.

    Example:

    >>> [one] = labelled([("You won", "spam")])
    >>> one.labels, one.where
    (('spam',), 'example 1')
    """
    if isinstance(examples, str | os.PathLike):
        return list(read_labelled(Path(examples)))
    return [_labelled(one, i) for i, one in enumerate(examples, 1)]


def _labelled(example: Any, number: int) -> Labelled:
    if isinstance(example, Labelled):
        return example
    pair = isinstance(example, tuple | list) and len(example) == 2
    if not pair or not isinstance(example[0], str):
        raise InputError(
            "Expected examples as (text, label), as tune.Labelled, or the "
            f"path of a file. Received: {example!r:.60} as number {number}."
        )
    text, label = example
    several = isinstance(label, list | tuple | set | frozenset)
    labels = tuple(map(str, label)) if several else (str(label),)
    return Labelled(text, labels, None, 0, f"example {number}")


def texts_of(items: Iterable[Any], pairs: bool) -> list[tuple[str, str | None]]:
    """Returns texts with the second of a pair, or None.

    Args:
        items: Strings, `(text, text_pair)` or `tune.Labelled`.
        pairs: Whether each must be a pair.

    Raises:
        InputError: One is no text, or has one text too many or too few.

    Example:

    >>> texts_of(["a", Labelled("b", ("x",))], pairs=False)
    [('a', None), ('b', None)]
    """
    if isinstance(items, str):
        raise InputError(
            "Expected a list of texts. Received: a string. Write [text]."
        )
    return [_pair(item, i, pairs) for i, item in enumerate(items, 1)]


def _pair(item: Any, number: int, pairs: bool) -> tuple[str, str | None]:
    where = f"number {number}"
    if isinstance(item, Labelled):
        item, where = (item.text, item.text_pair), item.where
    text, second = item if isinstance(item, tuple | list) else (item, None)
    if not isinstance(text, str) or isinstance(second, str) != pairs:
        expected = "pairs of texts" if pairs else "single texts"
        raise InputError(
            f"Expected {expected}. Received: {item!r:.60} as {where}. All "
            "must be of the kind that the classifier is trained on."
        )
    return text, second


def encode_texts(
    texts: Sequence[tuple[str, str | None]], tokenizer: Any, ids: Ids
) -> tuple[list[np.ndarray], int]:
    """Returns the ids of each text, and how many were cut.

    A text keeps its first tokens; of a pair the longer one is cut down to
    the other's length before both are cut.

    Args:
        texts: From `texts_of`.
        tokenizer: The model's tokenizer.
        ids: What starts, ends and parts them.

    Raises:
        InputError: A text has no token at all.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> ids = Ids(length=6, start=256, between=(10,))
    >>> made, cut = encode_texts([("abcdef", "gh")], tokenizer, ids)
    >>> made[0].tolist(), cut
    ([256, 97, 98, 10, 103, 104], 1)
    """
    first = tokenizer.encode([a for a, _ in texts], disallowed_special=())
    second = tokenizer.encode(
        [b or "" for _, b in texts], disallowed_special=()
    )
    made, cut = [], 0
    for (text, pair), one, two in zip(texts, first, second, strict=True):
        between = () if pair is None else ids.between
        room = ids.room - len(between)
        kept = min(len(one), max(room - room // 2, room - len(two)))
        rest = min(len(two), room - kept)
        cut += kept < len(one) or rest < len(two)
        start, end = ([] if i is None else [i] for i in (ids.start, ids.end))
        row = [*start, *one[:kept], *between, *two[:rest], *end]
        if not row:
            raise InputError(
                "Expected texts with a token in them, because this tokenizer "
                f"has none that starts or ends a text. Received: {text!r}."
            )
        made.append(np.array(row, np.int32))
    return made, cut
