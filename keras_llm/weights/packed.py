"""MXFP4: matrices in files as 4-bit floats, 32 of them to a scale.

Such a matrix is two tensors of bytes, NAME_blocks and NAME_scales. It is read
as bfloat16, which holds each of its values exactly, under its own name.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from keras_llm.errors import InputError

BLOCKS, SCALES = "_blocks", "_scales"
BLOCK = 32  # values that share a scale; two lie in a byte
BIAS = 127
ROWS = 128  # turned together: four times faster than a whole matrix


class PackedTensor(NamedTuple):
    """A stack of matrices in MXFP4, to be read as any tensor.

    The file has the rows of each matrix as they are multiplied: blocks
    `(count, outputs, inputs / 32, 16)` and scales
    `(count, outputs, inputs / 32)`. What is read is
    `(count, inputs, outputs)`.
    """

    blocks: Any
    scales: Any

    @property
    def header(self) -> "PackedTensor":
        """Tells the shape and dtype without reading the data."""
        return self

    def get_shape(self) -> list[int]:
        """Returns the shape of what is read."""
        count, outputs, groups = self.scales.header.get_shape()
        return [count, groups * BLOCK, outputs]

    def get_dtype(self) -> str:
        """Returns the dtype of what is read."""
        return "BF16"

    def read(self) -> np.ndarray:
        """Returns the matrices; one at a time is unpacked."""
        import ml_dtypes

        blocks, scales = self.blocks.header, self.scales.header
        matrices = np.empty(self.get_shape(), ml_dtypes.bfloat16)
        for index, matrix in enumerate(matrices):
            packed, powers = blocks[index], scales[index]
            for start in range(0, len(packed), ROWS):
                now = slice(start, start + ROWS)
                matrix[:, now] = unpack(packed[now], powers[now]).T
        return matrices


def unpack(blocks: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Returns the values of MXFP4 blocks, exactly, as bfloat16.

    Args:
        blocks: uint8 `(..., groups, 16)`; the low half of a byte comes first.
        scales: uint8 `(..., groups)`: powers of two, 127 is one.

    Returns:
        `(..., groups * 32)`.

    Source: OCP Microscaling Formats 1.0, 2023.

    Example:

    >>> block = np.full((1, 16), 0x2F, "uint8")
    >>> unpack(block, np.array([128], "uint8"))[:4].tolist()
    [-12.0, 2.0, -12.0, 2.0]
    """
    table = _pairs()
    index = scales[..., None].astype("uint16") * 256 + blocks
    pairs = table.view("uint32").take(index)
    return pairs.view(table.dtype).reshape(*scales.shape[:-1], -1)


@functools.cache
def _pairs() -> np.ndarray:
    """The two values of each byte at each scale, `(256 * 256, 2)`."""
    import ml_dtypes

    size = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
    values = np.concatenate([size, -size])
    byte = np.arange(256)
    pairs = np.stack([values[byte & 15], values[byte >> 4]], -1)
    with np.errstate(over="ignore"):  # infinity is refused later, by name
        scaled = np.ldexp(pairs, (byte - BIAS)[:, None, None])
        return scaled.astype(ml_dtypes.bfloat16).reshape(-1, 2)


def with_packed(tensors: dict[str, Any]) -> dict[str, Any]:
    """Returns the tensors with each packed pair as one.

    Raises:
        InputError: The two tensors of a pair do not fit.

    Example:

    >>> with_packed({"a": 1})
    {'a': 1}
    """
    pairs = {
        name: PackedTensor(tensors[name + BLOCKS], tensors[name + SCALES])
        for name in (n.removesuffix(BLOCKS) for n in tensors)
        if {name + BLOCKS, name + SCALES} <= tensors.keys()
    }
    for name, pair in pairs.items():
        _check(name, pair)
    halves = {name + end for name in pairs for end in (BLOCKS, SCALES)}
    return {k: t for k, t in tensors.items() if k not in halves} | pairs


def _check(name: str, pair: PackedTensor) -> None:
    """Refuses what is not packed as the class says."""
    blocks, scales = (half.header for half in pair)
    wanted = [*scales.get_shape(), BLOCK // 2]
    codes = {blocks.get_dtype(), scales.get_dtype()}
    if blocks.get_shape() != wanted or len(wanted) != 4 or codes != {"U8"}:
        raise InputError(
            f"Expected {name}{BLOCKS} to be bytes of shape (count, outputs, "
            f"inputs / {BLOCK}, 16), and {name}{SCALES} bytes of the first "
            f"three. Received: {blocks.get_shape()} and "
            f"{scales.get_shape()}, {' and '.join(sorted(codes))}. Copy or "
            "download the file again."
        )
