"""Texts to the ids of prompts and back, in the graph and within limits."""

from typing import Any

import tensorflow as tf

from keras_llm.causal_lm import CausalLM
from keras_llm.decoding import NO_TOKEN


class TokenizerGraph:
    """A tokenizer inside of any `tf.function`.

    Args:
        tokenizer: The tokenizer, a Keras layer.
    """

    def __init__(self, tokenizer: Any):
        # Compiled once, so that all signatures share one copy in the file.
        texts = tf.TensorSpec([None], tf.string)
        self.encode_part = _compiled(
            tokenizer.graph_encode, texts, tf.TensorSpec([None], tf.bool)
        )
        ids = tf.TensorSpec([None, None], tf.int32)
        self.decode = _compiled(tokenizer.graph_decode, ids)
        self._known = tokenizer.graph_has_token

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        """The ids of whole texts, without a start id."""
        return self.encode_part(text, tf.ones_like(text, tf.bool))

    def text(self, ids: tf.Tensor) -> tf.Tensor:
        """As `CausalLM.decode`: an id without a token has no text."""
        return self.decode(tf.where(self._known(ids), ids, NO_TOKEN))


class PromptGraph(TokenizerGraph):
    """The tokenizer of a language model, within the limits of a server.

    Args:
        lm: The language model.
        max_bytes: Longer prompts keep this many of their last bytes, longer
            texts to score this many of their first.
    """

    def __init__(self, lm: CausalLM, max_bytes: int):
        super().__init__(lm.tokenizer)
        self._lm, self._max_bytes = lm, max_bytes
        self._context = lm.config.context_length

    def fitted(
        self, ids: tf.RaggedTensor, budget: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Padded prompt ids, their lengths, and how many tokens fit.

        A prompt that leaves no room for a new token keeps its last ids only:
        as many as leave room for the new tokens that were asked for, and no
        less than half of the context.
        """
        budget = tf.clip_by_value(budget, 1, self._context - 1)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        rest = tf.maximum(self._context - budget, self._context // 2)
        kept = tf.where(lengths < self._context, lengths, rest)
        ends = tf.cast(ids.row_splits[1:], tf.int32)
        places = tf.ragged.range(ends - kept, ends)
        rows = places.with_flat_values(
            tf.gather(ids.flat_values, places.flat_values)
        )
        budget = tf.minimum(budget, self._context - kept)
        return rows.to_tensor(0), kept, budget

    def prompts(self, prompt: tf.Tensor) -> tf.RaggedTensor:
        """Ids as `CausalLM.encode_prompt` gives them, of the last bytes."""
        return self._started(self.last_bytes(prompt))

    def first_ids(
        self, text: tf.Tensor, most: int
    ) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """The first ids of each text, and whether there are more."""
        size = tf.minimum(tf.strings.length(text), self._max_bytes)
        kept = tf.strings.substr(text, tf.zeros_like(size), size)
        ids = self._started(kept)
        truncated = ids.row_lengths() > most
        truncated |= tf.strings.length(text) > self._max_bytes
        return ids[:, :most], truncated

    def last_bytes(self, text: tf.Tensor) -> tf.Tensor:
        """The end of each text: no more bytes than are allowed."""
        size = tf.strings.length(text)
        kept = tf.minimum(size, self._max_bytes)
        return tf.strings.substr(text, size - kept, kept)

    def _started(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Ids as `CausalLM.encode_prompt` gives them."""
        ids = self.encode(text)
        if self._lm.start_id is None:  # then only empty prompts have one
            return self.not_empty(ids)
        first = tf.fill([tf.shape(text)[0], 1], self._lm.start_id)
        return tf.concat([first, ids], axis=1)

    def not_empty(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """The ids, where there are none the id that ends a text."""
        first = tf.fill([ids.nrows(tf.int32), 1], (*self._lm.end_ids, 0)[0])
        empty = ids.row_lengths() == 0
        first = tf.ragged.boolean_mask(first, empty[:, None])
        return tf.concat([first, ids], axis=1)


def _compiled(function: Any, *specs: tf.TensorSpec) -> Any:
    """Returns the function traced once for inputs of these kinds."""
    return tf.function(function, input_signature=specs, autograph=False)
