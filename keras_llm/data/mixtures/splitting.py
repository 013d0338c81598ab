"""One corpus to several, by language or whatever a document says of itself."""

import contextlib
import logging
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from keras_llm.data.curate import HELDOUT, TRAIN, read_corpus
from keras_llm.data.document import Document, json_line
from keras_llm.data.shards import pack_corpus
from keras_llm.errors import InputError
from keras_llm.files import TEMPORARY, check_new_folder
from keras_llm.progress import track

_log = logging.getLogger(__name__)

_FILES = {"train": TRAIN, "heldout": HELDOUT}
UNKNOWN = "unknown"


def by_language(document: Document) -> str:
    """Returns a document's language, or "unknown".

    Example:

    >>> by_language(Document("Bonjour", "a", language="fr"))
    'fr'
    """
    return document.language or UNKNOWN


def pack_parts(
    corpus: str | os.PathLike,
    tokenizer: Any,
    out_folder: str | os.PathLike,
    context_length: int,
    part_of: Callable[[Document], str] = by_language,
) -> dict[str, Path]:
    """Packs a corpus in parts, one folder of rows each, as sources of `mix`.

    Args:
        corpus: A folder written by `curate`.
        tokenizer: As for `pack_corpus`.
        out_folder: Gets a folder for each part. Its texts are there for a
            moment too: it needs room for the corpus once more.
        context_length: Tokens that a model sees per row.
        part_of: Names the part of a document, for example
            `lambda one: one.license or "unknown"`. What no file name may
            hold becomes an underscore. Default: by language, which the
            curation step `language` finds.

    Returns:
        The name of each part and its folder, by name. A part whose documents
        are all held out has no rows and is left out with a warning.

    Raises:
        InputError: No corpus, nothing to train on, or `out_folder` holds
            other files than earlier parts of the same names.
        OSError: The disk is full; parts that are finished stay.

    Example:

    >>> import tempfile
    >>> from keras_llm.data import curate
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> folder = Path(tempfile.mkdtemp())
    >>> documents = [Document(f"{word} " * 90, word, language=language)
    ...     for word, language in [("rose", "en"), ("ruusu", "fi")]]
    >>> report = curate(documents, folder / "corpus", heldout=0)
    >>> tokenizer = HostTokenizer.train(["rose"], 261)
    >>> sorted(pack_parts(folder / "corpus", tokenizer, folder / "parts", 8))
    ['en', 'fi']
    """
    out_folder = Path(out_folder)
    out_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=TEMPORARY, dir=out_folder
    ) as scratch:
        counts = _split(Path(corpus), Path(scratch), part_of)
        names = sorted(name for name, side in counts if side == "train")
        _check(out_folder, names)
        for name, side in sorted(counts):
            if name not in names:
                _log.warning(
                    "%s: all %d documents are held out; it has no rows.",
                    *(name, counts[name, side]),
                )
        for name in names:
            folder = Path(scratch) / name
            pack_corpus(folder, tokenizer, out_folder / name, context_length)
    return {name: out_folder / name for name in names}


def _split(
    corpus: Path, out: Path, part_of: Callable[[Document], str]
) -> Counter[tuple[str, str]]:
    """Writes each document to its part; returns how many by part and side."""
    counts: Counter[tuple[str, str]] = Counter()
    files: dict[tuple[str, str], IO[bytes]] = {}
    with contextlib.ExitStack() as stack:
        for side, file_name in _FILES.items():
            if side == "heldout" and not (corpus / file_name).is_file():
                continue
            for one in track(read_corpus(corpus, side), f"splitting {side}"):
                at = _folder_name(part_of(one)), side
                if not counts[at]:
                    path = out / at[0] / file_name
                    path.parent.mkdir(exist_ok=True)
                    files[at] = stack.enter_context(open(path, "wb"))
                files[at].write(json_line(one.to_dict()))
                counts[at] += 1
    if not counts:
        raise InputError(f"Expected documents in {corpus}. Received: none.")
    return counts


def _folder_name(part: str) -> str:
    return re.sub(r"[^\w.-]+", "_", part).lstrip(".") or UNKNOWN


def _check(folder: Path, names: list[str]) -> None:
    """Refuses a folder with other files in it, before anything is packed."""

    def is_ours(folder: Path) -> bool:
        found = (file.name for file in folder.iterdir())
        return all(n in names or n.startswith(TEMPORARY) for n in found)

    check_new_folder(folder, is_ours)
