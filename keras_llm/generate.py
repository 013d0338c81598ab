"""Continuing token rows: prefill once, then decode with the cache in a loop.

`start` reads the prompts and picks the first token, `advance` decodes up to a
number of tokens. Both are pure functions of tensors that trace into one
`tf.function`: Python calls, the streaming iterator and the SavedModel all run
these two and nothing else.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_llm.errors import InputError
from keras_llm.layers import new_cache, visibility
from keras_llm.model import Decoder
from keras_llm.sampling import (
    CONTROL_KINDS,
    Controls,
    GenerationSettings,
    controls_for,
    penalize,
    row_uniforms,
    sample,
)
from keras_llm.step import DecoderStep, decoder_step

State = dict[str, Any]
NO_TOKEN = -1


def start(
    step: DecoderStep,
    tokens: Any,
    lengths: Any,
    budget: Any,
    end_ids: Sequence[int],
    controls: Controls | None = None,
    seeds: Any = None,
    penalizes: bool = False,
) -> State:
    """Reads the prompts and picks the first new token of every row.

    Args:
        step: The cached step of a decoder.
        tokens: int32 `(rows, time)`, right-padded with any id.
        lengths: int32 `(rows,)`, prompt lengths, at least 1.
        budget: int32 `(rows,)`, most new tokens, at least 1; prompt and new
            tokens together fit the context.
        end_ids: Ids that end a row; they are not returned.
        controls: One value a row; None is greedy.
        seeds: int64 `(rows,)`; needed with controls.
        penalizes: Whether the repetition penalty is applied.

    Returns:
        The state that `advance` continues. `state["output"]` is int32
        `(rows, max(budget))`, -1 after a row's end; `state["length"]` the
        number of tokens there; `state["done"]` which rows have ended.
    """
    rows, time = tf.shape(tokens)[0], tf.shape(tokens)[1]
    slots = tf.reduce_max(lengths + budget)
    slots = tf.maximum(slots, time)
    caches = new_cache(step.config, rows, slots, step.compute_dtype)
    order = tf.range(time)[None, :]
    mask = visibility(order, tf.range(slots)[None, :])
    positions = tf.tile(order, tf.stack([rows, 1]))
    hidden, caches = step.hidden(tokens, positions, caches, mask)
    hidden = tf.reshape(hidden, [rows, time, step.config.hidden_dim])
    last = tf.gather(hidden, lengths - 1, batch_dims=1)
    state = {
        "token": tf.zeros([rows], tf.int32),
        "prompt": lengths,
        "budget": budget,
        "count": tf.zeros([], tf.int32),
        "length": tf.zeros([rows], tf.int32),
        "done": tf.zeros([rows], tf.bool),
        "ended": tf.zeros([rows], tf.bool),
        "output": tf.fill([rows, tf.reduce_max(budget)], NO_TOKEN),
    }
    if controls is not None:
        state["controls"] = controls
        state["uniforms"] = row_uniforms(seeds, step.config.context_length)
    if penalizes:
        state["seen"] = _seen(step, tokens, lengths)
    return {**_emit(state, step.logits(last), end_ids), "caches": caches}


def advance(
    step: DecoderStep, state: State, most: Any, end_ids: Sequence[int]
) -> State:
    """Decodes until `most` tokens are out or every row has ended.

    Args:
        step: The cached step of the decoder that made the state.
        state: From `start` or an earlier `advance`.
        most: Number of tokens after which to return, counted from the start.
        end_ids: As for `start`.

    Returns:
        The new state.
    """
    head = step.head()  # outside the loop: a tied head is a transposed copy

    moving, fixed = _split(state)

    def running(moving: State) -> Any:
        most_columns = tf.shape(moving["output"])[1]
        inside = moving["count"] < tf.minimum(most, most_columns)
        return inside & ~tf.reduce_all(moving["done"])

    def body(moving: State) -> tuple[State]:
        state = {**moving, **fixed}
        slots = tf.shape(state["caches"][0])[2]
        at = tf.minimum(state["prompt"] + state["count"] - 1, slots - 1)
        hidden, caches = step.hidden(
            state["token"][:, None], at[:, None], state["caches"]
        )
        after = _emit(state, step.logits(hidden, head), end_ids)
        after["caches"] = caches
        return ({name: after[name] for name in moving},)

    (moving,) = tf.while_loop(running, body, (moving,), parallel_iterations=1)
    return {**moving, **fixed}


def _split(state: State) -> tuple[State, State]:
    """Parts that change in the loop, and parts that do not."""
    constant = {"prompt", "budget", "controls", "uniforms"} & set(state)
    moving = {k: v for k, v in state.items() if k not in constant}
    return moving, {name: state[name] for name in constant}


def _emit(state: State, logits: Any, end_ids: Sequence[int]) -> State:
    """Picks a token for every row and writes it to rows still running."""
    if "seen" in state:
        penalty = state["controls"].repetition_penalty
        logits = penalize(logits, state["seen"], penalty)
    if "controls" not in state:
        token = tf.argmax(logits, axis=-1, output_type=tf.int32)
    else:
        numbers = state["uniforms"][:, state["count"]]
        token = sample(logits, numbers, state["controls"])
    ends = tf.reduce_any(
        token[:, None] == tf.constant(list(end_ids), tf.int32)[None, :], -1
    )
    running = ~state["done"]
    writes = running & ~ends
    column = tf.range(tf.shape(state["output"])[1]) == state["count"]
    count = state["count"] + 1
    changed = {
        "token": token,
        "count": count,
        "length": state["length"] + tf.cast(writes, tf.int32),
        "done": state["done"] | ends | (count >= state["budget"]),
        "ended": state["ended"] | (running & ends),
        "output": tf.where(
            column[None, :] & writes[:, None], token[:, None], state["output"]
        ),
    }
    if "seen" in state:
        now = tf.one_hot(token, logits.shape[-1], True, False, dtype=tf.bool)
        changed["seen"] = state["seen"] | now
    return {**state, **changed}


def _seen(step: DecoderStep, tokens: Any, lengths: Any) -> Any:
    """bool `(rows, vocabulary)`: ids that the prompts hold."""
    real = tf.sequence_mask(lengths, tf.shape(tokens)[1])
    ids = tf.where(real, tokens, -1)  # one_hot of -1 is empty
    size = step.config.vocabulary_size
    return tf.reduce_any(
        tf.one_hot(ids, size, True, False, dtype=tf.bool), axis=1
    )


def _start_signature(controlled: bool) -> list:
    """What `start` takes, for any number of rows of any length."""
    row = {kind: tf.TensorSpec([None], kind) for kind in CONTROL_KINDS}
    signature = [
        tf.TensorSpec([None, None], tf.int32),
        row["int32"],
        row["int32"],
    ]
    if controlled:
        controls = Controls(*(row[kind] for kind in CONTROL_KINDS))
        signature += [controls, tf.TensorSpec([None], tf.int64)]
    return signature


def _any_size(tensor: Any) -> tf.TensorSpec:
    """A tensor's spec; sizes that differ between calls are None already."""
    return tf.TensorSpec(tensor.shape, tensor.dtype)


class TokenGenerator:
    """Compiled generation for one decoder: token rows in, token rows out.

    Args:
        model: A decoder from `build_decoder`. Its weights are shared, so
            later training is seen.
        end_ids: Ids that end a row.

    Raises:
        InputError: Keras runs on another backend than TensorFlow.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> rows = TokenGenerator(model).generate([[1, 2], [3]],
    ...     GenerationSettings(max_new_tokens=4))
    >>> [len(row) for row in rows]
    [4, 4]
    """

    def __init__(self, model: Decoder, end_ids: Sequence[int] = ()):
        if keras.backend.backend() != "tensorflow":
            raise InputError(
                "Expected the TensorFlow backend for generation. Received: "
                f"{keras.backend.backend()}. Save the model, then load it "
                "with KERAS_BACKEND=tensorflow."
            )
        self.config = model.config
        self.end_ids = tuple(end_ids)
        self._step = decoder_step(model)
        self._compiled: dict[tuple, Any] = {}

    def generate(
        self, prompts: Sequence[Sequence[int]], settings: GenerationSettings
    ) -> list[list[int]]:
        """Continues every prompt; returns only the new ids.

        Raises:
            InputError: A prompt is empty or does not fit the context.
        """
        state = self.start(prompts, settings)
        return self.rows(self.advance(state, settings.max_new_tokens))

    def start(
        self, prompts: Sequence[Sequence[int]], settings: GenerationSettings
    ) -> State:
        """Runs `start` compiled; see there and `generate`."""
        tokens, lengths = self._padded(prompts)
        budget = np.minimum(
            settings.max_new_tokens, self.config.context_length - lengths
        )
        inputs = [tokens, lengths, budget]
        if settings.samples or settings.penalizes:
            seeds = settings.seed + np.arange(len(prompts), dtype="int64")
            inputs += [controls_for(settings, len(prompts)), seeds]
        kind = (settings.samples or settings.penalizes, settings.penalizes)
        return self._function("start", *kind)(
            *tf.nest.map_structure(tf.constant, inputs)
        )

    def advance(self, state: State, most: int) -> State:
        """Runs `advance` compiled; see there."""
        kind = ("controls" in state, "seen" in state)
        return self._function("advance", *kind)(state, tf.constant(most))

    @staticmethod
    def rows(state: State) -> list[list[int]]:
        """Returns the new ids so far, one list a row."""
        output, length = state["output"].numpy(), state["length"].numpy()
        return [
            row[:size].tolist()
            for row, size in zip(output, length, strict=True)
        ]

    def _function(self, name: str, controlled: bool, penalizes: bool) -> Any:
        """`start` or `advance`, traced once for rows of any number and size."""
        key = (name, controlled, penalizes)
        if key not in self._compiled:
            ends, step = self.end_ids, self._step
            begins = _start_signature(controlled)

            def begin(*inputs: Any) -> State:
                tokens, lengths, budget, *rest = inputs
                controls, seeds = rest or (None, None)
                return start(
                    *(step, tokens, lengths, budget, ends),
                    *(controls, seeds, penalizes),
                )

            def go_on(state: State, most: Any) -> State:
                return advance(step, state, most, ends)

            if name == "start":
                traced = tf.function(begin, begins, autograph=False)
            else:
                state = self._function("start", controlled, penalizes)
                made = state.get_concrete_function().structured_outputs
                spec = tf.nest.map_structure(_any_size, made)
                whole = tf.TensorSpec([], tf.int32)
                traced = tf.function(go_on, [spec, whole], autograph=False)
            self._compiled[key] = traced
        return self._compiled[key]

    def _padded(
        self, prompts: Sequence[Sequence[int]]
    ) -> tuple[np.ndarray, np.ndarray]:
        lengths = np.array([len(prompt) for prompt in prompts], "int32")
        if not len(lengths) or lengths.min() < 1:
            raise InputError(
                "Expected prompts of at least one token each. "
                f"Received lengths: {lengths.tolist()}."
            )
        if lengths.max() >= self.config.context_length:
            raise InputError(
                "Expected prompts shorter than the context of "
                f"{self.config.context_length} tokens, so that a new token "
                f"fits. Received a prompt of {lengths.max()} tokens. Shorten "
                "it, or use a model with a longer context."
            )
        tokens = np.zeros((len(prompts), lengths.max()), "int32")
        for row, prompt in zip(tokens, prompts, strict=True):
            row[: len(prompt)] = prompt
        return tokens, lengths
