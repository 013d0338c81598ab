"""Texts with labels, for classification: JSON Lines, CSV, TSV."""

import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_llm.errors import InputError
from keras_llm.tune.entries import Entry, checked_file, read_entries
from keras_llm.tune.examples import Labelled, Tagged
from keras_llm.tune.shapes import Shape, parsed
from keras_llm.tune.tables import TABLES, kind_of_table, read_table


def read_labelled(
    path: str | os.PathLike,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8",
) -> Iterator[Labelled]:
    """Reads texts with their labels.

    - JSON Lines or a JSON list: `{"text": ..., "label": ...}`, with a second
      text in "text_pair" for pair tasks; `{"text": ..., "labels": [...]}`
      where a text has any number of labels
    - CSV (.csv) with quotes, or TSV (.tsv, .txt) without, gzipped or not:
      the same names in the first line. A table of two columns without names
      is read as well: the column with fewer different values is the label.

    A label may be a word, a whole number or true and false; it is kept as
    text.

    Args:
        path: The file.
        columns: Names of a table's columns where its first line has none,
            for example ("text", "label").
        encoding: The file's encoding.

    Returns:
        An iterator. A table is read as a whole at once.

    Raises:
        InputError: At once for a missing file; while reading, with file and
            line: a form that is unknown or changes, a text or label that is
            missing or empty, a row of another width, broken text.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "sms.tsv"
    >>> _ = path.write_text("ham\\tSee you\\nspam\\tYou won\\nham\\tOk\\n")
    >>> [(example.text, *example.labels) for example in read_labelled(path)]
    [('See you', 'ham'), ('You won', 'spam'), ('Ok', 'ham')]
    """
    path = checked_file(path)
    shapes = [
        Shape(("text", "labels"), _multi),
        Shape(("text", "label"), _single),
    ]
    if kind_of_table(path) in TABLES:
        entries = read_table(path, columns, encoding)
    else:
        entries = read_entries(path, encoding)
    return parsed(
        entries,
        shapes,
        'For a table, say which column is which: columns=("text", "label").',
    )


def labels_of(examples: Iterable[Labelled | Tagged]) -> tuple[str, ...]:
    """Returns all labels, sorted: what a classifier learns to tell apart.

    Raises:
        InputError: There are fewer than two (for texts that may have any
            number: none).

    Example:

    >>> labels_of([Labelled("Hi", ("ham",)), Labelled("Buy", ("spam",))])
    ('ham', 'spam')
    """
    names, single = set(), True
    for example in examples:
        names.update(example.labels)
        single &= isinstance(example, Labelled) and len(example.labels) == 1
    if len(names) < (2 if single else 1):
        raise InputError(
            "Expected at least two different labels. Received: "
            f"{', '.join(sorted(names)) or 'none'}. Add examples of others."
        )
    return tuple(sorted(names, key=_order))


def label_ids(examples: Sequence[Labelled], names: Sequence[str]) -> np.ndarray:
    """Returns the place of each example's label among `names`.

    Args:
        examples: Texts with one label each.
        names: All labels, from `labels_of` of the training set.

    Returns:
        int32 `(examples,)`.

    Raises:
        InputError: A label is none of `names`, or an example has not one;
            file and line are named.

    Example:

    >>> label_ids([Labelled("Buy", ("spam",))], ("ham", "spam")).tolist()
    [1]
    """
    for example in examples:
        if len(example.labels) != 1:
            raise InputError(
                "Expected one label for each text. Received: "
                f"{len(example.labels)} in {example.where}. Train a "
                "multi-label classifier, or keep one."
            )
    return np.array([_places(e, names)[0] for e in examples], np.int32)


def label_matrix(
    examples: Sequence[Labelled], names: Sequence[str]
) -> np.ndarray:
    """Returns 1 for each label that an example has, else 0.

    Args:
        examples: Texts with any number of labels.
        names: All labels, from `labels_of` of the training set.

    Returns:
        float32 `(examples, names)`.

    Raises:
        InputError: A label is none of `names`; file and line are named.

    Example:

    >>> label_matrix([Labelled("Hm", ("b", "a"))], ("a", "b", "c")).tolist()
    [[1.0, 1.0, 0.0]]
    """
    matrix = np.zeros((len(examples), len(names)), np.float32)
    for row, example in zip(matrix, examples, strict=True):
        row[_places(example, names)] = 1
    return matrix


def tag_ids(
    examples: Iterable[Tagged], names: Sequence[str]
) -> list[np.ndarray]:
    """Returns the place of each word's tag among `names`.

    Args:
        examples: Sentences with a tag for each word.
        names: All tags, from `labels_of` of the training set.

    Returns:
        For each sentence int32 `(words,)`.

    Raises:
        InputError: A tag is none of `names`; file and line are named.

    Example:

    >>> tag_ids([Tagged(("in", "Rome"), ("O", "B-loc"))], ("B-loc", "O"))
    [array([1, 0], dtype=int32)]
    """
    return [np.array(_places(e, names), np.int32) for e in examples]


def _places(example: Labelled | Tagged, names: Sequence[str]) -> list[int]:
    known = _known(tuple(names))
    for number, label in enumerate(example.labels):
        if label not in known:
            word = f"word {number + 1} of " * isinstance(example, Tagged)
            raise InputError(
                f"Expected a label seen in training: {', '.join(names)}. "
                f"Received: {label!r}, {word}{example.where}. Correct it, or "
                "add examples of it to the training set."
            )
    return [known[label] for label in example.labels]


@functools.lru_cache(8)
def _known(names: tuple[str, ...]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}


def _order(name: str) -> tuple[bool, int, str]:
    """Numbers by size, before words: "10" comes after "2"."""
    whole = name.isascii() and name.isdigit()
    return not whole, int(name) if whole else 0, name


def _single(entry: Entry) -> Labelled:
    return _labelled(entry, (_label(entry.fields["label"], entry),))


def _multi(entry: Entry) -> Labelled:
    values = entry.fields["labels"]
    if not isinstance(values, list):
        raise InputError(
            "Expected a list in field 'labels'. Received: "
            f"{values!r:.40} in {entry.where}. Write a list, or one label in "
            "field 'label'."
        )
    labels = tuple(_label(value, entry) for value in values)
    return _labelled(entry, tuple(dict.fromkeys(labels)))


def _label(value: Any, entry: Entry) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    label = str(value) if isinstance(value, int) else value
    if not isinstance(label, str) or not label.strip():
        raise InputError(
            "Expected a label as a word or a whole number. Received: "
            f"{value!r:.40} in {entry.where}. Fill it in, or remove the "
            "example."
        )
    return label.strip()


def _labelled(entry: Entry, labels: tuple[str, ...]) -> Labelled:
    pair = entry.text("text_pair") if "text_pair" in entry.fields else None
    text = entry.text("text")
    return Labelled(text, labels, pair, entry.number, entry.where)
