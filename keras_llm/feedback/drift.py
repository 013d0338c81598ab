"""Drift: how far live prompts are from the texts a model was trained on.

Three things are measured of each text: its perplexity under the model, its
length in tokens, and the share of its words that are new. Each is compared
as a distribution, by the population stability index (PSI) and by the
Kolmogorov-Smirnov statistic (KS), the largest distance of the two cumulative
distributions.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_llm.errors import InputError
from keras_llm.feedback.shift import Shift, shift
from keras_llm.records import Record

MOST = 1000  # texts of each side that are looked at
FEW = 100  # below, a drift of a third of a deviation is rarely seen
LITTLE = f", but with fewer than {FEW} texts on a side little could be."
ENOUGH = ": live texts look like those of the training."


@dataclasses.dataclass(frozen=True, kw_only=True)
class DriftReport(Record):
    """Live texts beside those of the training.

    Attributes:
        reference_texts: How many texts of the training were looked at.
        live_texts: How many live ones.
        nats_per_token: Mean negative log-probability of a token; its
            exponential is the perplexity.
        tokens: The length.
        unseen_words: The share of a text's words that are not in the other
            half of the training texts.

    Example:

    >>> calm = Shift(reference=1.0, live=1.0, psi=0.0, ks=0.0, p_value=1.0)
    >>> print(DriftReport(reference_texts=900, live_texts=100,
    ...     nats_per_token=calm, tokens=calm, unseen_words=calm).verdict())
    No drift is seen: live texts look like those of the training.
    """

    reference_texts: int
    live_texts: int
    nats_per_token: Shift
    tokens: Shift
    unseen_words: Shift

    def __post_init__(self) -> None:
        """Takes shifts also in the form that `to_dict` gives them."""
        for name in NAMES:
            value = getattr(self, name)
            if isinstance(value, dict):
                self._set(name, Shift.from_dict(value))

    def shifts(self) -> dict[str, Shift]:
        """Returns name to shift."""
        return {name: getattr(self, name) for name in NAMES}

    def verdict(self) -> str:
        """Returns one or two sentences: what drifted, and what to do."""
        said = {
            level: [
                NAMES[k] for k, s in self.shifts().items() if s.level == level
            ]
            for level in ("strong", "some")
        }
        parts = [
            f"{level} drift of {' and '.join(names)}"
            for level, names in said.items()
            if names
        ]
        if not parts:
            few = min(self.reference_texts, self.live_texts) < FEW
            return f"No drift is seen{LITTLE if few else ENOUGH}"
        sentence = ", ".join(parts)
        advice = (
            "Label some of the live texts and train on them."
            if said["strong"]
            else "Look again when there are more."
        )
        return f"{sentence[0].upper()}{sentence[1:]}. {advice}"


NAMES = {
    "nats_per_token": "perplexity",
    "tokens": "length",
    "unseen_words": "vocabulary",
}


def drift(
    reference_texts: Sequence[str], live_texts: Sequence[str], lm: Any
) -> DriftReport:
    """Compares live texts with texts of the training.

    The perplexity is that of a text's first `context_length` tokens. At most
    1,000 texts of each side are looked at, evenly spread. Texts that the
    model has learned by heart have a perplexity too low to compare with:
    take held-out ones of the same source.

    Args:
        reference_texts: Two or more texts like those of the training.
        live_texts: What people write now, one or more.
        lm: A `CausalLM`.

    Raises:
        InputError: There are too few texts that are not empty.

    Example:

    >>> from keras_llm import CausalLM, DecoderConfig, build_decoder
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> lm = CausalLM(build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2)),
    ...     BytePairTokenizer.train(["a rose is a rose"], 264))
    >>> report = drift(["a rose", "a rose is"] * 20, ["0 1 2 3 4"] * 40, lm)
    >>> report.tokens.level, report.unseen_words.live
    ('strong', 1.0)
    """
    reference, live = _some(reference_texts, 2), _some(live_texts, 1)
    known = set(_words(" ".join(reference[::2])))
    sides = {"reference": reference, "live": live}
    nats = {name: text_nats(lm, texts) for name, texts in sides.items()}
    sizes = {name: _lengths(lm, texts) for name, texts in sides.items()}
    return DriftReport(
        reference_texts=len(reference),
        live_texts=len(live),
        nats_per_token=shift(**nats),
        tokens=shift(**sizes),
        unseen_words=shift(
            _unseen(known, reference[1::2]), _unseen(known, live)
        ),
    )


def text_nats(
    lm: Any, texts: Sequence[str], batch_size: int = 16
) -> np.ndarray:
    """Returns each text's mean negative log-probability of a token.

    Args:
        lm: A `CausalLM`.
        texts: Their first `context_length` tokens count; those without a
            token to predict are left out.
        batch_size: Texts computed at once.

    Returns:
        float64 `(texts,)`, nats, the shortest text first.

    Example:

    >>> from keras_llm import CausalLM, DecoderConfig, build_decoder
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> lm = CausalLM(build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2)),
    ...     BytePairTokenizer.train(["a rose is a rose"], 264))
    >>> text_nats(lm, ["a rose", "is a rose"]).round().tolist()
    [6.0, 6.0]
    """
    from keras_llm.score import scorer  # Keras, which a store can do without

    most = lm.config.context_length + 1
    rows = [lm.encode_prompt(text)[:most] for text in texts]
    rows = sorted((row for row in rows if len(row) > 1), key=len)
    score, found = scorer(lm.model), []
    for begin in range(0, len(rows), batch_size):
        batch = rows[begin : begin + batch_size]
        tokens = np.zeros((len(batch), len(batch[-1])), "int32")
        for padded, row in zip(tokens, batch, strict=True):
            padded[: len(row)] = row
        scores = score(tokens).astype("float64")
        found += [
            -line[: len(row) - 1].mean()
            for line, row in zip(scores, batch, strict=True)
        ]
    return np.array(found)


def _some(texts: Sequence[str], least: int) -> list[str]:
    """At most `MOST` texts that are not empty, evenly spread."""
    texts = [text for text in texts if text.strip()]
    if len(texts) < least:
        raise InputError(
            "Expected two or more texts of the training and one or more live "
            f"texts to compare. Received: {len(texts)}."
        )
    if len(texts) <= MOST:
        return texts
    return [texts[i] for i in np.linspace(0, len(texts) - 1, MOST).astype(int)]


def _lengths(lm: Any, texts: list[str]) -> list[int]:
    ids = lm.tokenizer.encode(texts, disallowed_special=())
    return [len(row) for row in ids]


def _unseen(known: set[str], texts: list[str]) -> list[float]:
    """Share of each text's words that are not known; 0 without words."""
    found = []
    for text in texts:
        words = _words(text)
        new = sum(word not in known for word in words)
        found.append(new / max(len(words), 1))
    return found


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
