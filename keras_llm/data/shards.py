"""Token shards: a corpus through a tokenizer and packing into binary files."""

import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keras_llm.data.curate import HELDOUT, TRAIN, read_corpus
from keras_llm.data.document import Document
from keras_llm.data.folders import of_format
from keras_llm.data.manifest import FORMAT, MANIFEST, Manifest, RowSplit
from keras_llm.data.pack import OPEN_ROWS, PackCounts, pack
from keras_llm.data.scratch import work_folder
from keras_llm.data.shard_writer import (
    SHARD_ROWS,
    segment_dtype,
    token_dtype,
    write_shards,
)
from keras_llm.data.token_blocks import (
    BLOCK_BYTES,
    Encode,
    block_encoders,
    encode_documents,
)
from keras_llm.errors import InputError
from keras_llm.executors import Executor
from keras_llm.files import new_folder, sha256_of
from keras_llm.progress import track


def pack_corpus(
    corpus: str | os.PathLike | Iterable[Document],
    tokenizer: Any,
    out_folder: str | os.PathLike,
    context_length: int,
    shard_rows: int = SHARD_ROWS,
    executor: Executor | None = None,
    work: str | os.PathLike | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Manifest:
    """Tokenizes and packs a corpus into a folder of token shards.

    The folder holds `train-00000.bin` (token ids), `train-00000.segments.bin`
    and so on, the same for "heldout" if the corpus folder has
    `heldout.jsonl`, and `manifest.json`. It appears as a whole at the end; the
    same corpus, tokenizer and settings give the same bytes, whoever tokenizes.
    Read it with `open_rows`. Special tokens written out in a text are plain
    text here.

    Args:
        corpus: A folder written by `curate`, or documents (all for "train").
        tokenizer: Has `encode`, `vocabulary_size`, `fingerprint`, `bos_id`
            and `eos_id`, like `BytePairTokenizer`. An executor's workers get
            it pickled: those of `tokenizers.load_host` start without
            TensorFlow.
        out_folder: The folder to write. Earlier rows there are replaced; a
            folder with other content is refused.
        context_length: Tokens a model sees per row; rows have one more.
        shard_rows: Rows per file. Default: 65,536.
        executor: Tokenizes blocks of documents, for example
            `executors.open_executor(workers=8)`; their rows are packed here,
            in the order of the documents. Default: all is done here.
        work: With an executor, a folder for what is done: ids of 2 or 4 bytes
            per token. After a kill the same call goes on from there; it is
            removed at the end. Workers must see it and the corpus under
            the same names. Default: a temporary folder beside `out_folder`.
        block_bytes: Bytes of JSON Lines per task. Default: 8 MiB.

    Raises:
        InputError: No corpus folder, no token in a split, a token id out of
            the vocabulary, `out_folder` or `work` holds other files, or
            `work` was begun with another corpus or tokenizer.
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
    if min(context_length, shard_rows, block_bytes) < 1:
        raise InputError(
            "Expected context_length, shard_rows and block_bytes of at least "
            f"1. Received: context_length={context_length}, "
            f"shard_rows={shard_rows}, block_bytes={block_bytes}."
        )
    if work is not None and executor is None:
        raise InputError(
            "Expected an executor together with a work folder. Received: "
            f"work={os.fspath(work)!r} alone. Pass executor=Inline() to "
            "work in this process."
        )
    files = _files(corpus)
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
            "corpus": {name: sha256_of(file) for name, file in files.items()},
        },
    )
    with (
        _encoders(
            corpus, files, tokenizer, executor, work, out_folder, block_bytes
        ) as encoders,
        new_folder(out_folder, of_format(MANIFEST, FORMAT)) as folder,
    ):
        for name, encode in encoders.items():
            manifest.splits[name] = _pack_split(
                encode, folder, name, manifest, shard_rows
            )
        manifest.save(folder)
    return manifest


def _files(
    corpus: str | os.PathLike | Iterable[Document],
) -> dict[str, Path]:
    """Returns the file of each split of a corpus folder; none of documents."""
    if not isinstance(corpus, str | os.PathLike):
        return {}
    files = {"train": Path(corpus, TRAIN), "heldout": Path(corpus, HELDOUT)}
    read_corpus(corpus)  # says what is missing
    return {name: file for name, file in files.items() if file.is_file()}


@contextmanager
def _encoders(
    corpus: Any,
    files: Mapping[str, Path],
    tokenizer: Any,
    executor: Executor | None,
    work: str | os.PathLike | None,
    out_folder: str | os.PathLike,
    block_bytes: int,
) -> Iterator[Mapping[str, Encode]]:
    """Yields, per split, what gives the ids of its documents."""
    if executor is None:
        yield {
            name: functools.partial(_encode, corpus, files, name, tokenizer)
            for name in files or ("train",)
        }
        return
    with (
        work_folder(work, out_folder) as place,
        block_encoders(
            files, corpus, tokenizer, executor, place, block_bytes
        ) as encoders,
    ):
        yield encoders


def _encode(
    corpus: Any,
    files: Mapping[str, Path],
    split: str,
    tokenizer: Any,
    sizes: list[int],
) -> Iterator[list[int]]:
    """Yields the ids of each document, made in this process."""
    documents = read_corpus(corpus, split) if files else corpus
    total = _lines(files[split]) if files else None
    tracked = track(documents, f"packing {split}", total)
    return encode_documents(tracked, tokenizer, sizes)


def _lines(path: Path) -> int:
    """Counts the documents of a JSON Lines file, for the progress bar."""
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def _pack_split(
    encode: Encode,
    folder: Path,
    split: str,
    manifest: Manifest,
    shard_rows: int,
) -> RowSplit:
    """Packs one split into shards and returns its part of the manifest."""
    sizes: list[int] = []
    counts = PackCounts()
    rows = pack(
        encode(sizes),
        manifest.row_length,
        manifest.bos_id,
        manifest.eos_id,
        counts,
    )
    shards = write_shards(rows, folder, split, manifest, shard_rows)
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
