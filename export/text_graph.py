"""A language model as TensorFlow graphs from text to text.

Nothing is computed here that is not computed elsewhere: the tokenizer's graph
engine, `decoding.start` and `decoding.advance`, `score.log_probabilities` and
`embed.mean_hidden` are joined into the functions that a server calls. Every
input and output has one row for each text, so that a server can merge
requests into batches.
"""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_llm.causal_lm import CausalLM
from keras_llm.conversation import all_end_ids
from keras_llm.decoding import NO_TOKEN, State
from keras_llm.embed import mean_hidden
from keras_llm.export.chat_graph import ChatGraph
from keras_llm.export.prompt_graph import PromptGraph
from keras_llm.export.stop_graph import (
    after_mark,
    first_stop,
    stop_lists,
)
from keras_llm.export.token_graph import CONTROLS, TokenGraph, traced, usable
from keras_llm.sampling import GenerationSettings, controls_for
from keras_llm.score import log_probabilities, with_likeliest
from keras_llm.step import decoder_step
from keras_llm.stopping import SEPARATOR

Outputs = dict[str, tf.Tensor]
STOP, LENGTH, REFUSED = "stop", "length", "refused"
SIGNATURES = (
    *("serving_default", "generate", "chat", "score", "score_tokens"),
    *("embed", "tokenize", "detokenize", "start", "advance"),
)


class TextGraph:
    """The functions of a served language model.

    Args:
        lm: The language model; its decoder computes in float32.
        settings: How `serving_default` continues.
        max_prompt_bytes: Longer prompts keep this many of their last bytes,
            longer texts to score this many of their first.
        max_candidates: As for `sampling.sample`.
        jit_compile: Whether XLA compiles the token loop.
    """

    def __init__(
        self,
        lm: CausalLM,
        settings: GenerationSettings,
        max_prompt_bytes: int,
        max_candidates: int | None = None,
        jit_compile: bool = False,
    ):
        self._lm, self._settings = lm, settings
        self._step = decoder_step(lm.model)
        self._tokens = TokenGraph(self._step, max_candidates, jit_compile)
        self._context = lm.config.context_length
        self._texts = PromptGraph(lm, max_prompt_bytes)
        self._answer = tf.function(self._answered, autograph=False)
        self._plain = tf.function(self._plainly, autograph=False)

    def signatures(self, names: Sequence[str] = SIGNATURES) -> dict[str, Any]:
        """Returns what the SavedModel offers, by name, as traced functions.

        Args:
            names: Which of `SIGNATURES`; "chat" needs a chat template.
        """
        asked = {"max_new_tokens": _row(tf.int32), **CONTROLS}
        asked["stop"] = _row(tf.string)
        prompt, text = {"prompt": _row(tf.string)}, {"text": _row(tf.string)}
        talk = {name: _rows(tf.string) for name in ("roles", "contents")}
        table = {
            "serving_default": (self.continue_as_usual, prompt),
            "generate": (self.generate, prompt | asked),
            "chat": (self.chat, talk | asked),
            "score": (self.score, text),
            "score_tokens": (self.score_tokens, {"tokens": _rows(tf.int32)}),
            "embed": (self.embed, text),
            "tokenize": (self.tokenize, text),
            "detokenize": (self.detokenize, {"tokens": _rows(tf.int32)}),
        }
        made = {}
        for name in names:
            if name in table:
                function, specs = table[name]
                named = {
                    key: tf.TensorSpec(spec.shape, spec.dtype, key)
                    for key, spec in specs.items()
                }
                made[name] = traced(function, named)
        steps = {"start", "advance"} & set(names)
        return made | (self._tokens.signatures() if steps else {})

    def continue_as_usual(self, prompt: tf.Tensor) -> Outputs:
        """The continuation of each prompt by the usual settings."""
        rows, settings = tf.shape(prompt)[0], self._settings
        most = tf.fill([rows], settings.max_new_tokens)
        prompts = self._texts.fitted(self._texts.prompts(prompt), most)
        ends = self._ends(self._lm.end_ids, rows)
        if settings.samples or settings.penalizes or settings.stop:
            given = controls_for(settings, rows)._asdict()
            given["stop"] = tf.fill([rows], SEPARATOR.join(settings.stop))
            return {"text": self._answer(*prompts, ends, given)["text"]}
        return {"text": self._plain(*prompts, ends)["text"]}

    def generate(
        self, prompt: tf.Tensor, max_new_tokens: tf.Tensor, **given: tf.Tensor
    ) -> Outputs:
        """A continuation of each prompt by its own settings and seed."""
        ends = self._ends(self._lm.end_ids, tf.shape(prompt)[0])
        prompts = self._texts.fitted(
            self._texts.prompts(prompt), max_new_tokens
        )
        return self._answer(*prompts, ends, given)

    def chat(
        self,
        roles: tf.Tensor,
        contents: tf.Tensor,
        max_new_tokens: tf.Tensor,
        **given: tf.Tensor,
    ) -> Outputs:
        """The reply to each conversation by its own settings and seed."""
        lm, template = self._lm, self._lm.chat_template
        if template is None:
            raise ValueError("This model has no chat template.")
        graph = ChatGraph(template, lm.tokenizer, self._texts.encode_part)
        ids, takes = graph(roles, self._texts.last_bytes(contents))
        most = tf.where(takes, max_new_tokens, 1)
        ends = all_end_ids(lm.tokenizer, template, lm.end_ids)
        prompts = self._texts.fitted(self._texts.not_empty(ids), most)
        ends = self._ends(ends, tf.shape(roles)[0])
        found = self._answer(*prompts, ends, given)
        answer = after_mark(found["text"], template.reply_start)
        return {
            "text": tf.where(takes, answer, ""),
            "tokens": tf.where(takes[:, None], found["tokens"], NO_TOKEN),
            "num_tokens": tf.where(takes, found["num_tokens"], 0),
            "prompt_tokens": tf.where(takes, found["prompt_tokens"], 0),
            "finish_reason": tf.where(takes, found["finish_reason"], REFUSED),
        }

    def score(self, text: tf.Tensor) -> Outputs:
        """How likely the model finds each token of each text."""
        ids, truncated = self._texts.first_ids(text, self._context + 1)
        lengths = tf.cast(ids.row_lengths(), tf.int32) - 1
        width = tf.maximum(ids.bounding_shape(1), 2)  # attention over nothing
        rows = ids.to_tensor(0, shape=tf.stack([ids.nrows(), width]))
        inside = tf.sequence_mask(lengths, tf.shape(rows)[1] - 1)
        found = log_probabilities(self._lm.model, rows, lengths + 1)
        found = tf.where(inside, found, 0.0)
        total = tf.reduce_sum(found, axis=1)
        mean = total / tf.cast(tf.maximum(lengths, 1), tf.float32)
        tokens = tf.where(inside, rows[:, 1:], NO_TOKEN)
        size = tf.where(
            truncated,
            tf.strings.length(self._texts.decode(tokens)),
            tf.strings.length(text),
        )
        size = tf.cast(tf.maximum(size, 1), tf.float32)
        return {
            "token_logprobs": found,
            "tokens": tokens,
            "num_tokens": lengths,
            "sum_logprob": total,
            "perplexity": tf.exp(-mean),
            "bits_per_byte": -total / math.log(2) / size,
            "truncated": truncated,
        }

    def score_tokens(self, tokens: tf.Tensor) -> Outputs:
        """How likely the model finds each id after the ones before it.

        Rows end where -1 begins; the first id of a row is not scored.
        """
        tokens = tf.pad(tokens, [[0, 0], [0, 1]], constant_values=NO_TOKEN)
        tokens = tokens[:, : tf.maximum(tf.shape(tokens)[1] - 1, 2)]
        lengths = tf.reduce_sum(tf.cast(tokens >= 0, tf.int32), axis=1)
        rows = tf.maximum(tokens, 0)
        own, best, values = with_likeliest(self._lm.model, rows, lengths)
        inside = tf.sequence_mask(lengths - 1, tf.shape(own)[1])
        return {
            "token_logprobs": tf.where(inside, own, 0.0),
            "likeliest": tf.where(inside, best, NO_TOKEN),
            "likeliest_logprobs": tf.where(inside, values, 0.0),
        }

    def embed(self, text: tf.Tensor) -> Outputs:
        """One vector for each text: `embed.mean_hidden` of its ids."""
        ids, truncated = self._texts.first_ids(text, self._context)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        return {
            "embedding": mean_hidden(self._step, ids.to_tensor(0), lengths),
            "num_tokens": lengths,
            "truncated": truncated,
        }

    def tokenize(self, text: tf.Tensor) -> Outputs:
        """The ids of each text, without a start id; -1 after its end."""
        ids = self._texts.encode(text)
        return {
            "tokens": ids.to_tensor(NO_TOKEN),
            "num_tokens": tf.cast(ids.row_lengths(), tf.int32),
        }

    def detokenize(self, tokens: tf.Tensor) -> Outputs:
        """The text of each row of ids; ids without a token are left out."""
        return {"text": self._texts.text(tokens)}

    def _answered(
        self,
        tokens: tf.Tensor,
        lengths: tf.Tensor,
        budget: tf.Tensor,
        ends: tf.Tensor,
        given: dict[str, tf.Tensor],
    ) -> Outputs:
        """What follows token rows, each by its own controls.

        Where no row asks for more than the likeliest tokens, the loop has
        nothing else in it.
        """
        stops, controls = stop_lists(given["stop"]), usable(given)
        rows = (tokens, lengths, budget, ends)

        def whole() -> Outputs:
            stopped = self._stopper(stops)
            state = self._tokens.run(*rows, controls, stopped)
            return self._said(state, stops)

        asks = tf.reduce_any(controls.temperature > 0)
        asks |= tf.reduce_any(controls.repetition_penalty != 1.0)
        asks |= tf.size(stops.values) > 0
        return tf.cond(asks, whole, lambda: self._plain(*rows))

    def _plainly(self, *rows: tf.Tensor) -> Outputs:
        """The likeliest tokens after token rows."""
        nothing = stop_lists(tf.fill([tf.shape(rows[0])[0]], ""))
        return self._said(self._tokens.run(*rows), nothing)

    def _stopper(self, stops: tf.RaggedTensor) -> Any:
        """What says in the loop which rows have come to a stop string."""
        pieces = self._lm.tokenizer.pieces.table
        longest = max(len(piece or b"") for piece in pieces)
        tail = 3 * longest + 12  # a broken byte shows as three

        def stopped(state: State) -> tf.Tensor:
            def look() -> tf.Tensor:
                text = self._texts.text(state["output"][:, : state["count"]])
                at = first_stop(text, stops, tail)
                return at < tf.strings.length(text)

            nobody = tf.zeros_like(state["done"])
            asked = tf.size(stops.values) > 0
            return tf.cond(asked, look, lambda: nobody)

        return stopped

    def _said(self, state: State, stops: tf.RaggedTensor) -> Outputs:
        """The new text of every row and why it ended."""
        text = self._texts.text(state["output"])
        at = first_stop(text, stops)
        stopped = state["ended"] | (at < tf.strings.length(text))
        width = tf.reduce_max(state["length"])
        return {
            "text": tf.strings.substr(text, tf.zeros_like(at), at),
            "tokens": state["output"][:, :width],
            "num_tokens": state["length"],
            "prompt_tokens": state["prompt"],
            "finish_reason": tf.where(stopped, STOP, LENGTH),
        }

    def _ends(self, ids: Sequence[int], rows: tf.Tensor) -> tf.Tensor:
        return tf.tile(tf.constant([ids], tf.int32), [rows, 1])


def _row(kind: tf.DType) -> tf.TensorSpec:
    return tf.TensorSpec([None], kind)


def _rows(kind: tf.DType) -> tf.TensorSpec:
    return tf.TensorSpec([None, None], kind)
