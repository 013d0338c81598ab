"""Continuing token rows: compiled generation around `decoding`'s loop."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_llm.decoding import NO_TOKEN, State, advance, start
from keras_llm.errors import InputError
from keras_llm.model import Decoder
from keras_llm.sampling import (
    CONTROL_KINDS,
    Controls,
    GenerationSettings,
    controls_of,
)
from keras_llm.step import decoder_step
from keras_llm.stopping import cut

__all__ = ["NO_TOKEN", "State", "TokenGenerator"]

Settings = GenerationSettings | Sequence[GenerationSettings]
PAUSE = 16  # tokens decoded between two looks for stop strings


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
        self, prompts: Sequence[Sequence[int]], settings: Settings
    ) -> list[list[int]]:
        """Continues every prompt; returns only the new ids.

        Args:
            prompts: Token ids.
            settings: One for all prompts, or one for each; see `start`.

        Raises:
            InputError: A prompt is empty or does not fit the context.
        """
        state = self.start(prompts, settings)
        return self.rows(self.advance(state, int(max(state["budget"]))))

    def texts(
        self,
        prompts: Sequence[Sequence[int]],
        settings: Settings,
        decode: Callable[[list[int]], str],
    ) -> list[str]:
        """Continues every prompt; returns only the new text.

        A row ends before the first of its stop strings. They are found in
        text, so the loop pauses to look; it ends when all rows have ended.

        Args:
            prompts: Token ids.
            settings: One for all prompts, or one for each; see `start`.
            decode: From a row's new ids to its text.

        Raises:
            InputError: A prompt is empty or does not fit the context.
        """
        each = _each(settings, len(prompts))
        looks = any(one.stop for one in each)
        longest = max(one.max_new_tokens for one in each)
        state = self.start(prompts, settings)
        while True:
            most = int(state["count"]) + PAUSE if looks else longest
            state = self.advance(state, most)
            ended = [
                cut(decode(row), one.stop)
                for row, one in zip(self.rows(state), each, strict=True)
            ]
            done = state["done"].numpy()
            if all(
                stopped or finished
                for (_, stopped), finished in zip(ended, done, strict=True)
            ):
                return [text for text, _ in ended]

    def start(
        self,
        prompts: Sequence[Sequence[int]],
        settings: Settings,
        candidates: bool = False,
    ) -> State:
        """Reads prompts and picks their first tokens; see `decoding.start`.

        Args:
            prompts: Token ids.
            settings: One for all prompts, of which prompt i then draws from
                `seed + i`; or one for each, whose seed is used as it is.
                Stop strings are the business of `texts`.
            candidates: Whether the state also holds each new token's
                log-probability and its likeliest alternatives.

        Raises:
            InputError: A prompt is empty or does not fit the context, or
                there are not as many settings as prompts.
        """
        tokens, lengths = self._padded(prompts)
        each = _each(settings, len(prompts))
        most = np.array([one.max_new_tokens for one in each], "int32")
        budget = np.minimum(most, self.config.context_length - lengths)
        ends = np.tile(np.array(self.end_ids, "int32"), (len(prompts), 1))
        inputs = [tokens, lengths, budget, ends]
        controlled = candidates or any(
            one.samples or one.penalizes for one in each
        )
        if controlled:
            controls = controls_of(each)
            if isinstance(settings, GenerationSettings):
                rows = np.arange(len(prompts))
                controls = controls._replace(seed=controls.seed + rows)
            inputs += [controls, np.full(len(prompts), candidates)]
        inputs = tf.nest.map_structure(tf.constant, inputs)
        return self._function("start", controlled)(*inputs)

    def advance(self, state: State, most: int) -> State:
        """Runs `decoding.advance` compiled; see there."""
        function = self._function("advance", "controls" in state)
        return function(state, tf.constant(most, tf.int32))

    @staticmethod
    def rows(state: State) -> list[list[int]]:
        """Returns the new ids so far, one list a row."""
        output, length = state["output"].numpy(), state["length"].numpy()
        return [
            row[:size].tolist()
            for row, size in zip(output, length, strict=True)
        ]

    def _function(self, name: str, controlled: bool) -> Any:
        """`start` or `advance`, traced once for rows of any number and size."""
        key = (name, controlled)
        if key not in self._compiled:
            step, begins = self._step, _start_signature(controlled)

            def begin(*inputs: Any) -> State:
                return start(step, *inputs)

            def go_on(state: State, most: Any) -> State:
                return advance(step, state, most)

            if name == "start":
                traced = tf.function(begin, begins, autograph=False)
            else:
                state = self._function("start", controlled)
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


def _each(settings: Settings, rows: int) -> list[GenerationSettings]:
    """The settings of every row."""
    if isinstance(settings, GenerationSettings):
        return [settings] * rows
    if len(settings) != rows:
        raise InputError(
            f"Expected one settings for each of {rows} prompts. Received: "
            f"{len(settings)}. Pass one for all, or a list as long."
        )
    return list(settings)


def _start_signature(controlled: bool) -> list:
    """What `decoding.start` takes, for any number of rows of any length."""
    row = tf.TensorSpec([None], tf.int32)
    ids = tf.TensorSpec([None, None], tf.int32)
    if not controlled:
        return [ids, row, row, ids]
    controls = (tf.TensorSpec([None], kind) for kind in CONTROL_KINDS)
    return [
        *(ids, row, row, ids),
        Controls(*controls),
        tf.TensorSpec([None], tf.bool),
    ]


def _any_size(tensor: Any) -> tf.TensorSpec:
    """A tensor's spec; sizes that differ between calls are None already."""
    return tf.TensorSpec(tensor.shape, tensor.dtype)
