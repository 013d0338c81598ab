"""Reading and writing the files in which SentencePiece is published."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_llm import files
from keras_llm.errors import InputError
from keras_llm.tokenizers.added import AddedToken
from keras_llm.tokenizers.hugging_face import token_text
from keras_llm.tokenizers.piece_json import convert
from keras_llm.tokenizers.piece_model import (
    CONTROL,
    PieceModel,
    extended,
)

MODEL_FILE, CONFIG_FILE = "tokenizer.model", "tokenizer_config.json"
OURS = "keras_llm"  # our settings' key in tokenizer_config.json
_NAMES = ("tokenizer.json", MODEL_FILE, "spiece.model")
_ROLES = ("bos_token", "eos_token", "pad_token", "unk_token")


def read(path: str | os.PathLike) -> PieceModel:
    """Reads whichever known format is at `path`.

    Raises:
        FileNotFoundError: Nothing known is there.
        InputError: The content cannot be used; the message names what.
    """
    file = _find(Path(path))
    config = read_config(file)
    ours = config.get(OURS)
    if isinstance(ours, Mapping):  # we wrote it
        return PieceModel.of(_with_name(file).read_bytes(), ours)
    if file.suffix == ".json":
        return convert(files.read_json(file), config)
    return _plain(file.read_bytes(), config)


def write(model: PieceModel, folder: str | os.PathLike) -> None:
    """Writes `tokenizer.model` and `tokenizer_config.json`."""
    folder = Path(folder)
    with files.atomic_path(folder / MODEL_FILE) as temporary:
        temporary.write_bytes(model.proto)
    config = {
        "bos_token": model.bos,
        "eos_token": model.eos,
        "add_bos_token": model.bos is not None,
        OURS: model.settings(),
    }
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    files.write_text(folder / CONFIG_FILE, text)


def read_config(file: Path) -> Mapping[str, Any]:
    """Returns what the `tokenizer_config.json` beside a file says, or {}."""
    path = file.with_name(CONFIG_FILE)
    return files.read_json(path) if path.is_file() else {}


def _with_name(file: Path) -> Path:
    model = file.with_name(MODEL_FILE)
    if not model.is_file():
        raise FileNotFoundError(
            f"Expected {MODEL_FILE} beside {CONFIG_FILE} in {file.parent}. "
            "Received: no such file."
        )
    return model


def _find(path: Path) -> Path:
    if path.is_file():
        return path
    found = [path / name for name in _NAMES if (path / name).is_file()]
    found += sorted(path.glob("*.model")) if path.is_dir() else []
    if not found:
        raise FileNotFoundError(
            f"Expected tokenizer.json or {MODEL_FILE} in {path}. Received: "
            "neither of them."
        )
    return found[0]


def _plain(proto: bytes, config: Mapping[str, Any]) -> PieceModel:
    """A published `.model`, and what its tokenizer_config.json adds to it."""
    model = PieceModel(proto)
    pieces = model.message.pieces
    if not len(pieces):
        raise InputError(
            "Expected a SentencePiece model with pieces. Received: none. Is "
            "the file a SentencePiece .model?"
        )
    special = {
        i: AddedToken(piece.piece, i)
        for i, piece in enumerate(pieces)
        if piece.type == CONTROL
    }
    named = {token_text(config.get(role)) for role in _ROLES}
    for key, told in config.get("added_tokens_decoder", {}).items():
        token = _told(int(key), told)
        unknown = token.id < len(pieces) and pieces[token.id].type == 2
        if (token.special or token.text in named) and not unknown:
            special[token.id] = token
        elif not unknown and token.id >= len(pieces):
            special[token.id] = token  # text, appended to the pieces
    model = extended(model, list(special.values()))
    trainer = model.message.trainer_spec
    bos = pieces[trainer.bos_id].piece if trainer.bos_id >= 0 else None
    eos = pieces[trainer.eos_id].piece if trainer.eos_id >= 0 else None
    known = {token.text for token in model.added}
    bos = token_text(config.get("bos_token")) or bos
    eos = token_text(config.get("eos_token")) or eos
    if not config.get("add_bos_token", True):
        bos = None
    return PieceModel(
        model.proto,
        model.added,
        bos if bos in known else None,
        eos if eos in known else None,
        hidden=model.hidden,
    )


def _told(token_id: int, told: Mapping[str, Any]) -> AddedToken:
    names = ("special", "lstrip", "rstrip")
    flags = {name: bool(told.get(name)) for name in names}
    return AddedToken(told["content"], token_id, **flags)
