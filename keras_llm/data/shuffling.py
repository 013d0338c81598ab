"""A global shuffle of packed rows on disk, in bounded memory.

Each row has a random key, a pure function of the seed and its index, and the
result is sorted by key. The rows are first dealt into files of neighbouring
keys that fit into memory, then each file is sorted: two passes over the data,
all of it read and written in long runs.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_llm.data.folders import of_format
from keras_llm.data.hold_out import check_seed
from keras_llm.data.manifest import FORMAT, MANIFEST, Manifest
from keras_llm.data.pack import Row
from keras_llm.data.rows import Rows, open_rows
from keras_llm.data.scratch import work_folder
from keras_llm.data.shard_writer import SHARD_ROWS, write_shards
from keras_llm.data.split_mix import split_mix
from keras_llm.errors import InputError
from keras_llm.files import new_folder
from keras_llm.progress import track

MEMORY = 2**28


def shuffle_rows(
    folder: str | os.PathLike,
    out_folder: str | os.PathLike,
    seed: int = 0,
    shard_rows: int = SHARD_ROWS,
    memory: int = MEMORY,
) -> Manifest:
    """Writes packed rows anew in a random order, each split by itself.

    The order is a pure function of the seed and the number of rows: it does
    not depend on how rows are cut into shards, nor on `memory`. For training
    from a local disk this is not needed, as `row_dataset` shuffles while
    it reads; it is for readers that go through the shards from begin to end.

    Args:
        folder: Written by `pack_corpus`, `merge_rows` or this.
        out_folder: The folder to write. Earlier rows there are replaced; a
            folder with other content is refused.
        seed: Decides the order, 0 to 2**32 - 1.
        shard_rows: Rows per file. Default: 65,536.
        memory: Bytes of rows held at a time, about. Default: 256 MiB. On
            disk there is room needed for the rows and half as much again
            or more, until the work is done.

    Returns:
        The new manifest; its recipe has the seed, and the recipe of the rows
        under "of".

    Raises:
        InputError: A number is out of range, a shard is missing or cut, or
            `out_folder` holds other files.
        OSError: The disk is full; earlier rows are still there.

    Source: keys by SplitMix64 (Steele, Lea and Flood, 2014, "Fast splittable
    pseudorandom number generators").

    Example:

    >>> import tempfile
    >>> from keras_llm.data import Document, pack_corpus
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> documents = [Document("a rose is a rose", "stein.txt")]
    >>> tokenizer = HostTokenizer.train([documents[0].text], 261)
    >>> folder = tempfile.mkdtemp()
    >>> _ = pack_corpus(documents, tokenizer, folder, context_length=8)
    >>> manifest = shuffle_rows(folder, tempfile.mkdtemp(), seed=1)
    >>> manifest.splits["train"].rows
    3
    """
    check_seed(seed)
    if shard_rows < 1 or memory < 1:
        raise InputError(
            "Expected shard_rows >= 1 and memory >= 1. Received: "
            f"shard_rows={shard_rows}, memory={memory}."
        )
    before = Manifest.load(Path(folder))
    recipe = {"shuffle_seed": seed, "shard_rows": shard_rows}
    after = replace(before, recipe={**recipe, "of": before.recipe}, splits={})
    with (
        work_folder(None, out_folder) as work,
        new_folder(out_folder, of_format(MANIFEST, FORMAT)) as new,
    ):
        work.mkdir()
        for split in before.splits:
            rows = open_rows(folder, split)
            if rows.ordered:
                raise InputError(
                    "Expected rows without an order of their own. Received: "
                    f"{folder}, a mixture, which is shuffled already. Shuffle "
                    "its sources, then mix them."
                )
            buckets = _deal(rows, seed, memory, work)
            ordered = track(
                _sorted(buckets, _record(rows)), f"writing {split}", len(rows)
            )
            shards = write_shards(ordered, new, split, after, shard_rows)
            after.splits[split] = replace(rows.info, shards=shards)
        after.save(new)
    return after


def shuffle_keys(seed: int, indices: np.ndarray) -> np.ndarray:
    """Returns the key of each row, uint64; `shuffle_rows` sorts by it.

    Args:
        seed: 0 to 2**32 - 1.
        indices: Of rows, integers from 0.

    Example:

    >>> np.argsort(shuffle_keys(1, np.arange(6))).tolist()
    [3, 1, 0, 4, 5, 2]
    """
    start = split_mix(np.zeros(1, np.uint64), np.array([seed]))
    return split_mix(start, indices)


def _record(rows: Rows) -> np.dtype:
    """Returns how a row with its key lies in a file."""
    shape, manifest = (rows.row_length,), rows.manifest
    return np.dtype(
        [
            ("key", "<u8"),
            ("tokens", manifest.token_dtype, shape),
            ("segments", manifest.segment_dtype, shape),
        ]
    )


def _deal(rows: Rows, seed: int, memory: int, work: Path) -> list[Path]:
    """Writes rows to files by the begin of their key, in their order.

    Returns:
        The files, those with lower keys first; some may be missing.
    """
    record = _record(rows)
    number = -(-len(rows) * record.itemsize // memory)
    files = [work / f"{rows.split}-{bucket:06d}" for bucket in range(number)]
    step = max(1, memory // (4 * record.itemsize))  # as int32 it is larger
    starts = range(0, len(rows), step)
    for start in track(starts, f"shuffling {rows.split}", len(starts)):
        stop = min(start + step, len(rows))
        block = np.empty(stop - start, record)
        block["key"] = shuffle_keys(seed, np.arange(start, stop))
        for name, values in rows[start:stop].items():
            block[name] = values
        upper = block["key"] >> np.uint64(32)
        buckets = (upper * np.uint64(number)) >> np.uint64(32)
        order = np.argsort(buckets, kind="stable")
        borders = np.searchsorted(buckets[order], np.arange(number + 1))
        for bucket, file in enumerate(files):
            of_bucket = order[borders[bucket] : borders[bucket + 1]]
            if of_bucket.size:
                with open(file, "ab") as target:
                    target.write(block[of_bucket].tobytes())
    return files


def _sorted(files: list[Path], record: np.dtype) -> Iterator[Row]:
    """Yields the rows of the files by their keys, and removes the files."""
    for file in files:
        if file.is_file():
            block = np.fromfile(file, record)
            file.unlink()
            for place in np.argsort(block["key"], kind="stable"):
                yield Row(block["tokens"][place], block["segments"][place])
