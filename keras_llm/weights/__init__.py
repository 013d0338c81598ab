"""Weights: safetensors files <-> a decoder, both ways from one name table.

A `WeightTable` is data: one row for each kind of tensor, with their name, the
paths of our variables, and how the numbers lie. Loading and saving read the
same rows, so they cannot drift apart. Both go tensor by tensor: the peak of
memory is the model and a few tensors. What a table does not name is refused.

The file format: https://github.com/huggingface/safetensors.
"""

import itertools
import os
from typing import TYPE_CHECKING

import numpy as np

from keras_llm.errors import InputError
from keras_llm.files import atomic_path
from keras_llm.progress import track
from keras_llm.weights.files import (
    CODES,
    INDEX_FILE,
    SINGLE_FILE,
    Tensor,
    header_of,
    open_tensors,
)
from keras_llm.weights.table import (
    AS_IS,
    TRANSPOSED,
    Entry,
    Layout,
    Row,
    WeightTable,
    entries_of,
    listing,
)

if TYPE_CHECKING:
    from keras_llm.model import Decoder

__all__ = [
    "AS_IS",
    "INDEX_FILE",
    "SINGLE_FILE",
    "TRANSPOSED",
    "Layout",
    "Row",
    "WeightTable",
    "load_safetensors",
    "save_safetensors",
]


def load_safetensors(
    model: "Decoder", path: str | os.PathLike, table: WeightTable
) -> None:
    """Assigns the weights in a safetensors file to a decoder.

    Names and shapes are all checked before the first weight is touched;
    values are read and checked one by one (so after an error about a value,
    build the model again).

    Args:
        model: A decoder; each variable keeps its dtype.
        path: A file, or a folder with `model.safetensors` or with
            `model.safetensors.index.json` and its shards.
        table: The family's names, for example `GPT2.weights`.

    Raises:
        InputError: The file is missing or damaged; a tensor is missing,
            unknown, of the wrong shape, not of floats, or holds NaN or
            infinity. The message names it.

    Example:

    >>> import tempfile
    >>> from keras_llm import zoo
    >>> from keras_llm.model import build_decoder
    >>> model = build_decoder(zoo.config("tiny", vocabulary_size=300))
    >>> path = tempfile.mkdtemp() + "/model.safetensors"
    >>> table = zoo.find_family("llama").weights
    >>> save_safetensors(model, path, table)
    >>> load_safetensors(model, path, table)
    """
    entries = entries_of(model, table)
    with open_tensors(path, table.prefix) as tensors:
        _check_names(entries, tensors, model, table, path)
        _check_headers(entries, tensors)
        _check_copies(tensors, table, {entry.name for entry in entries})
        known = track(entries, "loading weights", total=len(entries))
        for _, group in itertools.groupby(known, lambda e: id(e.variables)):
            _assign([(entry, tensors[entry.name]) for entry in group])


def save_safetensors(
    model: "Decoder", path: str | os.PathLike, table: WeightTable
) -> None:
    """Writes a decoder's weights under a family's names, whole or not at all.

    Args:
        model: A decoder. Each tensor has the dtype of its variable.
        path: The file to write.
        table: The family's names.

    Raises:
        InputError: The table has no name for one of the model's weights.

    Example:

    >>> import tempfile
    >>> from keras_llm import zoo
    >>> from keras_llm.model import build_decoder
    >>> model = build_decoder(zoo.config("tiny", vocabulary_size=300))
    >>> path = tempfile.mkdtemp() + "/model.safetensors"
    >>> save_safetensors(model, path, zoo.find_family("llama").weights)
    """
    entries = sorted(entries_of(model, table))
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(header_of(entries))
        for entry in track(entries, "saving weights", total=len(entries)):
            file.write(_bytes_of(entry))


def _assign(group: list[tuple[Entry, Tensor]]) -> None:
    """Puts their tensor into our variables, or those of all experts."""
    pieces = []
    for entry, tensor in group:
        values = _finite(entry.name, tensor.read())
        pieces.append(entry.layout.split(values, entry.shapes))
    first = group[0][0]
    for variable, *parts in zip(first.variables, *pieces, strict=True):
        one = first.expert is None
        variable.assign(parts[0] if one else np.stack(parts))


def _bytes_of(entry: Entry) -> memoryview:
    """Their tensor's bytes; nothing of it stays behind in memory."""
    return np.ascontiguousarray(entry.tensor()).view(np.uint8).data


def _check_names(
    entries: list[Entry],
    tensors: dict[str, Tensor],
    model: "Decoder",
    table: WeightTable,
    path: str | os.PathLike,
) -> None:
    """Refuses tensors that are missing and tensors nobody asked for."""
    blocks = range(model.config.num_layers)
    harmless = {name.format(i=i) for name in table.ignored for i in blocks}
    harmless |= {copy for copy, _ in table.copies}
    expected = {entry.name for entry in entries}
    problems = [
        f"{kind}: {listing(sorted(names))}"
        for kind, names in (
            ("missing", expected - set(tensors)),
            ("unknown", set(tensors) - expected - harmless),
        )
        if names
    ]
    if problems:
        raise InputError(
            f"Expected {path} to hold exactly the model's tensors. "
            f"Received {'; '.join(problems)}. Check that the config belongs "
            "to this file."
        )


def _check_headers(entries: list[Entry], tensors: dict[str, Tensor]) -> None:
    """Refuses shapes and dtypes that do not fit, before data is read."""
    problems = []
    for entry in entries:
        header = tensors[entry.name].header
        shape, code = tuple(header.get_shape()), header.get_dtype()
        if shape != entry.shape:
            problems.append(f"{entry.name} {shape} instead of {entry.shape}")
        elif code not in {code for code, _ in CODES.values()}:
            problems.append(f"{entry.name} of dtype {code}")
    if problems:
        raise InputError(
            "Expected float tensors of the model's shapes. Received: "
            f"{listing(problems)}. Check that the config belongs to this "
            "file, and that the weights are not quantized."
        )


def _check_copies(
    tensors: dict[str, Tensor], table: WeightTable, named: set[str]
) -> None:
    """Refuses a second copy of a tensor that says something else."""
    for copy, original in table.copies:
        if copy in tensors and copy not in named:
            if not np.array_equal(
                tensors[copy].read(), tensors[original].read()
            ):
                raise InputError(
                    f"Expected {copy} to repeat {original}, because the "
                    "config ties them. Received: different values. Set "
                    "tie_word_embeddings to false in config.json."
                )


def _finite(name: str, tensor: np.ndarray) -> np.ndarray:
    """The tensor, in float32 if it was shorter, if all of it is finite."""
    if tensor.dtype.itemsize < 4:  # NumPy searches bfloat16 slowly
        tensor = tensor.astype("float32")
    if not np.isfinite(tensor).all():
        raise InputError(
            f"Expected finite weights. Received: NaN or infinity in {name}. "
            "The file is damaged or the training that wrote it diverged."
        )
    return tensor
