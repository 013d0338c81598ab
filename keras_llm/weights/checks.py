"""Everything that can be wrong with a weight file, found before it is used.

All tensors are checked before the first one is assigned, so that a model is
never half of one file. This reads the data twice; keeping a copy of the old
weights instead would double the memory.
"""

import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_llm.errors import InputError
from keras_llm.progress import track
from keras_llm.weights.files import CODES, Tensor
from keras_llm.weights.table import Entry, WeightTable, listing

if TYPE_CHECKING:
    from keras_llm.model import Decoder

CHUNK = 1 << 20  # numbers looked at together


def check(
    entries: list[Entry],
    tensors: dict[str, Tensor],
    model: "Decoder",
    table: WeightTable,
    path: str | os.PathLike,
) -> None:
    """Makes sure that every tensor fits the model, or names what does not.

    Raises:
        InputError: A tensor is missing, unknown, of the wrong shape or kind,
            not finite, or too large for the variable's dtype.
    """
    _check_names(entries, tensors, model, table, path)
    _check_headers(entries, tensors)
    for entry in track(entries, "checking weights", total=len(entries)):
        _check_values(entry, tensors[entry.name].read())
    _check_copies(tensors, table, {entry.name for entry in entries})


def dtype_of(variable: Any) -> str:
    """Returns the name of a variable's dtype."""
    from keras.backend import standardize_dtype

    return standardize_dtype(variable.dtype)


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


def _check_values(entry: Entry, tensor: np.ndarray) -> None:
    """Refuses what is no number, and what our dtype would make infinite."""
    import ml_dtypes

    dtype = dtype_of(entry.variables[0])
    highest = float(ml_dtypes.finfo(dtype).max)
    for largest in _largest(tensor):
        if not math.isfinite(largest):
            raise InputError(
                "Expected finite weights. Received: NaN or infinity in "
                f"{entry.name}. The file is damaged or the training that "
                "wrote it diverged. Copy or download it again, or use an "
                "earlier checkpoint."
            )
        if largest > highest:
            raise InputError(
                f"Expected weights that {dtype} can hold, up to "
                f"{highest:.6g}. Received: {largest:.6g} in {entry.name}. "
                'Load with dtype="float32" or "bfloat16".'
            )


def _largest(tensor: np.ndarray) -> Iterator[float]:
    """Yields the largest size in each chunk; NaN if one is in it."""
    flat = tensor.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        part = flat[start : start + CHUNK]
        if part.dtype.itemsize == 2:
            # NumPy compares these slowly. Without the sign, the bits of
            # floats are in the order of the numbers; NaN is the last.
            bits = part.view("uint16") & np.uint16(0x7FFF)
            yield float(bits.max().view(part.dtype))
        else:
            yield float(np.abs(part).max())


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
