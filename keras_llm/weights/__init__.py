"""Weights: safetensors files <-> a decoder, both ways from one name table.

A `WeightTable` is data: one row for each kind of tensor, with their name, the
paths of our variables, and how the numbers lie. Loading and saving read the
same rows, so they cannot drift apart. Both go tensor by tensor: the peak of
memory is the model and a few tensors. What a table does not name is refused,
and nothing is assigned before all is checked.

The file format: https://github.com/huggingface/safetensors.
"""

import itertools
import os
from typing import TYPE_CHECKING

import numpy as np

from keras_llm.files import atomic_path
from keras_llm.progress import track
from keras_llm.weights.checks import check, dtype_of
from keras_llm.weights.files import (
    INDEX_FILE,
    SHARD_BYTES,
    SINGLE_FILE,
    Tensor,
    is_weight_file,
    open_tensors,
)
from keras_llm.weights.shards import write_file, write_files
from keras_llm.weights.table import (
    AS_IS,
    TRANSPOSED,
    Entry,
    Layout,
    Row,
    WeightTable,
    entries_of,
)

if TYPE_CHECKING:
    from keras_llm.model import Decoder

__all__ = [
    "AS_IS",
    "INDEX_FILE",
    "SHARD_BYTES",
    "SINGLE_FILE",
    "TRANSPOSED",
    "Layout",
    "Row",
    "WeightTable",
    "differing",
    "is_weight_file",
    "load_safetensors",
    "save_safetensors",
    "write_shards",
]


def load_safetensors(
    model: "Decoder", path: str | os.PathLike, table: WeightTable
) -> None:
    """Assigns the weights in safetensors files to a decoder.

    Everything is checked before the first weight is touched: after an error
    the model is what it was. So the file is read twice, the second time from
    the system's cache where it fits there.

    Args:
        model: A decoder; each variable keeps its dtype, whatever the file's.
        path: A file, or a folder with `model.safetensors` or with
            `model.safetensors.index.json` and its shards.
        table: The family's names, for example `GPT2.weights`.

    Raises:
        InputError: A file is missing or damaged, or its index does not say
            what is in it; a tensor is missing, unknown, of the wrong shape,
            not of floats, holds NaN or infinity, or a number too large for
            the variable's dtype. The message names it.

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
    with open_tensors(path, table) as tensors:
        check(entries, tensors, model, table, path)
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
    with atomic_path(path) as temporary:
        write_file(temporary, entries)


def write_shards(
    model: "Decoder",
    folder: str | os.PathLike,
    table: WeightTable,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes a decoder's weights into a folder, in several files if large.

    Up to `shard_bytes` that is `model.safetensors`; beyond,
    `model-00001-of-0000N.safetensors` and so on, with an index.

    Args:
        model: As in `save_safetensors`.
        folder: A new folder of `keras_llm.files.new_folder`, so that all
            files appear together or none does.
        table: The family's names.
        shard_bytes: Most bytes of weights in a file; a larger tensor has a
            file of its own. Default: 5 GB, as in `transformers`.

    Raises:
        InputError: The table has no name for one of the model's weights.

    Example:

    >>> import os, tempfile
    >>> from keras_llm import zoo
    >>> from keras_llm.model import build_decoder
    >>> model = build_decoder(zoo.config("tiny", vocabulary_size=300))
    >>> folder = tempfile.mkdtemp()
    >>> write_shards(model, folder, zoo.find_family("llama").weights, 2**21)
    >>> sorted(os.listdir(folder))[0]
    'model-00001-of-00002.safetensors'
    """
    write_files(folder, sorted(entries_of(model, table)), shard_bytes)


def differing(
    model: "Decoder", path: str | os.PathLike, table: WeightTable
) -> list[str]:
    """Returns the tensors in safetensors files that are not the model's.

    Byte for byte, one tensor in memory at a time.

    Args:
        model: A decoder.
        path: As in `load_safetensors`.
        table: The family's names.

    Raises:
        InputError: A file is missing or damaged.

    Example:

    >>> import tempfile
    >>> from keras_llm import zoo
    >>> from keras_llm.model import build_decoder
    >>> model = build_decoder(zoo.config("tiny", vocabulary_size=300))
    >>> path = tempfile.mkdtemp() + "/model.safetensors"
    >>> table = zoo.find_family("llama").weights
    >>> save_safetensors(model, path, table)
    >>> differing(model, path, table)
    []
    """
    with open_tensors(path, table) as tensors:
        return [
            entry.name
            for entry in entries_of(model, table)
            if entry.name not in tensors
            or not _same(entry.tensor(), tensors[entry.name].read())
        ]


def _same(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether dtype, shape and every byte are equal."""
    if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
        return False
    ours, theirs = map(np.ascontiguousarray, (ours, theirs))
    return np.array_equal(ours.view("uint8"), theirs.view("uint8"))


def _assign(group: list[tuple[Entry, Tensor]]) -> None:
    """Puts their tensor into our variables, or those of all experts."""
    entry, tensor = group[0]
    if entry.expert is None:
        parts = entry.layout.split(tensor.read(), entry.shapes)
        for variable, part in zip(entry.variables, parts, strict=True):
            variable.assign(part)
        return
    stacks = [np.empty(v.shape, dtype_of(v)) for v in entry.variables]
    for entry, tensor in group:
        parts = entry.layout.split(tensor.read(), entry.shapes)
        for stack, part in zip(stacks, parts, strict=True):
            stack[entry.expert] = part
    for variable, stack in zip(entry.variables, stacks, strict=True):
        variable.assign(stack)
