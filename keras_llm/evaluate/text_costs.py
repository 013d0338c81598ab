"""What texts cost a language model, each whatever it is read beside.

Rows have one of a few shapes and batches are filled up, so that a text has
bit for bit the same cost in any company: how a corpus is cut into shards
changes nothing.
"""

import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_llm.data.counts import utf8_size
from keras_llm.errors import check_choice
from keras_llm.evaluate.pairs_rule import Window, rolling_windows

NARROWEST = 32  # tokens; the next rows are twice as wide, up to the context
BATCH_TOKENS = 2048
LOGITS = 1 << 24  # numbers of the head's output at a time: 64 MiB

Measure = Callable[[Sequence[str]], list[float]]


def measure_of(folder: str | os.PathLike, per: str = "byte") -> Measure:
    """Returns a function from texts to their bits per byte or perplexities.

    It returns NaN for a text without tokens, other numbers with four digits.

    Args:
        folder: Written by `CausalLM.save`; loaded when the function is called
            first, once.
        per: "byte" or "token".

    Raises:
        InputError: `per` is something else. When called: the folder's files
            are damaged, or its tokenizer has no token to start with.

    Example:

    >>> callable(measure_of("runs/model"))
    True
    """
    check_choice("per", per, ("byte", "token"))
    costs = functools.cache(lambda: _text_costs(folder))

    def value(text: str, nats: float, tokens: int) -> float:
        if not tokens:
            return math.nan
        if per == "byte":
            return round(nats / math.log(2) / utf8_size(text), 4)
        return round(math.exp(min(nats / tokens, 700.0)), 4)

    def measure(texts: Sequence[str]) -> list[float]:
        found = costs()(texts)
        return [
            value(text, *one) for text, one in zip(texts, found, strict=True)
        ]

    return measure


class TextCosts:
    """Adds up what each text costs a model, in nats.

    Args:
        model: A decoder from `build_decoder`.
        tokenizer: Its tokenizer.
        start: The id that the first token of a text is predicted from.

    Call arguments:
        texts: Any number; each is read in windows of the model's context.

    Returns:
        For each text its nats and its number of tokens.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> costs = TextCosts(build_decoder(DecoderConfig(vocabulary_size=261,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2)),
    ...     HostTokenizer.train(["a"], 261), start=256)
    >>> [tokens for nats, tokens in costs(["a rose", "", "is"])]
    [6, 0, 2]
    """

    def __init__(self, model: Any, tokenizer: Any, start: int):
        self._tokenizer, self._start = tokenizer, start
        self._context = model.config.context_length
        self._tokens = min(BATCH_TOKENS, LOGITS // model.config.vocabulary_size)
        self._score = _compiled(model)

    def __call__(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """Returns nats and tokens of each text; see the class."""
        ids = self._tokenizer.encode(list(texts), disallowed_special=())
        by_width: dict[int, list[tuple[int, Window]]] = {}
        for number, one in enumerate(ids):
            for window in rolling_windows(one, self._start, self._context):
                width = self._width(len(window[0]) - 1)
                by_width.setdefault(width, []).append((number, window))
        nats = np.zeros(len(texts))
        for width, owned in sorted(by_width.items()):
            rows = max(1, self._tokens // width)
            for begin in range(0, len(owned), rows):
                part = owned[begin : begin + rows]
                costs = self._costs([one for _, one in part], rows, width)
                # One by one, since a text may have several windows here.
                np.add.at(nats, [number for number, _ in part], costs)
        return list(zip(nats.tolist(), map(len, ids), strict=True))

    def _width(self, size: int) -> int:
        """The width of a row for so many inputs."""
        wide = 1 << (size - 1).bit_length()
        return min(self._context, max(NARROWEST, wide))

    def _costs(
        self, windows: Sequence[Window], rows: int, width: int
    ) -> list[float]:
        """The nats of windows in a batch of this shape."""
        tokens = np.zeros((rows, width + 1), "int32")
        lengths = np.full(rows, 2, "int32")
        for row, (ids, _) in enumerate(windows):
            tokens[row, : len(ids)] = ids
            lengths[row] = len(ids)
        scores = self._score(tokens, lengths)
        return [
            -float(scores[row, : len(ids) - 1][-scored:].sum(dtype="float64"))
            for row, (ids, scored) in enumerate(windows)
        ]


def _text_costs(folder: str | os.PathLike) -> TextCosts:
    from keras_llm.causal_lm import CausalLM
    from keras_llm.evaluate.keras_subject import KerasSubject

    lm = CausalLM.load(folder)
    return TextCosts(lm.model, lm.tokenizer, KerasSubject(lm).start)


def _compiled(model: Any) -> Callable[..., np.ndarray]:
    """From tokens and lengths to log-probabilities, arrays all."""
    from keras import backend, ops

    from keras_llm.score import log_probabilities

    function: Any = functools.partial(log_probabilities, model)
    if backend.backend() == "tensorflow":
        import tensorflow as tf

        specs = [tf.TensorSpec([None] * rank, tf.int32) for rank in (2, 1)]
        function = tf.function(function, input_signature=specs, autograph=False)

    def score(*arrays: np.ndarray) -> np.ndarray:
        tensors = [ops.convert_to_tensor(one) for one in arrays]
        return ops.convert_to_numpy(function(*tensors))

    return score
