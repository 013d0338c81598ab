"""A model of quality that learns from good and bad texts."""

import hashlib
import math
import os
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from keras_llm.data.quality.words import tokens_of
from keras_llm.errors import InputError
from keras_llm.files import atomic_path
from keras_llm.progress import track

BUCKETS = 2**18
FORMAT = "keras_llm quality model 1"
FEWEST = 20
HELD_OUT = 5  # Every fifth text only calibrates.
_MIX = np.uint64(0x9E3779B97F4A7C15)
Features = tuple[np.ndarray, np.ndarray]


class QualityModel:
    """Says how probable it is that a text is one of the good ones.

    Logistic regression over words and pairs of words, hashed to 262,144
    weights. It learns what the good texts of its training have and the bad
    ones do not, style and subject alike: a model trained on encyclopedia
    articles likes articles. Look at what it drops before you trust it.

    Args:
        weights: One weight per bucket, (buckets,).
        scale: Factor on the sum of weights, from calibration.
        offset: What is added to it.

    Source: hashing, Weinberger et al. (2009),
    https://arxiv.org/abs/0902.2206; as a filter of web text, Brown et al.
    (2020), https://arxiv.org/abs/2005.14165, appendix A.

    Example:

    >>> good = [f"The river rose in spring {n}." for n in range(40)]
    >>> bad = [f"CLICK HERE >>> win {n} $$$ now" for n in range(40)]
    >>> model = QualityModel.train(good, bad)
    >>> scores = model(["In spring it rose.", "click now $$$"])
    >>> bool(scores[0] > 0.5 > scores[1])
    True
    """

    def __init__(self, weights: np.ndarray, scale: float, offset: float):
        self.weights, self.scale, self.offset = weights, scale, offset

    @classmethod
    def train(
        cls,
        good: Iterable[str],
        bad: Iterable[str],
        epochs: int = 5,
        learning_rate: float = 0.5,
        seed: int = 0,
    ) -> "QualityModel":
        """Learns from two sets of texts; the same ones give the same model.

        Every fifth text is held out: the probabilities are calibrated on
        them. They are right for texts of which as many are good as were in
        training. About 12 bytes per word are held in memory.

        Args:
            good: Texts to keep, at least 20.
            bad: Texts to drop, at least 20.
            epochs: How often the texts are read.
            learning_rate: Step size of AdaGrad.
            seed: Seed of the order.

        Raises:
            InputError: There are fewer than 20 texts on a side.

        Source: AdaGrad, Duchi et al. (2011),
        https://jmlr.org/papers/v12/duchi11a.html; calibration, Platt (1999),
        "Probabilistic outputs for support vector machines".
        """
        sides = [[features(text) for text in side] for side in (bad, good)]
        if min(map(len, sides)) < FEWEST:
            raise InputError(
                f"Expected at least {FEWEST} good and {FEWEST} bad texts. "
                f"Received: {len(sides[1])} good and {len(sides[0])} bad. Add "
                "texts; some hundreds of each are a start."
            )
        examples = [(x, float(y)) for y, xs in enumerate(sides) for x in xs]
        order = np.random.default_rng(seed).permutation(len(examples))
        shuffled = [examples[place] for place in order]
        held_out = shuffled[::HELD_OUT]
        rest = [e for n, e in enumerate(shuffled) if n % HELD_OUT]
        # Half precision is what `save` writes: a loaded model is the same.
        weights = _descend(rest, epochs, learning_rate)
        weights = weights.astype(np.float16).astype(np.float32)
        sums = np.array([_sum(weights, x) for x, _ in held_out])
        scale, offset = calibrate(sums, np.array([y for _, y in held_out]))
        return cls(weights, scale, offset)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the probability of good for each text, (texts,)."""
        return np.array([self.probability(text) for text in texts])

    def probability(self, text: str) -> float:
        """Returns the probability that a text is good."""
        total = _sum(self.weights, features(text, len(self.weights)))
        return float(_sigmoid(self.scale * total + self.offset))

    @property
    def fingerprint(self) -> str:
        """A hash of the weights and the calibration."""
        numbers = np.array([self.scale, self.offset], np.float64)
        content = self.weights.tobytes() + numbers.tobytes()
        return hashlib.sha256(content).hexdigest()

    def save(self, path: str | os.PathLike) -> None:
        """Writes the model to a file, some hundred kilobytes."""
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                format=np.array(FORMAT),
                weights=self.weights.astype(np.float16),
                calibration=np.array([self.scale, self.offset]),
            )

    @classmethod
    def load(cls, path: str | os.PathLike) -> "QualityModel":
        """Reads a model that `save` wrote.

        Raises:
            InputError: There is no such file, or it is something else.
        """
        if not Path(path).is_file():
            raise InputError(
                f"Expected the quality model {path}. Received: no such file."
            )
        try:
            with np.load(path, allow_pickle=False) as file:
                named = "format" in file and str(file["format"]) == FORMAT
                if named:
                    weights = file["weights"].astype(np.float32)
                    return cls(weights, *file["calibration"].tolist())
        except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(_no_model(path)) from error
        raise InputError(_no_model(path))


def features(text: str, buckets: int = BUCKETS) -> Features:
    """Hashes words and pairs of neighbours; a text's values have length 1.

    Returns:
        The buckets, (features,) int64, and their values, (features,) float32:
        `1 + log(count)`, divided by the length of all.

    Example:

    >>> places, values = features("again and again")
    >>> len(places), round(float((values**2).sum()), 4)
    (4, 1.0)
    """
    tokens = tokens_of(text.lower())
    words = np.fromiter(map(_hashed, tokens), np.uint64, len(tokens))
    pairs = words[:-1] * _MIX + words[1:]
    both = np.concatenate([words * _MIX, pairs * _MIX]) >> np.uint64(32)
    places, counts = np.unique(both % np.uint64(buckets), return_counts=True)
    values = 1 + np.log(counts, dtype=np.float32)
    length = math.sqrt(float((values**2).sum())) or 1.0
    return places.astype(np.int64), values / np.float32(length)


def calibrate(sums: np.ndarray, good: np.ndarray) -> tuple[float, float]:
    """Fits scale and offset so that a sigmoid of sums is a probability.

    Args:
        sums: What the model says about held-out texts, (texts,).
        good: 1 for good ones, 0 for bad ones, (texts,).

    Source: Platt (1999), with its targets a little off 0 and 1; Newton steps
    as in Lin et al. (2007), https://doi.org/10.1007/s10994-007-5018-6.

    Example:

    >>> good = np.array([0, 0, 1, 1])
    >>> scale, offset = calibrate(np.array([-2.0, -1, 1, 2]), good)
    >>> scale > 0, abs(offset) < 1e-6
    (True, True)
    """
    high, low = good.sum(), len(good) - good.sum()
    targets = np.where(good, (high + 1) / (high + 2), 1 / (low + 2))
    rows = np.stack([sums, np.ones_like(sums)], axis=1)
    fit = np.array([1.0, 0.0])
    for _ in range(100):
        guess = _sigmoid(rows @ fit)
        slope = rows.T @ (guess - targets)
        curve = (rows * (guess * (1 - guess))[:, None]).T @ rows
        move = np.linalg.solve(curve + 1e-9 * np.eye(2), slope)
        fit = fit - move / max(1.0, float(np.abs(move).max()))
        if np.abs(move).max() < 1e-9:
            break
    return float(fit[0]), float(fit[1])


def _descend(
    examples: list[tuple[Features, float]], epochs: int, rate: float
) -> np.ndarray:
    """Learns weights by AdaGrad, one text at a time."""
    weights = np.zeros(BUCKETS, np.float32)
    squares = np.full(BUCKETS, 1e-6, np.float32)
    for epoch in range(epochs):
        for (places, values), good in track(
            examples, f"learning, epoch {epoch + 1}", len(examples)
        ):
            guess = _sigmoid(_sum(weights, (places, values)))
            slope = np.float32(guess - good) * values
            squares[places] += slope**2
            weights[places] -= rate * slope / np.sqrt(squares[places])
    return weights


def _sum(weights: np.ndarray, found: Features) -> float:
    places, values = found
    return float(weights[places] @ values)


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))


@lru_cache(maxsize=2**17)
def _hashed(token: str) -> int:
    """A hash that is the same in every process."""
    return zlib.crc32(token.encode("utf-8"))


def _no_model(path: str | os.PathLike) -> str:
    return (
        f"Expected a quality model, written by QualityModel.save. Received: "
        f"{path}, which is something else. Train and save it again."
    )
