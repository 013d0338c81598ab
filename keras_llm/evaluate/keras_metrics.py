"""Metrics for `compile(metrics=...)` that Keras does not have.

Keras has accuracy (`SparseCategoricalAccuracy`), `AUC`, `Precision`, `Recall`
and, for one-hot labels, `F1Score`.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_llm.errors import InputError
from keras_llm.evaluate.calibration import BINS


class _TokenLoss(keras.metrics.SparseCategoricalCrossentropy):
    """Mean cross-entropy over tokens, of rows of any length alike."""

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds `(..., time)` ids and `(..., time, vocabulary)` predictions."""
        size = ops.shape(y_pred)[-1]
        if sample_weight is not None:
            weights = ops.broadcast_to(sample_weight, ops.shape(y_true))
            sample_weight = ops.reshape(weights, (-1,))
        super().update_state(
            ops.reshape(y_true, (-1,)),
            ops.reshape(y_pred, (-1, size)),
            sample_weight,
        )


@keras.saving.register_keras_serializable("keras_llm")
class Perplexity(_TokenLoss):
    """`exp` of the mean loss of a token.

    Rows of other lengths count by their tokens; a weight of 0 leaves a token
    out.

    Args:
        name: Of the metric.
        dtype: Of its sums.
        from_logits: False for predictions that are probabilities.

    Example:

    >>> metric = Perplexity()
    >>> metric.update_state([[1, 0]], [[[0.0, 0.0], [0.0, 0.0]]])
    >>> round(float(metric.result()), 4)
    2.0
    """

    def __init__(
        self,
        name: str = "perplexity",
        dtype: Any = None,
        from_logits: bool = True,
        **kwargs: Any,
    ):
        super().__init__(
            name=name, dtype=dtype, from_logits=from_logits, **kwargs
        )

    def result(self) -> Any:
        """Returns the perplexity since the last reset."""
        return ops.exp(super().result())


@keras.saving.register_keras_serializable("keras_llm")
class BitsPerByte(_TokenLoss):
    """The loss in bits for each byte of text, which compares tokenizers.

    Args:
        bytes_per_token: UTF-8 bytes of the validation texts over their
            tokens: a metric sees ids only.
        name, dtype, from_logits: As for `Perplexity`.

    Raises:
        InputError: The number of bytes is not above zero.

    Example:

    >>> metric = BitsPerByte(bytes_per_token=4.0)
    >>> metric.update_state([[1, 0]], [[[0.0, 0.0], [0.0, 0.0]]])
    >>> round(float(metric.result()), 4)  # one bit for four bytes
    0.25
    """

    def __init__(
        self,
        bytes_per_token: float,
        name: str = "bits_per_byte",
        dtype: Any = None,
        from_logits: bool = True,
        **kwargs: Any,
    ):
        if not bytes_per_token > 0:
            raise InputError(
                "Expected bytes_per_token above zero: bytes of the texts over "
                f"their tokens. Received: {bytes_per_token!r}."
            )
        super().__init__(
            name=name, dtype=dtype, from_logits=from_logits, **kwargs
        )
        self.bytes_per_token = bytes_per_token

    def result(self) -> Any:
        """Returns the bits per byte since the last reset."""
        return super().result() / (math.log(2) * self.bytes_per_token)

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        return {
            **super().get_config(),
            "bytes_per_token": self.bytes_per_token,
        }


class _LabelMetric(keras.metrics.Metric):
    """A metric of integer labels, from a confusion matrix."""

    def __init__(self, num_classes: int, name: str, dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        self.num_classes = num_classes
        shape = (num_classes, num_classes)
        self.confusion = self.add_variable(shape, "zeros", name="confusion")

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds integer labels `(n,)` and scores `(n, num_classes)`."""
        true = ops.one_hot(
            ops.reshape(ops.cast(y_true, "int32"), (-1,)), self.num_classes
        )
        given = ops.one_hot(ops.argmax(y_pred, axis=-1), self.num_classes)
        if sample_weight is not None:
            weights = ops.reshape(ops.cast(sample_weight, self.dtype), (-1, 1))
            true = true * weights
        self.confusion.assign_add(
            ops.cast(ops.matmul(ops.transpose(true), given), self.dtype)
        )

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        return {**super().get_config(), "num_classes": self.num_classes}


@keras.saving.register_keras_serializable("keras_llm")
class MacroF1(_LabelMetric):
    """The mean F1 of the labels, for integer labels.

    Keras' `F1Score(average="macro")` is the same for one-hot labels. A label
    that is neither true nor given counts as 0.

    Args:
        num_classes: Labels.
        name, dtype: As for any metric.

    Example:

    >>> metric = MacroF1(2)
    >>> metric.update_state([0, 1], [[0.9, 0.1], [0.2, 0.8]])
    >>> float(metric.result())
    1.0
    """

    def __init__(
        self, num_classes: int, name: str = "macro_f1", dtype: Any = None
    ):
        super().__init__(num_classes, name, dtype)

    def result(self) -> Any:
        """Returns the mean F1 since the last reset."""
        right = ops.diagonal(self.confusion)
        both = ops.sum(self.confusion, 0) + ops.sum(self.confusion, 1)
        return ops.mean(ops.divide_no_nan(2 * right, both))


@keras.saving.register_keras_serializable("keras_llm")
class MatthewsCorrelation(_LabelMetric):
    """The Matthews correlation of integer labels, from -1 to 1.

    Args:
        num_classes: Labels.
        name, dtype: As for any metric.

    Source: Gorodkin 2004, https://doi.org/10.1016/j.compbiolchem.2004.09.006.

    Example:

    >>> metric = MatthewsCorrelation(2)
    >>> metric.update_state([0, 1], [[0.2, 0.8], [0.9, 0.1]])  # all wrong
    >>> float(metric.result())
    -1.0
    """

    def __init__(
        self,
        num_classes: int,
        name: str = "matthews_correlation",
        dtype: Any = None,
    ):
        super().__init__(num_classes, name, dtype)

    def result(self) -> Any:
        """Returns the correlation since the last reset; 0 of one label."""
        shares = ops.divide_no_nan(self.confusion, ops.sum(self.confusion))
        given, true = ops.sum(shares, 0), ops.sum(shares, 1)
        both = ops.sum(ops.diagonal(shares)) - ops.sum(given * true)
        spread = (1 - ops.sum(given**2)) * (1 - ops.sum(true**2))
        root = ops.sqrt(ops.maximum(spread, 0.0))
        return ops.divide_no_nan(both, root)


@keras.saving.register_keras_serializable("keras_llm")
class ExpectedCalibrationError(keras.metrics.Metric):
    """How far confidence and accuracy are apart; see `calibration_error`.

    Args:
        bins: Of equal width.
        from_logits: Whether predictions are logits.
        name, dtype: As for any metric.

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599.

    Example:

    >>> metric = ExpectedCalibrationError()
    >>> metric.update_state([0, 0, 0, 1], [[0.9, 0.1]] * 4)
    >>> round(float(metric.result()), 4)
    0.15
    """

    def __init__(
        self,
        bins: int = BINS,
        from_logits: bool = False,
        name: str = "calibration_error",
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.bins, self.from_logits = bins, from_logits
        self.gaps = self.add_variable((bins,), "zeros", name="gaps")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds labels of any shape, and predictions with one more axis."""
        y_pred = ops.cast(y_pred, self.dtype)
        p = ops.softmax(y_pred) if self.from_logits else y_pred
        p = ops.reshape(p, (-1, ops.shape(p)[-1]))
        sure = ops.max(p, axis=-1)
        truth = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        right = ops.cast(ops.argmax(p, axis=-1), "int32") == truth
        weights = ops.ones_like(sure)
        if sample_weight is not None:
            weights = ops.reshape(ops.cast(sample_weight, self.dtype), (-1,))
        places = ops.cast(sure * self.bins, "int32")
        gaps = (sure - ops.cast(right, self.dtype)) * weights
        self.gaps.assign_add(
            ops.segment_sum(gaps, ops.minimum(places, self.bins - 1), self.bins)
        )
        self.count.assign_add(ops.sum(weights))

    def result(self) -> Any:
        """Returns the error since the last reset."""
        return ops.divide_no_nan(ops.sum(ops.abs(self.gaps)), self.count)

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        return {
            **super().get_config(),
            "bins": self.bins,
            "from_logits": self.from_logits,
        }
