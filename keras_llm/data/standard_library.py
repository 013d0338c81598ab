"""A corpus that every machine has: the Python standard library."""

import os
import platform
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.documents import Reader

LICENSE = "PSF-2.0"
_LEFT_OUT = frozenset(
    "__pycache__ site-packages dist-packages test tests idle_test idlelib"
    " lib2to3 pydoc_data lib-dynload _bundled".split()
)


def standard_library() -> Reader:
    """Reads documentation and source of the Python that is running.

    First the help topics of `pydoc_data` (the language reference), then the
    source files of the standard library, sorted by name; without installed
    packages, tests, IDLE and lib2to3. About 10 MB in some 650 documents.
    Names do not depend on where Python is installed; the same Python version
    gives the same corpus.

    Returns:
        A `Reader`: an iterator of `Document` with license "PSF-2.0".

    Raises:
        InputError: While reading, if this Python has no such files.

    Example:

    >>> corpus = standard_library()
    >>> next(corpus).source
    'python/topics/assert'
    """
    counts = Counts("read")
    stdlib = Path(sysconfig.get_path("stdlib"))
    return Reader(_documents(stdlib, counts), counts, str(stdlib))


def _documents(stdlib: Path, counts: Counts) -> Iterator[Document]:
    """Yields the topics, then the modules."""
    yield from _topics(counts)
    for path in _modules(stdlib):
        name = path.relative_to(stdlib).as_posix()
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            counts.drop(name, "not UTF-8")
            continue
        if text.strip():
            yield _document(text, f"python/lib/{name}")
        else:
            counts.drop(name, "empty")


def _topics(counts: Counts) -> Iterator[Document]:
    """Yields the chapters of Python's own reference, as `help()` has them."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        counts.drop("pydoc_data", "not part of this Python")
        return
    for name, text in sorted(topics.items()):
        yield _document(text, f"python/topics/{name}")


def _modules(stdlib: Path) -> list[Path]:
    """Returns the source files of the library, sorted."""
    found = []
    for root, folders, files in os.walk(stdlib):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        found += [Path(root, name) for name in files if name.endswith(".py")]
    return sorted(found)


def _document(text: str, source: str) -> Document:
    version = platform.python_version()
    return Document(text, source, LICENSE, "en", {"python": version})
