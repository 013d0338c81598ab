"""Rows in memory: the sets that models are tuned on are small."""

import functools
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_llm.data.arrays import Batch, taken
from keras_llm.errors import InputError

NEEDED = ("tokens", "positions", "segments")


class ArrayRows:
    """Rows as arrays, which `train.fit` takes like packed rows from a disk.

    Beside what the decoder reads they may hold what a loss needs, such as
    the log-probabilities of a reference model.

    Args:
        inputs: Arrays with one row first: int32 "tokens", "positions" and
            "segments" `(rows, time)` as in `training_arrays`, and others.
        targets: `(rows, n)`: int32 next tokens or classes, float32 labels.
        weights: float32 of the same shape; 0 leaves a target out. Default:
            all ones.
        tokenizer: Fingerprint of the tokenizer, if one is to be required.
        name: What an error calls these rows.

    Raises:
        InputError: An array is missing, or they have different lengths.

    Example:

    >>> tokens = np.array([[5, 6, 7], [8, 9, 0]], "int32")
    >>> segments = (tokens > 0).astype("int32")
    >>> rows = ArrayRows({"tokens": tokens, "segments": segments,
    ...     "positions": np.arange(3) * segments}, np.array([[0], [1]]))
    >>> len(rows), rows.time, rows.context_length
    (2, 3, 3)
    >>> inputs, targets, weights = rows.batch(np.array([1]))
    >>> inputs["tokens"].tolist(), targets.tolist(), weights.tolist()
    ([[8, 9, 0]], [[1]], [[1.0]])
    """

    ordered = False  # as of `Rows`

    def __init__(
        self,
        inputs: Mapping[str, Any],
        targets: Any,
        weights: Any = None,
        tokenizer: str | None = None,
        name: str = "rows in memory",
    ):
        self.inputs = {key: _small(value) for key, value in inputs.items()}
        self.targets = _small(targets)
        if weights is None:
            weights = np.ones(self.targets.shape)
        self.weights = np.asarray(weights, np.float32)
        self.tokenizer, self.name = tokenizer, name
        self._check()

    def _check(self) -> None:
        missing = [name for name in NEEDED if name not in self.inputs]
        arrays = {**self.inputs, "targets": self.targets}
        lengths = {name: len(array) for name, array in arrays.items()}
        if missing or len({*lengths.values(), len(self.weights)}) != 1:
            raise InputError(
                f"Expected arrays {', '.join(NEEDED)}, targets and weights "
                f"with one row each. Received: {lengths}, weights: "
                f"{len(self.weights)}."
            )
        if self.targets.ndim != 2 or self.weights.shape != self.targets.shape:
            raise InputError(
                "Expected targets and weights of one shape (rows, n). "
                f"Received: {self.targets.shape} and {self.weights.shape}."
            )

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.targets)

    @property
    def time(self) -> int:
        """Returns how many tokens a row has, padding counted."""
        return self.inputs["tokens"].shape[1]

    @functools.cached_property
    def context_length(self) -> int:
        """Returns how many positions a model needs for these rows."""
        return int(self.inputs["positions"].max(initial=-1)) + 1

    @functools.cached_property
    def vocabulary_size(self) -> int:
        """Returns the smallest vocabulary that has all ids."""
        return int(self.inputs["tokens"].max(initial=-1)) + 1

    @functools.cached_property
    def fingerprint(self) -> str:
        """Returns a hash of all content, 64 hexadecimal digits."""
        digest = hashlib.sha256(str(self.tokenizer).encode())
        arrays = {**self.inputs, "": self.targets, "weights": self.weights}
        for name, array in sorted(arrays.items()):
            digest.update(f"{name}{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def batch(self, indices: np.ndarray) -> Batch:
        """Returns the arrays of the rows at `indices`; -1 is an empty row."""
        inputs = {n: taken(array, indices) for n, array in self.inputs.items()}
        return (
            inputs,
            taken(self.targets, indices),
            taken(self.weights, indices),
        )

    def require(self, tokenizer: Any) -> None:
        """Checks that `tokenizer` is the one that made these rows.

        Raises:
            InputError: Its fingerprint is another.
        """
        if self.tokenizer not in (None, tokenizer.fingerprint):
            raise InputError(
                f"Expected the tokenizer of the {self.name} (fingerprint "
                f"{self.tokenizer}). Received: another one (fingerprint "
                f"{tokenizer.fingerprint}). Make the rows with the model's."
            )

    def with_inputs(self, **arrays: Any) -> "ArrayRows":
        """Returns the same rows with more inputs.

        Args:
            **arrays: By name, one row first.
        """
        return ArrayRows(
            {**self.inputs, **arrays},
            *(self.targets, self.weights, self.tokenizer, self.name),
        )

    def take(self, indices: Any) -> "ArrayRows":
        """Returns some of the rows, in the order of `indices`."""
        inputs, targets, weights = self.batch(np.asarray(indices, np.int64))
        return ArrayRows(inputs, targets, weights, self.tokenizer, self.name)


def _small(values: Any) -> np.ndarray:
    """Integers as int32, everything else as float32."""
    array = np.asarray(values)
    whole = np.issubdtype(array.dtype, np.integer) or array.dtype == bool
    return array.astype(np.int32 if whole else np.float32, copy=False)
