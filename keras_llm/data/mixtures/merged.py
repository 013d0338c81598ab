"""One manifest over the rows of several folders."""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from pathlib import Path

from keras_llm.data.manifest import MANIFEST, Manifest, RowSplit, Shard
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
    sides: dict[str, list[RowSplit]] = {}
    for rows in opened.values():
        for name, side in rows.manifest.splits.items():
            shards = tuple(_moved(s, rows.folder, folder) for s in side.shards)
            sides.setdefault(name, []).append(replace(side, shards=shards))
    return replace(
        next(iter(opened.values())).manifest,
        recipe={
            "packing": "mixture",
            "corpus": {
                name: sha256_of(rows.folder / MANIFEST)
                for name, rows in opened.items()
            },
        },
        splits={name: reduce(_together, all_) for name, all_ in sides.items()},
    )


def _together(one: RowSplit, other: RowSplit) -> RowSplit:
    rows = one.rows + other.rows
    empty = one.padding_share * one.rows + other.padding_share * other.rows
    return RowSplit(
        documents=one.documents + other.documents,
        empty=one.empty + other.empty,
        text_bytes=one.text_bytes + other.text_bytes,
        tokens=one.tokens + other.tokens,
        targets=one.targets + other.targets,
        rows=rows,
        padding_share=round(empty / rows, 6),
        shards=one.shards + other.shards,
    )


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
