"""Documents and arrays set aside in files, to be read again."""

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from keras_llm.data.counts import utf8_size
from keras_llm.data.document import Document
from keras_llm.errors import InputError

Notes = dict[str, np.ndarray]
_ALIGNED = 64  # bytes, as NumPy's own files


def parts_of(
    documents: Iterable[Document], most: int
) -> Iterator[Iterator[Document]]:
    """Yields stretches of documents, each to be read before the next.

    Args:
        documents: Any iterable.
        most: Characters of a part; its last document may take it above.

    Example:

    >>> documents = [Document(text, "a") for text in ("one", "two", "three")]
    >>> [[d.text for d in part] for part in parts_of(documents, 6)]
    [['one', 'two'], ['three']]
    """
    documents = iter(documents)
    for first in documents:
        yield _part(itertools.chain([first], documents), most)


def _part(documents: Iterable[Document], most: int) -> Iterator[Document]:
    size = 0
    for document in documents:
        yield document
        size += len(document.text)
        if size >= most:
            return


def write_part(
    path: str | os.PathLike, documents: Iterable[Document]
) -> tuple[int, int]:
    """Writes documents as they are; returns how many, and their bytes of text.

    In ASCII, because the name of a file may have lone surrogates. Not
    compressed: Zstandard halves the file and takes half as long again (of
    English, 108 MB/s instead of 165; reading 181 instead of 275).

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "0.jsonl"
    >>> write_part(path, [Document("Hi", "me")])
    (1, 2)
    >>> [document.text for document in read_part(path)]
    ['Hi']
    """
    number = size = 0
    with open(path, "w", encoding="ascii") as file:
        for document in documents:
            file.write(json.dumps(document.to_dict()) + "\n")
            number += 1
            size += utf8_size(document.text)
    return number, size


def read_part(path: str | os.PathLike) -> Iterator[Document]:
    """Yields the documents of a file that `write_part` wrote.

    Raises:
        InputError: A line is broken; it is named.
    """
    with open(path, encoding="ascii") as file:
        for number, line in enumerate(file, 1):
            try:
                yield Document(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise InputError(
                    f"Expected a document in {path}, line {number}. Received: "
                    f"something else ({error}). The file was changed since it "
                    "was written: start the work again."
                ) from error


class Part:
    """Documents in a file, to be read as often as one likes.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "0.jsonl"
    >>> _ = write_part(path, [Document("Hi", "me")])
    >>> part = Part(path)
    >>> len(list(part)), len(list(part))
    (1, 1)
    """

    def __init__(self, path: str | os.PathLike):
        self._path = path

    def __iter__(self) -> Iterator[Document]:
        return read_part(self._path)


def write_notes(path: str | os.PathLike, notes: Notes) -> None:
    """Writes arrays by name into one file."""
    with open(path, "wb") as file:
        np.savez(file, allow_pickle=False, **notes)


def gather_notes(
    paths: Sequence[str | os.PathLike], together: str | os.PathLike
) -> list[Notes]:
    """Returns the arrays of many files, mapped from a single one.

    Memory: what is used of them; and one open file instead of thousands.

    Args:
        paths: Files of `write_notes`, read one after the other.
        together: The file to write.

    Example:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for n in range(2):
    ...     write_notes(folder / f"{n}.npz", {"keys": np.arange(n + 1)})
    >>> files = [folder / "0.npz", folder / "1.npz"]
    >>> [note["keys"].tolist() for note in gather_notes(files, folder / "all")]
    [[0], [0, 1]]
    """
    places = []
    with open(together, "wb") as out:
        for path in paths:
            with np.load(path, allow_pickle=False) as note:
                places.append({})
                for name in note.files:
                    array = np.ascontiguousarray(note[name])
                    places[-1][name] = (out.tell(), array.dtype, array.shape)
                    out.write(array.tobytes())
                    out.write(bytes(-out.tell() % _ALIGNED))
        size = out.tell()
    data = np.memmap(together, "uint8", "r") if size else np.zeros(0, "uint8")
    return [
        {name: _array(data, *place) for name, place in note.items()}
        for note in places
    ]


def _array(
    data: np.ndarray, begin: int, dtype: np.dtype, shape: tuple[int, ...]
) -> np.ndarray:
    """Returns an array in a stretch of bytes, as a plain one."""
    size = int(np.prod(shape)) * dtype.itemsize
    return np.asarray(data[begin : begin + size]).view(dtype).reshape(shape)
