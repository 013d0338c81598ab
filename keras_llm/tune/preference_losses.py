"""Losses of preference tuning, from the log-probabilities of answers.

Arrays have a row for each pair and two columns: the chosen answer, then the
rejected one. Each function returns the loss of every row, float32 `(rows,)`,
whose mean is minimized.
"""

from typing import Any

from keras import ops

NEARLY_ZERO = -1e-6  # the highest mean log-probability with finite odds


def answer_log_probabilities(
    logits: Any, targets: Any, weights: Any, segments: Any
) -> tuple[Any, Any]:
    """Returns how likely the answers of packed rows are, and their lengths.

    The logits of all positions are in memory at once, in float32.

    Args:
        logits: `(rows, time, vocabulary)`.
        targets: int32 `(rows, time)`.
        weights: float32 `(rows, time)`, 1 where a target is part of an answer.
        segments: int32 `(rows, time)`: 1 where it is the first answer, 2
            where it is the second one.

    Returns:
        `(sums, lengths)`, float32 `(rows, 2)`: natural logarithms summed over
        an answer's tokens, and how many tokens it has.

    Example:

    >>> logits = ops.zeros((1, 3, 4))
    >>> sums, lengths = answer_log_probabilities(logits, ops.ones((1, 3),
    ...     "int32"), ops.array([[0.0, 1, 1]]), ops.array([[1, 1, 2]]))
    >>> lengths.numpy().tolist(), round(float(sums[0, 0]), 4)
    ([[1.0, 1.0]], -1.3863)
    """
    found = token_log_probabilities(logits, targets)
    parts = [weights * ops.cast(segments == n, "float32") for n in (1, 2)]
    sums = ops.stack([ops.sum(found * part, -1) for part in parts], -1)
    return sums, ops.stack([ops.sum(part, -1) for part in parts], -1)


def token_log_probabilities(logits: Any, targets: Any) -> Any:
    """Returns the natural logarithm of each target's probability, float32.

    Args:
        logits: `(..., vocabulary)`.
        targets: int32 `(...)`.

    Example:

    >>> logits = ops.array([[0.0, 0.0]])
    >>> round(float(token_log_probabilities(logits, ops.array([1]))[0]), 4)
    -0.6931
    """
    logits = ops.cast(logits, "float32")
    targets = ops.expand_dims(ops.cast(targets, "int32"), -1)
    chosen = ops.take_along_axis(logits, targets, -1)[..., 0]
    return chosen - ops.logsumexp(logits, axis=-1)


def dpo(ratios: Any, beta: float, label_smoothing: float = 0.0) -> Any:
    """Direct preference optimization: `-log sigmoid(beta * h)`.

    h is the chosen answer's log-ratio to the reference minus that of the
    rejected one. With label smoothing s (cDPO) a share s of the pairs is
    taken to be the wrong way round.

    Args:
        ratios: `(rows, 2)`, log-probability minus that of the reference.
        beta: How closely the reference is kept to.
        label_smoothing: s.

    Source: Rafailov et al. 2023, https://arxiv.org/abs/2305.18290 equation 7;
    Mitchell 2023, https://ericmitchell.ai/cdpo.pdf equation 3 (cDPO).

    Example:

    >>> round(float(dpo(ops.array([[1.0, 1.0]]), beta=0.1)[0]), 4)
    0.6931
    """
    return _logistic(beta * _difference(ratios), label_smoothing)


def ipo(ratios: Any, lengths: Any, beta: float) -> Any:
    """Identity preference optimization: `(h - 1 / (2 * beta))**2`.

    h is as in `dpo`, of means over an answer's tokens: without, the loss
    would grow with the square of the length. The authors say that they did
    the same, and TRL does.

    Args:
        ratios: `(rows, 2)`, as for `dpo`.
        lengths: `(rows, 2)`, tokens of the answers.
        beta: The paper's tau.

    Source: Azar et al. 2023, https://arxiv.org/abs/2310.12036 equation 17.

    Example:

    >>> ipo(ops.array([[10.0, 5.0]]), ops.array([[2.0, 5.0]]),
    ...     beta=0.5).numpy().tolist()
    [9.0]
    """
    h = _difference(mean(ratios, lengths))
    return ops.square(h - 1 / (2 * beta))


def simpo(
    sums: Any,
    lengths: Any,
    beta: float,
    margin: float,
    label_smoothing: float = 0.0,
) -> Any:
    """SimPO: `-log sigmoid(beta * d - margin)`, without a reference.

    d is the chosen answer's mean log-probability of a token minus that of the
    rejected one.

    Args:
        sums: `(rows, 2)`, log-probabilities.
        lengths: `(rows, 2)`, tokens of the answers.
        beta: Scale of the rewards.
        margin: The paper's gamma: how much better the chosen answer is to be.
        label_smoothing: As for `dpo`.

    Source: Meng et al. 2024, https://arxiv.org/abs/2405.14734 equation 6.

    Example:

    >>> loss = simpo(ops.array([[-2.0, -4.0]]), ops.array([[2.0, 2.0]]),
    ...     beta=2.0, margin=2.0)
    >>> round(float(loss[0]), 4)
    0.6931
    """
    d = _difference(mean(sums, lengths))
    return _logistic(beta * d - margin, label_smoothing)


def orpo(sums: Any, lengths: Any, weight: float) -> Any:
    """ORPO: cross-entropy of the chosen answer and its odds, no reference.

    `-m(chosen) - weight * log sigmoid(log odds(chosen) - log odds(rejected))`
    where m is the mean log-probability of a token and
    `log odds = m - log(1 - exp(m))`.

    Args:
        sums: `(rows, 2)`, log-probabilities.
        lengths: `(rows, 2)`, tokens of the answers.
        weight: The paper's lambda.

    Source: Hong et al. 2024, https://arxiv.org/abs/2403.07691 equations 4 to
    7. The cross-entropy is the mean over a pair's tokens, then over pairs.

    Example:

    >>> loss = orpo(ops.array([[-2.0, -2.0]]), ops.array([[2.0, 2.0]]),
    ...     weight=0.1)
    >>> round(float(loss[0]), 4)
    1.0693
    """
    means = mean(sums, lengths)
    odds = means - _log_of_one_minus_exp(means)
    ratio = ops.log_sigmoid(_difference(odds))
    return -means[:, 0] - weight * ratio


def kto(
    ratios: Any,
    good: Any,
    baseline: Any,
    beta: float,
    desirable: float = 1.0,
    undesirable: float = 1.0,
) -> Any:
    """Kahneman-Tversky optimization, for single answers.

    `desirable * (1 - sigmoid(beta * (ratio - baseline)))` for good answers,
    `undesirable * (1 - sigmoid(beta * (baseline - ratio)))` for bad ones.

    Args:
        ratios: `(rows,)`, log-probability minus that of the reference.
        good: `(rows,)`, 1 for a good answer and 0 for a bad one.
        baseline: Scalar estimate of the KL divergence to the reference, of
            which no gradient is taken.
        beta: How closely the reference is kept to.
        desirable, undesirable: Weights of the two kinds; the paper keeps the
            ratio of weight times count between 1 and 4/3.

    Source: Ethayarajh et al. 2024, https://arxiv.org/abs/2402.01306 equation
    8.

    Example:

    >>> kto(ops.array([2.0, 2.0]), ops.array([1.0, 0.0]), 2.0,
    ...     beta=0.1).numpy().tolist()
    [0.5, 0.5]
    """
    side = 2 * good - 1
    gain = ops.sigmoid(beta * side * (ratios - baseline))
    return (good * desirable + (1 - good) * undesirable) * (1 - gain)


def mean(sums: Any, lengths: Any) -> Any:
    """Returns the means over tokens; 0 where there are none.

    Example:

    >>> mean(ops.array([6.0, 0.0]), ops.array([3.0, 0.0])).numpy().tolist()
    [2.0, 0.0]
    """
    return sums / ops.maximum(lengths, 1.0)


def _difference(values: Any) -> Any:
    """The chosen answer's value minus the rejected one's."""
    return values[:, 0] - values[:, 1]


def _logistic(x: Any, smoothing: float) -> Any:
    """-log sigmoid(x), with a share of the signs turned round."""
    loss = -ops.log_sigmoid(x)
    return loss + smoothing * x if smoothing else loss


def _log_of_one_minus_exp(x: Any) -> Any:
    """log(1 - exp(x)) for x < 0, with all digits near 0 and far from it."""
    x = ops.minimum(x, NEARLY_ZERO)
    near = x > -0.69
    # What is not chosen must be finite too, or its gradient is not.
    close = ops.log(-ops.expm1(ops.where(near, x, -1.0)))
    return ops.where(near, close, ops.log1p(-ops.exp(ops.minimum(x, -0.69))))
