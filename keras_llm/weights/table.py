"""The name table: their tensors <-> our variables, as data."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from keras_llm.errors import InputError

if TYPE_CHECKING:
    from keras_llm.model import Decoder


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one tensor of theirs holds one variable of ours, or several.

    Several variables lie side by side on the last axis (GPT-2's `c_attn` is
    query, key and value); `transposed` then turns the whole around, because
    PyTorch's `Linear` keeps `(outputs, inputs)` and Keras `(inputs, outputs)`.

    Example:

    >>> query, key = np.zeros((4, 6)), np.ones((4, 2))
    >>> tensor = Layout(transposed=True).join([query, key])
    >>> tensor.shape
    (8, 4)
    >>> [part.shape for part in
    ...  Layout(transposed=True).split(tensor, [(4, 6), (4, 2)])]
    [(4, 6), (4, 2)]
    """

    transposed: bool = False

    def shape(self, shapes: Sequence[tuple]) -> tuple:
        """Returns the shape of their tensor for variables of these shapes."""
        joined = (*shapes[0][:-1], sum(shape[-1] for shape in shapes))
        return joined[::-1] if self.transposed else joined

    def split(self, tensor: np.ndarray, shapes: Sequence[tuple]) -> list:
        """Returns our variables' values, as views of their tensor."""
        tensor = tensor.T if self.transposed else tensor
        ends = np.cumsum([shape[-1] for shape in shapes])[:-1]
        return np.split(tensor, ends, axis=-1)

    def join(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Returns their tensor; the inverse of `split`."""
        joined = np.concatenate(values, -1) if len(values) > 1 else values[0]
        return joined.T if self.transposed else joined


AS_IS = Layout()
TRANSPOSED = Layout(transposed=True)


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of tensor: their name, our variables, and the layout.

    Args:
        theirs: Their name; `{i}` stands for the index of the block.
        ours: The paths of our variables, with the same `{i}`. A row counts
            for a model that has these variables and is idle otherwise (a
            separate head, biases), so a table has no conditions.
        layout: `AS_IS`, `TRANSPOSED`, or anything with the methods of
            `Layout`.

    Example:

    >>> Row("h.{i}.mlp.weight", ("block_{i}/mlp/up/kernel",)).layout
    Layout(transposed=False)
    """

    theirs: str
    ours: tuple[str, ...]
    layout: Layout = AS_IS


@dataclasses.dataclass(frozen=True)
class WeightTable:
    """All names of a family's weights.

    Args:
        rows: Every tensor that holds weights.
        prefix: What all their names start with in a full model. Files of the
            bare body have it nowhere; both are read, the full form is saved.
        ignored: Names of tensors that hold no weights (masks, frequencies).
        copies: Pairs (name, name of a row): tensors some files repeat. They
            must be equal, or they are refused.

    Example:

    >>> table = WeightTable((Row("wte.weight", ("token_embedding/embeddings",)),
    ...     Row("h.{i}.ln.weight", ("block_{i}/attention_norm/scale",))))
    >>> [row.theirs for row in table.rows]
    ['wte.weight', 'h.{i}.ln.weight']
    """

    rows: tuple[Row, ...]
    prefix: str = ""
    ignored: tuple[str, ...] = ()
    copies: tuple[tuple[str, str], ...] = ()


class Entry(NamedTuple):
    """A row at one block of one model."""

    name: str
    variables: list
    layout: Layout

    @property
    def shapes(self) -> list[tuple]:
        """The shapes of our variables."""
        return [tuple(variable.shape) for variable in self.variables]

    @property
    def shape(self) -> tuple:
        """The shape of their tensor."""
        return self.layout.shape(self.shapes)


def entries_of(model: "Decoder", table: WeightTable) -> list[Entry]:
    """The table at every block of the model, each variable exactly once."""
    variables = {variable.path: variable for variable in model.weights}
    entries: dict[str, Entry] = {}
    for row in table.rows:
        for i in range(model.config.num_layers):
            paths = [path.format(i=i) for path in row.ours]
            if all(path in variables for path in paths):
                name = row.theirs.format(i=i)
                ours = [variables[path] for path in paths]
                entries[name] = Entry(name, ours, row.layout)
    named = {v.path for entry in entries.values() for v in entry.variables}
    if nameless := [path for path in variables if path not in named]:
        raise InputError(
            "Expected a family that has a name for each weight of the model. "
            f"Received none for: {listing(nameless)}. Use the family that "
            "the model's config belongs to."
        )
    return list(entries.values())


def listing(names: Iterable[str], most: int = 8) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more
