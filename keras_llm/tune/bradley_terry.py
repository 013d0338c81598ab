"""Scores of two answers compared: rows and loss of a reward model."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_llm.data.array_rows import ArrayRows
from keras_llm.train.losses import TokenLoss
from keras_llm.train.objective import Objective, tokens_seen


class BradleyTerry(Objective):
    """`-log sigmoid(chosen - rejected)` of two scores, the mean over pairs.

    The model gives `(rows, 2, 1)` for `inputs["texts"]` of 1 and 2. Shown
    beside the loss: `accuracy`, the share of pairs whose chosen answer has
    the higher score, and `margin`, by how much.

    Source: Ouyang et al. 2022, https://arxiv.org/abs/2203.02155 equation 1.

    Example:

    >>> BradleyTerry().metrics
    ('margin', 'tokens')
    """

    likelihood = False
    metrics = ("margin", "tokens")

    def __call__(
        self,
        model: keras.Model,
        inputs: Any,
        targets: Any,
        weights: Any,
        training: bool | None = None,
    ) -> TokenLoss:
        """Returns the sums of a batch."""
        scores = ops.cast(model(inputs, training=training), "float32")
        margin, rows = scores[:, 0, 0] - scores[:, 1, 0], weights[:, 0]
        loss = ops.sum(-ops.log_sigmoid(margin) * rows)
        correct = ops.cast((ops.sign(margin) + 1) / 2, "float32")
        return TokenLoss(
            *(loss, loss, ops.sum(rows), ops.sum(correct * rows)),
            (ops.sum(margin * rows), tokens_seen(inputs)),
        )


def scored_rows(rows: ArrayRows) -> ArrayRows:
    """Returns rows of pairs as those of two texts, their ends included.

    The last token of a full row is only a target in `pair_rows`; here it is
    read, because the score is read there.

    Args:
        rows: From `pair_rows`.

    Returns:
        Rows with one more token and "texts", int32 `(rows, 2)`; targets and
        weights `(rows, 1)`, which say no more than that there is a pair.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> from keras_llm.tune import Pair, exchange, pair_rows
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> rows = scored_rows(pair_rows([Pair(exchange("a"), "b", "cd")],
    ...     tokenizer, "plain", context_length=8))
    >>> rows.inputs["tokens"].tolist()
    [[256, 97, 98, 256, 256, 97, 99, 100, 256]]
    """
    inside = (rows.weights[:, -1:] > 0).astype(np.int32)
    last = {
        "tokens": rows.targets[:, -1:] * inside,
        "positions": (rows.inputs["positions"][:, -1:] + 1) * inside,
        "segments": rows.inputs["segments"][:, -1:] * inside,
    }
    inputs = {
        name: np.concatenate([rows.inputs[name], column], 1)
        for name, column in last.items()
    }
    inputs["texts"] = np.tile(np.array([1, 2], np.int32), (len(rows), 1))
    nothing = np.zeros((len(rows), 1), np.int32)
    return ArrayRows(inputs, nothing, None, rows.tokenizer, rows.name)
