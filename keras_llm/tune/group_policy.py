"""GroupPolicy: the objective of GRPO on answers with their advantages."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_llm.records import Record
from keras_llm.train.losses import TokenLoss
from keras_llm.train.objective import Objective, decoder_part, tokens_seen
from keras_llm.tune.preference_losses import token_log_probabilities

LOSSES = ("grpo", "dr_grpo")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupPolicyConfig(Record):
    """The constants of GRPO.

    Args:
        loss: "grpo": an answer's loss is the mean over its tokens, and
            advantages are divided by the group's standard deviation;
            "dr_grpo": the sum over its tokens divided by `max_new_tokens`,
            and advantages are only centred, so that neither long answers nor
            easy questions count for more. Default: "grpo".
        group: Answers to one question. Default: 8.
        updates: Steps that learn from the same answers. Default: 1.
        clip: How far the probability ratio may fall below 1. Default: 0.2.
        clip_high: How far it may rise above; None for `clip`. DAPO: 0.28.
        kl: Weight of the divergence from the reference. Default: 0, without.
        temperature: At which answers are drawn, and their probabilities are
            those of. Default: 1.
        max_new_tokens: The most tokens of an answer. Default: 64.

    Raises:
        InputError: A value is out of range.

    Example:

    >>> GroupPolicyConfig(kl=0.04).group
    8
    """

    loss: str = "grpo"
    group: int = 8
    updates: int = 1
    clip: float = 0.2
    clip_high: float | None = None
    kl: float = 0.0
    temperature: float = 1.0
    max_new_tokens: int = 64

    def __post_init__(self) -> None:
        self._one_of("loss", LOSSES)
        self._whole("group", 2, 2**20)
        self._positive("updates", "clip", "clip_high", "temperature")
        self._positive("max_new_tokens")
        self._between("clip", 0, 1)
        self._between("kl", 0, float("inf"))


class GroupPolicy(Objective):
    """The clipped policy gradient of GRPO, the mean over answers.

    For each token `-min(r * A, clip(r, 1 - clip, 1 + clip_high) * A)`, where
    r is its probability now over that when it was drawn and A the advantage
    of its answer; and, where there is a reference, `kl` times
    `exp(d) - d - 1` with `d = log(p_reference / p)`, an unbiased estimate of
    the divergence that is never negative.

    A row is one answer, its tokens the targets with a weight. Beside what
    the decoder reads it has "advantage" and "reward", float32 `(rows, 1)`,
    and may have "old" and "reference", float32 `(rows, time)`, the
    log-probabilities of the targets when they were drawn and under the
    reference. Without "old" they were drawn by this very model: r is 1.

    The means over answers that are shown beside the loss: `reward`,
    `accuracy` (the share of answers with a reward of 1 or more), `kl` from
    the reference a token, `length` in tokens, `clip_fraction` of tokens, and
    `entropy`, estimated by `-log p` of the drawn tokens.

    Args:
        config: The constants.

    Sources: Shao et al. 2024, https://arxiv.org/abs/2402.03300 (GRPO); Liu et
    al. 2025, https://arxiv.org/abs/2503.20783 (Dr. GRPO); Schulman 2020,
    http://joschu.net/blog/kl-approx.html (the estimate).

    Example:

    >>> GroupPolicy(GroupPolicyConfig()).metrics
    ('reward', 'length', 'clip_fraction', 'entropy', 'tokens')
    """

    likelihood = False

    def __init__(self, config: GroupPolicyConfig):
        self.config = config
        kl = ("kl",) if config.kl else ()
        shown = ("reward", *kl, "length", "clip_fraction", "entropy")
        self.metrics = (*shown, "tokens")

    def units(self, weights: Any) -> Any:
        """Returns 1 for each answer, 0 for filling, float32 `(rows,)`."""
        return ops.cast(ops.any(weights > 0, axis=-1), "float32")

    def __call__(
        self,
        model: keras.Model,
        inputs: Any,
        targets: Any,
        weights: Any,
        training: bool | None = None,
    ) -> TokenLoss:
        """Returns the sums of a batch."""
        logits = model(decoder_part(inputs), training=training)
        now = token_log_probabilities(logits / self.config.temperature, targets)
        old = inputs["old"] if "old" in inputs else ops.stop_gradient(now)
        each, clipped = self._surrogate(now - old, inputs["advantage"])
        extras = [inputs["reward"][:, 0]]
        if self.config.kl:
            distance = inputs["reference"] - now
            kl = ops.exp(distance) - distance - 1
            each = each + self.config.kl * kl
            extras.append(_mean(kl, weights))
        extras += [
            ops.sum(weights, -1),
            _mean(clipped, weights),
            _mean(-now, weights),
        ]
        rows = self.units(weights)
        if self.config.loss == "grpo":
            loss = ops.sum(_mean(each, weights))
        else:
            loss = ops.sum(each * weights) / self.config.max_new_tokens
        solved = ops.cast(inputs["reward"][:, 0] >= 1, "float32")
        return TokenLoss(
            *(loss, loss, ops.sum(rows), ops.sum(solved * rows)),
            (*(ops.sum(x * rows) for x in extras), tokens_seen(inputs)),
        )

    def _surrogate(self, change: Any, advantage: Any) -> tuple[Any, Any]:
        """The loss of each token, and whether it was clipped."""
        low, high = self.config.clip, self.config.clip_high or self.config.clip
        ratio = ops.exp(change)
        within = ops.clip(ratio, 1 - low, 1 + high)
        gain = ops.minimum(ratio * advantage, within * advantage)
        clipped = ops.cast(gain < ratio * advantage, "float32")
        return -gain, clipped


def advantages(rewards: Any, group: int, scaled: bool = True) -> np.ndarray:
    """Returns how much better each answer is than its group.

    Args:
        rewards: `(answers,)`; each `group` in a row answer one question.
        group: Answers to a question.
        scaled: Whether to divide by the group's standard deviation (plus
            1e-4, so that equal rewards give 0).

    Returns:
        float32 `(answers,)`.

    Source: Shao et al. 2024, https://arxiv.org/abs/2402.03300 section 4.1.2.

    Example:

    >>> advantages([1.0, 0.0, 1.0, 1.0], group=2).round(3).tolist()
    [1.0, -1.0, 0.0, 0.0]
    """
    groups = np.asarray(rewards, np.float64).reshape(-1, group)
    found = groups - groups.mean(1, keepdims=True)
    if scaled:
        found = found / (groups.std(1, keepdims=True) + 1e-4)
    return found.reshape(-1).astype(np.float32)


def _mean(values: Any, weights: Any) -> Any:
    """The mean over each row's weighted tokens."""
    return ops.sum(values * weights, -1) / ops.maximum(ops.sum(weights, -1), 1)
