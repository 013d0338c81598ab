"""Preferences: pairs of answers, and answers that are good or bad."""

import functools
import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any

from keras_llm.errors import InputError
from keras_llm.tune.conversations import JOINT, joined
from keras_llm.tune.entries import Entry, read_entries
from keras_llm.tune.examples import Message, Pair, Rating
from keras_llm.tune.messages import check_unread, prompt_of, read_messages
from keras_llm.tune.shapes import Shape, parsed


def read_pairs(
    path: str | os.PathLike, joint: str = JOINT, encoding: str = "utf-8"
) -> Iterator[Pair]:
    """Reads preferences: a prompt, the chosen and the rejected answer.

    - `{"prompt": ..., "chosen": ..., "rejected": ...}`: each a text or a
      list of messages; chosen and rejected may repeat the prompt's messages
    - `{"chosen": [...], "rejected": [...]}`: messages that are equal but for
      the last one, the answer
    - the book's: `{"instruction": ..., "input": ..., "chosen": ...,
      "rejected": ...}`; its "output" is left out

    Files and forms are as for `read_conversations`. Pairs of two equal
    answers are read; `pair_rows` drops and counts them.

    Args:
        path: The file.
        joint: What stands between instruction and input.
        encoding: The file's encoding.

    Raises:
        InputError: As for `read_conversations`.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "pairs.jsonl"
    >>> _ = path.write_text('{"prompt": "Hi", "chosen": "Hello!", '
    ...                     '"rejected": "What?"}')
    >>> [pair.rejected for pair in read_pairs(path)]
    ['What?']
    """
    return parsed(
        read_entries(path, encoding),
        _pair_shapes(joint),
        "Single answers with a label are read by read_ratings.",
    )


def read_ratings(
    path: str | os.PathLike, joint: str = JOINT, encoding: str = "utf-8"
) -> Iterator[Rating]:
    """Reads answers that are good or bad, as KTO takes them.

    `{"prompt": ..., "completion": ..., "label": true}`, prompt and completion
    a text or a list of messages. A file of pairs (see `read_pairs`) gives two
    ratings for each.

    Args:
        path: The file.
        joint: What stands between instruction and input.
        encoding: The file's encoding.

    Raises:
        InputError: As for `read_conversations`, or a label is not true or
            false.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "ratings.jsonl"
    >>> _ = path.write_text('{"prompt": "Hi", "completion": "What?", '
    ...                     '"label": false}')
    >>> [(rating.answer, rating.good) for rating in read_ratings(path)]
    [('What?', False)]
    """
    records = parsed(
        read_entries(path, encoding),
        [
            Shape(("prompt", "completion", "label"), _rating),
            *_pair_shapes(joint),
        ],
        "Answers without a label are read by read_conversations.",
    )
    return itertools.chain.from_iterable(
        [record] if isinstance(record, Rating) else ratings_of([record])
        for record in records
    )


def ratings_of(pairs: Iterable[Pair]) -> Iterator[Rating]:
    """Yields the chosen answers of pairs as good and the others as bad.

    Example:

    >>> pair = Pair(({"role": "user", "content": "Hi"},), "Hello", "What?")
    >>> [(rating.answer, rating.good) for rating in ratings_of([pair])]
    [('Hello', True), ('What?', False)]
    """
    for pair in pairs:
        for answer, good in ((pair.chosen, True), (pair.rejected, False)):
            yield Rating(pair.prompt, answer, good, pair.line, pair.where)


def _pair_shapes(joint: str) -> list[Shape]:
    book = functools.partial(_book, joint=joint)
    return [
        Shape(("prompt", "chosen", "rejected"), _pair),
        Shape(("instruction", "chosen", "rejected"), book),
        Shape(("chosen", "rejected"), _full),
    ]


def _rating(entry: Entry) -> Rating:
    check_unread(entry.fields, entry.where)
    good = entry.fields["label"]
    if not isinstance(good, bool):
        raise InputError(
            "Expected true or false in field 'label'. Received: "
            f"{good!r:.40} in {entry.where}. Write true for a good answer."
        )
    values = entry.fields["prompt"], entry.fields["completion"]
    *prompt, answer = joined(*values, entry.where)
    return Rating(
        tuple(prompt), answer["content"], good, entry.number, entry.where
    )


def _book(entry: Entry, joint: str) -> Pair:
    answers = entry.text("chosen"), entry.text("rejected")
    return Pair(prompt_of(entry, joint), *answers, entry.number, entry.where)


def _pair(entry: Entry) -> Pair:
    prompt = entry.fields["prompt"]
    start = (
        read_messages(prompt, entry.where)
        if isinstance(prompt, list)
        else ({"role": "user", "content": prompt},)
    )
    return _of_two(
        entry,
        *(
            joined(prompt, _rest(entry.fields[name], start), entry.where)
            for name in ("chosen", "rejected")
        ),
    )


def _full(entry: Entry) -> Pair:
    return _of_two(
        entry,
        *(
            joined([], entry.fields[name], entry.where)
            for name in ("chosen", "rejected")
        ),
    )


def _rest(said: Any, start: tuple[Message, ...]) -> Any:
    """An answer without the messages of the prompt that it may repeat."""
    repeats = isinstance(said, list) and said[: len(start)] == [*start]
    return said[len(start) :] if repeats else said


def _of_two(
    entry: Entry, chosen: tuple[Message, ...], rejected: tuple[Message, ...]
) -> Pair:
    check_unread(entry.fields, entry.where)
    if chosen[:-1] != rejected[:-1]:
        raise InputError(
            "Expected chosen and rejected to answer the same messages. "
            f"Received: two that differ before the answer in {entry.where}. "
            "Make them equal but for the last message, or remove the pair."
        )
    return Pair(
        *(chosen[:-1], chosen[-1]["content"], rejected[-1]["content"]),
        *(entry.number, entry.where),
    )
