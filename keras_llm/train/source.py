"""Where batches come from: rows, a `tf.data.Dataset`, or what makes them."""

from typing import Any, NamedTuple

import keras

from keras_llm.data import ArrayRows, Rows, row_dataset
from keras_llm.data.service import is_served
from keras_llm.errors import InputError

ROWS = (Rows, ArrayRows)


class Source(NamedTuple):
    """Rows or a dataset with the shape of its batches.

    Args:
        data: Rows, a `tf.data.Dataset`, or an object that makes batches
            (see `open_source`).
        batch_size: Rows in a batch.
        time: Tokens in a row.
        fingerprint: Hash of the rows' content, or None for a dataset.
        tokenizer: Fingerprint of the rows' tokenizer, or None.
        sizes: Of batches that grow, see `data.row_dataset`. Default: none.
        prefetch: Batches made ahead; None lets `tf.data` decide.

    Example:

    >>> Source(None, 8, 256, None, None).batch_size
    8
    """

    data: Any
    batch_size: int
    time: int
    fingerprint: str | None
    tokenizer: str | None
    sizes: tuple[tuple[int, int], ...] = ()
    prefetch: int | None = None

    def batches(
        self, seed: int, start_step: int, part: int = 0, parts: int = 1
    ) -> Any:
        """Returns endless batches, from the one that step `start_step` sees.

        A dataset of one's own is repeated, and must give the same order each
        time for a resumed run to see the same rows. Of each batch one of
        `parts` equal parts is given.
        """
        if isinstance(self.data, ROWS):
            return row_dataset(
                self.data,
                self.batch_size,
                seed=seed,
                start_step=start_step,
                part=part,
                parts=parts,
                sizes=self.sizes,
                prefetch=self.prefetch,
            )
        if hasattr(self.data, "batches_from") and parts == 1:
            return self.data.batches_from(start_step, seed)
        if self.sizes:
            raise InputError(
                "Expected packed rows (data.open_rows) for batches that grow. "
                "Received: a dataset, whose batches have one size. Leave out "
                "ramp_steps and ramp_from."
            )
        data = _part_of(self.data.repeat().skip(start_step), part, parts)
        return data if self.prefetch is None else data.prefetch(self.prefetch)

    def once(self, part: int = 0, parts: int = 1) -> Any:
        """Returns every row once, in order, for validation."""
        if isinstance(self.data, ROWS):
            return row_dataset(
                self.data,
                self.batch_size,
                epochs=1,
                shuffle=False,
                part=part,
                parts=parts,
            )
        # A last batch of its own size would be compiled anew on JAX.
        full = keras.backend.backend() == "jax"
        return _part_of(self.data, part, parts, self.batch_size * full)


def open_source(
    data: Any,
    model: keras.Model,
    batch_size: int | None,
    tokenizer: Any = None,
) -> Source:
    """Checks that data and model fit each other.

    Args:
        data: `Rows`, `ArrayRows`, a dataset of `(inputs, targets, weights)`
            batches, or an object that makes batches as training goes on, in
            one process: `batches_from(step, seed)` gives an endless dataset;
            `batch_size`, `time`, `context_length` and `fingerprint` say what
            is in it.
        model: The decoder.
        batch_size: Rows in a batch; a dataset must have this size. None
            takes a dataset's batches as they are.
        tokenizer: If given, the rows must have been made with it.

    Raises:
        InputError: The data are empty, have fewer rows than a batch, longer
            rows or more ids than the model, or another tokenizer.

    Example:

    >>> open_source([1, 2], keras.Sequential(), 2)
    Traceback (most recent call last):
        ...
    keras_llm.errors.InputError: Expected packed rows (data.open_rows) or a \
tf.data.Dataset of (inputs, targets, weights). Received: list.
    """
    if isinstance(data, ROWS):
        source = _from_rows(data, batch_size or 1, tokenizer)
        _check_vocabulary(data, model)
        _check_context(data.context_length, model)
    elif hasattr(data, "batches_from"):
        _check_size(data.batch_size, batch_size)
        source = Source(
            *(data, data.batch_size, data.time, data.fingerprint, None)
        )
        _check_context(data.context_length, model)
    elif hasattr(data, "element_spec"):
        source = _from_dataset(data, batch_size)
        _check_context(source.time, model)
    else:
        raise InputError(
            "Expected packed rows (data.open_rows) or a tf.data.Dataset of "
            f"(inputs, targets, weights). Received: {type(data).__name__}."
        )
    return source


def open_validation(
    data: Any,
    model: keras.Model,
    batch_size: int,
    tokenizer: Any = None,
) -> Source:
    """As `open_source`, for data of any size that are scored once.

    Raises:
        InputError: As `open_source`.

    Example: see `open_source`.
    """
    size: int | None = None
    if isinstance(data, ROWS):
        size = min(batch_size, max(len(data), 1))
    return open_source(data, model, size, tokenizer)


def _from_rows(rows: Any, batch_size: int, tokenizer: Any) -> Source:
    if len(rows) < batch_size:
        raise InputError(
            f"Expected at least batch_size={batch_size} rows. Received: "
            f"{len(rows)} in {rows.name}. Lower batch_size, "
            "pack shorter rows, or add text."
        )
    if tokenizer is not None:
        rows.require(tokenizer)
    return Source(rows, batch_size, rows.time, rows.fingerprint, rows.tokenizer)


def _from_dataset(dataset: Any, batch_size: int | None) -> Source:
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise InputError(
            "Expected a dataset of (inputs, targets, weights) batches. "
            f"Received: elements {spec}."
        )
    if int(dataset.cardinality()) == 0:
        raise InputError(
            "Expected a dataset with at least one batch. Received: an empty "
            "one. Lower its batch size or add text."
        )
    shape = spec[1].shape
    if shape.rank != 2 or shape[1] is None or (batch_size and not shape[0]):
        raise InputError(
            "Expected targets of known shape (batch, time). Received: "
            f"{shape}. Batch with drop_remainder=True."
        )
    _check_size(shape[0], batch_size)
    return Source(dataset, batch_size or 0, shape[1], None, None)


def _check_size(size: int | None, batch_size: int | None) -> None:
    if batch_size is not None and size != batch_size:
        raise InputError(
            f"Expected batches of batch_size={batch_size} rows. Received: a "
            f"dataset of batches of {size}. Pass batch_size={size}."
        )


def _part_of(dataset: Any, part: int, parts: int, least: int = 0) -> Any:
    """One of equal parts of every batch; empty rows fill up the last ones.

    Batches of less than `least` rows are filled up to them.
    """
    if parts == 1 and not least:
        return dataset
    if parts > 1 and is_served(dataset):
        raise InputError(
            "Expected one process, and one device or several of JAX, for rows "
            "of a data service: they have no order in which to cut batches. "
            f"Received: {parts} parts. Train from packed rows, or with "
            'strategy="single".'
        )
    import tensorflow as tf

    def cut(inputs: Any, targets: Any, weights: Any = None) -> tuple:
        if weights is None:
            weights = tf.ones_like(targets, tf.float32)
        rows = targets.shape[0] or tf.shape(targets)[0]
        size = -(-tf.maximum(rows, least) // parts)

        def slice_of(x: Any) -> Any:
            padding = [(0, size * parts - rows)] + [(0, 0)] * (len(x.shape) - 1)
            return tf.pad(x, padding)[part * size : (part + 1) * size]

        return tf.nest.map_structure(slice_of, (inputs, targets, weights))

    return dataset.map(cut, num_parallel_calls=tf.data.AUTOTUNE)


def _check_vocabulary(rows: Any, model: keras.Model) -> None:
    config: Any = getattr(model, "config", None)
    size = getattr(config, "vocabulary_size", None)
    if size is not None and rows.vocabulary_size > size:
        raise InputError(
            f"Expected rows with ids below the model's vocabulary_size={size}."
            f" Received: {rows.name} with vocabulary_size="
            f"{rows.vocabulary_size}. Build the model with that "
            "vocabulary, or pack with the model's tokenizer."
        )


def _check_context(needed: int, model: keras.Model) -> None:
    config: Any = getattr(model, "config", None)
    length = getattr(config, "context_length", None)
    if length is not None and needed > length:
        raise InputError(
            f"Expected rows of at most the model's context_length={length} "
            f"tokens. Received: rows of {needed}. Pack with "
            f"context_length={length}, or build a model with a longer one."
        )
