"""Preference: DPO, IPO, KTO, ORPO and SimPO as one objective of `train.fit`."""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_llm.errors import InputError
from keras_llm.records import Record
from keras_llm.train.losses import TokenLoss
from keras_llm.train.objective import Objective, decoder_part, tokens_seen
from keras_llm.tune import preference_losses as losses

BETAS = {"dpo": 0.1, "ipo": 0.1, "kto": 0.1, "simpo": 2.0, "orpo": 1.0}
KINDS = tuple(BETAS)
REFERRING = ("dpo", "ipo", "kto")
"""Kinds that compare with a reference model."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreferenceConfig(Record):
    """Which loss of preferences, and its constants.

    Args:
        kind: "dpo", "ipo", "kto", "orpo" or "simpo".
        beta: How closely the reference is kept to (SimPO: the scale of the
            rewards; ORPO has none). Default: 0.1; 2.0 for SimPO.
        label_smoothing: DPO and SimPO: share of pairs that are taken to be
            the wrong way round, below 0.5. Default: 0.
        margin: SimPO's gamma. Default: 1.
        odds_weight: ORPO's lambda. Default: 0.1.
        desirable, undesirable: KTO's weights of good and bad answers.
            Defaults: 1.

    Raises:
        InputError: The kind is unknown, or a value is out of range.

    Example:

    >>> PreferenceConfig(kind="simpo").beta
    2.0
    """

    kind: str = "dpo"
    beta: float | None = None
    label_smoothing: float = 0.0
    margin: float = 1.0
    odds_weight: float = 0.1
    desirable: float = 1.0
    undesirable: float = 1.0

    def __post_init__(self) -> None:
        self._one_of("kind", KINDS)
        if self.beta is None:
            self._set("beta", BETAS[self.kind])
        self._positive("beta")
        self._between("label_smoothing", 0, 0.49999)
        for name in ("margin", "odds_weight", "desirable", "undesirable"):
            self._between(name, 0, float("inf"))


class Preference(Objective):
    """A loss of preferences, the mean over pairs (KTO: over answers).

    A row is a pair as `pair_rows` makes it: the chosen answer is segment 1,
    the rejected one segment 2. For "kto" a row is an answer, as `kto_rows`
    makes it. "dpo", "ipo" and "kto" want `inputs["reference"]`, float32
    `(rows, 2)`, from `with_reference`.

    The means that are shown beside the loss: `accuracy`, the share of pairs
    whose chosen answer has the higher reward; `margin`, by how much;
    `chosen` and `rejected`, the rewards; `kl`, where there is a reference.

    The reward is `beta * log(p / p_reference)` of an answer, for IPO of a
    mean token. Without a reference it is `beta` times the mean
    log-probability of a token. `kl` is the mean over answers of
    `log(p_reference / p)` a token: it estimates the KL divergence from the
    reference to the model as far as the answers are the reference's own, and
    grows as the answers of both kinds become less likely.

    For "kto" the baseline is, as in TRL, the mean log-ratio of the answers to
    *other* prompts in the batch, at least 0; with `accumulate` each
    micro-batch has its own. `kl` is this baseline, `accuracy` the share of
    good answers above and bad ones below it, `margin` how far on the right
    side of it the rewards are.

    All logits of a batch are in memory at once: lower `batch_size`, or raise
    `accumulate`, where that is too much.

    Args:
        kind: The loss; see `PreferenceConfig`.
        **constants: Its other fields.

    Raises:
        InputError: As `PreferenceConfig`; in training, the rows lack the
            reference or the label that the loss needs.

    Sources: see `keras_llm.tune.preference_losses`.

    Example:

    >>> Preference("dpo", beta=0.2).config.beta
    0.2
    """

    likelihood = False

    def __init__(self, kind: str = "dpo", **constants: Any):
        self.config = PreferenceConfig(kind=kind, **constants)
        if kind == "kto":
            self.metrics = ("margin", "kl", "tokens")
        else:
            kl = ("kl",) if kind in REFERRING else ()
            self.metrics = ("margin", "chosen", "rejected", *kl, "tokens")

    def units(self, weights: Any) -> Any:
        """Returns 1 for each row that is no filling, float32 `(rows,)`."""
        return ops.cast(ops.any(weights > 0, axis=-1), "float32")

    def __call__(
        self,
        model: keras.Model,
        inputs: Any,
        targets: Any,
        weights: Any,
        training: bool | None = None,
    ) -> TokenLoss:
        """Returns the sums of a batch.

        Raises:
            InputError: A needed input is missing.
        """
        needed = ["reference"] if self.config.kind in REFERRING else []
        needed += ["label"] if self.config.kind == "kto" else []
        for name in needed:
            _check(name, inputs, self.config.kind)
        logits = model(decoder_part(inputs), training=training)
        sums, lengths = losses.answer_log_probabilities(
            logits, targets, weights, inputs["segments"]
        )
        rows = self.units(weights)
        score = self._answers if self.config.kind == "kto" else self._pairs
        loss, correct, extras = score(sums, lengths, inputs, rows)
        total = ops.sum(loss * rows)
        return TokenLoss(
            *(total, total, ops.sum(rows), ops.sum(correct * rows)),
            (*(ops.sum(x * rows) for x in extras), tokens_seen(inputs)),
        )

    def _pairs(self, sums: Any, lengths: Any, inputs: Any, rows: Any) -> tuple:
        """Loss, accuracy and metrics of each pair."""
        c = self.config
        beta = float(c.beta or 0.0)
        means = losses.mean(sums, lengths)
        rewards, kl = beta * means, ()
        if c.kind in REFERRING:
            ratios = sums - inputs["reference"]
            drift = losses.mean(ratios, lengths)
            rewards = beta * (ratios if c.kind == "dpo" else drift)
            kl = (-ops.mean(drift, -1),)
        if c.kind == "dpo":
            loss = losses.dpo(ratios, beta, c.label_smoothing)
        elif c.kind == "ipo":
            loss = losses.ipo(ratios, lengths, beta)
        elif c.kind == "simpo":
            loss = losses.simpo(
                sums, lengths, beta, c.margin, c.label_smoothing
            )
        else:
            loss = losses.orpo(sums, lengths, c.odds_weight)
        chosen, rejected = rewards[:, 0], rewards[:, 1]
        margin = chosen - rejected
        return loss, _share_above(margin), (margin, chosen, rejected, *kl)

    def _answers(
        self, sums: Any, lengths: Any, inputs: Any, rows: Any
    ) -> tuple:
        """Loss, accuracy and metrics of each rated answer."""
        c = self.config
        beta = float(c.beta or 0.0)
        ratios = sums - inputs["reference"]
        apart = ops.sum(ratios[:, 1] * rows) / ops.maximum(ops.sum(rows), 1.0)
        baseline = ops.stop_gradient(ops.maximum(apart, 0.0))
        good = inputs["label"][:, 0]
        loss = losses.kto(
            *(ratios[:, 0], good, baseline, beta),
            *(c.desirable, c.undesirable),
        )
        margin = beta * (2 * good - 1) * (ratios[:, 0] - baseline)
        kl = baseline * ops.ones_like(rows)
        return loss, _share_above(margin), (margin, kl)


def _share_above(margin: Any) -> Any:
    """1 where a margin is positive, a half where there is none."""
    return ops.cast((ops.sign(margin) + 1) / 2, "float32")


def _check(name: str, inputs: Any, kind: str) -> None:
    if name not in inputs:
        maker = "with_reference" if name == "reference" else "kto_rows"
        raise InputError(
            f"Expected rows with {name!r} for {kind!r}. Received: "
            f"{', '.join(inputs)}. Make them with tune.{maker}."
        )
