"""Folders in Hugging Face's form: config.json beside safetensors."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.files import new_folder, read_json, write_text
from keras_llm.weights import (
    SHARD_BYTES,
    is_weight_file,
    load_safetensors,
    write_shards,
)
from keras_llm.zoo.family import Family
from keras_llm.zoo.registry import find_family

if TYPE_CHECKING:
    from keras_llm.model import Decoder

CONFIG_FILE = "config.json"


def load_hugging_face(
    folder: str | os.PathLike, dtype: Any = None
) -> "Decoder":
    """Builds the decoder that a folder in Hugging Face's form describes.

    Args:
        folder: A local folder with `config.json` and `model.safetensors` (or
            its shards). Nothing is downloaded.
        dtype: As in `build_decoder`: "float32", "mixed_bfloat16", ...

    Raises:
        InputError: The folder is not there, its model_type is none of ours,
            or its config or weights have something that would be lost.

    Example:

    >>> import tempfile
    >>> from keras_llm import zoo
    >>> from keras_llm.model import build_decoder
    >>> folder = tempfile.mkdtemp()
    >>> model = build_decoder(zoo.config("tiny", vocabulary_size=300))
    >>> zoo.save_hugging_face(model, folder, "llama")
    >>> zoo.load_hugging_face(folder).config == model.config
    True
    """
    from keras_llm.sketch import blank_decoder

    family, config = read_config(folder)
    model = blank_decoder(config, dtype)
    load_safetensors(model, Path(folder), family.weights)
    return model


def read_config(folder: str | os.PathLike) -> tuple[Family, DecoderConfig]:
    """Returns what a folder's `config.json` describes, without its weights.

    Args:
        folder: A local folder with `config.json`.

    Raises:
        InputError: There is no such file, it is of no family of ours, or it
            has keys that are not understood.

    Example:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "config.json").write_text(
    ...     '{"model_type": "gpt2", "vocab_size": 9, "n_positions": 8, '
    ...     '"n_layer": 1, "n_embd": 8, "n_head": 2}')
    >>> family, config = read_config(folder)
    >>> family.name, config.hidden_dim
    ('gpt2', 8)
    """
    values = config_values(Path(folder))
    family = find_family(values.get("model_type", ""))
    return family, family.from_hugging_face(values)


def save_hugging_face(
    model: "Decoder",
    folder: str | os.PathLike,
    family: Family | str,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes config.json and safetensors, which `transformers` loads.

    `keras_llm.export.hugging_face` also writes the tokenizer and the rest.

    Args:
        model: A decoder whose config this family can express.
        folder: A new or empty folder, or one that this function wrote; it
            is replaced as a whole or not at all.
        family: A family or its name, for example "llama".
        shard_bytes: Weights larger than this are written in several files.
            Default: 5 GB.

    Raises:
        InputError: The family cannot express the model, or the folder holds
            other files.

    Example:

    >>> import os, tempfile
    >>> from keras_llm import zoo
    >>> from keras_llm.model import build_decoder
    >>> folder = tempfile.mkdtemp()
    >>> model = build_decoder(zoo.config("tiny", vocabulary_size=300))
    >>> zoo.save_hugging_face(model, folder, "llama")
    >>> sorted(os.listdir(folder))
    ['config.json', 'model.safetensors']
    """
    named = find_family(family) if isinstance(family, str) else family
    values = named.to_hugging_face(model.config)
    with new_folder(folder, _is_ours) as temporary:
        write_model(model, values, temporary, named, shard_bytes)


def write_model(
    model: "Decoder",
    values: Mapping[str, Any],
    folder: Path,
    family: Family,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes config.json and safetensors into a new folder.

    Args:
        model: The decoder.
        values: What config.json says, from `Family.to_hugging_face`.
        folder: A folder of `keras_llm.files.new_folder`.
        family: Names the tensors.
        shard_bytes: As in `save_hugging_face`.
    """
    from keras_llm.adapters import merged_copy

    model = merged_copy(model)
    write_shards(model, folder, family.weights, shard_bytes)
    text = json.dumps({**values, "dtype": _dtype_of(model)}, indent=2)
    write_text(folder / CONFIG_FILE, text + "\n")


def config_values(folder: Path) -> dict[str, Any]:
    """Returns what the config.json of a folder says.

    Raises:
        InputError: The folder or the file is not there, or is damaged.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "config.json").write_text('{"model_type": "gpt2"}')
    >>> config_values(folder)
    {'model_type': 'gpt2'}
    """
    if not folder.is_dir():
        raise InputError(
            f"Expected a local folder with {CONFIG_FILE}. Received: "
            f"{str(folder)!r}, which is no folder here. Names on the Hugging "
            "Face hub are not downloaded by this function but by zoo.load, "
            f"or with `hf download {folder} --local-dir FOLDER`."
        )
    if not (folder / CONFIG_FILE).is_file():
        raise InputError(
            f"Expected {CONFIG_FILE} in {folder}. "
            f"Received: {_names(folder.iterdir())}."
        )
    return read_json(folder / CONFIG_FILE)


def _is_ours(folder: Path) -> bool:
    names = {file.name for file in folder.iterdir()}
    return all(n == CONFIG_FILE or is_weight_file(n) for n in names)


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(sorted(path.name for path in paths)) or "nothing"


def _dtype_of(model: "Decoder") -> str:
    from keras import backend

    return backend.standardize_dtype(model.weights[0].dtype)
