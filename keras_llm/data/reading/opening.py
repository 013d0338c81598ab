"""Opening files for their bytes: compressed ones, and those far away."""

import gzip
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from keras_llm.errors import InputError

COMPRESSED = (".gz", ".zst")


@dataclass(frozen=True)
class RemoteFile:
    """A file with an address that fsspec opens: s3://, gs://, https://.

    Example:

    >>> RemoteFile("s3://bucket/books/emma.txt.gz").name
    'emma.txt.gz'
    """

    url: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(urlsplit(self.url).path).name

    def __str__(self) -> str:
        return self.url


Location = Path | RemoteFile


def location(path: Any) -> Location:
    """Returns a file here or far away.

    Example:

    >>> location("s3://bucket/a.txt"), location("a.txt").name
    (RemoteFile(url='s3://bucket/a.txt'), 'a.txt')
    """
    if isinstance(path, RemoteFile):
        return path
    return RemoteFile(path) if "://" in str(path) else Path(path)


def suffix_of(path: Location) -> str:
    """Returns the suffix in lower case, ".gz" and ".zst" looked through.

    Example:

    >>> suffix_of(Path("a/B.JSONL.zst"))
    '.jsonl'
    """
    name = path.name.lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return Path(name).suffix


def open_bytes(path: Location) -> io.BufferedIOBase:
    """Opens a file for reading bytes; .gz and .zst are decompressed on the
    way.

    Raises:
        InputError: What is needed for it is not installed; while reading, a
            compressed file is cut or damaged.
    """
    ending = path.name.lower().rpartition(".")[2]
    if ending == "gz":
        return _Gzip(path)
    if ending == "zst":
        return io.BufferedReader(_Zstandard(path))
    return _open(path)


def file_system(url: str) -> tuple[Any, str]:
    """Returns fsspec's file system of an address, and the path in it.

    Raises:
        InputError: fsspec, or what it needs for such addresses, is missing.
    """
    try:
        import fsspec
    except ImportError as error:
        raise InputError(
            f"Expected fsspec to read {url}. Received: it is not installed. "
            "Do: pip install fsspec"
        ) from error
    try:
        return fsspec.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"Expected an address that fsspec can open. Received: {url} "
            f"({error})."
        ) from error


def _open(path: Location) -> io.BufferedIOBase:
    if isinstance(path, RemoteFile):
        system, inner = file_system(path.url)
        return system.open(inner, "rb")
    return open(path, "rb")


class _Gzip(gzip.GzipFile):
    """A gzip file whose damage is reported as a sentence with its name."""

    def __init__(self, path: Location):
        self._path = path
        self._compressed = _open(path)
        super().__init__(fileobj=self._compressed, mode="rb")

    def read(self, size: int | None = -1) -> bytes:
        return self._told(super().read, size)

    def readline(self, size: int | None = -1) -> bytes:
        return self._told(super().readline, size)

    def close(self) -> None:
        super().close()
        self._compressed.close()

    def _told(self, read: Callable, size: int | None) -> bytes:
        try:
            return read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise _damaged("gzip", self._path, error) from error


class _Zstandard(io.RawIOBase):
    """A Zstandard file, decompressed by pyarrow."""

    def __init__(self, path: Location):
        super().__init__()
        pyarrow = pyarrow_for(path)
        self._path = path
        self._compressed = _open(path)
        self._file = pyarrow.CompressedInputStream(self._compressed, "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except OSError as error:
            raise _damaged("Zstandard", self._path, error) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            self._compressed.close()
        super().close()


def pyarrow_for(path: Any) -> Any:
    """Returns the module pyarrow.

    Raises:
        InputError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"Expected pyarrow for {path}. Received: it is not installed. "
            "Do: pip install 'keras_llm[data]'"
        ) from error
    return pyarrow


def _damaged(kind: str, path: Location, error: Exception) -> InputError:
    return InputError(
        f"Expected a whole {kind} file. Received: {path}, which cannot be "
        f"decompressed ({error}). Copy the file again."
    )
