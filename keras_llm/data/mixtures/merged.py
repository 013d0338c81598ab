"""One manifest over the rows of several folders."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from keras_llm.data.manifest import MANIFEST, Manifest, RowSplit, Shard
from keras_llm.data.merging import added_up
from keras_llm.data.rows import Rows
from keras_llm.files import sha256_of


def merged_manifest(opened: Mapping[str, Rows], folder: Path) -> Manifest:
    """Returns the manifest of all sources' rows, which stay where they are.

    Its files are named as seen from `folder`, so that `Rows` opens them.

    Args:
        opened: The sources by name, of one tokenizer and row length.
        folder: Where the manifest will be.

    Example: `mix` writes one.
    """
    names = dict.fromkeys(
        name for rows in opened.values() for name in rows.manifest.splits
    )
    return replace(
        next(iter(opened.values())).manifest,
        recipe={
            "packing": "mixture",
            "corpus": {
                name: sha256_of(rows.folder / MANIFEST)
                for name, rows in opened.items()
            },
        },
        splits={name: _side(name, opened, folder) for name in names},
    )


def _side(name: str, opened: Mapping[str, Rows], folder: Path) -> RowSplit:
    """One split of all the sources that have it."""
    having = [r for r in opened.values() if name in r.manifest.splits]
    infos = [rows.manifest.splits[name] for rows in having]
    shards = tuple(
        _moved(shard, rows.folder, folder)
        for rows, info in zip(having, infos, strict=True)
        for shard in info.shards
    )
    return added_up(infos, having[0].context_length, shards)


def _moved(shard: Shard, source: Path, folder: Path) -> Shard:
    there = Path(seen_from(folder, source))
    return replace(
        shard,
        tokens=(there / shard.tokens).as_posix(),
        segments=(there / shard.segments).as_posix(),
    )


def seen_from(folder: Path, source: Path) -> str:
    """Returns a relative path, so that both may move together.

    Example:

    >>> seen_from(Path("runs/mixed"), Path("runs/rows"))
    '../rows'
    """
    return Path(os.path.relpath(source.resolve(), folder.resolve())).as_posix()
