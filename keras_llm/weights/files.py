"""Safetensors files: which there are, opened by the names of tensors."""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_llm.errors import InputError
from keras_llm.weights.packed import with_packed
from keras_llm.weights.table import WeightTable, listing

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
SHARD_BYTES = 5 * 10**9
CODES = {
    "float64": ("F64", 8),
    "float32": ("F32", 4),
    "float16": ("F16", 2),
    "bfloat16": ("BF16", 2),
}
"""Dtype -> its name in a file and its bytes; quantized ones are not read."""


class Tensor(NamedTuple):
    """A tensor in a file: what the header says, and how to read it."""

    file: Any
    stored_name: str

    @property
    def header(self) -> Any:
        """Tells the shape and dtype without reading the data."""
        return self.file.get_slice(self.stored_name)

    def read(self) -> np.ndarray:
        """Returns the data."""
        return self.file.get_tensor(self.stored_name)


def shard_name(number: int, count: int) -> str:
    """Returns the name of one of several files.

    Example:

    >>> shard_name(2, 13)
    'model-00002-of-00013.safetensors'
    """
    return f"model-{number:05d}-of-{count:05d}.safetensors"


def is_weight_file(name: str) -> bool:
    """Says whether a folder of weights may have a file of this name.

    Example:

    >>> [is_weight_file(name) for name in (SINGLE_FILE, "notes.txt")]
    [True, False]
    """
    shard = re.fullmatch(r"model-\d{5}-of-\d{5}\.safetensors", name)
    return name in (SINGLE_FILE, INDEX_FILE) or bool(shard)


@contextlib.contextmanager
def open_tensors(
    path: str | os.PathLike, table: WeightTable
) -> Iterator[dict[str, Tensor]]:
    """Yields the tensors of a file or of a folder by the table's names."""
    path = Path(path)
    with contextlib.ExitStack() as stack:
        if not path.is_dir() or (path / SINGLE_FILE).exists():
            file = path / SINGLE_FILE if path.is_dir() else path
            tensors = _tensors(stack, file)
        else:
            tensors = _sharded(stack, path)
        named = {table.rename(name): t for name, t in tensors.items()}
        tensors = {name: t for name, t in named.items() if name is not None}
        if not any(name.startswith(table.prefix) for name in tensors):
            tensors = {table.prefix + name: t for name, t in tensors.items()}
        yield with_packed(tensors)


def _tensors(stack: contextlib.ExitStack, path: Path) -> dict[str, Tensor]:
    """The tensors of one file, which stays open as long as the stack."""
    from safetensors import SafetensorError, safe_open

    try:
        file = stack.enter_context(safe_open(path, "numpy"))
    except SafetensorError as error:
        raise InputError(
            f"Expected a whole safetensors file at {path}. Received: "
            f"{error}. Copy or download the file again."
        ) from error
    except FileNotFoundError as error:
        raise InputError(
            f"Expected a safetensors file at {path}. Received: no such "
            "file. Copy or download it into this folder."
        ) from error
    except OSError as error:  # a folder, or one that may not be read
        raise InputError(
            f"Expected a safetensors file at {path}. Received: {error}. Copy "
            "or download the file again."
        ) from error
    return {name: Tensor(file, name) for name in file.keys()}


def _sharded(stack: contextlib.ExitStack, folder: Path) -> dict[str, Tensor]:
    """The tensors of all shards, if they are where the index says."""
    places = _read_index(folder)
    tensors: dict[str, Tensor] = {}
    lies = []
    for shard in sorted(set(places.values())):
        held = _tensors(stack, folder / shard)
        listed = {name for name, place in places.items() if place == shard}
        lies += [f"{name} is not in {shard}" for name in listed - set(held)]
        lies += [f"{name} is in {shard}" for name in set(held) - listed]
        tensors |= held
    if lies:
        # Its total_size is not compared: published ones are of another
        # dtype now and then, and no reader uses it.
        raise InputError(
            f"Expected {folder / INDEX_FILE} to say in which shard each "
            f"tensor is. Received an index that is wrong: "
            f"{listing(sorted(lies))}. Copy or download the index and the "
            "shards again, from one revision."
        )
    return tensors


def _read_index(folder: Path) -> Mapping[str, str]:
    """Each tensor's file in this folder, as the index says."""
    path = folder / INDEX_FILE
    if not path.exists():
        raise InputError(
            f"Expected {SINGLE_FILE} or {INDEX_FILE} in {folder}. Received: "
            f"{listing(sorted(file.name for file in folder.iterdir()))}. "
            "Other formats (.bin, .h5) are not read: they can run code when "
            "opened."
        )
    try:
        places = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        outside = sorted(
            {name for name in places.values() if Path(name).name != name}
        )
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            f"Expected a weight_map as JSON in {path}. "
            f"Received: {error!r}. Copy or download the file again."
        ) from error
    if outside:
        raise InputError(
            f"Expected the shards in the folder of {path}. Received: "
            f"{listing(outside)}."
        )
    return places
