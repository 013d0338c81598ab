"""An adapter alone in a folder: safetensors and a config.

    adapter_model.safetensors   "block_0/attention/query/lora_a" and so on
    adapter_config.json         the `Lora`, the layers, a sample of the base

`keras_llm.zoo.save_peft` and `load_peft` do the same in the format of the
library `peft`.
"""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_llm.adapters.layers import (
    DEFAULT,
    base_kernel,
    check_new,
    dense_layers,
    lora_of,
)
from keras_llm.adapters.settings import Lora
from keras_llm.adapters.tensors import (
    CONFIG,
    FORMAT,
    Values,
    check_values,
    put_values,
    read_tensors,
    values_of,
    write_folder,
)
from keras_llm.errors import InputError
from keras_llm.files import read_json
from keras_llm.weights.table import listing

VERSION = 1
SAMPLE = 64  # values of the base that are compared
ALIKE = 0.9  # cosine of the samples; integers of 4 bits have 0.99


def save_adapter(
    model: keras.Model, folder: str | os.PathLike, name: str = DEFAULT
) -> None:
    """Writes one adapter of a model without the model, whole or not at all.

    Args:
        model: A model with this adapter.
        folder: A new or empty folder, or an earlier adapter, which is
            replaced as a whole.
        name: Name of the adapter.

    Raises:
        InputError: There is no such adapter, or the folder has other files.
        OSError: The disk is full or not writable.

    Example:

    >>> import tempfile
    >>> from keras_llm import DecoderConfig, build_decoder
    >>> from keras_llm.adapters import attach
    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> model, folder = build_decoder(config), tempfile.mkdtemp()
    >>> _ = attach(model)
    >>> save_adapter(model, folder)
    >>> load_adapter(model, folder, "again")
    >>> sorted(os.listdir(folder))
    ['adapter_config.json', 'adapter_model.safetensors']
    """
    values = values_of(model, name)
    tensors = {
        f"{path}/{key}": array
        for path, arrays in values.items()
        for key, array in arrays.items()
    }
    first = next(iter(values))
    config = {
        "format": FORMAT,
        "format_version": VERSION,
        "lora": lora_of(model, name).to_dict(),
        "layers": list(values),
        "base": {"layer": first, "values": _sample(model, first).tolist()},
    }
    write_folder(folder, tensors, config)


def load_adapter(
    model: keras.Model, folder: str | os.PathLike, name: str = DEFAULT
) -> None:
    """Puts what `save_adapter` wrote on a model, and switches it on.

    All is checked first: after an error the model is what it was.

    Args:
        model: The model it was trained on, or the same in integers.
        folder: The saved folder.
        name: What to call it on this model.

    Raises:
        InputError: The folder is no adapter or is damaged, a tensor is
            missing, unknown or of another shape, the base is another one, or
            the model has an adapter of this name.

    Example:

    >>> import tempfile
    >>> from keras_llm import DecoderConfig, build_decoder
    >>> from keras_llm.adapters import adapter_names, attach
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> folder = tempfile.mkdtemp()
    >>> _ = attach(model)
    >>> save_adapter(model, folder)
    >>> load_adapter(model, folder, "again")
    >>> adapter_names(model)
    ['default', 'again']
    """
    check_new(model, name)
    config, lora = _read_config(Path(folder))
    values: Values = {}
    for key, array in read_tensors(Path(folder), config).items():
        path, _, part = key.rpartition("/")
        values.setdefault(path, {})[part] = array
    check_values(model, lora, values, folder, config["layers"])
    _check_base(model, config["base"], folder)
    put_values(model, name, lora, values)


def _read_config(folder: Path) -> tuple[dict[str, Any], Lora]:
    """The config of a folder that `save_adapter` wrote, and its `Lora`."""
    if not (folder / CONFIG).is_file():
        raise InputError(
            f"Expected a folder with {CONFIG}, as adapters.save_adapter "
            f"writes it. Received: {folder} without."
        )
    config = read_json(folder / CONFIG)
    if "peft_type" in config:
        raise InputError(
            f"Expected an adapter written by adapters.save_adapter in "
            f"{folder}. Received: one in the format of peft. Load it with "
            "zoo.load_peft."
        )
    needed = {"lora", "layers", "base", "format_version"}
    if config.get("format") != FORMAT or not needed <= set(config):
        raise InputError(
            f"Expected {folder / CONFIG} as adapters.save_adapter writes it. "
            f"Received: a file without {listing(sorted(needed - set(config)))} "
            f'or with another format than "{FORMAT}". Save the adapter again.'
        )
    if config["format_version"] != VERSION:
        raise InputError(
            f"Expected format version {VERSION} in {folder}. Received: "
            f"{config['format_version']}. Update keras_llm to read it."
        )
    return config, Lora.from_dict(config["lora"])


def _sample(model: keras.Model, path: str) -> np.ndarray:
    """A few values of a layer's kernel without adapters."""
    flat = base_kernel(dense_layers(model)[path]).reshape(-1)
    places = np.linspace(0, flat.size - 1, min(SAMPLE, flat.size)).astype(int)
    return flat[places]


def _check_base(
    model: keras.Model, base: dict[str, Any], folder: str | os.PathLike
) -> None:
    """Refuses a model whose kernels point in other directions."""
    here = _sample(model, base["layer"])
    there = np.asarray(base["values"], "float32")
    sizes = np.linalg.norm(here) * np.linalg.norm(there)
    if here.shape != there.shape or here @ there < ALIKE * sizes:
        raise InputError(
            f"Expected the model that the adapter in {folder} was trained "
            f"on. Received: one with other numbers in {base['layer']}. Load "
            "that model first: an adapter means nothing on another one."
        )
