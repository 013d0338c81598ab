"""A SavedModel of ours as a subject: what TensorFlow Serving would answer."""

import os
from collections.abc import Sequence

import tensorflow as tf

from keras_llm.compare.engine_subject import EngineSubject
from keras_llm.compare.files_hash import folder_fingerprint
from keras_llm.decoding import NO_TOKEN
from keras_llm.evaluate.pairs_rule import Window
from keras_llm.evaluate.window_subject import BATCH_TOKENS, Scores, padded
from keras_llm.export.server.saved_engine import required, saved_engine

ROWS = 32  # texts continued at once


class SavedModelSubject(EngineSubject):
    """A SavedModel that `keras_llm.export.saved_model` wrote.

    Its own graph computes: what is measured is what is served, quantized
    weights and all. Windows are scored by the signature `score_tokens`, texts
    are continued by `start` and `advance`.

    Args:
        path: The folder of versions, of which the newest is taken, or one
            version.
        name: What reports call it. Default: its folder's name and version.
        batch_tokens: Tokens scored at once, padding included.

    Raises:
        InputError: No SavedModel of this library is there, or one without
            these signatures.

    Example:

    >>> SavedModelSubject("nowhere")
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected a SavedModel written by ...
    """

    def __init__(
        self,
        path: str | os.PathLike,
        name: str | None = None,
        batch_tokens: int = BATCH_TOKENS,
    ):
        engine, signatures = saved_engine(path, ROWS)
        self._scorer = required(signatures, "score_tokens")
        super().__init__(
            engine,
            name or f"{engine.name}/{engine.version}",
            folder_fingerprint(signatures.folder, "SavedModel"),
            batch_tokens,
        )

    def score(self, windows: Sequence[Window]) -> list[Scores]:
        """Scores one batch in one call."""
        rows = padded([tokens for tokens, _ in windows], NO_TOKEN)
        found = self._scorer(tokens=tf.constant(rows, tf.int32))
        own = found["token_logprobs"].numpy()
        likeliest = found["likeliest"].numpy() == rows[:, 1:]
        return [
            Scores(own[row, begin:end], likeliest[row, begin:end])
            for row, (begin, end) in enumerate(map(_place, windows))
        ]


def _place(window: Window) -> tuple[int, int]:
    """Where the scored tokens are in a row of all tokens but the first."""
    tokens, scored = window
    return len(tokens) - 1 - scored, len(tokens) - 1
