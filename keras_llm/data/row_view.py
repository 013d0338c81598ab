"""One packed row taken apart: its documents, and what each place is for."""

from dataclasses import dataclass

import numpy as np

from keras_llm.data.arrays import training_arrays
from keras_llm.data.rows import Rows
from keras_llm.errors import InputError


@dataclass(frozen=True)
class RowPlace:
    """A place of a row.

    Attributes:
        index: Where it is in the row, from 0.
        token: The id there.
        segment: Number of its document in the row, from 1.
        position: Where it is in its part of the document, from 0.
        weight: Of the prediction of this token in the loss: 1, or 0 for the
            first token of a part, which nothing predicts.

    Example:

    >>> RowPlace(index=4, token=17, segment=2, position=0, weight=0).segment
    2
    """

    index: int
    token: int
    segment: int
    position: int
    weight: int


@dataclass(frozen=True)
class RowPart:
    """What a row has of one document.

    Attributes:
        places: Its places, in order.
        begins: Whether the document begins here; None if no token says so.
        ends: Whether it ends here; None if no token says so.

    Example:

    >>> RowPart(places=(RowPlace(0, 7, 1, 0, 0),), begins=True, ends=False).ends
    False
    """

    places: tuple[RowPlace, ...]
    begins: bool | None
    ends: bool | None


@dataclass(frozen=True)
class RowView:
    """A packed row, taken apart.

    Attributes:
        index: Its number among the rows.
        length: Places in it, padding too.
        parts: One for each document in it.

    Example:

    >>> RowView(index=3, length=9, parts=()).padding
    9
    """

    index: int
    length: int
    parts: tuple[RowPart, ...]

    @property
    def padding(self) -> int:
        """Returns how many places hold nothing."""
        return self.length - sum(len(part.places) for part in self.parts)

    @property
    def targets(self) -> int:
        """Returns how many tokens are predicted."""
        return sum(p.weight for part in self.parts for p in part.places)


def view_row(rows: Rows, index: int) -> RowView:
    """Takes a packed row apart, for people to look at.

    Positions and weights are those that training gets.

    Args:
        rows: From `open_rows`.
        index: From 0.

    Raises:
        InputError: There is no such row.

    Example:

    >>> import tempfile
    >>> from keras_llm.data import Document, open_rows, pack_corpus
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> documents = [Document("rose", ""), Document("is", "")]
    >>> tokenizer = HostTokenizer.train(["a rose is a rose"], 261)
    >>> folder = tempfile.mkdtemp()
    >>> _ = pack_corpus(documents, tokenizer, folder, context_length=15)
    >>> view = view_row(open_rows(folder), 0)
    >>> [len(part.places) for part in view.parts], view.targets, view.padding
    ([6, 4], 8, 6)
    """
    if not 0 <= index < len(rows):
        raise InputError(
            f"Expected a row from 0 to {len(rows) - 1} of {rows.name}. "
            f"Received: {index}."
        )
    packed = rows[index]
    tokens, segments = packed["tokens"][0], packed["segments"][0]
    inputs, _, weights = training_arrays(tokens[None], segments[None])
    # The last place is a target only: it is no input and has no position.
    positions = np.append(inputs["positions"][0], 0)
    if segments[-1] and segments[-1] == segments[-2]:
        positions[-1] = positions[-2] + 1
    predicted = np.append(0, weights[0]).astype(int)
    columns = (tokens, segments, positions, predicted)
    places = [
        RowPlace(at, *(int(column[at]) for column in columns))
        for at in np.flatnonzero(segments).tolist()
    ]
    bos_id, eos_id = rows.manifest.bos_id, rows.manifest.eos_id
    parts = []
    for number in range(1, int(segments.max()) + 1):
        part = tuple(place for place in places if place.segment == number)
        begins = None if bos_id is None else part[0].token == bos_id
        ends = None if eos_id is None else part[-1].token == eos_id
        parts.append(RowPart(part, begins, ends))
    return RowView(index, rows.row_length, tuple(parts))
