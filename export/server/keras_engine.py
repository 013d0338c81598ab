"""A saved `CausalLM` as an engine."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_llm.adapters import version
from keras_llm.causal_lm import CausalLM
from keras_llm.embed import embedder
from keras_llm.export.host_files import HostFiles
from keras_llm.export.server.engine import ALTERNATIVES, Token
from keras_llm.export.server.state_engine import StateEngine, padded
from keras_llm.generate import TokenGenerator


class KerasGenerator(TokenGenerator):
    """`TokenGenerator` that also scores and embeds.

    Args:
        lm: The language model.
    """

    fixed = False

    def __init__(self, lm: CausalLM):
        super().__init__(lm.model, lm.end_ids)
        self._lm, self._embedded = lm, embedder(lm.model)
        ids = tf.TensorSpec([1, None], tf.int32)
        self._scored = tf.function(self._score, [ids], autograph=False)

    def score(self, ids: Sequence[int]) -> list[Token]:
        """Returns every token but the first with its log-probability."""
        own, top_ids, top = self._scored(tf.constant([list(ids)], tf.int32))
        found = (part.numpy().tolist() for part in (own, top_ids, top))
        return [
            Token(token, value, tuple(zip(best, values, strict=True)))
            for token, value, best, values in zip(ids[1:], *found, strict=True)
        ]

    def embed(self, rows: Sequence[list[int]]) -> np.ndarray:
        """Returns the mean-pooled hidden state of each row of ids."""
        return self._embedded(rows)

    def _padded(
        self, prompts: Sequence[Sequence[int]]
    ) -> tuple[np.ndarray, np.ndarray]:
        super()._padded(prompts)  # says what does not fit
        return padded(list(map(list, prompts)), self.config.context_length)

    def _score(self, tokens: Any) -> tuple[Any, Any, Any]:
        logits = self._lm.model(tokens[:, :-1])[0]
        total = tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
        own = tf.gather(logits, tokens[0, 1:, None], batch_dims=1) - total
        values, ids = tf.math.top_k(logits, min(ALTERNATIVES, logits.shape[-1]))
        return own[:, 0], ids, values - total


def keras_engine(folder: str | os.PathLike, most_rows: int) -> StateEngine:
    """Loads what `CausalLM.save` wrote.

    Raises:
        InputError: The folder is no saved model, or damaged.
    """
    folder = Path(folder).resolve()
    return engine_of(CausalLM.load(folder), folder.name, most_rows)


def engine_of(lm: CausalLM, name: str, most_rows: int) -> StateEngine:
    """Returns an engine over a language model in memory."""
    host = HostFiles(
        config=lm.config,
        tokenizer=lm.tokenizer,
        settings=lm.settings,
        chat=lm.chat_template,
        end_ids=lm.end_ids,
        start_id=lm.start_id,
    )
    generator, adapter = KerasGenerator(lm), version(lm.model)
    return StateEngine(name, 1, host, generator, most_rows, adapter)
