"""The logits of every token of texts, some at a time: never all at once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_llm.evaluate.pairs_rule import Window, rolling_windows
from keras_llm.progress import track

BATCH_TOKENS = 2048
_LOGITS = 1 << 23  # numbers at a time: 32 MiB


class TokenLogits:
    """Calls functions of logits for every token of texts, in small parts.

    Texts are read in rolling windows, so each token is predicted once; the
    head is computed for those tokens only. Memory does not grow with the
    texts.

    Args:
        lm: A `CausalLM`.
        batch_tokens: Tokens read at once; a window is read whole.

    Example:

    >>> from keras import ops
    >>> from keras_llm import (BytePairTokenizer, CausalLM, DecoderConfig,
    ...     build_decoder)
    >>> lm = CausalLM(build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2)),
    ...     BytePairTokenizer.train(["a rose is a rose"], 264))
    >>> reader = TokenLogits(lm)
    >>> largest = reader.compiled(lambda logits, targets, _:
    ...     ops.max(logits, -1))
    >>> parts = list(reader(["a rose is a thorn"], largest, np.ones(1)))
    >>> sum(map(len, parts)) == len(lm.tokenizer.encode("a rose is a thorn"))
    True
    """

    def __init__(self, lm: Any, batch_tokens: int = BATCH_TOKENS):
        from keras_llm.step import decoder_step

        self.lm, self.batch_tokens = lm, batch_tokens
        self._step = decoder_step(lm.model)
        self._hidden = _compiled(self._hidden_states, [2, 1], "int32")
        self._slice = max(1, _LOGITS // lm.config.vocabulary_size)

    def compiled(self, function: Callable[[Any, Any, Any], Any]) -> Any:
        """Compiles what is to be called with logits.

        Args:
            function: Takes logits `(tokens, vocabulary)` float32, the ids
                that came, int32 `(tokens,)`, and one more float32 vector.
        """

        def of_hidden(hidden: Any, targets: Any, more: Any) -> Any:
            from keras import ops

            logits = ops.cast(self._step.logits(hidden), "float32")
            return function(logits, targets, more)

        return _compiled(of_hidden, None, "")

    def __call__(
        self,
        texts: Sequence[str],
        compiled: Any,
        more: np.ndarray,
        title: str | None = None,
    ) -> Iterator[np.ndarray]:
        """Yields what a compiled function returns, for some tokens each time.

        Args:
            texts: Any length; empty ones have no token.
            compiled: From `compiled`.
            more: The vector that it gets, `(n,)`.
            title: Of the bar that counts texts; None shows none.
        """
        from keras import ops

        more = np.asarray(more, "float32")
        counted = track(texts, title, len(texts)) if title else texts
        for batch in self._batches(self._windows(counted)):
            tokens, lengths, places = _padded(batch)
            hidden = self._hidden(tokens[:, :-1], lengths)
            targets = tokens[:, 1:].ravel()
            for begin in range(0, len(places), self._slice):
                some = places[begin : begin + self._slice]
                found = compiled(ops.take(hidden, some, 0), targets[some], more)
                yield ops.convert_to_numpy(found)

    def _windows(self, texts: Iterable[str]) -> Iterator[Window]:
        start = self.lm.encode_prompt("")[0]
        for text in texts:
            ids = self.lm.tokenizer.encode(text, disallowed_special=())
            yield from rolling_windows(
                ids, start, self.lm.config.context_length
            )

    def _batches(self, windows: Iterable[Window]) -> Iterator[list[Window]]:
        batch: list[Window] = []
        for window in windows:
            width = max(len(one[0]) for one in [*batch, window])
            if batch and (len(batch) + 1) * width > self.batch_tokens:
                yield batch
                batch = []
            batch.append(window)
        if batch:
            yield batch

    def _hidden_states(self, tokens: Any, lengths: Any) -> Any:
        from keras import ops

        from keras_llm.layers import new_cache

        rows, time = ops.shape(tokens)
        caches = new_cache(
            self._step.config, rows, time, self._step.compute_dtype
        )
        order = ops.expand_dims(ops.arange(time, dtype="int32"), 0)
        positions = ops.broadcast_to(order, (rows, time))
        length = ops.expand_dims(lengths, 1)
        hidden, _ = self._step.hidden(tokens, positions, caches, length=length)
        return hidden


def _padded(batch: list[Window]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of equal width, how long each is, and where tokens are scored."""
    width = max(len(window) for window, _ in batch)
    tokens = np.zeros((len(batch), width), "int32")
    counted = np.zeros((len(batch), width - 1), bool)
    for row, (window, scored) in enumerate(batch):
        end = len(window) - 1
        tokens[row, : end + 1] = window
        counted[row, end - scored : end] = True
    lengths = np.array([len(window) - 1 for window, _ in batch], "int32")
    return tokens, lengths, np.flatnonzero(counted.ravel())


def _compiled(function: Any, ranks: list[int] | None, dtype: str) -> Any:
    import keras

    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    if ranks is None:
        return tf.function(function, autograph=False, reduce_retracing=True)
    specs = [tf.TensorSpec([None] * rank, dtype) for rank in ranks]
    return tf.function(function, input_signature=specs, autograph=False)
