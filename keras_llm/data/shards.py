"""Token shards: a corpus through a tokenizer and packing into binary files."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from keras_llm.data.counts import utf8_size
from keras_llm.data.curate import HELDOUT, TRAIN, read_corpus
from keras_llm.data.document import Document
from keras_llm.data.folders import of_format
from keras_llm.data.manifest import FORMAT, MANIFEST, Manifest, RowSplit, Shard
from keras_llm.data.pack import OPEN_ROWS, SHORTEST, PackCounts, Row, pack
from keras_llm.errors import InputError
from keras_llm.files import new_folder, sha256_of
from keras_llm.progress import track

_BLOCK_ROWS = 256
_BATCH_DOCUMENTS = 256
_BATCH_CHARACTERS = 4_000_000


def pack_corpus(
    corpus: str | os.PathLike | Iterable[Document],
    tokenizer: Any,
    out_folder: str | os.PathLike,
    context_length: int,
    shard_rows: int = 65_536,
) -> Manifest:
    """Tokenizes and packs a corpus into a folder of token shards.

    The folder holds `train-00000.bin` (token ids), `train-00000.segments.bin`
    and so on, the same for "heldout" if the corpus folder has
    `heldout.jsonl`, and `manifest.json`. It appears as a whole at the end; the
    same corpus, tokenizer and settings give the same bytes. Read it with
    `open_rows`. Special tokens written out in a text are plain text here.

    Args:
        corpus: A folder written by `curate`, or documents (all for "train").
        tokenizer: Has `encode`, `vocabulary_size`, `fingerprint`, `bos_id`
            and `eos_id`, like `BytePairTokenizer`.
        out_folder: The folder to write. Earlier rows there are replaced; a
            folder with other content is refused.
        context_length: Tokens a model sees per row; rows have one more.
        shard_rows: Rows per file.

    Raises:
        InputError: No corpus folder, no token in a split, a token id out of
            the vocabulary, or `out_folder` holds other files.
        OSError: The disk is full; earlier rows are still there.

    Example:

    >>> import tempfile
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> documents = [Document("a rose is a rose", "stein.txt")]
    >>> tokenizer = HostTokenizer.train([documents[0].text], 261)
    >>> folder = tempfile.mkdtemp()
    >>> manifest = pack_corpus(documents, tokenizer, folder, context_length=8)
    >>> manifest.splits["train"].documents
    1
    """
    if context_length < 1 or shard_rows < 1:
        raise InputError(
            "Expected context_length >= 1 and shard_rows >= 1. Received: "
            f"context_length={context_length}, shard_rows={shard_rows}."
        )
    sources, hashes, totals = _sources(corpus)
    row_length = context_length + 1
    manifest = Manifest(
        row_length=row_length,
        vocabulary_size=tokenizer.vocabulary_size,
        token_dtype=token_dtype(tokenizer.vocabulary_size).str,
        segment_dtype=segment_dtype(row_length).str,
        tokenizer=tokenizer.fingerprint,
        bos_id=tokenizer.bos_id,
        eos_id=tokenizer.eos_id,
        recipe={
            "packing": "best fit",
            "open_rows": OPEN_ROWS,
            "shard_rows": shard_rows,
            "corpus": hashes,
        },
    )
    with new_folder(out_folder, of_format(MANIFEST, FORMAT)) as folder:
        for name, documents in sources.items():
            tracked = track(documents, f"packing {name}", totals.get(name))
            manifest.splits[name] = _pack_split(
                tracked, tokenizer, folder, name, manifest
            )
        manifest.save(folder)
    return manifest


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
        name = f"{split}-{len(shards):05d}"
        of_shard = chain([first], islice(rows, shard_rows - 1))
        shards.append(_write_shard(of_shard, folder, name, manifest))
    return tuple(shards)


def _sources(
    corpus: str | os.PathLike | Iterable[Document],
) -> tuple[Mapping[str, Iterable[Document]], dict[str, str], dict[str, int]]:
    """Returns per split its documents, the hash of its file, and how many
    documents there are.
    """
    if not isinstance(corpus, str | os.PathLike):
        return {"train": corpus}, {}, {}
    folder = Path(corpus)
    names = ["train"]
    if (folder / HELDOUT).is_file():
        names.append("heldout")
    sources = {name: read_corpus(folder, name) for name in names}
    files = {"train": TRAIN, "heldout": HELDOUT}
    hashes = {name: sha256_of(folder / files[name]) for name in names}
    totals = {name: _lines(folder / files[name]) for name in names}
    return sources, hashes, totals


def _lines(path: Path) -> int:
    """Counts the documents of a JSON Lines file, for the progress bar."""
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def _pack_split(
    documents: Iterable[Document],
    tokenizer: Any,
    folder: Path,
    split: str,
    manifest: Manifest,
) -> RowSplit:
    """Packs one split into shards and returns its part of the manifest."""
    sizes: list[int] = []
    counts = PackCounts()
    rows = pack(
        _encode(documents, tokenizer, sizes),
        manifest.row_length,
        manifest.bos_id,
        manifest.eos_id,
        counts,
    )
    shards = write_shards(
        rows, folder, split, manifest, manifest.recipe["shard_rows"]
    )
    if not shards:
        raise InputError(
            f"Expected at least two tokens in the {split} split. Received: "
            f"{counts.tokens} from {counts.documents} documents. Pass more "
            "text."
        )
    return RowSplit(
        documents=counts.documents,
        empty=counts.empty,
        text_bytes=sum(sizes),
        tokens=counts.tokens,
        targets=counts.targets,
        rows=counts.rows,
        padding_share=round(counts.padding_share, 6),
        shards=shards,
    )


def _encode(
    documents: Iterable[Document], tokenizer: Any, sizes: list[int]
) -> Iterator[list[int]]:
    """Yields the ids of each document; notes the bytes of each batch."""
    for texts in _batches(documents):
        sizes.append(sum(map(utf8_size, texts)))
        yield from tokenizer.encode(texts, disallowed_special=())


def _batches(documents: Iterable[Document]) -> Iterator[list[str]]:
    """Yields lists of texts, so that encoding can use every core."""
    batch, characters = [], 0
    for document in documents:
        batch.append(document.text)
        characters += len(document.text)
        if len(batch) >= _BATCH_DOCUMENTS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _write_shard(
    rows: Iterable[Row], folder: Path, name: str, manifest: Manifest
) -> Shard:
    """Writes one pair of files, a block of rows at a time."""
    names = f"{name}.bin", f"{name}.segments.bin"
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
                    _check_ids(array, manifest.vocabulary_size)
                data = array.astype(types[part]).tobytes()
                hashes[part].update(data)
                file.write(data)
    digests = (hash.hexdigest() for hash in hashes)
    return Shard(*names, number, *digests)


def _check_ids(tokens: np.ndarray, vocabulary_size: int) -> None:
    """Refuses ids that the model has no embedding for."""
    if tokens.min() < 0 or tokens.max() >= vocabulary_size:
        raise InputError(
            f"Expected token ids from 0 to {vocabulary_size - 1}. Received: "
            f"ids from {tokens.min()} to {tokens.max()}. The tokenizer's "
            "vocabulary_size is smaller than the ids it gives."
        )
