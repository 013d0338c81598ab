"""Token ids of a corpus, block of documents by block, on an executor.

A block is a run of lines of a JSON Lines file: a task that reads, tokenizes
and writes its ids beside a completion marker. What a killed run finished is
not done again.
"""

import functools
import itertools
import json
import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_llm.data.counts import utf8_size
from keras_llm.data.document import Document, whole, write_jsonl
from keras_llm.data.folders import of_format
from keras_llm.data.pack import Ids
from keras_llm.data.shard_writer import check_ids, token_dtype
from keras_llm.errors import InputError
from keras_llm.executors import Executor, done_once
from keras_llm.files import (
    TEMPORARY,
    atomic_path,
    check_new_folder,
    read_json,
    sha256_of,
    write_text,
)

BLOCK_BYTES = 8 * 2**20
PLAN, FORMAT = "blocks.json", "keras_llm token blocks"
TOKENIZER, DOCUMENTS = "tokenizer.pickle", "documents.jsonl"

_BATCH_DOCUMENTS = 256
_BATCH_CHARACTERS = 4_000_000

Encode = Callable[[list[int]], Iterator[Ids]]


@dataclass(frozen=True)
class BlockTask:
    """The lines of one block, and where its ids go.

    Attributes:
        corpus: The JSON Lines file.
        begin: First byte, the begin of a line.
        end: The byte after the last.
        folder: Where ids and marker go, and the tokenizer is.
        name: Of the block, unique in the folder.
        fingerprint: Of the tokenizer.
    """

    corpus: str
    begin: int
    end: int
    folder: str
    name: str
    fingerprint: str


def encode_documents(
    documents: Iterable[Document], tokenizer: Any, sizes: list[int]
) -> Iterator[list[int]]:
    """Yields the ids of each document; notes the bytes of each batch."""
    texts = (document.text for document in documents)
    for batch in _batches(texts):
        sizes.append(sum(map(utf8_size, batch)))
        yield from tokenizer.encode(batch, disallowed_special=())


@contextmanager
def block_encoders(
    files: Mapping[str, Path],
    documents: Iterable[Document],
    tokenizer: Any,
    executor: Executor,
    work: Path,
    block_bytes: int,
) -> Iterator[dict[str, Encode]]:
    """Yields, per split, a function that gives the ids of its documents.

    The function is called with a list, to which the bytes of the text of each
    block are added, and yields as `encode_documents` does. The work folder is
    removed when all went well.

    Args:
        files: The JSON Lines file of each split; may be empty.
        documents: Without files, documents for "train", which are written to
            the work folder first.
        tokenizer: Can be pickled; see `pack_corpus`.
        executor: Tokenizes the blocks.
        work: The folder for tasks; what an earlier run left there is used.
        block_bytes: Bytes of JSON Lines per block, about.

    Raises:
        InputError: The work folder is of another corpus, tokenizer or block
            size, or holds something else; a line is no document.
        OSError: The disk is full.
    """
    check_new_folder(work, _is_ours)
    work.mkdir(parents=True, exist_ok=True)
    if not files:
        texts = (Document(document.text, "") for document in documents)
        write_jsonl(work / DOCUMENTS, texts)
        files = {"train": work / DOCUMENTS}
    _begin(work, files, tokenizer, block_bytes)
    yield {
        split: functools.partial(
            _block_ids,
            _tasks(file, split, work, tokenizer.fingerprint, block_bytes),
            executor,
            f"tokenizing {split}",
        )
        for split, file in files.items()
    }
    shutil.rmtree(work)


def encode_block(task: BlockTask) -> dict[str, Any]:
    """Tokenizes one block, unless that is done; returns its marker."""
    return done_once(
        task.folder, task.name, functools.partial(_encode_block, task)
    )


def _is_ours(folder: Path) -> bool:
    """Says whether an earlier run made a folder, or began to."""
    return of_format(PLAN, FORMAT)(folder) or all(
        file.name == DOCUMENTS or file.name.startswith(TEMPORARY)
        for file in folder.iterdir()
    )


def _begin(
    work: Path, files: Mapping[str, Path], tokenizer: Any, block_bytes: int
) -> None:
    """Writes what the tasks are of, or compares it with what is there."""
    plan = {
        "format": FORMAT,
        "tokenizer": tokenizer.fingerprint,
        "block_bytes": block_bytes,
        "corpus": {name: sha256_of(file) for name, file in files.items()},
    }
    earlier = read_json(work / PLAN) if (work / PLAN).is_file() else plan
    other = [name for name in plan if earlier.get(name) != plan[name]]
    if other:
        raise InputError(
            f"Expected the {' and the '.join(other)} that {work} was begun "
            "with. Received: another. Name another work folder, or remove "
            "this one to start anew."
        )
    write_text(work / PLAN, json.dumps(plan, indent=2) + "\n")
    # Written anew each time: nothing is unpickled that others put there.
    with atomic_path(work / TOKENIZER) as path:
        path.write_bytes(_pickled(tokenizer))


def _pickled(tokenizer: Any) -> bytes:
    try:
        return pickle.dumps(tokenizer)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            "Expected a tokenizer that can be sent to other processes. "
            f"Received: {error}. Load it with tokenizers.load_host, or pack "
            "without an executor."
        ) from error


def _tasks(
    file: Path, split: str, work: Path, fingerprint: str, block_bytes: int
) -> list[BlockTask]:
    """Cuts a file into blocks that end where a line ends."""
    size, borders = file.stat().st_size, [0]
    with open(file, "rb") as lines:
        while (at := borders[-1] + block_bytes) < size:
            lines.seek(at)
            lines.readline()
            borders.append(lines.tell())
    if borders[-1] < size:
        borders.append(size)
    # Absolute: a worker need not stand in the same folder.
    places = str(file.absolute()), str(work.absolute())
    return [
        BlockTask(
            *(places[0], begin, end, places[1]),
            f"{split}-{number:05d}",
            fingerprint,
        )
        for number, (begin, end) in enumerate(itertools.pairwise(borders))
    ]


def _block_ids(
    tasks: list[BlockTask], executor: Executor, title: str, sizes: list[int]
) -> Iterator[np.ndarray]:
    """Yields the ids of each document, in the order of the corpus."""
    done = executor.map(encode_block, tasks, title)
    for task, marker in zip(tasks, done, strict=True):
        sizes.append(marker["text_bytes"])
        yield from _read(task, marker)


def _read(task: BlockTask, marker: dict[str, Any]) -> Iterator[np.ndarray]:
    """Yields the ids of each document of a block."""
    path = _ids_path(task)
    if not path.is_file() or sha256_of(path) != marker["sha256"]:
        raise InputError(
            f"Expected the token ids in {path}. Received: a missing or "
            f"damaged file. Remove {task.folder} and pack the corpus again."
        )
    with open(path, "rb") as file:
        lengths, ids = np.load(file), np.load(file)
    begin = 0
    for end in np.cumsum(lengths).tolist():
        yield ids[begin:end]
        begin = end


def _encode_block(task: BlockTask) -> dict[str, Any]:
    """Tokenizes one block and writes its ids."""
    tokenizer = _tokenizer(str(Path(task.folder, TOKENIZER)), task.fingerprint)
    dtype, sizes = token_dtype(tokenizer.vocabulary_size), []
    arrays = [np.empty(0, dtype)]
    documents = (Document(text, "") for text in _texts(task))
    for ids in encode_documents(documents, tokenizer, sizes):
        array = np.asarray(ids, np.int64)
        check_ids(array, tokenizer.vocabulary_size)
        arrays.append(array.astype(dtype))
    with atomic_path(_ids_path(task)) as path:
        with open(path, "wb") as file:
            np.save(file, np.array([len(ids) for ids in arrays[1:]], np.int64))
            np.save(file, np.concatenate(arrays))
        sha256 = sha256_of(path)
    return {"text_bytes": sum(sizes), "sha256": sha256}


def _ids_path(task: BlockTask) -> Path:
    return Path(task.folder, f"{task.name}.ids")


@functools.lru_cache(maxsize=1)
def _tokenizer(path: str, fingerprint: str) -> Any:
    """Returns the tokenizer, once per process and fingerprint."""
    return pickle.loads(Path(path).read_bytes())


def _texts(task: BlockTask) -> Iterator[str]:
    """Yields the texts of a block as `read_corpus` does."""
    with open(task.corpus, "rb") as file:
        file.seek(task.begin)
        lines = file.read(task.end - task.begin).split(b"\n")
    for index, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            text = json.loads(line.decode("utf-8-sig"))["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise _no_document(task, index, repr(error)) from error
        if text is None:
            continue
        if not isinstance(text, str):
            raise _no_document(task, index, "the text is no string")
        yield whole(text)


def _no_document(task: BlockTask, index: int, why: str) -> InputError:
    """Says which line of the file is meant, and why it is refused."""
    with open(task.corpus, "rb") as file:
        number = file.read(task.begin).count(b"\n") + index + 1
    return InputError(
        f'Expected a document on each line, as {{"text": ...}}. Received: '
        f"{task.corpus}, line {number}: {why}. Write the file again, or "
        "remove the line."
    )


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yields lists of texts, so that encoding can use every core."""
    batch, characters = [], 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if len(batch) >= _BATCH_DOCUMENTS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
