"""Writing rows as shards: pairs of binary files, hashed while written."""

import hashlib
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path

import numpy as np

from keras_llm.data.manifest import Manifest, Shard
from keras_llm.data.pack import SHORTEST, Row
from keras_llm.errors import InputError

SHARD_ROWS = 65_536
_BLOCK_ROWS = 256


def token_dtype(vocabulary_size: int) -> np.dtype:
    """Returns the smallest type that holds every id.

    Example:

    >>> token_dtype(65_536), token_dtype(65_537)
    (dtype('uint16'), dtype('uint32'))
    """
    return np.dtype("<u2" if vocabulary_size <= 2**16 else "<u4")


def segment_dtype(row_length: int) -> np.dtype:
    """Returns the smallest type that can number the segments of a row.

    Example:

    >>> segment_dtype(257), segment_dtype(1025)
    (dtype('uint8'), dtype('uint16'))
    """
    most = row_length // SHORTEST
    return np.dtype("|u1" if most < 2**8 else "<u2" if most < 2**16 else "<u4")


def shard_names(split: str, number: int) -> tuple[str, str]:
    """Returns the names of the two files of a shard.

    Example:

    >>> shard_names("train", 3)
    ('train-00003.bin', 'train-00003.segments.bin')
    """
    return f"{split}-{number:05d}.bin", f"{split}-{number:05d}.segments.bin"


def write_shards(
    rows: Iterable[Row],
    folder: Path,
    split: str,
    manifest: Manifest,
    shard_rows: int,
) -> tuple[Shard, ...]:
    """Writes rows as `split-00000.bin`, `split-00000.segments.bin` and so on.

    Raises:
        InputError: A token id is not below `manifest.vocabulary_size`.
        OSError: The disk is full.
    """
    rows = iter(rows)
    shards: list[Shard] = []
    while first := next(rows, None):
        names = shard_names(split, len(shards))
        of_shard = chain([first], islice(rows, shard_rows - 1))
        shards.append(_write_shard(of_shard, folder, names, manifest))
    return tuple(shards)


def check_ids(tokens: np.ndarray, vocabulary_size: int) -> None:
    """Refuses ids that the model has no embedding for.

    Example:

    >>> check_ids(np.array([0, 8]), vocabulary_size=9)
    """
    if tokens.size and not (
        0 <= tokens.min() and tokens.max() < vocabulary_size
    ):
        raise InputError(
            f"Expected token ids from 0 to {vocabulary_size - 1}. Received: "
            f"ids from {tokens.min()} to {tokens.max()}. The tokenizer's "
            "vocabulary_size is smaller than the ids it gives."
        )


def _write_shard(
    rows: Iterable[Row],
    folder: Path,
    names: tuple[str, str],
    manifest: Manifest,
) -> Shard:
    """Writes one pair of files, a block of rows at a time."""
    types = manifest.token_dtype, manifest.segment_dtype
    hashes = hashlib.sha256(), hashlib.sha256()
    rows, number = iter(rows), 0
    with (
        open(folder / names[0], "wb") as tokens,
        open(folder / names[1], "wb") as segments,
    ):
        while block := list(islice(rows, _BLOCK_ROWS)):
            number += len(block)
            for part, file in enumerate((tokens, segments)):
                array = np.stack([row[part] for row in block])
                if part == 0:
                    check_ids(array, manifest.vocabulary_size)
                data = array.astype(types[part]).tobytes()
                hashes[part].update(data)
                file.write(data)
    digests = (hash.hexdigest() for hash in hashes)
    return Shard(*names, number, *digests)
