"""The metrics of an objective on rows, without training."""

import keras

from keras_llm.data import Rows
from keras_llm.data.array_rows import ArrayRows
from keras_llm.train.loss_scale import FIRST
from keras_llm.train.objective import Objective
from keras_llm.train.optimizers import AdamW
from keras_llm.train.source import open_validation
from keras_llm.train.speed import precision_of
from keras_llm.train.step import TokenTrainer


def score_rows(
    model: keras.Model,
    rows: Rows | ArrayRows,
    objective: Objective | None = None,
    batch_size: int = 8,
) -> dict[str, float]:
    """Returns the metrics that `fit` would show for validation rows.

    Args:
        model: The model; one process, one device.
        rows: Rows, each read once.
        objective: What is measured. Default: `NextToken()`.
        batch_size: Rows at a time.

    Returns:
        "loss", "accuracy", the objective's own metrics, and "perplexity"
        where the loss is a likelihood.

    Raises:
        InputError: Rows and model do not fit each other.

    Example:

    >>> import numpy as np
    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> tokens = np.ones((2, 8), "int32")
    >>> rows = ArrayRows({"tokens": tokens, "segments": tokens,
    ...     "positions": tokens * np.arange(8)}, tokens)
    >>> sorted(score_rows(model, rows))
    ['accuracy', 'loss', 'perplexity']
    """
    source = open_validation(rows, model, batch_size)
    trainer = TokenTrainer(model, objective=objective)
    scaled = precision_of(model) == "mixed_float16"
    trainer.compile(AdamW(loss_scale=FIRST if scaled else None))
    logs = trainer.evaluate(source.once(), verbose=0, return_dict=True)
    return {k: float(v) for k, v in logs.items() if k != "tokens"}
