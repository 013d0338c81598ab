"""An engine over any generator that keeps its state in tensors."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any, Protocol

import numpy as np

from keras_llm.decoding import State
from keras_llm.export.host_files import HostFiles
from keras_llm.export.server.batch_state import (
    COLUMNS,
    SLOTS,
    joined,
    plain,
    rounded_up,
    with_budget,
)
from keras_llm.export.server.engine import ALTERNATIVES, Progress, Row, Token

TIME = 16  # prompts are filled up to a multiple of it


class Generator(Protocol):
    """`keras_llm.generate.TokenGenerator`, or what stands in for it.

    Attributes:
        fixed: Whether every state has all parts, wanted or not.
    """

    fixed: bool

    def start(
        self, prompts: list[list[int]], settings: Any, candidates: bool
    ) -> State:
        """Reads the prompts; gives the first token of each."""
        ...

    def advance(self, state: State, most: int) -> State:
        """Decodes until `most` columns are out."""
        ...

    def score(self, ids: Sequence[int]) -> list[Token]:
        """As `Engine.score`."""
        ...

    def embed(self, rows: Sequence[list[int]]) -> np.ndarray:
        """As `Engine.embed`."""
        ...


class StateEngine:
    """Continuous batching: rows are cut out of a state and put into it.

    Args:
        name: The artifact's name.
        version: Its version.
        host: Tokenizer, chat template and settings.
        generator: What computes.
        most_rows: Most rows at once.
        adapter: Name and version of the adapter that is on. Default: none.
    """

    def __init__(
        self,
        name: str,
        version: int,
        host: HostFiles,
        generator: Generator,
        most_rows: int,
        adapter: str = "",
    ):
        self.name, self.version, self.host = name, version, host
        self.most_rows, self.adapter = most_rows, adapter
        self.rows: list[Row] = []
        self._generator = generator
        self._state: State | None = None
        self._read: list[int] = []  # columns of each row that were given out

    def change(self, joining: Sequence[Row], leaving: Collection[Row]) -> None:
        """Reads the prompts of rows that join; forgets rows that leave."""
        gone = set(map(id, leaving))
        keep = [i for i, row in enumerate(self.rows) if id(row) not in gone]
        if not joining and len(keep) == len(self.rows):
            return
        new = self._started(joining) if joining else None
        self._state = joined(self._state, keep, new)
        self.rows = [*(self.rows[i] for i in keep), *joining]
        self._read = [1] * len(keep) + [0] * len(joining)
        if self._state is not None and not self._generator.fixed:
            if not any(map(_controlled, self.rows)):
                self._state = plain(self._state)  # what is left is faster

    def advance(self, steps: int) -> list[Progress]:
        """Decodes up to `steps` more tokens; one answer for each row."""
        if self._state is None:
            return []
        most = int(self._state["count"]) + steps
        self._state = self._generator.advance(self._state, most)
        found = {
            name: self._state[name].numpy()
            for name in (*COLUMNS, "done", "ended")
            if name in self._state
        }
        count = int(self._state["count"])
        answers = [
            self._progress(found, index, count)
            for index in range(len(self.rows))
        ]
        self._read = [count] * len(self.rows)
        return answers

    def clear(self) -> None:
        """Forgets all rows."""
        self.rows, self._read, self._state = [], [], None

    def score(self, ids: Sequence[int]) -> list[Token]:
        """Returns every token but the first with its log-probability."""
        return self._generator.score(ids)

    def embed(self, rows: Sequence[list[int]]) -> np.ndarray:
        """Returns a vector for each row of ids."""
        return self._generator.embed(rows)

    def _started(self, joining: Sequence[Row]) -> State:
        """The state of rows that join, with few different sizes of caches."""
        context = self.host.config.context_length
        lengths = [len(row.prompt) for row in joining]
        settings = [row.settings for row in joining]
        budget = [
            min(each.max_new_tokens, context - length)
            for each, length in zip(settings, lengths, strict=True)
        ]
        needed = max(map(sum, zip(lengths, budget, strict=True)))
        last = lengths.index(max(lengths))  # any row may ask for the slots
        slots = rounded_up(needed, SLOTS, context)
        settings[last] = dataclasses.replace(
            settings[last], max_new_tokens=slots - lengths[last]
        )
        state = self._generator.start(
            [row.prompt for row in joining],
            settings,
            candidates=any(row.candidates for row in joining),
        )
        return with_budget(state, budget)

    def _progress(
        self, found: dict[str, np.ndarray], index: int, count: int
    ) -> Progress:
        """What a row got since it was last read."""
        begin = self._read[index]
        ids = found["output"][index, begin:count].tolist()
        size = next((i for i, token in enumerate(ids) if token < 0), len(ids))
        places = range(begin, begin + size)
        detailed = self.rows[index].candidates and "logprob" in found
        return Progress(
            tokens=tuple(
                _detailed(found, index, place)
                if detailed
                else Token(int(found["output"][index, place]))
                for place in places
            ),
            done=bool(found["done"][index]),
            ended=bool(found["ended"][index]),
        )


def _detailed(found: dict[str, np.ndarray], row: int, place: int) -> Token:
    """A token with what else was likely."""
    ids = found["top_ids"][row, place, :ALTERNATIVES].tolist()
    values = found["top_logprobs"][row, place, :ALTERNATIVES].tolist()
    return Token(
        int(found["output"][row, place]),
        float(found["logprob"][row, place]),
        tuple(zip(ids, values, strict=True)),
    )


def _controlled(row: Row) -> bool:
    return row.candidates or row.settings.samples or row.settings.penalizes


def padded(
    prompts: Sequence[list[int]], most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns ids as one int32 array, filled up with 0, and their lengths.

    Args:
        prompts: The ids.
        most: Longest width, the model's context.

    Example:

    >>> padded([[1, 2], [3]], 4)[0].tolist()
    [[1, 2, 0, 0], [3, 0, 0, 0]]
    """
    lengths = np.array([len(prompt) for prompt in prompts], "int32")
    width = rounded_up(int(lengths.max()), TIME, most)
    tokens = np.zeros((len(prompts), width), "int32")
    for row, prompt in zip(tokens, prompts, strict=True):
        row[: len(prompt)] = prompt
    return tokens, lengths
