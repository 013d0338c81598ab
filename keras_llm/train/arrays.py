"""Variables to and from safetensors files, by path."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from keras_llm.errors import InputError
from keras_llm.train.whole import whole_value


def arrays_of(
    variables: Iterable[Any], copy: bool = False
) -> dict[str, np.ndarray]:
    """Returns the values of Keras variables by path; see `whole_value`.

    Args:
        variables: Keras variables.
        copy: Whether the values stay as they are when the variables change.

    Example: see `write_arrays`.
    """
    values = {
        path: whole_value(variable)
        for path, variable in _named(variables).items()
    }
    if copy:
        values = {path: np.array(value) for path, value in values.items()}
    return values


def write_arrays(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays under their names.

    Raises:
        OSError: The disk is full or the folder not writable.

    Example:

    >>> import keras, tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.safetensors"
    >>> weight = keras.Variable([1.0, 2.0], name="weight")
    >>> write_arrays(file, arrays_of([weight]))
    >>> weight.assign([0.0, 0.0]) is None
    False
    >>> [(v, a)] = matching_arrays(file, [weight])
    >>> a.tolist()
    [1.0, 2.0]
    """
    try:
        save_file(dict(arrays), file)
    except SafetensorError as error:
        raise OSError(f"{file} could not be written: {error}") from error


def matching_arrays(
    file: Path, variables: Iterable[Any]
) -> list[tuple[Any, np.ndarray]]:
    """Returns pairs of variable and stored array; none may be left over.

    Raises:
        InputError: A variable is missing, unknown, or of another shape.

    Example: see `write_arrays`.
    """
    stored, wanted = load_file(file), _named(variables)
    missing = sorted(set(wanted) - set(stored))
    extra = sorted(set(stored) - set(wanted))
    if missing or extra:
        raise InputError(
            f"Expected {file} to hold {len(wanted)} variables of this model "
            "or optimizer. Received: "
            + " and ".join(
                _list(names, word)
                for names, word in ((missing, "missing"), (extra, "unknown"))
                if names
            )
            + ". Build the same model and optimizer."
        )
    for name, variable in wanted.items():
        if tuple(variable.shape) != stored[name].shape:
            raise InputError(
                f"Expected {name} with shape {tuple(variable.shape)}. "
                f"Received: {stored[name].shape} in {file}. Build the model "
                "with the same sizes and vocabulary."
            )
    return [(variable, stored[name]) for name, variable in wanted.items()]


def _list(names: list[str], word: str) -> str:
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} {word} ({shown})"


def _named(variables: Iterable[Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for variable in variables:
        path, count = variable.path, 2
        while path in named:
            path, count = f"{variable.path}#{count}", count + 1
        named[path] = variable
    return named
