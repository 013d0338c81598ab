"""A LiteRT file as a subject: what a phone would answer."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_llm.compare.engine_subject import EngineSubject
from keras_llm.compare.files_hash import files_fingerprint, folder_fingerprint
from keras_llm.evaluate.pairs_rule import Window
from keras_llm.evaluate.window_subject import Scores
from keras_llm.export.server.litert_engine import LitertEngine


class LitertSubject(EngineSubject):
    """A `.litertlm` or `.tflite` file that `keras_llm.export.litert` wrote.

    It reads one token after the other, so it is slow; what a request shares
    with the one before, such as the question of several answers, is not read
    again.

    Args:
        path: The file.
        name: What reports call it. Default: the file's name.
        tokenizer: A folder of `CausalLM.save`, for a `.tflite`, which has no
            tokenizer.
        threads: CPU threads.

    Raises:
        InputError: There is no file, or no tokenizer for it.

    Example:

    >>> LitertSubject("nowhere.litertlm")
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected a LiteRT file. Received: ...
    """

    def __init__(
        self,
        path: str | os.PathLike,
        name: str | None = None,
        tokenizer: str | os.PathLike | None = None,
        threads: int = 1,
    ):
        engine = LitertEngine(path, threads, tokenizer)
        words = "" if tokenizer is None else folder_fingerprint(tokenizer)
        super().__init__(
            engine,
            name or Path(path).name,
            files_fingerprint([path], "LiteRT", words),
            batch_tokens=1,
        )
        self._runner = engine.runner

    def place(self, tokens: Sequence[int]) -> Sequence[int]:
        """Returns where a window goes: beside those that begin like it."""
        return tokens

    def score(self, windows: Sequence[Window]) -> list[Scores]:
        """Scores windows one after the other."""
        return [self._scores(*window) for window in windows]

    def _scores(self, tokens: list[int], scored: int) -> Scores:
        begin = len(tokens) - scored
        logits = [self._runner.read(tokens[:begin])]
        logits += [self._runner.decode(token) for token in tokens[begin:-1]]
        rows, wanted = np.array(logits, "float64"), tokens[begin:]
        top = rows.max(axis=1, keepdims=True)
        total = top[:, 0] + np.log(np.exp(rows - top).sum(axis=1))
        own = rows[np.arange(scored), wanted] - total
        return Scores(own, rows.argmax(axis=1) == wanted)
