"""The name table: their tensors <-> our variables, as data."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from keras_llm.errors import InputError

if TYPE_CHECKING:
    from keras_llm.config import DecoderConfig
    from keras_llm.model import Decoder


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one tensor of theirs holds one variable of ours, or several.

    Several variables lie side by side on the last axis (GPT-2's `c_attn` is
    query, key and value) or take turns there; `transposed` then swaps the
    last two axes, because PyTorch's `Linear` keeps `(outputs, inputs)` and
    Keras `(inputs, outputs)`.

    Args:
        transposed: Whether their last two axes are swapped.
        interleave: Channels of each variable before the next one's turn: a
            number, or the name of the field of `DecoderConfig` that has it
            ("head_dim": head by head). None: one after the other.

    Example:

    >>> query, key = np.zeros((4, 6)), np.ones((4, 6))
    >>> tensor = Layout(transposed=True, interleave=3).join([query, key])
    >>> tensor[:, 0].tolist()
    [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    >>> [part.shape for part in
    ...  Layout(transposed=True).split(tensor, [(4, 8), (4, 4)])]
    [(4, 8), (4, 4)]
    """

    transposed: bool = False
    interleave: int | str | None = None

    def at(self, config: "DecoderConfig") -> "Layout":
        """Returns the layout with the config's number for a field's name."""
        if not isinstance(self.interleave, str):
            return self
        width = getattr(config, self.interleave)
        return dataclasses.replace(self, interleave=width)

    def shape(self, shapes: Sequence[tuple]) -> tuple:
        """Returns the shape of their tensor for variables of these shapes."""
        joined = (*shapes[0][:-1], sum(shape[-1] for shape in shapes))
        if self.transposed and len(joined) > 1:
            return (*joined[:-2], joined[-1], joined[-2])
        return joined

    def split(self, tensor: np.ndarray, shapes: Sequence[tuple]) -> list:
        """Returns our variables' values, as views of their tensor."""
        tensor = self._swapped(tensor)
        if self.interleave is None:
            ends = np.cumsum([shape[-1] for shape in shapes])[:-1]
            return np.split(tensor, ends, axis=-1)
        turns = (-1, len(shapes), int(self.interleave))
        parts = tensor.reshape(*tensor.shape[:-1], *turns)
        return [parts[..., i, :].reshape(s) for i, s in enumerate(shapes)]

    def join(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Returns their tensor; the inverse of `split`."""
        if self.interleave is not None:
            turns = (-1, int(self.interleave))
            values = [v.reshape(*v.shape[:-1], *turns) for v in values]
            stacked = np.stack(values, axis=-2)
            return self._swapped(stacked.reshape(*stacked.shape[:-3], -1))
        joined = np.concatenate(values, -1) if len(values) > 1 else values[0]
        return self._swapped(joined)

    def _swapped(self, tensor: np.ndarray) -> np.ndarray:
        swap = self.transposed and tensor.ndim > 1
        return np.swapaxes(tensor, -1, -2) if swap else tensor


AS_IS = Layout()
TRANSPOSED = Layout(transposed=True)


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of tensor: their name, our variables, and the layout.

    Args:
        theirs: Their name; `{i}` stands for the index of the block and
            `{e}` for that of the expert: then each expert is a tensor of
            theirs, and our variables are all experts on the first axis.
        ours: The paths of our variables, with the same `{i}`. A row counts
            for a model that has these variables and is idle otherwise (a
            separate head, biases), so a table has no conditions.
        layout: `AS_IS`, `TRANSPOSED`, or anything with the methods of
            `Layout`.

    Example:

    >>> Row("h.{i}.mlp.weight", ("block_{i}/mlp/up/kernel",)).layout
    Layout(transposed=False, interleave=None)
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
        renamed: Pairs (start of a name, what stands for it): where files of
            a larger model have this one as a part.
        others: Starts of names, after that, of the larger model's other
            parts, which are not read.

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
    renamed: tuple[tuple[str, str], ...] = ()
    others: tuple[str, ...] = ()

    def rename(self, name: str) -> str | None:
        """Returns a name in a file as the rows know it; None: another part.

        Example:

        >>> table = WeightTable((), renamed=(("text.", ""),), others=("eye.",))
        >>> table.rename("text.norm.weight"), table.rename("eye.norm.weight")
        ('norm.weight', None)
        """
        for theirs, ours in self.renamed:
            if name.startswith(theirs):
                name = ours + name.removeprefix(theirs)
                break
        return None if name.startswith(self.others) else name


class Entry(NamedTuple):
    """One tensor of theirs in one model: a row at a block, at an expert."""

    name: str
    variables: list
    layout: Layout
    expert: int | None = None

    @property
    def shapes(self) -> list[tuple]:
        """The shapes of what the tensor holds of each variable."""
        start = 0 if self.expert is None else 1
        return [tuple(variable.shape)[start:] for variable in self.variables]

    @property
    def shape(self) -> tuple:
        """The shape of their tensor."""
        return self.layout.shape(self.shapes)

    def tensor(self) -> np.ndarray:
        """Returns their tensor, from our variables' values now."""
        from keras.ops import convert_to_numpy

        values = [variable.value for variable in self.variables]
        if self.expert is not None:
            values = [value[self.expert] for value in values]
        return self.layout.join([convert_to_numpy(v) for v in values])


def entries_of(model: "Decoder", table: WeightTable) -> list[Entry]:
    """The table at every block of the model, each variable exactly once.

    The experts of one variable follow each other.
    """
    variables = {variable.path: variable for variable in model.weights}
    entries: dict[str, Entry] = {}
    for row in table.rows:
        layout = row.layout.at(model.config)
        for i in range(model.config.num_layers):
            paths = [path.format(i=i) for path in row.ours]
            if not all(path in variables for path in paths):
                continue
            ours = [variables[path] for path in paths]
            for e in range(ours[0].shape[0]) if "{e}" in row.theirs else [None]:
                name = row.theirs.format(i=i, e=e)
                entries[name] = Entry(name, ours, layout, e)
    named = {v.path for entry in entries.values() for v in entry.variables}
    if nameless := [path for path in variables if path not in named]:
        raise InputError(
            "Expected a family that has a name for each weight of the model. "
            f"Received none for: {listing(nameless)}. Use the family that "
            "the model's config belongs to, and of a model with adapters "
            "adapters.merged_copy."
        )
    return list(entries.values())


def listing(names: Iterable[str], most: int = 8) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more
