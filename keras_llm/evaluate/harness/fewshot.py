"""Which solved examples stand in front of a document."""

import random
from collections.abc import Sequence

from keras_llm.errors import InputError


class Sampler:
    """Draws solved examples: the very ones the harness draws.

    Documents are asked for in their order, since each draw goes on from the
    one before.

    Args:
        pool: The documents to draw from.
        count: How many for each prompt.
        first: Whether always the first ones are taken.
        seed: Of the drawing.
        where: The task, for errors.

    Raises:
        InputError: The pool is too small.

    Source: `ContextSampler` of the lm-evaluation-harness 0.4.13.

    Example:

    >>> pool = [{"n": n} for n in range(9)]
    >>> [doc["n"] for doc in Sampler(pool, 2, False, 1234, "a").draw(None)]
    [7, 1]
    """

    def __init__(
        self,
        pool: Sequence[dict],
        count: int,
        first: bool,
        seed: int,
        where: str,
    ) -> None:
        self._pool = list(pool)
        self._count = count
        self._first = first
        self._random = random.Random(seed)
        self._where = where
        if len(self._pool) < count:
            raise self._too_few(len(self._pool))

    def draw(self, evaluated: dict | None) -> list[dict]:
        """Returns the examples of the next document.

        Args:
            evaluated: The document itself, where the pool may contain it.

        Raises:
            InputError: Too few others are left.
        """
        if self._first or not self._count:
            return self._others(self._pool, evaluated)
        more = self._count + (evaluated is not None)
        if len(self._pool) < more:
            raise self._too_few(len(self._pool) - 1)
        drawn = self._random.sample(self._pool, more)
        drawn = [doc for doc in drawn if doc != evaluated][: self._count]
        if len(drawn) == self._count:
            return drawn
        others = [doc for doc in self._pool if doc != evaluated]
        if len(others) < self._count:
            raise self._too_few(len(others))
        return self._random.sample(others, self._count)

    def _others(self, pool: list[dict], evaluated: dict | None) -> list[dict]:
        others = [doc for doc in pool if doc != evaluated][: self._count]
        if len(others) < self._count:
            raise self._too_few(len(others))
        return others

    def _too_few(self, found: int) -> InputError:
        return InputError(
            f"Expected at least {self._count} solved examples for "
            f"{self._where}. Received: {found} besides the document itself. "
            "Ask for fewer, or name a larger fewshot_split."
        )
