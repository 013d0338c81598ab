"""What a classifier or tagger is, beside its weights: records, checked."""

import dataclasses
from typing import Any

from keras_llm.classify.pooling import POOLINGS
from keras_llm.errors import InputError, check_choice
from keras_llm.records import Record

ONE, MANY = "single", "multi"
KINDS = (ONE, MANY)
FIRST, LAST = "first", "last"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ids(Record):
    """How the tokens of a text become a row.

    Args:
        length: The most tokens of a text, those below counted.
        start: Id put before a text, or None.
        end: Id put after it, or None.
        between: Ids between the two texts of a pair.

    Raises:
        InputError: There is no room for a token of a text.

    Example:

    >>> Ids(length=8, start=1, end=2, between=(2,)).room, Ids(length=8).room
    (6, 8)
    """

    length: int
    start: int | None = None
    end: int | None = None
    between: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self._set("between", tuple(self.between))
        self._positive("length")
        if self.room - len(self.between) < 1:
            raise InputError(
                "Expected a length with room for a token beside those that "
                f"start and end a text. Received: length={self.length}."
            )

    @property
    def room(self) -> int:
        """Tokens of the text itself."""
        return self.length - (self.start is not None) - (self.end is not None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierSettings(Record):
    """What a `Classifier` is, beside its weights and tokenizer.

    Args:
        labels: The labels, in the order of the classes.
        kind: "single" for one label of each text, "multi" for any number.
        pooling: As in `sequence_model`.
        dropout: As in `sequence_model`.
        pairs: Whether it classifies pairs of texts.
        ids: How texts become rows.
        temperature: Logits are divided by it; see `calibrate`. Default: 1.
        threshold: From which probability on a label is given: for two labels
            of "single" that of the second; for "multi" one number, or one
            for each label. None: the likeliest label, or 0.5.

    Raises:
        InputError: A value is out of range or does not fit another.

    Example:

    >>> ClassifierSettings(labels=("ham", "spam"), ids=Ids(length=8)).kind
    'single'
    """

    labels: tuple[str, ...]
    ids: Ids
    kind: str = ONE
    pooling: str = "last"
    dropout: float = 0.0
    pairs: bool = False
    temperature: float = 1.0
    threshold: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        self._set("labels", tuple(self.labels))
        if not isinstance(self.ids, Ids):
            self._set("ids", Ids.from_dict(self.ids))
        check_choice("kind", self.kind, KINDS)
        check_choice("pooling", self.pooling, POOLINGS)
        self._between("dropout", 0, 0.99999)
        self._positive("temperature")
        _check_labels(self.labels, 2 if self.kind == ONE else 1)
        if self.threshold is not None:
            self._check_threshold()

    @property
    def many(self) -> bool:
        """Whether a text may have any number of labels."""
        return self.kind == MANY

    def _check_threshold(self) -> None:
        given: Any = self.threshold
        several = isinstance(given, list | tuple)
        values = tuple(given) if several else (given,)
        numbers = all(
            isinstance(v, int | float) and 0 <= v <= 1 for v in values
        )
        fits = len(values) == len(self.labels) if several else True
        if self.kind == ONE:
            fits = not several and len(self.labels) == 2
        if not (numbers and fits):
            raise InputError(
                "Expected a threshold from 0 to 1: one number for two labels "
                'of kind "single", one or one for each label for "multi". '
                f"Received: {given!r} for {len(self.labels)} labels of kind "
                f'"{self.kind}".'
            )
        if several:
            self._set("threshold", values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaggerSettings(Record):
    """What a `Tagger` is, beside its weights and tokenizer.

    Args:
        labels: The tags, in the order of the classes.
        ids: How words become rows; `end` and `between` are not used.
        dropout: As in `token_model`.
        place: The token of a word that is labelled: "first", as is usual,
            or "last", which has seen the whole word.
        echo: Whether the words are read twice, and labelled the second
            time, so that a word has seen those after it.

    Raises:
        InputError: A value is out of range.

    Source: Springer et al. 2024, https://arxiv.org/abs/2402.15449 (`echo`).

    Example:

    >>> TaggerSettings(labels=("B-x", "O"), ids=Ids(length=8)).place
    'first'
    """

    labels: tuple[str, ...]
    ids: Ids
    dropout: float = 0.0
    place: str = FIRST
    echo: bool = False

    def __post_init__(self) -> None:
        self._set("labels", tuple(self.labels))
        if not isinstance(self.ids, Ids):
            self._set("ids", Ids.from_dict(self.ids))
        check_choice("place", self.place, (FIRST, LAST))
        self._between("dropout", 0, 0.99999)
        _check_labels(self.labels, 2)


def _check_labels(labels: tuple[str, ...], least: int) -> None:
    if len(labels) < least or len(set(labels)) != len(labels):
        raise InputError(
            f"Expected at least {least} labels, each once. Received: "
            f"{', '.join(map(str, labels)) or 'none'}."
        )
