"""Safetensors files: opened by name, written tensor by tensor."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_llm.errors import InputError
from keras_llm.weights.table import Entry, listing

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
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


@contextlib.contextmanager
def open_tensors(
    path: str | os.PathLike, prefix: str
) -> Iterator[dict[str, Tensor]]:
    """Yields the tensors of a file or of a folder by their full names."""
    from safetensors import SafetensorError, safe_open

    tensors = {}
    with contextlib.ExitStack() as stack:
        for one in _files(Path(path)):
            try:
                file = stack.enter_context(safe_open(one, "numpy"))
            except SafetensorError as error:
                raise InputError(
                    f"Expected a whole safetensors file at {one}. Received: "
                    f"{error}. Copy or download the file again."
                ) from error
            except FileNotFoundError as error:
                raise InputError(
                    f"Expected a safetensors file at {one}. "
                    "Received: no such file."
                ) from error
            tensors |= {name: Tensor(file, name) for name in file.keys()}
        if not any(name.startswith(prefix) for name in tensors):
            tensors = {prefix + name: t for name, t in tensors.items()}
        yield tensors


def _files(path: Path) -> list[Path]:
    """The file, or the files of the folder, in which the tensors lie."""
    if not path.is_dir():
        return [path]
    if (path / SINGLE_FILE).exists():
        return [path / SINGLE_FILE]
    if not (path / INDEX_FILE).exists():
        raise InputError(
            f"Expected {SINGLE_FILE} or {INDEX_FILE} in {path}. Received: "
            f"{listing(file.name for file in path.iterdir())}. Other formats "
            "(.bin, .h5) are not read: they can run code when opened."
        )
    try:
        places = json.loads((path / INDEX_FILE).read_text(encoding="utf-8"))
        names = sorted(set(places["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            f"Expected a weight_map as JSON in {path / INDEX_FILE}. "
            f"Received: {error!r}. Copy or download the file again."
        ) from error
    if outside := [name for name in names if Path(name).name != name]:
        raise InputError(
            f"Expected the shards in the folder of {path / INDEX_FILE}. "
            f"Received: {listing(outside)}."
        )
    return [path / name for name in names]


def header_of(entries: list[Entry]) -> bytes:
    """The head of a safetensors file.

    Written here, because the library's writer wants all tensors in memory.
    """
    import keras

    # `transformers` refuses a file that does not name its framework.
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for entry in entries:
        dtype = keras.backend.standardize_dtype(entry.variables[0].dtype)
        code, width = CODES[dtype]
        start, end = end, end + int(np.prod(entry.shape)) * width
        header[entry.name] = {
            "dtype": code,
            "shape": list(entry.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
