"""Packed rows on disk, memory-mapped: read any of them by index."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_llm.data.arrays import NO_ROW, Batch, training_arrays
from keras_llm.data.manifest import Manifest, RowSplit
from keras_llm.errors import InputError
from keras_llm.files import sha256_of
from keras_llm.progress import track


class Rows:
    """Packed rows on disk, read by index without loading them.

    `rows[indices]` gathers any rows: {"tokens", "segments"}, int32, each
    (number of indices, row_length). Make one with `open_rows`.

    Attributes:
        folder: Where they are.
        split: "train" or "heldout".
        manifest: The `Manifest` of the folder.
        info: The `RowSplit` of this split: documents, tokens, text_bytes ...
        ordered: Whether the order of the rows is meant, so that training
            does not shuffle them; that of a `Mixture` is.

    Example:

    >>> import tempfile
    >>> from keras_llm.data import Document, pack_corpus
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> documents = [Document("a rose is a rose", "stein.txt")]
    >>> tokenizer = HostTokenizer.train([documents[0].text], 261)
    >>> folder = tempfile.mkdtemp()
    >>> _ = pack_corpus(documents, tokenizer, folder, context_length=8)
    >>> rows = open_rows(folder)
    >>> rows.require(tokenizer)
    >>> rows[[0, 1]]["tokens"].shape
    (2, 9)
    """

    ordered = False

    def __init__(self, folder: Path, split: str, manifest: Manifest):
        self.folder = folder
        self.split = split
        self.manifest = manifest
        self.info: RowSplit = manifest.splits[split]
        self._ends = np.cumsum([shard.rows for shard in self.info.shards])
        self._tokens = self._maps("tokens", manifest.token_dtype)
        self._segments = self._maps("segments", manifest.segment_dtype)

    @property
    def row_length(self) -> int:
        """Returns the tokens per row: context_length + 1."""
        return self.manifest.row_length

    @property
    def context_length(self) -> int:
        """Returns the tokens a model sees per row."""
        return self.manifest.context_length

    @property
    def fingerprint(self) -> str:
        """Returns a hash of all content, 64 hexadecimal digits.

        A training checkpoint keeps it to know whether it resumes on the
        same rows.
        """
        hashes = [
            (shard.rows, shard.tokens_sha256, shard.segments_sha256)
            for shard in self.info.shards
        ]
        text = json.dumps([self.row_length, self.manifest.tokenizer, hashes])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def time(self) -> int:
        """Returns the width of a batch: here, context_length."""
        return self.context_length

    @property
    def tokenizer(self) -> str:
        """Returns the fingerprint of the tokenizer that made the rows."""
        return self.manifest.tokenizer

    @property
    def vocabulary_size(self) -> int:
        """Returns how many ids that tokenizer has."""
        return self.manifest.vocabulary_size

    @property
    def name(self) -> str:
        """Returns what an error calls these rows."""
        return f"{self.folder} ({self.split})"

    def __len__(self) -> int:
        """Returns the number of rows."""
        return self.info.rows

    def batch(self, indices: np.ndarray) -> Batch:
        """Returns the training arrays of the rows at `indices`; -1 is empty.

        See `training_arrays`.
        """
        found = indices != NO_ROW
        packed = self.stored(self.places(indices[found]))
        if not found.all():
            shape = (len(indices), self.row_length)
            for name, values in packed.items():
                packed[name] = np.zeros(shape, np.int32)
                packed[name][found] = values
        return training_arrays(packed["tokens"], packed["segments"])

    def __getitem__(self, indices: Any) -> dict[str, np.ndarray]:
        """Gathers rows by an integer, a slice, or an array of integers.

        Raises:
            IndexError: An index is not in 0 ... len(rows) - 1.
        """
        if isinstance(indices, slice):
            indices = np.arange(*indices.indices(len(self)))
        indices = np.atleast_1d(np.asarray(indices, np.int64))
        if indices.size and not (
            0 <= indices.min() and indices.max() < len(self)
        ):
            raise IndexError(
                f"Expected row indices from 0 to {len(self) - 1}. Received: "
                f"{indices.min()} ... {indices.max()}."
            )
        return self.stored(self.places(indices))

    def places(self, indices: np.ndarray) -> np.ndarray:
        """Returns where in the files the rows at `indices` are: right there.

        Rows in another order say here in which.
        """
        return indices

    def stored(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Gathers rows by where they are in the files, as `rows[...]` does."""
        shape = (len(indices), self.row_length)
        tokens = np.empty(shape, np.int32)
        segments = np.empty(shape, np.int32)
        shards = np.searchsorted(self._ends, indices, side="right")
        for shard in np.unique(shards):
            here = shards == shard
            local = indices[here] - self._ends[shard] + len(self._tokens[shard])
            tokens[here] = self._tokens[shard][local]
            segments[here] = self._segments[shard][local]
        return {"tokens": tokens, "segments": segments}

    def verify(self) -> None:
        """Reads every file and compares its hash with the manifest.

        Raises:
            InputError: A file was changed or damaged; the message names it.
        """
        for shard in track(self.info.shards, "verifying", len(self._ends)):
            for name, sha256 in (
                (shard.tokens, shard.tokens_sha256),
                (shard.segments, shard.segments_sha256),
            ):
                received = sha256_of(self.folder / name)
                if received != sha256:
                    raise InputError(
                        f"Expected {self.folder / name} with SHA-256 {sha256}. "
                        f"Received: {received}. The file is damaged; pack the "
                        "corpus again."
                    )

    def require(self, tokenizer: Any) -> None:
        """Checks that `tokenizer` is the one that made these rows.

        Raises:
            InputError: Its fingerprint is another.
        """
        expected, received = self.manifest.tokenizer, tokenizer.fingerprint
        if expected != received:
            raise InputError(
                f"Expected the tokenizer that packed {self.folder} "
                f"(fingerprint {expected}). Received: another one "
                f"(fingerprint {received}). Load the tokenizer the rows "
                "were packed with, or pack the corpus again."
            )

    def _maps(self, part: str, dtype: str) -> list[np.ndarray]:
        """Maps one kind of file; refuses missing and cut ones."""
        return [
            _map(
                self.folder / getattr(shard, part),
                np.dtype(dtype),
                (shard.rows, self.row_length),
            )
            for shard in self.info.shards
        ]


def open_rows(folder: str | os.PathLike, split: str = "train") -> Rows:
    """Opens packed rows written by `pack_corpus`, or the mixture of some.

    Nothing is loaded; sizes are checked, hashes by `Rows.verify()`.

    Args:
        folder: The folder with `manifest.json`.
        split: "train" or "heldout".

    Raises:
        InputError: The folder, the split or a file is missing, a file is
            cut, or the manifest is of another version or has unknown keys.

    Example:

    >>> import tempfile
    >>> from keras_llm.data import Document, pack_corpus
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> documents = [Document("a rose is a rose", "stein.txt")]
    >>> tokenizer = HostTokenizer.train([documents[0].text], 261)
    >>> folder = tempfile.mkdtemp()
    >>> _ = pack_corpus(documents, tokenizer, folder, context_length=8)
    >>> len(open_rows(folder))
    3
    """
    folder = Path(folder)
    manifest = Manifest.load(folder)
    if split not in manifest.splits:
        raise InputError(
            f"Expected a split among {sorted(manifest.splits)}. Received: "
            f"split={split!r} of {folder}. A held-out split is packed when "
            "the corpus folder has heldout.jsonl."
        )
    if (folder / "mixture.json").is_file():
        from keras_llm.data.mixtures.mixed_rows import open_mixture

        return open_mixture(folder, split, manifest)
    return Rows(folder, split, manifest)


def _map(path: Path, dtype: np.dtype, shape: tuple[int, int]) -> np.ndarray:
    """Maps one file; a missing or cut one is refused by name."""
    expected = dtype.itemsize * shape[0] * shape[1]
    if not path.is_file():
        raise InputError(
            f"Expected the file {path}, which the manifest names. Received: "
            "no such file. Copy the whole folder, or pack the corpus again."
        )
    received = path.stat().st_size
    if received != expected:
        raise InputError(
            f"Expected {path} to have {expected} bytes ({shape[0]} rows). "
            f"Received: {received} bytes. The file is cut or damaged; copy "
            "it again, or pack the corpus again."
        )
    # A plain array over the map: np.memmap itself indexes more slowly.
    return np.asarray(np.memmap(path, dtype, "r", shape=shape))
