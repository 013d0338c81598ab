"""Whether a language model's next-token probabilities mean what they say."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.calibration import BINS, reliability_of_cells
from keras_llm.evaluate.calibration_report import CalibrationReport
from keras_llm.evaluate.probability_scores import CalibrationScores
from keras_llm.evaluate.temperature import least_temperature
from keras_llm.evaluate.token_logits import BATCH_TOKENS, TokenLogits

_CELLS = 2048  # of each bin: confidences are kept to about 1/30,000
_LOOKS, _POINTS = 2, 12  # a pass over the texts each, with so many losses


def next_token_calibration(
    lm: Any,
    texts: Sequence[str],
    bins: int = BINS,
    batch_tokens: int = BATCH_TOKENS,
    seed: int = 0,
    progress: bool = True,
) -> CalibrationReport:
    """Measures how sure a language model is, and how often it is right.

    Every token of every text is predicted once, in rolling windows. The
    confidence is the probability of the likeliest token. Nothing is kept but
    sums: memory does not grow with the texts. Bins of equal mass are made of
    cells 1/30,720 wide.

    A model from `calibrated` is measured on all texts, with its temperature
    and without. For any other model half of the texts, drawn by `seed`, find
    the temperature and the other half is measured.

    Args:
        lm: A `CausalLM`.
        texts: Held-out texts, none of them used to calibrate the model.
        bins: Of confidence.
        batch_tokens: Tokens read at once.
        seed: Which half finds the temperature.
        progress: Whether a bar is shown.

    Raises:
        InputError: There are no texts that are not empty; or only one, and no
            temperature.

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599; entropy beside
    loss: Braverman et al. 2020, https://arxiv.org/abs/1906.05664.

    Example:

    >>> from keras_llm import (BytePairTokenizer, CausalLM, DecoderConfig,
    ...     build_decoder)
    >>> lm = CausalLM(build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2)),
    ...     BytePairTokenizer.train(["a rose is a rose"], 264))
    >>> found = next_token_calibration(lm, ["abc", "xyz"], progress=False)
    >>> found.raw.items, found.fitted_on  # tokens, of one text each
    (3, 3)
    """
    texts = _held(texts, 1 if lm.temperature else 2)
    reader = TokenLogits(lm, batch_tokens)
    temperature, fitted_on = lm.temperature, None
    if temperature is None:
        order = np.random.default_rng(seed).permutation(len(texts))
        half = len(texts) // 2
        to_fit = [texts[i] for i in order[:half]]
        texts = [texts[i] for i in order[half:]]
        temperature, fitted_on = _fitted(reader, to_fit, progress)
    title = "calibration" if progress else None
    raw, calibrated = _scores(reader, texts, (1.0, temperature), bins, title)
    return CalibrationReport(
        title="Calibration of the next token",
        name="calibration",
        unit="tokens",
        raw=raw,
        calibrated=calibrated,
        temperature=temperature,
        fitted_on=fitted_on,
    )


def calibrated(
    lm: Any,
    texts: Sequence[str],
    batch_tokens: int = BATCH_TOKENS,
    progress: bool = True,
) -> Any:
    """Returns the language model with the temperature that fits texts best.

    Only `lm.score(text, calibrated=True)` and `next_token_calibration` ask
    for it: `generate` has a temperature of its own, and all other scores
    stay raw, so that they compare. `save` keeps it, `load` reads it back; a
    model whose weights are changed should be calibrated again.

    Args:
        lm: A `CausalLM`; it stays as it is.
        texts: Texts that it was not trained on. Every token counts the same.
        batch_tokens: Tokens read at once.
        progress: Whether a bar is shown.

    Raises:
        InputError: There are no texts that are not empty.

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599.

    Example:

    >>> from keras_llm import (BytePairTokenizer, CausalLM, DecoderConfig,
    ...     build_decoder)
    >>> lm = CausalLM(build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2)),
    ...     BytePairTokenizer.train(["a rose is a rose"], 264))
    >>> better = calibrated(lm, ["a rose", "is"], progress=False)
    >>> 0.02 <= better.temperature <= 50, lm.temperature
    (True, None)
    """
    reader = TokenLogits(lm, batch_tokens)
    temperature, _ = _fitted(reader, _held(texts, 1), progress)
    return lm.replace(temperature=temperature)


def _held(texts: Sequence[str], least: int) -> list[str]:
    held = [text for text in texts if text]
    if len(held) < least:
        raise InputError(
            f"Expected at least {least} text{'s' if least > 1 else ''} that "
            "are not empty, part of them to find a temperature on and the "
            f"others to measure. Received: {len(held)}."
        )
    return held


def _fitted(
    reader: TokenLogits, texts: Sequence[str], progress: bool
) -> tuple[float, int]:
    """The temperature with the least loss, and the tokens it was found on."""
    function, tokens = reader.compiled(_losses), 0

    def losses(temperatures: np.ndarray) -> np.ndarray:
        nonlocal tokens
        title = "temperature" if progress else None
        total, tokens = np.zeros(len(temperatures)), 0
        for part in reader(texts, function, temperatures, title):
            total += part[:-1]
            tokens += int(part[-1])
        return total / tokens

    return least_temperature(losses, _LOOKS, _POINTS), tokens


def _scores(
    reader: TokenLogits,
    texts: Sequence[str],
    temperatures: tuple[float, ...],
    bins: int,
    title: str | None,
) -> list[CalibrationScores]:
    """The scores of each temperature, in one pass over the texts."""
    sums = [_Sums(bins) for _ in temperatures]
    function = reader.compiled(_outcomes)
    for part in reader(texts, function, np.array(temperatures), title):
        for one, outcomes in zip(sums, part, strict=True):
            one.add(outcomes.astype("float64"))
    return [one.scores() for one in sums]


class _Sums:
    """What is kept of the tokens: sums, by cells of confidence."""

    def __init__(self, bins: int):
        self.bins = bins
        self.cells = np.zeros((3, bins * _CELLS))
        self.totals = np.zeros(3)

    def add(self, outcomes: np.ndarray) -> None:
        """Adds `(5, tokens)`, as `_outcomes` gives them."""
        sure, right, *others = outcomes
        count = self.cells.shape[1]
        places = np.minimum((sure * count).astype(int), count - 1)
        for row, weights in enumerate((None, sure, right)):
            self.cells[row] += np.bincount(places, weights, minlength=count)
        self.totals += np.sum(others, axis=1)

    def scores(self) -> CalibrationScores:
        count, sure, right = self.cells.sum(1)
        loss, entropy, brier = self.totals / count
        equal_width = reliability_of_cells(self.cells, self.bins)
        equal_mass = reliability_of_cells(self.cells, self.bins, True)
        return CalibrationScores(
            items=int(count),
            accuracy=float(right / count),
            confidence=float(sure / count),
            loss=float(loss),
            entropy=float(entropy),
            brier=float(brier),
            expected_error=equal_width.expected,
            adaptive_error=equal_mass.expected,
            maximum_error=equal_width.maximum,
            bins=equal_width.rows(),
        )


def _losses(logits: Any, targets: Any, temperatures: Any) -> Any:
    """Sum of the loss at each temperature, and last how many tokens."""
    from keras import ops

    logits = logits - ops.max(logits, axis=-1, keepdims=True)  # once for all
    own = ops.take_along_axis(logits, ops.expand_dims(targets, 1), 1)[:, 0]

    def loss(temperature: Any) -> Any:
        total = ops.sum(ops.exp(logits / temperature), axis=-1)
        return ops.sum(ops.log(total) - own / temperature)

    losses = ops.map(loss, temperatures)
    tokens = ops.cast(ops.shape(targets)[0], "float32")
    return ops.append(losses, tokens)


def _outcomes(logits: Any, targets: Any, temperatures: Any) -> Any:
    """Each token's confidence, whether right, loss, entropy and Brier score.

    Returns:
        float32 `(temperatures, 5, tokens)`.
    """
    from keras import ops

    places = ops.expand_dims(targets, 1)
    likeliest = ops.cast(ops.argmax(logits, axis=-1), "int32")
    right = ops.cast(ops.equal(likeliest, targets), "float32")

    def outcomes(temperature: Any) -> Any:
        logs = ops.log_softmax(logits / temperature, axis=-1)
        p = ops.exp(logs)
        own = ops.take_along_axis(logs, places, 1)[:, 0]
        return ops.stack(
            [
                ops.max(p, axis=-1),
                right,
                -own,
                -ops.sum(p * logs, axis=-1),
                ops.sum(p * p, axis=-1) - 2 * ops.exp(own) + 1,
            ]
        )

    return ops.map(outcomes, temperatures)
