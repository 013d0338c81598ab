"""Checkpoints from which a run continues exactly as if never interrupted.

One folder a checkpoint, written under a temporary name and renamed, so that
a kill or a full disk leaves the previous ones intact:

    checkpoints/step-00000200/
      model.safetensors      weights by variable path; averaged ones, if the
                             optimizer averages
      training.safetensors   in that case, the weights to go on training with
      optimizer.safetensors  moments and step counter by variable path
      state.json             step, dropout seeds, config, hashes, progress

Keras' own formats lose the state of dropout's seed generators, and its
`BackupAndRestore` restarts at the beginning of an epoch.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_llm.errors import InputError
from keras_llm.files import TEMPORARY, atomic_path, sha256_of
from keras_llm.train.arrays import arrays_of, matching_arrays, write_arrays
from keras_llm.train.ema import averaged, averages_of
from keras_llm.train.folder import config_of
from keras_llm.train.intact import checked
from keras_llm.train.state import STATE, State, best, checkpoints

MODEL, OPTIMIZER = "model.safetensors", "optimizer.safetensors"
TRAINING = "training.safetensors"
SEED = "seed_generator_state"


class Values(NamedTuple):
    """What a checkpoint is made of: arrays by file and path, and seeds."""

    arrays: dict[str, dict[str, np.ndarray]]
    seeds: list[list[int]]


def save(
    folder: str | os.PathLike, model: Any, optimizer: Any, **state: Any
) -> Path:
    """Writes `folder/step-XXXXXXXX`, whole or not at all.

    Args:
        folder: The run's folder of checkpoints; made if missing.
        model: Keras model (the decoder) whose weights and seeds to keep.
        optimizer: A built Keras optimizer.
        **state: Fields of `State`; `step` is required.

    Returns:
        The checkpoint's folder.

    Raises:
        OSError: The disk is full or the folder not writable; checkpoints
            that were there stay as they were.

    Example:

    >>> import keras, tempfile
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> optimizer = keras.optimizers.SGD()
    >>> optimizer.build(model.trainable_variables)
    >>> save(tempfile.mkdtemp(), model, optimizer, step=7).name
    'step-00000007'
    """
    return write(folder, values_of(model, optimizer), **state)


def values_of(model: Any, optimizer: Any, copy: bool = False) -> Values:
    """Returns what `write` puts into a checkpoint.

    Args:
        model, optimizer: As in `save`.
        copy: Whether the values may be written while training goes on; it
            takes the memory of weights and optimizer state once more.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> sorted(values_of(model, keras.optimizers.SGD()).arrays)
    ['model.safetensors', 'optimizer.safetensors']
    """
    seeds, weights = _split(model.variables)
    arrays = {}
    if averages_of(optimizer) is not None:
        arrays[TRAINING] = arrays_of(model.trainable_variables, copy)
    with averaged(model, optimizer):
        arrays[MODEL] = arrays_of(weights, copy)
    arrays[OPTIMIZER] = arrays_of(optimizer.variables, copy)
    return Values(arrays, [ops.convert_to_numpy(s).tolist() for s in seeds])


def write(folder: str | os.PathLike, values: Values, **state: Any) -> Path:
    """Writes a checkpoint of values; see `save`.

    Raises:
        OSError: As `save`.

    Example:

    >>> import tempfile
    >>> write(tempfile.mkdtemp(), Values({}, []), step=7).name
    'step-00000007'
    """
    path = Path(folder) / f"step-{state['step']:08d}"
    try:
        with atomic_path(path) as temporary:
            temporary.mkdir()
            for name, arrays in values.arrays.items():
                write_arrays(temporary / name, arrays)
            State(
                seeds=values.seeds,
                files={
                    file.name: sha256_of(file)
                    for file in sorted(temporary.iterdir())
                },
                **state,
            ).save(temporary / STATE)
    except OSError as error:
        raise OSError(
            error.errno,
            f"Could not write the checkpoint {path}: {error}. Older "
            "checkpoints are intact: make room on the disk and run the same "
            "command again to continue from the newest",
        ) from error
    return path


def restore(
    path: str | os.PathLike,
    model: Any,
    optimizer: Any = None,
    tokenizer: str | None = None,
) -> State:
    """Loads a checkpoint into a model of the same config, all or nothing.

    Args:
        path: A checkpoint's folder (`step-...`).
        model: The decoder; gets weights and dropout seeds.
        optimizer: A built optimizer; None loads the model only.
        tokenizer: Fingerprint the checkpoint must have been trained with;
            None skips that check.

    Returns:
        The checkpoint's `State`.

    Raises:
        Damaged: A file is missing or damaged (it is an InputError).
        InputError: The checkpoint is of another config, vocabulary,
            tokenizer or optimizer.

    Example:

    >>> import keras, tempfile
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> optimizer = keras.optimizers.SGD()
    >>> optimizer.build(model.trainable_variables)
    >>> path = save(tempfile.mkdtemp(), model, optimizer, step=7)
    >>> restore(path, model, optimizer).step
    7
    """
    path = Path(path)
    state = checked(path)
    _check_tokenizer(path, state, tokenizer)
    _check_config(path, state, model)
    seeds, weights = _split(model.variables)
    values = matching_arrays(path / MODEL, weights)
    if optimizer is not None:
        values += matching_arrays(path / OPTIMIZER, optimizer.variables)
        if TRAINING in state.files:
            values += matching_arrays(
                path / TRAINING, model.trainable_variables
            )
        if len(seeds) != len(state.seeds):
            raise InputError(
                f"Expected {len(state.seeds)} dropout layers, as in {path}. "
                f"Received: a model with {len(seeds)}. Build it with the "
                "same dropout."
            )
        values += list(zip(seeds, state.seeds, strict=True))
    for variable, value in values:
        variable.assign(np.asarray(value, variable.dtype))
    return state


def prune(folder: str | os.PathLike, keep: int) -> None:
    """Removes all but the newest `keep` checkpoints and the best one.

    Leftovers of a killed process are removed too.

    Example:

    >>> prune("no/such/folder", keep=2)
    """
    folder = Path(folder)
    kept = {best(folder), *checkpoints(folder)[-keep:]}
    for path in checkpoints(folder):
        if path not in kept:  # renamed first: never a half-removed checkpoint
            holder = tempfile.mkdtemp(prefix=TEMPORARY, dir=folder)
            os.rename(path, Path(holder) / path.name)
    for leftover in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(leftover)


def _check_tokenizer(path: Path, state: State, tokenizer: str | None) -> None:
    if tokenizer and state.tokenizer and tokenizer != state.tokenizer:
        raise InputError(
            f"Expected rows of the tokenizer {path} was trained with "
            f"(fingerprint {state.tokenizer[:12]}). Received: fingerprint "
            f"{tokenizer[:12]}. Tokenize again with the first tokenizer, or "
            "train into another folder."
        )


def _check_config(path: Path, state: State, model: Any) -> None:
    here = config_of(model)
    if state.config is None or here is None:
        return
    other = [
        f"{key}={state.config.get(key)!r} (the model has {here.get(key)!r})"
        for key in here
        if here.get(key) != state.config.get(key)
    ]
    if other:
        raise InputError(
            "Expected a checkpoint of the same config as the model. "
            f"Received: {path} with {', '.join(other)}. Build the model from "
            "the checkpoint's config, or train into another folder."
        )


def _split(variables: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """Seed generators, whose names count up in a process, and weights."""
    seeds = [v for v in variables if v.path.endswith(SEED)]
    return seeds, [v for v in variables if not v.path.endswith(SEED)]
