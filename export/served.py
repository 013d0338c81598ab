"""A loaded SavedModel that answers requests in TensorFlow Serving's shapes."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_llm.errors import InputError
from keras_llm.export.saved_model_export import versions
from keras_llm.sampling import GenerationSettings

DEFAULT_SIGNATURE = "serving_default"


class ServedModel:
    """The newest version of an exported model, ready for requests.

    Args:
        path: The folder of versions that `saved_model` wrote to, or one
            version in it.

    Attributes:
        name: The name of the folder of versions.
        version: The version's number.

    Raises:
        InputError: No SavedModel of this library is there.

    Example:

    >>> ServedModel("nowhere")
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected a SavedModel written by ...
    """

    def __init__(self, path: str | os.PathLike):
        folder = _newest(Path(path).resolve())
        self.name, self.version = folder.parent.name, int(folder.name)
        # Kept, or the variables of its functions would be deleted.
        self._loaded = _load(folder)
        self._signatures = self._loaded.signatures
        if not {DEFAULT_SIGNATURE, "generate"} <= self._signatures.keys():
            raise InputError(
                "Expected a SavedModel written by keras_llm.export.saved_model "
                f"in {folder}. Received: one with the signatures "
                f"{sorted(self._signatures)}."
            )

    def inputs(self, signature: str = DEFAULT_SIGNATURE) -> dict[str, Any]:
        """Returns the tensor specs of a signature's inputs by name.

        Raises:
            InputError: There is no such signature.
        """
        if signature not in list(self._signatures):
            raise InputError(
                "Expected signature_name to be one of "
                f"{', '.join(sorted(self._signatures))}. "
                f"Received: {signature!r}."
            )
        specs = self._signatures[signature].structured_input_signature[1]
        return dict(sorted(specs.items()))

    def predict(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answers a request of TensorFlow Serving's REST interface.

        Args:
            request: Has `instances`, a list with one entry for each row (a
                value where the signature has one input, an object by input
                name otherwise), or `inputs`, one list for each input; and
                maybe `signature_name`.

        Returns:
            `{"predictions": ...}` or `{"outputs": ...}`, row by row or
            column by column as the request was.

        Raises:
            InputError: The request is not of this form.
        """
        name = request.get("signature_name", DEFAULT_SIGNATURE)
        specs = self.inputs(name)
        given = [key for key in ("instances", "inputs") if key in request]
        if len(given) != 1:
            raise InputError(
                'Expected {"instances": [...]} or {"inputs": ...}. Received '
                f"the keys: {', '.join(request) or 'none'}."
            )
        by_row = given == ["instances"]
        read = _columns_of_rows if by_row else _columns
        found = self.run(name, read(request[given[0]], list(specs)))
        if not by_row:
            return {"outputs": _bare(found)}
        rows = zip(*found.values(), strict=True)
        names = list(found)
        return {
            "predictions": [
                _bare(dict(zip(names, row, strict=True))) for row in rows
            ]
        }

    def generate(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Continues one prompt.

        Args:
            request: Has `prompt`, and maybe settings: `max_new_tokens`,
                `temperature`, `top_k`, `top_p`, `min_p`, `seed`.

        Returns:
            `text`, `num_tokens`, `prompt_tokens`, `finish_reason`.

        Raises:
            InputError: A key is unknown or a value out of range.
        """
        settings = {k: v for k, v in request.items() if k != "prompt"}
        known = [name for name in self.inputs("generate") if name != "prompt"]
        if not isinstance(request.get("prompt"), str):
            raise InputError(
                'Expected {"prompt": "..."} with a string. Received: '
                f"{request.get('prompt')!r:.60}."
            )
        if not settings.keys() <= set(known):
            raise InputError(
                f"Expected beside the prompt only {', '.join(known)}. "
                f"Received: {', '.join(settings)}."
            )
        values = GenerationSettings.from_dict(settings).to_dict()
        columns = {name: [values[name]] for name in known}
        found = self.run("generate", columns | {"prompt": [request["prompt"]]})
        del found["tokens"]
        return {name: rows[0] for name, rows in found.items()}

    def run(
        self, signature: str, columns: Mapping[str, Sequence]
    ) -> dict[str, list]:
        """Runs a signature on lists of rows; returns lists of rows.

        Raises:
            InputError: A column is missing or unknown, has values of another
                type, or the model refuses them.
        """
        specs = self.inputs(signature)
        if columns.keys() != specs.keys():
            raise InputError(
                f"Expected the inputs {', '.join(specs)}. Received: "
                f"{', '.join(columns) or 'none'}."
            )
        tensors = {k: _tensor(k, v, specs[k]) for k, v in columns.items()}
        if len({len(tensor) for tensor in tensors.values()}) > 1:
            raise InputError(
                "Expected as many values for each input. Received: "
                + ", ".join(f"{len(t)} for {k}" for k, t in tensors.items())
                + "."
            )
        try:
            found = self._signatures[signature](**tensors)
        except tf.errors.InvalidArgumentError as error:
            raise InputError(
                "Expected values that the model can compute with. Received: "
                f"{error.message.splitlines()[0]}"
            ) from error
        return {name: _rows(tensor) for name, tensor in found.items()}


def _newest(path: Path) -> Path:
    """The folder of a version's `saved_model.pb`."""
    found = versions(path)
    folder = path / str(found[-1]) if found else path
    if not (folder / "saved_model.pb").is_file() or not folder.name.isdecimal():
        raise InputError(
            "Expected a SavedModel written by keras_llm.export.saved_model: "
            f"a folder with numbered versions. Received: {path}, which "
            + ("has none." if path.is_dir() else "does not exist.")
        )
    return folder


def _load(folder: Path) -> Any:
    try:
        return tf.saved_model.load(str(folder))
    # IndexError: the file of variables is shorter than its index says.
    except (OSError, ValueError, IndexError, tf.errors.OpError) as error:
        raise InputError(
            f"Expected a SavedModel that TensorFlow can load in {folder}. "
            f"Received: a damaged one ({str(error).splitlines()[0]}). Export "
            "the model again."
        ) from error


def _columns_of_rows(rows: Any, names: list[str]) -> dict[str, list]:
    if not isinstance(rows, list) or not rows:
        raise InputError(
            "Expected instances to be a list of at least one row. Received: "
            f"{rows!r:.60}."
        )
    if len(names) == 1 and not any(isinstance(row, dict) for row in rows):
        return {names[0]: rows}
    for row in rows:
        if not isinstance(row, dict) or row.keys() != set(names):
            raise InputError(
                "Expected every instance to be an object with the inputs "
                f"{', '.join(names)}. Received: {row!r:.60}."
            )
    return {name: [row[name] for row in rows] for name in names}


def _columns(inputs: Any, names: list[str]) -> dict[str, list]:
    columns = inputs if isinstance(inputs, dict) else {names[0]: inputs}
    for name, column in columns.items():
        if not isinstance(column, list) or not column:
            raise InputError(
                f"Expected {name} to be a list of at least one row. "
                f"Received: {column!r:.60}."
            )
    return columns


def _tensor(name: str, values: Sequence, spec: Any) -> Any:
    """A tensor of the values; nothing is rounded or spelled on the way."""
    kind, given = spec.dtype, np.array(values, dtype=object)
    words, types = {
        tf.string: ("strings", {str}),
        tf.float32: ("numbers", {int, float}),
    }.get(kind, ("integers", {int}))
    if given.ndim != spec.shape.rank or not set(map(type, given.flat)) <= types:
        shape = "a list" if spec.shape.rank == 1 else "rows of equal length"
        raise InputError(
            f"Expected {name} to be {shape} of {words}. "
            f"Received: {values!r:.60}."
        )
    if kind == tf.string and not all(map(_has_bytes, given.flat)):
        raise InputError(
            f"Expected {name} in characters that UTF-8 knows. Received: half "
            f"of a surrogate pair in {values!r:.60}."
        )
    if kind.is_integer and given.size:
        least, most = min(given.flat), max(given.flat)
        if least < kind.min or most > kind.max:
            raise InputError(
                f"Expected {name} between {kind.min} and {kind.max}. "
                f"Received: {least if least < kind.min else most}."
            )
    return tf.constant(values, kind, shape=given.shape)


def _has_bytes(text: str) -> bool:
    """JSON can spell what is no character, for example half of a pair."""
    try:
        return text.encode("utf-8") is not None
    except UnicodeEncodeError:
        return False


def _rows(tensor: Any) -> list:
    rows = tensor.numpy().tolist()
    if tensor.dtype == tf.string:
        return [row.decode("utf-8") for row in rows]
    return rows


def _bare(values: dict[str, Any]) -> Any:
    """One output stands alone, several stay an object: as the server does."""
    return values if len(values) > 1 else next(iter(values.values()))
