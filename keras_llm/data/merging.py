"""Merging packed rows: folders of one kind into one, without a copy."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_llm.data.folders import of_format
from keras_llm.data.manifest import FORMAT, MANIFEST, Manifest, RowSplit, Shard
from keras_llm.data.rows import Rows, open_rows
from keras_llm.data.shard_writer import shard_names
from keras_llm.errors import InputError
from keras_llm.files import new_folder
from keras_llm.progress import track

ALIKE = (
    "tokenizer",
    "row_length",
    "vocabulary_size",
    "token_dtype",
    "segment_dtype",
    "bos_id",
    "eos_id",
)


def merge_rows(
    folders: Sequence[str | os.PathLike], out_folder: str | os.PathLike
) -> Manifest:
    """Joins folders of packed rows into one, in the order given.

    The shards are hard links: no byte is copied where the disk can do that.
    Their hashes are kept. A split that only some folders have is made of
    theirs.

    Args:
        folders: Folders written by `pack_corpus`, `shuffle_rows` or this.
        out_folder: The folder to write. Earlier rows there are replaced; a
            folder with other content is refused.

    Returns:
        The new manifest; its recipe has those of the folders under "merged".

    Raises:
        InputError: No folder, the same one twice, a mixture, a shard is
            missing or cut, or the folders differ in tokenizer, row length or
            types.
        OSError: The disk is full; earlier rows are still there.

    Example:

    >>> import tempfile
    >>> from keras_llm.data import Document, pack_corpus
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a rose is a rose"], 261)
    >>> folders = [tempfile.mkdtemp() for _ in range(2)]
    >>> for folder, text in zip(folders, ["a rose", "is a rose"]):
    ...     _ = pack_corpus([Document(text, "")], tokenizer, folder, 8)
    >>> merge_rows(folders, tempfile.mkdtemp()).splits["train"].documents
    2
    """
    paths = [Path(folder) for folder in folders]
    manifests = [Manifest.load(path) for path in paths]
    _check_each_once(paths)
    check_alike(paths, manifests)
    merged = replace(
        manifests[0],
        recipe={"merged": [manifest.recipe for manifest in manifests]},
        splits={},
    )
    names = dict.fromkeys(name for one in manifests for name in one.splits)
    with new_folder(out_folder, of_format(MANIFEST, FORMAT)) as folder:
        for split in names:
            parts = [
                _files_of(path, split)
                for path, manifest in zip(paths, manifests, strict=True)
                if split in manifest.splits
            ]
            merged.splits[split] = _merge(parts, split, folder)
        merged.save(folder)
    return merged


def _files_of(path: Path, split: str) -> Rows:
    """Opens rows that are what their files hold, in this order."""
    rows = open_rows(path, split)
    if rows.ordered:
        raise InputError(
            "Expected rows in the order of their files. Received: "
            f"{path}, a mixture. Merge its sources, or mix all of them."
        )
    return rows


def _check_each_once(paths: list[Path]) -> None:
    """Refuses no folder, and the same one twice."""
    if not paths or len({path.resolve() for path in paths}) < len(paths):
        raise InputError(
            "Expected at least one folder of rows, and each once. Received: "
            f"{', '.join(map(str, paths)) or 'none'}. To see rows more often "
            "than others, mix folders instead of merging them."
        )


def check_alike(paths: Sequence[Path], manifests: Sequence[Manifest]) -> None:
    """Refuses folders of rows that are not for one model.

    Args:
        paths: The folders, at least one.
        manifests: Their manifests.

    Raises:
        InputError: One differs in one of `ALIKE` from the first.

    Example:

    >>> one = Manifest(257, 300, "<u2", "|u1", "ab12", 0, 0, {})
    >>> check_alike([Path("a"), Path("b")], [one, one])
    """
    first = manifests[0]
    for path, manifest in zip(paths, manifests, strict=True):
        other = {
            name: getattr(manifest, name)
            for name in ALIKE
            if getattr(manifest, name) != getattr(first, name)
        }
        if other:
            expected = {name: getattr(first, name) for name in other}
            raise InputError(
                f"Expected rows as in {paths[0]} ({_shown(expected)}). "
                f"Received: {path} ({_shown(other)}). Pack both with the same "
                "tokenizer and context length."
            )


def _shown(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _merge(parts: list[Rows], split: str, folder: Path) -> RowSplit:
    """Links the shards of one split, numbered anew, and adds up."""
    shards = []
    for path, shard in track(list(_shards(parts)), f"merging {split}"):
        names = shard_names(split, len(shards))
        for before, now in zip(
            (shard.tokens, shard.segments), names, strict=True
        ):
            _link(path / before, folder / now)
        shards.append(replace(shard, tokens=names[0], segments=names[1]))
    infos = [part.info for part in parts]
    return added_up(infos, parts[0].context_length, tuple(shards))


def added_up(
    infos: Sequence[RowSplit], context_length: int, shards: tuple[Shard, ...]
) -> RowSplit:
    """Returns the sums of one side of several folders.

    Args:
        infos: That side of each folder.
        context_length: Of the rows.
        shards: The files of all.

    Example:

    >>> one = RowSplit(3, 0, 90, 32, 30, 4, 0.0625, ())
    >>> added_up([one, one], 8, ()).targets
    60
    """
    rows = sum(info.rows for info in infos)
    targets = sum(info.targets for info in infos)
    return RowSplit(
        documents=sum(info.documents for info in infos),
        empty=sum(info.empty for info in infos),
        text_bytes=sum(info.text_bytes for info in infos),
        tokens=sum(info.tokens for info in infos),
        targets=targets,
        rows=rows,
        padding_share=round(1 - targets / (rows * context_length), 6),
        shards=shards,
    )


def _shards(parts: list[Rows]) -> Iterator[tuple[Path, Any]]:
    """Yields the folder and the record of each shard."""
    for part in parts:
        for shard in part.info.shards:
            yield part.folder, shard


def _link(source: Path, target: Path) -> None:
    """Gives a file a second name, or copies it where that cannot be."""
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(source, target)
