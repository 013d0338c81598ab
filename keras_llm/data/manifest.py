"""The manifest of packed rows: what the shards hold and how they came to be."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError

MANIFEST = "manifest.json"
FORMAT = "keras_llm rows"
VERSION = 1


@dataclass(frozen=True)
class Shard:
    """A pair of files: tokens and segments of the same rows.

    Attributes:
        tokens: File name of the tokens, (rows, row_length), little endian.
        segments: File name of the segment numbers, same shape.
        rows: Number of rows.
        tokens_sha256: Hash of the tokens file.
        segments_sha256: Hash of the segments file.
    """

    tokens: str
    segments: str
    rows: int
    tokens_sha256: str
    segments_sha256: str


@dataclass(frozen=True)
class RowSplit:
    """One side ("train" or "heldout") of the packed rows.

    Attributes:
        documents: Documents in the rows.
        empty: Documents left out because they had no token.
        text_bytes: Bytes of their text in UTF-8, for bits per byte.
        tokens: Tokens, with begin and end tokens, without padding.
        targets: Tokens that are predicted, each once per epoch.
        rows: Number of rows.
        padding_share: Share of positions that predict nothing.
        shards: The files, in order.
    """

    documents: int
    empty: int
    text_bytes: int
    tokens: int
    targets: int
    rows: int
    padding_share: float
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class Manifest:
    """Everything needed to read packed rows and to know how they were made.

    Attributes:
        row_length: Tokens per row: context_length + 1.
        vocabulary_size: All ids are below it.
        token_dtype: "<u2" or "<u4", NumPy's name.
        segment_dtype: "|u1", "<u2" or "<u4".
        tokenizer: Fingerprint of the tokenizer.
        bos_id: Token before each document, or None.
        eos_id: Token after each document, or None.
        recipe: Settings of packing and hashes of the corpus files.
        splits: Name -> `RowSplit`.

    Example:

    >>> Manifest(257, 300, "<u2", "|u1", "ab12", 0, 0, {}).context_length
    256
    """

    row_length: int
    vocabulary_size: int
    token_dtype: str
    segment_dtype: str
    tokenizer: str
    bos_id: int | None
    eos_id: int | None
    recipe: dict[str, Any]
    splits: dict[str, RowSplit] = field(default_factory=dict)

    @property
    def context_length(self) -> int:
        """Returns the tokens a model sees per row: row_length - 1."""
        return self.row_length - 1

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of `manifest.json`."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}

    def save(self, folder: Path) -> None:
        """Writes `manifest.json` into a folder."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Reads `manifest.json`; refuses what it does not understand.

        Raises:
            InputError: The file is missing, damaged, of another version, or
                has unknown or missing keys; the message names the file.
        """
        path = folder / MANIFEST
        content = _load_json(path)
        if (content.pop("format", None), content.pop("version", None)) != (
            FORMAT,
            VERSION,
        ):
            raise InputError(
                f"Expected {FORMAT!r}, version {VERSION}. Received: {path} "
                "is of another format or version. Pack the corpus again with "
                "this version of keras_llm."
            )
        values = _checked(cls, content, path)
        values["splits"] = {
            name: _split(split, path)
            for name, split in values["splits"].items()
        }
        return cls(**values)


def _split(split: Any, path: Path) -> RowSplit:
    """Returns one split of the manifest with its shards."""
    values = _checked(RowSplit, split, path)
    shards = (_checked(Shard, shard, path) for shard in values["shards"])
    values["shards"] = tuple(Shard(**shard) for shard in shards)
    return RowSplit(**values)


def _load_json(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file."""
    if not path.is_file():
        raise InputError(
            f"Expected a folder of packed rows. Received: {path.parent}, "
            f"which has no {path.name}. Pack a corpus into it first."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"Expected a JSON file. Received: {path} cannot be read "
            f"({error}). Pack the corpus again."
        ) from error
    if not isinstance(content, dict):
        raise InputError(
            f"Expected a JSON object. Received: {path} holds a "
            f"{type(content).__name__}. Pack the corpus again."
        )
    return content


def _checked(kind: type, content: Any, path: Path) -> dict[str, Any]:
    """Returns the values of one record; its keys must be the known ones."""
    known = {field.name for field in fields(kind)}
    keys = set(content) if isinstance(content, Mapping) else set()
    if keys != known:
        raise InputError(
            f"Expected the keys {sorted(known)}. Received: {path} has unknown "
            f"keys {sorted(keys - known)} and lacks {sorted(known - keys)}. "
            "Pack the corpus again with this version of keras_llm."
        )
    return dict(content)
