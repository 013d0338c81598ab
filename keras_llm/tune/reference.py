"""Log-probabilities of a reference model, computed once and kept on disk."""

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np
from keras import ops

from keras_llm.adapters import adapter_names, adapter_off
from keras_llm.adapters.layers import check_unmerged
from keras_llm.adapters.lora import LoraAdapter
from keras_llm.data.array_rows import ArrayRows
from keras_llm.errors import InputError
from keras_llm.files import atomic_path
from keras_llm.progress import track
from keras_llm.train.objective import decoder_part
from keras_llm.tune.preference_losses import answer_log_probabilities

FORMAT = "1"  # of what the numbers mean; another makes caches old
DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile)


def with_reference(
    rows: ArrayRows,
    model: Any,
    batch_size: int = 8,
    cache: str | os.PathLike | None = None,
    any_weights: bool = False,
) -> ArrayRows:
    """Returns rows with the reference's log-probabilities of both answers.

    They never change while another model is tuned, so one pass is enough and
    the reference need not stay in memory. Of a model with LoRA adapters the
    reference is the base, with the adapters off. Dropout is off.

    Args:
        rows: From `pair_rows` or `kto_rows`.
        model: The reference: a decoder from `build_decoder`.
        batch_size: Rows scored at a time.
        cache: File (.npz) to keep them in, for the next call with the same
            rows and weights. One of other rows or weights, or a damaged one,
            is written anew, which a line on standard error says.
        any_weights: Take the cache for these rows whatever the weights are
            by now: a run that goes on has begun with it. Default: False.

    Returns:
        The rows with `inputs["reference"]`, float32 `(rows, 2)`: natural
        logarithms summed over the tokens of an answer.

    Raises:
        InputError: The adapter of the model is merged, or the cache is a
            folder.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> from keras_llm.tune import Pair, exchange, pair_rows
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> rows = pair_rows([Pair(exchange("a"), "b", "cd")], tokenizer, "plain",
    ...                  context_length=8)
    >>> model = build_decoder(DecoderConfig(vocabulary_size=261,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> with_reference(rows, model).inputs["reference"].shape
    (1, 2)
    """
    path = None if cache is None else Path(cache)
    if path is not None and path.is_dir():
        raise InputError(
            f"Expected a file for the cache. Received: the folder {path}. "
            "Name a file in it, such as reference.npz."
        )
    found, key = None, ""
    if path is not None:
        key = f"{weights_digest(model)}-{model.compute_dtype}"
        found = _cached(path, rows, None if any_weights else key)
    if found is None:
        found = _computed(rows, model, batch_size)
        if path is not None:
            _write(path, rows, key, found)
    return rows.with_inputs(reference=found)


def same_model(model: Any) -> Any:
    """Returns a copy of a decoder with weights of its own.

    Adapters are copied with it, and what is frozen stays frozen.

    Args:
        model: A decoder from `build_decoder`.

    Raises:
        InputError: It has a merged adapter.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> copy = same_model(model)
    >>> bool(ops.all(copy.weights[0] == model.weights[0]))
    True
    """
    check_unmerged(model)
    copy = type(model).from_config(model.get_config())
    values = {variable.path: variable for variable in model.weights}
    for variable in copy.weights:
        variable.assign(values[variable.path])
        if not values[variable.path].trainable:
            variable.trainable = False
    return copy


def base_model(model: Any) -> contextlib.AbstractContextManager[None]:
    """Returns a context in which a model with adapters is its base.

    Example:

    >>> with base_model(keras.Sequential()):
    ...     pass
    """
    return (
        adapter_off(model)
        if adapter_names(model)
        else (contextlib.nullcontext())
    )


def weights_digest(model: Any) -> str:
    """Returns a hash of a model's weights without adapters, 64 digits.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> before = weights_digest(model)
    >>> model.weights[1].assign([1.0]) is None
    False
    >>> weights_digest(model) == before
    False
    """
    added = {
        id(variable)
        for layer in model._flatten_layers()
        if isinstance(layer, LoraAdapter)
        for variable in layer.variables
    }
    digest = hashlib.sha256(FORMAT.encode())
    for variable in model.weights:
        if id(variable) not in added:
            value = np.asarray(ops.convert_to_numpy(variable))
            about = f"{variable.path}{value.shape}{value.dtype}"
            digest.update(about.encode())
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _computed(rows: ArrayRows, model: Any, batch_size: int) -> np.ndarray:
    with base_model(model):
        score = _scorer(model)
        parts = [
            score(rows.batch(np.arange(at, min(at + batch_size, len(rows)))))
            for at in track(
                range(0, len(rows), batch_size),
                "reference",
                -(-len(rows) // batch_size),
            )
        ]
    return np.concatenate(parts)


def _scorer(model: Any) -> Callable[[tuple], np.ndarray]:
    """From a batch to `(rows, 2)`; compiled where TensorFlow runs."""

    def sums(inputs: Any, targets: Any, weights: Any) -> Any:
        logits = model(decoder_part(inputs), training=False)
        return answer_log_probabilities(
            logits, targets, weights, inputs["segments"]
        )[0]

    function: Any = sums
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        function = tf.function(sums, autograph=False, reduce_retracing=True)

    def score(batch: tuple) -> np.ndarray:
        batch = keras.tree.map_structure(ops.convert_to_tensor, batch)
        return np.asarray(ops.convert_to_numpy(function(*batch)), np.float32)

    return score


def _cached(path: Path, rows: ArrayRows, key: str | None) -> np.ndarray | None:
    """The numbers of an earlier call for these rows; None if there are none.

    The file is only a copy of what can be computed again.
    """
    if not path.exists():
        return None
    try:
        with open(path, "rb") as file, np.load(file) as held:
            known, weights = str(held["rows"]), str(held["weights"])
            found = held["reference"]
    except DAMAGED as error:
        _say(f"{path} is damaged ({error})")
        return None
    if known != rows.fingerprint or found.shape != (len(rows), 2):
        _say(f"{path} is for other rows")
        return None
    if key not in (None, weights):
        _say(f"{path} is for other weights")
        return None
    return found


def _say(reason: str) -> None:
    print(f"The reference is computed again: {reason}.", file=sys.stderr)


def _write(path: Path, rows: ArrayRows, key: str, found: np.ndarray) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, rows=rows.fingerprint, weights=key, reference=found)
