"""The arrays of an adapter: taken, checked, put on a model, in a file."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_llm.adapters.attach import activate, put_on
from keras_llm.adapters.layers import active, dense_layers, layers_of
from keras_llm.adapters.settings import Lora
from keras_llm.errors import InputError
from keras_llm.files import holds_only, new_folder, sha256_of
from keras_llm.weights.table import listing

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
A, B, MAGNITUDE = "lora_a", "lora_b", "lora_magnitude"
FORMAT = "keras_llm adapter"

Values = dict[str, dict[str, np.ndarray]]
"""Path of a layer -> "lora_a", "lora_b", "lora_magnitude" -> array."""


def values_of(model: keras.Model, name: str) -> Values:
    """Returns an adapter's arrays by layer.

    Raises:
        InputError: There is no such adapter.

    Example:

    >>> from keras_llm.adapters import attach
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> [path] = attach(model, Lora(targets=("all-linear",)))
    >>> sorted(values_of(model, "default")[path])
    ['lora_a', 'lora_b']
    """
    values: Values = {}
    for path, layer in layers_of(model, name).items():
        adapter = layer.adapters[name]
        named = {A: adapter.a, B: adapter.b, MAGNITUDE: adapter.magnitude}
        values[path] = {
            key: np.array(ops.convert_to_numpy(variable))
            for key, variable in named.items()
            if variable is not None
        }
    return values


def version(model: keras.Model) -> str:
    """Returns the active adapter's name with a hash of its values, or "".

    Example:

    >>> version(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
    ''
    """
    name = active(model)
    if name is None:
        return ""
    digest = hashlib.sha256()
    for path, arrays in sorted(values_of(model, name).items()):
        for key, array in sorted(arrays.items()):
            digest.update(f"{path}/{key}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return f"{name}-{digest.hexdigest()[:8]}"


def put_values(
    model: keras.Model, name: str, lora: Lora, values: Values
) -> None:
    """Puts an adapter of these values on a model, and switches it on.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> [path] = dense_layers(model)
    >>> put_values(model, "mine", Lora(rank=1), {path: {
    ...     "lora_a": np.ones((2, 1)), "lora_b": np.ones((1, 1))}})
    >>> len(model.trainable_variables)
    2
    """
    known = dense_layers(model)
    put_on(model, {path: known[path] for path in values}, name, lora)
    for path, arrays in values.items():
        adapter = known[path].adapters[name]
        for key, variable in ((A, adapter.a), (B, adapter.b)):
            variable.assign(arrays[key])
        if adapter.magnitude is not None:
            adapter.magnitude.assign(arrays[MAGNITUDE])
    activate(model, name)


def check_values(
    model: keras.Model,
    lora: Lora,
    values: Values,
    folder: str | os.PathLike,
    layers: list[str] | None = None,
) -> None:
    """Makes sure that an adapter's arrays fit a model, or says what does not.

    Args:
        model: The model.
        lora: The adapter's settings.
        values: Its arrays.
        folder: Where they are from, for the message.
        layers: The layers that it must have. Default: those of `values`.

    Raises:
        InputError: A layer or an array is missing or unknown, has another
            shape, or is not finite.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> check_values(model, Lora(), {"other": {}}, "folder")
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected in folder an adapter for layers of...
    """
    known = dense_layers(model)
    wanted = set(values) if layers is None else set(layers)
    if unknown := sorted((wanted | set(values)) - set(known)):
        raise InputError(
            f"Expected in {folder} an adapter for layers of this model. "
            f"Received one for: {listing(unknown)}, which it does not have. "
            "Load the model that the adapter was trained on."
        )
    problems = []
    for path in sorted(wanted | set(values)):
        shapes = _shapes(known[path], lora)
        found = values.get(path, {})
        odd = set(shapes) ^ set(found) if path in wanted else set(found)
        problems += [
            f"{path}/{key} is {'unknown' if key in found else 'missing'}"
            for key in sorted(odd)
        ]
        problems += [
            f"{path}/{key} is {found[key].shape} instead of {shape}"
            for key, shape in shapes.items()
            if key in found and found[key].shape != shape
        ]
        problems += [
            f"{path}/{key} is not finite"
            for key, array in found.items()
            if not np.isfinite(array.astype("float32")).all()
        ]
    if problems:
        raise InputError(
            f"Expected in {folder} the tensors of an adapter of rank "
            f"{lora.rank} for this model. Received: {listing(problems)}. "
            "Copy or download the folder again, or load the model that it "
            "was trained on."
        )


def write_folder(
    folder: str | os.PathLike,
    tensors: Mapping[str, np.ndarray],
    config: Mapping[str, Any],
) -> None:
    """Writes an adapter's two files, whole or not at all.

    Raises:
        InputError: The folder has other files.
        OSError: The disk is full or not writable.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> write_folder(folder, {"a": np.ones(2)}, {"r": 1})
    >>> float(read_tensors(Path(folder), {})["a"][0])
    1.0
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    whole = {name: np.ascontiguousarray(a) for name, a in tensors.items()}
    with new_folder(folder, holds_only({CONFIG, TENSORS})) as temporary:
        file = temporary / TENSORS
        try:
            save_file(whole, file, {"format": "pt"})
        except SafetensorError as error:
            raise OSError(f"{file} could not be written: {error}") from error
        own = dict(config)
        if own.get("format") == FORMAT:
            own["sha256"] = sha256_of(file)
        text = json.dumps(own, indent=2) + "\n"
        (temporary / CONFIG).write_text(text, encoding="utf-8")


def read_tensors(
    folder: Path, config: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Returns the tensors of an adapter's folder.

    Args:
        folder: The folder.
        config: Its config; a "sha256" in it must be the file's.

    Raises:
        InputError: The file is missing, truncated or changed.

    Example: see `write_folder`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = folder / TENSORS
    if not file.is_file():
        raise InputError(
            f"Expected {TENSORS} in {folder}. Received: no such file. Other "
            "formats (.bin) are not read: they can run code when opened."
        )
    try:
        tensors = load_file(file)
    except SafetensorError as error:
        raise InputError(
            f"Expected a whole safetensors file at {file}. Received: "
            f"{error}. Copy or download it again."
        ) from error
    if config.get("sha256", "") not in ("", sha256_of(file)):
        raise InputError(
            f"Expected {file} as it was saved. Received: a file with another "
            "SHA-256: it was changed. Restore it, or save the adapter again."
        )
    return tensors


def _shapes(layer: Any, lora: Lora) -> dict[str, tuple]:
    """The shapes of an adapter's arrays on a layer."""
    integers = getattr(layer, "integers", None)
    inputs, outputs = (integers or layer._kernel).shape
    shapes: dict[str, tuple] = {
        A: (inputs, lora.rank),
        B: (lora.rank, outputs),
    }
    return {**shapes, MAGNITUDE: (outputs,)} if lora.dora else shapes
