"""Safetensors files written tensor by tensor, one file or several.

Written here, because the library's writer wants all tensors in memory.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_llm.errors import InputError
from keras_llm.progress import track
from keras_llm.weights.checks import dtype_of
from keras_llm.weights.files import (
    CODES,
    INDEX_FILE,
    SINGLE_FILE,
    shard_name,
)
from keras_llm.weights.table import Entry


def write_files(
    folder: str | os.PathLike, entries: list[Entry], shard_bytes: int
) -> None:
    """Writes tensors into a folder: one file, or several with an index.

    Raises:
        InputError: `shard_bytes` is below 1.
    """
    if shard_bytes < 1:
        raise InputError(
            f"Expected shard_bytes of at least 1. Received: {shard_bytes}."
        )
    shards = _shards(entries, shard_bytes)
    if len(shards) == 1:
        write_file(Path(folder) / SINGLE_FILE, entries)
        return
    places = {}
    for number, shard in enumerate(shards, 1):
        name = shard_name(number, len(shards))
        write_file(Path(folder) / name, shard)
        places |= {entry.name: name for entry in shard}
    index = {
        "metadata": {"total_size": sum(map(_size, entries))},
        "weight_map": dict(sorted(places.items())),
    }
    text = json.dumps(index, indent=2) + "\n"
    (Path(folder) / INDEX_FILE).write_text(text, encoding="utf-8")


def write_file(path: str | os.PathLike, entries: list[Entry]) -> None:
    """Writes one file; in memory is one tensor at a time."""
    with open(path, "wb") as file:
        file.write(_header(entries))
        for entry in track(entries, "saving weights", total=len(entries)):
            file.write(_bytes(entry))


def _shards(entries: Iterable[Entry], most: int) -> list[list[Entry]]:
    """The tensors in order, cut before a file would be too large."""
    shards: list[list[Entry]] = [[]]
    filled = 0
    for entry in entries:
        if shards[-1] and filled + _size(entry) > most:
            shards.append([])
            filled = 0
        shards[-1].append(entry)
        filled += _size(entry)
    return shards


def _size(entry: Entry) -> int:
    _, width = CODES[dtype_of(entry.variables[0])]
    return int(np.prod(entry.shape)) * width


def _bytes(entry: Entry) -> memoryview:
    """Their tensor's bytes; nothing of it stays behind in memory."""
    return np.ascontiguousarray(entry.tensor()).view(np.uint8).data


def _header(entries: list[Entry]) -> bytes:
    """The head of a safetensors file."""
    # `transformers` refuses a file that does not name its framework.
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for entry in entries:
        code, _ = CODES[dtype_of(entry.variables[0])]
        start, end = end, end + _size(entry)
        header[entry.name] = {
            "dtype": code,
            "shape": list(entry.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
