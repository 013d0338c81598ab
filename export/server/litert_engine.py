"""A LiteRT file as an engine: one row at a time, as its runtime works."""

import dataclasses
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_llm.errors import InputError
from keras_llm.export import host_files
from keras_llm.export.host_files import HostFiles
from keras_llm.export.litert_open import is_bundle, open_bundle
from keras_llm.export.litert_runner import LitertRunner
from keras_llm.export.server.engine import ALTERNATIVES, Progress, Row, Token
from keras_llm.sampling import (
    Controls,
    controls_of,
    penalize,
    row_uniforms,
    sample,
)


class LitertEngine:
    """An engine over `LitertRunner`.

    What a row's prompt shares with the text before is not read again, so a
    chat that goes on costs only its new turn.

    Args:
        path: A `.litertlm` bundle, or a `.tflite` file.
        threads: CPU threads.
        tokenizer: A folder of `CausalLM.save`, for a `.tflite`, which has no
            tokenizer.

    Attributes:
        runner: The file, for whoever asks for its logits.

    Raises:
        InputError: There is no tokenizer.
    """

    version, most_rows, adapter = 1, 1, ""

    def __init__(
        self,
        path: str | os.PathLike,
        threads: int = 1,
        tokenizer: str | os.PathLike | None = None,
    ):
        host = _host_of(Path(path), tokenizer)
        slots = host.config.context_length
        self.runner = LitertRunner(path, slots, threads)
        config = host.config.replace(
            context_length=min(slots, int(self.runner.slots))
        )
        self.host = dataclasses.replace(host, config=config)
        self.name = Path(path).stem
        self.rows: list[Row] = []
        self._text: _Text | None = None

    def change(self, joining: Sequence[Row], leaving: Collection[Row]) -> None:
        """Reads the prompt of a row that joins; forgets one that leaves."""
        gone = set(map(id, leaving))
        self.rows = [row for row in self.rows if id(row) not in gone]
        if joining:
            self.rows = list(joining)
            self._text = _Text(self.runner, self.host, joining[0])

    def advance(self, steps: int) -> list[Progress]:
        """Decodes up to `steps` more tokens."""
        if not self.rows or self._text is None:
            return []
        return [self._text.advance(steps)]

    def clear(self) -> None:
        """Forgets the row."""
        self.rows, self._text = [], None

    def score(self, ids: Sequence[int]) -> list[Token]:
        """Refuses: the one cache is in use."""
        raise _refused("log-probabilities of a prompt")

    def embed(self, rows: Sequence[list[int]]) -> Any:
        """Refuses: the file gives no hidden states."""
        raise _refused("embeddings")


class _Text:
    """One row as it grows."""

    def __init__(self, runner: LitertRunner, host: HostFiles, row: Row):
        self._runner, self._row, self._ends = runner, row, set(host.end_ids)
        settings, context = row.settings, host.config.context_length
        self._left = min(settings.max_new_tokens, context - len(row.prompt))
        self._plain = not (settings.samples or settings.penalizes)
        if not self._plain:
            self._controls = controls_of([settings])
            self._numbers = row_uniforms([settings.seed], context).numpy()[0]
            self._seen = np.zeros((1, host.config.vocabulary_size), bool)
            self._seen[0, row.prompt] = True
        self._logits = runner.read(row.prompt)
        self._count = 0

    def advance(self, steps: int) -> Progress:
        """Picks up to `steps` tokens, one more at the start."""
        tokens: list[Token] = []
        for _ in range(steps + (self._count == 0)):
            if self._count:
                self._logits = self._runner.decode(self._last)
            token = self._pick()
            self._count += 1
            if token.id in self._ends:
                return Progress(tuple(tokens), done=True, ended=True)
            tokens.append(token)
            self._last = token.id
            self._left -= 1
            if not self._left:
                return Progress(tuple(tokens), done=True)
        return Progress(tuple(tokens))

    def _pick(self) -> Token:
        logits = self._logits
        chosen = int(logits.argmax()) if self._plain else self._drawn()
        if not self._row.candidates:
            return Token(chosen)
        top = logits.max()
        values = logits - top - np.log(np.exp(logits - top).sum())
        best = np.argsort(-values, kind="stable")[:ALTERNATIVES]
        pairs = zip(best.tolist(), values[best].tolist(), strict=True)
        return Token(chosen, float(values[chosen]), tuple(pairs))

    def _drawn(self) -> int:
        """The token that the settings choose, as everywhere else."""
        controls = Controls(*self._controls)
        logits = self._logits[None, :]
        if self._row.settings.penalizes:
            logits = penalize(logits, self._seen, controls.repetition_penalty)
        number = self._numbers[self._count : self._count + 1]
        chosen = int(sample(logits, number, controls).numpy()[0])
        self._seen[0, chosen] = True
        return chosen


def _host_of(path: Path, tokenizer: str | os.PathLike | None) -> HostFiles:
    if not path.is_file():
        raise InputError(
            f"Expected a LiteRT file. Received: {path}, which does not exist."
        )
    if tokenizer is not None:
        return host_files.read(tokenizer)
    if not is_bundle(path):
        raise InputError(
            "Expected a .litertlm file, which holds its tokenizer, or a "
            ".tflite with the folder of its model as --tokenizer. Received: "
            f"{path} alone."
        )
    return open_bundle(path).host


def _refused(what: str) -> InputError:
    return InputError(
        f"Expected an artifact that gives {what}. Received: a LiteRT file. "
        "Serve a SavedModel or a saved model folder for that."
    )
