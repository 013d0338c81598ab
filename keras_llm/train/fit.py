"""fit: train a decoder on packed rows, resumable at any moment.

The loop is Keras': `compile`, then one `model.fit` whose epochs are windows
of `log_every` steps; `Training` prepares it.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_llm.train.folder import only_process
from keras_llm.train.objective import Objective
from keras_llm.train.settings import TrainConfig, TrainReport
from keras_llm.train.training import Training


def fit(
    model: keras.Model,
    rows: Any,
    *,
    out: str | os.PathLike | None = None,
    validation_rows: Any = None,
    tokenizer: Any = None,
    sample: Callable[[keras.Model], str | list[str]] | None = None,
    resume: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    objective: Objective | None = None,
    config: TrainConfig | None = None,
    **settings: Any,
) -> TrainReport:
    """Trains a decoder in place; the same call continues a stopped run.

    A run killed at any moment and started again with the same call goes on
    from its last checkpoint with the same rows, dropout, learning rate and
    moments: its losses are those of an uninterrupted run, bit for bit on the
    same machine.

    Args:
        model: The decoder, as `build_decoder(config, dtype=choose_precision())`
            returns it; for several devices, built in the scope of
            `train.distribution`.
        rows: Packed rows (`data.open_rows`), rows in memory
            (`data.ArrayRows`), or a `tf.data.Dataset` of `(inputs, targets,
            weights)` whose order is the same each time.
        out: Folder of the run: train.json, metrics.jsonl, samples.jsonl,
            checkpoints/, tensorboard/, report.json. None keeps nothing.
        validation_rows: Scored every `validate_every` steps and at the end.
        tokenizer: If given, the rows must have been made with it.
        sample: Takes the decoder and returns generated text; called every
            `sample_every` steps and at the end.
        resume: False refuses a folder that already holds a run.
        callbacks: More Keras callbacks; their logs have `step`, and an epoch
            is a window of `log_every` steps. With several processes they
            run in each, while files, samples and progress are the chief's.
        objective: What is minimized. Default: cross-entropy of the next
            token, with the settings' `z_loss`, `label_smoothing` and
            `loss_chunk`.
        config: Settings as a record, instead of or beside keywords.
        **settings: Fields of `TrainConfig`: `steps` or `minutes`,
            `batch_size`, `learning_rate`, `accumulate`, ...

    Returns:
        A `TrainReport`; a run that is complete returns its report at once.

    Raises:
        InputError: A setting is unknown or out of range; data, model and
            folder do not fit each other; a checkpoint is damaged; the loss
            is no longer finite.
        OSError: The disk is full; earlier checkpoints are intact.

    Example:

    >>> import numpy as np, tensorflow as tf
    >>> from keras_llm.config import DecoderConfig
    >>> from keras_llm.model import build_decoder
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=8,
    ...     context_length=4, num_layers=1, hidden_dim=8, num_heads=2))
    >>> tokens = np.arange(8, dtype="int32").reshape(2, 4)
    >>> data = ({"tokens": tokens, "positions": tokens % 4,
    ...     "segments": np.ones_like(tokens)}, (tokens + 1) % 8)
    >>> data = tf.data.Dataset.from_tensor_slices(data)
    >>> report = fit(decoder, data.batch(2, drop_remainder=True),
    ...     steps=3, batch_size=2, log_every=1, validate_every=1,
    ...     checkpoint_every=1, sample_every=1)
    >>> report.steps, report.tokens
    (3, 24)
    """
    started = time.monotonic()
    if config is not None:
        settings = {**config.to_dict(), **settings}
    training = Training(
        model=model,
        settings=TrainConfig.from_dict(settings),
        out=None if out is None else Path(out),
        sample=sample,
        callbacks=callbacks,
        started=started,
        objective=objective,
    )
    training.open_data(rows, validation_rows, tokenizer)
    with only_process(training.out if training.distribution.chief else None):
        return training.complete_report(resume) or training.run()
